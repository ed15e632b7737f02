package feed_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/feed"
	"github.com/riposte-dev/riposte/sqlite"
)

// patience bounds what these tests wait for.
const patience = time.Minute

// counted is a store that counts what is read of the feed.
type counted struct {
	riposte.Store
	reads atomic.Int64
	page  func(riposte.OutcomePage) riposte.OutcomePage // of what is read; nil for nothing
}

func (s *counted) LoadOutcomes(ctx context.Context, after int64, limit int) (riposte.OutcomePage, error) {
	s.reads.Add(1)
	page, err := s.Store.LoadOutcomes(ctx, after, limit)
	if s.page != nil {
		page = s.page(page)
	}
	return page, err
}

type fixture struct {
	*testing.T
	store   *counted
	feed    *feed.Feed
	webhook riposte.Webhook
}

func start(t *testing.T) *fixture {
	t.Helper()
	s, err := sqlite.Open(t.Context(), t.TempDir(), sqlite.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{T: t, store: &counted{Store: s}}
	f.feed = feed.New(f.store, slog.New(slog.DiscardHandler))
	t.Cleanup(func() {
		f.feed.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	w, err := riposte.NewWebhook("w", "", "https://receiver.example", 0, func(string) (string, error) { return "receiver.example", nil }, s.Now())
	if err == nil {
		f.webhook, err = s.SaveWebhook(t.Context(), w)
	}
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// close makes n outcomes, some at the same time, each with a document of so many
// bytes.
func (f *fixture) close(n, size int) {
	f.Helper()
	var records []riposte.NewInstanceRecord
	for range n {
		i, e, err := riposte.NewInstance(f.webhook, riposte.InstanceRequest{Source: riposte.Source{Kind: riposte.SourceTest}},
			func(id string) string { return "https://riposte.example/" + id }, f.store.Now())
		if err != nil {
			f.Fatal(err)
		}
		records = append(records, riposte.NewInstanceRecord{Instance: i, Envelope: e})
	}
	created, err := f.store.CreateInstances(f.Context(), records)
	if err != nil {
		f.Fatal(err)
	}
	document := []byte(`{"version":"v1","x":"` + strings.Repeat("x", size) + `"}`)
	var all sync.WaitGroup
	for _, i := range created {
		all.Go(func() {
			running, err := i.Advance(riposte.Claimed{}, f.store.Now())
			var next riposte.Instance
			if err == nil {
				next, err = running.Advance(riposte.Answered{Via: riposte.ViaCallback,
					Answer: riposte.Answer{Kind: riposte.OutcomeDelivered, Document: document}}, f.store.Now())
			}
			if err == nil {
				_, err = f.store.SaveInstance(f.Context(), next, nil)
			}
			if err != nil {
				f.Error(err)
			}
		})
	}
	all.Wait()
}

// read takes n outcomes, which must be in their order without a gap.
func read(ctx context.Context, w *feed.Watch, n int) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for after := w.Sequence(); n > 0; {
		found, err := w.Next(ctx, 50)
		if err != nil {
			return fmt.Errorf("with %d to come: %w", n, err)
		}
		for _, i := range found {
			if after++; i.Outcome.Sequence != after { // SQLite leaves no gaps
				return fmt.Errorf("%d comes where %d should", i.Outcome.Sequence, after)
			}
		}
		n -= len(found)
	}
	return nil
}

func (f *fixture) watch(after int64) *feed.Watch {
	f.Helper()
	w, err := f.feed.Watch(f.Context(), after)
	if err != nil {
		f.Fatal(err)
	}
	return w
}

// TestEachWatcherSeesEachOutcomeOnce whenever it comes, and wherever it begins.
func TestEachWatcherSeesEachOutcomeOnce(t *testing.T) {
	f := start(t)
	f.close(300, 0)
	var all sync.WaitGroup
	follow := func(w *feed.Watch, n int) {
		all.Go(func() {
			if err := read(t.Context(), w, n); err != nil {
				t.Errorf("from %d on: %v", w.Sequence(), err)
			}
		})
	}
	for _, after := range []int64{0, 1, 299, 300} {
		follow(f.watch(after), 1300-int(after))
	}
	for range 10 {
		last, err := f.store.LastOutcome(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		follow(f.watch(last), 1300-int(last))
		f.close(100, 0)
		follow(f.watch(0), 1300)
	}
	all.Wait()
}

// TestWatcherWhoIsFarBehindReadsTheStore: what was read last is bounded by its
// bytes.
func TestWatcherWhoIsFarBehindReadsTheStore(t *testing.T) {
	f := start(t)
	slow, fast := f.watch(0), f.watch(0)
	for range 8 {
		f.close(20, 200_000)
		if err := read(t.Context(), fast, 20); err != nil {
			t.Fatal(err)
		}
	}
	before := f.store.reads.Load()
	if err := read(t.Context(), slow, 160); err != nil {
		t.Fatal(err)
	}
	if f.store.reads.Load() == before {
		t.Error("32 MB were kept for who is behind")
	}
}

// TestManyWatchersReadOnce: neither waiting nor being told costs a read for each.
func TestManyWatchersReadOnce(t *testing.T) {
	f := start(t)
	const watchers = 2000
	var all, ready sync.WaitGroup
	for range watchers {
		w := f.watch(0)
		ready.Add(1)
		all.Go(func() {
			defer w.Close()
			ready.Done()
			if err := read(t.Context(), w, 10); err != nil {
				t.Error(err)
			}
		})
	}
	ready.Wait()
	before := f.store.reads.Load()
	f.close(10, 0)
	all.Wait()
	if n := f.store.reads.Load() - before; n > 20 {
		t.Errorf("%d reads for 10 outcomes", n)
	}
}

// TestNothingIsReadForNobody: when the last watcher has left, the store is left
// alone.
func TestNothingIsReadForNobody(t *testing.T) {
	f := start(t)
	f.close(1, 0)
	first, second := f.watch(0), f.watch(0)
	if _, err := f.feed.Watch(t.Context(), 100); err == nil { // refused, so it doesn't count
		t.Fatal("watches after a cursor to come")
	}
	if err := errors.Join(read(t.Context(), first, 1), read(t.Context(), second, 1)); err != nil {
		t.Fatal(err)
	}
	first.Close()
	second.Close()
	before := f.store.reads.Load()
	for range 20 {
		f.close(1, 0)
	}
	if n := f.store.reads.Load() - before; n > 1 { // one may have been under way
		t.Errorf("%d reads for nobody", n)
	}
}

// TestHeldOutcomesComeWithoutBeingTold: a commit that held them back came to
// nothing, of which nobody is told.
func TestHeldOutcomesComeWithoutBeingTold(t *testing.T) {
	f := start(t)
	var held atomic.Bool
	f.store.page = func(p riposte.OutcomePage) riposte.OutcomePage {
		if held.Load() && len(p.Instances) > 0 {
			return riposte.OutcomePage{Held: true}
		}
		return p
	}
	f.close(3, 0)
	tail, behind := f.watch(3), f.watch(0)
	held.Store(true)
	f.close(2, 0)
	short, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	for _, w := range []*feed.Watch{tail, behind} {
		if found, err := w.Next(short, 10); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("found %v, %v", found, err)
		}
	}
	held.Store(false)
	if err := errors.Join(read(t.Context(), tail, 2), read(t.Context(), behind, 5)); err != nil {
		t.Error(err)
	}
}

// TestFollowsAgainAfterTheStoreFailed without being told.
func TestFollowsAgainAfterTheStoreFailed(t *testing.T) {
	f := start(t)
	failing := &failingStore{counted: f.store}
	follows := feed.New(failing, slog.New(slog.DiscardHandler))
	defer follows.Close()
	w, err := follows.Watch(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	failing.failures.Store(2)
	f.close(1, 0)
	if err := read(t.Context(), w, 1); err != nil {
		t.Error(err)
	}
	if n := failing.failures.Load(); n > 0 {
		t.Errorf("%d failures were left: this test shows nothing", n)
	}
}

type failingStore struct {
	*counted
	failures atomic.Int64
}

func (s *failingStore) LoadOutcomes(ctx context.Context, after int64, limit int) (riposte.OutcomePage, error) {
	if s.failures.Load() > 0 {
		s.failures.Add(-1)
		return riposte.OutcomePage{}, riposte.ErrUnavailable
	}
	return s.counted.LoadOutcomes(ctx, after, limit)
}

func TestWatchOfABadCursorIsRefused(t *testing.T) {
	f := start(t)
	f.close(2, 0)
	if _, err := f.feed.Watch(t.Context(), 3); !errors.Is(err, riposte.ErrCursorUnknown) {
		t.Errorf("a cursor to come: %v", err)
	}
}
