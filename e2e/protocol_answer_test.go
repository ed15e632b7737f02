package e2e

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
	"github.com/riposte-dev/riposte/ripostetest"
	"github.com/riposte-dev/riposte/server"
)

// TestReceiverAnswer has the table of PROTOCOL.md section 3 for a source that
// needs a document.
func TestReceiverAnswer(t *testing.T) {
	s := never.use(t)
	t.Parallel()

	for _, status := range []int{200, 201, 203, 206, 226, 299} {
		t.Run(fmt.Sprintf("2xx but 202/%d: the body is the response document", status), func(t *testing.T) {
			t.Parallel()
			r := newReceiver(t, always(ripostetest.Reply{Status: status, Body: deny}))
			i := closed(t, s, askAt(t, s, r, sourceApprovalStep))
			wantAnswer(t, i, "DENIED", "SYNC", deny)
			wantAttempts(t, i, 1)
		})
	}
	t.Run("2xx but 202/204 has no document", func(t *testing.T) {
		t.Parallel()
		i := closed(t, s, askAt(t, s, newReceiver(t, always(ripostetest.Reply{Status: 204})), sourceApprovalStep))
		wantFailure(t, i, "BAD_RESPONSE")
	})
	t.Run("202: the body is ignored; wait for the callback", func(t *testing.T) {
		t.Parallel()
		r := newReceiver(t, always(ripostetest.Reply{Status: 202, Body: deny}))
		id := askAt(t, s, r, sourceApprovalStep)
		i := inState(t, s, id, "WAITING_CALLBACK")
		wantOpen(t, i, "WAITING_CALLBACK")
		if i.GetNextAttemptAt() != nil {
			t.Errorf("nextAttemptAt is %v", i.GetNextAttemptAt().AsTime())
		}
		callBack(t, delivered(t, r, id, 1).Envelope.CallbackURL, approve).ok(t)
		i = closed(t, s, id)
		wantAnswer(t, i, "APPROVED", "CALLBACK", approve)
		wantAttempts(t, i, 1)
	})
	t.Run("202: test waits like any other", func(t *testing.T) {
		t.Parallel()
		id := askAt(t, s, newReceiver(t, always(ripostetest.Reply{Status: 202, Body: bare})), sourceTest)
		wantOpen(t, inState(t, s, id, "WAITING_CALLBACK"), "WAITING_CALLBACK")
	})
	for _, source := range sources {
		t.Run("410: FATAL_ERROR, reason GONE/"+source.name, func(t *testing.T) {
			t.Parallel()
			r := newReceiver(t, always(ripostetest.Reply{Status: 410, Body: source.document}))
			i := closed(t, s, askAt(t, s, r, source.message))
			wantFailure(t, i, "GONE")
			wantAttempts(t, i, 1)
		})
	}

	for _, status := range []int{300, 304, 400, 401, 403, 404, 408, 409, 413, 422, 425, 429, 451, 500, 502, 503, 504, 599, 600, 999} {
		t.Run(fmt.Sprintf("any other status: ERROR; retry/%d", status), func(t *testing.T) {
			t.Parallel()
			r := newReceiver(t, inTurn(ripostetest.Reply{Status: status, Body: approve}, ripostetest.Reply{Body: approve}))
			id := askAt(t, s, r, sourceApprovalStep)
			i := wantRetry(t, s, id)
			if got := i.GetAttempts()[0].GetStatusCode(); int(got) != status {
				t.Errorf("the attempt's statusCode is %d, want %d", got, status)
			}
		})
	}
	for _, status := range []int{301, 302, 303, 307, 308} {
		t.Run(fmt.Sprintf("3xx is not followed: ERROR; retry/%d", status), func(t *testing.T) {
			t.Parallel()
			elsewhere := newReceiver(t, always(ripostetest.Reply{Body: approve}))
			moved := ripostetest.Reply{Status: status, Header: http.Header{"Location": {elsewhere.URL}}}
			r := newReceiver(t, inTurn(moved, ripostetest.Reply{Body: deny}))
			id := askAt(t, s, r, sourceApprovalStep)
			wantRetry(t, s, id)
			if n := len(elsewhere.Deliveries("")); n != 0 {
				t.Errorf("the redirect was followed %d times", n)
			}
		})
	}
}

