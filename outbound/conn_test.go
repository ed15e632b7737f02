package outbound

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"testing"

	"github.com/riposte-dev/riposte"
)

const (
	askedFor = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine"
	poison   = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
)

// poisoner answers each request, and at once another one that nobody has made.
func poisoner(tb testing.TB, answer string) string {
	return "http://" + listener(tb, func(conn *net.TCPConn) {
		for in := bufio.NewReader(conn); ; {
			req, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			if _, err := io.Copy(io.Discard, req.Body); err != nil {
				return
			}
			if _, err := io.WriteString(conn, answer); err != nil {
				return
			}
		}
	}) + "/hook"
}

// TestResponseThatWasThereBeforeItsRequestIsNone makes net/http offer the connection
// to the second attempt before it has seen that there is more on it than was asked
// for: between the two it waits here until the second request is written.
func TestResponseThatWasThereBeforeItsRequestIsNone(t *testing.T) {
	silentLog(t)
	for name, extra := range map[string]string{
		"a whole one":   poison,
		"without body":  "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n",
		"a gone":        "HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n",
		"after a hint":  "HTTP/1.1 103 Early Hints\r\n\r\n" + poison,
		"its beginning": poison[:20],
		"no HTTP":       "x\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, nil)
			destination := poisoner(t, askedFor+extra)
			idle, written := make(chan struct{}), make(chan struct{})
			var once sync.Once
			first := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{PutIdleConn: func(error) {
				close(idle)
				<-written
			}})
			second := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) {
				once.Do(func() { close(written) })
			}})
			var fine, poisoned riposte.Result
			var attempts sync.WaitGroup
			attempts.Go(func() { fine = c.Send(first, claimed(destination)) })
			attempts.Go(func() {
				<-idle
				poisoned = c.Send(second, claimed(destination))
			})
			attempts.Wait()
			wantStatus(t, fine, 200)
			if string(fine.Document) != "fine" {
				t.Errorf("the first document is %q", fine.Document)
			}
			wantError(t, poisoned, riposte.PhaseResponse, ReasonMalformed)
			if poisoned.Attempt.StatusCode != 0 || len(poisoned.Attempt.ResponseBody) != 0 {
				t.Errorf("what was unasked is recorded: %d %q", poisoned.Attempt.StatusCode, poisoned.Attempt.ResponseBody)
			}
			// The connection on which answers are one behind is not used again.
			third := send(t, c, destination)
			wantStatus(t, third, 200)
			if string(third.Document) != "fine" {
				t.Errorf("the third document is %q", third.Document)
			}
		})
	}
}

// TestNoAttemptGetsAnothersAnswer leaves it to chance who comes first.
func TestNoAttemptGetsAnothersAnswer(t *testing.T) {
	silentLog(t)
	c := newClient(t, nil)
	destination := poisoner(t, askedFor+poison)
	var attempts sync.WaitGroup
	for range 8 {
		attempts.Go(func() {
			for range 100 {
				if r := c.Send(context.Background(), claimed(destination)); r.Attempt.Error == nil && string(r.Document) != "fine" {
					t.Errorf("the document is %q", r.Document)
				}
			}
		})
	}
	attempts.Wait()
}

// TestSplitResponseIsOneAnswer has a receiver that repeats in a header what somebody
// gave it, line ends included.
func TestSplitResponseIsOneAnswer(t *testing.T) {
	silentLog(t)
	injected := "x\r\nContent-Length: 0\r\n\r\n" + poison
	c := newClient(t, nil)
	destination := poisoner(t, "HTTP/1.1 200 OK\r\nServer: "+injected+"\r\nContent-Length: 4\r\n\r\nfine")
	for range 5 {
		r := send(t, c, destination)
		if r.Attempt.Error != nil {
			wantError(t, r, riposte.PhaseResponse, ReasonMalformed)
			continue
		}
		wantStatus(t, r, 200)
		if strings.Contains(string(r.Document), "poison") {
			t.Errorf("the document is %q", r.Document)
		}
	}
}
