package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"

	"github.com/riposte-dev/riposte/client"
	"github.com/riposte-dev/riposte/ripostetest"
)

func TestAskReturnsEachKind(t *testing.T) {
	const reassign = `{"version":"v1","reassign":{"comment":"not me","newStepUserIds":["u1","u2"]}}`
	const replace = `{"version":"v1","replace_policy":{"policy_steps":[{"approval":{"n": 1.0}}],"policySteps":null}}`
	const contextual = `{"version":"v1", "Context":1, "context":{"id": 12345678901234567890}}`
	receiver := startReceiver(t, map[string]ripostetest.Reply{
		"/approve": {Body: approval}, "/deny": {Body: `{"version":"v1","deny":{"comment":"no"}}`},
		"/reassign": {Body: reassign}, "/replace": {Body: replace}, "/complete": {Body: `{"version":"v1","complete":{}}`},
		"/errored": {Body: `{"version":"v1","errored":{"comment":"full"}}`}, "/context": {Body: contextual},
		"/delivered": {}, "/gone": {Status: http.StatusGone},
	})
	s := ripostetest.Start(t)
	c := connectTo(t, s.BaseURL())
	for _, tt := range []struct {
		path    string
		source  client.Source
		kind    client.Kind
		comment string
	}{
		{"/approve", client.ApprovalStep("T"), client.Approved, "fine"},
		{"/deny", client.ApprovalStep("T"), client.Denied, "no"},
		{"/reassign", client.ApprovalStep("T"), client.Reassigned, "not me"},
		{"/replace", client.ApprovalStep("T"), client.PolicyReplaced, ""},
		{"/complete", client.ProvisionStep("T"), client.Completed, ""},
		{"/errored", client.ProvisionStep("T"), client.Errored, "full"},
		{"/context", client.WorkflowStep(1<<60, "step"), client.Context, ""},
		{"/delivered", client.Test(), client.Delivered, ""},
		{"/delivered", client.PolicyPostAction("T"), client.Delivered, ""},
		{"/gone", client.ApprovalStep("T"), client.Failed, ""},
	} {
		hook := newWebhook(t, s.Webhooks, receiver.URL+tt.path)
		o, err := c.Ask(patient(t), hook, tt.source, nil, client.WithLabels(map[string]string{"team": "red"}))
		if err != nil {
			t.Fatalf("%s: %v", tt.path, err)
		}
		if o.Kind != tt.kind || o.Comment != tt.comment || o.Source != tt.source || o.WebhookID != hook || o.InstanceID == "" ||
			o.Labels["team"] != "red" || o.Sequence < 1 || o.Attempts != 1 || time.Since(o.DecidedAt) > patience {
			t.Errorf("%s: %+v", tt.path, o)
		}
		if failed := tt.kind == client.Failed; failed != (o.Failure.Reason == client.Gone) || failed != (o.Via == client.ViaNone) ||
			failed != (o.State == "FATAL_ERROR") || !failed && o.State != "SUCCESS" {
			t.Errorf("%s: %+v", tt.path, o)
		}
		if got := o.NewStepUserIDs(); (got != nil) != (tt.path == "/reassign") || got != nil && !cmp.Equal(got, []string{"u1", "u2"}) {
			t.Errorf("%s is reassigned to %q", tt.path, got)
		}
		if got := o.PolicySteps(); (got != nil) != (tt.path == "/replace") || got != nil && string(got[0]) != `{"approval":{"n": 1.0}}` {
			t.Errorf("%s has the policy %s", tt.path, got)
		}
		if got := o.Context(); (got != nil) != (tt.path == "/context") || got != nil && string(got) != `{"id": 12345678901234567890}` {
			t.Errorf("%s has the context %s", tt.path, got)
		}
		if want := map[string]string{"/approve": approval, "/context": contextual}[tt.path]; want != "" && string(o.Document) != want {
			t.Errorf("%s: the document is %s", tt.path, o.Document)
		}
	}
}

