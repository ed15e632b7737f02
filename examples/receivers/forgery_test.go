package receivers

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	gocmp "github.com/google/go-cmp/cmp"
)

// forgery is what is changed of an honest delivery, before it is signed or after.
type forgery struct {
	name   string
	before func(*sender, *request)
	after  func(*http.Request)
	status int // 401 when zero
}

func claim(name string, value func(*request) any) func(*sender, *request) {
	return func(_ *sender, r *request) { r.claims[name] = value(r) }
}

func without(name string) func(*sender, *request) {
	return func(_ *sender, r *request) { delete(r.claims, name) }
}

func later(d time.Duration) func(*sender, *request) {
	return func(_ *sender, r *request) {
		for _, name := range []string{"iat", "nbf", "exp"} {
			r.claims[name] = r.claims[name].(int64) + int64(d.Seconds())
		}
	}
}

// altered asks for more than the body did.
func altered(r *http.Request) []byte {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(err)
	}
	body = bytes.Replace(body, []byte("12.50"), []byte("99.50"), 1)
	r.Body, r.GetBody = io.NopCloser(bytes.NewReader(body)), nil
	return body
}

func header(name string, change func(string) string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, change(r.Header.Get(name))) }
}

func constant(s string) func(string) string { return func(string) string { return s } }

// ofTokens are those that the JWT gives away.
var ofTokens = []forgery{
	{name: "no token", after: func(r *http.Request) { r.Header.Del("Authorization") }},
	{name: "another scheme", after: header("Authorization", func(s string) string { return "basic " + strings.TrimPrefix(s, "bearer ") })},
	{name: "no token at all", after: header("Authorization", constant("bearer a.b.c"))},
	{name: "alg none", before: func(_ *sender, r *request) { r.header["alg"], r.key = "none", nil }},
	{name: "alg none, signed", before: func(_ *sender, r *request) { r.header["alg"] = "none" }},
	{name: "HS256 by the public key", before: func(s *sender, r *request) { r.header["alg"], r.key = "HS256", []byte(s.public()) }},
	{name: "HS256 by the public key as it is published", before: func(s *sender, r *request) {
		r.header["alg"], r.key = "HS256", []byte(base64.RawURLEncoding.EncodeToString(s.public()))
	}},
	{name: "an algorithm that is not the key's", before: func(_ *sender, r *request) { r.header["alg"] = "ES256" }},
	{name: "another key by its own name", before: func(s *sender, r *request) { r.header["kid"], r.key = "key-2", s.foreign }},
	{name: "another key by the name of the server's", before: func(s *sender, r *request) { r.key = s.foreign }},
	{name: "a key that the token brings along", before: func(s *sender, r *request) {
		r.key, r.header["jwk"] = s.foreign, &jose.JSONWebKey{Key: s.foreign.Public(), Algorithm: "EdDSA"}
	}},
	{name: "another issuer", before: claim("iss", func(*request) any { return "issuer.invalid" })},
	{name: "no issuer", before: without("iss")},
	{name: "another audience", before: claim("aud", func(*request) any { return "receiver.invalid" })},
	{name: "no audience", before: without("aud")},
	{name: "expired", before: later(-5 * time.Minute)},
	{name: "not yet valid", before: later(5 * time.Minute)},
	{name: "valid for ever", before: without("exp")},
	{name: "valid since ever", before: without("nbf")},
	{name: "a token for something else", before: claim("c1typ", func(*request) any { return "api" })},
	{name: "another method", before: claim("htm", func(*request) any { return "PUT" })},
	{name: "another URL", before: claim("htu", func(r *request) any { return r.claims["htu"].(string) + "/other" })},
	{name: "another scheme of the URL", before: claim("htu", func(r *request) any { return strings.Replace(r.claims["htu"].(string), "http:", "https:", 1) })},
	{name: "no id", before: without("jti")},
	{name: "an altered body", after: func(r *http.Request) { altered(r) }},
	{name: "an altered body with its digest", after: func(r *http.Request) { r.Header.Set("Content-Digest", "sha-256="+hashOf(altered(r))) }},
	{name: "a digest of something else", after: header("Content-Digest", constant("sha-256="+hashOf(nil)))},
	{name: "the id of another question", after: header("Webhook-Id", constant("another")), status: http.StatusBadRequest},
}

