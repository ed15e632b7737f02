package api_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/riposte-dev/riposte"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
	"github.com/riposte-dev/riposte/ripostetest"
)

// party is somebody who calls, with one instance of its own in WAITING_CALLBACK.
type party struct {
	n             *node
	key           *ripostev1.Key
	authorization string
	own           string
}

func (n *node) party(name string, role ripostev1.Role) party {
	n.t.Helper()
	k, authorization := n.key(name, role)
	return party{n: n, key: k, authorization: authorization}
}

func (p party) send(rest, body string) reply {
	p.n.t.Helper()
	method, path, _ := strings.Cut(rest, " ")
	return p.n.send(method, path, body, "Authorization", p.authorization)
}

// ask creates an instance and returns its id.
func (p party) ask(webhook, members string) string {
	p.n.t.Helper()
	var res struct {
		Instance struct {
			WebhookInstance struct{ ID string }
			CreatedBy       string
		}
	}
	b := okJSON(p.n.t, p.send("POST /api/v1/webhooks/"+webhook+"/instances", asking(members)))
	if err := json.Unmarshal(b, &res); err != nil {
		p.n.t.Fatal(err)
	}
	if res.Instance.CreatedBy != p.key.GetName() && res.Instance.CreatedBy != p.key.GetId() {
		p.n.t.Errorf("%s's instance is created by %q", p.key.GetName(), res.Instance.CreatedBy)
	}
	return res.Instance.WebhookInstance.ID
}

// listed are the ids of a list's instances.
func (p party) listed(rest string) []string {
	p.n.t.Helper()
	var res struct {
		List []struct{ WebhookInstance struct{ ID string } }
	}
	if err := json.Unmarshal(okJSON(p.n.t, p.send(rest, "")), &res); err != nil {
		p.n.t.Fatal(err)
	}
	var ids []string
	for _, i := range res.List {
		ids = append(ids, i.WebhookInstance.ID)
	}
	return ids
}

// senders are two, each with an instance on one webhook, the admin with a third one.
func senders(t *testing.T) (n *node, webhook string, red, blue party, admins string) {
	n = startNode(t)
	webhook = n.webhook("/later")
	red, blue = n.party("red", ripostev1.Role_ROLE_SENDER), n.party("blue", ripostev1.Role_ROLE_SENDER)
	red.own, blue.own = red.ask(webhook, `"labels":{"of":"red"}`), blue.ask(webhook, `"labels":{"of":"blue"}`)
	admins = n.approval(webhook, riposte.StateWaitingCallback)
	n.await(red.own, riposte.StateWaitingCallback)
	n.await(blue.own, riposte.StateWaitingCallback)
	return n, webhook, red, blue, admins
}

