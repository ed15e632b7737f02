package outbound

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/riposte-dev/riposte"
)

// TestAttemptTimeout holds PROTOCOL.md's figure, and that a lease outlasts it.
func TestAttemptTimeout(t *testing.T) {
	if got := newClient(t, nil).timeout; got != 30*time.Second || got >= riposte.LeaseDuration {
		t.Errorf("an attempt may take %s, a lease lasts %s", got, riposte.LeaseDuration)
	}
}

// soon is a timeout for attempts that are to run into it.
const soon = 150 * time.Millisecond

func impatient(o *Options) { o.Timeout = soon }

// TestNothingIsFollowed has a receiver that names another place in every way that
// HTTP, HTML and browsers have.
func TestNothingIsFollowed(t *testing.T) {
	inside := listener(t, func(*net.TCPConn) { t.Error("what the receiver named was called") })
	for _, place := range []string{"http://" + inside + "/", "https://" + inside + "/", "//" + inside + "/", "http://169.254.169.254/latest/meta-data/", "file:///etc/passwd", "/again"} {
		for _, status := range []int{201, 202, 300, 301, 302, 303, 304, 305, 306, 307, 308, 401, 407, 503} {
			var asked atomic.Int64
			first := rawReceiver(t, func(conn *net.TCPConn) {
				asked.Add(1)
				write("HTTP/1.1 103 Early Hints\nLink: <%s>; rel=preload\n\n", place)(conn)
				write("HTTP/1.1 %d \nLocation: %[2]s\nContent-Location: %[2]s\nRefresh: 0; url=%[2]s\nLink: <%[2]s>; rel=preconnect\nAlt-Svc: http/1.1=\"%[3]s\"; ma=86400, h2=\"%[3]s\"\n"+
					"Www-Authenticate: Basic realm=\"%[2]s\"\nProxy-Authenticate: Basic\nRetry-After: 0\nConnection: close\n\n<meta http-equiv=refresh content=\"0; url=%[2]s\">", status, place, inside)(conn)
			})
			client := newClient(t, nil)
			for range 2 {
				r := send(t, client, first)
				wantStatus(t, r, status)
				if got := r.Attempt.ResponseHeaders.Get("Location"); got != place {
					t.Errorf("the recorded Location is %q, want %q", got, place)
				}
				if r.Document != nil && status != 201 {
					t.Errorf("%d has the document %q", status, r.Document)
				}
			}
			if n := asked.Load(); n != 2 {
				t.Errorf("%d to %s: two attempts made %d requests", status, place, n)
			}
		}
	}
}

func TestDocumentComesWithAnswersAlone(t *testing.T) {
	for status, want := range map[int]string{200: "body", 201: "body", 203: "body", 299: "body", 202: "", 300: "", 400: "", 410: "", 500: "", 599: ""} {
		r := send(t, newClient(t, nil), receiver(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			io.WriteString(w, "body")
		}))
		wantStatus(t, r, status)
		if string(r.Document) != want || string(r.Attempt.ResponseBody) != "body" || r.Attempt.BodyCut {
			t.Errorf("%d: the document is %q, the body %q, cut %v", status, r.Document, r.Attempt.ResponseBody, r.Attempt.BodyCut)
		}
	}
}

func TestBodyIsKeptUpToItsBounds(t *testing.T) {
	const kept, most = riposte.MaxKeptResponseBody, riposte.MaxDocumentSize
	for _, c := range []struct {
		status, size, document int
		cut, bodyCut           bool
	}{
		{200, 0, 0, false, false},
		{200, kept, kept, false, false},
		{200, kept + 1, kept + 1, false, true},
		{200, most, most, false, true},
		{200, most + 1, most, true, true},
		{200, 4 * most, most, true, true},
		{500, kept, 0, false, false},
		{500, kept + 1, 0, false, true},
		{202, 4 * most, 0, false, true},
	} {
		r := send(t, newClient(t, nil), receiver(t, func(w http.ResponseWriter, _ *http.Request) { longBody(w, c.status, c.size) }))
		wantStatus(t, r, c.status)
		if len(r.Document) != c.document || r.Cut != c.cut {
			t.Errorf("%d with %d bytes: the document has %d, cut %v; want %d, %v", c.status, c.size, len(r.Document), r.Cut, c.document, c.cut)
		}
		if len(r.Attempt.ResponseBody) != min(c.size, kept) || r.Attempt.BodyCut != c.bodyCut {
			t.Errorf("%d with %d bytes: %d are kept, cut %v", c.status, c.size, len(r.Attempt.ResponseBody), r.Attempt.BodyCut)
		}
	}
}