// ofSignatures are those that the signature of Standard Webhooks gives away.
var ofSignatures = []forgery{
	{name: "no signature", after: func(r *http.Request) { r.Header.Del("Webhook-Signature") }},
	{name: "an empty signature", after: header("Webhook-Signature", constant("v1,"))},
	{name: "another secret", before: func(_ *sender, r *request) { r.secret = []byte("of nobody's") }},
	{name: "another version", after: header("Webhook-Signature", func(s string) string { return "v2" + s[2:] })},
	{name: "a signature of the other kind", after: header("Webhook-Signature", func(s string) string { return "v1a" + s[2:] })},
	{name: "a stale timestamp", before: func(_ *sender, r *request) { r.at = r.at.Add(-6 * time.Minute) }},
	{name: "a timestamp to come", before: func(_ *sender, r *request) { r.at = r.at.Add(6 * time.Minute) }},
	{name: "a stale delivery with a fresh timestamp", before: func(_ *sender, r *request) { r.at = r.at.Add(-6 * time.Minute) },
		after: func(r *http.Request) { r.Header.Set("Webhook-Timestamp", fmt.Sprint(time.Now().Unix())) }},
	{name: "a timestamp that is no number", after: header("Webhook-Timestamp", constant("now"))},
	{name: "a timestamp of too many digits", after: header("Webhook-Timestamp", constant(strings.Repeat("1", 5000)))},
	{name: "another body", after: func(r *http.Request) { altered(r) }},
	{name: "another id", after: header("Webhook-Id", constant("another"))},
}

// trusts is what a receiver is told to verify.
type trusts struct {
	name      string
	token     bool
	secret    bool
	forgeries []forgery
}

var secret = []byte("twenty-four bytes or so ")

func (tr trusts) environment(s *sender) []string {
	var environment []string
	if tr.token {
		environment = append(environment, "RIPOSTE_URL="+s.URL, "RIPOSTE_ISSUER="+issuer)
	}
	if tr.secret {
		environment = append(environment, "WEBHOOK_SECRET=whsec_"+base64.StdEncoding.EncodeToString(secret))
	}
	return environment
}

func TestAReceiverRefusesForgeries(t *testing.T) {
	forEach(t, func(t *testing.T, p program) {
		for _, tr := range []trusts{
			{name: "by token", token: true, forgeries: ofTokens},
			{name: "by signature", secret: true, forgeries: ofSignatures},
			{name: "by both", token: true, secret: true, forgeries: append(ofTokens[:len(ofTokens)-1:len(ofTokens)-1], ofSignatures...)},
		} {
			t.Run(tr.name, func(t *testing.T) {
				t.Parallel()
				began, s, f := time.Now(), newSender(t), newFront(t)
				running := p.start(t, f, tr.environment(s)...)
				for n, forged := range tr.forgeries {
					t.Run(forged.name, func(t *testing.T) {
						want := cmp.Or(forged.status, http.StatusUnauthorized)
						if status := s.sendForged(t, f, forged, fmt.Sprintf("forged-%d", n)); status != want {
							t.Errorf("answered %d, not %d", status, want)
						}
					})
				}
				if tr.token {
					s.makeUpKeys(t, f)
				}
				// An honest one is still taken, and what it did is told after all that
				// a forged one may have done.
				if status, answer := send(t, f, s.newRequest("honest", f, secret).signed()); status != http.StatusOK || !strings.Contains(answer, `"fine by me"`) {
					t.Errorf("the honest one was answered %d %s", status, answer)
				}
				running.await(t, "acted on honest")
				if acted := running.said("acted on "); len(acted) != 1 {
					t.Errorf("acted on %q", acted)
				}
				if asked, may := s.asked.Load(), 1+time.Since(began)/(30*time.Second); asked > int32(may) {
					t.Errorf("asked %d times for the keys, where it may %d times", asked, may)
				}
			})
		}
	})
}

