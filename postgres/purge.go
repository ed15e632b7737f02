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

// purgeTimeout bounds one go.
const purgeTimeout = time.Minute

// Row by row goes only what no day's partitions have taken.
const (
	purgeSQL = `DELETE FROM outcomes_default WHERE id IN (SELECT id FROM outcomes_default WHERE state IS NOT NULL AND expires_at < $1
		AND sequence <= (` + ackedSQL + `) ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED) RETURNING id, state, sequence`
	purgeAttemptsSQL  = `DELETE FROM attempts_default WHERE id = ANY($1)`
	purgeLabelsSQL    = `DELETE FROM labels_default WHERE id = ANY($1)`
	purgeRequestsSQL  = `DELETE FROM requests WHERE id = ANY($1)`
	purgeInstancesSQL = `DELETE FROM instances_default WHERE id = ANY($1)`
	purgeWebhooksSQL  = `DELETE FROM webhooks w WHERE deleted_at < $1 AND NOT EXISTS (SELECT 1 FROM instances WHERE webhook = w.id) RETURNING id`
	// foldNodesSQL adds up the nodes of which nothing was seen for a day.
	foldNodesSQL = `WITH gone AS (DELETE FROM nodes WHERE id <> 'gone' AND seen_at < ` + databaseTime + ` - 86400000000 RETURNING id, ` + countColumns + `),
		folded AS (DELETE FROM batches WHERE node IN (SELECT id FROM gone) RETURNING ` + countColumns + `)
		INSERT INTO nodes (id, seen_at, %[1]s) SELECT 'gone', 0, %[2]s FROM (SELECT %[1]s FROM gone UNION ALL SELECT %[1]s FROM folded) c
		ON CONFLICT (id) DO UPDATE SET %[3]s`
)

// PurgeInstances implements riposte.InstanceStore: what a day's partitions have
// goes as a whole, once all of it has expired, and is more than limit then. It
// also removes webhooks that were deleted before t and have no instance left, with
// what was counted of them.
func (s *Store) PurgeInstances(ctx context.Context, t time.Time, limit int) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, purgeTimeout)
	defer cancel()
	dropped, err := s.purgeDays(ctx, t)
	if err != nil {
		return dropped, err
	}
	purged, err := s.purgeRows(ctx, t, limit)
	return dropped + purged, err
}

// purgeDays does nothing while another node is at it.
func (s *Store) purgeDays(ctx context.Context, t time.Time) (int, error) {
	s.dayMu.Lock()
	defer s.dayMu.Unlock()
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return 0, reading(ctx, "purging", err)
	}
	defer conn.Release()
	var alone bool
	if err := conn.QueryRow(ctx, purgeLockSQL).Scan(&alone); err != nil || !alone {
		return 0, reading(ctx, "purging", err)
	}
	defer func() {
		if _, err := conn.Exec(context.WithoutCancel(ctx), purgeUnlockSQL); err != nil {
			_ = conn.Conn().Close(context.WithoutCancel(ctx)) // and the lock goes with it
		}
	}()
	if err := s.makeDays(ctx, s.clock.database(), daysAhead); err != nil {
		return 0, reading(ctx, "making partitions", err)
	}
	if _, err := s.pool.Exec(ctx, fmt.Sprintf(foldNodesSQL, countColumns, sums, added)); err != nil {
		return 0, reading(ctx, "adding up nodes that are gone", err)
	}
	dropped, err := s.dropDays(ctx, t)
	return dropped, reading(ctx, "dropping partitions", err)
}

func (s *Store) purgeRows(ctx context.Context, t time.Time, limit int) (int, error) {
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
	var last int64
	t.write().Queue(purgeSQL, before.UnixMicro(), max(limit, 0)).Query(func(rows pgx.Rows) error {
		var id string
		var state riposte.State
		var sequence int64
		_, err := pgx.ForEachRow(rows, []any{&id, &state, &sequence}, func() error {
			ids, last = append(ids, id), max(last, sequence)
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
		t.write().Queue(notePurgedSQL, last)
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
	if len(ids) > 0 {
		t.write().Queue(purgeStatisticsSQL, ids)
	}
	for _, id := range ids {
		if l, ok := t.Lanes.ByID[id]; ok {
			t.Lanes.Remove(l)
			t.Undo(func() { t.Lanes.Put(l) })
		}
	}
	return nil
}
