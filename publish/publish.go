// Package publish tells subscribers of what a store has committed.
package publish

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/riposte-dev/riposte"
)

// maxBehind is how many commits subscribers may be behind before Publish waits
// for them.
const maxBehind = 1024

// Publisher hands what was committed to whoever wants to know, from a goroutine
// of its own, so that the next commit need not wait.
type Publisher struct {
	commits  chan publication // never closed, because Told may be called at any time
	closing  chan struct{}
	finished chan struct{}
	current  atomic.Pointer[[]*subscriber] // never changed, only replaced

	mu sync.Mutex // held for replacing current
}

type subscriber struct {
	f    func(riposte.Instance)
	gone atomic.Bool
}

// publication is what one commit changed, for those who had subscribed by then.
type publication struct {
	changed []riposte.Instance
	to      []*subscriber
	told    chan<- struct{} // closed afterwards, if there is one
}

// New returns a Publisher. Close it.
func New() *Publisher {
	p := &Publisher{commits: make(chan publication, maxBehind), closing: make(chan struct{}), finished: make(chan struct{})}
	p.current.Store(new([]*subscriber))
	go p.run()
	return p
}

func (p *Publisher) run() {
	defer close(p.finished)
	for {
		select {
		case c := <-p.commits:
			c.tell()
		case <-p.closing:
			p.tellRest()
			return
		}
	}
}

// tellRest tells of all that was published before Close.
func (p *Publisher) tellRest() {
	for {
		select {
		case c := <-p.commits:
			c.tell()
		default:
			return
		}
	}
}

func (c publication) tell() {
	for _, i := range c.changed {
		for _, each := range c.to {
			if !each.gone.Load() {
				each.f(i)
			}
		}
	}
	if c.told != nil {
		close(c.told)
	}
}

// Publish tells of what one commit changed. Calls must be in the order of the
// commits.
func (p *Publisher) Publish(changed []riposte.Instance) {
	if to := *p.current.Load(); len(changed) > 0 && len(to) > 0 {
		p.commits <- publication{changed: changed, to: to}
	}
}

// Told returns when everybody has been told of what was published before, or with
// ctx's error. After Close that is so at once. A subscriber must not call it: it would
// wait for itself.
func (p *Publisher) Told(ctx context.Context) error {
	told := make(chan struct{})
	select {
	case p.commits <- publication{told: told}:
	case <-p.finished:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-told:
		return nil
	case <-p.finished: // perhaps without a look at this one
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close returns when everybody has been told of everything. Nothing may be
// published afterwards.
func (p *Publisher) Close() {
	close(p.closing)
	<-p.finished
}

// Subscribe has f told of each changed instance from now on; see
// riposte.InstanceStore. f may still be running when cancel returns.
func (p *Publisher) Subscribe(f func(riposte.Instance)) (cancel func()) {
	added := &subscriber{f: f}
	p.replace(func(all []*subscriber) []*subscriber { return append(all, added) })
	return func() {
		added.gone.Store(true)
		p.replace(func(all []*subscriber) []*subscriber {
			return slices.DeleteFunc(all, func(each *subscriber) bool { return each == added })
		})
	}
}

func (p *Publisher) replace(change func([]*subscriber) []*subscriber) {
	p.mu.Lock()
	defer p.mu.Unlock()
	next := change(slices.Clone(*p.current.Load()))
	p.current.Store(&next)
}
