package sqlite

import (
	"cmp"
	"container/heap"
	"context"
	"database/sql"
	"fmt"
	"math"
	"slices"

	"github.com/riposte-dev/riposte"
)

// never is the due time of what has nothing due, in microseconds.
const never = math.MaxInt64

// bound is what memory knows of the earliest of some times on disk, in
// microseconds: none is earlier. It is cheap to keep right, because a row that
// goes away only makes it inexact, and whoever needs it exact asks the index.
type bound struct {
	at    int64
	exact bool
}

// lower takes notice of a time that was written.
func (b *bound) lower(at int64) {
	if at <= b.at {
		*b = bound{at, true}
	}
}

// lane is a webhook with the due time of its open instances.
type lane struct {
	number  int64 // the webhook's row
	webhook riposte.Webhook
	due     bound
	index   int // in lanes.queue
}

// lanes holds every webhook, deleted ones with instances included, so that a
// claim visits those with something due and touches no row of the others. It
// belongs to the writer's goroutine.
type lanes struct {
	byID   map[string]*lane
	queue  laneQueue // all of byID, the lane that is due first in front
	expiry bound     // of all open instances
}

// loadLanesSQL finds each lane's first row with one step into the index.
const loadLanesSQL = `SELECT w.number,
	(SELECT min(due_at) FROM instances WHERE webhook = w.number AND due_at IS NOT NULL), ` + webhookColumns + `
	FROM webhooks w`

func loadLanes(ctx context.Context, conn *sql.Conn) (*lanes, error) {
	ls := &lanes{byID: make(map[string]*lane), expiry: bound{at: math.MinInt64}}
	rows, err := conn.QueryContext(ctx, loadLanesSQL)
	if err != nil {
		return nil, fmt.Errorf("loading webhooks: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var number int64
		var due sql.NullInt64
		w, err := scanWebhook(rows, &number, &due)
		if err != nil {
			return nil, fmt.Errorf("loading webhooks: %w", err)
		}
		l := ls.add(number, w)
		if due.Valid {
			ls.lower(l, due.Int64)
		}
	}
	return ls, rows.Err()
}

// add makes a lane with nothing due.
func (ls *lanes) add(number int64, w riposte.Webhook) *lane {
	l := &lane{number: number, webhook: w, due: bound{never, true}}
	ls.put(l)
	return l
}

func (ls *lanes) put(l *lane) {
	ls.byID[l.webhook.ID] = l
	heap.Push(&ls.queue, l)
}

func (ls *lanes) remove(l *lane) {
	delete(ls.byID, l.webhook.ID)
	heap.Remove(&ls.queue, l.index)
}

// set replaces what is known of a lane.
func (ls *lanes) set(l *lane, due bound) {
	l.due = due
	heap.Fix(&ls.queue, l.index)
}

// lower takes notice of a due time that was written into l.
func (ls *lanes) lower(l *lane, due int64) {
	b := l.due
	b.lower(due)
	if b != l.due {
		ls.set(l, b)
	}
}

// due returns the lanes that may have something due by now, oldest first.
func (ls *lanes) due(now int64) []*lane {
	var found []*lane
	// A heap's children are never before their parent, so what is not due
	// hides nothing that is.
	var visit func(i int)
	visit = func(i int) {
		if i >= len(ls.queue) || ls.queue[i].due.at > now {
			return
		}
		found = append(found, ls.queue[i])
		visit(2*i + 1)
		visit(2*i + 2)
	}
	visit(0)
	slices.SortFunc(found, func(a, b *lane) int { return cmp.Compare(a.due.at, b.due.at) })
	return found
}

// written takes notice of an instance that was stored in this transaction.
// What the ops before it wrote to the lane stays written if this one is rolled
// back, so the undo only admits that the truth is in the index.
func (t *tx) written(i riposte.Instance, isNew bool) {
	l := t.lanes.byID[i.WebhookID]
	t.undo = append(t.undo, func() {
		t.lanes.set(l, bound{at: math.MinInt64})
		t.lanes.expiry = bound{at: math.MinInt64}
	})
	if !isNew {
		// What the row said before may have been the earliest.
		l.due.exact = false
		t.lanes.expiry.exact = false
	}
	if !i.State.Closed() {
		t.lanes.lower(l, i.DueAt.UnixMicro())
		t.lanes.expiry.lower(i.ExpiresAt.UnixMicro())
	}
}

const (
	laneDueSQL     = `SELECT min(due_at) FROM instances WHERE webhook = ? AND due_at IS NOT NULL`
	firstExpirySQL = `SELECT min(expires_at) FROM instances WHERE completed_at IS NULL`
)

// settle makes a lane's due time exact.
func (t *tx) settle(l *lane) error {
	b, err := t.first(t.laneDue, l.number)
	if err != nil {
		return err
	}
	t.lanes.set(l, b)
	return nil
}

func (t *tx) settleExpiry() error {
	b, err := t.first(t.firstExpiry)
	t.lanes.expiry = b
	return err
}

// first asks an index for its earliest time.
func (t *tx) first(s *sql.Stmt, args ...any) (bound, error) {
	var at sql.NullInt64
	if err := s.QueryRowContext(context.Background(), args...).Scan(&at); err != nil {
		return bound{at: math.MinInt64}, err
	}
	if !at.Valid {
		return bound{never, true}, nil
	}
	return bound{at.Int64, true}, nil
}

// first returns the lane that is due first of those that f wants, or nil.
func (ls *lanes) first(f func(*lane) bool) *lane {
	var best *lane
	var visit func(i int)
	visit = func(i int) {
		switch {
		case i >= len(ls.queue) || best != nil && ls.queue[i].due.at >= best.due.at:
		case f(ls.queue[i]):
			best = ls.queue[i]
		default:
			visit(2*i + 1)
			visit(2*i + 2)
		}
	}
	visit(0)
	return best
}

// laneQueue is a heap by due time.
type laneQueue []*lane

func (q laneQueue) Len() int           { return len(q) }
func (q laneQueue) Less(i, j int) bool { return q[i].due.at < q[j].due.at }
func (q laneQueue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

func (q *laneQueue) Push(x any) {
	l := x.(*lane)
	l.index = len(*q)
	*q = append(*q, l)
}

func (q *laneQueue) Pop() any {
	old := *q
	l := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	return l
}
