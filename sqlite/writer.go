package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/groupcommit"
	"github.com/riposte-dev/riposte/lane"
	"github.com/riposte-dev/riposte/publish"
)

// maxBatchWeight bounds how much one commit takes. An op weighs as many
// instances as it may write.
const maxBatchWeight = 512

// op is one change that waits for its commit.
type op = groupcommit.Op[func(*tx) error]

// writer owns the connection that writes. Everything below queue belongs to
// its goroutine alone.
type writer struct {
	queue *groupcommit.Queue[func(*tx) error]

	db          *sql.DB
	conn        *sql.Conn
	lanes       *lane.Lanes
	sequence    int64                       // the last outcome's
	webhooks    sync.Map                    // riposte.Webhook by id, as they were committed; for readers
	keys        credentials[riposte.Key]    // for readers
	clients     credentials[riposte.Client] // for readers, too
	stmts       statements
	fatal       func(error)
	broken      error // why nothing is committed any more
	checkpoints *checkpointer
	publisher   *publish.Publisher
	taker       riposte.Taker // of new instances; nil for none
	now         func() time.Time
	counts      *counts
	onCommit    func(ops int, took time.Duration)
	drained     sync.Once
	commits     int // since the store was opened; for tests
}

func openWriter(ctx context.Context, path string, now time.Time, opts Options) (*writer, error) {
	w := &writer{now: opts.Now, fatal: opts.Fatal, onCommit: opts.OnCommit, counts: newCounts()}
	if err := w.connect(ctx, path, now); err != nil {
		return nil, errors.Join(err, w.disconnect())
	}
	w.publisher = publish.New()
	w.checkpoints = newCheckpointer(path, opts)
	w.queue = groupcommit.New(groupcommit.Options[func(*tx) error]{Commit: w.commit, MaxWeight: maxBatchWeight})
	return w, nil
}

func (w *writer) connect(ctx context.Context, path string, now time.Time) error {
	var err error
	// secure_delete has SQLite write zeros over what is replaced, where it writes that page
	// anyway: secrets that an older version kept in the clear are sealed in their places.
	w.db, err = sql.Open("sqlite", dsn(path, "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)", "secure_delete(FAST)",
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

const (
	releaseLeasesSQL     = `UPDATE instances SET due_at = ?1 WHERE state = 'RUNNING' AND due_at > ?1`
	releasePushLeasesSQL = `UPDATE instances SET push_due_at = ?1 WHERE state = 'PROCESS_RESPONSE' AND push_leased_until > ?1`
)

// releaseLeases makes due what was attempted or pushed by a process that is gone.
// The state machine then sees that the lease ran out.
func releaseLeases(ctx context.Context, conn *sql.Conn, now time.Time) error {
	for _, query := range []string{releaseLeasesSQL, releasePushLeasesSQL} {
		if _, err := conn.ExecContext(ctx, query, now.UnixMicro()); err != nil {
			return fmt.Errorf("releasing the leases of the last process: %w", err)
		}
	}
	return nil
}

// do has run executed in the next transaction, with the entry of the audit log that
// ctx has, and returns when that is committed, or with run's error. When ctx ends
// first, run is not executed if it had not begun.
func (w *writer) do(ctx context.Context, weight int, run func(*tx) error) error {
	if e, ok := riposte.AuditOf(ctx); ok {
		run = audited(e, run)
	}
	return w.unaudited(ctx, weight, run)
}

// unaudited is do without that entry.
func (w *writer) unaudited(ctx context.Context, weight int, run func(*tx) error) error {
	return w.queue.Do(ctx, weight, run)
}

// commit runs a batch in one transaction, leaves each op's answer in it, and
// tells of what changed. The second time around, if there is one, each op has a
// savepoint.
func (w *writer) commit(batch []*op) {
	t := &tx{statements: &w.stmts, Work: lane.Work{Lanes: w.lanes, Taker: w.taker}, sequence: &w.sequence, now: w.now}
	err := w.transact(t, batch, t.bare)
	if errors.Is(err, errTainted) {
		t.forget(mark{})
		err = w.transact(t, batch, t.isolated)
	}
	if err == nil {
		w.commits++
		w.counts.committed(t)
		w.publishWebhooks(t.touched)
		if t.revoked {
			w.keys.forget()
			w.clients.forget()
		}
		t.Committed()
		w.checkpoints.committed(w.conn)
		w.publisher.Publish(t.Changed)
		return
	}
	t.forget(mark{})
	for _, o := range batch {
		o.Err = err
	}
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
	var txErr error
	o.Err, txErr = run(o.What)
	switch {
	case dooms(o.Err):
		return unavailable(o.Err)
	case txErr != nil && !errors.Is(txErr, errTainted):
		return unavailable(txErr)
	}
	return txErr
}

// drain lets nothing more in and waits for what is under way. It may be called
// again.
func (w *writer) drain() {
	w.drained.Do(func() {
		w.queue.Close()
		w.publisher.Close()
		w.checkpoints.close()
	})
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
