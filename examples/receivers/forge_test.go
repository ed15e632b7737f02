package receivers

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const issuer = "riposte.example"

// sender makes deliveries as a server does, and others. It serves its key.
type sender struct {
	URL     string
	key     jose.JSONWebKey
	foreign ed25519.PrivateKey // nobody's
	asked   atomic.Int32       // how often for the key
}

func newSender(t *testing.T) *sender {
	t.Helper()
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	_, foreign, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	s := &sender{key: jose.JSONWebKey{Key: private, KeyID: "key-1", Algorithm: "EdDSA", Use: "sig"}, foreign: foreign}
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{s.key.Public()}})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /auth/v1/jwks", func(w http.ResponseWriter, _ *http.Request) {
		s.asked.Add(1)
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(set)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	s.URL = server.URL
	return s
}

func (s *sender) public() ed25519.PublicKey {
	return s.key.Key.(ed25519.PrivateKey).Public().(ed25519.PublicKey)
}

// request is a delivery that is being made. What is changed of it before it is
// signed is signed.
type request struct {
	id     string
	body   []byte
	claims map[string]any
	header map[string]any // of the JWT
	key    any
	at     time.Time // webhook-timestamp
	secret []byte    // of Standard Webhooks
}

func (s *sender) newRequest(id string, f *front, secret []byte) *request {
	own, err := url.Parse(f.URL)
	if err != nil {
		panic(err)
	}
	now := time.Now()
	body := `{"version":"v1","webhookId":"` + id + `","callbackUrl":"` + s.URL + `/callback","event":"c1.webhooks.v1.PayloadPolicyApprovalStep",` +
		`"payload":{"@type":"type.googleapis.com/c1.webhooks.v1.PayloadPolicyApprovalStep","amount":12.50}}`
	return &request{
		id: id, body: []byte(body), key: s.key.Key, at: now, secret: secret,
		header: map[string]any{"alg": "EdDSA", "kid": s.key.KeyID, "typ": "JWT"},
		claims: map[string]any{
			"aud": own.Hostname(), "c1typ": "wh", "iat": now.Unix(), "nbf": now.Unix() - 60, "exp": now.Unix() + 120,
			"htm": "POST", "htu": f.URL, "htb_s256": hashOf([]byte(body)), "iss": issuer, "jti": "attempt-1-of-" + id,
		},
	}
}

func (r *request) signed() *http.Request {
	req, err := http.NewRequest(http.MethodPost, "", bytes.NewReader(r.body))
	if err != nil {
		panic(err)
	}
	h := req.Header
	h.Set("Authorization", "bearer "+r.token())
	h.Set("Content-Type", "application/json")
	h.Set("Content-Digest", "sha-256="+hashOf(r.body))
	h.Set("Webhook-Id", r.id)
	h.Set("Webhook-Timestamp", strconv.FormatInt(r.at.Unix(), 10))
	h.Set("Webhook-Signature", "v1,"+macOf(r.secret, r.id, r.at, r.body))
	return req
}

// token is made by hand, because no library makes the bad ones.
func (r *request) token() string {
	signed := part(r.header) + "." + part(r.claims)
	var signature []byte
	switch key := r.key.(type) {
	case ed25519.PrivateKey:
		signature = ed25519.Sign(key, []byte(signed))
	case []byte:
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(signed))
		signature = mac.Sum(nil)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func part(v map[string]any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

func hashOf(body []byte) string {
	sum := sha256.Sum256(body)
	return base64.StdEncoding.EncodeToString(sum[:])
}

func macOf(secret []byte, id string, at time.Time, body []byte) string {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(id + "." + strconv.FormatInt(at.Unix(), 10) + "."))
	mac.Write(body)
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// send returns the status and the body of the reply.
func send(t *testing.T, f *front, r *http.Request) (int, string) {
	t.Helper()
	to, err := url.Parse(f.URL + "?tenant=1")
	if err != nil {
		t.Fatal(err)
	}
	if r.GetBody != nil { // it may be sent again
		if r.Body, err = r.GetBody(); err != nil {
			t.Fatal(err)
		}
	}
	r.URL = to
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}
