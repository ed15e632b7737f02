package console_test

import (
	"fmt"
	"html"
	"net/http"
	"net/url"
	"strings"
	"testing"

	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
	"github.com/riposte-dev/riposte/ripostetest"
)

// entries is how many the page has.
func (p seen) entries() int { return strings.Count(p.text, `<td data-label="Operation">`) }

func TestTheAuditLogShowsWhoDidWhat(t *testing.T) {
	r := newReader(t)
	r.with(r.server.APIKey)
	webhook := r.newWebhook(ripostetest.Reply{Status: http.StatusAccepted})
	r.named("<ops>", ripostev1.Role_ROLE_ADMIN)
	instance := r.post("/webhooks/"+webhook+"/test", nil)
	instance.wants(t, http.StatusOK)
	form := r.get("/webhooks/"+webhook+"/edit").form(t, "/webhooks/"+webhook)
	form.Set("maxInFlight", "7")
	r.post("/webhooks/"+webhook, form).wants(t, http.StatusOK, "Saved.")

	p := r.get("/audit")
	p.wants(t, http.StatusOK)
	row := p.row(t, "WebhookSettingsService.Update")
	wantTexts(t, row, "<bdi>&lt;ops&gt;</bdi>", `class="role">admin`, "<bdi>maxInFlight</bdi>", `href="/webhooks/`+webhook+`"`, "127.0.0.1", "<time")
	wantTexts(t, p.row(t, "KeysService.Create"), `href="/keys"`, "RIPOSTE_API_KEY")
	wantTexts(t, p.row(t, "WebhooksService.Test"), `href="`+instance.path+`"`)
	r.get(instance.path).wants(t, http.StatusOK, `href="/audit?target=`+strings.TrimPrefix(instance.path, "/instances/")+`"`)

	for query, want := range map[string]int{
		"": 4, "?operation=KeysService.Create": 1, "?target=" + webhook: 2, "?actor=configured": 2, "?actor=nobody": 0, "?since=1h": 4,
		"?from=2020-01-01&to=2020-01-02": 0, "?from=2020-01-01": 4, "?actor=configured&operation=WebhooksService.Create": 1,
	} {
		p := r.get("/audit" + query)
		p.wants(t, http.StatusOK)
		if got := p.entries(); got != want {
			t.Errorf("%s has %d entries, want %d:\n%s", query, got, want, p.text)
		}
	}
	r.get("/audit?actor=nobody").wants(t, http.StatusOK, "No entry matches.", `value="nobody"`)
	r.get("/webhooks/"+webhook).wants(t, http.StatusOK, `href="/audit?target=`+webhook+`"`)
	readerOf(t, r.server).as(ripostev1.Role_ROLE_VIEWER).get("/webhooks/"+webhook).lacks(t, "/audit")
}

func TestFiltersOfTheAuditLogThatAreWrong(t *testing.T) {
	r := newReader(t).as(ripostev1.Role_ROLE_ADMIN)
	r.get("/audit?from=yesterday&to=never&since=2h").wants(t, http.StatusUnprocessableEntity,
		`id="from-about">This must be a time`, `id="to-about">This must be a time`, `id="since-about">In an address, this must be one of`, `value="yesterday"`)
	r.get("/audit?page=nonsense").wants(t, http.StatusUnprocessableEntity, "This is no page of this list", `href="/audit"`)
	r.get("/audit?target="+url.QueryEscape(strings.Repeat("x", 3000))).wants(t, http.StatusUnprocessableEntity, "The filter must have at most")
	r.get("/audit?target="+url.QueryEscape(`"\ OR <b>`)).wants(t, http.StatusOK, "No entry matches.")
}

func TestTheAuditLogHasPages(t *testing.T) {
	r := newReader(t).as(ripostev1.Role_ROLE_ADMIN)
	for n := range 30 {
		if _, err := r.server.Keys.Create(t.Context(), &ripostev1.KeysServiceCreateRequest{Name: fmt.Sprintf("number-%d.", n), Role: ripostev1.Role_ROLE_VIEWER}); err != nil {
			t.Fatal(err)
		}
	}
	first := r.get("/audit?operation=KeysService.Create")
	first.wants(t, http.StatusOK, "number-29.", "number-5.", "Next page")
	first.lacks(t, "number-4.", "First page")
	second := r.get(html.UnescapeString(link(t, first.text, "Next page")))
	second.wants(t, http.StatusOK, "number-4.", "number-0.", "First page", `value="KeysService.Create"`)
	second.lacks(t, "number-5.", "Next page")
	if all := r.get("/audit?size=50"); all.entries() != 31 {
		t.Errorf("a page of 50 has %d", all.entries())
	}
}