// TestAnothersInstanceIsNotThere for a sender: not a byte tells it from an id that
// nobody ever had, and nothing happens to it.
func TestAnothersInstanceIsNotThere(t *testing.T) {
	n, _, red, blue, admins := senders(t)
	before := n.everything()
	for _, call := range [][2]string{
		{"GET /api/v1/instances/ID", ""},
		{"GET /api/v1/instances/ID?view=FULL", ""},
		{"GET /api/v1/instances/ID/delivery", ""},
		{"GET /api/v1/instances/ID:wait?timeout=0s", ""},
		{"GET /api/v1/instances/ID:wait?timeout=60s", ""},
		{"POST /api/v1/instances/ID:cancel", "{}"},
		{"POST /api/v1/instances/ID:retry", "{}"},
		{"POST /api/v1/instances/ID:retry", `{"outcomeUrl":"` + n.receiver.URL + `"}`},
		{"POST /api/v1/instances/ID:recreate", "{}"},
		{"POST /api/v1/instances/ID:answer", `{"document":{"version":"v1","approve":{}}}`},
		{"POST /api/v1/instances/ID:answer", `{"document":{}}`},
	} {
		unknown := red.send(strings.ReplaceAll(call[0], "ID", "000000000000000000000000"), call[1])
		if s := unknown.error(t); unknown.status != http.StatusNotFound || s.reason() != "INSTANCE_NOT_FOUND" {
			t.Fatalf("%s of an unknown id: HTTP %d, %s", call[0], unknown.status, unknown.body)
		}
		for _, id := range []string{blue.own, admins} {
			got := red.send(strings.ReplaceAll(call[0], "ID", id), call[1])
			if got.status != unknown.status || string(got.body) != string(unknown.body) {
				t.Errorf("%s of another's: HTTP %d, %s; of an unknown id HTTP %d, %s", call[0], got.status, got.body, unknown.status, unknown.body)
			}
		}
	}
	if after := n.everything(); !slices.Equal(before, after) {
		t.Errorf("something changed: %v, before %v", after, before)
	}
	viewer := n.party("viewer", ripostev1.Role_ROLE_VIEWER)
	for _, id := range []string{red.own, blue.own, admins} {
		okJSON(t, viewer.send("GET /api/v1/instances/"+id+"?view=FULL", ""))
	}
	for _, rest := range []string{"GET /api/v1/instances/ID", "GET /api/v1/instances/ID/delivery", "GET /api/v1/instances/ID:wait?timeout=0s"} {
		okJSON(t, red.send(strings.ReplaceAll(rest, "ID", red.own), ""))
	}
	okJSON(t, red.send("POST /api/v1/instances/"+red.own+":answer", `{"document":{"version":"v1","approve":{}}}`))
}

func TestSenderListsItsOwn(t *testing.T) {
	n, webhook, red, blue, admins := senders(t)
	admin := party{n: n, authorization: "Bearer " + n.APIKey}
	const list = "GET /api/v1/instances?filter="
	for _, tt := range []struct {
		who  party
		rest string
		want []string
	}{
		{red, "GET /api/v1/instances", []string{red.own}},
		{red, list + "createdBy=red", []string{red.own}},
		{red, list + "webhookId=" + webhook, []string{red.own}},
		{red, list + "labels.of=blue", nil},
		{blue, list + "state=WAITING_CALLBACK", []string{blue.own}},
		{admin, "GET /api/v1/instances", []string{admins, blue.own, red.own}},
		{admin, list + "created_by=blue", []string{blue.own}},
		{admin, list + "createdBy=RIPOSTE_API_KEY", []string{admins}},
		{admin, list + "createdBy=nobody", nil},
	} {
		if got := tt.who.listed(tt.rest); !slices.Equal(got, tt.want) {
			t.Errorf("%s lists %v with %s, want %v", tt.who.key.GetName(), got, tt.rest, tt.want)
		}
	}
	if got := string(okJSON(t, red.send("GET /api/v1/instances:count", ""))); got != `{"count":1,"more":false}` {
		t.Errorf("red counts %s", got)
	}
	for _, rest := range []string{list + "createdBy=blue", "GET /api/v1/instances:count?filter=createdBy=blue", "GET /api/v1/instances:watch?filter=createdBy=blue"} {
		if r := red.send(rest, ""); r.status != http.StatusBadRequest || !strings.Contains(r.error(t).fields()["filter"], `"red"`) {
			t.Errorf("%s: HTTP %d, %s", rest, r.status, r.body)
		}
	}
}

func TestSendersBatchChangesItsOwn(t *testing.T) {
	n, webhook, red, blue, admins := senders(t)
	b := okJSON(t, red.send("POST /api/v1/instances:batchRecreate", `{"requestId":"r","filter":"webhookId = `+webhook+`"}`))
	if got := string(b); got != `{"recreated":1,"refused":0,"nextPageToken":""}` {
		t.Errorf("recreated: %s", got)
	}
	if b := okJSON(t, red.send("POST /api/v1/instances:batchCancel", `{"filter":"webhookId = `+webhook+`"}`)); string(b) != `{"canceled":2,"refused":0,"nextPageToken":""}` {
		t.Errorf("canceled: %s", b)
	}
	for _, id := range []string{blue.own, admins} {
		n.await(id, riposte.StateWaitingCallback)
	}
}

