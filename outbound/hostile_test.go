package outbound

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/riposte-dev/riposte"
)

// What an attempt may cost whatever the receiver does. A document in chunks of one
// byte takes six times its 256,000 bytes; all else that is read is far less.
const (
	mostRead      = 1600 << 10 // bytes read from the network
	mostAllocated = 4 << 20    // bytes allocated, those of the receiver included
)

// later is a timeout for attempts that are to run into it beside others, once they have
// come so far as is meant: a busy machine needs a while for that.
const later = 2 * time.Second

func waiting(o *Options) { o.Timeout = later }

// cost measures an attempt of c at destination.
func cost(t *testing.T, c *Client, destination string) riposte.Result {
	t.Helper()
	var read atomic.Int64
	dial := c.destinations.dialer(c.timeout).DialContext
	c.transport.DialContext = watched(func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		return &countingConn{Conn: conn, read: &read}, err
	})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	r := send(t, c, destination)
	runtime.ReadMemStats(&after)
	if n := read.Load(); n > mostRead {
		t.Errorf("%d bytes were read", n)
	}
	if n := after.TotalAlloc - before.TotalAlloc; n > mostAllocated {
		t.Errorf("%d bytes were allocated", n)
	}
	return r
}

type countingConn struct {
	net.Conn
	read *atomic.Int64
}

func (c *countingConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.read.Add(int64(n))
	return n, err
}

// flood writes head and then chunk until the other side has had enough.
func flood(head, chunk string) func(*net.TCPConn) {
	block := []byte(strings.Repeat(chunk, 1+(64<<10)/len(chunk)))
	return func(conn *net.TCPConn) {
		conn.SetDeadline(time.Now().Add(30 * time.Second))
		if _, err := io.WriteString(conn, head); err != nil {
			return
		}
		for {
			if _, err := conn.Write(block); err != nil {
				return
			}
		}
	}
}

// drip writes head and then chunk again and again, a byte at a time.
func drip(head, chunk string) func(*net.TCPConn) {
	return func(conn *net.TCPConn) {
		io.WriteString(conn, head)
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for n := 0; ; n++ {
			<-tick.C
			if _, err := conn.Write([]byte{chunk[n%len(chunk)]}); err != nil {
				return
			}
		}
	}
}

// hold writes text and then keeps the connection open.
func hold(text string) func(*net.TCPConn) {
	return func(conn *net.TCPConn) {
		io.WriteString(conn, text)
		untilClosed(conn)
	}
}