func TestAskSendsThePayload(t *testing.T) {
	receiver := approving(t)
	s := ripostetest.Start(t)
	c := connectTo(t, s.BaseURL())
	hook := newWebhook(t, s.Webhooks, receiver.URL+"/")
	type question struct {
		Who string `json:"who"`
	}
	var nobody *question
	for n, tt := range []struct {
		payload any
		want    string // the members, after the type
	}{
		{nil, ""}, {nobody, ""}, {[]byte(nil), ""}, {map[string]any(nil), ""},
		{json.RawMessage(`{"b": 1.0,  "a":12345678901234567890}`), `"b": 1.0,  "a":12345678901234567890`},
		{[]byte(`{ "a" : "<é>" }`), `"a" : "<é>" `},
		{question{"me"}, `"who":"me"`}, {map[string]int{"n": 1}, `"n":1`},
	} {
		if _, err := c.Ask(patient(t), hook, client.ApprovalStep("T"), tt.payload); err != nil {
			t.Fatalf("%v: %v", tt.payload, err)
		}
		got := string(delivered(t, receiver, n+1).Envelope.Payload)
		if !strings.Contains(got, strings.TrimSpace(tt.want)) || tt.want == "" && strings.Count(got, ":") != 1 {
			t.Errorf("%v became %s", tt.payload, got)
		}
	}
	for _, payload := range []any{"{}", 1, []int{1}, json.RawMessage(`null`), json.RawMessage(`{`), []byte(` `), json.RawMessage(`"{}"`), func() {}} {
		if _, err := c.Ask(patient(t), hook, client.ApprovalStep("T"), payload); err == nil || !strings.Contains(err.Error(), "payload") {
			t.Errorf("%v: %v", payload, err)
		}
	}
}

// TestAskOutlivesAServerThatIsKilled in the middle of the wait, while it is away, and
// before the question.
func TestAskOutlivesAServerThatIsKilled(t *testing.T) {
	receiver := approving(t)
	p := startProcess(t)
	hook := newWebhook(t, p.Webhooks, receiver.URL+"/later")
	w, seen := newWitness(t)
	c := connectTo(t, p.url(), seen)

	outcome := later(func() (client.Outcome, error) { return c.Ask(patient(t), hook, client.ApprovalStep("T"), nil) })
	first := delivered(t, receiver, 1)
	w.call(t, "Wait") // a question may be out before its create is answered
	p.kill()
	w.failure(t, "Wait")
	second := later(func() (client.Outcome, error) { return c.Ask(patient(t), hook, client.ApprovalStep("U"), nil) })
	w.failure(t, "Create")
	w.failure(t, "Create")
	p.start()
	callBack(t, first, approval)
	if o := outcome(t); o.Kind != client.Approved || o.InstanceID != first.Envelope.WebhookID || o.Via != client.ViaCallback || string(o.Document) != approval {
		t.Errorf("got %+v", o)
	}
	if err := receiver.Wait(patient(t), func() bool { return callbackOf(receiver, first) != nil }); err != nil {
		t.Fatal("the second question never came")
	}
	callBack(t, *callbackOf(receiver, first), approval)
	if o := second(t); o.Kind != client.Approved || o.Source.TicketID != "U" {
		t.Errorf("got %+v", o)
	}
}

// callbackOf is a delivery of another instance than that of d.
func callbackOf(r *ripostetest.Receiver, d ripostetest.Delivery) *ripostetest.Delivery {
	for _, other := range r.Deliveries("") {
		if other.Envelope.WebhookID != d.Envelope.WebhookID {
			return &other
		}
	}
	return nil
}

func TestAskOutlivesAServerThatIsStopped(t *testing.T) {
	receiver := approving(t)
	s := ripostetest.Start(t)
	hook := newWebhook(t, s.Webhooks, receiver.URL+"/later")
	w, seen := newWitness(t)
	c := connectTo(t, s.BaseURL(), seen)
	outcome := later(func() (client.Outcome, error) { return c.Ask(patient(t), hook, client.ApprovalStep("T"), nil) })
	d := delivered(t, receiver, 1)
	s.Stop()
	w.failure(t, "Wait")
	restarted(t, s)
	callBack(t, d, approval)
	if o := outcome(t); o.Kind != client.Approved {
		t.Errorf("got %+v", o)
	}
}