// makeUpKeys names keys that nobody has. A receiver must not ask the server about
// each of them.
func (s *sender) makeUpKeys(t *testing.T, f *front) {
	t.Helper()
	for n := range 5 {
		kid := fmt.Sprint("made-up-", n)
		made := forgery{before: func(_ *sender, r *request) { r.header["kid"] = kid }}
		if status := s.sendForged(t, f, made, kid); status != http.StatusUnauthorized {
			t.Errorf("%s: answered %d", kid, status)
		}
	}
}

func (s *sender) sendForged(t *testing.T, f *front, forged forgery, id string) int {
	r := s.newRequest(id, f, secret)
	if forged.before != nil {
		forged.before(s, r)
	}
	signed := r.signed()
	if forged.after != nil {
		forged.after(signed)
	}
	status, _ := send(t, f, signed)
	return status
}

// TestAReceiverActsOnce: the same request again is a copy, and no attempt of the
// server's; the same question signed anew is one.
func TestAReceiverActsOnce(t *testing.T) {
	forEach(t, func(t *testing.T, p program) {
		for _, tt := range []struct {
			trusts
			copied int // what a copy is answered
		}{
			{trusts{name: "by token", token: true}, http.StatusUnauthorized},
			{trusts{name: "by signature", secret: true}, http.StatusOK},
		} {
			t.Run(tt.name, func(t *testing.T) {
				t.Parallel()
				s, f := newSender(t), newFront(t)
				running := p.start(t, f, tt.environment(s)...)
				first := s.newRequest("one", f, secret)
				again := s.newRequest("one", f, secret)
				again.claims["jti"] = "attempt-2-of-one"
				var got []string
				for _, r := range []*http.Request{first.signed(), first.signed(), again.signed()} {
					status, answer := send(t, f, r)
					got = append(got, fmt.Sprint(status, " ", strings.Contains(answer, "fine by me")))
				}
				want := []string{"200 true", fmt.Sprint(tt.copied, " ", tt.copied == http.StatusOK), "200 true"}
				if diff := gocmp.Diff(want, got); diff != "" {
					t.Errorf("-want +got\n%s", diff)
				}
				send(t, f, s.newRequest("another", f, secret).signed())
				running.await(t, "acted on another")
				if acted := running.said("acted on "); len(acted) != 2 {
					t.Errorf("acted on %q", acted)
				}
			})
		}
	})
}

// TestAReceiverTakesEitherSignature: while a secret is being changed, there are two.
func TestAReceiverTakesEitherSignature(t *testing.T) {
	forEach(t, func(t *testing.T, p program) {
		s, f := newSender(t), newFront(t)
		p.start(t, f, trusts{secret: true}.environment(s)...)
		r := s.newRequest("one", f, secret).signed()
		other := "v1," + base64.StdEncoding.EncodeToString(make([]byte, 32))
		r.Header.Set("Webhook-Signature", other+" v1a,"+other[3:]+" "+r.Header.Get("Webhook-Signature"))
		if status, _ := send(t, f, r); status != http.StatusOK {
			t.Errorf("answered %d", status)
		}
	})
}

// TestAReceiverWithoutKeysAsksForAnotherAttempt: it doesn't say 401 of what may well
// be right.
func TestAReceiverWithoutKeysAsksForAnotherAttempt(t *testing.T) {
	forEach(t, func(t *testing.T, p program) {
		s, f := newSender(t), newFront(t)
		p.start(t, f, "RIPOSTE_URL="+s.URL+"/nothing-there/", "RIPOSTE_ISSUER="+issuer)
		if status, _ := send(t, f, s.newRequest("one", f, secret).signed()); status != http.StatusServiceUnavailable {
			t.Errorf("answered %d", status)
		}
	})
}