func TestEndlessBodyIsNotDrained(t *testing.T) {
	for _, status := range []int{200, 202, 500} {
		var written atomic.Int64
		ended := make(chan struct{})
		destination := receiver(t, func(w http.ResponseWriter, _ *http.Request) {
			defer close(ended)
			w.WriteHeader(status)
			for chunk := make([]byte, 32<<10); ; {
				n, err := w.Write(chunk)
				if written.Add(int64(n)); err != nil {
					return
				}
			}
		})
		r := send(t, newClient(t, nil), destination)
		wantStatus(t, r, status)
		<-ended
		// What is beyond the bound sits in the kernel's buffers, not in ours.
		if n := written.Load(); n > 32<<20 {
			t.Errorf("%d: the receiver could write %d bytes", status, n)
		}
		if !r.Attempt.BodyCut || (status == 200) != r.Cut {
			t.Errorf("%d: the endless body is cut: %v, the document: %v", status, r.Attempt.BodyCut, r.Cut)
		}
	}
}

func TestHangingReceiverIsCutOffAtTheTimeout(t *testing.T) {
	const head = "HTTP/1.1 200 OK\nContent-Length: 100\n\n"
	for _, c := range []struct {
		name    string
		respond func(*net.TCPConn)
		status  int
		body    string
	}{
		{"before the status", untilClosed, 0, ""},
		{"in the headers", func(conn *net.TCPConn) { write("HTTP/1.1 200 OK\nA: ")(conn); untilClosed(conn) }, 0, ""},
		{"before the body", func(conn *net.TCPConn) { write(head)(conn); untilClosed(conn) }, 200, ""},
		{"in the body", func(conn *net.TCPConn) { write(head + "{")(conn); untilClosed(conn) }, 200, "{"},
		{"after a 101", func(conn *net.TCPConn) {
			write("HTTP/1.1 101 Switching Protocols\nConnection: upgrade\nUpgrade: x\n\n")(conn)
			untilClosed(conn)
		}, 101, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := send(t, newClient(t, impatient), rawReceiver(t, c.respond))
			if c.status == 101 {
				wantStatus(t, r, 101)
				return
			}
			wantError(t, r, riposte.PhaseResponse, ReasonTimeout)
			if r.Attempt.Duration < soon || r.Attempt.Duration > 20*soon {
				t.Errorf("the attempt took %v, want about %v", r.Attempt.Duration, soon)
			}
			if r.Attempt.StatusCode != c.status || string(r.Attempt.ResponseBody) != c.body || r.Attempt.BodyCut != (c.status != 0) {
				t.Errorf("status %d, body %q, cut %v", r.Attempt.StatusCode, r.Attempt.ResponseBody, r.Attempt.BodyCut)
			}
		})
	}
}

func TestBrokenBodyIsNoAnswer(t *testing.T) {
	reset := func(conn *net.TCPConn) { conn.SetLinger(0) }
	const document = `{"version":"v1","approve":{}}`
	for _, c := range []struct {
		name, response, reason string
		then                   func(*net.TCPConn)
	}{
		{"closed before its length", "HTTP/1.1 200 OK\nContent-Length: 100\n\n" + document, ReasonCutOff, nil},
		{"closed before its last chunk", "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n1d\n" + document + "\n", ReasonCutOff, nil},
		{"closed in a chunk", "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\nff\n" + document, ReasonCutOff, nil},
		{"reset", "HTTP/1.1 200 OK\nContent-Length: 100\n\n" + document, ReasonReset, reset},
		{"a chunk without size", "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\nxyz\n", ReasonMalformed, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			read := make(chan struct{})
			destination := rawReceiver(t, func(conn *net.TCPConn) {
				write("%s", c.response)(conn)
				if c.then != nil {
					// A reset overtakes what has not been read yet.
					<-read
					c.then(conn)
				}
			})
			client := newClient(t, nil)
			if c.then != nil {
				client.transport.DialContext = announcingReads(client, len(document), read)
			}
			r := send(t, client, destination)
			wantError(t, r, riposte.PhaseResponse, c.reason)
			if r.Attempt.StatusCode != 200 || !r.Attempt.BodyCut {
				t.Errorf("status %d, cut %v; want 200, cut", r.Attempt.StatusCode, r.Attempt.BodyCut)
			}
			if c.reason != ReasonMalformed && string(r.Attempt.ResponseBody) != document {
				t.Errorf("what came is kept as %q", r.Attempt.ResponseBody)
			}
		})
	}
}

