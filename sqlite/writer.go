package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/lane"
	"github.com/riposte-dev/riposte/publish"
)

const (
	// maxQueue is how many ops may wait; more wait to get into the queue.
	maxQueue = 1024
	// maxBatchWeight bounds how much one commit takes, and with it how long
	// those who came just after must wait. An op weighs as many instances as
	// it may write.
	maxBatchWeight = 512
)

var errClosed = errors.New("the store is closed")

// op is one change that waits for its commit.
type op struct {
	ctx    context.Context
	weight int
	run    func(*tx) error
	err    error
	done   chan error // takes one answer
}

// writer owns the connection that writes. Everything below queue belongs to
// its goroutine alone.
type writer struct {
	mu     sync.RWMutex // held for reading while something enters queue
	closed bool
	queue  chan *op

	db          *sql.DB
	conn        *sql.Conn
	lanes       *lane.Lanes
	sequence    int64    // the last outcome's
	webhooks    sync.Map // riposte.Webhook by id, as they were committed; for readers
	stmts       statements
	fatal       func(error)
	broken      error // why nothing is committed any more
	checkpoints *checkpointer
	publisher   *publish.Publisher
	taker       riposte.Taker // of new instances; nil for none
	now         func() time.Time
	counts      *counts
	onCommit    func(ops int, took time.Duration)
	finished    chan struct{}
	commits     int // since the store was opened; for tests
}

func openWriter(ctx context.Context, path string, now time.Time, opts Options) (*writer, error) {
	w := &writer{queue: make(chan *op, maxQueue), now: opts.Now, fatal: opts.Fatal, onCommit: opts.OnCommit, counts: newCounts(), finished: make(chan struct{})}
	if err := w.connect(ctx, path, now); err != nil {
		return nil, errors.Join(err, w.disconnect())
	}
	w.publisher = publish.New()
	w.checkpoints = newCheckpointer(path, opts)
	go w.work()
	return w, nil
}

