package postgres

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// maxStepBack is how far the clock may be ahead of the database and just wait;
// beyond that the database's time was changed, and the clock follows.
const maxStepBack = time.Minute

// clock is the database's, so that due, lease and expiry are the same at every
// node. It doesn't go back.
type clock struct {
	fixed   func() time.Time // instead of the database's; nil for that
	started time.Time
	ahead   atomic.Int64 // of what has passed since started, in microseconds since 1970
	last    atomic.Int64 // that was told
}

const clockSQL = `SELECT ` + databaseTime

func newClock(ctx context.Context, pool *pgxpool.Pool, fixed func() time.Time) (*clock, error) {
	c := &clock{fixed: fixed, started: time.Now()}
	return c, c.set(ctx, pool)
}

// set asks the database. Its answer was true at some moment of the question, so
// the clock is moved only as far as no such moment fits: it keeps still on a busy
// machine.
func (c *clock) set(ctx context.Context, db queryer) error {
	asked := time.Since(c.started)
	var now int64
	if err := db.QueryRow(ctx, clockSQL).Scan(&now); err != nil {
		return err
	}
	atLeast, atMost := now-time.Since(c.started).Microseconds(), now-asked.Microseconds()
	ahead := c.ahead.Load()
	if ahead == 0 {
		ahead = (atLeast + atMost) / 2
	}
	c.ahead.Store(min(max(ahead, atLeast), atMost))
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
	for {
		now, last := c.ahead.Load()+time.Since(c.started).Microseconds(), c.last.Load()
		if now < last && last-now < maxStepBack.Microseconds() {
			now = last
		}
		if now == last || c.last.CompareAndSwap(last, now) {
			return time.UnixMicro(now).UTC()
		}
	}
}
