package postgres

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/lane"
)

// tx is the writer's open transaction as its ops see it.
type tx struct {
	ctx     context.Context
	pg      pgx.Tx
	store   *Store
	lanes   *lane.Lanes
	writes  int                // statements that may have changed something
	changed []riposte.Instance // to be published after the commit
	touched []string           // webhooks that ops may have changed
	taker   riposte.Taker      // nil for none
	taken   []riposte.ClaimedInstance
	counts  map[riposte.State]int // changes of how many instances are in each state
	undo    []func()              // takes back what ops did in memory
}

// errOvertaken says that another node was faster, so that the whole batch must
// look again.
var errOvertaken = errors.New("another node was faster")

// errTainted says that an op failed after it had written something.
var errTainted = errors.New("an op failed half way")

// all runs a batch, what is alike together.
func (t *tx) all(batch []*op) error {
	if err := t.createAll(batch); err != nil {
		return err
	}
	if err := t.saveAll(batch); err != nil {
		return err
	}
	for _, o := range batch {
		if o.run == nil {
			continue
		}
		before, changed, undo := t.writes, len(t.changed), len(t.undo)
		if o.err = o.run(t); o.err == nil {
			continue
		}
		if t.writes > before || sqlState(o.err) != "" || down(o.err) {
			return errors.Join(errTainted, o.err)
		}
		t.forget(changed, undo)
	}
	return nil
}

// each runs the ops one by one, each in a savepoint.
func (t *tx) each(batch []*op) error {
	outer := t.pg
	for _, o := range batch {
		changed, undo := len(t.changed), len(t.undo)
		inner, err := outer.Begin(t.ctx)
		if err != nil {
			return err
		}
		t.pg = inner
		err = t.all([]*op{o})
		t.pg = outer
		switch {
		case err != nil && (again(err) || down(err)):
			return err
		case err != nil:
			o.err = cause(err)
		}
		if o.err == nil {
			err = inner.Commit(t.ctx)
		} else {
			t.forget(changed, undo)
			err = inner.Rollback(t.ctx)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// cause is what an op failed with.
func cause(err error) error {
	if e, ok := errors.AsType[*riposte.Error](err); ok {
		return e
	}
	if violatesUnique(err) {
		return riposte.ErrConflict
	}
	return err
}

// forget takes back what is kept in memory; the database does the rest.
func (t *tx) forget(changed, undo int) {
	for i := len(t.undo) - 1; i >= undo; i-- {
		t.undo[i]()
	}
	t.undo = t.undo[:undo]
	t.changed = t.changed[:changed]
}

// count takes notice of an instance's step from one state to another; "" is none.
func (t *tx) count(from, to riposte.State) {
	t.counts[to]++
	t.counts[from]--
	t.undo = append(t.undo, func() { t.counts[to]--; t.counts[from]++ })
}

// written takes notice of an instance that was stored in this transaction.
func (t *tx) written(i riposte.Instance, isNew bool) {
	l := t.lanes.ByID[i.WebhookID]
	t.undo = append(t.undo, func() { t.lanes.Forget(l) })
	t.lanes.Written(l, i, isNew)
}

// send runs several statements in one round trip and returns how many rows each
// has changed.
func (t *tx) send(b *pgx.Batch) ([]int64, error) {
	t.writes++
	results := t.pg.SendBatch(t.ctx, b)
	affected := make([]int64, b.Len())
	for n := range affected {
		tag, err := results.Exec()
		if err != nil {
			return nil, errors.Join(err, results.Close())
		}
		affected[n] = tag.RowsAffected()
	}
	return affected, results.Close()
}

const saveCountsSQL = `INSERT INTO counts (node, state, n) SELECT $1, * FROM unnest($2::text[], $3::bigint[])
	ON CONFLICT (node, state) DO UPDATE SET n = counts.n + excluded.n`

func (t *tx) saveCounts() error {
	var states []string
	var changes []int64
	for _, s := range riposte.States {
		if n := t.counts[s]; n != 0 {
			states, changes = append(states, string(s)), append(changes, int64(n))
		}
	}
	if len(states) == 0 {
		return nil
	}
	_, err := t.pg.Exec(t.ctx, saveCountsSQL, t.store.node, states, changes)
	return err
}
