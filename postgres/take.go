package postgres

import (
	"context"

	"github.com/riposte-dev/riposte"
)

// TakeNew implements riposte.InstanceStore. The writer's goroutine calls the
// taker; a commit that comes to nothing releases what it reserved.
func (s *Store) TakeNew(t riposte.Taker) (stop func()) {
	set := func(t riposte.Taker) {
		s.writer.mu.Lock()
		s.writer.taker = t
		s.writer.mu.Unlock()
		// Once this has had its turn, no batch that knew another taker is under
		// way. It asks nothing of the database, but may have to wait for it.
		for s.writer.do(context.Background(), 1, change{run: func(*tx) error { return nil }}) != nil && !s.writer.queue.Closed() {
		}
	}
	set(t)
	return func() { set(nil) }
}