// wantRetry checks that the first attempt left an instance in ERROR with
// another one to come, and that this one then closes it.
func wantRetry(t *testing.T, s *ripostetest.Server, id string) *ripostev1.Instance {
	t.Helper()
	i := inState(t, s, id, "ERROR")
	wantError(t, i)
	if _, err := s.Instances.RetryNow(patient(t), &ripostev1.InstancesServiceRetryNowRequest{Id: id}); err != nil {
		t.Fatalf("retrying: %v", err)
	}
	i = closed(t, s, id)
	if state(i) != "SUCCESS" {
		t.Errorf("the second attempt left the instance in %s: %v", state(i), i.GetOutcome())
	}
	wantAttempts(t, i, 2)
	return i
}

func wantError(t *testing.T, i *ripostev1.Instance) {
	t.Helper()
	wantOpen(t, i, "ERROR")
	wantAttempts(t, i, 1)
	w := i.GetWebhookInstance()
	if next := i.GetNextAttemptAt(); next == nil || !next.AsTime().After(w.GetUpdatedAt().AsTime()) {
		t.Errorf("nextAttemptAt is %v, want a time after %v", next, w.GetUpdatedAt().AsTime())
	}
	if at := w.GetLastAttemptedAt(); at == nil || at.AsTime().Before(w.GetCreatedAt().AsTime()) {
		t.Errorf("lastAttemptedAt is %v", at)
	}
}

// TestNoAnswer has the failures of PROTOCOL.md section 3's last row that have
// no status.
func TestNoAnswer(t *testing.T) {
	s := never.use(t)
	t.Parallel()
	for _, tt := range []struct {
		name   string
		url    func(*testing.T) string
		phase  string
		reason string // not checked when empty
	}{
		{"connection refused", func(*testing.T) string { return "http://127.0.0.1:1" }, "connect", "REFUSED"},
		{"connection closed before an answer", hangingUp, "response", "CUT_OFF"},
		{"connection closed within the body", cuttingOff, "response", "CUT_OFF"},
		{"TLS failure: unknown issuer", selfSigned, "tls", "UNKNOWN_AUTHORITY"},
		{"TLS failure: no TLS", noTLS, "tls", "HANDSHAKE"},
		// A machine without DNS fails otherwise than by an answer (RFC 6761).
		{"DNS failure", func(*testing.T) string { return "http://receiver.invalid" }, "dns", ""},
	} {
		t.Run(tt.name+": ERROR; retry", func(t *testing.T) {
			t.Parallel()
			i := inState(t, s, ask(t, s, newWebhook(t, s, tt.url(t)), sourceApprovalStep), "ERROR")
			wantError(t, i)
			a := i.GetAttempts()[0]
			if a.GetError().GetPhase() != tt.phase || tt.reason != "" && a.GetError().GetReason() != tt.reason {
				t.Errorf("the attempt's error is %v, want %s in phase %s", a.GetError(), tt.reason, tt.phase)
			}
		})
	}
}

// hangingUp closes each connection instead of answering.
func hangingUp(t *testing.T) string {
	return httpServer(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }).URL
}

// cuttingOff closes each connection after a whole document of a longer body.
func cuttingOff(t *testing.T) string {
	return httpServer(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(len(approve)+1))
		_, _ = io.WriteString(w, approve)
		panic(http.ErrAbortHandler)
	}).URL
}

