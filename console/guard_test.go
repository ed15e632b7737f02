package console_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
	"github.com/riposte-dev/riposte/ripostetest"
	"github.com/riposte-dev/riposte/server"
)

// TestEveryAnswerHasTheSafetyHeaders, whatever it is.
func TestEveryAnswerHasTheSafetyHeaders(t *testing.T) {
	r := newReader(t).as(ripostev1.Role_ROLE_ADMIN)
	for _, path := range []string{"/", "/sign-in", "/instances", "/instances/nope", "/static/console.js", "/static/nope", "/webhooks/a/b/c"} {
		h := r.get(path).header
		for name, want := range map[string]string{
			"Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; " +
				"form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
			"X-Content-Type-Options":       "nosniff",
			"X-Frame-Options":              "DENY",
			"Referrer-Policy":              "same-origin",
			"Cross-Origin-Opener-Policy":   "same-origin",
			"Cross-Origin-Resource-Policy": "same-origin",
		} {
			if got := h.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", path, name, got, want)
			}
		}
		if got := h.Get("Cache-Control"); !strings.HasPrefix(path, "/static/") && got != "no-store" {
			t.Errorf("%s: Cache-Control is %q", path, got)
		}
	}
}

// TestOnlyItsOwnHostsAreAnswered: any other name may be somebody else's, with our
// address for it.
func TestOnlyItsOwnHostsAreAnswered(t *testing.T) {
	r := newReader(t, func(c *server.Config) {
		c.PublicURL, c.ConsoleHosts = "https://Riposte.Example:8443", "ops.internal, Console.internal:8443,dotted.internal."
	})
	for host, want := range map[string]int{
		"riposte.example:8443": 200, "riposte.example": 200, "RIPOSTE.example.": 200, "localhost:1": 200, "127.0.0.1:9": 200, "[::1]:80": 200,
		"ops.internal": 200, "console.internal:80": 200, "console.internal": 200, "dotted.internal": 200, "192.0.2.7": 200,
		"evil.example": 421, "riposte.example.evil.example": 421, "localhost.evil.example": 421, "127.0.0.1.evil.example": 421, "internal": 421,
	} {
		p := r.do(http.MethodGet, "/sign-in", nil, map[string]string{"Host": host})
		if p.status != want {
			t.Errorf("%s: %d, want %d", host, p.status, want)
		}
		if want == 421 && (!strings.Contains(p.text, "--console-hosts="+host) || strings.Contains(p.text, `name="key"`)) {
			t.Errorf("%s: the refusal doesn't say what to do: %s", host, p.text)
		}
	}
}

// TestFormsOfOtherSitesAreRefused: the cookie goes along with them.
func TestFormsOfOtherSitesAreRefused(t *testing.T) {
	r := newReader(t).as(ripostev1.Role_ROLE_ADMIN)
	host := strings.TrimPrefix(r.server.BaseURL(), "http://")
	for name, tt := range map[string]struct {
		header map[string]string
		want   int
	}{
		"a browser, same origin":     {map[string]string{"Sec-Fetch-Site": "same-origin", "Origin": "http://" + host}, 404},
		"a browser, another site":    {map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "http://evil.example"}, 403},
		"a browser, another port":    {map[string]string{"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1:1"}, 403},
		"an old one, same origin":    {map[string]string{"Origin": "http://" + host}, 404},
		"an old one, another site":   {map[string]string{"Origin": "http://evil.example"}, 403},
		"an old one, no origin told": {map[string]string{"Origin": "null"}, 403},
	} {
		if p := r.do(http.MethodPost, "/instances/"+strings.Repeat("3", 24)+"/cancel", url.Values{}, tt.header); p.status != tt.want {
			t.Errorf("%s: %d, want %d", name, p.status, tt.want)
		}
	}
}

// TestNoGetActs asks for the addresses of forms that would do something.
func TestNoGetActs(t *testing.T) {
	r := newReader(t).as(ripostev1.Role_ROLE_ADMIN)
	webhook := r.newWebhook(ripostetest.Reply{Status: 202})
	id := r.ask(webhook, approvalStep("T"), waiting)
	for _, path := range []string{"/instances/" + id + "/cancel", "/instances/" + id + "/retry", "/instances/" + id + "/recreate",
		"/instances/" + id + "/answer?choice=approve", "/webhooks/" + webhook + "/test", "/webhooks/" + webhook + "/delete", "/sign-out"} {
		r.get(path)
	}
	if o := r.outcome(id); o != nil {
		t.Errorf("a GET decided an instance: %v", o)
	}
	if n := r.count(""); n != 1 {
		t.Errorf("there are %d instances, one was asked", n)
	}
	r.get("/webhooks/"+webhook).wants(t, http.StatusOK, "Send a test")
	if p := r.get("/instances"); p.path != "/instances" {
		t.Errorf("a GET has ended the session: %s", p.path)
	}
}
