package api

import (
	"sync"

	"github.com/riposte-dev/riposte"
)

// waiters wakes those who wait for an outcome. One costs a channel; nobody polls.
type waiters struct {
	mu sync.Mutex
	m  map[string]map[chan struct{}]struct{} // by instance id
}

// add returns a channel that is closed when the instance may be decided.
func (w *waiters) add(id string) (<-chan struct{}, func()) {
	ch := make(chan struct{})
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.m == nil {
		w.m = map[string]map[chan struct{}]struct{}{}
	}
	if w.m[id] == nil {
		w.m[id] = map[chan struct{}]struct{}{}
	}
	w.m[id][ch] = struct{}{}
	return ch, func() { w.remove(id, ch) }
}

func (w *waiters) remove(id string, ch chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.m[id], ch)
	if len(w.m[id]) == 0 {
		delete(w.m, id)
	}
}

// changed is subscribed to the store's changes. Who is woken looks for itself,
// so once too often does no harm.
func (w *waiters) changed(i riposte.Instance) {
	switch {
	case i.ID == "":
		w.wakeAll()
	case i.Outcome != nil || i.Version == 0: // 0 is another node's
		w.wake(i.ID)
	}
}

func (w *waiters) wake(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for ch := range w.m[id] {
		close(ch)
	}
	delete(w.m, id)
}

func (w *waiters) wakeAll() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, channels := range w.m {
		for ch := range channels {
			close(ch)
		}
	}
	clear(w.m)
}
