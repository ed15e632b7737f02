package console_test

import (
	"fmt"
	"html"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/riposte-dev/riposte/console"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
	"github.com/riposte-dev/riposte/ripostetest"
)

var hiddenField = regexp.MustCompile(`<input type="hidden" name="([^"]+)" value="([^"]*)">`)

// nextPart is the form of a page of a bulk change, nil where there is none.
func nextPart(page string) url.Values {
	_, form, found := strings.Cut(page, `action="/instances/bulk"`)
	if !found {
		return nil
	}
	form, _, _ = strings.Cut(form, "</form>")
	return hiddenFields(form)
}

// hiddenFields are those of a page, or of a part of one.
func hiddenFields(page string) url.Values {
	fields := url.Values{}
	for _, m := range hiddenField.FindAllStringSubmatch(page, -1) {
		fields.Set(html.UnescapeString(m[1]), html.UnescapeString(m[2]))
	}
	return fields
}

// link is where the one with this text leads.
func link(t *testing.T, page, text string) string {
	t.Helper()
	before, _, found := strings.Cut(page, ">"+text+"</a>")
	if !found {
		t.Fatalf("there is no link %q:\n%s", text, page)
	}
	_, href, _ := strings.Cut(before[strings.LastIndex(before, "<a "):], `href="`)
	href, _, _ = strings.Cut(href, `"`)
	return html.UnescapeString(href)
}

// askMany creates instances of one label.
func (r *reader) askMany(webhook string, n int, team string) {
	r.t.Helper()
	var requests []*ripostev1.InstancesServiceCreateRequest
	for i := range n {
		requests = append(requests, &ripostev1.InstancesServiceCreateRequest{WebhookId: webhook, Source: approvalStep(fmt.Sprint("T-", i)),
			Payload: []byte(`{}`), Labels: map[string]string{"team": team}})
	}
	if _, err := r.server.Instances.BatchCreate(r.t.Context(), &ripostev1.InstancesServiceBatchCreateRequest{Requests: requests}); err != nil {
		r.t.Fatal(err)
	}
}

// count is how many instances match.
func (r *reader) count(filter string) int {
	r.t.Helper()
	res, err := r.server.Instances.Count(r.t.Context(), &ripostev1.InstancesServiceCountRequest{Filter: filter})
	if err != nil {
		r.t.Fatal(err)
	}
	return int(res.GetCount())
}

func TestAllThatMatchAreCanceledPartByPart(t *testing.T) {
	r := newReader(t).as(ripostev1.Role_ROLE_SENDER)
	webhook := r.newWebhook(ripostetest.Reply{Status: http.StatusAccepted})
	r.askMany(webhook, 250, "red")
	r.askMany(webhook, 3, "blue")
	closed := r.ask(webhook, approvalStep("T-closed"), waiting)
	r.post("/instances/"+closed+"/cancel", nil).wants(t, http.StatusOK)

	p := r.get(link(t, r.get("/instances?since=1h&labels=team%3Dred").text, "Cancel all…"))
	p.wants(t, http.StatusOK, "250 instances match.", "<bdi>team=red</bdi>", "Asked from", ">Cancel them<")
	if n := r.count(`state = "FATAL_ERROR"`); n != 1 {
		t.Fatalf("looking has canceled: %d are closed", n)
	}
	r.get(link(t, p.text, "Leave them")).wants(t, http.StatusOK, `value="team=red"`, "Cancel all…")
	r.askMany(webhook, 5, "red") // nobody has been told of these
	p = r.post("/instances/bulk", nextPart(p.text))
	p.wants(t, http.StatusOK, "200 of 250 looked at: 200 canceled.", `max="250" value="200"`, "data-continue", ">Go on<", "80%: cancel instances")
	second := nextPart(p.text)
	p = r.post("/instances/bulk", second)
	p.wants(t, http.StatusOK, "Done.", "250 looked at: 250 canceled.", `href="/instances?`)
	p.lacks(t, "data-continue", "Go on")
	if n := r.count(`labels.team = "red" AND state = "FATAL_ERROR"`); n != 250 {
		t.Errorf("%d are canceled, want 250", n)
	}
	if n := r.count(`labels.team = "blue" AND state = "FATAL_ERROR"`); n != 0 {
		t.Errorf("%d that don't match are canceled", n)
	}
	// A part that is repeated, such as by a reload, finds them closed.
	r.post("/instances/bulk", second).wants(t, http.StatusOK, "Done.", "200 canceled, 50 left as they were")

	p = r.get("/instances/bulk?action=cancel&webhook=" + webhook)
	p.wants(t, http.StatusOK, "259 instances match.", "<bdi>hook</bdi>")
	p = r.post("/instances/bulk", nextPart(p.text))
	p = r.post("/instances/bulk", nextPart(p.text))
	p.wants(t, http.StatusOK, "259 looked at: 8 canceled, 251 left as they were, because they have their outcome.")
}

