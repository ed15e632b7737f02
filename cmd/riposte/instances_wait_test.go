package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	webhooksv1 "github.com/riposte-dev/riposte/gen/c1/api/webhooks/v1"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
	"github.com/riposte-dev/riposte/gen/riposte/v1/ripostev1connect"
	"github.com/riposte-dev/riposte/ripostetest"
	"github.com/riposte-dev/riposte/server"
)

// gate is a reverse proxy that tells of each call that waits and whose server
// can be changed.
type gate struct {
	target  atomic.Pointer[url.URL]
	waits   chan struct{} // one for each Wait that comes in
	creates chan struct{}
	lose    atomic.Bool // the next reply
}

// next waits for one of what a channel tells.
func next[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(20 * time.Second):
		t.Fatal("it did not come")
		panic("unreachable")
	}
}

func newGate(base string) *gate {
	g := &gate{waits: make(chan struct{}, 16), creates: make(chan struct{}, 16)}
	g.to(base)
	return g
}

func (g *gate) to(base string) {
	u, err := url.Parse(base)
	if err != nil {
		panic(err) // a test server's own URL
	}
	g.target.Store(u)
}

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	calls := map[string]chan struct{}{ripostev1connect.InstancesServiceWaitProcedure: g.waits, ripostev1connect.InstancesServiceCreateProcedure: g.creates}
	select {
	case calls[r.URL.Path] <- struct{}{}: // a nil one never takes any
	default:
	}
	proxy := httputil.ReverseProxy{
		Rewrite:      func(p *httputil.ProxyRequest) { p.SetURL(g.target.Load()) },
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}
	if g.lose.CompareAndSwap(true, false) {
		proxy.ServeHTTP(httptest.NewRecorder(), r)
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	proxy.ServeHTTP(w, r)
}

func createWebhook(t *testing.T, s *ripostetest.Server, address string) string {
	t.Helper()
	res, err := s.Webhooks.Create(t.Context(), &webhooksv1.WebhooksServiceCreateRequest{DisplayName: "w", Url: address})
	if err != nil {
		t.Fatal(err)
	}
	return res.GetWebhook().GetId()
}

// TestWaitOutlivesARestart restarts the server below a proxy while a command
// waits. The answer comes to the server that is started second.
func TestWaitOutlivesARestart(t *testing.T) {
	receiver, err := ripostetest.NewReceiver(func(ripostetest.Delivery) ripostetest.Reply {
		return ripostetest.Reply{Status: http.StatusAccepted}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(receiver.Close)
	data := t.TempDir()
	onData := func(c *server.Config) { c.Data = data }
	first := ripostetest.Start(t, onData)
	g := newGate(first.BaseURL())
	front := httptest.NewServer(g)
	t.Cleanup(front.Close)
	created, err := first.Instances.Create(t.Context(), &ripostev1.InstancesServiceCreateRequest{
		WebhookId: createWebhook(t, first, receiver.URL),
		Source: &webhooksv1.WebhookSource{Source: &webhooksv1.WebhookSource_ApprovalStep{
			ApprovalStep: &webhooksv1.WebhookSourceApprovalStep{TicketId: "T-1"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	id := created.GetInstance().GetWebhookInstance().GetId()

	var out bytes.Buffer
	code := make(chan int)
	go func() {
		code <- runCommand(t.Context(), &out, "", "instances", "wait", id, "--timeout", "30s", "--server", front.URL, "--api-key", first.APIKey)
	}()
	next(t, g.waits) // the first look, which must be answered
	next(t, g.waits)
	if err := receiver.Wait(t.Context(), func() bool { return len(receiver.Deliveries(id)) == 1 }); err != nil {
		t.Fatal(err)
	}
	first.Stop()
	second := ripostetest.Start(t, onData)
	g.to(second.BaseURL())
	if _, err := second.Instances.Answer(t.Context(), &ripostev1.InstancesServiceAnswerRequest{Id: id, Document: []byte(`{"version":"v1","deny":{}}`)}); err != nil {
		t.Fatal(err)
	}
	if c := next(t, code); c != 0 || !strings.Contains(out.String(), "DENIED (operator)") {
		t.Errorf("exit code %d: %s", c, out.String())
	}
}

func TestWaitEndsWithItsTimeout(t *testing.T) {
	receiver, err := ripostetest.NewReceiver(func(ripostetest.Delivery) ripostetest.Reply { return ripostetest.Reply{Hang: true} })
	if err != nil {
		t.Fatal(err)
	}
	s := ripostetest.Start(t)
	t.Cleanup(receiver.Close) // before the server, which would wait for the attempt
	webhook := createWebhook(t, s, receiver.URL)
	var out bytes.Buffer
	began := time.Now()
	code := runCommand(t.Context(), &out, "", "webhooks", "test", webhook, "--wait", "--timeout", "300ms", "--server", s.BaseURL(), "--api-key", s.APIKey)
	if code != exitOpen || !strings.Contains(out.String(), "is still RUNNING after 300ms") {
		t.Errorf("exit code %d: %s", code, out.String())
	}
	if took := time.Since(began); took < 300*time.Millisecond || took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
}
