package console_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	webhooksv1 "github.com/riposte-dev/riposte/gen/c1/api/webhooks/v1"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
	"github.com/riposte-dev/riposte/ripostetest"
)

// called makes a webhook of this name that nobody stands behind.
func (r *reader) called(name string) string {
	r.t.Helper()
	res, err := r.server.Webhooks.Create(r.t.Context(), &webhooksv1.WebhooksServiceCreateRequest{DisplayName: name, Url: "http://127.0.0.1:9/in"})
	if err != nil {
		r.t.Fatal(err)
	}
	return res.GetWebhook().GetId()
}

const (
	success = webhooksv1.WebhookState_WEBHOOK_STATE_SUCCESS
	retried = webhooksv1.WebhookState_WEBHOOK_STATE_ERROR
)

func TestAWebhooksPageSaysHowItFares(t *testing.T) {
	r := newReader(t).as(ripostev1.Role_ROLE_ADMIN)
	good, bad := r.newWebhook(ripostetest.Reply{Body: `{"version":"v1","approve":{}}`}), r.newWebhook(ripostetest.Reply{Status: 404})
	r.get("/webhooks/"+good).wants(t, 200, "Quiet", "has not been asked yet", "8 days", "64 at each node", "None yet", "Nothing happened in this time.",
		"Send a test", `href="/webhooks/`+good+`/edit"`, "Delete this webhook")
	id := r.ask(good, approvalStep("T-1"), success)
	r.ask(bad, approvalStep("T-2"), retried)
	p := r.get("/webhooks/" + good)
	p.wants(t, 200, "Healthy", "takes what it is asked", `<a href="/instances/`+id+`">200</a>`, "T-1", "1 asked, 1 answered, 0 failed", "1 attempt, 0 of them failed")
	p.lacks(t, "T-2", "All its instances")
	r.get("/webhooks/"+bad).wants(t, 200, "Failing", "Its last attempt failed", "a path that it doesn&#39;t know", "T-2", "Retrying", "failed</span>")
	for range 10 {
		r.ask(good, approvalStep("T-3"), success)
	}
	r.get("/webhooks/"+good).wants(t, 200, `<a href="/instances?webhook=`+good+`">All its instances</a>`)
}

func TestATestLeadsToItsInstance(t *testing.T) {
	r := newReader(t).as(ripostev1.Role_ROLE_SENDER)
	webhook := r.newWebhook(ripostetest.Reply{Status: 202})
	p := r.get("/webhooks/" + webhook)
	p.wants(t, 200, `action="/webhooks/`+webhook+`/test"`)
	p.lacks(t, "/edit", "/delete", "Delete")
	p = r.post("/webhooks/"+webhook+"/test", url.Values{})
	if !strings.HasPrefix(p.path, "/instances/") {
		t.Fatalf("led to %s: %s", p.path, p.text)
	}
	p.wants(t, 200, "<h1>Test", "this is the test", `href="/webhooks/`+webhook+`"`)
}

// TestADeletedWebhookSaysSo, offers nothing any more, and leads to its instances.
func TestADeletedWebhookSaysSo(t *testing.T) {
	r := newReader(t).as(ripostev1.Role_ROLE_ADMIN)
	webhook := r.newWebhook(ripostetest.Reply{Status: 202})
	id := r.ask(webhook, approvalStep("T-9"), waiting)
	p := r.post("/webhooks/"+webhook+"/delete", url.Values{})
	if want := "/webhooks/" + webhook; p.path != want {
		t.Fatalf("led to %s, want %s: %s", p.path, want, p.text)
	}
	p.wants(t, 200, "Deleted. What it still owed", "It is deleted", "hook", "/in", "T-9", `href="/instances/`+id+`"`)
	p.lacks(t, "Send a test", "/edit", `action="/webhooks/`, "Settings")
	r.get("/instances/"+id).wants(t, 200, "(deleted)", `href="/webhooks/`+webhook+`"`)
	for _, p := range []seen{r.get("/webhooks/" + webhook + "/edit"), r.post("/webhooks/"+webhook, webhookForm()), r.post("/webhooks/"+webhook+"/test", url.Values{}),
		r.post("/webhooks/"+webhook+"/delete", url.Values{}), r.get("/webhooks/nope"), r.get("/webhooks/nope/edit")} {
		p.wants(t, http.StatusNotFound, "Not found")
	}
}

