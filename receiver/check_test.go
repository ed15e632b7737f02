package receiver_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/riposte-dev/riposte/receiver"
)

func TestGenuineDeliveryPassesEveryCheck(t *testing.T) {
	r, url, keys := recorded(t, "/hook?a=b")
	v := must(receiver.NewVerifier("", url, receiver.WithKeys(keys), receiver.WithIssuer("127.0.0.1")))
	d, checks := v.Check(t.Context(), r)
	if got := failed(checks); len(got) > 0 {
		t.Fatalf("these failed: %q in %+v", got, checks)
	}
	var names []string
	for _, c := range checks {
		names = append(names, c.Name)
		if !strings.HasSuffix(c.Detail, ".") {
			t.Errorf("%s: %q is no sentence", c.Name, c.Detail)
		}
	}
	want := []string{"method", "body", "version", "Webhook-Version", "Webhook-Id", "Webhook-Event", "Webhook-Callback-Url", "Content-Digest", "Authorization",
		"typ", "kid", "alg", "signature", "iss", "aud", "c1typ", "jti", "iat", "nbf", "exp", "htm", "htu", "htb_s256", "replay"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("the checks (-want +got):\n%s", diff)
	}

	if d.InstanceID != r.Header.Get("Webhook-Id") || d.CallbackURL != r.Header.Get("Webhook-Callback-Url") || d.Attempt != 1 ||
		d.Event != "c1.webhooks.v1.PayloadPolicyApprovalStep" || d.Source != receiver.SourceApprovalStep || string(d.Body) != string(r.Body) {
		t.Errorf("the delivery is %+v", d)
	}
	if want := `"who":"ada", "n":12345678901234567890}`; !strings.HasSuffix(string(d.Payload), want) {
		t.Errorf("the payload is %s, want its end byte for byte: %s", d.Payload, want)
	}
	c := d.Claims
	if c.Issuer != "127.0.0.1" || c.Audience != "127.0.0.1" || c.Type != "wh" || len(c.ID) < 16 || c.Method != "POST" || c.URL != url+"/hook" ||
		c.Expiry.Sub(c.IssuedAt) != 2*time.Minute || c.IssuedAt.Sub(c.NotBefore) != time.Minute || c.BodyHash == "" {
		t.Errorf("the claims are %+v", c)
	}
}

