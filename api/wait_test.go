package api_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/api"
)

func isClosed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

func TestWaitersWakeWhenTheirInstanceIsDecided(t *testing.T) {
	w := api.NewWaiters()
	first, _ := w.Add("a")
	second, cancelSecond := w.Add("a")
	_, cancelThird := w.Add("a")
	other, cancelOther := w.Add("b")
	cancelThird()

	w.Changed(riposte.Instance{ID: "a", Version: 2})
	if isClosed(first) {
		t.Error("woken by a change that decided nothing")
	}
	w.Changed(riposte.Instance{ID: "a", Outcome: &riposte.Outcome{}})
	if !isClosed(first) || !isClosed(second) {
		t.Error("not woken by the outcome")
	}
	if isClosed(other) {
		t.Error("woken, but waits for another")
	}
	w.Changed(riposte.Instance{ID: "a", Outcome: &riposte.Outcome{}}) // must not close twice
	cancelSecond()
	cancelOther()
	cancelOther()
	if w.Len() != 0 {
		t.Errorf("%d are left", w.Len())
	}
}

func TestWaitersWakeWhenAnotherNodeHasDecided(t *testing.T) {
	w := api.NewWaiters()
	a, _ := w.Add("a")
	b, _ := w.Add("b")
	w.Changed(riposte.Instance{ID: "a"})
	if !isClosed(a) || isClosed(b) {
		t.Error("another node's change did not wake who waits for it, and nobody else")
	}
}

// inProcess is what the tests of waiting need: time stands still for them.
type inProcess struct {
	t       *testing.T
	api     *api.Server
	store   riposte.Store
	webhook string
	waiting string // an instance's id
}

func newInProcess(t *testing.T) inProcess {
	return newInProcessOf(t, newStore(t))
}

func newInProcessOf(t *testing.T, store riposte.Store) inProcess {
	s := newAPIOf(t, store)
	p := inProcess{t: t, api: s, store: store}
	var hook struct{ Webhook struct{ ID string } }
	p.do("POST /api/v1/webhooks", `{"displayName":"x","url":"https://a.example"}`, &hook)
	p.webhook = hook.Webhook.ID
	p.waiting = p.create()
	return p
}

// create returns the id of a new instance.
func (p inProcess) create() string {
	p.t.Helper()
	var asked struct {
		Instance struct{ WebhookInstance struct{ ID string } }
	}
	p.do("POST /api/v1/webhooks/"+p.webhook+"/instances", `{"source":{"approvalStep":{"ticketId":"t"}}}`, &asked)
	return asked.Instance.WebhookInstance.ID
}

func (p inProcess) do(rest, body string, into any) {
	p.t.Helper()
	w := p.serve(p.t.Context(), rest, body)
	if w.Code != http.StatusOK {
		p.t.Fatalf("%s: HTTP %d, %s", rest, w.Code, w.Body)
	}
	if err := json.Unmarshal(w.Body.Bytes(), into); err != nil {
		p.t.Fatal(err)
	}
}

func (p inProcess) serve(ctx context.Context, rest, body string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	p.api.ServeHTTP(w, newRequest(ctx, rest, body))
	return w
}

// wait waits by REST and returns how long that took and the state it gave.
func (p inProcess) wait(query string) (time.Duration, string) {
	p.t.Helper()
	var got struct {
		Instance struct{ WebhookInstance struct{ State string } }
	}
	start := time.Now()
	p.do("GET /api/v1/instances/"+p.waiting+":wait"+query, "", &got)
	return time.Since(start), got.Instance.WebhookInstance.State
}

func TestWaitEndsAtItsTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newInProcess(t)
		for query, want := range map[string]time.Duration{
			"": 30 * time.Second, "?timeout=": 30 * time.Second, "?timeout=0s": 0, "?timeout=1.5s": 1500 * time.Millisecond,
			"?timeout=60s": time.Minute, "?timeout=3600s": time.Minute, "?timeout=315576000000s": time.Minute,
		} {
			if took, state := p.wait(query); took != want || state != "WEBHOOK_STATE_PENDING" {
				t.Errorf("%q took %s and gave %s, want %s", query, took, state, want)
			}
		}
	})
}

func TestWaitEndsWithTheOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newInProcess(t)
		go func() {
			time.Sleep(7 * time.Second) // of the bubble's time
			p.serve(t.Context(), "POST /api/v1/instances/"+p.waiting+":cancel", `{}`)
		}()
		if took, state := p.wait(""); took != 7*time.Second || state != "WEBHOOK_STATE_FATAL_ERROR" {
			t.Errorf("took %s and gave %s, want 7s and FATAL_ERROR", took, state)
		}
		if took, _ := p.wait(""); took != 0 {
			t.Errorf("waiting for what is closed took %s", took)
		}
	})
}

func TestWaitEndsWhenTheServerStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newInProcess(t)
		time.AfterFunc(time.Second, p.api.StopWaiting)
		if took, state := p.wait(""); took != time.Second || state != "WEBHOOK_STATE_PENDING" {
			t.Errorf("took %s and gave %s, want 1s and PENDING", took, state)
		}
		if w := p.serve(t.Context(), "GET /readyz", ""); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") != "1" {
			t.Errorf("readyz: HTTP %d, %v", w.Code, w.Header())
		}
	})
}

func TestWaitEndsWithItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newInProcess(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if w := p.serve(ctx, "GET /api/v1/instances/"+p.waiting+":wait", ""); w.Code != http.StatusGatewayTimeout || time.Since(start) != time.Second {
			t.Errorf("HTTP %d after %s, want 504 after 1s", w.Code, time.Since(start))
		}
	})
}
