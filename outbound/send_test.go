package outbound

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/riposte-dev/riposte"
)

// seen is a request as the receiver has it.
type seen struct {
	method, uri, host, proto string
	header                   http.Header
	body                     []byte
}

var sentAt = time.Date(2026, 3, 1, 12, 0, 0, 987654321, time.UTC)

// sendOne makes an attempt at path of a recording receiver over TLS.
func sendOne(t *testing.T, path string) (sent riposte.ClaimedInstance, got seen, jwks []byte) {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = seen{r.Method, r.RequestURI, r.Host, r.Proto, r.Header.Clone(), body}
	}))
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	c := newClient(t, func(o *Options) {
		o.RootCAs = s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
		o.Now = func() time.Time { return sentAt }
		o.UserAgent = "Riposte/1.2.3"
	})
	sent = claimed(s.URL + path)
	wantStatus(t, c.Send(t.Context(), sent), 200)
	return sent, got, c.signer.JWKS()
}

// TestHeader has a case for every row of PROTOCOL.md section 2's table.
func TestHeader(t *testing.T) {
	sent, got, _ := sendOne(t, "/hook")
	sum := sha256.Sum256(sent.Envelope.Body)
	want := map[string]string{
		"Content-Type":         "application/json",
		"Content-Digest":       "sha-256=" + base64.StdEncoding.EncodeToString(sum[:]),
		"Webhook-Version":      "v1",
		"Webhook-Id":           sent.Instance.ID,
		"Webhook-Event":        "c1.webhooks.v1.PayloadPolicyApprovalStep",
		"Webhook-Callback-Url": "https://riposte.example/api/v1/webhooks/callback/token",
		"Webhook-Timestamp":    strconv.FormatInt(sentAt.Unix(), 10),
		"Webhook-Attempt":      "3",
		"User-Agent":           "Riposte/1.2.3",
		"Content-Length":       strconv.Itoa(len(sent.Envelope.Body)),
	}
	for name, value := range want {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff([]string{value}, got.header.Values(name)); diff != "" {
				t.Errorf("the header differs (-want +got):\n%s", diff)
			}
		})
	}
	t.Run("Authorization", func(t *testing.T) {
		scheme, token, _ := strings.Cut(got.header.Get("Authorization"), " ")
		if scheme != "bearer" || strings.Count(token, ".") != 2 {
			t.Errorf("Authorization is %q, want bearer and a JWT", got.header.Get("Authorization"))
		}
	})
	t.Run("no others", func(t *testing.T) {
		names := append(slices.Collect(maps.Keys(want)), "Authorization")
		for name := range got.header {
			if !slices.Contains(names, name) {
				t.Errorf("the request has the header %s", name)
			}
		}
	})
}

func TestRequestIsThePostThatWasStored(t *testing.T) {
	sent, got, _ := sendOne(t, "/a%2Fb//c?q=1&q=%20")
	want := seen{method: "POST", uri: "/a%2Fb//c?q=1&q=%20", proto: "HTTP/1.1", body: sent.Envelope.Body}
	want.host = must(url.Parse(sent.Instance.Destination)).Host
	got.header = nil
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(seen{})); diff != "" {
		t.Errorf("the request differs (-want +got):\n%s", diff)
	}
}

// verified checks a request's JWT as a receiver would and returns its header
// and claims.
func verified(t *testing.T, authorization string, jwks []byte) (jose.Header, map[string]any) {
	t.Helper()
	jws, err := jose.ParseSignedCompact(strings.TrimPrefix(authorization, "bearer "), []jose.SignatureAlgorithm{jose.EdDSA})
	if err != nil {
		t.Fatal(err)
	}
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(jwks, &set); err != nil {
		t.Fatal(err)
	}
	header := jws.Signatures[0].Protected
	keys := set.Key(header.KeyID)
	if len(keys) != 1 {
		t.Fatalf("the key set has %d keys with the kid %q", len(keys), header.KeyID)
	}
	payload, err := jws.Verify(keys[0])
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	return header, claims
}

// TestClaim has a case for each of the ten claims.
func TestClaim(t *testing.T) {
	sent, got, jwks := sendOne(t, "/hook?secret=1")
	header, claims := verified(t, got.header.Get("Authorization"), jwks)
	sum := sha256.Sum256(got.body)
	want := map[string]any{
		"aud":      "127.0.0.1",
		"c1typ":    "wh",
		"exp":      float64(sentAt.Unix() + 120),
		"htm":      "POST",
		"htu":      strings.TrimSuffix(sent.Instance.Destination, "?secret=1"),
		"htb_s256": base64.StdEncoding.EncodeToString(sum[:]),
		"iat":      float64(sentAt.Unix()),
		"iss":      "riposte.example",
		"nbf":      float64(sentAt.Unix() - 60),
	}
	for name, value := range want {
		t.Run(name, func(t *testing.T) {
			if claims[name] != value {
				t.Errorf("the claim is %v, want %v", claims[name], value)
			}
		})
	}
	t.Run("jti", func(t *testing.T) {
		if jti, _ := claims["jti"].(string); len(jti) < 16 {
			t.Errorf("jti is %q, want 16 characters or more", jti)
		}
	})
	t.Run("no others", func(t *testing.T) {
		if len(claims) != 10 {
			t.Errorf("the JWT has %d claims, want 10: %v", len(claims), claims)
		}
	})
	t.Run("header", func(t *testing.T) {
		if header.Algorithm != "EdDSA" || header.ExtraHeaders["typ"] != "JWT" || header.KeyID == "" {
			t.Errorf("the JWT's header is %+v, want alg EdDSA, typ JWT and a kid", header)
		}
	})
}