func httpServer(t *testing.T, h http.HandlerFunc) *httptest.Server {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

func selfSigned(t *testing.T) string {
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.URL
}

func noTLS(t *testing.T) string {
	return strings.Replace(httpServer(t, http.NotFound).URL, "http:", "https:", 1)
}

// TestTimeout is with a shorter one; that it is 30 s is a test of package outbound.
func TestTimeout(t *testing.T) {
	t.Parallel()
	s := ripostetest.Start(t, retryAfter(time.Hour), func(c *server.Config) { c.AttemptTimeout = 100 * time.Millisecond })
	r := newReceiver(t, always(ripostetest.Reply{Hang: true}))
	i := inState(t, s, askAt(t, s, r, sourceApprovalStep), "ERROR")
	wantError(t, i)
	if got := i.GetAttempts()[0].GetError().GetReason(); got != "TIMEOUT" {
		t.Errorf("the attempt's error is %s, want TIMEOUT", got)
	}
}

// TestReceiverHangs: an attempt that nobody answers holds up neither a
// callback nor a cancellation.
func TestReceiverHangs(t *testing.T) {
	s := atOnce.use(t)
	t.Parallel()
	hang := always(ripostetest.Reply{Hang: true})
	t.Run("timeout: RUNNING meanwhile", func(t *testing.T) {
		t.Parallel()
		r := newReceiver(t, hang)
		id := askAt(t, s, r, sourceApprovalStep)
		delivered(t, r, id, 1)
		i := get(t, s, id)
		wantOpen(t, i, "RUNNING")
		if n := i.GetWebhookInstance().GetAttempts(); n != 1 {
			t.Errorf("attempts is %d, want 1: those begun count", n)
		}
	})
	t.Run("timeout: a callback counts meanwhile", func(t *testing.T) {
		t.Parallel()
		r := newReceiver(t, hang)
		id := askAt(t, s, r, sourceApprovalStep)
		callBack(t, delivered(t, r, id, 1).Envelope.CallbackURL, deny).ok(t)
		wantAnswer(t, get(t, s, id), "DENIED", "CALLBACK", deny)
	})
	t.Run("timeout: a cancellation counts meanwhile", func(t *testing.T) {
		t.Parallel()
		r := newReceiver(t, hang)
		id := askAt(t, s, r, sourceApprovalStep)
		d := delivered(t, r, id, 1)
		if _, err := s.Instances.Cancel(patient(t), &ripostev1.InstancesServiceCancelRequest{Id: id}); err != nil {
			t.Fatal(err)
		}
		wantFailure(t, get(t, s, id), "CANCELED")
		callBack(t, d.Envelope.CallbackURL, deny).refused(t, 400, "INSTANCE_CLOSED")
	})
}

// gap is how long after its failure an instance's next attempt is due.
func gap(i *ripostev1.Instance) time.Duration {
	return i.GetNextAttemptAt().AsTime().Sub(i.GetWebhookInstance().GetUpdatedAt().AsTime())
}

func between(d, lo, hi time.Duration) bool {
	return d >= lo-time.Microsecond && d <= hi // times are cut to whole microseconds
}

// TestRetryDelay reads the delays off nextAttemptAt.
func TestRetryDelay(t *testing.T) {
	t.Parallel()
	const lo, hi = 100 * time.Second, 200 * time.Second
	s := ripostetest.Start(t, func(c *server.Config) { c.RetryMinDelay, c.RetryMaxDelay = lo, hi })
	at := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(http.TimeFormat) }
	for _, tt := range []struct {
		name       string
		status     int
		retryAfter string
		lo, hi     time.Duration
	}{
		{"fast phase/uniform from the shortest to the longest delay", 500, "", lo, hi},
		{"Retry-After/a lower bound on 429", 429, "199", 199 * time.Second, hi},
		{"Retry-After/a lower bound on 503", 503, "199", 199 * time.Second, hi},
		{"Retry-After/a date", 503, at(day), hi, hi},
		{"Retry-After/capped by the phase's longest delay", 429, "3600", hi, hi},
		{"Retry-After/no upper bound", 503, "1", lo, hi},
		{"Retry-After/a past date", 503, at(-time.Hour), lo, hi},
		{"Retry-After/junk", 503, "soon", lo, hi},
		{"Retry-After/not on other statuses", 500, "3600", lo, hi - time.Microsecond},
		{"Retry-After/not on redirects", 301, "3600", lo, hi - time.Microsecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newReceiver(t, always(ripostetest.Reply{Status: tt.status, Header: http.Header{"Retry-After": {tt.retryAfter}}}))
			i := inState(t, s, askAt(t, s, r, sourceApprovalStep), "ERROR")
			if d := gap(i); !between(d, tt.lo, tt.hi) {
				t.Errorf("the next attempt is due after %v, want %v to %v", d, tt.lo, tt.hi)
			}
		})
	}
	t.Run("fast phase/drawn anew for each attempt", func(t *testing.T) {
		t.Parallel()
		r := newReceiver(t, always(ripostetest.Reply{Status: 500}))
		webhook := newWebhook(t, s, r.URL)
		seen := map[time.Duration]bool{}
		for range 5 {
			seen[gap(inState(t, s, ask(t, s, webhook, sourceApprovalStep), "ERROR"))] = true
		}
		if len(seen) != 5 {
			t.Errorf("five delays have only %d values", len(seen))
		}
	})
}

