package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/riposte-dev/riposte"
)

// settlePatience is for how long the database is asked what became of a COMMIT.
const settlePatience = 8 * time.Second

const (
	databaseTime = `(extract(epoch FROM clock_timestamp()) * 1000000)::bigint`

	// countColumns have the order of riposte.States.
	countColumns = `pending, running, error, waiting_callback, process_response, success, fatal_error`

	insertBatchSQL = `INSERT INTO batches (node, batch, ` + countColumns + `) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`
	// fenceBatchSQL inserts nothing where that batch was committed; it waits for
	// it, if it is still open. Where it inserts, that one can't come any more.
	fenceBatchSQL = `INSERT INTO batches (node, batch, fenced) VALUES ($1, $2, true) ON CONFLICT DO NOTHING`
	isFencedSQL   = `SELECT fenced FROM batches WHERE node = $1 AND batch = $2`

	touchNodeSQL = `INSERT INTO nodes (id, seen_at) VALUES ($1, ` + databaseTime + `)
		ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at`
)

var (
	// sums and added are countColumns, summed and added to those of a node.
	sums  = eachCount("coalesce(sum(%[1]s), 0)::bigint AS %[1]s")
	added = eachCount("%[1]s = nodes.%[1]s + excluded.%[1]s")

	countSQL = `SELECT ` + sums + ` FROM (SELECT ` + countColumns + ` FROM nodes UNION ALL SELECT ` + countColumns + ` FROM batches) c`
	// foldSQL moves what a node's batches have changed to the node. Those before
	// $2 are gone already; their dead rows would be in the way. The last one stays,
	// for somebody may ask for it.
	foldSQL = `WITH folded AS (DELETE FROM batches WHERE node = $1 AND batch >= $2 AND batch < $3 AND NOT fenced RETURNING ` + countColumns + `)
		INSERT INTO nodes (id, seen_at, ` + countColumns + `) SELECT $1, ` + databaseTime + `, ` + sums + ` FROM folded
		ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at, ` + added
)

func eachCount(format string) string {
	columns := strings.Split(countColumns, ", ")
	for n, c := range columns {
		columns[n] = fmt.Sprintf(format, c)
	}
	return strings.Join(columns, ", ")
}

// queueBatch adds what proves that this transaction was committed, and what it
// changes of the counts.
func (t *tx) queueBatch(b *pgx.Batch, batch int64) {
	args := []any{t.store.node, batch}
	for _, state := range riposte.States {
		args = append(args, t.counts[state])
	}
	b.Queue(insertBatchSQL, args...)
}

// CountInstances implements riposte.InstanceStore.
func (s *Store) CountInstances(ctx context.Context) (map[riposte.State]int, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	n := make([]int, len(riposte.States))
	into := make([]any, len(n))
	for k := range n {
		into[k] = &n[k]
	}
	if err := s.pool.QueryRow(ctx, countSQL).Scan(into...); err != nil {
		return nil, reading(ctx, "counting instances", err)
	}
	counts := make(map[riposte.State]int, len(n))
	for k, state := range riposte.States {
		counts[state] = n[k]
	}
	return counts, nil
}

// Check implements riposte.Store by a commit like any other, on the writer's
// connection and in its turn.
func (s *Store) Check(ctx context.Context) error {
	err := s.writer.do(ctx, 1, change{run: func(t *tx) error {
		t.write() // the batch's own row
		return nil
	}})
	if err != nil {
		return fmt.Errorf("checking the store: %w", err)
	}
	return nil
}

var (
	// errUnknown says that nobody knows whether a transaction was committed: the
	// database could not be asked in time.
	errUnknown = fmt.Errorf("the database did not say whether it committed: %w", context.DeadlineExceeded)
	// errWarned says that a COMMIT came with a warning, which means that a standby
	// has not confirmed it.
	errWarned = errors.New("the database committed with a warning")
)

// settle finds out what became of a transaction whose COMMIT was not answered:
// nil if it was committed. By nothing but a row of its own can it be known after
// a failover, which may have lost it and given its number to another. The
// question is a commit, too: where a standby must confirm what is committed, it
// has then confirmed both.
func (w *writer) settle(batch int64, cause error) error {
	ctx, cancel := context.WithTimeout(w.ctx, settlePatience)
	defer cancel()
	for {
		committed, err := w.fence(ctx, batch)
		switch {
		case err == nil && committed:
			return nil
		case err == nil:
			return cause
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return errors.Join(errUnknown, cause)
		}
	}
}

func (w *writer) fence(ctx context.Context, batch int64) (committed bool, err error) {
	conn, err := w.connected(ctx)
	if err != nil {
		return false, err
	}
	b := &pgx.Batch{}
	b.Queue(touchNodeSQL, w.store.node)
	b.Queue(fenceBatchSQL, w.store.node, batch)
	var fenced bool
	b.Queue(isFencedSQL, w.store.node, batch).QueryRow(func(r pgx.Row) error { return r.Scan(&fenced) })
	err = conn.SendBatch(ctx, b).Close()
	if err == nil && w.warned {
		err = errWarned
	}
	if err != nil {
		w.disconnect()
	}
	return !fenced, err
}