func TestARepeatedPartRecreatesNothingTwice(t *testing.T) {
	r := newReader(t).as(ripostev1.Role_ROLE_SENDER)
	webhook := r.newWebhook(ripostetest.Reply{Status: http.StatusAccepted})
	r.askMany(webhook, 250, "red")
	filter := fmt.Sprintf(`webhookId = %q`, webhook)

	p := r.get("/instances/bulk?action=recreate&webhook=" + webhook)
	p.wants(t, http.StatusOK, "250 instances match.")
	first := nextPart(p.text)
	if first.Get("request") == "" || first.Get("request") == nextPart(r.get("/instances/bulk?action=recreate&webhook="+webhook).text).Get("request") {
		t.Errorf("the request id is %q, also of another one", first.Get("request"))
	}
	for range 2 {
		p = r.post("/instances/bulk", first)
		p.wants(t, http.StatusOK, "200 of 250 looked at: 200 asked again.")
		if n := r.count(filter); n != 450 {
			t.Fatalf("there are %d instances, want 450", n)
		}
	}
	second := nextPart(p.text)
	for range 2 {
		p = r.post("/instances/bulk", second)
		p.wants(t, http.StatusOK, "Done.", "250 looked at: 250 asked again.")
		if n := r.count(filter); n != 500 {
			t.Fatalf("there are %d instances, want 500", n)
		}
	}
}

func TestABulkChangeNeedsAFilter(t *testing.T) {
	r := newReader(t).as(ripostev1.Role_ROLE_SENDER)
	webhook := r.newWebhook(ripostetest.Reply{Status: http.StatusAccepted})
	r.ask(webhook, approvalStep("T-1"), waiting)
	for query, want := range map[string]string{
		"":                                 "There is no filter",
		"&since=ever":                      "Since must be one of 15m, 1h,",
		"&since=2h&state=WAITING_CALLBACK": "Since must be one of 15m, 1h,",
		"&state=SLEEPING":                  "The filter ",
		"&labels=red":                      "Labels must be key=value",
		"&from=noon&to=later":              "From must be a time",
		"&since=1h&from=noon":              "From must be a time",
		"&webhook=nobody":                  "No instance matches",
		"&state=SUCCESS&to=%3C":            "To must be a time",
	} {
		p := r.get("/instances/bulk?action=cancel" + query)
		status := http.StatusUnprocessableEntity
		if want == "No instance matches" {
			status = http.StatusOK
		}
		p.wants(t, status, want)
		if nextPart(p.text) != nil {
			t.Errorf("%q can be begun", query)
		}
		form, err := url.ParseQuery("action=cancel" + query)
		if err != nil {
			t.Fatal(err)
		}
		if form.Get("webhook") == "" {
			r.post("/instances/bulk", form).wants(t, http.StatusUnprocessableEntity)
		}
	}
	r.get("/instances/bulk?state=ERROR").wants(t, http.StatusNotFound)
	r.get("/instances/bulk?action=delete&state=ERROR").wants(t, http.StatusNotFound)
	r.post("/instances/bulk", nil).wants(t, http.StatusNotFound)
	if n := r.count(`state = "WAITING_CALLBACK"`); n != 1 {
		t.Errorf("%d still wait, want 1", n)
	}
}