// TestAskAgainFindsTheInstance is what a caller does who died while it waited.
func TestAskAgainFindsTheInstance(t *testing.T) {
	receiver := approving(t)
	s := ripostetest.Start(t)
	hook := newWebhook(t, s.Webhooks, receiver.URL+"/later")
	c := connectTo(t, s.BaseURL())
	id := client.WithRequestID("order-17")
	ctx, die := context.WithCancel(patient(t))
	failed := later(func() (error, error) {
		_, err := c.Ask(ctx, hook, client.ApprovalStep("T"), map[string]int{"n": 1}, id)
		return err, nil
	})
	d := delivered(t, receiver, 1)
	die()
	if err := failed(t); !errors.Is(err, context.Canceled) {
		t.Errorf("the first one ended with %v", err)
	}
	callBack(t, d, approval)
	for range 2 {
		o, err := c.Ask(patient(t), hook, client.ApprovalStep("T"), map[string]int{"n": 1}, id)
		if err != nil || o.InstanceID != d.Envelope.WebhookID || o.Kind != client.Approved {
			t.Errorf("the second one got %+v, %v", o, err)
		}
	}
	_, err := c.Ask(patient(t), hook, client.ApprovalStep("T"), map[string]int{"n": 2}, id)
	if e, ok := errors.AsType[*client.Error](err); !ok || e.Reason != "REQUEST_ID_REUSED" || e.Code != connect.CodeAlreadyExists {
		t.Errorf("another question with the same id: %v", err)
	}
	if _, err := c.Create(patient(t), hook, client.ApprovalStep("T"), nil, client.WithRequestID("")); err == nil {
		t.Error("an empty request id is taken")
	}
	if n := len(receiver.Deliveries("")); n != 1 {
		t.Errorf("%d deliveries", n)
	}
}

// faulty is a proxy in front of a server that spoils the answers to some calls, by
// their number from 1.
func faulty(t *testing.T, base string, spoil func(n int, w http.ResponseWriter, r *http.Request, pass http.HandlerFunc)) string {
	t.Helper()
	to, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(to)
	proxy.FlushInterval = -1
	transport := &http.Transport{}
	proxy.Transport = transport
	var n atomic.Int64
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		spoil(int(n.Add(1)), w, r, proxy.ServeHTTP)
	}))
	t.Cleanup(func() {
		front.CloseClientConnections()
		front.Close()
		transport.CloseIdleConnections()
	})
	return front.URL
}

// TestAskGoesOnWhereAnAnswerIsLost: what was committed is not asked twice.
func TestAskGoesOnWhereAnAnswerIsLost(t *testing.T) {
	receiver := approving(t)
	s := ripostetest.Start(t)
	hook := newWebhook(t, s.Webhooks, receiver.URL+"/")
	var paused time.Time
	front := faulty(t, s.BaseURL(), func(n int, w http.ResponseWriter, r *http.Request, pass http.HandlerFunc) {
		lost := httptest.NewRecorder()
		switch n {
		case 1: // committed, and the proxy didn't wait for it
			pass(lost, r)
			http.Error(w, "gateway timeout", http.StatusGatewayTimeout)
		case 2: // committed, and the server said that it doesn't know
			pass(lost, r)
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusGatewayTimeout)
			_, _ = w.Write([]byte(`{"code":"deadline_exceeded"}`))
		case 3:
			paused = time.Now()
			w.Header().Set("Retry-After", "1")
			http.Error(w, "busy", http.StatusServiceUnavailable)
		case 4: // committed, and the answer broke off
			if time.Since(paused) < time.Second {
				t.Errorf("called again %s after Retry-After: 1", time.Since(paused))
			}
			pass(lost, r)
			w.Header().Set("Content-Type", "application/proto")
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write(lost.Body.Bytes())
			panic(http.ErrAbortHandler)
		case 6: // the wait
			panic(http.ErrAbortHandler)
		default:
			pass(w, r)
		}
	})
	o, err := connectTo(t, front).Ask(patient(t), hook, client.ApprovalStep("T"), nil)
	if err != nil || o.Kind != client.Approved {
		t.Fatalf("%+v, %v", o, err)
	}
	if got := receiver.Deliveries(""); len(got) != 1 || got[0].Envelope.WebhookID != o.InstanceID {
		t.Errorf("%d deliveries", len(got))
	}
}