// TestFloodEndsAtABound has receivers that never stop. Each attempt ends because
// something is too much, long before its timeout.
func TestFloodEndsAtABound(t *testing.T) {
	const ok, chunked = "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	long := strings.Repeat("x", 4000)
	for _, c := range []struct {
		name, head, chunk string
		reason            string // "" where the receiver is answered for: status 200, its body cut
	}{
		{"100s", "", "HTTP/1.1 100 Continue\r\n\r\n", ReasonTooLargeHeaders},
		{"102s with headers", "", "HTTP/1.1 102 Processing\r\nA: b\r\n\r\n", ReasonTooLargeHeaders},
		{"103s with headers", "", "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n", ReasonTooLargeHeaders},
		{"103s, each with all that fits", "", "HTTP/1.1 103 Early Hints\r\nA: " + strings.Repeat("x", 60<<10) + "\r\n\r\n", ReasonTooLargeHeaders},
		{"199s", "", "HTTP/1.1 199 \r\n\r\n", ReasonTooLargeHeaders},
		{"headers", ok, "A: b\r\n", ReasonTooLargeHeaders},
		{"headers without a value", ok, "A:\r\n", ReasonTooLargeHeaders},
		{"long headers", ok, "A: " + long + "\r\n", ReasonTooLargeHeaders},
		{"a folded header", ok + "A: b\r\n", " c\r\n", ReasonTooLargeHeaders},
		{"a header's name", ok, "x", ReasonTooLargeHeaders},
		{"a header's value", ok + "A: ", "x", ReasonTooLargeHeaders},
		{"a header of NULs", ok + "A: ", "\x00", ReasonTooLargeHeaders},
		{"a status line", "HTTP/1.1 200 ", "x", ReasonTooLargeHeaders},
		{"a status code", "HTTP/1.1 ", "2", ReasonTooLargeHeaders},
		{"no line at all", "", "x", ReasonTooLargeHeaders},
		{"empty lines", "", "\r\n", ReasonMalformed},
		{"NULs", "", "\x00", ReasonTooLargeHeaders},
		{"HTTP/2", "\x00\x00\x12\x04\x00\x00\x00\x00\x00", "\x00\x03\x00\x00\x00\x64", ReasonTooLargeHeaders},
		{"a body with a length", ok + "Content-Length: 9223372036854775807\r\n\r\n", "x", ""},
		{"a body without a length", ok + "\r\n", "x", ""},
		{"a body in chunks", chunked, "fa0\r\n" + long + "\r\n", ""},
		{"a body in chunks of a byte", chunked, "1\r\nx\r\n", ""},
		{"one chunk", chunked + "7fffffffffffffff\r\n", "x", ""},
		{"a chunk's size", chunked, "0", ReasonMalformed},
		{"a chunk's extension", chunked + "1;", "x", ReasonMalformed},
		{"chunks with long extensions", chunked, "1;" + long + "\r\nx\r\n", ReasonMalformed},
		{"trailers", chunked + "0\r\n", "A: b\r\n", ReasonMalformed},
		{"a trailer", chunked + "0\r\nA: ", "x", ReasonMalformed},
	} {
		t.Run(c.name, func(t *testing.T) {
			client := newClient(t, nil)
			r := cost(t, client, rawReceiver(t, flood(c.head, c.chunk)))
			if r.Attempt.Duration > client.timeout/2 {
				t.Errorf("the attempt took %v", r.Attempt.Duration)
			}
			if c.reason != "" {
				wantError(t, r, riposte.PhaseResponse, c.reason)
				return
			}
			wantStatus(t, r, 200)
			if !r.Cut || len(r.Document) != riposte.MaxDocumentSize {
				t.Errorf("the document has %d bytes, cut: %v", len(r.Document), r.Cut)
			}
		})
	}
}

// TestDripIsCutOffAtTheTimeout has receivers from whom something comes all the time,
// and nothing ever ends.
func TestDripIsCutOffAtTheTimeout(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	for name, respond := range map[string]func(*net.TCPConn){
		"a status line": drip("HTTP/1.1 200 ", "x"),
		"headers":       drip(ok, "A: b\r\n"),
		"1xx":           drip("", "HTTP/1.1 103 Early Hints\r\nA: b\r\n\r\n"),
		"a body":        drip(ok+"Content-Length: 100000\r\n\r\n", "x"),
		"no end":        drip(ok+"\r\n", "x"),
		"chunks":        drip(ok+"Transfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n"),
		"trailers":      drip(ok+"Transfer-Encoding: chunked\r\n\r\n0\r\n", "A: b\r\n"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := send(t, newClient(t, waiting), rawReceiver(t, respond))
			wantError(t, r, riposte.PhaseResponse, ReasonTimeout)
			if r.Attempt.Duration < later || r.Attempt.Duration > 5*later {
				t.Errorf("the attempt took %v, want about %v", r.Attempt.Duration, later)
			}
		})
	}
}

const okLine = "HTTP/1.1 200 OK\r\n"

