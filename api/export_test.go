package api

import (
	"context"
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
	CountsAge       = countsAge
)

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
	b := map[string]*bound{"call": &s.bounds.calls, "callback": &s.bounds.callbacks, "wait": &s.bounds.waits, "page": &s.bounds.pages}[kind]
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
