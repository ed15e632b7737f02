package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"slices"
	"sync"

	"github.com/riposte-dev/riposte"
)

// counts knows how many instances are in each state, so that nobody has to walk
// the rows for it. The writer adds what each commit changed; what was there at
// the start is counted beside it, in a snapshot, because that takes a second
// for some million rows.
type counts struct {
	mu       sync.Mutex // held for a commit's changes, and so exact as of a commit
	byState  []int      // as riposte.States has them
	err      error      // why what was there at the start is not known
	finished chan struct{}
	cancel   context.CancelFunc // nil before start
}

const countSQL = `SELECT state, count(*) FROM instances GROUP BY state`

func newCounts() *counts {
	return &counts{byState: make([]int, len(riposte.States)), finished: make(chan struct{})}
}

// start counts what is there now and returns before it has. Nothing may be
// written meanwhile; as soon as it has returned, anything may.
func (c *counts) start(ctx context.Context, readers *sql.DB, log *slog.Logger) error {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	snapshot, err := takeSnapshot(ctx, readers)
	if err != nil {
		cancel()
		return err
	}
	c.cancel = cancel
	go c.run(ctx, snapshot, log)
	return nil
}

// takeSnapshot returns a transaction that sees the rows as they are now. Not
// BEGIN but the first read decides what it sees.
func takeSnapshot(ctx context.Context, readers *sql.DB) (*sql.Tx, error) {
	// When its context ends, a transaction is rolled back in the background, and
	// the store would be closed before its last reader.
	snapshot, err := readers.BeginTx(context.WithoutCancel(ctx), &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, err
	}
	if err := snapshot.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM instances)`).Scan(new(bool)); err != nil {
		return nil, errors.Join(err, snapshot.Rollback())
	}
	return snapshot, nil
}

func (c *counts) run(ctx context.Context, snapshot *sql.Tx, log *slog.Logger) {
	defer close(c.finished)
	err := c.count(ctx, snapshot)
	if err = errors.Join(err, snapshot.Rollback()); err != nil && ctx.Err() == nil {
		log.Error("counting the instances that were there at the start", "error", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = err
}

func (c *counts) count(ctx context.Context, snapshot *sql.Tx) error {
	rows, err := snapshot.QueryContext(ctx, countSQL)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var s riposte.State
		var n int
		if err := rows.Scan(&s, &n); err != nil {
			return err
		}
		c.mu.Lock()
		c.add(s, n)
		c.mu.Unlock()
	}
	return rows.Err()
}

// add is for who holds mu.
func (c *counts) add(s riposte.State, n int) { c.byState[slices.Index(riposte.States, s)] += n }

// committed adds what t changed. The writer calls it before it answers, so that
// who was answered finds its change counted.
func (c *counts) committed(t *tx) {
	if len(t.Changed) == 0 && len(t.purged) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for k := range t.Changed {
		i := &t.Changed[k]
		c.add(i.State, 1)
		if i.Version > 1 {
			// The fence held, so the row was in the state that i was loaded with.
			c.add(i.Steps()[0], -1)
		}
	}
	for _, s := range t.purged {
		c.add(s, -1)
	}
}

// stop ends the counting, if it is still going on.
func (c *counts) stop() {
	if c.cancel != nil {
		c.cancel()
		<-c.finished
	}
}

// CountInstances implements riposte.InstanceStore.
func (s *Store) CountInstances(ctx context.Context) (map[riposte.State]int, error) {
	c := s.writer.counts
	select {
	case <-c.finished:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return nil, reading("counting instances", c.err)
	}
	byState := make(map[riposte.State]int, len(riposte.States))
	for n, state := range riposte.States {
		byState[state] = c.byState[n]
	}
	return byState, nil
}
