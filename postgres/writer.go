package postgres

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/groupcommit"
	"github.com/riposte-dev/riposte/lane"
	"github.com/riposte-dev/riposte/publish"
)

const (
	// maxBatchWeight bounds how much one commit takes. An op weighs as many
	// instances as it may write.
	maxBatchWeight = 256
	// maxTries is how often a batch is tried that others were in the way of.
	maxTries = 10
	// patience is how long an op waits for its turn while the database takes long.
	patience = 5 * time.Second
	// batchTimeout bounds all tries of a batch, the COMMIT included.
	batchTimeout = 8 * time.Second
)

// change is what an op asks for, one of these. What creates and saves is written
// with others of its kind in few statements; anything else by run.
type change struct {
	create *creation
	save   *saving
	run    func(*tx) error

	audit *riposte.AuditEntry // to be written with it; nil for none
}

type op = groupcommit.Op[change]

// writer has this node's changes committed, many at once, on a connection of its
// own. All but the queue and the taker belongs to its goroutine alone.
type writer struct {
	queue *groupcommit.Queue[change]
	mu    sync.Mutex
	taker riposte.Taker // of new instances; nil for none

	store     *Store
	config    *pgx.ConnConfig
	conn      *pgx.Conn    // nil when there is none
	warned    bool         // by the server, since what runs on conn began
	failing   bool         // the last batch came to nothing, and that was said
	batch     int64        // the last one that was begun
	committed atomic.Int64 // the last one that was committed
	lanes     *lane.Lanes
	publisher *publish.Publisher
	onCommit  func(ops int, took time.Duration)
	ctx       context.Context // of what is under way; never ends
}

func openWriter(ctx context.Context, s *Store, config *pgx.ConnConfig, opts Options) (*writer, error) {
	w := &writer{store: s, config: config.Copy(), onCommit: opts.OnCommit, ctx: context.WithoutCancel(ctx), lanes: lane.New()}
	// A node that is frozen within a transaction must not keep its rows from the
	// others.
	setDefault(w.config.RuntimeParams, "idle_in_transaction_session_timeout", "10s")
	w.config.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { w.warned = w.warned || n.SeverityUnlocalized == "WARNING" }
	if err := w.loadLanes(ctx); err != nil {
		return nil, err
	}
	w.publisher = publish.New()
	w.queue = groupcommit.New(groupcommit.Options[change]{Commit: w.commit, MaxWeight: maxBatchWeight, Patience: patience})
	return w, nil
}

// do has c committed, with the entry of the audit log that ctx has, and returns once
// it is, or with its error. When ctx ends first, c is not executed if its turn had not
// come.
func (w *writer) do(ctx context.Context, weight int, c change) error {
	if e, ok := riposte.AuditOf(ctx); ok {
		entry := e // apart, so that nothing is allocated without one
		c.audit = &entry
	}
	return w.queue.Do(ctx, weight, c)
}

// connected returns the writer's connection.
func (w *writer) connected(ctx context.Context) (*pgx.Conn, error) {
	w.warned = false
	if w.conn != nil {
		return w.conn, nil
	}
	var err error
	w.conn, err = pgx.ConnectConfig(ctx, w.config)
	return w.conn, err
}

func (w *writer) disconnect() {
	if w.conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(w.ctx, time.Second)
	defer cancel()
	_ = w.conn.Close(ctx)
	w.conn = nil
}

// commit runs a batch in one transaction and leaves each op's answer in it. When
// an op fails half way, all are run again, each with a savepoint.
func (w *writer) commit(batch []*op) {
	ctx, cancel := context.WithTimeout(w.ctx, batchTimeout)
	defer cancel()
	var err error
	isolated, used := false, w.conn != nil
	for try := 1; ; try++ {
		var t *tx
		t, err = w.transact(ctx, batch, isolated)
		switch {
		case err == nil:
			if w.failing && t.begun {
				w.failing = false
				w.store.watcher.uncertain()
				w.store.logger.Info("the database commits again")
			}
			t.Committed()
			w.committed.Store(w.batch)
			w.publisher.Publish(t.Changed)
			w.store.watcher.announce(t.Changed)
			return
		case try == maxTries || errors.Is(err, errUnknown) || ctx.Err() != nil:
		case again(err):
			continue
		case down(err) && used:
			used = false // the connection had been cut before
			continue
		case !isolated && !down(err):
			isolated = true
			continue
		}
		break
	}
	if errors.Is(err, errUnknown) {
		w.store.watcher.uncertain()
	} else {
		err = unavailable(err)
	}
	if !w.failing {
		w.failing = true
		w.store.logger.Error("the database can't commit: callers are told to try again", "error", err)
	}
	for _, o := range batch {
		o.Err = err
	}
}

// transact returns an error if the whole batch came to nothing.
func (w *writer) transact(ctx context.Context, batch []*op, isolated bool) (t *tx, err error) {
	w.mu.Lock()
	taker := w.taker
	w.mu.Unlock()
	t = &tx{Work: lane.Work{Lanes: w.lanes, Taker: taker}, ctx: ctx, writer: w, store: w.store, counts: map[riposte.State]int{}}
	if isolated {
		err = t.each(batch)
	} else {
		err = t.all(batch)
	}
	if err == nil {
		began := time.Now()
		if err = t.commit(); err == nil && w.onCommit != nil && t.writes > 0 {
			w.onCommit(len(batch), time.Since(began))
		}
	}
	if err != nil {
		t.Forget(lane.Mark{})
		t.rollback(err)
	}
	return t, err
}

// close returns when everybody was told of everything. The queue is closed.
func (w *writer) close() {
	w.publisher.Close()
	w.disconnect()
}

const (
	loadLanesSQL     = `SELECT (SELECT min(due_at) FROM open WHERE webhook = w.id), ` + webhookColumns + ` FROM webhooks w`
	loadPushLanesSQL = `SELECT (SELECT min(due_at) FROM open WHERE webhook = l.id), id FROM push_lanes l`
)

func (w *writer) loadLanes(ctx context.Context) error {
	rows, err := w.store.pool.Query(ctx, loadLanesSQL)
	if err != nil {
		return err
	}
	add := func(webhook riposte.Webhook, due *int64) {
		l := w.lanes.Add(0, webhook)
		if due != nil {
			w.lanes.Lower(l, *due)
		}
	}
	var due *int64
	_, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (struct{}, error) {
		webhook, err := scanWebhook(r, &due)
		if err == nil {
			add(webhook, due)
		}
		return struct{}{}, err
	})
	if err != nil {
		return err
	}
	if rows, err = w.store.pool.Query(ctx, loadPushLanesSQL); err != nil {
		return err
	}
	var id string
	_, err = pgx.ForEachRow(rows, []any{&due, &id}, func() error {
		webhook, _ := riposte.PushLane(id)
		add(webhook, due)
		return nil
	})
	return err
}

func setDefault(params map[string]string, name, value string) {
	if params[name] == "" {
		params[name] = value
	}
}
