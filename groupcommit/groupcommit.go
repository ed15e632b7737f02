// Package groupcommit has changes that come at the same time share a commit:
// while one is under way, what comes next queues up, and the next commit takes
// it all.
package groupcommit

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/riposte-dev/riposte"
)

// maxQueue is how many ops may wait; more wait to get into the queue.
const maxQueue = 1024

var (
	errClosed = fmt.Errorf("%w: the store is closed", riposte.ErrUnavailable)
	errBusy   = fmt.Errorf("%w: the commits before this one take too long", riposte.ErrUnavailable)
)

// Op is one change that waits for its commit.
type Op[T any] struct {
	What T
	Err  error // what it comes to; for Commit to set

	ctx    context.Context
	weight int
	fate   atomic.Int32
	done   chan error // takes one answer
}

// The fates of an op: whoever is first decides.
const (
	waiting int32 = iota
	begun
	givenUp
)

// Options of a Queue; only Commit is required.
type Options[T any] struct {
	// Commit sees to a batch of at least one and leaves each op's error in it.
	// One goroutine calls it.
	Commit func(batch []*Op[T])
	// MaxWeight bounds a batch, and with it how long those who come just after
	// must wait; it may be exceeded by one op.
	MaxWeight int
	// Patience is how long an op may wait for its turn, if not for ever. After
	// that it is refused with ErrUnavailable.
	Patience time.Duration
}

// Queue is where ops wait.
type Queue[T any] struct {
	Options[T]
	mu       sync.RWMutex // held for reading while something enters ops
	closed   bool
	ops      chan *Op[T]
	finished chan struct{}
}

// New returns a queue whose commits have begun. Close it.
func New[T any](o Options[T]) *Queue[T] {
	q := &Queue[T]{Options: o, ops: make(chan *Op[T], maxQueue), finished: make(chan struct{})}
	go q.work()
	return q
}

// Do has what committed and returns the op's error once it is. When ctx ends
// first, what is not committed if its turn had not come.
func (q *Queue[T]) Do(ctx context.Context, weight int, what T) error {
	o := &Op[T]{What: what, ctx: ctx, weight: weight, done: make(chan error, 1)}
	var patience <-chan time.Time
	if q.Patience > 0 {
		timer := time.NewTimer(q.Patience)
		defer timer.Stop()
		patience = timer.C
	}
	if err := q.enter(o, patience); err != nil {
		return err
	}
	for {
		select {
		case err := <-o.done:
			return err
		case <-ctx.Done():
			o.fate.CompareAndSwap(waiting, givenUp)
			return ctx.Err()
		case <-patience:
			if o.fate.CompareAndSwap(waiting, givenUp) {
				return errBusy
			}
		}
	}
}

// Len is how many ops wait for a commit to begin.
func (q *Queue[T]) Len() int { return len(q.ops) }

func (q *Queue[T]) enter(o *Op[T], patience <-chan time.Time) error {
	q.mu.RLock()
	defer q.mu.RUnlock()
	if q.closed {
		return errClosed
	}
	select {
	case q.ops <- o:
		return nil
	case <-o.ctx.Done():
		return o.ctx.Err()
	case <-patience:
		return errBusy
	}
}

func (q *Queue[T]) work() {
	defer close(q.finished)
	var batch []*Op[T]
	for o := range q.ops {
		// Whoever is about to ask shares the commit; an idle machine loses nothing.
		runtime.Gosched()
		if batch = q.gather(batch[:0], o); len(batch) == 0 {
			continue
		}
		q.Commit(batch)
		for _, o := range batch {
			o.done <- o.Err
		}
		clear(batch)
	}
}

// gather adds o, and what has queued up meanwhile, unless its caller has gone.
func (q *Queue[T]) gather(batch []*Op[T], o *Op[T]) []*Op[T] {
	weight := 0
	for {
		if o.ctx.Err() == nil && o.fate.CompareAndSwap(waiting, begun) {
			batch = append(batch, o)
			weight += o.weight
		}
		if weight >= q.MaxWeight {
			return batch
		}
		var ok bool
		select {
		case o, ok = <-q.ops:
			if !ok {
				return batch
			}
		default:
			return batch
		}
	}
}

// Closed reports whether nothing is let in any more.
func (q *Queue[T]) Closed() bool {
	q.mu.RLock()
	defer q.mu.RUnlock()
	return q.closed
}

// Close lets nothing more in and returns when all that is in has been seen to.
// It may be called again.
func (q *Queue[T]) Close() {
	q.mu.Lock()
	already := q.closed
	q.closed = true
	q.mu.Unlock()
	if !already {
		close(q.ops)
	}
	<-q.finished
}
