package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/lane"
)

// tx is the writer's open transaction as its ops see it. It begins with the
// first statement, and as what is written needs no answer, that goes with the
// next question or with the COMMIT: a round trip costs more than a row.
type tx struct {
	lane.Work
	ctx    context.Context
	writer *writer
	store  *Store
	begun  bool
	later  *pgx.Batch            // what has not been sent yet
	writes int                   // statements that may have changed something
	counts map[riposte.State]int // changes of how many instances are in each state
}

// errOvertaken says that another node was faster, so that the whole batch must
// look again.
var errOvertaken = errors.New("another node was faster")

// errGone says that the connection was lost.
var errGone = fmt.Errorf("the connection is gone: %w", net.ErrClosed)

// errTainted says that an op failed after it had written something.
var errTainted = errors.New("an op failed half way")

// queue returns the statements to be sent next.
func (t *tx) queue() *pgx.Batch {
	if t.later == nil {
		t.later = &pgx.Batch{}
	}
	if !t.begun {
		t.begun = true
		t.later.Queue("begin")
	}
	return t.later
}

// write is queue for a statement that may change something.
func (t *tx) write() *pgx.Batch {
	t.writes++
	return t.queue()
}

// send sends what is queued and returns when all of it has been executed and
// its answers read.
func (t *tx) send() error {
	b := t.later
	t.later = nil
	if b == nil {
		return nil
	}
	conn, err := t.writer.connected(t.ctx)
	if err != nil {
		return err
	}
	return conn.SendBatch(t.ctx, b).Close()
}

// all runs a batch, what is alike together.
func (t *tx) all(batch []*op) error {
	c := creating{tx: t, live: map[string]int64{}, requests: map[requestKey]requested{}}
	rounds := saveRounds(batch)
	c.look(batch)
	for n, r := range rounds {
		r.swap(t)
		if err := t.send(); err != nil {
			return err
		}
		if n == 0 {
			if err := c.create(batch); err != nil {
				return err
			}
		}
		if err := r.settle(t); err != nil {
			return err
		}
	}
	if len(rounds) == 0 {
		if err := t.send(); err != nil {
			return err
		}
		if err := c.create(batch); err != nil {
			return err
		}
	}
	ran, err := t.runAll(batch)
	if err != nil {
		return err
	}
	t.audit(batch, ran)
	return nil
}

// runAll returns those that have changed something.
func (t *tx) runAll(batch []*op) (changed map[*op]bool, err error) {
	for _, o := range batch {
		if o.What.run == nil {
			continue
		}
		writes, mark := t.writes, t.Mark()
		o.Err = o.What.run(t)
		switch {
		case o.Err == nil && o.What.audit != nil && t.writes > writes:
			if changed == nil {
				changed = map[*op]bool{}
			}
			changed[o] = true
		case o.Err == nil:
		case t.writes > writes || sqlState(o.Err) != "" || down(o.Err):
			return nil, errors.Join(errTainted, o.Err)
		default:
			t.Forget(mark)
		}
	}
	return changed, nil
}

// each runs the ops one by one, each in a savepoint.
func (t *tx) each(batch []*op) error {
	for _, o := range batch {
		mark := t.Mark()
		t.queue().Queue("savepoint op")
		err := t.all([]*op{o})
		if err == nil && o.Err == nil {
			t.queue().Queue("release savepoint op")
			err = t.send()
		}
		switch {
		case err != nil && (again(err) || down(err)):
			return err
		case err != nil:
			o.Err = cause(err)
		case o.Err == nil:
			continue
		}
		t.Forget(mark)
		t.later = nil
		if t.writer.conn == nil || t.writer.conn.IsClosed() {
			return errors.Join(errGone, o.Err)
		}
		if t.writer.conn.PgConn().TxStatus() == 'I' { // it failed to be prepared, before all else
			t.begun = false
			continue
		}
		// Apart, because nothing else can be prepared before it; and released, or
		// the next op that fails before it has its own would go back to this one.
		t.queue().Queue("rollback to savepoint op")
		if err := t.send(); err != nil {
			return err
		}
		t.queue().Queue("release savepoint op")
	}
	return nil
}

// cause is what an op failed with.
func cause(err error) error {
	if e, ok := errors.AsType[*riposte.Error](err); ok {
		return e
	}
	switch {
	case violatesUnique(err):
		return riposte.ErrConflict
	case locked(err):
		return unavailable(err)
	}
	return err
}

// commit commits, and finds out whether it did where the server doesn't say.
func (t *tx) commit() error {
	if !t.begun {
		return nil
	}
	if t.writes == 0 {
		t.queue().Queue("commit")
		return t.send()
	}
	w := t.writer
	w.batch++
	t.queueBatch(t.queue(), w.batch)
	t.later.Queue("commit")
	err := t.send()
	if err == nil && w.warned {
		err = errWarned
	}
	if err == nil || w.refused(err) {
		return err
	}
	w.disconnect()
	return w.settle(w.batch, err)
}

// refused reports whether a COMMIT certainly came to nothing: the server says so
// and goes on, or nothing was sent.
func (w *writer) refused(err error) bool {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.SeverityUnlocalized == "ERROR" && !down(err) && w.conn != nil && !w.conn.IsClosed()
	}
	_, noConnection := errors.AsType[*pgconn.ConnectError](err)
	return noConnection || pgconn.SafeToRetry(err)
}

// rollback ends a transaction that has failed.
func (t *tx) rollback(err error) {
	conn := t.writer.conn
	if conn == nil || !t.begun {
		return
	}
	if down(err) || conn.IsClosed() {
		t.writer.disconnect()
		return
	}
	if _, err := conn.Exec(t.ctx, "rollback"); err != nil {
		t.writer.disconnect()
	}
}

// count takes notice of an instance's step from one state to another; "" is none.
func (t *tx) count(from, to riposte.State) {
	t.counts[to]++
	t.counts[from]--
	t.Undo(func() { t.counts[to]--; t.counts[from]++ })
}
