package storetest

import (
	"context"
	"slices"
	"time"

	"github.com/riposte-dev/riposte"
)

// follow reads the feed from a sequence on until nothing is left, limit at a time.
func (h *house) follow(after int64, limit int) (read []riposte.Instance) {
	h.Helper()
	for {
		page, err := h.store.LoadOutcomes(h.Context(), after, limit)
		h.must(err)
		if len(page.Instances) > limit {
			h.Fatalf("a page has %d, want %d at most", len(page.Instances), limit)
		}
		for _, i := range page.Instances {
			if i.Outcome == nil || i.Outcome.Sequence <= after {
				h.Fatalf("after %d comes %+v", after, i.Outcome)
			}
			after = i.Outcome.Sequence
		}
		read = append(read, page.Instances...)
		if len(page.Instances) == 0 && !page.Held {
			return read
		}
	}
}

func (h *house) lastOutcome() int64 {
	h.Helper()
	last, err := h.store.LastOutcome(h.Context())
	h.must(err)
	return last
}

// close creates n instances and closes them, the last one first.
func (h *house) close(w riposte.Webhook, n int) (closed []riposte.Instance) {
	h.Helper()
	h.createMany(w, n)
	for _, c := range slices.Backward(h.claim(riposte.ClaimRequest{Limit: n}).Attempts) {
		closed = append(closed, h.change(c.Instance, answered(riposte.ViaCallback)))
	}
	return closed
}

var feeds = []behaviour{
	{"outcomes are read in their order, whole", func(h *house) {
		w := h.webhook(bounded(100))
		h.create(w, riposte.InstanceRequest{Labels: map[string]string{"k": "v"}})
		waiting := h.change(h.claimOne(), attempted(202))
		h.create(w, approval) // open, so not among them
		want := h.close(w, 7)
		want = append(want, h.change(waiting, riposte.Canceled{Message: "no more"}))
		h.wantEqual(h.follow(0, 100), want)
		h.wantEqual(h.follow(0, 2), want)
		h.wantEqual(h.follow(want[3].Outcome.Sequence, 3), want[4:])
		h.wantEqual(h.lastOutcome(), want[7].Outcome.Sequence)
		h.restart()
		h.wantEqual(h.follow(0, 3), want)
	}},
	{"an outcome that is still to be handed over can be read", func(h *house) {
		i := h.decided(h.running(h.webhook()))
		h.wantEqual(h.follow(0, 10), []riposte.Instance{i})
	}},
	{"nothing is in the feed before the first outcome", func(h *house) {
		h.create(h.webhook(), approval)
		h.wantEqual(h.follow(0, 10), []riposte.Instance(nil))
		h.wantEqual(h.lastOutcome(), int64(0))
	}},
	{"what a subscriber is told of can be read", func(h *house) {
		store := h.store
		told := make(chan struct{}, 100)
		defer store.Subscribe(func(i riposte.Instance) {
			if i.Outcome == nil {
				return
			}
			page, err := store.LoadOutcomes(context.Background(), i.Outcome.Sequence-1, 1)
			if err != nil || len(page.Instances) != 1 || page.Instances[0].ID != i.ID {
				h.Errorf("told of the outcome %d, but read %+v (%v)", i.Outcome.Sequence, page, err)
			}
			told <- struct{}{}
		})()
		h.close(h.webhook(bounded(100)), 20)
		for range 20 {
			<-told
		}
	}},
	{"nobody passes an outcome that is about to come", func(h *house) {
		const n = 200
		w := h.webhook(bounded(n))
		h.createMany(w, n)
		attempts := h.claim(riposte.ClaimRequest{Limit: n}).Attempts
		read := make(chan []riposte.Instance, 1)
		go func() {
			var all []riposte.Instance
			for after := int64(0); len(all) < n; {
				page, err := h.store.LoadOutcomes(h.Context(), after, 10)
				if err != nil {
					h.Errorf("reading: %v", err)
					break
				}
				for _, i := range page.Instances {
					all, after = append(all, i), i.Outcome.Sequence
				}
			}
			read <- all
		}()
		answers := make([]riposte.Instance, n)
		for k, c := range attempts {
			answers[k] = h.apply(c.Instance, answered(riposte.ViaCallback))
		}
		for _, err := range concurrently(n, func(k int) error {
			_, err := h.store.SaveInstance(h.Context(), answers[k], nil)
			return err
		}) {
			h.must(err)
		}
		all := ids(<-read)
		slices.Sort(all)
		if got := len(slices.Compact(all)); got != n {
			h.Errorf("read %d of %d", got, n)
		}
	}},
	{"a cursor before what was purged is too old", func(h *house) {
		w := h.webhook(bounded(100))
		old := h.close(w, 3)
		cursor := old[0].Outcome.Sequence
		h.follow(cursor, 10)
		h.clock.Advance(10 * 24 * time.Hour)
		kept := h.close(w, 2)
		h.wantPurged(old[2].ExpiresAt.Add(time.Second), 100, 3)
		_, err := h.store.LoadOutcomes(h.Context(), cursor, 10)
		h.wantError(err, riposte.ErrCursorTooOld)
		h.wantEqual(h.follow(0, 10), kept)
		h.wantEqual(h.follow(old[2].Outcome.Sequence, 10), kept)
		h.restart()
		_, err = h.store.LoadOutcomes(h.Context(), cursor, 10)
		h.wantError(err, riposte.ErrCursorTooOld)
	}},
	{"the last outcome stays the last when it is purged", func(h *house) {
		old := h.close(h.webhook(bounded(100)), 3)
		h.wantPurged(h.now().Add(100*24*time.Hour), 100, 3)
		last := old[2].Outcome.Sequence
		h.wantEqual(h.lastOutcome(), last)
		h.wantEqual(h.follow(last, 10), []riposte.Instance(nil))
		h.wantEqual(h.follow(0, 10), []riposte.Instance(nil))
	}},
	{"a cursor that no outcome has reached is unknown", func(h *house) {
		_, err := h.store.LoadOutcomes(h.Context(), 1, 10)
		h.wantError(err, riposte.ErrCursorUnknown)
		h.close(h.webhook(bounded(100)), 2)
		_, err = h.store.LoadOutcomes(h.Context(), h.lastOutcome()+1, 10)
		h.wantError(err, riposte.ErrCursorUnknown)
	}},
}
