package postgres_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/riposte-dev/riposte/postgres"
	"github.com/riposte-dev/riposte/postgres/postgrestest"
)

// BenchmarkFeed has what the order of outcomes costs: the trigger, of a transaction
// that inserts outcomes, and the look at who is under way, of each read.
func BenchmarkFeed(b *testing.B) {
	where := postgrestest.URL(b)
	s, err := postgres.Open(b.Context(), where, postgres.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	conn := postgrestest.Connect(b, where)
	for _, trigger := range []string{"DISABLE", "ENABLE"} {
		for _, rows := range []int{1, 50} {
			b.Run(fmt.Sprintf("insert/rows=%d/trigger=%s", rows, trigger), func(b *testing.B) {
				if _, err := conn.Exec(b.Context(), "ALTER TABLE outcomes "+trigger+" TRIGGER outcomes_begin"); err != nil {
					b.Fatal(err)
				}
				for n := 0; b.Loop(); n++ {
					insertOutcomes(b, conn, n, rows)
				}
			})
		}
	}
	for _, open := range []int{0, 10, 100} {
		b.Run(fmt.Sprintf("read/locks=%d", open), func(b *testing.B) {
			locks, err := postgrestest.Connect(b, where).Begin(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			defer locks.Rollback(context.Background()) //nolint:errcheck
			if _, err := locks.Exec(b.Context(), `SELECT pg_advisory_xact_lock_shared(1, n) FROM generate_series(1, $1) n`, open); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if _, err := conn.Exec(b.Context(), `SELECT readable FROM outcomes_readable()`); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("read/plain", func(b *testing.B) {
		for b.Loop() {
			if _, err := conn.Exec(b.Context(), `SELECT last_value FROM outcome_sequence`); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// insertOutcomes in a transaction that comes to nothing, so that no disk is measured.
func insertOutcomes(b *testing.B, conn *pgx.Conn, n, rows int) {
	tx, err := conn.Begin(b.Context())
	if err == nil {
		_, err = tx.Exec(b.Context(), `INSERT INTO outcomes (id, sequence, kind, via, comment, decided_at, state, attempts, version, updated_at,
			completed_at, expires_at) SELECT lpad(to_hex($1::bigint * 1000 + r), 24, '0'), nextval('outcome_sequence'), 'DELIVERED', 'SYNC', '', 1,
			'SUCCESS', 1, 2, 1, 1, 1 FROM generate_series(1, $2::integer) r`, int64(n), rows)
	}
	if err == nil {
		err = tx.Rollback(b.Context())
	}
	if err != nil {
		b.Fatal(err)
	}
}
