package api_test

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/riposte-dev/riposte/api"
	webhooksv1 "github.com/riposte-dev/riposte/gen/c1/api/webhooks/v1"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

// audit reads the audit log as the admin, newest first.
func (n *node) audit(filter string) []*ripostev1.AuditEntry {
	n.t.Helper()
	res, err := n.Audit.List(n.t.Context(), &ripostev1.AuditServiceListRequest{Filter: filter, PageSize: 1000})
	if err != nil {
		n.t.Fatal(err)
	}
	return res.GetList()
}

// changesOf is how many things an operation of the story changes: the one that it is
// about, unless it is here.
var changesOf = map[string]int{"instance_batch_recreate": 1, "instance_batch_recreate_again": 0, "instance_batch_cancel": 1}

// TestEachChangeIsAuditedOnce over every transport, what is only read is not, and the
// log has nothing in it that opens anything.
func TestEachChangeIsAuditedOnce(t *testing.T) {
	for name, transport := range transports {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := startNode(t, inTheMiddleOfAQuarter)
			names := map[string]string{"receiver": n.receiver.URL}
			var secrets []string
			for _, o := range operations {
				t.Run(o.name, func(t *testing.T) {
					n.t = t
					before := len(n.audit(""))
					reply := transport(n, o, func(s string) string { return fill(s, names) })
					for i, id := range ids(reply, o.as) {
						names[strings.Split(o.as, ",")[i]] = id
						if o.then != "" {
							n.await(id, o.then)
						}
					}
					secrets = append(secrets, secretsIn(reply)...)
					added := n.audit("")
					added = added[:len(added)-before]
					n.wantEntries(o, added)
				})
			}
			n.t = t
			secrets = append(secrets, n.APIKey, n.receiver.URL, "/callback/", "12345678901234567890", "by hand")
			for _, e := range n.audit("") {
				for _, secret := range secrets {
					if strings.Contains(e.String(), secret) {
						t.Errorf("the entry %v has %q in it", e, secret)
					}
				}
			}
		})
	}
}

// secretsIn finds what a reply has that is shown once, or that acts.
func secretsIn(reply []byte) (found []string) {
	for _, m := range regexp.MustCompile(`"(?:secret|clientSecret|Authorization)":\s*"([^"]+)"`).FindAllSubmatch(reply, -1) {
		found = append(found, string(m[1]))
	}
	return found
}

func (n *node) wantEntries(o operation, added []*ripostev1.AuditEntry) {
	n.t.Helper()
	name, want := operationName(o.procedure), 0
	if _, audited, _ := api.Rule(name); audited {
		want = 1
	}
	if batch, ok := changesOf[o.name]; ok {
		want = batch
	}
	if len(added) != want {
		n.t.Errorf("it added %d entries, want %d: %v", len(added), want, added)
	}
	for _, e := range added {
		if e.GetOperation() != name || e.GetActor() != "configured" || e.GetActorName() != "RIPOSTE_API_KEY" || e.GetRole() != ripostev1.Role_ROLE_ADMIN ||
			e.GetRemoteAddress() != "127.0.0.1" || e.GetTarget() == "" || e.GetCreatedAt() == nil {
			n.t.Errorf("the entry is %v", e)
		}
	}
}

