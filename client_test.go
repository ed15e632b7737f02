package riposte_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/riposte-dev/riposte"
)

const secretPrefix = "secret-token:conductorone.com:v1:"

func newClient(t *testing.T) (riposte.Client, string) {
	t.Helper()
	c, secret, err := riposte.NewClient("billing", "riposte.example:8443", riposte.RoleSender, time.Time{}, 0, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return c, secret
}

// TestClientSecretIsWhatC1sClientsRead: Go's want base64url without padding, and
// TypeScript's calls atob, which knows neither - nor _.
func TestClientSecretIsWhatC1sClientsRead(t *testing.T) {
	for range 100 {
		c, secret := newClient(t)
		parts := strings.SplitN(secret, ":", 4)
		if len(parts) != 4 || strings.Join(parts[:3], ":")+":" != secretPrefix || strings.ContainsAny(parts[3], "-_=") {
			t.Fatalf("the secret is %s", secret)
		}
		jwk, err := base64.RawURLEncoding.DecodeString(parts[3])
		if err != nil {
			t.Fatal(err)
		}
		if !regexp.MustCompile(`^\{"kty":"OKP","crv":"Ed25519","x":"[\w-]{43}","d":"[\w-]{43}"\}$`).Match(jwk) {
			t.Fatalf("the key is %s", jwk)
		}
		var key struct{ X, D string }
		if err := json.Unmarshal(jwk, &key); err != nil {
			t.Fatal(err)
		}
		seed, _ := base64.RawURLEncoding.DecodeString(key.D)
		public := ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey)
		if !public.Equal(c.PublicKey) || key.X != base64.RawURLEncoding.EncodeToString(c.PublicKey) {
			t.Fatalf("%s is not the private part of what is kept", jwk)
		}
	}
}

func TestClientSecretProvesItsClientAlone(t *testing.T) {
	c, secret := newClient(t)
	other, _ := newClient(t)
	key, err := riposte.ParseClientSecret(secret)
	if err != nil {
		t.Fatal(err)
	}
	if !c.Has(key) || other.Has(key) || (riposte.Client{}).Has(key) {
		t.Errorf("its own: %v, another one: %v, none: %v", c.Has(key), other.Has(key), (riposte.Client{}).Has(key))
	}
}

func TestParseClientSecretRefuses(t *testing.T) {
	_, secret := newClient(t)
	jwk, _ := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(secret, secretPrefix))
	_, another := newClient(t)
	otherJWK, _ := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(another, secretPrefix))
	of := func(jwk string) string { return secretPrefix + base64.RawURLEncoding.EncodeToString([]byte(jwk)) }
	change := func(old, new string) string { return of(strings.Replace(string(jwk), old, new, 1)) }
	x := regexp.MustCompile(`"x":"[^"]*"`)
	for name, s := range map[string]string{
		"nothing":              "",
		"the prefix":           secretPrefix,
		"no prefix":            strings.TrimPrefix(secret, secretPrefix),
		"another version":      strings.Replace(secret, ":v1:", ":v2:", 1),
		"another issuer":       strings.Replace(secret, "conductorone", "riposte", 1),
		"padding":              secret + "==",
		"a line break":         secret + "\n",
		"cut":                  secret[:len(secret)-1],
		"blanks":               change(`":"`, `": "`),
		"another order":        of(`{"crv":"Ed25519","kty":"OKP",` + string(jwk[len(`{"kty":"OKP","crv":"Ed25519",`):])),
		"a member more":        change(`{`, `{"kid":"1",`),
		"another curve":        change(`Ed25519`, `X25519`),
		"another's public key": of(x.ReplaceAllString(string(jwk), x.FindString(string(otherJWK)))),
		"the public key alone": of(string(jwk[:strings.Index(string(jwk), `,"d"`)]) + "}"),
		"no JSON":              of("secret"),
		"an API key":           "riposte_abcdefghijklmnop",
	} {
		if _, err := riposte.ParseClientSecret(s); !errors.Is(err, riposte.ErrClientSecret) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNewClientNamesWhatIsWrong(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		name, host string
		role       riposte.Role
		expiresAt  time.Time
		rate       int
		want       []string
	}{
		{name: "a-1", host: "riposte.example", role: riposte.RoleAdmin, expiresAt: now.Add(time.Hour), rate: riposte.MaxRateLimit},
		{name: strings.Repeat("a", 63), host: "[::1]:8443", role: riposte.RoleViewer},
		{name: "A", host: "h", role: riposte.RoleViewer, want: []string{"name"}},
		{name: "a@b", host: "h", role: riposte.RoleViewer, want: []string{"name"}},
		{name: "a\n", host: "h", role: riposte.RoleViewer, want: []string{"name"}},
		{name: strings.Repeat("a", 64), host: "h", role: riposte.RoleViewer, want: []string{"name"}},
		{name: "a", host: "", role: "owner", expiresAt: now, rate: -1, want: []string{"host", "role", "expiresAt", "rateLimit"}},
		{name: "a", host: "h/x", role: riposte.RoleViewer, rate: riposte.MaxRateLimit + 1, want: []string{"host", "rateLimit"}},
	} {
		_, _, err := riposte.NewClient(c.name, c.host, c.role, c.expiresAt, c.rate, now)
		var got []string
		if e, ok := errors.AsType[*riposte.Error](err); ok {
			for _, v := range e.Violations {
				got = append(got, v.Field)
			}
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%q at %q (-want +got):\n%s", c.name, c.host, diff)
		}
	}
}

func TestClientWithoutANameGetsOne(t *testing.T) {
	c, _, err := riposte.NewClient("", "riposte.example", riposte.RoleViewer, time.Time{}, 0, time.Now())
	if err != nil || !regexp.MustCompile(`^client-[a-z0-9]{10}@riposte\.example/pcc$`).MatchString(c.ClientID) {
		t.Errorf("it is %q, %v", c.ClientID, err)
	}
}

func TestIsClientIDKnowsTheShape(t *testing.T) {
	c, _ := newClient(t)
	if !riposte.IsClientID(c.ClientID) {
		t.Errorf("%s is refused", c.ClientID)
	}
	for _, s := range []string{"", "a", "a@h", "a@/pcc", "@h/pcc", "a@h/ccc", "a@h/pcc/", "a@h/pcc\n", "a@h\x00/pcc", "A@h/pcc",
		"a@" + strings.Repeat("h", 300) + "/pcc"} {
		if riposte.IsClientID(s) {
			t.Errorf("%q is taken", s)
		}
	}
}

func TestClientHostIsWhereC1sClientsGo(t *testing.T) {
	for in, want := range map[string]string{
		"https://riposte.example":          "riposte.example",
		"https://riposte.example:443":      "riposte.example",
		"https://riposte.example:8443/sub": "riposte.example:8443",
		"http://riposte.example:80":        "riposte.example",
		"http://127.0.0.1:8080":            "127.0.0.1:8080",
		"https://[::1]":                    "[::1]",
		"https://[::1]:8443":               "[::1]:8443",
	} {
		u, err := url.Parse(in)
		if err != nil {
			t.Fatal(err)
		}
		if got := riposte.ClientHost(u); got != want {
			t.Errorf("%s gives %s, want %s", in, got, want)
		}
	}
}
