package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/riposte-dev/riposte"
)

// maxPurged is how many instances are removed in one go, so that purging does
// not hold up the others that wait for the same commit.
const maxPurged = 100

const (
	purgeSQL = `DELETE FROM outcomes WHERE id IN (SELECT id FROM outcomes WHERE state IS NOT NULL AND expires_at < $1
		ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED) RETURNING id, state`
	purgeAttemptsSQL  = `DELETE FROM attempts WHERE id = ANY($1)`
	purgeLabelsSQL    = `DELETE FROM labels WHERE id = ANY($1)`
	purgeRequestsSQL  = `DELETE FROM requests WHERE id = ANY($1)`
	purgeInstancesSQL = `DELETE FROM instances WHERE id = ANY($1)`
	purgeWebhooksSQL  = `DELETE FROM webhooks w WHERE deleted_at < $1 AND NOT EXISTS (SELECT 1 FROM instances WHERE webhook = w.id) RETURNING id`
)

// PurgeInstances implements riposte.InstanceStore. It also removes webhooks
// that were deleted before t and have no instance left.
func (s *Store) PurgeInstances(ctx context.Context, t time.Time, limit int) (int, error) {
	total := 0
	for {
		step := min(limit-total, maxPurged)
		purged := 0
		err := s.writer.do(ctx, &op{weight: maxPurged, run: func(tx *tx) (err error) {
			purged, err = tx.purgeStep(t, step)
			return err
		}})
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
	rows, err := t.pg.Query(t.ctx, purgeSQL, before.UnixMicro(), max(limit, 0))
	if err != nil {
		return 0, err
	}
	t.writes++
	var ids []string
	var id string
	var state riposte.State
	_, err = pgx.ForEachRow(rows, []any{&id, &state}, func() error {
		ids = append(ids, id)
		t.count(state, "")
		return nil
	})
	if err != nil {
		return 0, err
	}
	if len(ids) > 0 {
		b := &pgx.Batch{}
		for _, query := range []string{purgeAttemptsSQL, purgeLabelsSQL, purgeRequestsSQL, purgeInstancesSQL} {
			b.Queue(query, ids)
		}
		if _, err := t.send(b); err != nil {
			return 0, err
		}
	}
	return len(ids), t.purgeDeletedWebhooks(before)
}

func (t *tx) purgeDeletedWebhooks(before time.Time) error {
	rows, err := t.pg.Query(t.ctx, purgeWebhooksSQL, before.UnixMicro())
	if err != nil {
		return err
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	t.touched = append(t.touched, ids...)
	for _, id := range ids {
		if l, ok := t.lanes.ByID[id]; ok {
			t.lanes.Remove(l)
			t.undo = append(t.undo, func() { t.lanes.Put(l) })
		}
	}
	return nil
}