// announcingReads makes a client's connections close read once they have read
// more than n bytes.
func announcingReads(c *Client, n int, read chan struct{}) func(context.Context, string, string) (net.Conn, error) {
	dial := c.transport.DialContext
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		return &announcingConn{Conn: conn, left: n, read: read}, err
	}
}

type announcingConn struct {
	net.Conn
	left int
	read chan struct{}
}

func (c *announcingConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.left > 0 && c.left-n <= 0 {
		close(c.read)
	}
	c.left -= n
	return n, err
}

func TestBadResponseIsNamed(t *testing.T) {
	header := "X: " + strings.Repeat("x", 1000) + "\n"
	for _, c := range []struct {
		name, response, reason string
	}{
		{"none", "", ReasonCutOff},
		{"half a status line", "HTTP/1.1 20", ReasonMalformed},
		{"half a header", "HTTP/1.1 200 OK\nA: b", ReasonCutOff},
		{"not HTTP", "SSH-2.0-OpenSSH\n\n", ReasonMalformed},
		{"bad status", "HTTP/1.1 abc OK\n\n", ReasonMalformed},
		{"bad header", "HTTP/1.1 200 OK\nno colon\n\n", ReasonMalformed},
		{"two lengths", "HTTP/1.1 200 OK\nContent-Length: 1\nContent-Length: 2\n\nxx", ReasonMalformed},
		{"many headers", "HTTP/1.1 200 OK\n" + strings.Repeat(header, 100) + "\n", ReasonTooLargeHeaders},
		{"one long header", "HTTP/1.1 200 OK\nA: " + strings.Repeat("x", 1<<20) + "\n\n", ReasonTooLargeHeaders},
		{"1xx storm", strings.Repeat("HTTP/1.1 103 Early Hints\nLink: </a>\n\n", 10_000) + "HTTP/1.1 200 OK\n\n", ReasonTooLargeHeaders},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := send(t, newClient(t, nil), rawReceiver(t, write("%s", c.response)))
			phase := riposte.PhaseResponse
			if c.response == "" {
				phase = r.Attempt.Error.Phase // the close may overtake the end of our write
			}
			wantError(t, r, phase, c.reason)
			if r.Attempt.StatusCode != 0 {
				t.Errorf("the status is %d, want 0", r.Attempt.StatusCode)
			}
		})
	}
}

func TestSomeEarlyHintsAreFine(t *testing.T) {
	hints := strings.Repeat("HTTP/1.1 103 Early Hints\nLink: </a>\n\n", 10)
	r := send(t, newClient(t, nil), rawReceiver(t, write("%s", hints+"HTTP/1.1 200 OK\nContent-Length: 2\n\n{}")))
	wantStatus(t, r, 200)
}

func TestClosedPortIsRefused(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	r := send(t, newClient(t, nil), "http://"+l.Addr().String())
	wantError(t, r, riposte.PhaseConnect, ReasonRefused)
	if r.Attempt.RemoteAddress != "" || r.Attempt.StatusCode != 0 || r.Attempt.Number != 3 || r.Attempt.StartedAt.IsZero() {
		t.Errorf("the attempt is %+v", r.Attempt)
	}
}

func TestTLSIsDemanded(t *testing.T) {
	quiet := func(s *httptest.Server) *httptest.Server {
		s.Config.ErrorLog = silent
		return s
	}
	handler := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a request came through") })
	server := quiet(httptest.NewUnstartedServer(handler))
	server.StartTLS()
	t.Cleanup(server.Close)
	roots := server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	known := func(o *Options) { o.RootCAs = roots }

	t.Run("unknown issuer", func(t *testing.T) {
		c := newClient(t, func(o *Options) { o.RootCAs = x509.NewCertPool() })
		wantError(t, send(t, c, server.URL), riposte.PhaseTLS, ReasonUnknownAuthority)
	})
	t.Run("another host", func(t *testing.T) {
		c := newClient(t, known)
		resolveWith(t, c, map[string][]string{"other.test": {"127.0.0.1"}})
		wantError(t, send(t, c, strings.Replace(server.URL, "127.0.0.1", "other.test", 1)), riposte.PhaseTLS, ReasonCertificate)
	})
	t.Run("plain HTTP behind it", func(t *testing.T) {
		plain := receiver(t, handler)
		wantError(t, send(t, newClient(t, known), "https"+strings.TrimPrefix(plain, "http")), riposte.PhaseTLS, ReasonHandshake)
	})
	t.Run("hangs", func(t *testing.T) {
		destination := listener(t, untilClosed)
		wantError(t, send(t, newClient(t, impatient), "https://"+destination), riposte.PhaseTLS, ReasonTimeout)
	})
	t.Run("closes", func(t *testing.T) {
		r := send(t, newClient(t, nil), "https://"+listener(t, func(conn *net.TCPConn) { conn.Read(make([]byte, 4096)) }))
		wantError(t, r, riposte.PhaseTLS, ReasonHandshake)
	})
	t.Run("resets", func(t *testing.T) {
		r := send(t, newClient(t, nil), "https://"+listener(t, func(conn *net.TCPConn) {
			conn.Read(make([]byte, 1)) // a reset before that may still hit the connect
			conn.SetLinger(0)
		}))
		wantError(t, r, riposte.PhaseTLS, ReasonReset)
	})
}

