package postgres

import (
	"context"
	"sync"
)

// loads are those of one kind that are under way, each by what it loads. A load
// answers only those who asked before it began, so that each sees what was committed
// before it asked.
type loads[T any] struct {
	mu      sync.Mutex
	byID    map[string]*load[T] // the one under way
	running sync.WaitGroup
}

type load[T any] struct {
	done   chan struct{}
	loaded T
	err    error
	next   *load[T] // for who has asked since this one began; nil for nobody
}

func newLoad[T any]() *load[T] { return &load[T]{done: make(chan struct{})} }

// wait returns what a load finds that begins now or later; what says what that is for.
func (ls *loads[T]) wait(ctx context.Context, what, id string, ask func() (T, error)) (T, error) {
	l := ls.join(id, ask)
	select {
	case <-l.done:
		return l.loaded, l.err
	case <-ctx.Done():
		var none T
		return none, reading(ctx, what, ctx.Err())
	}
}

// join returns a load that begins now or later.
func (ls *loads[T]) join(id string, ask func() (T, error)) *load[T] {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	current, ok := ls.byID[id]
	if ok {
		if current.next == nil {
			current.next = newLoad[T]()
		}
		return current.next
	}
	if ls.byID == nil {
		ls.byID = map[string]*load[T]{}
	}
	first := newLoad[T]()
	ls.byID[id] = first
	ls.running.Go(func() { ls.run(id, first, ask) })
	return first
}

func (ls *loads[T]) run(id string, l *load[T], ask func() (T, error)) {
	for l != nil {
		l.loaded, l.err = ask()
		close(l.done)
		ls.mu.Lock()
		if l = l.next; l != nil {
			ls.byID[id] = l
		} else {
			delete(ls.byID, id)
		}
		ls.mu.Unlock()
	}
}
