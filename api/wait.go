package api

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/riposte-dev/riposte"
)

const (
	// notePause is longer than it takes a store to say that it may not have told of
	// something.
	notePause = time.Minute
	// missedPage is how many outcomes are read at once for those who may have
	// missed theirs.
	missedPage      = 256
	missedHeldPause = 20 * time.Millisecond // where a commit elsewhere is waited for
	missedRetry     = time.Second
)

// waiters wakes those who wait for an outcome. Nobody polls, and the store is asked
// once for all who wait: for an instance that is decided, and for what they may not
// have been told of.
type waiters struct {
	store  riposte.Store
	missed chan struct{} // outcomes may have come of which nobody was told

	// These belong to run's goroutine.
	begun bool
	told  int64 // whoever waits was told of the outcomes up to this one, or soon will be
	noted int64 // will be told once notePause has passed

	mu sync.Mutex
	m  map[string]*waiting // by instance id
}

// waiting is those who wait for one instance.
type waiting struct {
	n     int
	woken chan struct{}                     // closed when the instance may be decided
	look  func() (*riposte.Instance, error) // then, at the store, once for all of them
}

func newWaiters(s riposte.Store) *waiters {
	return &waiters{store: s, missed: make(chan struct{}, 1), m: map[string]*waiting{}}
}

// add counts one more who waits for an instance, until leave is called.
func (w *waiters) add(id string) (all *waiting, leave func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	all = w.m[id]
	if all == nil {
		all = &waiting{woken: make(chan struct{}), look: sync.OnceValues(func() (*riposte.Instance, error) {
			return w.load(context.Background(), id) // whoever comes first may leave before the others
		})}
		w.m[id] = all
	}
	all.n++
	return all, func() { w.leave(id, all) }
}

func (w *waiters) leave(id string, all *waiting) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if all.n--; all.n == 0 && w.m[id] == all {
		delete(w.m, id)
	}
}

// load returns no Instance but where it is: one on the stack of each who waits would
// be most of what that costs.
func (w *waiters) load(ctx context.Context, id string) (*riposte.Instance, error) {
	if !riposte.IsID(id) {
		return nil, riposte.ErrInstanceNotFound
	}
	i, err := w.store.LoadInstance(ctx, id)
	return &i, err
}

// loadOf is load for one who sees only what only created, or everything where that is
// empty.
func (w *waiters) loadOf(ctx context.Context, only, id string) (*riposte.Instance, error) {
	i, err := w.load(ctx, id)
	if err == nil && only != "" && i.CreatedBy != only {
		return nil, riposte.ErrInstanceNotFound
	}
	return i, err
}

// changed is subscribed to the store's changes. Who is woken looks for itself,
// so once too often does no harm.
func (w *waiters) changed(i riposte.Instance) {
	switch {
	case i.ID == "":
		w.lookForMissed()
	case i.Outcome != nil || i.Version == 0: // 0 is another node's
		w.wake(i.ID)
	}
}

func (w *waiters) wake(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if all := w.m[id]; all != nil {
		close(all.woken)
		delete(w.m, id)
	}
}

func (w *waiters) wakeAll() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, all := range w.m {
		close(all.woken)
	}
	clear(w.m)
}

func (w *waiters) lookForMissed() {
	select {
	case w.missed <- struct{}{}:
	default:
	}
}

// run wakes those whose outcome has come without their being told, as long as ctx
// lasts. What that reads depends on the outcomes of the last two minutes, not on how
// many wait.
func (w *waiters) run(ctx context.Context) {
	tick := time.NewTicker(notePause)
	defer tick.Stop()
	w.lookForMissed() // to begin
	for {
		select {
		case <-tick.C:
			_ = w.note(ctx) // the last one does as well
		case <-w.missed:
			if w.readMissed(ctx) == nil {
				continue
			}
			w.lookForMissed()
			if pause(ctx, missedRetry) != nil {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// note keeps where the outcomes end. Where that was a note ago, all have been told
// of since, or it was said that they may not have been.
func (w *waiters) note(ctx context.Context) error {
	last, err := w.store.LastOutcome(ctx)
	if err != nil {
		return err
	}
	if !w.begun {
		w.begun, w.noted = true, last
		defer w.wakeAll() // nobody knows what those who are here already were told of
	}
	w.told, w.noted = w.noted, last
	return nil
}

// readMissed wakes whoever waits for one of the last outcomes.
func (w *waiters) readMissed(ctx context.Context) error {
	if !w.begun {
		return w.note(ctx)
	}
	for after := w.told; ; {
		page, err := w.store.LoadOutcomes(ctx, after, missedPage)
		if errors.Is(err, riposte.ErrCursorTooOld) || errors.Is(err, riposte.ErrCursorUnknown) {
			w.begun = false
			return w.note(ctx)
		}
		if err != nil {
			return err
		}
		for _, i := range page.Instances {
			w.wake(i.ID)
			after = i.Outcome.Sequence
		}
		switch {
		case len(page.Instances) == missedPage:
		case !page.Held:
			return nil
		default:
			if err := pause(ctx, missedHeldPause); err != nil {
				return err
			}
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
