package api_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/api"
)

const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// grantee is a client and what it needs for calling the API alone.
type grantee struct {
	riposte.Client
	secret string
	key    ed25519.PrivateKey
}

func newGrantee(t testing.TB, store riposte.Store, name string, role riposte.Role, expiresAt time.Time) grantee {
	t.Helper()
	c, secret, err := riposte.NewClient(name, "riposte.example", role, expiresAt, 0, store.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := store.CreateClient(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	key, err := riposte.ParseClientSecret(secret)
	if err != nil {
		t.Fatal(err)
	}
	return grantee{c, secret, key}
}

// claims are those of C1's clients.
func (p grantee) claims(now time.Time, change ...func(map[string]any)) map[string]any {
	c := map[string]any{"iss": p.ClientID, "sub": p.ClientID, "aud": []string{"riposte.example"},
		"exp": now.Add(2 * time.Minute).Unix(), "iat": now.Unix(), "nbf": now.Add(-2 * time.Minute).Unix()}
	for _, f := range change {
		f(c)
	}
	return c
}

// nonce is a jose.NonceSource; "" for none.
type nonce string

func (n nonce) Nonce() (string, error) { return string(n), nil }

// assertion signs claims as C1's clients do.
func (p grantee) assertion(t testing.TB, n nonce, claims map[string]any) string {
	t.Helper()
	return signed(t, jose.EdDSA, p.key, n, claims)
}

func signed(t testing.TB, alg jose.SignatureAlgorithm, key any, n nonce, claims any) string {
	t.Helper()
	o := &jose.SignerOptions{}
	if n != "" {
		o.NonceSource = n
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, o)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	s, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (p grantee) bySecret() url.Values {
	return url.Values{"grant_type": {"client_credentials"}, "client_id": {p.ClientID}, "client_secret": {p.secret}}
}

func (p grantee) byAssertion(assertion string) url.Values {
	return url.Values{"grant_type": {"client_credentials"}, "client_id": {p.ClientID},
		"client_assertion_type": {assertionType}, "client_assertion": {assertion}}
}

// grant is what the token endpoint answers.
type grant struct {
	*httptest.ResponseRecorder
	AccessToken string `json:"access_token"`
	TokenType   string `json:"token_type"`
	ExpiresIn   any    `json:"expires_in"`
	Error       string `json:"error"`
	Description string `json:"error_description"`
}

// askToken sends a form; header has names and values.
func askToken(t testing.TB, s *api.Server, form string, header ...string) grant {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/auth/v1/token", strings.NewReader(form))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return tokenAnswer(t, s, r)
}

func tokenAnswer(t testing.TB, s *api.Server, r *http.Request) grant {
	t.Helper()
	g := grant{ResponseRecorder: httptest.NewRecorder()}
	s.ServeHTTP(g.ResponseRecorder, r)
	if err := json.Unmarshal(g.Body.Bytes(), &g); err != nil {
		t.Fatalf("HTTP %d: %s", g.Code, g.Body)
	}
	if h := g.Header(); h.Get("Cache-Control") != "no-store" || h.Get("Content-Type") != "application/json" {
		t.Errorf("HTTP %d has the headers %v", g.Code, h)
	}
	return g
}

// calls makes a call with the token and returns its HTTP status and WWW-Authenticate.
func calls(t testing.TB, s *api.Server, token string) (int, string) {
	t.Helper()
	r := newRequest(t.Context(), "GET /api/v1/webhooks", "")
	r.Header.Set("Authorization", "Bearer "+token)
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w.Code, w.Header().Get("WWW-Authenticate")
}

func TestEachProofGetsAToken(t *testing.T) {
	s, store := newAPI(t)
	p := newGrantee(t, store, "billing", riposte.RoleViewer, time.Time{})
	now := store.Now()
	noID := p.byAssertion(p.assertion(t, "", p.claims(now)))
	noID.Del("client_id")
	escaped := base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(p.ClientID) + ":" + url.QueryEscape(p.secret)))
	plain := base64.StdEncoding.EncodeToString([]byte(p.ClientID + ":" + p.secret))
	port := newGrantee(t, store, "port", riposte.RoleViewer, time.Time{})
	for name, g := range map[string]grant{
		"a secret":                 askToken(t, s, p.bySecret().Encode()),
		"a secret and a scope":     askToken(t, s, p.bySecret().Encode()+"&scope=x"),
		"a secret, with a charset": askToken(t, s, p.bySecret().Encode(), "Content-Type", "application/x-www-form-urlencoded; charset=utf-8"),
		"an empty parameter":       askToken(t, s, p.bySecret().Encode()+"&client_assertion="),
		"Basic":                    askToken(t, s, "grant_type=client_credentials", "Authorization", "Basic "+escaped),
		"Basic and the id":         askToken(t, s, "grant_type=client_credentials&client_id="+url.QueryEscape(p.ClientID), "Authorization", "Basic "+escaped),
		"Basic, not encoded":       askToken(t, s, "grant_type=client_credentials", "Authorization", "Basic "+plain),
		"a nonce":                  askToken(t, s, p.byAssertion(p.assertion(t, "n", p.claims(now))).Encode()),
		"a jti":                    askToken(t, s, p.byAssertion(p.assertion(t, "", p.claims(now, with("jti", "n")))).Encode()),
		"neither":                  askToken(t, s, p.byAssertion(p.assertion(t, "", p.claims(now, with("aud", "riposte.example")))).Encode()),
		"the issuer in capitals":   askToken(t, s, p.byAssertion(p.assertion(t, "C", p.claims(now, with("aud", []string{"x", "RIPOSTE.example"})))).Encode()),
		"the latest exp":           askToken(t, s, p.byAssertion(p.assertion(t, "L", p.claims(now, with("exp", now.Add(5*time.Minute+29*time.Second).Unix())))).Encode()),
		"the earliest exp":         askToken(t, s, p.byAssertion(p.assertion(t, "E", p.claims(now, with("exp", now.Add(-28*time.Second).Unix())))).Encode()),
		"iss, sub, aud and exp":    askToken(t, s, p.byAssertion(p.assertion(t, "M", p.claims(now, with("iat", nil), with("nbf", nil)))).Encode()),
		"no client_id":             askToken(t, s, noID.Encode()),
		"another client":           askToken(t, s, port.byAssertion(port.assertion(t, "n", port.claims(now))).Encode()),
	} {
		if g.Code != http.StatusOK || g.TokenType != "Bearer" || g.ExpiresIn != 600.0 || g.AccessToken == "" {
			t.Errorf("%s: HTTP %d: %s", name, g.Code, g.Body)
			continue
		}
		if code, _ := calls(t, s, g.AccessToken); code != http.StatusOK {
			t.Errorf("%s: the token's call gets HTTP %d", name, code)
		}
	}
}

// with sets a claim; nil takes it away.
func with(name string, value any) func(map[string]any) {
	return func(c map[string]any) {
		if c[name] = value; value == nil {
			delete(c, name)
		}
	}
}

// TestBasicTakesAHostWithAPort, which has a colon in the client's id, from whoever
// doesn't encode it.
func TestBasicTakesAHostWithAPort(t *testing.T) {
	s, store := newAPI(t)
	c, secret, err := riposte.NewClient("a", "riposte.example:8443", riposte.RoleViewer, time.Time{}, 0, store.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := store.CreateClient(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	for _, credentials := range []string{c.ClientID + ":" + secret, url.QueryEscape(c.ClientID) + ":" + url.QueryEscape(secret)} {
		g := askToken(t, s, "grant_type=client_credentials", "Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(credentials)))
		if g.Code != http.StatusOK {
			t.Errorf("%s: HTTP %d: %s", credentials, g.Code, g.Body)
		}
	}
}

// noToken is a request that gets no token.
type noToken struct {
	form   string
	header []string
	status int
	code   string
	says   string // part of error_description
}

func TestTokenRefusals(t *testing.T) {
	s, store := newAPI(t)
	p := newGrantee(t, store, "billing", riposte.RoleViewer, time.Time{})
	for name, c := range badRequests(t, p, newGrantee(t, store, "other", riposte.RoleAdmin, time.Time{})) {
		c.check(t, s, name)
	}
}

func TestAssertionRefusals(t *testing.T) {
	s, store := newAPI(t)
	p := newGrantee(t, store, "billing", riposte.RoleViewer, time.Time{})
	for name, c := range badAssertions(t, p, newGrantee(t, store, "other", riposte.RoleAdmin, time.Time{}), store.Now()) {
		c.check(t, s, name)
	}
}

func (c noToken) check(t *testing.T, s *api.Server, name string) {
	t.Helper()
	g := askToken(t, s, c.form, c.header...)
	if g.Code != c.status || g.Error != c.code || !strings.Contains(g.Description, c.says) || g.AccessToken != "" {
		t.Errorf("%s: HTTP %d, %s; want %d, %s, %s", name, g.Code, g.Body, c.status, c.code, c.says)
	}
	if got, want := g.Header().Get("WWW-Authenticate"), c.status == http.StatusUnauthorized && len(c.header) > 0; strings.HasPrefix(got, "Basic ") != want {
		t.Errorf("%s: HTTP %d has WWW-Authenticate %q", name, g.Code, got)
	}
}

func badRequests(t *testing.T, p, other grantee) map[string]noToken {
	form := func(change func(url.Values)) string {
		v := p.bySecret()
		change(v)
		return v.Encode()
	}
	basic := func(s string) []string {
		return []string{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte(s))}
	}
	grantType, good := "grant_type=client_credentials", p.bySecret().Encode()
	return map[string]noToken{
		"no form":                    {"{}", []string{"Content-Type", "application/json"}, 400, "invalid_request", "Content-Type"},
		"no content type":            {good, []string{"Content-Type", ""}, 400, "invalid_request", "Content-Type"},
		"no grant type":              {form(func(v url.Values) { v.Del("grant_type") }), nil, 400, "invalid_request", "grant_type"},
		"nothing":                    {"", nil, 400, "invalid_request", "grant_type"},
		"another grant type":         {form(func(v url.Values) { v.Set("grant_type", "password") }), nil, 400, "unsupported_grant_type", "client_credentials"},
		"a parameter twice":          {good + "&client_id=" + p.ClientID, nil, 400, "invalid_request", "twice"},
		"an unknown parameter twice": {good + "&x=1&x=1", nil, 400, "invalid_request", "twice"},
		"a bad escape":               {good + "&x=%zz", nil, 400, "invalid_request", "form"},
		"a long body":                {good + "&x=" + strings.Repeat("x", 16<<10), nil, 413, "invalid_request", "too long"},
		"no client":                  {form(func(v url.Values) { v.Del("client_id") }), nil, 400, "invalid_request", "client_id"},
		"no proof":                   {form(func(v url.Values) { v.Del("client_secret") }), nil, 401, "invalid_client", "needs"},
		"an unknown client":          {form(func(v url.Values) { v.Set("client_id", "nobody@riposte.example/pcc") }), nil, 401, "invalid_client", "no such client"},
		"no client's id":             {form(func(v url.Values) { v.Set("client_id", "x\x00\xff") }), nil, 401, "invalid_client", "no such client"},
		"another's secret":           {form(func(v url.Values) { v.Set("client_secret", other.secret) }), nil, 401, "invalid_client", "no such client"},
		"no secret":                  {form(func(v url.Values) { v.Set("client_secret", "x") }), nil, 401, "invalid_client", "no such client"},
		"two proofs":                 {good + "&client_assertion=x&client_assertion_type=" + assertionType, nil, 400, "invalid_request", "one way"},
		"Basic and a secret":         {good, basic(p.ClientID + ":" + p.secret), 400, "invalid_request", "one way"},
		"Basic of another":           {grantType + "&client_id=" + other.ClientID, basic(p.ClientID + ":" + p.secret), 400, "invalid_request", "another one"},
		"Basic, wrong secret":        {grantType, basic(p.ClientID + ":" + other.secret), 401, "invalid_client", "no such client"},
		"Basic, no secret":           {grantType, basic(p.ClientID + ":"), 401, "invalid_client", "client_secret"},
		"Basic, badly encoded":       {grantType, basic("%zz:" + p.secret), 401, "invalid_client", "encoded"},
		"Basic of nothing":           {grantType, []string{"Authorization", "Basic !"}, 401, "invalid_client", "HTTP Basic"},
		"a Bearer":                   {good, []string{"Authorization", "Bearer " + adminKey}, 401, "invalid_client", "HTTP Basic"},
		"an assertion type alone":    {grantType + "&client_id=" + p.ClientID + "&client_assertion_type=" + assertionType, nil, 400, "invalid_request", "client_assertion is missing"},
	}
}

func badAssertions(t *testing.T, p, other grantee, now time.Time) map[string]noToken {
	refused := func(form url.Values, says string) noToken {
		return noToken{form.Encode(), nil, 401, "invalid_client", says}
	}
	claims := func(says string, change ...func(map[string]any)) noToken {
		return refused(p.byAssertion(p.assertion(t, "", p.claims(now, change...))), says)
	}
	good := p.assertion(t, "good", p.claims(now))
	parts := strings.Split(good, ".")
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + parts[1] + "."
	others := p.byAssertion(other.assertion(t, "", other.claims(now)))
	typeless := p.byAssertion(good)
	typeless.Del("client_assertion_type")
	another := p.byAssertion(good)
	another.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer")
	public := []byte(p.PublicKey)
	return map[string]noToken{
		"no JWT":               refused(p.byAssertion("e30.e30"), "JWT"),
		"alg none":             refused(p.byAssertion(none), "EdDSA"),
		"HS256, public key":    refused(p.byAssertion(signed(t, jose.HS256, public, "", p.claims(now))), "EdDSA"),
		"no signature":         refused(p.byAssertion(parts[0]+"."+parts[1]+"."), "no such client"),
		"another's key":        refused(p.byAssertion(signed(t, jose.EdDSA, other.key, "", p.claims(now))), "no such client"),
		"another's assertion":  refused(others, "no such client"),
		"an unknown client":    refused(url.Values{"grant_type": {"client_credentials"}, "client_assertion_type": {assertionType}, "client_assertion": {p.assertion(t, "", p.claims(now, with("sub", "nobody@riposte.example/pcc")))}}, "no such client"),
		"no type":              refused(typeless, "client_assertion_type"),
		"another type":         refused(another, "client_assertion_type"),
		"iss":                  claims("iss and sub", with("iss", other.ClientID)),
		"sub":                  claims("iss and sub", with("sub", other.ClientID)),
		"no iss":               claims("iss and sub", with("iss", nil)),
		"no sub":               claims("iss and sub", with("sub", nil)),
		"no aud":               claims("aud", with("aud", nil)),
		"another aud":          claims("aud", with("aud", "other.example")),
		"aud with a port":      claims("aud", with("aud", "riposte.example:443")),
		"aud, a URL":           claims("aud", with("aud", "https://riposte.example")),
		"aud, a part":          claims("aud", with("aud", "riposte")),
		"aud, no text":         claims("wrong types", with("aud", 1)),
		"no exp":               claims("exp", with("exp", nil)),
		"expired":              claims("expired", with("exp", now.Add(-31*time.Second).Unix())),
		"expired long ago":     claims("expired", with("exp", -1)),
		"exp in six minutes":   claims("within 5m", with("exp", now.Add(6*time.Minute).Unix())),
		"exp in ages":          claims("within 5m", with("exp", 1<<40)),
		"exp beyond a number":  claims("", with("exp", json.RawMessage("1e300"))),
		"exp, a text":          claims("wrong types", with("exp", "soon")),
		"not yet":              claims("lies ahead", with("nbf", now.Add(time.Minute).Unix())),
		"from the future":      claims("lies ahead", with("iat", now.Add(time.Minute).Unix())),
		"claims are no object": refused(p.byAssertion(signed(t, jose.EdDSA, p.key, "", []string{})), "wrong types"),
		"a line break":         refused(p.byAssertion(good[:9]+"\n"+good[9:]), "line breaks"),
		"padding":              refused(p.byAssertion(good+"=="), "padding"),
		"spare bits":           refused(p.byAssertion(good[:len(good)-1]+string(good[len(good)-1]+1)), "spare bits"),
	}
}

// TestReplayedAssertionGetsNoToken: what counts is the nonce, else the jti, else all of
// it, for each client by itself.
func TestReplayedAssertionGetsNoToken(t *testing.T) {
	s, store := newAPI(t)
	p := newGrantee(t, store, "billing", riposte.RoleViewer, time.Time{})
	now := store.Now()
	later := with("exp", now.Add(3*time.Minute).Unix())
	for name, two := range map[string][2]string{
		"the same nonce":     {p.assertion(t, "n", p.claims(now)), p.assertion(t, "n", p.claims(now, later, with("jti", "j0")))},
		"the same jti":       {p.assertion(t, "", p.claims(now, with("jti", "j"))), p.assertion(t, "", p.claims(now, later, with("jti", "j")))},
		"the same assertion": {p.assertion(t, "", p.claims(now)), p.assertion(t, "", p.claims(now))},
	} {
		if g := askToken(t, s, p.byAssertion(two[0]).Encode()); g.Code != http.StatusOK {
			t.Errorf("%s: HTTP %d: %s", name, g.Code, g.Body)
		}
		noToken{p.byAssertion(two[1]).Encode(), nil, 401, "invalid_client", "used before"}.check(t, s, name)
	}
	// Whoever doesn't have the key uses nothing up.
	other := newGrantee(t, store, "other", riposte.RoleViewer, time.Time{})
	askToken(t, s, p.byAssertion(signed(t, jose.EdDSA, other.key, "mine", p.claims(now))).Encode())
	for _, one := range []grantee{other, p} {
		if g := askToken(t, s, one.byAssertion(one.assertion(t, "mine", one.claims(now))).Encode()); g.Code != http.StatusOK {
			t.Errorf("%s: HTTP %d: %s", one.Name, g.Code, g.Body)
		}
	}
}

// TestUnknownClientAndWrongSecretAreAnsweredAlike.
func TestUnknownClientAndWrongSecretAreAnsweredAlike(t *testing.T) {
	s, store := newAPI(t)
	p, other := newGrantee(t, store, "billing", riposte.RoleViewer, time.Time{}), newGrantee(t, store, "other", riposte.RoleViewer, time.Time{})
	unknown := other
	unknown.ClientID = "nobody@riposte.example/pcc"
	wrong := other
	wrong.ClientID = p.ClientID
	now := store.Now()
	for way, two := range map[string][2]grant{
		"secret":    {askToken(t, s, unknown.bySecret().Encode()), askToken(t, s, wrong.bySecret().Encode())},
		"assertion": {askToken(t, s, unknown.byAssertion(unknown.assertion(t, "", unknown.claims(now))).Encode()), askToken(t, s, wrong.byAssertion(wrong.assertion(t, "", wrong.claims(now))).Encode())},
	} {
		if two[0].Body.String() != two[1].Body.String() || fmt.Sprint(two[0].Header()) != fmt.Sprint(two[1].Header()) {
			t.Errorf("%s: %v %s, %v %s", way, two[0].Header(), two[0].Body, two[1].Header(), two[1].Body)
		}
	}
}

func TestExpiredClientGetsNoToken(t *testing.T) {
	store := newStore(t)
	now := store.Now()
	s := newAPIOf(t, storeAt{store, &now})
	p := newGrantee(t, store, "billing", riposte.RoleViewer, now.Add(time.Minute))
	token := askToken(t, s, p.bySecret().Encode()).AccessToken
	now = now.Add(time.Minute - time.Second)
	if code, _ := calls(t, s, token); code != http.StatusOK {
		t.Errorf("before: HTTP %d", code)
	}
	now = now.Add(time.Second)
	noToken{p.bySecret().Encode(), nil, 401, "invalid_client", "expired"}.check(t, s, "expired")
	if code, why := calls(t, s, token); code != http.StatusUnauthorized || !strings.Contains(why, `error="invalid_token"`) {
		t.Errorf("its token: HTTP %d, %s", code, why)
	}
}

// storeAt is a store at another time.
type storeAt struct {
	riposte.Store
	now *time.Time
}

func (s storeAt) Now() time.Time { return *s.now }

func TestTokenPathTakesOnlyPOST(t *testing.T) {
	s, store := newAPI(t)
	p := newGrantee(t, store, "billing", riposte.RoleViewer, time.Time{})
	for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete, http.MethodOptions} {
		g := tokenAnswer(t, s, httptest.NewRequestWithContext(t.Context(), method, "/auth/v1/token?"+p.bySecret().Encode(), nil))
		if g.Code != http.StatusMethodNotAllowed || g.Header().Get("Allow") != http.MethodPost || g.Error != "invalid_request" {
			t.Errorf("%s: HTTP %d, %v, %s", method, g.Code, g.Header(), g.Body)
		}
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/auth/v1/token?client_id=x", strings.NewReader(p.bySecret().Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if g := tokenAnswer(t, s, r); g.Code != http.StatusBadRequest || g.Error != "invalid_request" || !strings.Contains(g.Description, "addresses are logged") {
		t.Errorf("in the address: HTTP %d, %s", g.Code, g.Body)
	}
}

func FuzzAssertion(f *testing.F) {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	p := grantee{riposte.Client{ClientID: "a@h/pcc"}, "", key}
	good := p.assertion(f, "n", p.claims(time.Unix(1_800_000_000, 0)))
	for _, s := range []string{good, "", "a.b.c", strings.Repeat(".", 100), good[:len(good)-3], "eyJhbGciOiJub25lIn0.e30."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		id, err := api.ReadAssertion(raw, key.Public().(ed25519.PublicKey), "a@h/pcc", []string{"h"}, time.Unix(1_800_000_000, 0))
		if err == nil && (len(id) != 43 || raw != good) {
			t.Errorf("%q is taken, as %s", raw, id)
		}
	})
}
