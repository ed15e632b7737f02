package console_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/riposte-dev/riposte/console"
	webhooksv1 "github.com/riposte-dev/riposte/gen/c1/api/webhooks/v1"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
	"github.com/riposte-dev/riposte/ripostetest"
)

// webhookForm is a webhook's form filled in right, with these fields otherwise.
func webhookForm(changes ...string) url.Values {
	form := url.Values{
		"displayName": {" approvals "}, "url": {"http://127.0.0.1:9/in"}, "description": {"one\r\ntwo"}, "callbackTimeout": {"36 hours"},
		"retryPolicy": {"FAST"}, "maxInFlight": {"8"}, "maxInFlightTotal": {"20"}, "outcomeUrl": {"http://127.0.0.1:9/out"},
	}
	for n := 0; n < len(changes); n += 2 {
		form.Set(changes[n], changes[n+1])
	}
	return form
}

// onlyWebhook returns the one webhook that there is, and its settings.
func (r *reader) onlyWebhook() (*webhooksv1.Webhook, *ripostev1.WebhookSettings) {
	r.t.Helper()
	list, err := r.server.Webhooks.List(r.t.Context(), &webhooksv1.WebhooksServiceListRequest{})
	if err != nil {
		r.t.Fatal(err)
	}
	if len(list.GetList()) != 1 {
		r.t.Fatalf("there are %d webhooks, want 1", len(list.GetList()))
	}
	w := list.GetList()[0]
	s, err := r.server.Settings.Get(r.t.Context(), &ripostev1.WebhookSettingsServiceGetRequest{WebhookId: w.GetId()})
	if err != nil {
		r.t.Fatal(err)
	}
	return w, s.GetSettings()
}

// wantWebhook fails the test unless the only webhook is as the form says.
func (r *reader) wantWebhook(name, at, description string, timeout time.Duration, want *ripostev1.WebhookSettings) {
	r.t.Helper()
	w, s := r.onlyWebhook()
	got := []any{w.GetDisplayName(), w.GetUrl(), w.GetDescription(), w.GetCallbackTimeout().AsDuration()}
	if diff := cmp.Diff([]any{name, at, description, timeout}, got); diff != "" {
		r.t.Error(diff)
	}
	if diff := cmp.Diff(want, s, protocmp.Transform()); diff != "" {
		r.t.Error(diff)
	}
}

func settings(policy ripostev1.RetryPolicy, each, total int32, outcomeURL string) *ripostev1.WebhookSettings {
	return &ripostev1.WebhookSettings{RetryPolicy: &policy, MaxInFlight: &each, MaxInFlightTotal: &total, OutcomeUrl: &outcomeURL,
		Headers: &ripostev1.WebhookHeaders{}, CaPem: new("")}
}

const (
	fast     = ripostev1.RetryPolicy_RETRY_POLICY_FAST
	thenSlow = ripostev1.RetryPolicy_RETRY_POLICY_FAST_THEN_SLOW
)

func TestAWebhookIsMadeAndChangedByItsForm(t *testing.T) {
	r := newReader(t).as(ripostev1.Role_ROLE_ADMIN)
	r.get("/webhooks/new").wants(t, 200, "New webhook", `action="/webhooks"`, `value="FAST_THEN_SLOW" checked`)
	p := r.post("/webhooks", webhookForm())
	w, _ := r.onlyWebhook()
	if want := "/webhooks/" + w.GetId(); p.path != want {
		t.Fatalf("led to %s, want %s: %s", p.path, want, p.text)
	}
	r.wantWebhook("approvals", "http://127.0.0.1:9/in", "one\ntwo", 36*time.Hour, settings(fast, 8, 20, "http://127.0.0.1:9/out"))

	r.get("/webhooks/"+w.GetId()+"/edit").wants(t, 200, "Edit webhook", `value="approvals"`, `value="http://127.0.0.1:9/in"`, "one\ntwo</textarea>",
		`value="1 day 12 hours"`, `value="FAST" checked`, `value="8"`, `value="20"`, `value="http://127.0.0.1:9/out"`, `action="/webhooks/`+w.GetId()+`"`)
	p = r.post("/webhooks/"+w.GetId(), webhookForm("displayName", "others", "description", "", "callbackTimeout", "2 days", "maxInFlight", "9"))
	if want := "/webhooks/" + w.GetId(); p.path != want {
		t.Fatalf("led to %s, want %s: %s", p.path, want, p.text)
	}
	r.wantWebhook("others", "http://127.0.0.1:9/in", "", 48*time.Hour, settings(fast, 9, 20, "http://127.0.0.1:9/out"))

	// What is left empty goes back to its default.
	r.post("/webhooks/"+w.GetId(), webhookForm("callbackTimeout", "", "retryPolicy", "", "maxInFlight", "", "maxInFlightTotal", "", "outcomeUrl", ""))
	r.wantWebhook("approvals", "http://127.0.0.1:9/in", "one\ntwo", 8*24*time.Hour, settings(thenSlow, 64, 0, ""))
}