func TestFastPhaseByDefault(t *testing.T) {
	t.Parallel()
	c := server.Default()
	if c.RetryMinDelay != 3*time.Second || c.RetryMaxDelay != 15*time.Second {
		t.Errorf("the default delays are %v to %v, C1's are 3 to 15 s", c.RetryMinDelay, c.RetryMaxDelay)
	}
}

// TestRetryPolicy exhausts the fast phase's 50 attempts.
func TestRetryPolicy(t *testing.T) {
	s := atOnce.use(t)
	t.Parallel()
	const fastAttempts = 50
	failing := always(ripostetest.Reply{Status: 503, Header: http.Header{"Retry-After": {"7200"}}})

	t.Run("FAST: FATAL_ERROR, reason ATTEMPTS_EXHAUSTED after 50 attempts", func(t *testing.T) {
		t.Parallel()
		r := newReceiver(t, failing)
		webhook := newWebhook(t, s, r.URL)
		settle(t, s, webhook, &ripostev1.WebhookSettings{RetryPolicy: ripostev1.RetryPolicy_RETRY_POLICY_FAST.Enum()})
		i := closed(t, s, ask(t, s, webhook, sourceApprovalStep))
		wantFailure(t, i, "ATTEMPTS_EXHAUSTED")
		wantAttempts(t, i, fastAttempts)
		if n := len(r.Deliveries("")); n != fastAttempts {
			t.Errorf("the receiver got %d attempts, want %d", n, fastAttempts)
		}
		callBack(t, r.Deliveries("")[0].Envelope.CallbackURL, approve).refused(t, 400, "INSTANCE_CLOSED")
	})

	t.Run("both by default: then a slow phase from 1 minute to 1 hour", func(t *testing.T) {
		t.Parallel()
		id := askAt(t, s, newReceiver(t, inTurn(append(make500s(fastAttempts+8), ripostetest.Reply{
			Status: 503, Header: http.Header{"Retry-After": {"7200"}}})...)), sourceApprovalStep)
		longest := 2 * time.Minute
		for n := int32(fastAttempts); n < fastAttempts+8; n++ {
			i := waitFailed(t, s, id, n)
			if d := gap(i); !between(d, time.Minute, longest) {
				t.Errorf("after attempt %d the next is due after %v, want 1m to %v", n, d, longest)
			}
			longest = min(2*longest, time.Hour)
			if _, err := s.Instances.RetryNow(patient(t), &ripostev1.InstancesServiceRetryNowRequest{Id: id}); err != nil {
				t.Fatal(err)
			}
		}
		waitFailed(t, s, id, fastAttempts+8)
		if _, err := s.Instances.RetryNow(patient(t), &ripostev1.InstancesServiceRetryNowRequest{Id: id}); err != nil {
			t.Fatal(err)
		}
		if d := gap(waitFailed(t, s, id, fastAttempts+9)); d != time.Hour {
			t.Errorf("with a Retry-After of 2 hours the next attempt is due after %v, want the phase's longest delay, 1h", d)
		}
	})
}

func make500s(n int) []ripostetest.Reply {
	replies := make([]ripostetest.Reply, n)
	for i := range replies {
		replies[i].Status = 500
	}
	return replies
}

// waitFailed waits until the n-th attempt has failed.
func waitFailed(t *testing.T, s *ripostetest.Server, id string, n int32) *ripostev1.Instance {
	t.Helper()
	return until(t, s, id, func(i *ripostev1.Instance) bool {
		return state(i) == "ERROR" && i.GetWebhookInstance().GetAttempts() == n
	})
}