func TestBulkChangesAreForSenders(t *testing.T) {
	r := newReader(t).as(ripostev1.Role_ROLE_VIEWER)
	webhook := r.newWebhook(ripostetest.Reply{Status: http.StatusAccepted})
	r.ask(webhook, approvalStep("T-1"), waiting)
	for _, action := range []string{"cancel", "recreate"} {
		r.get("/instances/bulk?state=WAITING_CALLBACK&action="+action).wants(t, http.StatusForbidden, "Not with this key")
		form := url.Values{"action": {action}, "state": {"WAITING_CALLBACK"}, "request": {"r"}}
		r.post("/instances/bulk", form).wants(t, http.StatusForbidden, "Not with this key")
	}
	if n := r.count(`state = "WAITING_CALLBACK"`); n != 1 {
		t.Errorf("%d still wait, want 1", n)
	}
}

func TestATokenOfAnotherFilterIsRefused(t *testing.T) {
	r := newReader(t).as(ripostev1.Role_ROLE_SENDER)
	webhook := r.newWebhook(ripostetest.Reply{Status: http.StatusAccepted})
	r.askMany(webhook, 201, "red")
	p := r.get("/instances/bulk?action=cancel&labels=team%3Dred")
	form := nextPart(r.post("/instances/bulk", nextPart(p.text)).text)
	form.Set("labels", "team=blue")
	r.post("/instances/bulk", form).wants(t, http.StatusUnprocessableEntity, "That can&#39;t be done")
	form.Set("labels", "team=red")
	r.post("/instances/bulk", form).wants(t, http.StatusOK, "201 looked at: 201 canceled.")
}

// TestAPartThatFailsCanBeTriedAgain has a console whose way to the API is cut when
// the second part is asked for.
func TestAPartThatFailsCanBeTriedAgain(t *testing.T) {
	r := newReader(t)
	webhook := r.newWebhook(ripostetest.Reply{Status: http.StatusAccepted})
	r.askMany(webhook, 201, "red")
	var away atomic.Bool
	base, err := url.Parse(r.server.BaseURL())
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(base)
	proxy.Transport = r.http.Transport
	front := r.frontOf(http.HandlerFunc(func(w http.ResponseWriter, in *http.Request) {
		if away.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		proxy.ServeHTTP(w, in)
	}))
	r.base = front
	r.as(ripostev1.Role_ROLE_SENDER)

	p := r.get("/instances/bulk?action=cancel&webhook=" + webhook)
	p = r.post("/instances/bulk", nextPart(p.text))
	form := nextPart(p.text)
	away.Store(true)
	p = r.post("/instances/bulk", form)
	p.wants(t, http.StatusServiceUnavailable, "The last part failed:", "200 of 201 looked at: 200 canceled", ">Go on<")
	p.lacks(t, "data-continue")
	if got := nextPart(p.text); !maps.EqualFunc(got, form, slices.Equal) {
		t.Errorf("the form is %v, want %v", got, form)
	}
	away.Store(false)
	r.post("/instances/bulk", nextPart(p.text)).wants(t, http.StatusOK, "201 looked at: 201 canceled.")
}

// frontOf is a console of its own before an API, by its base URL.
func (r *reader) frontOf(api http.Handler) string {
	r.t.Helper()
	key, err := console.NewSessionKey()
	if err != nil {
		r.t.Fatal(err)
	}
	c, err := console.New(console.Options{API: api, SessionKey: key, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		r.t.Fatal(err)
	}
	s := httptest.NewServer(c)
	r.t.Cleanup(s.Close)
	return s.URL
}