func TestAWebhookIsMadeOfNameAndURL(t *testing.T) {
	for policy, want := range map[string]ripostev1.RetryPolicy{"": thenSlow, "FAST": fast} {
		r := newReader(t).as(ripostev1.Role_ROLE_ADMIN)
		r.post("/webhooks", url.Values{"displayName": {"bare"}, "url": {"http://127.0.0.1:9/in"}, "retryPolicy": {policy}})
		r.wantWebhook("bare", "http://127.0.0.1:9/in", "", 8*24*time.Hour, settings(want, 64, 0, ""))
	}
}

// TestWhatIsWrongWithAWebhookIsSaidAtItsFields, with all that was typed still there
// and nothing made.
func TestWhatIsWrongWithAWebhookIsSaidAtItsFields(t *testing.T) {
	r := newReader(t).as(ripostev1.Role_ROLE_ADMIN)
	for name, tt := range map[string]struct {
		changes []string
		wants   []string
	}{
		"by the API, all at once": {[]string{"displayName", " ", "url", "ftp://x", "description", strings.Repeat("x", 2049), "callbackTimeout", "3 hours"},
			[]string{`id="displayName-about">Name must be set.`, `id="url-about">URL must begin with`, `id="description-about">Description must have at most 2048`,
				`id="callbackTimeout-about">Callback timeout must be from 86400s`, `value="ftp://x"`, `value="3 hours"`, `value="8"`}},
		"no span of time": {[]string{"callbackTimeout", "soon"}, []string{`id="callbackTimeout-about">Callback timeout must be a span of time`, `value="soon"`}},
		"no numbers": {[]string{"maxInFlight", "many", "maxInFlightTotal", "1.5"},
			[]string{"at each node must be a whole number", "at all nodes together must be a whole number", `value="many"`, `value="1.5"`, "<details open>"}},
		"a number that is too large": {[]string{"maxInFlight", "4294967296"}, []string{"at each node must be a whole number", `value="4294967296"`}},
	} {
		t.Run(name, func(t *testing.T) {
			p := r.post("/webhooks", webhookForm(tt.changes...))
			p.wants(t, http.StatusUnprocessableEntity, append(tt.wants, "New webhook", `role="alert"`, "Nothing is saved yet", `aria-invalid="true"`)...)
		})
	}
	list, err := r.server.Webhooks.List(t.Context(), &webhooksv1.WebhooksServiceListRequest{})
	if err != nil || len(list.GetList()) > 0 {
		t.Errorf("%d webhooks were made: %v", len(list.GetList()), err)
	}
	id := r.newWebhook(ripostetest.Reply{})
	r.post("/webhooks/"+id, webhookForm("displayName", "", "url", "ftp://x")).wants(t, http.StatusUnprocessableEntity,
		"Edit webhook", "Nothing is saved yet", "Name must be set.", "URL must begin with", `value="ftp://x"`)
	if w, _ := r.onlyWebhook(); w.GetDisplayName() != "hook" {
		t.Errorf("it was saved all the same: %v", w)
	}
}

// TestSettingsThatAreRefusedLoseNothing: by then the webhook is made, and trying again
// must not make another one.
func TestSettingsThatAreRefusedLoseNothing(t *testing.T) {
	r := newReader(t).as(ripostev1.Role_ROLE_ADMIN)
	p := r.post("/webhooks", webhookForm("maxInFlight", "0", "maxInFlightTotal", "99999", "outcomeUrl", "nope", "retryPolicy", "NEVER"))
	w, _ := r.onlyWebhook()
	p.wants(t, http.StatusUnprocessableEntity, "Edit webhook", "The webhook is created, but without these settings", "at each node must be from 1 to 1024",
		"at all nodes together must be from 0", "Outcome URL must be", "Retries must be", `value="0"`, `value="99999"`, `value="nope"`, "<details open>",
		`action="/webhooks/`+w.GetId()+`"`, `data-home="/webhooks/`+w.GetId()+`/edit"`)
	p = r.post("/webhooks/"+w.GetId(), webhookForm("maxInFlightTotal", "99999"))
	p.wants(t, http.StatusUnprocessableEntity, "The webhook is saved, but without these settings", `value="99999"`)
	r.post("/webhooks/"+w.GetId(), webhookForm())
	r.wantWebhook("approvals", "http://127.0.0.1:9/in", "one\ntwo", 36*time.Hour, settings(fast, 8, 20, "http://127.0.0.1:9/out"))
}

