package sqlite

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/riposte-dev/riposte"
)

// TestWritingGoesOnWhileTheRowsAreCounted writes from the moment that Open
// returns, when a large store is still being counted.
func TestWritingGoesOnWhileTheRowsAreCounted(t *testing.T) {
	dir := t.TempDir()
	const there, more = 10_000, 100
	w := fill(t, dir, there)
	s, err := Open(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for range more {
		if _, err := s.CreateInstances(t.Context(), []riposte.NewInstanceRecord{newRecord(t, s, w, "")}); err != nil {
			t.Fatal(err)
		}
	}
	counts, err := s.CountInstances(t.Context())
	if err != nil || counts[riposte.StatePending] != there+more {
		t.Errorf("%d are PENDING (%v), want %d", counts[riposte.StatePending], err, there+more)
	}
}

func TestSnapshotIsOfTheMomentItWasTaken(t *testing.T) {
	s := openStore(t, Options{})
	w := saveWebhook(t, s)
	snapshot, err := takeSnapshot(t.Context(), s.readers)
	if err != nil {
		t.Fatal(err)
	}
	defer snapshot.Rollback()
	if _, err := s.CreateInstances(t.Context(), []riposte.NewInstanceRecord{newRecord(t, s, w, "")}); err != nil {
		t.Fatal(err)
	}
	c := newCounts()
	if err := c.count(t.Context(), snapshot); err != nil || c.byState[0] != 0 {
		t.Errorf("counted %v (%v), want what was there before", c.byState, err)
	}
}

// TestCloseDoesNotWaitForTheCount tries again where the count was faster than
// its end.
func TestCloseDoesNotWaitForTheCount(t *testing.T) {
	dir := t.TempDir()
	fill(t, dir, 10_000)
	var counted error
	for range 20 {
		s, err := Open(t.Context(), dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		s.writer.counts.stop()
		_, counted = s.CountInstances(t.Context())
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if counted != nil {
			break
		}
	}
	if !errors.Is(counted, context.Canceled) {
		t.Errorf("error is %v", counted)
	}
}

func TestWhoAsksForTheCountMayStopWaiting(t *testing.T) {
	s := openStore(t, Options{})
	<-s.writer.counts.finished
	s.writer.counts.finished = make(chan struct{})
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if counts, err := s.CountInstances(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, %v", counts, err)
	}
	close(s.writer.counts.finished)
}

// TestHalfAPurgeIsNotCounted fails an op after it has purged, beside one that
// succeeds.
func TestHalfAPurgeIsNotCounted(t *testing.T) {
	s := openStore(t, Options{})
	created, err := s.CreateInstances(t.Context(), []riposte.NewInstanceRecord{newRecord(t, s, saveWebhook(t, s), "")})
	if err != nil {
		t.Fatal(err)
	}
	closed, err := created[0].Advance(riposte.Canceled{}, s.Now())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.SaveInstance(t.Context(), closed, nil); err != nil {
		t.Fatal(err)
	}
	late := created[0].ExpiresAt.Add(time.Hour)
	err = s.writer.do(t.Context(), 1, func(tx *tx) error {
		if n, err := tx.purgeStep(late, 10); n != 1 || err != nil {
			t.Errorf("purged %d, %v", n, err)
		}
		return errors.New("half way")
	})
	if err == nil {
		t.Error("the op did not fail")
	}
	for _, want := range []int{1, 0} {
		counts, err := s.CountInstances(t.Context())
		if err != nil || counts[riposte.StateFatalError] != want {
			t.Errorf("%d are in FATAL_ERROR (%v), want %d", counts[riposte.StateFatalError], err, want)
		}
		if _, err := s.PurgeInstances(t.Context(), late, 10); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCommitsAreObserved(t *testing.T) {
	type commit struct {
		ops  int
		took time.Duration
	}
	var mu sync.Mutex
	var seen []commit
	s := openStore(t, Options{OnCommit: func(ops int, took time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, commit{ops, took})
	}})
	w := saveWebhook(t, s)
	release := hold(t, s) // writes nothing, and so is not seen
	var creating sync.WaitGroup
	for range 8 {
		r := newRecord(t, s, w, "")
		creating.Go(func() {
			if _, err := s.CreateInstances(context.Background(), []riposte.NewInstanceRecord{r}); err != nil {
				t.Error(err)
			}
		})
	}
	queued(t, s, 8)
	release()
	creating.Wait()
	s.writer.drain()
	if len(seen) != 2 || seen[0].ops != 1 || seen[1].ops != 8 || seen[0].took <= 0 || seen[1].took <= 0 {
		t.Errorf("saw %v, want the webhook's commit and one of 8", seen)
	}
}

// BenchmarkCounting is what the counts cost an instance: three changes, in a
// commit with those of 63 others. Its time is of one instance.
func BenchmarkCounting(b *testing.B) {
	c, t, expiry := newCounts(), &tx{}, time.Now()
	for range 64 {
		i := riposte.Instance{State: riposte.StatePending, Version: 1, ExpiresAt: expiry}
		t.Changed = append(t.Changed, i)
		for version, e := range []riposte.Event{riposte.Claimed{}, riposte.Canceled{}} {
			next, err := i.Stored(i.Version).Advance(e, expiry.Add(-time.Hour))
			if err != nil {
				b.Fatal(err)
			}
			i, i.Version = next, int64(version+2)
			t.Changed = append(t.Changed, i)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		c.committed(t)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/64, "ns/instance")
}

// fill makes a store with n instances in PENDING on one webhook.
func fill(t *testing.T, dir string, n int) riposte.Webhook {
	t.Helper()
	s, err := Open(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	w := saveWebhook(t, s)
	if _, err := s.CreateInstances(t.Context(), []riposte.NewInstanceRecord{newRecord(t, s, w, "")}); err != nil {
		t.Fatal(err)
	}
	multiply(t, s, n-1)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return w
}
