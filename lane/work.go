package lane

import (
	"time"

	"github.com/riposte-dev/riposte"
)

// Work is what one transaction does in memory, beside its rows: to lanes, with
// places that it takes, and what there is to tell of it. It can be taken back.
type Work struct {
	Lanes   *Lanes
	Taker   riposte.Taker      // nil for none
	Changed []riposte.Instance // to be told of after the commit
	undo    []func()
	taken   []riposte.ClaimedInstance
}

// Mark is a point to which Forget goes back; the zero Mark is the beginning.
type Mark struct{ changed, undo int }

// Mark returns the point where w is.
func (w *Work) Mark() Mark { return Mark{len(w.Changed), len(w.undo)} }

// Forget takes back what was done since m.
func (w *Work) Forget(m Mark) {
	for n := len(w.undo) - 1; n >= m.undo; n-- {
		w.undo[n]()
	}
	w.undo = w.undo[:m.undo]
	w.Changed = w.Changed[:m.changed]
}

// Undo has f called if what is done is taken back.
func (w *Work) Undo(f func()) { w.undo = append(w.undo, f) }

// Written takes notice of an instance that was stored in this transaction. What
// was written to its lane before stays written if this is taken back, so undoing
// it only admits that the truth is in the rows.
func (w *Work) Written(i riposte.Instance, isNew bool) {
	l := w.Lanes.ByID[i.Lane()]
	w.Undo(func() { w.Lanes.Forget(l) })
	w.Lanes.Written(l, i, isNew)
	if from, ok := w.Lanes.ByID[i.WebhookID]; ok && from != l {
		from.Due.Exact = false // it may have been the earliest there
	}
}

// Take has a new instance taken before it is stored, as a claim would right
// after, if the taker has a place, nothing of its webhook waits already, and no
// other node has a say. It
// returns the row to store; where the instance is not taken, that is i.
func (w *Work) Take(l *Lane, i riposte.Instance, e riposte.Envelope, now time.Time) (row riposte.Instance, err error) {
	now = riposte.Time(now)
	if w.Taker == nil || l.Webhook.Settings.MaxInFlightTotal > 0 || now.Before(i.DueAt) || l.Due.At <= now.UnixMicro() || !w.Taker.Reserve(l.Webhook) {
		return i, nil
	}
	row, _, err = i.Due(l.Webhook, now)
	if err != nil {
		w.Taker.Release(l.Webhook)
		return i, err
	}
	row.Version++
	n := len(w.taken)
	w.Undo(func() {
		w.taken = w.taken[:n]
		w.Taker.Release(l.Webhook)
	})
	w.taken = append(w.taken, riposte.ClaimedInstance{Instance: row.Stored(row.Version), Webhook: l.Webhook, Envelope: e})
	return row, nil
}

// Created tells of a new instance and, if it was taken, of its claim. Somebody
// must look when the row says, so that is what the creation says as well.
func (w *Work) Created(i, row riposte.Instance) {
	i.DueAt = row.DueAt
	w.Changed = append(w.Changed, i)
	if row.Version > 1 {
		w.Changed = append(w.Changed, row)
	}
}

// Committed hands over what was taken.
func (w *Work) Committed() {
	for _, c := range w.taken {
		w.Taker.Take(c)
	}
}

// GiveBack undoes the take of a row, the last thing done, because it is not
// needed.
func (w *Work) GiveBack(row riposte.Instance) {
	if row.Version > 1 {
		last := len(w.undo) - 1
		w.undo[last]()
		w.undo = w.undo[:last]
	}
}
