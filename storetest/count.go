package storetest

import (
	"context"
	"maps"

	"github.com/riposte-dev/riposte"
)

var counts = []behaviour{
	{"an empty store counts none in each state", func(h *house) {
		h.wantCounts(map[riposte.State]int{})
	}},
	{"instances are counted by state", func(h *house) {
		h.variety()
		h.wantCounts(map[riposte.State]int{
			riposte.StatePending: 3, riposte.StateRunning: 1, riposte.StateError: 1, riposte.StateWaitingCallback: 1,
			riposte.StateProcessResponse: 1, riposte.StateSuccess: 1, riposte.StateFatalError: 1,
		})
	}},
	{"what was there is counted after a restart", func(h *house) {
		h.variety()
		before := h.counts()
		h.restart()
		h.wantCounts(before)
		h.create(h.webhook(), approval)
		before[riposte.StatePending]++
		h.wantCounts(before)
	}},
	{"what a claim closes is counted", func(h *house) {
		h.running(h.webhook())
		h.createMany(h.webhook(), 3)
		h.clock.Advance(riposte.DefaultCallbackTimeout)
		h.settle(riposte.ClaimRequest{})
		h.wantCounts(map[riposte.State]int{riposte.StateFatalError: 4})
	}},
	{"what is purged is no longer counted", func(h *house) {
		w := h.webhook()
		waiting := h.change(h.running(w), attempted(202))
		h.change(h.running(w), attempted(410))
		i := h.change(h.running(w), attempted(200))
		late := i.ExpiresAt.AddDate(0, 0, 1)
		h.wantPurged(late, 1, 1)
		h.wantCounts(map[riposte.State]int{riposte.StateWaitingCallback: 1, riposte.StateSuccess: 1})
		h.wantPurged(late, 10, 1)
		h.wantCounts(map[riposte.State]int{riposte.StateWaitingCallback: 1})
		h.change(waiting, answered(riposte.ViaCallback))
		h.wantCounts(map[riposte.State]int{riposte.StateSuccess: 1})
	}},
	{"what was refused or repeated is not counted", func(h *house) {
		w := h.webhook()
		repeated := riposte.InstanceRequest{RequestID: "r"}
		h.create(w, repeated)
		h.create(w, repeated)
		unknown := w
		unknown.ID = riposte.NewID(h.now())
		_, err := h.store.CreateInstances(h.Context(), []riposte.NewInstanceRecord{h.record(w, approval), h.record(unknown, approval)})
		h.wantError(err, riposte.ErrWebhookNotFound)
		stale := h.claimOne()
		h.change(stale, attempted(202))
		_, err = h.store.SaveInstance(h.Context(), h.apply(stale, attempted(500)), nil)
		h.wantError(err, riposte.ErrConflict)
		h.wantCounts(map[riposte.State]int{riposte.StateWaitingCallback: 1})
	}},
	{"simultaneous changes are all counted", func(h *house) {
		w := h.webhook(bounded(1000))
		h.createMany(w, 40)
		claimed := h.claim(riposte.ClaimRequest{Limit: 40}).Attempts
		for _, err := range concurrently(len(claimed), func(k int) error {
			next, err := claimed[k].Instance.Advance([]riposte.Event{attempted(200), attempted(202)}[k%2], h.now())
			if err != nil {
				return err
			}
			_, err = h.store.SaveInstance(context.Background(), next, nil)
			return err
		}) {
			h.must(err)
		}
		h.wantCounts(map[riposte.State]int{riposte.StateSuccess: 20, riposte.StateWaitingCallback: 20})
	}},
}

// variety stores three instances in PENDING and one in each other state.
func (h *house) variety() {
	h.Helper()
	w := h.webhook()
	for _, status := range []int{200, 202, 410, 500} {
		h.change(h.running(w), attempted(status))
	}
	answered := h.running(w)
	h.running(w)
	h.decided(answered) // which the next claim would hand over
	h.createMany(w, 3)
}

func (h *house) counts() map[riposte.State]int {
	h.Helper()
	c, err := h.store.CountInstances(h.Context())
	h.must(err)
	return c
}

// wantCounts checks the counts of all states; those that want doesn't have
// should be 0.
func (h *house) wantCounts(want map[riposte.State]int) {
	h.Helper()
	all := make(map[riposte.State]int)
	for _, s := range riposte.States {
		all[s] = 0
	}
	maps.Copy(all, want)
	h.wantEqual(h.counts(), all)
	listed := maps.Clone(all)
	for s := range listed {
		listed[s] = len(h.list(riposte.InstanceFilter{State: s}))
	}
	h.wantEqual(listed, all)
}
