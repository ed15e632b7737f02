package api_test

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/riposte-dev/riposte"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

func (n *node) consumer(name, filter string) {
	n.t.Helper()
	if _, err := n.Consumers.Create(n.t.Context(), &ripostev1.ConsumersServiceCreateRequest{Name: name, Filter: filter, After: "0"}); err != nil {
		n.t.Fatal(err)
	}
}

func (n *node) pull(name string) *ripostev1.ConsumersServicePullResponse {
	n.t.Helper()
	p, err := n.Consumers.Pull(n.t.Context(), &ripostev1.ConsumersServicePullRequest{Name: name})
	if err != nil {
		n.t.Fatal(err)
	}
	return p
}

func TestConsumerGetsEachOutcomeUntilItIsAcked(t *testing.T) {
	n := startNode(t)
	hook := n.webhook("/approve")
	ids := []string{n.approval(hook, riposte.StateSuccess), n.approval(hook, riposte.StateSuccess)}
	n.consumer("c", "")
	first := n.pull("c")
	if len(first.GetInstances()) != 2 || first.GetTries() != 1 || first.GetLeasedUntil() == nil {
		t.Fatalf("pulled %v", first)
	}
	for at, i := range first.GetInstances() {
		if i.GetWebhookInstance().GetId() != ids[at] || i.GetOutcome().GetDocumentJson() != answers["/approve"].Body {
			t.Errorf("outcome %d: %v", at, i)
		}
	}
	if p := n.pull("c"); len(p.GetInstances()) != 0 || p.GetLeaseId() != "" || p.GetLeasedUntil() != nil || p.GetTries() != 0 {
		t.Errorf("pulled while the lease is out: %v", p)
	}
	through := first.GetInstances()[0].GetOutcome().GetSequence()
	if _, err := n.Consumers.Ack(t.Context(), &ripostev1.ConsumersServiceAckRequest{Name: "c", LeaseId: first.GetLeaseId(), Through: through}); err != nil {
		t.Fatal(err)
	}
	got, err := n.Consumers.Get(t.Context(), &ripostev1.ConsumersServiceGetRequest{Name: "c"})
	if c := got.GetConsumer(); err != nil || c.GetLag() != 1 || c.GetLeases() != 1 || c.GetAcked() == c.GetPosition() {
		t.Errorf("half way: %v, %v", got, err)
	}
	if _, err := n.Consumers.Ack(t.Context(), &ripostev1.ConsumersServiceAckRequest{Name: "c", LeaseId: first.GetLeaseId()}); err != nil {
		t.Fatal(err)
	}
	list, err := n.Consumers.List(t.Context(), &ripostev1.ConsumersServiceListRequest{})
	if err != nil || len(list.GetList()) != 1 || list.GetList()[0].GetLag() != 0 || list.GetList()[0].GetLeases() != 0 {
		t.Errorf("at the end: %v, %v", list, err)
	}
}

// TestConsumerKeepsItsFilter as one that can be given again, whatever is in it.
func TestConsumerKeepsItsFilter(t *testing.T) {
	n := startNode(t)
	for name, filter := range map[string]string{
		"all": "", "source": "source = approvalStep", "ticket": `ticketId = "a \"b\" \\c"`, "label": `labels.team = "red"`,
		"odd": `labels."a b" = "x"`, "quote": `labels.'a"b' = "'"`,
	} {
		n.consumer(name, filter)
		got, err := n.Consumers.Get(t.Context(), &ripostev1.ConsumersServiceGetRequest{Name: name})
		if err != nil {
			t.Fatal(err)
		}
		n.consumer(name, got.GetConsumer().GetFilter()) // it is the same one
	}
}

func TestConsumerRefuses(t *testing.T) {
	n := startNode(t)
	n.approval(n.webhook("/approve"), riposte.StateSuccess)
	n.consumer("c", "source = approvalStep")
	for _, c := range []struct {
		path, body, field, reason string
		status                    int
	}{
		{"", `{}`, "name", "INVALID_ARGUMENT", 400},
		{"", `{"name":"Large"}`, "name", "INVALID_ARGUMENT", 400},
		{"", `{"name":"a/b"}`, "name", "INVALID_ARGUMENT", 400},
		{"", `{"name":"x","filter":"state = SUCCESS"}`, "filter", "INVALID_ARGUMENT", 400},
		{"", `{"name":"x","after":"one"}`, "after", "INVALID_ARGUMENT", 400},
		{"", `{"name":"x","after":"99"}`, "", "CURSOR_UNKNOWN", 400},
		{"", `{"name":"c"}`, "", "CONSUMER_EXISTS", 409},
		{"/none:pull", `{}`, "", "CONSUMER_NOT_FOUND", 404},
		{"/c:pull", `{"maxOutcomes":-1}`, "maxOutcomes", "INVALID_ARGUMENT", 400},
		{"/c:pull", `{"maxOutcomes":1001}`, "maxOutcomes", "INVALID_ARGUMENT", 400},
		{"/c:pull", `{"lease":"0.5s"}`, "lease", "INVALID_ARGUMENT", 400},
		{"/c:pull", `{"lease":"3601s"}`, "lease", "INVALID_ARGUMENT", 400},
		{"/c:pull", `{"wait":"-1s"}`, "wait", "INVALID_ARGUMENT", 400},
		{"/c:ack", `{}`, "leaseId", "INVALID_ARGUMENT", 400},
		{"/c:ack", `{"leaseId":"nonsense"}`, "leaseId", "INVALID_ARGUMENT", 400},
		{"/c:ack", `{"leaseId":"0-1-x","through":2}`, "through", "INVALID_ARGUMENT", 400},
		{"/c:ack", `{"leaseId":"0-1-x"}`, "", "LEASE_LOST", 400},
		{"/none:ack", `{"leaseId":"0-1-x"}`, "", "CONSUMER_NOT_FOUND", 404},
	} {
		r := n.send(http.MethodPost, "/api/v1/consumers"+c.path, c.body)
		e := r.error(t)
		if _, named := e.fields()[c.field]; r.status != c.status || e.reason() != c.reason || named != (c.field != "") {
			t.Errorf("%s %s: HTTP %d, %s", c.path, c.body, r.status, r.body)
		}
	}
	for method, path := range map[string]string{http.MethodGet: "/api/v1/consumers/none", http.MethodDelete: "/api/v1/consumers/none"} {
		if r := n.send(method, path, ""); r.status != http.StatusNotFound || r.error(t).reason() != "CONSUMER_NOT_FOUND" {
			t.Errorf("%s: HTTP %d, %s", method, r.status, r.body)
		}
	}
	if r := n.send(http.MethodGet, "/api/v1/consumers", ""); r.status != http.StatusOK || len(listed(t, r.body)) != 1 {
		t.Errorf("nothing of it was kept: %s", r.body)
	}
}

func listed(t testing.TB, body []byte) []json.RawMessage {
	t.Helper()
	var page struct{ List []json.RawMessage }
	if err := json.Unmarshal(body, &page); err != nil {
		t.Fatal(err)
	}
	return page.List
}
