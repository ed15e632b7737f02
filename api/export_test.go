package api

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"maps"
	"slices"
	"time"

	"golang.org/x/time/rate"

	"github.com/riposte-dev/riposte"
)

// What the tests, which are package api_test, see of the inside.
var (
	ParseFilter    = parseFilter
	AllowedMethods = allowedMethods
)

const (
	MaxFilterLength = maxFilterLength
	NotePause       = notePause
	KeptCost        = keptCost
	MaxKept         = maxKept
	MaxRemembered   = maxRemembered
	CountsAge       = countsAge
	MaxWorked       = maxWorked
	MaxOfOne        = maxCallbacksOfOne
)

// Rule returns what an operation's rule says.
func Rule(operation string) (role riposte.Role, audited, ok bool) {
	r, ok := rules[operation]
	return r.role, r.audited, ok
}

// Ruled lists the operations that have a rule.
func Ruled() []string { return slices.Collect(maps.Keys(rules)) }

// WebhookFields are those that the audit log names.
func WebhookFields() (names []string) {
	for _, f := range webhookFields {
		names = append(names, f.name)
	}
	return names
}

// Page reads a page's token and returns where it begins.
func Page(token string, filter ...string) (before string, err error) {
	p, err := newPage(0, token, maxPageSize, filter...)
	return p.before, err
}

// PageSize returns how many rows a page has.
func PageSize(asked int32, largest int) (int, error) {
	p, err := newPage(asked, "", largest)
	return p.size, err
}

// PageToken is the token of the page after id.
func PageToken(id string, filter ...string) string {
	return page{tag: pageTag(filter)}.token(id)
}

// ReadAssertion takes an assertion through all of its rules but that it is new.
func ReadAssertion(raw string, key ed25519.PublicKey, clientID string, audience []string, now time.Time) (useID string, err error) {
	a, err := parseAssertion(raw)
	if err != nil {
		return "", err
	}
	if !a.signedBy(key) {
		return "", errUnknownClient
	}
	return a.useID(clientID), a.check(clientID, audience, now)
}

// Remember has t know a token until it expires.
func (t *AccessTokens) Remember(token string, expires time.Time) {
	t.remember(sha256.Sum256([]byte(token)), accessToken{expires: expires})
}

// Remembered is how many tokens t knows.
func (t *AccessTokens) Remembered() int { return len(t.verified) }

// Waiters are those who wait for outcomes.
type Waiters struct{ *waiters }

// NewWaiters returns nobody yet.
func NewWaiters() *Waiters { return &Waiters{newWaiters(nil)} }

func (w *Waiters) Add(id string) (<-chan struct{}, func()) {
	all, leave := w.add(id)
	return all.woken, leave
}

func (w *Waiters) Changed(i riposte.Instance) { w.changed(i) }

// Len is for how many instances somebody waits.
func (w *Waiters) Len() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.m)
}

// NewKept returns what asks read.
func NewKept(least time.Duration, read func(context.Context) (int, error)) (get func(context.Context) (int, error)) {
	return newKept(least, read).get
}

// MaxBuckets is maxBuckets.
const MaxBuckets = maxBuckets

// Take takes places and bytes of a kind of requests until it is called with the
// opposite, and returns how many there are in all.
func (s *Server) Take(kind string, requests, bytes int64) (allRequests, allBytes int64) {
	b := map[string]*bound{"call": &s.bounds.calls, "callback": &s.bounds.callbacks, "wait": &s.bounds.waits, "page": &s.bounds.pages, "token": &s.bounds.tokens}[kind]
	b.inFlight.Add(requests)
	b.held.Add(bytes)
	return b.requests, b.bytes
}

// Fill takes all places of a kind of requests until free is called.
func (s *Server) Fill(kind string) (free func()) {
	all, _ := s.Take(kind, 0, 0)
	s.Take(kind, all, 0)
	return func() { s.Take(kind, -all, 0) }
}

// Work has all turns taken until end is called.
func (s *Server) Work(kind string) (end func()) {
	turns := s.bounds.of(map[string]string{"call": "/api/v1/webhooks", "callback": callbackPath}[kind]).turns
	for range maxWorked {
		turns <- struct{}{}
	}
	return func() {
		for range maxWorked {
			<-turns
		}
	}
}

// Buckets are those of callers.
type Buckets struct{ buckets }

// NewBuckets returns none yet.
func NewBuckets() *Buckets { return &Buckets{buckets{byCaller: map[string]*rate.Limiter{}}} }

// Call is take.
func (b *Buckets) Call(id string, limit int, now time.Time) time.Duration {
	return b.take(riposte.Caller{KeyID: id, RateLimit: limit}, now)
}

// Len is how many there are.
func (b *Buckets) Len() int { return len(b.byCaller) }
