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

// take claims a new instance before it is stored, if the taker has a place and
// nothing of its webhook waits already, and returns the row to store.
func (t *tx) take(l *lane, i riposte.Instance, e riposte.Envelope) (riposte.Instance, error) {
	now := riposte.Time(t.now())
	if t.taker == nil || l.due.at <= now.UnixMicro() || !t.taker.Reserve(l.webhook) {
		return i, nil
	}
	n := len(t.taken)
	t.undo = append(t.undo, func() {
		if len(t.taken) > n {
			t.taken = t.taken[:n]
			t.taker.Release(l.webhook)
		}
	})
	row, _, err := i.Due(l.webhook, now)
	if err != nil {
		t.taker.Release(l.webhook)
		return i, err
	}
	row.Version++
	t.taken = append(t.taken, riposte.ClaimedInstance{Instance: row.Stored(row.Version), Webhook: l.webhook, Envelope: e})
	return row, nil
}

// giveBack undoes a take, the last one, whose row was not needed.
func (t *tx) giveBack(row riposte.Instance) {
	if row.Version > 1 {
		t.undo[len(t.undo)-1]()
	}
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
