package postgres

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/riposte-dev/riposte"
)

const (
	// pollInterval is how often a node looks for what no notification tells: work
	// that another node has left, the database's time, who else is there.
	pollInterval = time.Second
	// pollShare bounds a poll's share of the time, and maxPollInterval what that
	// may come to.
	pollShare       = 20
	maxPollInterval = 4 * time.Second
	// fullPollInterval is how often a poll goes through all that is due, and not
	// only what may have come since.
	fullPollInterval = time.Minute
	// overdueGrace leaves to the node that wrote a row what becomes due in it.
	overdueGrace = time.Second
	// goneAfter is when a node that was not seen counts as gone.
	goneAfter = 6 * time.Second
	// lateCommits is how long after its time of writing a row may appear.
	lateCommits = 30 * time.Second

	watchTimeout   = 5 * time.Second // of one look at the database
	reconnectPause = time.Second
	announcePause  = 5 * time.Millisecond // between notifications, which take a lock that all databases share
	maxPayload     = 7900                 // bytes; PostgreSQL takes less than 8000
	maxAnnounced   = 10_000               // ids that wait to be announced, before it is all or nothing
)

// watcher keeps a node informed of what the others do, and them of what it does.
//
// A notification is sent for outcomes, because somebody may wait for one
// elsewhere, outside the transaction that made them: it takes a lock that all
// commits with one share. So one can be lost when its sender is, and whoever
// may have missed something is told so (riposte.InstanceStore, Subscribe).
type watcher struct {
	store   *Store
	config  *pgx.ConnConfig
	channel string

	mu       sync.Mutex
	outcomes []string      // ids to be announced
	wake     chan struct{} // there are some
	alone    atomic.Bool   // nobody else is there to be told
	doubt    atomic.Bool   // rows may have appeared late, so that the next poll must look at all

	// These belong to the goroutine that polls.
	others map[string]bool // nodes that were seen
	since  int64           // nothing is due before that which the lanes don't know
	full   time.Time       // of the last look at all that is due
	polled time.Time       // when the last poll began
	folded int64           // the batches before it are folded

	cancel  context.CancelFunc
	running sync.WaitGroup
}

// watch has the store watched from now on, or as soon as the database lets it.
func (s *Store) watch(ctx context.Context, config *pgx.ConnConfig) error {
	w := &watcher{store: s, config: config.Copy(), wake: make(chan struct{}, 1), others: map[string]bool{}}
	var schema int64
	if err := s.pool.QueryRow(ctx, schemaKeySQL).Scan(&schema); err != nil {
		return err
	}
	s.watcher = w
	// Channels belong to a database, and a database may have several schemas.
	w.channel = fmt.Sprintf("riposte_%016x", uint64(schema))
	// It says only that this node is there.
	setDefault(w.config.RuntimeParams, "synchronous_commit", "off")
	ctx, w.cancel = context.WithCancel(context.WithoutCancel(ctx))
	listening := make(chan struct{})
	w.running.Go(func() { w.run(ctx, listening) })
	w.running.Go(func() { w.announceAll(ctx) })
	select {
	case <-listening:
	case <-time.After(watchTimeout):
	}
	return nil
}

func (w *watcher) close() {
	w.cancel()
	w.running.Wait()
}

// run watches on a connection after the other.
func (w *watcher) run(ctx context.Context, listening chan<- struct{}) {
	lost := false
	for {
		err := w.watch(ctx, func() {
			if lost {
				w.store.logger.Info("the database can be watched again")
			}
			lost = false
			if listening != nil {
				close(listening)
				listening = nil
			}
		})
		if ctx.Err() != nil {
			return
		}
		if !lost {
			w.store.logger.Warn("the database can't be watched: trying again every second", "error", err)
		}
		lost = true
		w.alone.Store(false) // for all that is known
		select {
		case <-time.After(reconnectPause):
		case <-ctx.Done():
			return
		}
	}
}

// watch listens and polls until the connection fails.
func (w *watcher) watch(ctx context.Context, watching func()) error {
	opening, cancel := context.WithTimeout(ctx, watchTimeout)
	defer cancel()
	conn, err := pgx.ConnectConfig(opening, w.config)
	if err != nil {
		return err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if ctx.Err() != nil {
			w.leave(closing, conn)
		}
		_ = conn.Close(closing)
	}()
	if _, err := conn.Exec(opening, "LISTEN "+w.channel); err != nil {
		return err
	}
	if err := w.notify(opening, conn, []string{hello}); err != nil {
		return err
	}
	grace := overdueGrace
	for polls := 0; ; polls++ {
		took, err := w.poll(ctx, conn, grace)
		if err != nil {
			return err
		}
		// Before the first poll nobody listened here, and until the second one
		// another node may have believed to be alone.
		if polls == 0 || polls == 1 && len(w.others) > 0 {
			w.missed()
		}
		if polls == 0 {
			watching()
		}
		left, err := w.listen(ctx, conn, min(max(pollInterval, pollShare*took), maxPollInterval))
		if err != nil {
			return err
		}
		if grace = overdueGrace; left {
			grace = 0
		}
	}
}

