package sqlite

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/riposte-dev/riposte"
)

// maxUnpublished is how many commits subscribers may be behind before the
// writer waits for them.
const maxUnpublished = 1024

// subscribers hands what was committed to whoever wants to know, from a
// goroutine of its own, so that the next commit need not wait.
type subscribers struct {
	commits  chan publication
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
}

func newSubscribers() *subscribers {
	s := &subscribers{commits: make(chan publication, maxUnpublished), finished: make(chan struct{})}
	s.current.Store(new([]*subscriber))
	go s.run()
	return s
}

func (s *subscribers) run() {
	defer close(s.finished)
	for p := range s.commits {
		for _, i := range p.changed {
			for _, each := range p.to {
				if !each.gone.Load() {
					each.f(i)
				}
			}
		}
	}
}

func (s *subscribers) publish(changed []riposte.Instance) {
	if to := *s.current.Load(); len(changed) > 0 && len(to) > 0 {
		s.commits <- publication{changed, to}
	}
}

func (s *subscribers) close() {
	close(s.commits)
	<-s.finished
}

func (s *subscribers) replace(change func([]*subscriber) []*subscriber) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := change(slices.Clone(*s.current.Load()))
	s.current.Store(&next)
}

// Subscribe implements riposte.InstanceStore. f may still be running when
// cancel returns.
func (s *Store) Subscribe(f func(riposte.Instance)) (cancel func()) {
	subs, added := s.writer.subscribers, &subscriber{f: f}
	subs.replace(func(all []*subscriber) []*subscriber { return append(all, added) })
	return func() {
		added.gone.Store(true)
		subs.replace(func(all []*subscriber) []*subscriber {
			return slices.DeleteFunc(all, func(each *subscriber) bool { return each == added })
		})
	}
}
