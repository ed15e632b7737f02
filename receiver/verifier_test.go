package receiver_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/riposte-dev/riposte/receiver"
	"github.com/riposte-dev/riposte/ripostetest"
)

func TestVerifiesWhatAServerSendsAndAnswersIt(t *testing.T) {
	s := ripostetest.Start(t)
	got := make(chan receiver.Delivery, 1)
	var v *receiver.Verifier
	url := endpoint(t, func(w http.ResponseWriter, r *http.Request) {
		d, err := v.Verify(r)
		if err != nil {
			t.Errorf("verifying: %v", err)
			receiver.Refuse(w, err)
			return
		}
		got <- d
		if err := receiver.Respond(w, receiver.Approve("fine")); err != nil {
			t.Errorf("responding: %v", err)
		}
	})
	v = must(receiver.NewVerifier(s.BaseURL()+"/", url+"/hook"))
	id := ask(t, s, url+"/hook")
	if d := <-got; d.InstanceID != id {
		t.Errorf("the delivery is of %s, not %s", d.InstanceID, id)
	}
	if o := outcome(t, s, id); o.GetDocumentJson() != `{"version":"v1","approve":{"comment":"fine"}}` {
		t.Errorf("the outcome is %v", o)
	}
}

// request makes a recorded request anew, as somebody who listened would.
func request(t *testing.T, r receiver.Request, url string) *http.Request {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), r.Method, url+r.Path, bytes.NewReader(r.Body))
	req.RequestURI = r.Path
	req.Header = r.Header
	return req
}

func TestReplayIsRefused(t *testing.T) {
	r, url, keys := recorded(t, "/hook")
	v := must(receiver.NewVerifier("", url, receiver.WithKeys(keys)))

	// What failed for another reason doesn't use the token up.
	spoiled := r
	spoiled.Body = []byte("{}")
	if _, err := v.Verify(request(t, spoiled, url)); err == nil {
		t.Error("a spoiled body is taken")
	}
	if d, err := v.Verify(request(t, r, url)); err != nil || d.InstanceID == "" {
		t.Errorf("the first: %v", err)
	}
	d, err := v.Verify(request(t, r, url))
	refused, _ := errors.AsType[*receiver.Refusal](err)
	if refused == nil || refused.Status() != http.StatusUnauthorized || !strings.Contains(err.Error(), "replay: ") || d.InstanceID != "" {
		t.Errorf("the copy: %v, %+v", err, d)
	}

	v = must(receiver.NewVerifier("", url, receiver.WithKeys(keys), receiver.AllowReplays()))
	for range 2 {
		if _, err := v.Verify(request(t, r, url)); err != nil {
			t.Errorf("where replays are allowed: %v", err)
		}
	}
}

func TestBodyIsBounded(t *testing.T) {
	r, url, keys := recorded(t, "/hook")
	status := func(v *receiver.Verifier, r *http.Request) int {
		_, err := v.Verify(r)
		w := httptest.NewRecorder()
		receiver.Refuse(w, err)
		return w.Code
	}
	v := must(receiver.NewVerifier("", url, receiver.WithKeys(keys), receiver.WithMaxBody(int64(len(r.Body)))))
	if _, err := v.Verify(request(t, r, url)); err != nil {
		t.Errorf("a body of the largest size: %v", err)
	}
	v = must(receiver.NewVerifier("", url, receiver.WithKeys(keys), receiver.WithMaxBody(int64(len(r.Body))-1)))
	if got := status(v, request(t, r, url)); got != http.StatusRequestEntityTooLarge {
		t.Errorf("one byte more: %d", got)
	}
	limited := request(t, r, url)
	limited.Body = http.MaxBytesReader(nil, limited.Body, 10)
	if got := status(v, limited); got != http.StatusRequestEntityTooLarge {
		t.Errorf("a bound that was set before: %d", got)
	}
	r.Header.Del("Authorization")
	if got := status(must(receiver.NewVerifier("", url, receiver.WithKeys(keys))), request(t, r, url)); got != http.StatusUnauthorized {
		t.Errorf("no token: %d", got)
	}
}

// handlerTransport is HTTP without a network, so that time can stand still.
type handlerTransport struct{ http.HandlerFunc }

func (h handlerTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result(), nil
}

// TestKeysAreFetchedSparingly turns the server's key and counts the fetches.
func TestKeysAreFetchedSparingly(t *testing.T) {
	r, url, _ := recorded(t, "/hook")
	private := map[string]ed25519.PrivateKey{}
	var set atomic.Pointer[jose.JSONWebKeySet]
	publish := func(kids ...string) {
		var keys jose.JSONWebKeySet
		for _, kid := range kids {
			if private[kid] == nil {
				_, private[kid], _ = ed25519.GenerateKey(rand.Reader)
			}
			keys.Keys = append(keys.Keys, jose.JSONWebKey{Key: private[kid].Public(), KeyID: kid, Algorithm: "EdDSA", Use: "sig"})
		}
		set.Store(&keys)
	}
	publish("old", "new", "nobody's")
	publish("old")

	synctest.Test(t, func(t *testing.T) {
		fetches, away := 0, false
		h := &http.Client{Transport: handlerTransport{func(w http.ResponseWriter, r *http.Request) {
			fetches++
			if r.URL.String() != "https://riposte.example/base/auth/v1/jwks" {
				t.Errorf("the keys are fetched from %s", r.URL)
			}
			if away {
				w.WriteHeader(http.StatusBadGateway)
				return
			}
			_ = json.NewEncoder(w).Encode(set.Load())
		}}}
		v := must(receiver.NewVerifier("https://riposte.example/base/", url, receiver.WithHTTPClient(h)))
		check := func(what, kid string, wantStatus, wantFetches int) {
			t.Helper()
			r.At = time.Now()
			_, checks := v.Check(t.Context(), withToken(r, sign(t, jose.EdDSA, private[kid], kid, "JWT", goodClaims(r, url+"/hook"))))
			status := http.StatusOK
			if refused, _ := errors.AsType[*receiver.Refusal](receiver.Verdict(checks)); refused != nil {
				status = refused.Status()
			}
			if status != wantStatus || fetches != wantFetches {
				t.Errorf("%s: status %d after %d fetches, want %d after %d: %v", what, status, fetches, wantStatus, wantFetches, receiver.Verdict(checks))
			}
		}
		away = true
		check("the server is away from the start", "old", 503, 1)
		check("and is not asked at once", "old", 503, 1)
		away = false
		time.Sleep(6 * time.Second)
		check("it is there", "old", 200, 2)
		check("its keys are kept", "old", 200, 2)
		check("an unknown key, just after a fetch", "new", 401, 2)
		time.Sleep(6 * time.Second)
		check("an unknown key", "nobody's", 401, 3)
		publish("old", "new")
		check("a new key, too soon", "new", 401, 3)
		time.Sleep(6 * time.Second)
		check("a new key", "new", 200, 4)
		publish("new")
		check("a key that was given up, for a while", "old", 200, 4)
		time.Sleep(11 * time.Minute)
		away = true
		check("old keys while the server is away", "old", 200, 5)
		away = false
		time.Sleep(11 * time.Minute)
		check("a key that was given up", "old", 401, 6)
	})
}
