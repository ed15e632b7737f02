package sqlite

import (
	"context"

	"github.com/riposte-dev/riposte"
)

const (
	loadOutcomesSQL = `SELECT ` + instanceColumns + `, ` + outcomeColumns + ` FROM outcomes o CROSS JOIN instances i ON i.number = o.instance
		CROSS JOIN webhooks w ON w.number = i.webhook WHERE o.sequence > ? ORDER BY o.sequence LIMIT ?`
	purgedSQL = `SELECT coalesce((SELECT sequence FROM purged), 0)`
)

// LoadOutcomes implements riposte.FeedStore. One writer gives out the sequences,
// so that their order is that of the commits.
func (s *Store) LoadOutcomes(ctx context.Context, after int64, limit int) (riposte.OutcomePage, error) {
	rows, err := s.queries.loadOutcomes.QueryContext(ctx, after, max(limit, 0))
	if err != nil {
		return riposte.OutcomePage{}, reading("loading outcomes", err)
	}
	instances, err := collect(rows, scanInstance)
	if err != nil {
		return riposte.OutcomePage{}, reading("loading outcomes", err)
	}
	// Afterwards, so that what was purged meanwhile counts.
	var purged int64
	if err := s.queries.purged.QueryRowContext(ctx).Scan(&purged); err != nil {
		return riposte.OutcomePage{}, reading("loading outcomes", err)
	}
	if after > 0 && after < purged {
		return riposte.OutcomePage{}, riposte.ErrCursorTooOld
	}
	if len(instances) == 0 && after > 0 {
		last, err := s.LastOutcome(ctx)
		if err == nil && after > last {
			err = riposte.ErrCursorUnknown
		}
		return riposte.OutcomePage{}, err
	}
	return riposte.OutcomePage{Instances: instances}, nil
}

// LastOutcome implements riposte.FeedStore.
func (s *Store) LastOutcome(ctx context.Context) (last int64, err error) {
	if err := s.queries.lastSequence.QueryRowContext(ctx).Scan(&last); err != nil {
		return 0, reading("looking for the last outcome", err)
	}
	return last, nil
}
