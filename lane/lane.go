// Package lane is how a store finds what is due without going through what is
// not: each webhook has a lane, which knows in memory since when it has
// something due, and a claim visits the lanes that are due and have room.
//
// What is in memory only says where to look. What is true is in the rows, and
// what happens to a row is decided by riposte.Instance.Due.
package lane

import (
	"cmp"
	"container/heap"
	"math"
	"slices"

	"github.com/riposte-dev/riposte"
)

// Times are in microseconds since 1970.
const (
	// Never is the due time of what has nothing due.
	Never = math.MaxInt64
	// Unknown is before every time: the truth is in the rows.
	Unknown = math.MinInt64
)

// Bound is what memory knows of the earliest of some times in the rows: none is
// earlier. It is cheap to keep right, because a row that goes away only makes it
// inexact, and whoever needs it exact asks an index.
type Bound struct {
	At    int64
	Exact bool
}

// lower takes notice of a time that was written.
func (b *Bound) lower(at int64) {
	if at <= b.At {
		*b = Bound{at, true}
	}
}

// Lane is a webhook, or what stands in its place for pushes, with the due time of
// the open instances in it.
type Lane struct {
	Webhook riposte.Webhook
	Number  int64 // the store's, of the webhook's row
	Due     Bound // changed by Lanes alone
	// No row is due before later, but for those that were due when this process
	// wrote them, the last of these at prompt.
	later, prompt int64
	index         int // in Lanes.queue
	pushes        bool
}

// Pushes reports whether it is a lane of pushes.
func (l *Lane) Pushes() bool { return l.pushes }

// Lanes holds every webhook, deleted ones with instances included, and every
// place that outcomes are pushed to.
type Lanes struct {
	ByID   map[string]*Lane
	Expiry Bound     // of all instances without an outcome
	queue  laneQueue // all of ByID, the lane that is due first in front
}

// New returns no lanes, and no knowledge of expiries.
func New() *Lanes {
	return &Lanes{ByID: make(map[string]*Lane), Expiry: Bound{At: Unknown}}
}

// Add makes a lane with nothing due.
func (ls *Lanes) Add(number int64, w riposte.Webhook) *Lane {
	_, pushes := riposte.PushLane(w.ID)
	l := &Lane{Number: number, Webhook: w, Due: Bound{Never, true}, later: Never, prompt: Unknown, pushes: pushes}
	ls.Put(l)
	return l
}

// Put adds a lane.
func (ls *Lanes) Put(l *Lane) {
	ls.ByID[l.Webhook.ID] = l
	heap.Push(&ls.queue, l)
}

// Remove removes a lane.
func (ls *Lanes) Remove(l *Lane) {
	delete(ls.ByID, l.Webhook.ID)
	heap.Remove(&ls.queue, l.index)
}

// Set replaces what is known of a lane.
func (ls *Lanes) Set(l *Lane, due Bound) {
	l.later = due.At
	ls.move(l, due)
}

func (ls *Lanes) move(l *Lane, due Bound) {
	if due != l.Due {
		l.Due = due
		heap.Fix(&ls.queue, l.index)
	}
}

// Lower takes notice of a due time that was written into l.
func (ls *Lanes) Lower(l *Lane, due int64) {
	l.later = min(l.later, due)
	ls.lower(l, due)
}

func (ls *Lanes) lower(l *Lane, due int64) {
	b := l.Due
	b.lower(due)
	ls.move(l, b)
}

// looked takes notice that what was due in l by now was looked at in its order,
// the last at that time; all says that there was no more. Where that holds, what
// comes next is known without a question.
func (ls *Lanes) looked(l *Lane, now, last int64, all bool) {
	at := max(l.Due.At, last)
	if all && l.prompt <= now {
		at = max(at, l.later)
	}
	ls.move(l, Bound{At: at})
}

// Written takes notice of an instance that was stored in l: a new one, or one
// whose row said something else before, which may have been the earliest.
func (ls *Lanes) Written(l *Lane, i riposte.Instance, isNew bool) {
	if !isNew {
		l.Due.Exact = false
		ls.Expiry.Exact = false
	}
	if i.Outcome == nil {
		ls.Expiry.lower(i.ExpiresAt.UnixMicro())
	}
	if i.DueAt.IsZero() {
		return
	}
	due := i.DueAt.UnixMicro()
	if i.DueAt.After(i.UpdatedAt) {
		ls.Lower(l, due)
		return
	}
	l.prompt = max(l.prompt, due)
	ls.lower(l, due)
}

// Overdue takes notice of a row in l that somebody else has found; it says what
// is due first, or, with an ExpiresAt, what expires first. It returns false where
// that was known.
func (ls *Lanes) Overdue(l *Lane, i riposte.Instance) bool {
	due, expiry := l.Due, ls.Expiry
	ls.Lower(l, i.DueAt.UnixMicro())
	if !i.ExpiresAt.IsZero() {
		ls.Expiry.lower(i.ExpiresAt.UnixMicro())
	}
	return due.At == Unknown || l.Due.At < due.At || ls.Expiry.At < expiry.At
}

// Forget admits that the truth about l, and about expiries, is in the rows.
func (ls *Lanes) Forget(l *Lane) {
	ls.Set(l, Bound{At: Unknown})
	ls.Expiry = Bound{At: Unknown}
}

// due returns the lanes that may have something due by now, oldest first.
func (ls *Lanes) due(now int64) []*Lane {
	var found []*Lane
	// A heap's children are never before their parent, so what is not due
	// hides nothing that is.
	var visit func(i int)
	visit = func(i int) {
		if i >= len(ls.queue) || ls.queue[i].Due.At > now {
			return
		}
		found = append(found, ls.queue[i])
		visit(2*i + 1)
		visit(2*i + 2)
	}
	visit(0)
	slices.SortFunc(found, func(a, b *Lane) int { return cmp.Compare(a.Due.At, b.Due.At) })
	return found
}

// first returns the lane that is due first of those that f wants, or nil.
func (ls *Lanes) first(f func(*Lane) bool) *Lane {
	var best *Lane
	var visit func(i int)
	visit = func(i int) {
		switch {
		case i >= len(ls.queue) || best != nil && ls.queue[i].Due.At >= best.Due.At:
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
type laneQueue []*Lane

func (q laneQueue) Len() int           { return len(q) }
func (q laneQueue) Less(i, j int) bool { return q[i].Due.At < q[j].Due.At }
func (q laneQueue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

func (q *laneQueue) Push(x any) {
	l := x.(*Lane)
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
