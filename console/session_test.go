package console_test

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"

	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
	"github.com/riposte-dev/riposte/ripostetest"
	"github.com/riposte-dev/riposte/server"
)

func TestSigningInLeadsBackToWhereItBegan(t *testing.T) {
	r := newReader(t)
	for _, tt := range []struct{ path, want string }{
		{"/instances?state=ERROR&ticket=a%26b", "/instances?state=ERROR&ticket=a%26b"},
		{"/", "/"},
	} {
		p := r.get(tt.path)
		p.wants(t, 200, "API key")
		next := ""
		if u, err := url.Parse(p.path); err == nil {
			next = u.Query().Get("next")
		}
		if got := r.post("/sign-in", url.Values{"key": {ripostetest.APIKey}, "next": {next}}).path; got != tt.want {
			t.Errorf("%s led to %s", tt.path, got)
		}
		if got := r.post("/sign-out", url.Values{}).path; got != "/sign-in" {
			t.Errorf("signing out led to %s", got)
		}
	}
}

// TestSigningInLeadsNowhereElse: a link to the sign-in page can name any address.
func TestSigningInLeadsNowhereElse(t *testing.T) {
	r := newReader(t)
	for _, next := range []string{"https://evil.example/", "//evil.example/", `/\evil.example`, "javascript:alert(1)", "instances", "/\t/evil.example", "http:/evil", "%"} {
		p := r.post("/sign-in", url.Values{"key": {ripostetest.APIKey}, "next": {next}})
		if p.path != "/" {
			t.Errorf("%q led to %s", next, p.path)
		}
	}
}

func TestBadKeysAreRefused(t *testing.T) {
	r := newReader(t)
	for _, key := range []string{"", "  ", "riposte_nope", "two words", "a\nb", "ü"} {
		r.post("/sign-in", url.Values{"key": {key}}).wants(t, http.StatusUnprocessableEntity, `role="alert"`)
	}
	r.post("/sign-in", url.Values{"dev": {"1"}}).wants(t, http.StatusUnprocessableEntity, `role="alert"`)
	if p := r.get("/instances"); !strings.HasPrefix(p.path, "/sign-in") {
		t.Errorf("is signed in all the same, at %s", p.path)
	}
}

func TestOneClickWhereTheServerSaysSo(t *testing.T) {
	r := newReader(t, func(c *server.Config) { c.ConsoleOpen = true })
	r.get("/sign-in").wants(t, 200, "Sign in as an admin")
	if p := r.post("/sign-in", url.Values{"dev": {"1"}}); p.path != "/" {
		t.Errorf("one click led to %s", p.path)
	}
	newReader(t).get("/sign-in").lacks(t, "Sign in as an admin")
	// By way of a tunnel or a proxy on this machine, anybody is on this machine.
	for name, value := range map[string]string{"Host": "riposte.tunnel.example", "X-Forwarded-For": "192.0.2.1", "Forwarded": "for=192.0.2.1"} {
		s := newReader(t, func(c *server.Config) { c.ConsoleOpen, c.PublicURL = true, "https://riposte.tunnel.example" })
		header := map[string]string{name: value}
		s.do(http.MethodGet, "/sign-in", nil, header).lacks(t, "Sign in as an admin")
		s.do(http.MethodPost, "/sign-in", url.Values{"dev": {"1"}}, header).wants(t, http.StatusUnprocessableEntity)
	}
}

// TestCookieTellsNobodyTheKey, and counts only as it was given.
func TestCookieTellsNobodyTheKey(t *testing.T) {
	r := newReader(t, func(c *server.Config) { c.PublicURL = "https://riposte.example" })
	r.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	cookie := func(host string) string {
		p := r.do(http.MethodPost, "/sign-in", url.Values{"key": {ripostetest.APIKey}}, map[string]string{"Host": host})
		return p.header.Get("Set-Cookie")
	}
	plain, secure := cookie("127.0.0.1"), cookie("riposte.example")
	for _, attribute := range []string{"HttpOnly", "SameSite=Lax", "Path=/"} {
		if !strings.Contains(plain, attribute) {
			t.Errorf("the cookie lacks %s: %s", attribute, plain)
		}
	}
	if strings.Contains(plain, "Secure") || !strings.Contains(secure, "Secure") {
		t.Errorf("Secure must be said at the https URL alone: %q, %q", plain, secure)
	}
	_, value, _ := strings.Cut(strings.Split(plain, ";")[0], "=")
	sealed, err := base64.RawURLEncoding.DecodeString(value)
	if err != nil || strings.Contains(value+string(sealed), ripostetest.APIKey) {
		t.Errorf("the cookie %q (%v) has the key in it", value, err)
	}
	r.http.Jar = nil
	for name, value := range map[string]string{"as it is": value, "one bit off": flipped(sealed), "cut": value[:20], "empty": "", "somebody else's": newSealed(t)} {
		p := r.do(http.MethodGet, "/instances", nil, map[string]string{"Cookie": "riposte_session=" + value})
		if want := map[bool]int{true: 200, false: 303}[name == "as it is"]; p.status != want {
			t.Errorf("%s: %d, want %d", name, p.status, want)
		}
	}
}