// The notifications are lists of words: the sender, then ids of instances that
// have got their outcome, or one of these.
const (
	hello    = "hello" // the sender is there
	bye      = "bye"   // the sender has stopped, and left what it had to do
	anything = "*"     // the sender can't tell any more what has changed
)

// listen takes notifications for d, or until one says that a node has left work
// behind.
func (w *watcher) listen(ctx context.Context, conn *pgx.Conn, d time.Duration) (left bool, err error) {
	within, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	for {
		n, err := conn.WaitForNotification(within)
		switch {
		case ctx.Err() != nil:
			return false, ctx.Err()
		case err != nil && within.Err() != nil:
			return false, nil
		case err != nil:
			return false, err
		}
		words := strings.Fields(n.Payload)
		if len(words) < 2 || words[0] == w.store.node {
			continue
		}
		switch words[1] {
		case hello:
			w.alone.Store(false)
		case anything:
			w.missed()
		case bye:
			delete(w.others, words[0])
			w.missed() // it may have said good-bye before its last word
			return true, nil
		default:
			changed := make([]riposte.Instance, len(words)-1)
			for k, id := range words[1:] {
				changed[k].ID = id
			}
			w.store.writer.publisher.Publish(changed)
		}
	}
}

// missed tells that something may have changed which nobody was told of.
func (w *watcher) missed() { w.store.writer.publisher.Publish(make([]riposte.Instance, 1)) }

const (
	othersSQL = `SELECT id FROM nodes WHERE id <> $1 AND seen_at > ` + databaseTime + ` - $2`
	// overdueSQL has of each lane what is due first, and what expires first.
	overdueSQL = `SELECT o.id, o.webhook, o.state, o.due_at, NULL FROM (SELECT id FROM webhooks UNION ALL SELECT id FROM push_lanes) w CROSS JOIN LATERAL
		(SELECT id, webhook, state, due_at FROM open WHERE webhook = w.id AND due_at >= $1 AND due_at <= $2 ORDER BY due_at LIMIT 1) o
		UNION ALL (SELECT id, webhook, state, due_at, expires_at FROM open WHERE expires_at >= $1 AND expires_at <= $2 ORDER BY expires_at LIMIT 1)`
)

// poll looks for what nobody tells, and returns how long that took.
func (w *watcher) poll(ctx context.Context, conn *pgx.Conn, grace time.Duration) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, watchTimeout)
	defer cancel()
	if err := w.store.clock.set(ctx, conn); err != nil {
		return 0, err
	}
	began := time.Now()
	full := w.doubt.Swap(false) || began.Sub(w.full) >= fullPollInterval
	if began.Sub(w.polled) > goneAfter { // the others may have believed that this one is gone
		w.missed()
	}
	w.polled = began
	if full {
		w.since = 0
	}
	now := w.store.Now().UnixMicro()
	var overdue []riposte.Instance
	others := map[string]bool{}
	b := &pgx.Batch{}
	b.Queue(overdueSQL, w.since, now-grace.Microseconds()).Query(func(rows pgx.Rows) (err error) {
		overdue, err = pgx.CollectRows(rows, scanOverdue)
		return err
	})
	b.Queue(othersSQL, w.store.node, goneAfter.Microseconds()).Query(func(rows pgx.Rows) error {
		var id string
		_, err := pgx.ForEachRow(rows, []any{&id}, func() error { others[id] = true; return nil })
		return err
	})
	// Last, because until the end of the batch it has the row locked.
	last := w.store.writer.committed.Load()
	b.Queue(foldSQL, w.store.node, w.folded, last)
	if err := conn.SendBatch(ctx, b).Close(); err != nil {
		return 0, err
	}
	took := time.Since(began)
	w.folded = max(w.folded, last)
	if full {
		w.full = began
	}
	w.seen(others)
	// What is overdue now is known to the lanes from here on, and what is written
	// later is not due before its time of writing.
	if w.store.writer.overdue(ctx, overdue) == nil {
		w.since = now - grace.Microseconds() - lateCommits.Microseconds()
	}
	return took, nil
}

