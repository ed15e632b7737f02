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
		err := s.writer.do(ctx, maxPurged, change{run: func(tx *tx) (err error) {
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
	var ids []string
	t.write().Queue(purgeSQL, before.UnixMicro(), max(limit, 0)).Query(func(rows pgx.Rows) error {
		var id string
		var state riposte.State
		_, err := pgx.ForEachRow(rows, []any{&id, &state}, func() error {
			ids = append(ids, id)
			t.count(state, "")
			return nil
		})
		return err
	})
	if err := t.send(); err != nil {
		return 0, err
	}
	if len(ids) > 0 {
		for _, query := range []string{purgeAttemptsSQL, purgeLabelsSQL, purgeRequestsSQL, purgeInstancesSQL} {
			t.write().Queue(query, ids)
		}
	}
	return len(ids), t.purgeDeletedWebhooks(before)
}

func (t *tx) purgeDeletedWebhooks(before time.Time) error {
	var ids []string
	t.queue().Queue(purgeWebhooksSQL, before.UnixMicro()).Query(func(rows pgx.Rows) (err error) {
		ids, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	})
	if err := t.send(); err != nil {
		return err
	}
	for _, id := range ids {
		if l, ok := t.Lanes.ByID[id]; ok {
			t.Lanes.Remove(l)
			t.Undo(func() { t.Lanes.Put(l) })
		}
	}
	return nil
}