// TestAuditTellsWhatWasChanged, by names.
func TestAuditTellsWhatWasChanged(t *testing.T) {
	n := startNode(t)
	hook := n.webhook("/later?token=t0ps3cret")
	waiting := n.approval(hook, "WAITING_CALLBACK")
	before := len(n.audit(""))
	key, _ := n.key("ops", ripostev1.Role_ROLE_ADMIN)
	for _, call := range [][3]string{
		{http.MethodPatch, "/api/v1/webhooks/" + hook, `{"webhook":{"displayName":"other","url":"https://a.example/?k=t0ps3cret","callbackTimeout":"86400s"}}`},
		{http.MethodPatch, "/api/v1/webhooks/" + hook + "/settings", `{"settings":{"maxInFlight":3,"outcomeUrl":"https://a.example/t0ps3cret"}}`},
		{http.MethodPost, "/api/v1/instances/" + waiting + ":answer", `{"document":{"version":"v1","deny":{"comment":"t0ps3cret"}}}`},
		{http.MethodPost, "/api/v1/instances/" + waiting + ":recreate", `{}`},
		{http.MethodPost, "/api/v1/consumers", `{"name":"c","filter":"source = test"}`},
		{http.MethodPost, "/api/v1/consumers", `{"name":"c","filter":"source = test"}`}, // which changes nothing
		{http.MethodPost, "/api/v1/keys", `{"name":"ci","role":"ROLE_SENDER","expiresAt":"2125-01-02T03:04:05Z","rateLimit":7}`},
		{http.MethodDelete, "/api/v1/keys/" + key.GetId(), ""},
		{http.MethodDelete, "/api/v1/webhooks/" + hook, ""},
	} {
		okJSON(t, n.send(call[0], call[1], call[2]))
	}
	var got []string
	entries := n.audit("")
	for _, e := range slices.Backward(entries[:len(entries)-before]) {
		got = append(got, strings.TrimSpace(e.GetOperation()+" "+e.GetDetail()))
		if strings.Contains(e.String(), "t0ps3cret") {
			t.Errorf("the entry is %v", e)
		}
	}
	want := []string{
		`KeysService.Create named "ops", role admin`,
		`WebhooksService.Update displayName, url, callbackTimeout`,
		`WebhookSettingsService.Update maxInFlight, outcomeUrl`,
		`InstancesService.Answer DENIED`,
		`InstancesService.Recreate of instance ` + waiting,
		`ConsumersService.Create source = "test"`,
		`KeysService.Create named "ci", role sender, expires 2125-01-02T03:04:05Z, 7 calls a second`,
		`KeysService.Revoke named "ops", role admin`,
		`WebhooksService.Delete`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("the log says\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestAuditIsListedByPagesAndFilters(t *testing.T) {
	n := startNode(t)
	sender := n.party("sender", ripostev1.Role_ROLE_SENDER)
	hook := n.webhook("/later")
	for range 3 {
		okJSON(t, sender.send("POST /api/v1/webhooks/"+hook+"/test", "{}"))
	}
	all := n.audit("")
	if len(all) != 5 || !slices.IsSortedFunc(all, func(a, b *ripostev1.AuditEntry) int { return strings.Compare(b.GetId(), a.GetId()) }) {
		t.Fatalf("the log is %v", all)
	}
	var paged []*ripostev1.AuditEntry
	for token := ""; ; {
		res, err := n.Audit.List(t.Context(), &ripostev1.AuditServiceListRequest{PageSize: 2, PageToken: token})
		if err != nil || len(res.GetList()) > 2 {
			t.Fatalf("%v, %v", res, err)
		}
		paged = append(paged, res.GetList()...)
		if token = res.GetNextPageToken(); token == "" {
			break
		}
	}
	if !slices.EqualFunc(all, paged, func(a, b *ripostev1.AuditEntry) bool { return proto.Equal(a, b) }) {
		t.Errorf("by pages the log is %v, want %v", paged, all)
	}
	third := all[2].GetCreatedAt().AsTime().Format("2006-01-02T15:04:05.999999Z")
	for filter, want := range map[string]int{
		"actor = configured":                       2,
		"actor = " + sender.key.GetId():            3,
		"operation = WebhooksService.Test":         3,
		"target = " + hook:                         1,
		"target = " + hook + " AND actor = nobody": 0,
		"createdAt > " + third:                     2,
		`createdAt <= "` + third + `"`:             3,
	} {
		if got := n.audit(filter); len(got) != want {
			t.Errorf("%s selects %d, want %d: %v", filter, len(got), want, got)
		}
	}
	for filter, says := range map[string]string{
		"role = admin":         "it takes actor, operation, target and createdAt",
		"labels.x = y":         "it takes actor, operation, target and createdAt",
		"actor != x":           "takes only = for actor",
		"actor = x OR actor=y": "must join its comparisons with AND",
	} {
		r := n.send(http.MethodGet, "/api/v1/audit?filter="+strings.NewReplacer(" ", "+", "=", "%3D").Replace(filter), "")
		if got := r.error(t).fields()["filter"]; r.status != http.StatusBadRequest || !strings.Contains(got, says) {
			t.Errorf("%s: HTTP %d, %s", filter, r.status, r.body)
		}
	}
}

// TestAuditNamesEachFieldOfAWebhook that callers can change: a field that is new to the
// API is to be named, too.
func TestAuditNamesEachFieldOfAWebhook(t *testing.T) {
	var fields []string
	for _, m := range []protoreflect.ProtoMessage{&webhooksv1.Webhook{}, &ripostev1.WebhookSettings{}} {
		all := m.ProtoReflect().Descriptor().Fields()
		for n := range all.Len() {
			fields = append(fields, all.Get(n).JSONName())
		}
	}
	fields = slices.DeleteFunc(fields, func(name string) bool {
		return slices.Contains([]string{"id", "createdAt", "updatedAt", "deletedAt"}, name)
	})
	if got := api.WebhookFields(); !slices.Equal(got, fields) {
		t.Errorf("the log names changes of %v, the API changes %v", got, fields)
	}
}

// TestAddressIsTheConnections, whatever headers say.
func TestAddressIsTheConnections(t *testing.T) {
	handler, _ := newAPI(t)
	r := newRequest(t.Context(), "POST /api/v1/webhooks", `{"displayName":"x","url":"https://a.example"}`)
	for remote, want := range map[string]string{"192.0.2.1:1234": "192.0.2.1", "[::ffff:192.0.2.7]:80": "192.0.2.7", "[fe80::1%eth0]:80": "fe80::1", "console": "", "": ""} {
		one := r.Clone(t.Context())
		one.Body = newRequest(t.Context(), "POST /", `{"displayName":"x","url":"https://a.example"}`).Body
		one.RemoteAddr = remote
		one.Header.Set("X-Forwarded-For", "203.0.113.9")
		one.Header.Set("Forwarded", "for=203.0.113.9")
		serveOK(t, handler, one)
		var log struct {
			List []struct{ RemoteAddress string }
		}
		if err := json.Unmarshal(serveOK(t, handler, newRequest(t.Context(), "GET /api/v1/audit", "")), &log); err != nil {
			t.Fatal(err)
		}
		if got := log.List[0].RemoteAddress; got != want {
			t.Errorf("from %q the address is %q, want %q", remote, got, want)
		}
	}
}