// TestRequestIDOfAnotherSender must not give the instance that it has.
func TestRequestIDOfAnotherSender(t *testing.T) {
	n, webhook, red, blue, _ := senders(t)
	first := red.ask(webhook, `"requestId":"same"`)
	if again := red.ask(webhook, `"requestId":"same"`); again != first {
		t.Errorf("repeated, red's request makes %s, was %s", again, first)
	}
	create := "POST /api/v1/webhooks/" + webhook + "/instances"
	for _, r := range []reply{
		blue.send(create, asking(`"requestId":"same"`)),
		blue.send("POST /api/v1/instances:batchCreate", `{"requests":[{"webhookId":"`+webhook+`",`+asking(`"labels":{"in":"batch"}`)[1:]+`,{"webhookId":"`+webhook+`",`+asking(`"requestId":"same"`)[1:]+`]}`),
	} {
		if s := r.error(t); r.status != http.StatusConflict || s.reason() != "REQUEST_ID_REUSED" || strings.Contains(string(r.body), first) {
			t.Errorf("blue's: HTTP %d, %s", r.status, r.body)
		}
	}
	if got := n.send(http.MethodGet, "/api/v1/instances:count?filter=labels.in=batch", ""); !strings.Contains(string(got.body), `"count":0`) {
		t.Errorf("the batch made some: %s", got.body)
	}
}

func TestSenderUsesItsOwnConsumers(t *testing.T) {
	n, _, red, blue, admins := senders(t)
	admin := party{n: n, authorization: "Bearer " + n.APIKey}
	const create = "POST /api/v1/consumers"
	made := okJSON(t, red.send(create, `{"name":"mine","after":"0"}`))
	if !strings.Contains(string(made), `"filter":"createdBy = \"red\""`) {
		t.Errorf("red's consumer is %s", made)
	}
	okJSON(t, red.send(create, `{"name":"mine","filter":"createdBy = red"}`)) // which is the same
	okJSON(t, admin.send(create, `{"name":"all","after":"0"}`))
	okJSON(t, admin.send(create, `{"name":"for-blue","after":"0","filter":"createdBy = blue"}`))
	for _, id := range []string{red.own, blue.own, admins} {
		okJSON(t, admin.send("POST /api/v1/instances/"+id+":cancel", "{}"))
	}
	for _, call := range [][2]string{
		{"GET /api/v1/consumers/NAME", ""}, {"POST /api/v1/consumers/NAME:pull", `{}`}, {"POST /api/v1/consumers/NAME:ack", `{"leaseId":"0-1-x"}`}, {"DELETE /api/v1/consumers/NAME", ""},
	} {
		unknown := red.send(strings.ReplaceAll(call[0], "NAME", "unknown"), call[1])
		for _, name := range []string{"all", "for-blue"} {
			got := red.send(strings.ReplaceAll(call[0], "NAME", name), call[1])
			if got.status != http.StatusNotFound || string(got.body) != string(unknown.body) {
				t.Errorf("%s of %s: HTTP %d, %s; of an unknown one HTTP %d, %s", call[0], name, got.status, got.body, unknown.status, unknown.body)
			}
		}
	}
	if r := blue.send(create, `{"name":"mine"}`); r.status != http.StatusConflict || r.error(t).reason() != "CONSUMER_EXISTS" {
		t.Errorf("a name that red has: HTTP %d, %s", r.status, r.body)
	}
	for _, tt := range []struct {
		who  party
		name string
		want []string
	}{
		{red, "mine", []string{red.own}}, {blue, "for-blue", []string{blue.own}}, {admin, "all", []string{red.own, blue.own, admins}},
	} {
		got := string(okJSON(t, tt.who.send("POST /api/v1/consumers/"+tt.name+":pull", "{}")))
		for _, id := range []string{red.own, blue.own, admins} {
			if strings.Contains(got, id) != slices.Contains(tt.want, id) {
				t.Errorf("%s gives %s, want %v", tt.name, got, tt.want)
			}
		}
	}
	for _, tt := range []struct {
		who  party
		want int
	}{{red, 1}, {blue, 1}, {admin, 3}} {
		if got := strings.Count(string(okJSON(t, tt.who.send("GET /api/v1/consumers", ""))), `"name":`); got != tt.want {
			t.Errorf("%s lists %d consumers, want %d", tt.who.key.GetName(), got, tt.want)
		}
	}
}

