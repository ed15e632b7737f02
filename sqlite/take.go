package sqlite

import (
	"context"

	"github.com/riposte-dev/riposte"
)

// TakeNew implements riposte.InstanceStore. The writer's goroutine calls the
// taker; a commit that comes to nothing releases what it reserved.
func (s *Store) TakeNew(t riposte.Taker) (stop func()) {
	set := func(t riposte.Taker) {
		// Only a store that is closed or broken refuses: it takes nothing more.
		_ = s.writer.do(context.Background(), 1, func(*tx) error {
			s.writer.taker = t
			return nil
		})
	}
	set(t)
	return func() { set(nil) }
}
