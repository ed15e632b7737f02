package postgres

import (
	"context"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/lane"
)

// TakeNew implements riposte.InstanceStore. The writer's goroutine calls the
// taker; a commit that comes to nothing releases what it reserved.
func (s *Store) TakeNew(t riposte.Taker) (stop func()) {
	set := func(t riposte.Taker) {
		// Only a store that is closed or can't reach its database refuses: it
		// takes nothing more.
		_ = s.writer.do(context.Background(), &op{weight: 1, run: func(*tx) error {
			s.writer.taker = t
			return nil
		}})
	}
	set(t)
	return func() { set(nil) }
}

// take has a new instance taken, if it can be, and returns the row to store.
func (t *tx) take(l *lane.Lane, i riposte.Instance, e riposte.Envelope) (riposte.Instance, error) {
	row, taken, err := l.Take(t.taker, i, riposte.Time(t.store.Now()))
	if !taken {
		return row, err
	}
	n := len(t.taken)
	t.undo = append(t.undo, func() {
		if len(t.taken) > n {
			t.taken = t.taken[:n]
			t.taker.Release(l.Webhook)
		}
	})
	t.taken = append(t.taken, riposte.ClaimedInstance{Instance: row.Stored(row.Version), Webhook: l.Webhook, Envelope: e})
	return row, nil
}

// publish tells of a new instance and, if it was taken, of its claim. Somebody
// must look when the row says, so that is what the creation says as well.
func (t *tx) publish(created, row riposte.Instance) {
	created.DueAt = row.DueAt
	t.changed = append(t.changed, created)
	if row.Version > 1 {
		t.changed = append(t.changed, row)
	}
}
