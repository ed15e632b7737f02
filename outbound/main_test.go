package outbound

import (
	"bufio"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/riposte-dev/riposte"
)

// envProxy listens where the environment says that the proxies are.
var envProxy *net.TCPListener

func TestMain(m *testing.M) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	envProxy = l.(*net.TCPListener)
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"} {
		os.Setenv(name, "http://"+l.Addr().String())
	}
	os.Unsetenv("NO_PROXY")
	os.Unsetenv("no_proxy")
	goleak.VerifyTestMain(m)
}

var loopback = must(ParseDestinations("loopback"))

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func newSigner(tb testing.TB) *Signer {
	tb.Helper()
	key, err := NewSigningKey()
	if err != nil {
		tb.Fatal(err)
	}
	s, err := NewSigner(key)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// newClient returns a client that may reach loopback, with what change makes of
// its options.
func newClient(tb testing.TB, change func(*Options)) *Client {
	tb.Helper()
	o := Options{Destinations: loopback, Signer: newSigner(tb), Issuer: "riposte.example"}
	if change != nil {
		change(&o)
	}
	c, err := New(o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(c.Close)
	return c
}

// claimed is an attempt to be made at destination.
func claimed(destination string) riposte.ClaimedInstance {
	const id = "0123456789abcdefghijklmn"
	source := riposte.Source{Kind: riposte.SourceApprovalStep, TicketID: "T-1"}
	return riposte.ClaimedInstance{
		Instance: riposte.Instance{ID: id, Destination: destination, Source: source, Attempts: 3},
		Envelope: riposte.NewEnvelope(id, "https://riposte.example/api/v1/webhooks/callback/token", source, []byte(`{"n":12345678901234567890}`)),
	}
}

// receiver is a plain HTTP receiver on loopback.
func receiver(tb testing.TB, handler http.HandlerFunc) string {
	tb.Helper()
	s := httptest.NewServer(handler)
	tb.Cleanup(s.Close)
	return s.URL + "/hook"
}

// listener serves each connection with serve before anything is read.
func listener(tb testing.TB, serve func(*net.TCPConn)) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				serve(conn.(*net.TCPConn))
			}()
		}
	}()
	return l.Addr().String()
}

// rawReceiver reads each request that comes and leaves the rest of its
// connection to respond.
func rawReceiver(tb testing.TB, respond func(*net.TCPConn)) string {
	tb.Helper()
	return "http://" + listener(tb, func(conn *net.TCPConn) {
		req, err := http.ReadRequest(bufio.NewReader(conn))
		if err != nil {
			return
		}
		if _, err := io.Copy(io.Discard, req.Body); err != nil {
			return
		}
		respond(conn)
	}) + "/hook"
}

// write responds with text, its newlines as HTTP has them.
func write(text string, args ...any) func(*net.TCPConn) {
	return func(conn *net.TCPConn) {
		fmt.Fprint(conn, strings.ReplaceAll(fmt.Sprintf(text, args...), "\n", "\r\n"))
	}
}

// untilClosed blocks until the other side has closed conn.
func untilClosed(conn *net.TCPConn) {
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	for b := make([]byte, 512); ; {
		if _, err := conn.Read(b); err != nil {
			return
		}
	}
}

func send(t *testing.T, c *Client, destination string) riposte.Result {
	t.Helper()
	return c.Send(t.Context(), claimed(destination))
}

// wantError checks an attempt's error and that its message gives advice and no
// address.
func wantError(t *testing.T, r riposte.Result, phase riposte.Phase, reason string) {
	t.Helper()
	e := r.Attempt.Error
	if e == nil {
		t.Fatalf("the attempt has no error (status %d), want %s %s", r.Attempt.StatusCode, phase, reason)
	}
	if e.Phase != phase || e.Reason != reason {
		t.Errorf("the attempt's error is %s %s (%s), want %s %s", e.Phase, e.Reason, e.Message, phase, reason)
	}
	if e.Message == "" || strings.Contains(e.Message, "127.0.0.1") || strings.Contains(e.Message, "::1") {
		t.Errorf("the error's message is %q, want words without an address", e.Message)
	}
	if r.Document != nil {
		t.Errorf("an attempt that failed has the document %.40q", r.Document)
	}
}

func wantStatus(t *testing.T, r riposte.Result, status int) {
	t.Helper()
	if r.Attempt.Error != nil {
		t.Fatalf("the attempt failed: %+v, want status %d", *r.Attempt.Error, status)
	}
	if r.Attempt.StatusCode != status {
		t.Errorf("the status is %d, want %d", r.Attempt.StatusCode, status)
	}
}

// silentLog keeps out of the test's output what net/http says of hostile receivers.
func silentLog(t *testing.T) {
	t.Helper()
	log.SetOutput(io.Discard)
	t.Cleanup(func() { log.SetOutput(os.Stderr) })
}