// TestHostileRequests takes a genuine delivery and changes one thing.
func TestHostileRequests(t *testing.T) {
	r, url, keys := recorded(t, "/hook")
	header := func(name, value string) func(*receiver.Request) {
		return func(r *receiver.Request) { r.Header.Set(name, value) }
	}
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "bearer ")
	parts := strings.Split(token, ".")
	at := func(d time.Duration) func(*receiver.Request) {
		return func(r *receiver.Request) { r.At = r.At.Add(d) }
	}
	for _, tt := range []struct {
		name   string
		change func(*receiver.Request)
		want   []string // the checks that fail
	}{
		{"nothing", func(*receiver.Request) {}, nil},
		{"the scheme in capitals", header("Authorization", "Bearer "+token), nil},
		{"another query", func(r *receiver.Request) { r.Path += "?x=y" }, nil},
		{"the end of its life, and the leeway", at(129 * time.Second), nil},
		{"a clock that is a minute behind, and the leeway", at(-69 * time.Second), nil},

		{"GET", func(r *receiver.Request) { r.Method = http.MethodGet }, []string{"method"}},
		{"too late", at(132 * time.Second), []string{"exp"}},
		{"too early", at(-72 * time.Second), []string{"nbf"}},
		{"another path", func(r *receiver.Request) { r.Path = "/other" }, []string{"htu"}},
		{"a path that is longer", func(r *receiver.Request) { r.Path = "/hook/" }, []string{"htu"}},
		{"one byte of the body", func(r *receiver.Request) { r.Body[len(r.Body)-3]++ }, []string{"Content-Digest", "htb_s256"}},
		{"body and digest", func(r *receiver.Request) {
			r.Body = []byte(strings.Replace(string(r.Body), `"ada"`, `"eve"`, 1))
			sum := sha256.Sum256(r.Body)
			r.Header.Set("Content-Digest", "sha-256="+base64.StdEncoding.EncodeToString(sum[:]))
		}, []string{"htb_s256"}},
		{"no body", func(r *receiver.Request) { r.Body = nil }, []string{"body", "Content-Digest", "htb_s256"}},
		{"a body that is no object", func(r *receiver.Request) { r.Body = []byte("[1]") }, []string{"body", "Content-Digest", "htb_s256"}},
		{"fields missing", func(r *receiver.Request) { r.Body = []byte(`{"version":"v1","payload":null}`) }, []string{"body", "Content-Digest", "htb_s256"}},
		{"no digest", func(r *receiver.Request) { r.Header.Del("Content-Digest") }, []string{"Content-Digest"}},
		{"a digest by RFC 9530", header("Content-Digest", "sha-256=:"+strings.TrimPrefix(r.Header.Get("Content-Digest"), "sha-256=")+":"), []string{"Content-Digest"}},
		{"another instance's id", header("Webhook-Id", "0pgetov5suji77e1o37li2og"), []string{"Webhook-Id"}},
		{"no id", func(r *receiver.Request) { r.Header.Del("Webhook-Id") }, []string{"Webhook-Id"}},
		{"another event", header("Webhook-Event", "c1.webhooks.v1.PayloadTest"), []string{"Webhook-Event"}},
		{"another callback URL", header("Webhook-Callback-Url", "https://evil.example/"), []string{"Webhook-Callback-Url"}},
		{"another version", header("Webhook-Version", "v2"), []string{"Webhook-Version"}},

		{"no token", func(r *receiver.Request) { r.Header.Del("Authorization") }, []string{"Authorization"}},
		{"two tokens", func(r *receiver.Request) { r.Header.Add("Authorization", "bearer "+token) }, []string{"Authorization"}},
		{"basic", header("Authorization", "Basic YTpi"), []string{"Authorization"}},
		{"no token after the scheme", header("Authorization", "bearer "), []string{"Authorization"}},
		{"junk", header("Authorization", "bearer \x1b[2Jjunk"), []string{"JWT"}},
		{"no signature", header("Authorization", "bearer "+parts[0]+"."+parts[1]+"."), []string{"signature"}},
		{"alg none", header("Authorization", "bearer "+base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`))+"."+parts[1]+"."), []string{"JWT"}},
		{"one bit of the signature", header("Authorization", "bearer "+token[:len(token)-10]+flipped(token[len(token)-10])+token[len(token)-9:]), []string{"signature"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			changed := r
			changed.Header = r.Header.Clone()
			changed.Body = append([]byte(nil), r.Body...)
			tt.change(&changed)
			v := must(receiver.NewVerifier("", url, receiver.WithKeys(keys)))
			_, checks := v.Check(t.Context(), changed)
			if diff := cmp.Diff(append([]string{}, tt.want...), failed(checks)); diff != "" {
				t.Errorf("what failed (-want +got):\n%s%+v", diff, checks)
			}
			for _, c := range checks {
				if strings.ContainsRune(c.Detail, '\x1b') {
					t.Errorf("%s has a raw escape: %q", c.Name, c.Detail)
				}
			}
			if err := receiver.Verdict(checks); (err != nil) != (len(tt.want) > 0) {
				t.Errorf("the verdict is %v", err)
			}
		})
	}
}

// flipped is another character of base64url.
func flipped(c byte) string {
	if c == 'A' {
		return "B"
	}
	return "A"
}

// TestHostileTokens signs what a server never would, with the server's key.
func TestHostileTokens(t *testing.T) {
	r, url, _ := recorded(t, "/hook")
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: public, KeyID: "k", Algorithm: "EdDSA", Use: "sig"}}}
	v := must(receiver.NewVerifier("", url, receiver.WithKeys(keys), receiver.WithIssuer("issuer.example"), receiver.AllowReplays()))
	good := goodClaims(r, url+"/hook")
	now := r.At.Unix()
	for _, tt := range []struct {
		name   string
		change map[string]any // nil takes a claim away
		want   []string
	}{
		{"nothing", nil, nil},
		{"a claim that is newer", map[string]any{"new": 1}, nil},
		{"times with fractions", map[string]any{"iat": float64(now) + 0.5}, nil},
		{"no claims", map[string]any{"iss": nil, "aud": nil, "c1typ": nil, "jti": nil, "iat": nil, "nbf": nil, "exp": nil, "htm": nil, "htu": nil, "htb_s256": nil},
			[]string{"iss", "aud", "c1typ", "jti", "iat", "nbf", "exp", "htm", "htu", "htb_s256"}},
		{"another issuer", map[string]any{"iss": "evil.example"}, []string{"iss"}},
		{"another audience", map[string]any{"aud": "other.example"}, []string{"aud"}},
		{"several audiences", map[string]any{"aud": []string{"127.0.0.1", "other.example"}}, []string{"aud"}},
		{"an audience with a port", map[string]any{"aud": strings.TrimPrefix(url, "http://")}, []string{"aud"}},
		{"another kind of token", map[string]any{"c1typ": "access"}, []string{"c1typ"}},
		{"a jti that can be guessed", map[string]any{"jti": "1"}, []string{"jti"}},
		{"another method", map[string]any{"htm": "GET"}, []string{"htm"}},
		{"a URL with another host", map[string]any{"htu": "http://127.0.0.2/hook"}, []string{"htu"}},
		{"a URL with another scheme", map[string]any{"htu": strings.Replace(url, "http", "https", 1) + "/hook"}, []string{"htu"}},
		{"a URL with its query", map[string]any{"htu": url + "/hook?a=b"}, []string{"htu"}},
		{"a URL with a user", map[string]any{"htu": strings.Replace(url, "//", "//a@", 1) + "/hook"}, []string{"htu"}},
		{"another body's hash", map[string]any{"htb_s256": base64.StdEncoding.EncodeToString(make([]byte, 32))}, []string{"htb_s256"}},
		{"times as text", map[string]any{"iat": "now", "nbf": "now", "exp": "never"}, []string{"iat", "nbf", "exp"}},
		{"times that are null", map[string]any{"iat": json.RawMessage("null")}, []string{"iat"}},
		{"a time beyond all years", map[string]any{"exp": 1e300}, []string{"exp"}},
		{"a time before 1970", map[string]any{"nbf": -1}, []string{"nbf"}},
		{"issued after its end", map[string]any{"iat": now + 500}, []string{"iat"}},
		{"expired long ago", map[string]any{"iat": now - 900, "nbf": now - 960, "exp": now - 780}, []string{"exp"}},
		{"a life to come", map[string]any{"iat": now + 900, "nbf": now + 840, "exp": now + 1020}, []string{"nbf"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			claims := maps.Clone(good)
			for name, value := range tt.change {
				claims[name] = value
				if value == nil {
					delete(claims, name)
				}
			}
			_, checks := v.Check(t.Context(), withToken(r, sign(t, jose.EdDSA, private, "k", "JWT", claims)))
			if diff := cmp.Diff(append([]string{}, tt.want...), failed(checks)); diff != "" {
				t.Errorf("what failed (-want +got):\n%s%+v", diff, checks)
			}
		})
	}
	for _, tt := range []struct {
		name, kid, typ string
		want           []string
	}{
		{"no typ", "k", "", []string{"typ"}},
		{"another typ", "k", "at+jwt", []string{"typ"}},
		{"no kid", "", "JWT", []string{"kid"}},
		{"a kid of nobody's", "../../k", "JWT", []string{"kid"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, checks := v.Check(t.Context(), withToken(r, sign(t, jose.EdDSA, private, tt.kid, tt.typ, good)))
			if diff := cmp.Diff(tt.want, failed(checks)); diff != "" {
				t.Errorf("what failed (-want +got):\n%s", diff)
			}
		})
	}
}

// TestAlgorithmIsTheKeys shows that each algorithm of the contract works with
// its key, and that a token can't choose another.
func TestAlgorithmIsTheKeys(t *testing.T) {
	r, url, _ := recorded(t, "/hook")
	claims := goodClaims(r, url+"/hook")
	edPublic, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ec, otherCurve := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)), must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
	rs := must(rsa.GenerateKey(rand.Reader, 2048))
	secret := must(x509.MarshalPKIXPublicKey(edPublic))
	for _, tt := range []struct {
		name   string
		key    any // in the key set
		keyAlg string
		use    string
		alg    jose.SignatureAlgorithm
		signer any
		want   []string
	}{
		{"EdDSA", edPublic, "EdDSA", "sig", jose.EdDSA, ed, nil},
		{"ES256", &ec.PublicKey, "ES256", "sig", jose.ES256, ec, nil},
		{"RS256", &rs.PublicKey, "RS256", "sig", jose.RS256, rs, nil},
		{"another algorithm than the key's", &rs.PublicKey, "RS256", "sig", jose.EdDSA, ed, []string{"alg"}},
		{"another one that the key could do", &rs.PublicKey, "RS256", "sig", jose.PS256, rs, []string{"JWT"}},
		{"a MAC whose secret is the public key", edPublic, "EdDSA", "sig", jose.HS256, secret, []string{"JWT"}},
		{"another key", edPublic, "EdDSA", "sig", jose.EdDSA, ed25519.NewKeyFromSeed(make([]byte, 32)), []string{"signature"}},
		{"a key set's key without alg", edPublic, "", "sig", jose.EdDSA, ed, []string{"kid"}},
		{"one whose alg isn't its type's", edPublic, "ES256", "sig", jose.EdDSA, ed, []string{"kid"}},
		{"one of another curve", &otherCurve.PublicKey, "ES256", "sig", jose.ES256, ec, []string{"kid"}},
		{"one for encryption", edPublic, "EdDSA", "enc", jose.EdDSA, ed, []string{"kid"}},
		{"a secret in the key set", []byte("0123456789abcdef0123456789abcdef"), "HS256", "sig", jose.HS256, []byte("0123456789abcdef0123456789abcdef"), []string{"JWT"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			keys := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: tt.key, KeyID: "k", Algorithm: tt.keyAlg, Use: tt.use}}}
			v := must(receiver.NewVerifier("", url, receiver.WithKeys(keys)))
			_, checks := v.Check(t.Context(), withToken(r, sign(t, tt.alg, tt.signer, "k", "JWT", claims)))
			if diff := cmp.Diff(append([]string{}, tt.want...), failed(checks)); diff != "" {
				t.Errorf("what failed (-want +got):\n%s%+v", diff, checks)
			}
		})
	}
}

// TestURLAsTheSenderSeesIt shows which receivers a delivery to a URL is for.
func TestURLAsTheSenderSeesIt(t *testing.T) {
	r, url, _ := recorded(t, "/hook")
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: public, KeyID: "k", Algorithm: "EdDSA", Use: "sig"}}}
	for _, tt := range []struct {
		receiver, path, aud, htu string
		ok                       bool
	}{
		{"https://a.example", "/", "a.example", "https://a.example", true},
		{"https://a.example", "/", "a.example", "https://a.example/", true},
		{"https://a.example/", "/x", "a.example", "https://a.example/x", true},
		{"https://A.Example:443", "/x", "a.example", "https://a.example/x", true},
		{"https://a.example", "/x", "a.example", "https://A.EXAMPLE./x", true},
		{"https://a.example", "/a%2Fb", "a.example", "https://a.example/a%2Fb", true},
		{"https://a.example", "/%C3%BC", "a.example", "https://a.example/ü", true},
		{"https://a.example/hook", "/behind/a/proxy", "a.example", "https://a.example/hook", true},
		{"http://[::1]:9090/hook", "/hook", "::1", "http://[::1]:9090/hook", true},

		{"https://a.example/hook", "/hook", "a.example", "https://a.example/hook/", false},
		{"https://a.example/hook", "/other", "a.example", "https://a.example/other", false},
		{"https://a.example", "/a/b", "a.example", "https://a.example/a%2Fb", false},
		{"https://a.example:8443", "/x", "a.example", "https://a.example/x", false},
		{"http://a.example", "/x", "a.example", "https://a.example/x", false},
	} {
		claims := goodClaims(r, tt.htu)
		claims["aud"] = tt.aud
		changed := withToken(r, sign(t, jose.EdDSA, private, "k", "JWT", claims))
		changed.Path = tt.path
		v := must(receiver.NewVerifier("", tt.receiver, receiver.WithKeys(keys)))
		if _, checks := v.Check(t.Context(), changed); (receiver.Verdict(checks) == nil) != tt.ok {
			t.Errorf("%s at %s, for %s: %v", tt.receiver, tt.path, tt.htu, receiver.Verdict(checks))
		}
	}
	for _, bad := range []string{"", "a.example", "ftp://a.example", "https://", "https://u:p@a.example", "https://a.example/#x", "http://[::1"} {
		if _, err := receiver.NewVerifier("", bad, receiver.WithKeys(keys)); err == nil {
			t.Errorf("%q is taken for a receiver's URL", bad)
		}
		if _, err := receiver.NewVerifier(bad, url); err == nil {
			t.Errorf("%q is taken for a server's URL", bad)
		}
	}
}

func goodClaims(r receiver.Request, url string) map[string]any {
	sum := sha256.Sum256(r.Body)
	now := r.At.Unix()
	return map[string]any{
		"iss": "issuer.example", "aud": "127.0.0.1", "c1typ": "wh", "jti": rand.Text(), "iat": now, "nbf": now - 60, "exp": now + 120,
		"htm": "POST", "htu": url, "htb_s256": base64.StdEncoding.EncodeToString(sum[:]),
	}
}

func withToken(r receiver.Request, token string) receiver.Request {
	r.Header = r.Header.Clone()
	r.Header.Set("Authorization", "bearer "+token)
	return r
}
