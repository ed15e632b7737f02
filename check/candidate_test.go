package check_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/riposte-dev/riposte/check"
	"github.com/riposte-dev/riposte/outbound"
)

// candidate is a whole receiver that does everything right but for what a test
// breaks in it.
type candidate struct {
	URL string

	trusts func() check.Keys // set before the first delivery
	// What it leaves out: the names of rules.
	without map[string]bool
	later   bool // it answers 202 and calls back
	bodies  int64
	broken  struct {
		document  func(event string, n int) string // n counts what it has done, from 1
		before    func(*http.Request)              // it does anything else
		again     bool                             // it acts on each delivery
		both      bool                             // it answers at once and calls back
		callbacks int                              // it calls back so often
		insists   bool                             // it repeats a callback whatever it is told
		gives     bool                             // it never repeats a callback
		early     bool                             // it calls back before its own 202
	}

	server  *httptest.Server
	running sync.WaitGroup
	closing chan struct{}

	mu       sync.Mutex
	keys     jose.JSONWebKeySet
	seen     map[string]bool   // jti
	answered map[string]string // by Webhook-Id
	done     int
}

func newCandidate(t *testing.T, change func(*candidate)) *candidate {
	r := &candidate{without: map[string]bool{}, bodies: 2 << 20, seen: map[string]bool{}, answered: map[string]string{}, closing: make(chan struct{})}
	r.broken.callbacks = 1
	change(r)
	r.server = httptest.NewServer(r)
	r.URL = r.server.URL + "/hook"
	t.Cleanup(func() {
		close(r.closing)
		r.running.Wait()
		r.server.Close()
	})
	return r
}

type envelope struct{ WebhookID, CallbackURL, Event string }

func (r *candidate) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if r.broken.before != nil {
		r.broken.before(req)
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, r.bodies))
	if err != nil {
		http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
		return
	}
	if err := r.verify(req, body); err != nil {
		http.Error(w, err.Error(), http.StatusUnauthorized)
		return
	}
	var e envelope
	if err := json.Unmarshal(body, &e); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	document, first := r.act(e)
	if first && (r.later || r.broken.both) {
		if r.broken.early {
			r.callBack(e, document)
		} else {
			r.running.Go(func() { r.callBack(e, document) })
		}
	}
	if r.later {
		w.WriteHeader(http.StatusAccepted)
		return
	}
	fmt.Fprint(w, document)
}

// act does what is asked, once.
func (r *candidate) act(e envelope) (document string, first bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if d, ok := r.answered[e.WebhookID]; ok && !r.broken.again {
		return d, false
	}
	r.done++
	d := documents[e.Event]
	if r.broken.document != nil {
		d = r.broken.document(e.Event, r.done)
	}
	r.answered[e.WebhookID] = d
	return d, true
}

var documents = map[string]string{
	"c1.webhooks.v1.PayloadTest":               `{"version":"v1"}`,
	"c1.webhooks.v1.PayloadPolicyPostAction":   `{"version":"v1"}`,
	"c1.webhooks.v1.PayloadPolicyApprovalStep": `{"version":"v1","approve":{"comment":"fine"}}`,
	"c1.webhooks.v1.PayloadProvisionStep":      `{"version":"v1","complete":{}}`,
	"c1.webhooks.v1.PayloadWorkflowStep":       `{"version":"v1","context":{"a":1}}`,
}

// callBack posts a document until it got a final reply.
func (r *candidate) callBack(e envelope, document string) {
	for range r.broken.callbacks {
		for n := 0; n < 10; n++ {
			resp, err := http.Post(e.CallbackURL, "application/json", strings.NewReader(document))
			if err == nil {
				resp.Body.Close()
			}
			if r.broken.gives || err == nil && resp.StatusCode < 500 && !(r.broken.insists && resp.StatusCode >= 400) {
				break
			}
			select {
			case <-time.After(10 * time.Millisecond):
			case <-r.closing:
				return
			}
		}
	}
}

// verify makes all checks of PROTOCOL.md section 2 but those it is without.
func (r *candidate) verify(req *http.Request, body []byte) error {
	if r.without["signature"] && r.without["claims"] {
		return nil
	}
	token, ok := strings.CutPrefix(req.Header.Get("Authorization"), "bearer ")
	if !ok {
		return errors.New("no token")
	}
	claims, err := r.read(token)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(body)
	hash := base64.StdEncoding.EncodeToString(sum[:])
	own, err := url.Parse(r.URL)
	if err != nil {
		return err
	}
	now := time.Now()
	for _, rule := range []struct {
		name string
		ok   bool
	}{
		{"issuer", claims.Issuer == r.trusts().Issuer},
		{"expiry", now.Unix() < claims.Expiry+60 && now.Unix() > claims.NotBefore-60},
		{"audience", claims.Audience == own.Hostname()},
		{"url", claims.URL == r.URL},
		{"digest", req.Header.Get("Content-Digest") == "sha-256="+hash},
		{"body", claims.BodySHA256 == hash},
		{"replay", !r.isReplay(claims.ID)},
	} {
		if !rule.ok && !r.without[rule.name] {
			return errors.New("wrong " + rule.name)
		}
	}
	return nil
}

func (r *candidate) read(token string) (c outbound.Claims, err error) {
	if r.without["signature"] {
		part := strings.Split(token, ".")[1]
		b, err := base64.RawURLEncoding.DecodeString(part)
		if err != nil {
			return c, err
		}
		return c, json.NewDecoder(bytes.NewReader(b)).Decode(&c)
	}
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.EdDSA})
	if err != nil {
		return c, err
	}
	keys, err := r.keySet()
	if err != nil {
		return c, err
	}
	return c, parsed.Claims(keys, &c)
}

// keySet asks for the keys once.
func (r *candidate) keySet() (jose.JSONWebKeySet, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.keys.Keys) > 0 {
		return r.keys, nil
	}
	resp, err := http.Get(r.trusts().JWKSURL)
	if err != nil {
		return r.keys, err
	}
	defer resp.Body.Close()
	return r.keys, json.NewDecoder(resp.Body).Decode(&r.keys)
}

func (r *candidate) isReplay(jti string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	seen := r.seen[jti]
	r.seen[jti] = true
	return seen
}
