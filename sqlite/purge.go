package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/riposte-dev/riposte"
)

// maxPurged is how many instances are removed in one go, so that purging does
// not hold up the others that wait for the same commit.
const maxPurged = 100

const (
	// purgeableSQL leaves what a consumer has not acked.
	purgeableSQL = `SELECT number FROM instances WHERE completed_at IS NOT NULL AND expires_at < ?
		AND outcome <= (SELECT coalesce(min(acked), 9223372036854775807) FROM consumers) ORDER BY expires_at LIMIT ?`
	// purgeLabelsSQL goes by the key, because an index by instance would serve
	// nothing else.
	purgeLabelsSQL = `DELETE FROM labels WHERE (key, value, instance) IN (SELECT l.key, l.value, i.number FROM json_each(?) n
		CROSS JOIN instances i ON i.number = n.value CROSS JOIN json_each(i.labels) l)`
	notePurgedSQL = `INSERT INTO purged (number, sequence) SELECT 1, max(outcome) FROM instances
		WHERE number IN (SELECT value FROM json_each(?)) HAVING max(outcome) IS NOT NULL
		ON CONFLICT (number) DO UPDATE SET sequence = max(sequence, excluded.sequence)`
	purgeOutcomesSQL = `DELETE FROM outcomes WHERE sequence IN (SELECT outcome FROM instances
		WHERE number IN (SELECT value FROM json_each(?)))`
	purgeSQL         = `DELETE FROM instances WHERE number IN (SELECT value FROM json_each(?)) RETURNING state`
	purgeWebhooksSQL = `DELETE FROM webhooks WHERE deleted_at < ?
		AND NOT EXISTS (SELECT 1 FROM instances WHERE webhook = webhooks.number) RETURNING id`
)

// PurgeInstances implements riposte.InstanceStore. It also removes webhooks
// that were deleted before t and have no instance left, with what was counted of
// them.
func (s *Store) PurgeInstances(ctx context.Context, t time.Time, limit int) (int, error) {
	total := 0
	for {
		step := min(limit-total, maxPurged)
		purged := 0
		err := s.writer.do(ctx, maxPurged, func(tx *tx) (err error) {
			purged, err = tx.purgeStep(t, step)
			return err
		})
		if err != nil {
			return total, fmt.Errorf("purging instances: %w", err)
		}
		total += purged
		if purged < step || total >= limit {
			return total, nil
		}
	}
}

func (t *tx) purgeStep(before time.Time, limit int) (int, error) {
	numbers, err := t.numbers(t.purgeable, before.UnixMicro(), max(limit, 0))
	if err != nil {
		return 0, err
	}
	if len(numbers) > 0 {
		for _, s := range []*sql.Stmt{t.purgeLabels, t.notePurged, t.purgeOutcomes} {
			if _, err := t.exec(s, numbersJSON(numbers)); err != nil {
				return 0, err
			}
		}
		if err := t.purgeNumbered(numbers); err != nil {
			return 0, err
		}
	}
	return len(numbers), t.purgeDeletedWebhooks(before)
}

func (t *tx) purgeNumbered(numbers []int64) error {
	t.writes++
	rows, err := t.purge.QueryContext(context.Background(), numbersJSON(numbers))
	if err != nil {
		return err
	}
	states, err := collect(rows, func(r row) (s riposte.State, err error) { return s, r.Scan(&s) })
	if err != nil {
		return err
	}
	n := len(t.purged)
	t.purged = append(t.purged, states...)
	t.Undo(func() { t.purged = t.purged[:n] })
	return nil
}

func (t *tx) purgeDeletedWebhooks(before time.Time) error {
	t.writes++
	rows, err := t.purgeWebhooks.QueryContext(context.Background(), before.UnixMicro())
	if err != nil {
		return err
	}
	ids, err := collect(rows, func(r row) (id string, err error) { return id, r.Scan(&id) })
	if err != nil {
		return err
	}
	t.touched = append(t.touched, ids...)
	for _, id := range ids {
		if _, err := t.exec(t.purgeStatistics, id); err != nil {
			return err
		}
		l := t.Lanes.ByID[id]
		t.Lanes.Remove(l)
		t.Undo(func() { t.Lanes.Put(l) })
	}
	return nil
}