// unclosed are responses after which the connection stays open.
var unclosed = []struct {
	response string
	status   int
	want     string // the body, or the reason of the failure
}{
	{okLine + "Content-Length: 5\r\n\r\nhello", 200, "hello"},
	{okLine + "Content-Length: 0\r\n\r\n", 200, ""},
	{okLine + "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 200, "hello"},
	{okLine + "Content-Length: 5\r\n\r\nhello and more", 200, "hello"},
	{"HTTP/1.1 204 No Content\r\n\r\n", 204, ""},
	{"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello", 204, ""},
	{"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", 304, ""},
	{okLine + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 200, "hello"},
	{okLine + "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 200, "hello"},
	{okLine + "Transfer-Encoding: chunked\r\nTrailer: A\r\n\r\n5\r\nhello\r\n0\r\nA: b\r\n\r\n", 200, "hello"},
	{okLine + "A: b\r\n c\r\n\td\r\nContent-Length: 5\r\n\r\nhello", 200, "hello"},
	{okLine + "A : b\r\nContent-Length: 5\r\n\r\nhello", 200, "hello"},
	{"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, "hello"},
	{"HTTP/1.1 599 \r\nContent-Length: 0\r\n\r\n", 599, ""},
	{"HTTP/1.1 999 \r\nContent-Length: 0\r\n\r\n", 999, ""},

	{okLine + "\r\nhello", 0, ReasonTimeout},
	{okLine + "Content-Length: 6\r\n\r\nhello", 0, ReasonTimeout},
	{okLine + "Content-Length: 9223372036854775807\r\n\r\nhello", 0, ReasonTimeout},
	{okLine + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", 0, ReasonTimeout},
	{okLine + "Transfer-Encoding: chunked\r\n\r\n7fffffffffffffff\r\nhello", 0, ReasonTimeout},
	{okLine + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", 0, ReasonTimeout},
	{"HTTP/1.1 100 Continue\r\n\r\n", 0, ReasonTimeout},
	{"HTTP/1.1 200", 0, ReasonTimeout},

	{okLine + "Content-Length: -1\r\n\r\n", 0, ReasonMalformed},
	{okLine + "Content-Length: +5\r\n\r\nhello", 0, ReasonMalformed},
	{okLine + "Content-Length: 5, 6\r\n\r\nhello", 0, ReasonMalformed},
	{okLine + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 0, ReasonMalformed},
	{okLine + "Content-Length: 0x5\r\n\r\nhello", 0, ReasonMalformed},
	{okLine + "Content-Length: five\r\n\r\nhello", 0, ReasonMalformed},
	{okLine + "Content-Length: 99999999999999999999\r\n\r\nhello", 0, ReasonMalformed},
	{okLine + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 0, ReasonMalformed},
	{okLine + "Transfer-Encoding: gzip\r\n\r\nhello", 0, ReasonMalformed},
	{okLine + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 0, ReasonMalformed},
	{okLine + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 0, ReasonMalformed},
	{okLine + "Transfer-Encoding: chunked\r\n\r\n-1\r\n", 0, ReasonMalformed},
	{okLine + "Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n", 0, ReasonMalformed},
	{okLine + "Transfer-Encoding: chunked\r\n\r\nffffffffffffffff1\r\n", 0, ReasonMalformed},
	{okLine + "Transfer-Encoding: chunked\r\n\r\n5\r\nhelloworld\r\n", 0, ReasonMalformed},
	{okLine + "Transfer-Encoding: chunked\r\n\r\n\r\n\r\n", 0, ReasonMalformed},
	{okLine + " A: b\r\n\r\n", 0, ReasonMalformed},
	{okLine + "A\x00: b\r\n\r\n", 0, ReasonMalformed},
	{okLine + ": b\r\n\r\n", 0, ReasonMalformed},
	{okLine + "A: b\x00c\r\n\r\n", 0, ReasonMalformed},
	{okLine + "A\r\n\r\n", 0, ReasonMalformed},
	{"HTTP/0.9 200 OK\r\n\r\n", 0, ReasonMalformed},
	{"HTTP/3.1 200 OK\r\nContent-Length: 0\r\n\r\n", 0, ReasonMalformed},
	{"HTTP/2.0 200 OK\r\n\r\n", 0, ReasonMalformed},
	{"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 0, ReasonMalformed},
	{"HTTP/1.1200 OK\r\n\r\n", 0, ReasonMalformed},
	{"HTTP/1.1 20 OK\r\n\r\n", 0, ReasonMalformed},
	{"HTTP/1.1 2000 OK\r\n\r\n", 0, ReasonMalformed},
	{"HTTP/1.1 -20 OK\r\n\r\n", 0, ReasonMalformed},
	{"HTTP/1.1 000 OK\r\nContent-Length: 0\r\n\r\n", 0, ReasonMalformed},
	{"HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n", 0, ReasonMalformed},
	{" HTTP/1.1 200 OK\r\n\r\n", 0, ReasonMalformed},
	{"<html>", 0, ReasonTimeout},
	{"<html>\r\n", 0, ReasonMalformed},
	{"POST /hook HTTP/1.1\r\nHost: a\r\n\r\n", 0, ReasonMalformed},
}

// TestResponseThatIsNotClosed has receivers that say what they have to say and keep
// the connection open, so that an attempt ends at once or at its timeout.
func TestResponseThatIsNotClosed(t *testing.T) {
	silentLog(t)
	for _, c := range unclosed {
		t.Run(fmt.Sprintf("%.60q", strings.TrimPrefix(c.response, okLine)), func(t *testing.T) {
			destination := rawReceiver(t, hold(c.response))
			if c.want == ReasonTimeout {
				t.Parallel()
				wantError(t, send(t, newClient(t, waiting), destination), riposte.PhaseResponse, ReasonTimeout)
				return
			}
			r := cost(t, newClient(t, nil), destination)
			if c.status == 0 {
				wantError(t, r, riposte.PhaseResponse, c.want)
				return
			}
			wantStatus(t, r, c.status)
			if got := string(r.Attempt.ResponseBody); got != c.want || r.Attempt.BodyCut {
				t.Errorf("the body is %q, cut: %v; want %q", got, r.Attempt.BodyCut, c.want)
			}
		})
	}
}

// TestBombsAreNotDecoded has 64 MiB of zeros, compressed.
func TestBombsAreNotDecoded(t *testing.T) {
	zeros := func(w io.WriteCloser) {
		block := make([]byte, 1<<20)
		for range 64 {
			w.Write(block)
		}
		w.Close()
	}
	var gzipped, deflated bytes.Buffer
	zeros(gzip.NewWriter(&gzipped))
	zeros(must(flate.NewWriter(&deflated, flate.BestCompression)))
	for _, c := range []struct {
		encoding string
		bomb     []byte
	}{
		{"gzip", gzipped.Bytes()}, {"x-gzip", gzipped.Bytes()}, {"GZIP", gzipped.Bytes()}, {"deflate", deflated.Bytes()}, {"gzip, gzip", gzipped.Bytes()}, {"br", gzipped.Bytes()},
	} {
		for _, asked := range []int{200, 500} {
			r := cost(t, newClient(t, nil), receiver(t, func(w http.ResponseWriter, r *http.Request) {
				if got := r.Header.Get("Accept-Encoding"); got != "" {
					t.Errorf("Accept-Encoding is %q", got)
				}
				w.Header().Set("Content-Encoding", c.encoding)
				w.WriteHeader(asked)
				w.Write(c.bomb)
			}))
			wantStatus(t, r, asked)
			if want := c.bomb[:min(len(c.bomb), riposte.MaxKeptResponseBody)]; !bytes.Equal(r.Attempt.ResponseBody, want) {
				t.Errorf("%s %d: %d bytes are kept, want %d of those that came", c.encoding, asked, len(r.Attempt.ResponseBody), len(want))
			}
			if asked == 200 && !bytes.Equal(r.Document, c.bomb) {
				t.Errorf("%s: the document has %d bytes, %d came", c.encoding, len(r.Document), len(c.bomb))
			}
			if got := r.Attempt.ResponseHeaders.Get("Content-Encoding"); got != c.encoding {
				t.Errorf("the recorded Content-Encoding is %q, want %q", got, c.encoding)
			}
		}
	}
}
