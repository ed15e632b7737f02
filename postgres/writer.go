package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/lane"
	"github.com/riposte-dev/riposte/publish"
)

const (
	// maxQueue is how many ops may wait; more wait to get into the queue.
	maxQueue = 1024
	// maxBatchWeight bounds how much one commit takes. An op weighs as many
	// instances as it may write.
	maxBatchWeight = 256
	// maxTries is how often a batch is tried that others were in the way of.
	maxTries = 10
)

var errClosed = errors.New("the store is closed")

// op is one change that waits for its commit. What creates and saves is written
// with others of its kind in few statements; anything else by run.
type op struct {
	ctx    context.Context
	weight int
	create *creation
	save   *saving
	run    func(*tx) error
	err    error
	done   chan error // takes one answer
}

// writer has this node's changes committed, many at once. Everything below queue
// belongs to its goroutine alone.
type writer struct {
	mu     sync.RWMutex // held for reading while something enters queue
	closed bool
	queue  chan *op

	store     *Store
	lanes     *lane.Lanes
	webhooks  sync.Map // riposte.Webhook by id, for readers
	publisher *publish.Publisher
	taker     riposte.Taker // of new instances; nil for none
	onCommit  func(ops int, took time.Duration)
	ctx       context.Context // of what is under way; never ends
	finished  chan struct{}
}

func openWriter(ctx context.Context, s *Store, opts Options) (*writer, error) {
	w := &writer{queue: make(chan *op, maxQueue), store: s, onCommit: opts.OnCommit,
		ctx: context.WithoutCancel(ctx), publisher: publish.New(), finished: make(chan struct{}), lanes: lane.New()}
	if err := w.loadLanes(ctx); err != nil {
		w.publisher.Close()
		return nil, err
	}
	go w.work()
	return w, nil
}

// do has o executed in the next transaction and returns when that is committed,
// or with o's error. When ctx ends first, o is not executed if it had not begun.
func (w *writer) do(ctx context.Context, o *op) error {
	o.ctx, o.done = ctx, make(chan error, 1)
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
// returns the instances that changed. When an op fails half way, all are run
// again, each with a savepoint.
func (w *writer) commit(batch []*op) []riposte.Instance {
	live := batch[:0:0]
	for _, o := range batch {
		if o.err = o.ctx.Err(); o.err == nil {
			live = append(live, o)
		}
	}
	if len(live) == 0 {
		return nil
	}
	var err error
	for try, isolated := 1, false; ; try++ {
		var t *tx
		t, err = w.transact(live, isolated)
		switch {
		case err == nil:
			w.committed(t)
			return t.changed
		case try < maxTries && again(err):
		case try < maxTries && !isolated && !down(err):
			isolated = true
		default:
			if !errors.Is(err, errUnknown) {
				err = unavailable(err)
			}
			for _, o := range live {
				o.err = err
			}
			return nil
		}
	}
}

// transact returns an error if the whole batch came to nothing.
func (w *writer) transact(batch []*op, isolated bool) (t *tx, err error) {
	t = &tx{ctx: w.ctx, store: w.store, lanes: w.lanes, taker: w.taker, counts: map[riposte.State]int{}}
	defer func() {
		if err != nil {
			t.forget(0, 0)
		}
	}()
	conn, err := w.store.pool.Acquire(w.ctx)
	if err != nil {
		return t, err
	}
	defer conn.Release()
	if t.pg, err = conn.Begin(w.ctx); err != nil {
		return t, err
	}
	// After a commit it does nothing.
	defer t.pg.Rollback(w.ctx)
	if isolated {
		err = t.each(batch)
	} else {
		err = t.all(batch)
	}
	if err != nil {
		return t, err
	}
	if err := t.saveCounts(); err != nil {
		return t, err
	}
	var xid string
	if t.writes > 0 {
		if err := t.pg.QueryRow(w.ctx, `SELECT pg_current_xact_id()::text`).Scan(&xid); err != nil {
			return t, err
		}
	}
	began := time.Now()
	if err := t.pg.Commit(w.ctx); err != nil {
		if xid == "" || !down(err) {
			return t, err
		}
		if err := w.settle(xid, err); err != nil {
			return t, err
		}
	}
	if w.onCommit != nil && t.writes > 0 {
		w.onCommit(len(batch), time.Since(began))
	}
	return t, nil
}

// errUnknown says that nobody knows whether a transaction was committed.
var errUnknown = errors.New("the database did not say whether it committed")

// settle asks what became of a transaction whose COMMIT was not answered: nil if
// it was committed.
func (w *writer) settle(xid string, cause error) error {
	ctx, cancel := context.WithTimeout(w.ctx, 10*time.Second)
	defer cancel()
	for {
		var status *string
		err := w.store.pool.QueryRow(ctx, `SELECT pg_xact_status($1::text::xid8)`, xid).Scan(&status)
		switch {
		case err == nil && status != nil && *status == "committed":
			return nil
		case err == nil && status != nil && *status == "aborted":
			return cause
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", errUnknown, cause)
		}
	}
}

// committed makes known what t has brought.
func (w *writer) committed(t *tx) {
	w.publishWebhooks(t.touched)
	for _, c := range t.taken {
		t.taker.Take(c)
	}
}

// close lets nothing more in and waits for what is under way.
func (w *writer) close() {
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
}

const loadLanesSQL = `SELECT (SELECT min(due_at) FROM open WHERE webhook = w.id), ` + webhookColumns + ` FROM webhooks w`

func (w *writer) loadLanes(ctx context.Context) error {
	rows, err := w.store.pool.Query(ctx, loadLanesSQL)
	if err != nil {
		return fmt.Errorf("loading webhooks: %w", err)
	}
	_, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (struct{}, error) {
		var due *int64
		webhook, err := scanWebhook(r, &due)
		if err != nil {
			return struct{}{}, err
		}
		l := w.lanes.Add(0, webhook)
		if due != nil {
			w.lanes.Lower(l, *due)
		}
		w.webhooks.Store(webhook.ID, webhook)
		return struct{}{}, nil
	})
	if err != nil {
		return fmt.Errorf("loading webhooks: %w", err)
	}
	return nil
}
