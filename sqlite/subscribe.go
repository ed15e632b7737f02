package sqlite

import (
	"slices"
	"sync"

	"github.com/riposte-dev/riposte"
)

// maxUnpublished is how many commits subscribers may be behind before the
// writer waits for them.
const maxUnpublished = 1024

// subscribers hands what was committed to whoever wants to know, from a
// goroutine of its own, so that the next commit need not wait.
type subscribers struct {
	commits  chan []riposte.Instance
	finished chan struct{}

	mu   sync.Mutex
	last int
	all  []subscriber
}

type subscriber struct {
	number int
	f      func(riposte.Instance)
}

func newSubscribers() *subscribers {
	s := &subscribers{commits: make(chan []riposte.Instance, maxUnpublished), finished: make(chan struct{})}
	go s.run()
	return s
}

func (s *subscribers) run() {
	defer close(s.finished)
	for changed := range s.commits {
		subscribed := s.current()
		for _, i := range changed {
			for _, each := range subscribed {
				each.f(i)
			}
		}
	}
}

func (s *subscribers) publish(changed []riposte.Instance) {
	if len(changed) > 0 {
		s.commits <- changed
	}
}

func (s *subscribers) close() {
	close(s.commits)
	<-s.finished
}

func (s *subscribers) current() []subscriber {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all
}

func (s *subscribers) add(f func(riposte.Instance)) (cancel func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last++
	number := s.last
	// A new slice each time, because run goes through the old one unlocked.
	s.all = append(slices.Clone(s.all), subscriber{number, f})
	return func() { s.remove(number) }
}

func (s *subscribers) remove(number int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = slices.DeleteFunc(slices.Clone(s.all), func(each subscriber) bool { return each.number == number })
}

// Subscribe implements riposte.InstanceStore. f may be called once more while
// cancel is under way.
func (s *Store) Subscribe(f func(riposte.Instance)) (cancel func()) {
	return s.writer.subscribers.add(f)
}
