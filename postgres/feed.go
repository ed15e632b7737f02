package postgres

import (
	"context"
	"math"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/riposte-dev/riposte"
)

const (
	// readableSQL comes before the query for what it says can be read, each with a
	// snapshot of its own; see the migration feed.
	readableSQL     = `SELECT readable, given FROM outcomes_readable()`
	outcomePageSQL  = `SELECT id FROM outcomes WHERE sequence > $1 AND sequence <= $2 ORDER BY sequence LIMIT $3`
	loadOutcomesSQL = `SELECT ` + instanceColumns + `, ` + outcomeColumns + ` FROM instances i
		LEFT JOIN open o ON o.id = i.id AND o.id = ANY($1) JOIN outcomes r ON r.id = i.id AND r.id = ANY($1) AND r.id BETWEEN $2 AND $3
		WHERE i.id = ANY($1) AND i.id BETWEEN $2 AND $3 ORDER BY r.sequence`
	lastOutcomeSQL = `SELECT greatest((SELECT sequence FROM outcomes WHERE sequence <= $1 ORDER BY sequence DESC LIMIT 1), (SELECT sequence FROM purged), 0)`
	purgedSQL      = `SELECT coalesce((SELECT sequence FROM purged), 0)`
	notePurgedSQL  = `INSERT INTO purged (number, sequence) VALUES (1, $1) ON CONFLICT (number) DO UPDATE
		SET sequence = greatest(purged.sequence, excluded.sequence)`
)

// LoadOutcomes implements riposte.FeedStore.
func (s *Store) LoadOutcomes(ctx context.Context, after int64, limit int) (riposte.OutcomePage, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	page, err := s.loadOutcomes(ctx, after, limit)
	return page, reading(ctx, "loading outcomes", err)
}

func (s *Store) loadOutcomes(ctx context.Context, after int64, limit int) (page riposte.OutcomePage, err error) {
	var readable, given int64
	if err := s.pool.QueryRow(ctx, readableSQL).Scan(&readable, &given); err != nil {
		return page, err
	}
	rows, err := s.pool.Query(ctx, outcomePageSQL, after, readable, limit)
	if err != nil {
		return page, err
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return page, err
	}
	page.Held = readable < given && len(ids) < limit
	b := &pgx.Batch{}
	if len(ids) > 0 {
		b.Queue(loadOutcomesSQL, ids, slices.Min(ids), slices.Max(ids)).Query(func(rows pgx.Rows) (err error) {
			page.Instances, err = pgx.CollectRows(rows, scanInstance)
			return err
		})
	}
	// Last, so that what was purged meanwhile counts.
	var purged, last int64
	b.Queue(purgedSQL).QueryRow(func(r pgx.Row) error { return r.Scan(&purged) })
	if after > readable {
		b.Queue(lastOutcomeSQL, int64(math.MaxInt64)).QueryRow(func(r pgx.Row) error { return r.Scan(&last) })
	}
	switch err := s.pool.SendBatch(ctx, b).Close(); {
	case err != nil:
		return riposte.OutcomePage{}, err
	case after > 0 && after < purged:
		return riposte.OutcomePage{}, riposte.ErrCursorTooOld
	case after > readable && after > last:
		return riposte.OutcomePage{}, riposte.ErrCursorUnknown
	}
	return page, nil
}

// LastOutcome implements riposte.FeedStore.
func (s *Store) LastOutcome(ctx context.Context) (int64, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	var readable, given, last int64
	err := s.pool.QueryRow(ctx, readableSQL).Scan(&readable, &given)
	if err == nil {
		err = s.pool.QueryRow(ctx, lastOutcomeSQL, readable).Scan(&last)
	}
	return last, reading(ctx, "looking for the last outcome", err)
}
