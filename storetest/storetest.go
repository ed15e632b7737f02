// Package storetest is the behaviour that every riposte.Store has: one suite,
// one case per behaviour, passed unchanged by each. A store's bug gets its case
// here first.
package storetest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/riposte-dev/riposte"
)

// Open opens the store kept at place, which exists as an empty directory when
// a case begins. Opened again after Close, it has what was there. The store's
// Now is now.
type Open func(ctx context.Context, place string, now func() time.Time) (riposte.Store, error)

// behaviour is one case. Its name says what a store does.
type behaviour struct {
	name string
	show func(*house)
}

func behaviours() []behaviour {
	return slices.Concat(webhooks, creation, saving, attempts, claims, claimBounds, pushing, totals, taking, lists, searches, counts, statistics, feeds, consumers, purging, secrets, keys, clients, audit, subscriptions, restarts, model)
}

// Run runs the suite, each case on a store of its own.
func Run(t *testing.T, open Open) {
	for _, b := range behaviours() {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			b.show(newHouse(t, open))
		})
	}
}

// fails runs one case and reports whether it fails.
func fails(t testing.TB, name string, open Open) bool {
	t.Helper()
	all := behaviours()
	n := slices.IndexFunc(all, func(b behaviour) bool { return b.name == name })
	if n < 0 {
		t.Fatalf("there is no case %q", name)
	}
	w := &witness{TB: t}
	defer w.cleanUp()
	func() {
		defer w.recovers()
		all[n].show(newHouse(w, open))
	}()
	return w.Failed()
}

// Clock stands still until it is told to go on.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// Now is what a store is opened with.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves the clock on by d.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// witness is a testing.TB whose failures are not those of the test it is for.
type witness struct {
	testing.TB
	mu       sync.Mutex
	failed   bool
	cleanups []func()
}

func (w *witness) Fail() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failed = true
}

func (w *witness) Failed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.failed
}

func (w *witness) Cleanup(f func())          { w.cleanups = append(w.cleanups, f) }
func (w *witness) FailNow()                  { w.Fail(); panic(witnessed{}) }
func (w *witness) Error(args ...any)         { w.Errorf("%s", fmt.Sprint(args...)) }
func (w *witness) Errorf(f string, a ...any) { w.Logf("seen: "+f, a...); w.Fail() }
func (w *witness) Fatal(args ...any)         { w.Fatalf("%s", fmt.Sprint(args...)) }
func (w *witness) Fatalf(f string, a ...any) { w.Logf("seen: "+f, a...); w.FailNow() }

// witnessed is FailNow's panic, which ends a case and nothing else.
type witnessed struct{}

func (w *witness) recovers() {
	switch r := recover().(type) {
	case nil, witnessed:
	default:
		w.Errorf("panic: %v", r)
	}
}

func (w *witness) cleanUp() {
	for _, f := range slices.Backward(w.cleanups) {
		f()
	}
}