func TestAskEndsWithWhatIsIncurable(t *testing.T) {
	receiver := approving(t)
	s := ripostetest.Start(t)
	hook := newWebhook(t, s.Webhooks, receiver.URL+"/")
	c := connectTo(t, s.BaseURL())
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	defer secure.Close()
	moved := httptest.NewServer(http.RedirectHandler(s.BaseURL(), http.StatusTemporaryRedirect))
	defer moved.Close()
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>hello</html>")) }))
	defer page.Close()
	ask := func(c *client.Client, hook string, source client.Source, options ...client.AskOption) error {
		_, err := c.Ask(patient(t), hook, source, nil, options...)
		return err
	}
	approve := client.ApprovalStep("T")
	for _, tt := range []struct {
		name         string
		err          error
		code         connect.Code
		reason, text string
	}{
		{"no such webhook", ask(c, "nothing", approve), connect.CodeNotFound, "WEBHOOK_NOT_FOUND", "creating the instance: there is no webhook with this id"},
		{"a bad ticket", ask(c, hook, client.ApprovalStep("")), connect.CodeInvalidArgument, "INVALID_ARGUMENT", "source.approvalStep.ticketId must be set"},
		{"no source", ask(c, hook, client.Source{}), connect.CodeInvalidArgument, "INVALID_ARGUMENT", "source must be exactly one of"},
		{"a short timeout", ask(c, hook, approve, client.WithCallbackTimeout(time.Hour)), connect.CodeInvalidArgument, "INVALID_ARGUMENT", "callbackTimeout"},
		{"a wrong key", ask(connectTo(t, s.BaseURL(), client.WithAPIKey("another-api-key-0123")), hook, approve), connect.CodeUnauthenticated, "BAD_CREDENTIALS", "the API key is not known"},
		{"a certificate of nobody's", ask(connectTo(t, secure.URL), hook, approve), connect.CodeUnavailable, "", "certificate"},
		{"http where https is spoken", ask(connectTo(t, strings.Replace(moved.URL, "http:", "https:", 1)), hook, approve), connect.CodeUnavailable, "", "HTTP response to HTTPS client"},
		{"a redirect", ask(connectTo(t, moved.URL), hook, approve), connect.CodeUnavailable, "", "it redirects to http://127.0.0.1"},
		{"another server", ask(connectTo(t, page.URL), hook, approve), connect.CodeUnknown, "", "content-type"},
	} {
		e, ok := errors.AsType[*client.Error](tt.err)
		if !ok || e.Code != tt.code || e.Reason != tt.reason || !strings.Contains(tt.err.Error(), tt.text) {
			t.Errorf("%s: %v (%+v)", tt.name, tt.err, e)
		}
		if connect.CodeOf(tt.err) != tt.code {
			t.Errorf("%s: the connect error can't be reached", tt.name)
		}
	}
}

// TestAskSaysWhatItWaitedFor when its context ends.
func TestAskSaysWhatItWaitedFor(t *testing.T) {
	receiver := approving(t)
	s := ripostetest.Start(t)
	hook := newWebhook(t, s.Webhooks, receiver.URL+"/later")
	w, seen := newWitness(t)
	c := connectTo(t, s.BaseURL(), seen)
	id, err := c.Create(patient(t), hook, client.ApprovalStep("T"), nil)
	if err != nil {
		t.Fatal(err)
	}
	s.Stop()
	ctx, cancel := context.WithCancel(patient(t))
	failed := later(func() (error, error) {
		_, err := c.Wait(ctx, id)
		return err, nil
	})
	w.failure(t, "Wait")
	w.failure(t, "Wait")
	cancel()
	if err := failed(t); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), id) || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("got %v", err)
	}
}
