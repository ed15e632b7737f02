package postgres

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// clock is the database's, so that due, lease and expiry are the same at every
// node.
type clock struct {
	fixed   func() time.Time // instead of the database's; nil for that
	started time.Time
	ahead   atomic.Int64 // of what has passed since started, in microseconds since 1970
}

const clockSQL = `SELECT ` + databaseTime

func newClock(ctx context.Context, pool *pgxpool.Pool, fixed func() time.Time) (*clock, error) {
	c := &clock{fixed: fixed, started: time.Now()}
	return c, c.set(ctx, pool)
}

// set asks the database. Its answer counts from the middle of the question.
func (c *clock) set(ctx context.Context, db queryer) error {
	asked := time.Since(c.started)
	var now int64
	if err := db.QueryRow(ctx, clockSQL).Scan(&now); err != nil {
		return err
	}
	middle := (asked + time.Since(c.started)) / 2
	c.ahead.Store(now - middle.Microseconds())
	return nil
}

func (c *clock) now() time.Time {
	if c.fixed != nil {
		return c.fixed()
	}
	return c.database()
}

// database is the database's time whatever the store's clock is.
func (c *clock) database() time.Time {
	return time.UnixMicro(c.ahead.Load() + time.Since(c.started).Microseconds()).UTC()
}
