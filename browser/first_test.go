package browser

import (
	"net/http"
	"strings"
	"sync"
	"testing"

	webhooksv1 "github.com/riposte-dev/riposte/gen/c1/api/webhooks/v1"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
	"github.com/riposte-dev/riposte/ripostetest"
)

// listening starts a receiver that answers as it is told to. The gates that its
// answers wait at are opened at the end.
func listening(t *testing.T, reply func(ripostetest.Delivery) ripostetest.Reply, gates ...gate) *ripostetest.Receiver {
	t.Helper()
	r, err := ripostetest.NewReceiver(reply)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	for _, g := range gates {
		t.Cleanup(g.open)
	}
	return r
}

// admin signs an admin in.
func admin(t *testing.T, s *ripostetest.Server) *Tab {
	t.Helper()
	return Visitor{s.BaseURL(), s.APIKey}.Arrive(t, chromium)
}

// gate is what a receiver holds its answers back by.
type gate struct {
	opened chan struct{}
	open   func()
}

func newGate() gate {
	g := gate{opened: make(chan struct{})}
	g.open = sync.OnceFunc(func() { close(g.opened) })
	return g
}

// then answers once the gate is open.
func (g gate) then(reply func(ripostetest.Delivery) ripostetest.Reply) func(ripostetest.Delivery) ripostetest.Reply {
	return func(d ripostetest.Delivery) ripostetest.Reply {
		<-g.opened
		return reply(d)
	}
}

// problemAt is what the page says is wrong with the field with the label; "" for
// nothing.
func (t *Tab) problemAt(label string) string {
	t.tb.Helper()
	text, err := callOn[string](t, t.find("document", fillable, label), `function() {
		if (this.getAttribute('aria-invalid') !== 'true') return ''
		return document.getElementById(this.getAttribute('aria-describedby')).innerText
	}`)
	if err != nil {
		t.fail("reading what is wrong with %q: %v", label, err)
	}
	return text
}

// state is the word at the head of an instance's page.
const state = `document.querySelector('.head .state').innerText`

func (t *Tab) untilState(want string) {
	t.tb.Helper()
	t.Until("the state "+want, state+" === "+quote(want))
}

// TestFirstVisitComesToAnAnswer follows what an empty server says to do first.
func TestFirstVisitComesToAnAnswer(t *testing.T) {
	t.Parallel()
	answer := newGate()
	r := listening(t, answer.then(answering(http.StatusOK, `{"version":"v1"}`)), answer)
	tab := admin(t, ripostetest.Start(t))
	tab.Follow("link", "Riposte")
	tab.UntilText("Nothing has been asked yet")
	if n := Eval[int](tab, `document.querySelectorAll('.steps > li').length`); n != 3 {
		t.Errorf("there are %d steps", n)
	}
	tab.Follow("link", "Make a webhook")

	tab.Fill("URL", "receiver.example.com")
	tab.Fill("Callback timeout", "a fortnight")
	tab.Follow("button", "Create webhook")
	if p := tab.problemAt("Callback timeout"); !strings.HasPrefix(p, "Callback timeout must") {
		t.Errorf("a timeout that can't be read is answered by %q", p)
	}
	tab.Fill("Callback timeout", "2 days")
	tab.Follow("button", "Create webhook")
	for _, label := range []string{"Name", "URL"} {
		if p := tab.problemAt(label); !strings.HasPrefix(p, label+" must") {
			t.Errorf("what is wrong with %s is answered by %q", label, p)
		}
	}
	if got := tab.Value("URL") + ", " + tab.Value("Callback timeout"); got != "receiver.example.com, 2 days" {
		t.Errorf("what was typed came back as %s", got)
	}

	tab.Fill("Name", "My first")
	tab.Fill("URL", r.URL+"/first")
	tab.Follow("button", "Create webhook")
	tab.UntilText("Its receiver has not been asked yet.")
	webhook := tab.Path()
	tab.Follow("button", "Send a test")
	tab.untilState("Running")
	loaded := tab.Navigations()
	answer.open()
	tab.untilState("Success")
	if n := tab.Navigations(); n != loaded {
		t.Error("the page was loaded again")
	}
	tab.Goto(strings.TrimSuffix(webhook, "?done=created"))
	tab.UntilText("Its receiver takes what it is asked.")
	tab.Follow("link", "Overview")
	if strings.Contains(tab.Text(), "Nothing has been asked yet") {
		t.Error("the overview still says what to do first")
	}
}

// TestOnePageShowsAllOfItsWay watches an instance from its first state to its last,
// and touches nothing.
func TestOnePageShowsAllOfItsWay(t *testing.T) {
	t.Parallel()
	first, second := newGate(), newGate()
	r := listening(t, func(d ripostetest.Delivery) ripostetest.Reply {
		if strings.Contains(string(d.Body), "WAY-1") {
			return first.then(answering(http.StatusAccepted, ""))(d)
		}
		return second.then(answering(http.StatusAccepted, ""))(d)
	}, first, second)
	s := ripostetest.Start(t)
	webhook := makeWebhook(t, s, "One at a time", r.URL)
	if _, err := s.Settings.Update(t.Context(), &ripostev1.WebhookSettingsServiceUpdateRequest{WebhookId: webhook, Settings: &ripostev1.WebhookSettings{MaxInFlight: new(int32(1))}}); err != nil {
		t.Fatal(err)
	}
	other := create(t, s, webhook, sourceOf("approvalStep", "WAY-1"))
	if _, err := s.WaitFor(t.Context(), other, func(i *ripostev1.Instance) bool {
		return i.GetWebhookInstance().GetState() == webhooksv1.WebhookState_WEBHOOK_STATE_RUNNING
	}); err != nil {
		t.Fatal(err)
	}
	id := create(t, s, webhook, sourceOf("approvalStep", "WAY-2"))

	tab := admin(t, s)
	tab.Goto("/instances/" + id)
	loaded := tab.Navigations()
	Eval[bool](tab, `globalThis.untouched = true`)
	tab.untilState("Pending")
	first.open()
	tab.untilState("Running")
	second.open()
	tab.untilState("Waiting for callback")
	answerByCallback(t, r, id, `{"version":"v1","approve":{"comment":"At last."}}`)
	tab.untilState("Success")
	tab.UntilText("At last.")
	tab.Until("the end of looking again", `!document.body.dataset.live`)
	if tab.Navigations() != loaded || !Eval[bool](tab, `globalThis.untouched === true`) || tab.Path() != "/instances/"+id {
		t.Error("it was another page in the end")
	}
	if way := Eval[string](tab, `document.querySelector('.timeline').innerText`); !strings.Contains(way, "Attempt 1") {
		t.Errorf("its way is %q", way)
	}
}

func makeWebhook(t *testing.T, s *ripostetest.Server, name, url string) string {
	t.Helper()
	res, err := s.Webhooks.Create(t.Context(), &webhooksv1.WebhooksServiceCreateRequest{DisplayName: name, Url: url})
	if err != nil {
		t.Fatal(err)
	}
	return res.GetWebhook().GetId()
}

// create asks what the receiver finds by the source alone.
func create(t *testing.T, s *ripostetest.Server, webhook string, source *webhooksv1.WebhookSource) string {
	t.Helper()
	req := &ripostev1.InstancesServiceCreateRequest{WebhookId: webhook, Source: source}
	if id := source.GetApprovalStep().GetTicketId(); id != "" {
		req.Payload = []byte(`{"ticket":` + quote(id) + `}`)
	}
	res, err := s.Instances.Create(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	return res.GetInstance().GetWebhookInstance().GetId()
}