// TestCookieIsSecureWhereTheBrowserCameByTLS, which ends at a proxy.
func TestCookieIsSecureWhereTheBrowserCameByTLS(t *testing.T) {
	for name, tt := range map[string]struct {
		publicURL, host, proto string
		want                   bool
	}{
		"the public URL's host":       {"https://riposte.example", "riposte.example", "", true},
		"its port is that of https":   {"https://Riposte.example:443", "riposte.example", "", true},
		"the browser says the port":   {"https://riposte.example", "riposte.example:443", "", true},
		"another port":                {"https://riposte.example:8443", "riposte.example", "", false},
		"http":                        {"http://riposte.example", "riposte.example", "", false},
		"another name":                {"https://riposte.example", "ops.internal", "", false},
		"another name, behind TLS":    {"https://riposte.example", "ops.internal", "https", true},
		"behind two proxies":          {"http://riposte.example", "riposte.example", "HTTPS, http", true},
		"without TLS, inside with it": {"http://riposte.example", "riposte.example", "http, https", false},
	} {
		t.Run(name, func(t *testing.T) {
			r := newReader(t, func(c *server.Config) { c.PublicURL, c.ConsoleHosts = tt.publicURL, "ops.internal" })
			r.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
			p := r.do(http.MethodPost, "/sign-in", url.Values{"key": {ripostetest.APIKey}}, map[string]string{"Host": tt.host, "X-Forwarded-Proto": tt.proto})
			if cookie := p.header.Get("Set-Cookie"); strings.Contains(cookie, "Secure") != tt.want || cookie == "" {
				t.Errorf("%q, want Secure: %t", cookie, tt.want)
			}
		})
	}
}

func flipped(sealed []byte) string {
	b := append([]byte(nil), sealed...)
	b[len(b)/2] ^= 1
	return base64.RawURLEncoding.EncodeToString(b)
}

// newSealed is another server's cookie.
func newSealed(t *testing.T) string {
	r := newReader(t)
	r.with(ripostetest.APIKey)
	u, err := url.Parse(r.server.BaseURL())
	if err != nil {
		t.Fatal(err)
	}
	return r.http.Jar.Cookies(u)[0].Value
}

// TestSessionEndsWithItsKey, because the API is asked with the key each time.
func TestSessionEndsWithItsKey(t *testing.T) {
	s := ripostetest.Start(t)
	res, err := s.Keys.Create(t.Context(), &ripostev1.KeysServiceCreateRequest{Name: "k", Role: ripostev1.Role_ROLE_VIEWER})
	if err != nil {
		t.Fatal(err)
	}
	r := readerOf(t, s).with(res.GetSecret())
	r.get("/instances").wants(t, 200, "Instances", "viewer")
	if _, err := s.Keys.Revoke(t.Context(), &ripostev1.KeysServiceRevokeRequest{Id: res.GetKey().GetId()}); err != nil {
		t.Fatal(err)
	}
	if p := r.get("/instances"); !strings.HasPrefix(p.path, "/sign-in") {
		t.Errorf("a revoked key still sees %s", p.path)
	}
}

// TestWhatWasEnteredIsKept when the session was over before it came.
func TestWhatWasEnteredIsKept(t *testing.T) {
	r := newReader(t).as(ripostev1.Role_ROLE_SENDER)
	id := r.ask(r.newWebhook(ripostetest.Reply{Status: 202}), approvalStep("T"), waiting)
	r.post("/sign-out", nil)
	p := r.post("/instances/"+id+"/answer", url.Values{"choice": {"deny"}, "comment": {`"because" <of> this`}})
	p.wants(t, http.StatusUnauthorized, "What you have entered is kept", "API key")
	sent := hiddenFields(p.text)
	sent.Set("key", "riposte_wrong")
	p = r.post("/sign-in", sent)
	p.wants(t, http.StatusUnprocessableEntity, "What you have entered is kept", `role="alert"`)
	sent = hiddenFields(p.text)
	sent.Set("key", ripostetest.APIKey)
	p = r.post("/sign-in", sent)
	p.wants(t, http.StatusOK, "Send it now", `action="/instances/`+id+`/answer"`)
	if o := r.outcome(id); o != nil {
		t.Fatalf("it was sent without being asked for: %v", o)
	}
	r.post("/instances/"+id+"/answer", hiddenFields(p.text)).wants(t, http.StatusOK, "Your answer is the outcome.")
	if o := r.outcome(id); o.GetComment() != `"because" <of> this` {
		t.Errorf("the comment is %q", o.GetComment())
	}
}