func TestSenderWatchesItsOwn(t *testing.T) {
	n, _, red, blue, admins := senders(t)
	for _, id := range []string{admins, blue.own, red.own} {
		n.cancel(id)
	}
	c := ripostetest.NewClient(n.BaseURL(), strings.TrimPrefix(red.authorization, "Bearer "))
	t.Cleanup(c.CloseIdleConnections)
	stream, err := c.Instances.Watch(t.Context(), &ripostev1.InstancesServiceWatchRequest{After: "0"})
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	for stream.Receive() {
		if i := stream.Msg().GetInstance(); i != nil {
			if id := i.GetWebhookInstance().GetId(); id != red.own {
				t.Errorf("red is told of %s, which is not %s", id, red.own)
			}
			return // it was the last of the three
		}
	}
	t.Fatal(stream.Err())
}

func (n *node) cancel(id string) {
	n.t.Helper()
	if _, err := n.Instances.Cancel(n.t.Context(), &ripostev1.InstancesServiceCancelRequest{Id: id}); err != nil {
		n.t.Fatal(err)
	}
}

// TestStatisticsNameOwnInstancesAlone to a sender; how many there are of all is for
// everybody.
func TestStatisticsNameOwnInstancesAlone(t *testing.T) {
	n, webhook, red, blue, admins := senders(t)
	if err := n.Told(t.Context()); err != nil {
		t.Fatal(err)
	}
	viewer := n.party("viewer", ripostev1.Role_ROLE_VIEWER)
	for _, path := range []string{"", "/webhooks", "/webhooks/" + webhook} {
		rest := "GET /api/v1/statistics" + path
		all, reds := string(okJSON(t, viewer.send(rest, ""))), string(okJSON(t, red.send(rest, "")))
		if path == "" && !strings.Contains(all, blue.own) || !strings.Contains(all, red.own) && !strings.Contains(all, blue.own) && !strings.Contains(all, admins) {
			t.Errorf("%s names no instances: %s", rest, all)
		}
		if strings.Contains(reds, blue.own) || strings.Contains(reds, admins) {
			t.Errorf("%s tells red of others: %s", rest, reds)
		}
		if path == "" && (!strings.Contains(reds, red.own) || !strings.Contains(reds, `{"state":"WEBHOOK_STATE_WAITING_CALLBACK","count":"3"}`)) {
			t.Errorf("%s tells red too little: %s", rest, reds)
		}
	}
}

// TestKeysOfOneNameShareInstances, so that a key can be replaced.
func TestKeysOfOneNameShareInstances(t *testing.T) {
	n, webhook, red, _, _ := senders(t)
	next := n.party("red", ripostev1.Role_ROLE_SENDER)
	okJSON(t, next.send("GET /api/v1/instances/"+red.own, ""))
	nameless, other := n.party("", ripostev1.Role_ROLE_SENDER), n.party("", ripostev1.Role_ROLE_SENDER)
	id := nameless.ask(webhook, `"labels":{}`)
	okJSON(t, nameless.send("GET /api/v1/instances/"+id, ""))
	if r := other.send("GET /api/v1/instances/"+id, ""); r.status != http.StatusNotFound {
		t.Errorf("another key without a name: HTTP %d, %s", r.status, r.body)
	}
}