func TestClaimsNameTheDestinationAsItIsDialledAndAsItWasWritten(t *testing.T) {
	for raw, want := range map[string]target{
		"https://EXAMPLE.com:443/Hook?x":    {host: "example.com", htu: "https://EXAMPLE.com:443/Hook"},
		"https://bücher.example/ü":          {host: "xn--bcher-kva.example", htu: "https://bücher.example/ü"},
		"https://[2606:4700:4700:0::1111]/": {host: "2606:4700:4700::1111", htu: "https://[2606:4700:4700:0::1111]/"},
		"https://example.com?":              {host: "example.com", htu: "https://example.com"},
	} {
		got, _ := Destinations{}.target(raw)
		if got.host != want.host || got.htu != want.htu {
			t.Errorf("%s: aud %q and htu %q, want %q and %q", raw, got.host, got.htu, want.host, want.htu)
		}
	}
}

func TestEveryAttemptHasATokenOfItsOwn(t *testing.T) {
	ids := map[any]bool{}
	var authorization string
	destination := receiver(t, func(_ http.ResponseWriter, r *http.Request) { authorization = r.Header.Get("Authorization") })
	c := newClient(t, nil)
	for range 10 {
		wantStatus(t, send(t, c, destination), 200)
		_, claims := verified(t, authorization, c.signer.JWKS())
		ids[claims["jti"]] = true
	}
	if len(ids) != 10 {
		t.Errorf("10 attempts had %d different jti", len(ids))
	}
}

func TestAttemptIsRecorded(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Set-Cookie", "session=secret")
		io.WriteString(w, `{"version":"v1"}`)
	}))
	t.Cleanup(s.Close)
	c := newClient(t, func(o *Options) {
		o.RootCAs = s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
		o.Now = func() time.Time { return sentAt }
	})
	r := send(t, c, s.URL)
	wantStatus(t, r, 200)
	a := r.Attempt
	if a.Number != 3 || !a.StartedAt.Equal(riposte.Time(sentAt)) || a.RemoteAddress != s.Listener.Addr().String() {
		t.Errorf("the attempt is %+v", a)
	}
	if p := a.Phases; p.DNS != 0 || p.Connect <= 0 || p.TLS <= 0 || p.FirstByte <= 0 || p.Connect+p.TLS+p.FirstByte > a.Duration {
		t.Errorf("the phases of %v are %+v", a.Duration, p)
	}
	if string(r.Document) != `{"version":"v1"}` || r.Cut || string(a.ResponseBody) != `{"version":"v1"}` || a.BodyCut {
		t.Errorf("the document is %q, the body %q", r.Document, a.ResponseBody)
	}
	a.ResponseHeaders.Del("Date")
	if diff := cmp.Diff(http.Header{"Content-Type": {"application/json"}, "Content-Length": {"16"}}, a.ResponseHeaders); diff != "" {
		t.Errorf("the headers differ (-want +got):\n%s", diff)
	}
}

func TestConnectionIsKept(t *testing.T) {
	for name, handler := range map[string]http.HandlerFunc{
		"after an answer":           func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"version":"v1"}`) },
		"after no body":             func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) },
		"after a long error's body": func(w http.ResponseWriter, _ *http.Request) { longBody(w, 500, riposte.MaxKeptResponseBody+maxDrain) },
	} {
		t.Run(name, func(t *testing.T) {
			addresses := map[string]bool{}
			destination := receiver(t, func(w http.ResponseWriter, r *http.Request) {
				addresses[r.RemoteAddr] = true
				handler(w, r)
			})
			c := newClient(t, nil)
			for range 3 {
				r := send(t, c, destination)
				if r.Attempt.Error != nil {
					t.Fatal(r.Attempt.Error)
				}
			}
			r := send(t, c, destination)
			if len(addresses) != 1 {
				t.Errorf("4 attempts took %d connections", len(addresses))
			}
			if p := r.Attempt.Phases; p.Connect != 0 || p.FirstByte == 0 || r.Attempt.RemoteAddress == "" {
				t.Errorf("an attempt on a kept connection has phases %+v and the remote address %q", p, r.Attempt.RemoteAddress)
			}
		})
	}
}

func longBody(w http.ResponseWriter, status, size int) {
	w.Header().Set("Content-Length", strconv.Itoa(size))
	w.WriteHeader(status)
	io.WriteString(w, strings.Repeat("x", size))
}