// TestOnlyAdminsManageWebhooks: nobody else is offered it, and it is refused to them.
func TestOnlyAdminsManageWebhooks(t *testing.T) {
	admin := newReader(t)
	webhook := admin.newWebhook(ripostetest.Reply{Status: 202})
	for _, role := range []ripostev1.Role{ripostev1.Role_ROLE_VIEWER, ripostev1.Role_ROLE_SENDER} {
		t.Run(role.String(), func(t *testing.T) {
			r := readerOf(t, admin.server).as(role)
			for _, p := range []seen{r.get("/webhooks/new"), r.get("/webhooks/" + webhook + "/edit"), r.post("/webhooks", webhookForm()),
				r.post("/webhooks/"+webhook, webhookForm("callbackTimeout", "soon")), r.post("/webhooks/"+webhook, webhookForm()), r.post("/webhooks/"+webhook+"/delete", url.Values{})} {
				p.wants(t, http.StatusForbidden, "Not with this key")
			}
			if w, _ := r.onlyWebhook(); w.GetDisplayName() != "hook" {
				t.Errorf("it was changed: %v", w)
			}
		})
	}
	viewer := readerOf(t, admin.server).as(ripostev1.Role_ROLE_VIEWER)
	viewer.post("/webhooks/"+webhook+"/test", url.Values{}).wants(t, http.StatusForbidden, "needs the role sender")
	for _, path := range []string{"/webhooks", "/webhooks/" + webhook} {
		p := viewer.get(path)
		p.wants(t, 200, "hook", "Quiet")
		p.lacks(t, "/webhooks/new", "/test", "/edit", "/delete", `method="post" action="/webhooks`)
	}
}

func TestWebhooksAreSearchedAndPaged(t *testing.T) {
	r := newReader(t).as(ripostev1.Role_ROLE_ADMIN)
	p := r.get("/webhooks")
	p.wants(t, 200, "New webhook", "There is no webhook yet", "riposte listen --server "+r.server.URL(), `<a href="/webhooks/new">Make a webhook</a>`, "Send a test")
	readerOf(t, r.server).as(ripostev1.Role_ROLE_VIEWER).get("/webhooks").lacks(t, "/webhooks/new")
	r.get("/webhooks?query=x").wants(t, 200, "No webhook has this in its name or description", `href="/webhooks">Show all`, `value="x"`)
	r.get("/webhooks?deleted=1").wants(t, 200, "None is deleted", "Those that are there")

	for n := range 30 {
		r.called(fmt.Sprintf("even & odd <b>%d", n%2))
	}
	for range 26 {
		if _, err := r.server.Webhooks.Delete(t.Context(), &webhooksv1.WebhooksServiceDeleteRequest{Id: r.called("gone")}); err != nil {
			t.Fatal(err)
		}
	}
	for query, want := range map[string]int{"": 30, "query=%3Cb%3E1": 15, "query=even+%26": 30, "deleted=1": 26, "deleted=1&query=gone": 26, "deleted=1&query=even": 0} {
		rows, pages, path := 0, 0, "/webhooks?"+query
		for path != "" {
			p := r.get(path)
			if strings.Contains(query, "deleted") {
				p.wants(t, 200, "Deleted webhooks", "Those that are there")
			}
			rows += strings.Count(p.text, `<td><a href="/webhooks/`)
			pages++
			if path = nextPage(p.text); pages > 5 {
				t.Fatalf("%s: the pages don't end", query)
			}
		}
		if wantPages := max(1, (want+24)/25); rows != want || pages != wantPages {
			t.Errorf("%s: %d rows on %d pages, want %d on %d", query, rows, pages, want, wantPages)
		}
	}
	r.get("/webhooks?page=x").wants(t, http.StatusUnprocessableEntity, "This is no page of this list", "First page")
	next := nextPage(r.get("/webhooks").text)
	r.get(next).wants(t, 200, "First page")
	r.get(next+"&query=even").wants(t, http.StatusUnprocessableEntity, "This is no page of this list")
}
