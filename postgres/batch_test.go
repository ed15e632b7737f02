package postgres

import (
	"context"
	"errors"
	"runtime"
	"testing"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/postgres/postgrestest"
)

// TestStaleSaveDoesNotSpoilAnother has two saves of one instance in one batch:
// first one that comes too late, then the right one.
func TestStaleSaveDoesNotSpoilAnother(t *testing.T) {
	t.Parallel()
	s, err := Open(t.Context(), postgrestest.URL(t), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	stale, right := pendingAndRunning(t, s)
	stale, err = stale.Advance(riposte.Canceled{}, s.Now())
	if err != nil {
		t.Fatal(err)
	}
	right, err = right.Advance(riposte.Canceled{}, s.Now())
	if err != nil {
		t.Fatal(err)
	}

	begun, free := make(chan struct{}), make(chan struct{})
	answers := make([]chan error, 3)
	ask := func(n, weight int, c change) {
		answers[n] = make(chan error, 1)
		go func() { answers[n] <- s.writer.do(context.Background(), weight, c) }()
	}
	ask(0, maxBatchWeight, change{run: func(*tx) error { close(begun); <-free; return nil }})
	<-begun
	for n, i := range []riposte.Instance{stale, right} {
		ask(n+1, 1, change{save: &saving{instance: i}})
		for s.writer.queue.Len() <= n && t.Context().Err() == nil {
			runtime.Gosched()
		}
	}
	close(free)
	if err := errors.Join(<-answers[0], <-answers[2]); err != nil {
		t.Errorf("the right save: %v", err)
	}
	if err := <-answers[1]; !errors.Is(err, riposte.ErrConflict) {
		t.Errorf("the stale save: %v, want ErrConflict", err)
	}
	if got, err := s.LoadInstance(t.Context(), right.ID); err != nil || !got.State.Closed() {
		t.Errorf("the instance is in %s (%v)", got.State, err)
	}
}

// TestBatchRunsAgainAsIfForTheFirstTime has a save in one batch with an op that
// fails half way, so that both run twice.
func TestBatchRunsAgainAsIfForTheFirstTime(t *testing.T) {
	t.Parallel()
	s, err := Open(t.Context(), postgrestest.URL(t), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	_, i := pendingAndRunning(t, s)
	if i, err = i.Advance(riposte.Canceled{}, s.Now()); err != nil {
		t.Fatal(err)
	}
	halfWay := errors.New("half way")
	v := &saving{instance: i}
	batch := []*op{
		{What: change{save: v}},
		{What: change{run: func(tx *tx) error { tx.writes++; return halfWay }}},
	}
	// Nobody else asks the writer for anything.
	s.writer.commit(batch)
	if batch[0].Err != nil || !errors.Is(batch[1].Err, halfWay) {
		t.Errorf("answered %v and %v", batch[0].Err, batch[1].Err)
	}
	got, err := s.LoadInstance(t.Context(), i.ID)
	if err != nil || got.State != riposte.StateFatalError || got.Outcome == nil || v.saved.Outcome.Sequence != got.Outcome.Sequence {
		t.Errorf("loaded %+v (%v)", got, err)
	}
}

// pendingAndRunning is one instance before its claim and after.
func pendingAndRunning(t *testing.T, s *Store) (pending, running riposte.Instance) {
	t.Helper()
	pending = createWith(t, s, saveWebhook(t, s), riposte.InstanceRequest{Source: riposte.Source{Kind: riposte.SourceTest}})
	c, err := s.Claim(t.Context(), riposte.ClaimRequest{Limit: 1})
	if err != nil || len(c.Attempts) != 1 {
		t.Fatalf("claimed %d (%v)", len(c.Attempts), err)
	}
	return pending, c.Attempts[0].Instance
}
