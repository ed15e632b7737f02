package api_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/api"
)

// forgetful is a store that counts what is read, and may tell nobody of what
// changes, as one does that has lost its connection.
type forgetful struct {
	riposte.Store
	reads atomic.Int64
	mute  atomic.Bool

	mu          sync.Mutex
	subscribers []func(riposte.Instance)
}

func (s *forgetful) LoadInstance(ctx context.Context, id string) (riposte.Instance, error) {
	s.reads.Add(1)
	return s.Store.LoadInstance(ctx, id)
}

func (s *forgetful) LoadOutcomes(ctx context.Context, after int64, limit int) (riposte.OutcomePage, error) {
	s.reads.Add(1)
	return s.Store.LoadOutcomes(ctx, after, limit)
}

func (s *forgetful) LastOutcome(ctx context.Context) (int64, error) {
	s.reads.Add(1)
	return s.Store.LastOutcome(ctx)
}

func (s *forgetful) Subscribe(f func(riposte.Instance)) (cancel func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.subscribers = append(s.subscribers, f)
	return s.Store.Subscribe(func(i riposte.Instance) {
		if !s.mute.Load() {
			f(i)
		}
	})
}

// admit says that something may have changed of which nobody was told.
func (s *forgetful) admit() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.subscribers {
		f(riposte.Instance{})
	}
}

// TestManyWhoWaitReadTheStoreAsOftenAsFew: neither time, nor an outcome, nor what
// the store may not have told of costs a read for each.
func TestManyWhoWaitReadTheStoreAsOftenAsFew(t *testing.T) {
	var few, many int64
	synctest.Test(t, func(t *testing.T) { few = readsWhileWaiting(t, 10) })
	synctest.Test(t, func(t *testing.T) { many = readsWhileWaiting(t, 100) })
	if few != many || few == 0 {
		t.Errorf("%d reads while 10 wait, %d while 100 do", few, many)
	}
}

// readsWhileWaiting has n callers wait for an instance each, n for one, and n watch.
func readsWhileWaiting(t *testing.T, n int) int64 {
	store := &forgetful{Store: newStore(t)}
	p := newInProcessOf(t, store)
	ctx, hangUp := context.WithCancel(t.Context())
	defer hangUp()
	var all sync.WaitGroup
	defer all.Wait()
	defer hangUp()
	answers := make(chan *httptest.ResponseRecorder, 2*n)
	waitFor := func(id string) {
		all.Go(func() { answers <- p.serve(ctx, "GET /api/v1/instances/"+id+":wait?timeout=60s", "") })
	}
	watchers := make([]*httptest.ResponseRecorder, n)
	for k := range n {
		waitFor(p.waiting)
		waitFor(p.create())
		watchers[k] = httptest.NewRecorder()
		all.Go(func() { p.api.ServeHTTP(watchers[k], newRequest(ctx, "GET /api/v1/instances:watch", "")) })
	}
	synctest.Wait()
	before := store.reads.Load()
	store.admit() // and nothing has
	time.Sleep(20 * time.Second)
	synctest.Wait()
	if len(answers) > 0 {
		t.Errorf("%d have an answer, and nothing is decided", len(answers))
	}

	store.mute.Store(true)
	p.serve(ctx, "POST /api/v1/instances/"+p.waiting+":cancel", `{}`)
	synctest.Wait()
	if len(answers) > 0 {
		t.Errorf("%d have an answer of which nobody was told: this test shows nothing", len(answers))
	}
	store.admit()
	time.Sleep(time.Second)
	synctest.Wait()
	if len(answers) != n {
		t.Errorf("%d of %d who wait for what is decided have an answer", len(answers), n)
	}
	for len(answers) > 0 {
		if a := <-answers; a.Code != http.StatusOK || !strings.Contains(a.Body.String(), "CANCELED") {
			t.Errorf("who waits got %d: %s", a.Code, a.Body)
		}
	}
	for _, w := range watchers {
		if !strings.Contains(w.Body.String(), "CANCELED") {
			t.Errorf("who watches got %s", w.Body)
		}
	}
	return store.reads.Load() - before
}

// TestWhatWasMissedIsFoundFromWellBefore: where the outcomes ended a moment ago
// says nothing of who was told of them.
func TestWhatWasMissedIsFoundFromWellBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &forgetful{Store: newStore(t)}
		p := newInProcessOf(t, store)
		time.Sleep(api.NotePause - time.Second)
		store.mute.Store(true)
		time.AfterFunc(500*time.Millisecond, func() { p.serve(t.Context(), "POST /api/v1/instances/"+p.waiting+":cancel", `{}`) })
		time.AfterFunc(3*time.Second, store.admit) // past the note of where the outcomes end
		if took, state := p.wait("?timeout=60s"); took != 3*time.Second || state != "WEBHOOK_STATE_FATAL_ERROR" {
			t.Errorf("it took %s and gave %s, want 3s and FATAL_ERROR", took, state)
		}
	})
}