// TestTwoMayEditAtOnce: what one of them has not touched stays as the other has made it.
func TestTwoMayEditAtOnce(t *testing.T) {
	r := newReader(t).as(ripostev1.Role_ROLE_ADMIN)
	r.post("/webhooks", webhookForm("description", "\r\n one\r\ntwo "))
	w, _ := r.onlyWebhook()
	at := "/webhooks/" + w.GetId()
	edit := func() url.Values { return r.get(at+"/edit").form(t, at) }
	one, other := edit(), edit()
	one.Set("url", "http://127.0.0.1:9/moved")
	one.Set("maxInFlight", "9")
	other.Set("description", "said <so>\r\n'here'")
	other.Set("callbackTimeout", "")
	other.Set("outcomeUrl", "")
	for _, form := range []url.Values{one, other} {
		r.post(at, form).wants(t, http.StatusOK, "Saved.")
	}
	r.wantWebhook("approvals", "http://127.0.0.1:9/moved", "said <so>\n'here'", 8*24*time.Hour, settings(fast, 9, 20, ""))

	// Nothing is changed by a form that says nothing else than was shown.
	before, _ := r.onlyWebhook()
	if p := r.post(at, edit()); p.path != at+"" {
		t.Errorf("led to %s: %s", p.path, p.text)
	}
	if after, _ := r.onlyWebhook(); !cmp.Equal(before, after, protocmp.Transform()) {
		t.Errorf("it was %v, is %v", before, after)
	}

	// A form that comes back goes by what it showed at first, and by what it has saved.
	form := edit()
	form.Set("url", "ftp://x")
	form.Set("displayName", "renamed")
	form.Set("maxInFlightTotal", "99999")
	third := edit()
	third.Set("maxInFlight", "10")
	third.Set("callbackTimeout", "2 days")
	r.post(at, third).wants(t, http.StatusOK, "Saved.")
	form = r.post(at, form).form(t, at)
	form.Set("url", "http://127.0.0.1:9/again")
	p := r.post(at, form)
	p.wants(t, http.StatusUnprocessableEntity, "The webhook is saved, but without these settings")
	fourth := edit()
	fourth.Set("url", "http://127.0.0.1:9/last")
	r.post(at, fourth).wants(t, http.StatusOK, "Saved.")
	form = p.form(t, at)
	form.Set("maxInFlightTotal", "20")
	r.post(at, form).wants(t, http.StatusOK, "Saved.")
	r.wantWebhook("renamed", "http://127.0.0.1:9/last", "said <so>\n'here'", 48*time.Hour, settings(fast, 10, 20, ""))
}

// TestSettingsThatCantBeSavedNowLoseNothing has a console whose API takes everything
// but settings, as when the server is overloaded in between.
func TestSettingsThatCantBeSavedNowLoseNothing(t *testing.T) {
	r := newReader(t)
	target, err := url.Parse(r.server.BaseURL())
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	api := &httputil.ReverseProxy{Transport: transport, Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(target) }}
	overloaded := http.NewServeMux()
	overloaded.Handle("/", api)
	code := connect.CodeUnavailable
	overloaded.HandleFunc("/riposte.v1.WebhookSettingsService/Update", func(w http.ResponseWriter, r *http.Request) {
		_ = connect.NewErrorWriter().Write(w, r, connect.NewError(code, nil))
	})
	c, err := console.New(console.Options{API: overloaded, SessionKey: make([]byte, 32), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	var cookie string
	post := func(path string, form url.Values) seen {
		req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://localhost"+path, strings.NewReader(form.Encode()))
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Cookie", cookie)
		w := httptest.NewRecorder()
		c.ServeHTTP(w, req)
		return seen{w.Code, path, w.Body.String(), w.Header()}
	}
	cookie, _, _ = strings.Cut(post("/sign-in", url.Values{"key": {r.server.APIKey}}).header.Get("Set-Cookie"), ";")
	p := post("/webhooks", webhookForm())
	w, _ := r.onlyWebhook()
	p.wants(t, http.StatusServiceUnavailable, "The webhook is created, but without these settings: save again in a moment.", `value="20"`, `action="/webhooks/`+w.GetId()+`"`)
	p = post("/webhooks/"+w.GetId(), webhookForm("displayName", "others"))
	p.wants(t, http.StatusServiceUnavailable, "The webhook is saved, but without these settings")
	code = connect.CodeDeadlineExceeded
	p = post("/webhooks/"+w.GetId(), webhookForm("displayName", "others"))
	p.wants(t, http.StatusServiceUnavailable, "The webhook is saved, but with these settings or without them: save again")
	r.wantWebhook("others", "http://127.0.0.1:9/in", "one\ntwo", 36*time.Hour, settings(thenSlow, 64, 0, ""))
}