func scanOverdue(r pgx.CollectableRow) (riposte.Instance, error) {
	var i riposte.Instance
	var due, expires *int64
	err := r.Scan(&i.ID, &i.WebhookID, &i.State, &due, &expires)
	i.DueAt, i.ExpiresAt = moment(due), moment(expires)
	return i, err
}

// seen takes notice of who is there. What one that has gone had to announce is
// lost.
func (w *watcher) seen(others map[string]bool) {
	for id := range w.others {
		if !others[id] {
			w.store.logger.Info("a node has gone", "node", id)
			w.missed()
		}
	}
	for id := range others {
		if !w.others[id] {
			w.announceAnything() // what it may have missed
			break
		}
	}
	w.others = others
	w.alone.Store(len(others) == 0)
}

// overdue has the lanes know of what no node has taken care of in time.
func (w *writer) overdue(ctx context.Context, found []riposte.Instance) error {
	if len(found) == 0 {
		return nil
	}
	return w.do(ctx, 1, change{run: func(t *tx) error {
		for _, i := range found {
			l, err := t.lane(i.WebhookID, 0)
			if err != nil {
				return err
			}
			if t.Lanes.Overdue(l, i) {
				t.Changed = append(t.Changed, i)
			}
		}
		return nil
	}})
}

// announce tells the other nodes which instances have got their outcome. It
// does not block.
func (w *watcher) announce(changed []riposte.Instance) {
	if w.alone.Load() {
		return
	}
	w.mu.Lock()
	for _, i := range changed {
		if !i.JustDecided() {
			continue
		}
		if len(w.outcomes) >= maxAnnounced {
			w.outcomes = append(w.outcomes[:0], anything)
		}
		w.outcomes = append(w.outcomes, i.ID)
	}
	some := len(w.outcomes) > 0
	w.mu.Unlock()
	if some {
		w.wakeUp()
	}
}

// announceAnything tells the other nodes that they may have missed something.
func (w *watcher) announceAnything() {
	w.mu.Lock()
	w.outcomes = append(w.outcomes[:0], anything)
	w.mu.Unlock()
	w.wakeUp()
}

// uncertain says that something may have been committed which nobody was told of,
// or that may appear later than rows do.
func (w *watcher) uncertain() {
	w.doubt.Store(true)
	w.announceAnything()
	w.missed()
}

// announceAll sends what announce leaves, as much as there is at a time.
func (w *watcher) announceAll(ctx context.Context) {
	defer func() { _ = w.announceSome(context.WithoutCancel(ctx)) }()
	for {
		select {
		case <-w.wake:
		case <-ctx.Done():
			return
		}
		pause := announcePause
		if err := w.announceSome(ctx); err != nil {
			pause = reconnectPause
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
	}
}

func (w *watcher) announceSome(ctx context.Context) error {
	w.mu.Lock()
	words := w.outcomes
	w.outcomes = nil
	w.mu.Unlock()
	if len(words) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, watchTimeout)
	defer cancel()
	err := w.notify(ctx, w.store.pool, words)
	if err != nil { // some may not have been told, and nobody knows which
		w.announceAnything()
	}
	return err
}

func (w *watcher) wakeUp() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

const notifySQL = `SELECT set_config('synchronous_commit', 'off', true), pg_notify($1, p) FROM unnest($2::text[]) p`

func (w *watcher) notify(ctx context.Context, db interface {
	Exec(context.Context, string, ...any) (pgconn.CommandTag, error)
}, words []string) error {
	if len(words) > 0 && words[0] == anything {
		words = words[:1]
	}
	_, err := db.Exec(ctx, notifySQL, w.channel, payloads(w.store.node, words))
	return err
}

// payloads makes of words as few payloads as can take them, each with its sender.
func payloads(sender string, words []string) []string {
	var all []string
	p := sender
	for _, word := range words {
		if len(p)+1+len(word) > maxPayload {
			all = append(all, p)
			p = sender
		}
		p += " " + word
	}
	return append(all, p)
}

const leaveSQL = `UPDATE nodes SET seen_at = 0 WHERE id = $1`

// leave says that this node is gone; what it can't say now, the others find.
func (w *watcher) leave(ctx context.Context, conn *pgx.Conn) {
	if conn.IsClosed() {
		return
	}
	if _, err := conn.Exec(ctx, leaveSQL, w.store.node); err == nil {
		_ = w.notify(ctx, conn, []string{bye})
	}
}
