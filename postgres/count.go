package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/riposte-dev/riposte"
)

const countSQL = `SELECT state, sum(n)::bigint FROM counts GROUP BY state`

// CountInstances implements riposte.InstanceStore.
func (s *Store) CountInstances(ctx context.Context) (map[riposte.State]int, error) {
	counts := make(map[riposte.State]int, len(riposte.States))
	for _, state := range riposte.States {
		counts[state] = 0
	}
	rows, err := s.pool.Query(ctx, countSQL)
	if err == nil {
		var state riposte.State
		var n int
		_, err = pgx.ForEachRow(rows, []any{&state, &n}, func() error { counts[state] = n; return nil })
	}
	if err != nil {
		return nil, reading(ctx, "counting instances", err)
	}
	return counts, nil
}