func (w *writer) connect(ctx context.Context, path string, now time.Time) error {
	var err error
	w.db, err = sql.Open("sqlite", dsn(path, "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)",
		"wal_autocheckpoint(0)", "journal_size_limit(67108864)", "cache_size(-65536)"))
	if err != nil {
		return err
	}
	// The connection outlives ctx, which is only for opening.
	if w.conn, err = w.db.Conn(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	if err := assertDurable(ctx, w.conn); err != nil {
		return err
	}
	if err := releaseLeases(ctx, w.conn, now); err != nil {
		return err
	}
	if w.lanes, err = loadLanes(ctx, w.conn); err != nil {
		return err
	}
	w.publishWebhooks(slices.Collect(maps.Keys(w.lanes.ByID)))
	if err := w.conn.QueryRowContext(ctx, lastSequenceSQL).Scan(&w.sequence); err != nil {
		return fmt.Errorf("loading the last outcome's sequence: %w", err)
	}
	w.stmts, err = prepareStatements(ctx, w.conn)
	return err
}

const releaseLeasesSQL = `UPDATE instances SET due_at = ?1 WHERE state = 'RUNNING' AND due_at > ?1`

// releaseLeases makes due what was RUNNING in a process that is gone. The
// state machine then sees that the lease ran out.
func releaseLeases(ctx context.Context, conn *sql.Conn, now time.Time) error {
	_, err := conn.ExecContext(ctx, releaseLeasesSQL, now.UnixMicro())
	if err != nil {
		return fmt.Errorf("releasing the leases of the last process: %w", err)
	}
	return nil
}

// do has run executed in the next transaction and returns when that is
// committed, or with run's error. When ctx ends first, run is not executed if
// it had not begun.
func (w *writer) do(ctx context.Context, weight int, run func(*tx) error) error {
	o := &op{ctx: ctx, weight: weight, run: run, done: make(chan error, 1)}
	if err := w.enqueue(o); err != nil {
		return err
	}
	select {
	case err := <-o.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (w *writer) enqueue(o *op) error {
	w.mu.RLock()
	defer w.mu.RUnlock()
	if w.closed {
		return unavailable(errClosed)
	}
	select {
	case w.queue <- o:
		return nil
	case <-o.ctx.Done():
		return o.ctx.Err()
	}
}

// work is the writer's goroutine.
func (w *writer) work() {
	defer close(w.finished)
	var batch []*op
	for o := range w.queue {
		// Whoever is about to ask shares the commit; an idle machine loses nothing.
		runtime.Gosched()
		batch = w.gather(append(batch[:0], o))
		w.publisher.Publish(w.commit(batch))
		for _, o := range batch {
			o.done <- o.err
		}
		clear(batch)
	}
}

// gather adds what has queued up meanwhile.
func (w *writer) gather(batch []*op) []*op {
	weight := batch[0].weight
	for weight < maxBatchWeight {
		select {
		case o, ok := <-w.queue:
			if !ok {
				return batch
			}
			batch = append(batch, o)
			weight += o.weight
		default:
			return batch
		}
	}
	return batch
}

// commit runs a batch in one transaction, leaves each op's answer in it, and
// returns the instances that changed. The second time around, if there is one,
// each op has a savepoint.
func (w *writer) commit(batch []*op) []riposte.Instance {
	t := &tx{statements: &w.stmts, lanes: w.lanes, sequence: &w.sequence, taker: w.taker, now: w.now}
	err := w.transact(t, batch, t.bare)
	if errors.Is(err, errTainted) {
		t.forget(mark{})
		err = w.transact(t, batch, t.isolated)
	}
	if err == nil {
		w.commits++
		w.counts.committed(t)
		w.publishWebhooks(t.touched)
		for _, c := range t.taken {
			t.taker.Take(c)
		}
		w.checkpoints.committed(w.conn)
		return t.changed
	}
	t.forget(mark{})
	for _, o := range batch {
		o.err = err
	}
	return nil
}

// transact returns an error if the whole batch came to nothing.
func (w *writer) transact(t *tx, batch []*op, run func(func(*tx) error) (opErr, txErr error)) error {
	if w.broken != nil {
		return w.broken
	}
	if err := t.control(t.begin); err != nil {
		return unavailable(err)
	}
	for _, o := range batch {
		if err := w.runOp(o, run); err != nil {
			// Its own error would say that SQLite has rolled back by itself.
			_ = t.control(t.rollback)
			return err
		}
	}
	began := time.Now()
	err := t.control(t.commit)
	if err == nil {
		if w.onCommit != nil && t.writes > 0 {
			w.onCommit(len(batch), time.Since(began))
		}
		return nil
	}
	_ = t.control(t.rollback)
	if harmless(err) {
		return unavailable(err)
	}
	w.broken = fmt.Errorf("committing: %w", err)
	w.fatal(w.broken)
	return w.broken
}

// runOp leaves o's answer in it, and returns an error if that ends the whole
// transaction.
func (w *writer) runOp(o *op, run func(func(*tx) error) (opErr, txErr error)) error {
	if o.err = o.ctx.Err(); o.err != nil {
		return nil
	}
	var txErr error
	o.err, txErr = run(o.run)
	switch {
	case dooms(o.err):
		return unavailable(o.err)
	case txErr != nil && !errors.Is(txErr, errTainted):
		return unavailable(txErr)
	}
	return txErr
}

// drain lets nothing more in and waits for what is under way.
func (w *writer) drain() {
	w.mu.Lock()
	already := w.closed
	w.closed = true
	w.mu.Unlock()
	if already {
		return
	}
	close(w.queue)
	<-w.finished
	w.publisher.Close()
	w.checkpoints.close()
}

// close folds the log into the database and disconnects.
func (w *writer) close() error {
	var err error
	if w.broken == nil {
		_, err = w.conn.ExecContext(context.Background(), "PRAGMA wal_checkpoint(TRUNCATE)")
	}
	return errors.Join(err, w.disconnect())
}

func (w *writer) disconnect() error {
	errs := []error{w.stmts.close()}
	if w.conn != nil {
		errs = append(errs, w.conn.Close())
	}
	if w.db != nil {
		errs = append(errs, w.db.Close())
	}
	return errors.Join(errs...)
}