func TestCancelEndsTheAttempt(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	arrived := make(chan struct{})
	destination := receiver(t, func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) // only then does the server notice that its client has gone
		close(arrived)
		<-r.Context().Done()
	})
	go func() {
		<-arrived
		cancel(errors.New("stopping"))
	}()
	r := newClient(t, nil).Send(ctx, claimed(destination))
	wantError(t, r, riposte.PhaseResponse, ReasonCanceled)
}

func TestProxiesOfTheEnvironmentAreIgnored(t *testing.T) {
	// A name is used because no proxy is asked for addresses on loopback.
	c := newClient(t, impatient)
	resolveWith(t, c, map[string][]string{})
	wantError(t, send(t, c, "http://receiver.example/"), riposte.PhaseDNS, ReasonNotFound)
	envProxy.SetDeadline(time.Now())
	if _, err := envProxy.Accept(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the proxy's Accept returned %v: somebody called it", err)
	}
}

func TestDestinationIsCheckedAtEveryAttempt(t *testing.T) {
	public := newClient(t, func(o *Options) { o.Destinations = Destinations{} })
	for destination, reason := range map[string]string{
		"https://127.0.0.1/":       ReasonBlockedAddress,
		"https://[::1]/":           ReasonBlockedAddress,
		"https://①②⑦.⓪.⓪.①/":       ReasonBlockedAddress,
		"https://127。0。0。1/":       ReasonBlockedAddress,
		"https://loc\u00adalhost/": ReasonBlockedAddress,
		"https://2130706433/":      ReasonBadURL,
		"https://[fe80::1%25lo]/":  ReasonBadURL,
		"http://example.com/":      ReasonBadURL,
		"":                         ReasonBadURL,
	} {
		r := send(t, public, destination)
		wantError(t, r, riposte.PhaseConnect, reason)
		if r.Attempt.Phases != (riposte.Phases{}) || r.Attempt.RemoteAddress != "" {
			t.Errorf("%s: something was dialled: %+v", destination, r.Attempt)
		}
	}
}

func TestResponseHeadersAreBounded(t *testing.T) {
	long := strings.Repeat("ü", maxHeaderLength)
	r := send(t, newClient(t, nil), rawReceiver(t, write("HTTP/1.1 200 OK\nServer: %s\nX-Request-Id: a\xffb\u009bc\n%sSet-Cookie: c\nX-Secret: s\nContent-Length: 0\n\n",
		long, strings.Repeat("Www-Authenticate: x\n", 100))))
	wantStatus(t, r, 200)
	h := r.Attempt.ResponseHeaders
	if got := h.Get("Server"); got != strings.Repeat("ü", maxHeaderLength/2)+"…" {
		t.Errorf("Server is kept with %d bytes", len(got))
	}
	if got := h.Get("X-Request-Id"); got != "a\uFFFDb\uFFFDc" {
		t.Errorf("X-Request-Id is kept as %q", got)
	}
	if n := len(h["Www-Authenticate"]); n != maxHeaderValues {
		t.Errorf("%d values of Www-Authenticate are kept", n)
	}
	if h.Get("Set-Cookie") != "" || h.Get("X-Secret") != "" {
		t.Errorf("headers that are not on the list are kept: %v", h)
	}
}

func TestRetryAfterCountsWhereAReceiverIsBusy(t *testing.T) {
	for status, want := range map[int]time.Duration{200: 0, 202: 0, 301: 0, 408: 0, 425: 0, 429: time.Minute, 500: 0, 502: 0, 503: time.Minute, 504: 0} {
		r := send(t, newClient(t, nil), receiver(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "60")
			w.WriteHeader(status)
		}))
		wantStatus(t, r, status)
		if r.RetryAfter != want {
			t.Errorf("%d: RetryAfter is %v, want %v", status, r.RetryAfter, want)
		}
	}
}
