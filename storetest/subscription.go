package storetest

import (
	"context"
	"errors"
	"sync"

	"github.com/riposte-dev/riposte"
)

// notes is what a subscriber was told.
type notes struct {
	mu   sync.Mutex
	told []riposte.Instance
}

func (n *notes) take(i riposte.Instance) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.told = append(n.told, i)
}

func (n *notes) all() []riposte.Instance {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.told
}

var subscriptions = []behaviour{
	{"a subscriber is told of every change, with its steps", func(h *house) {
		var n notes
		defer h.store.Subscribe(n.take)()
		w := h.webhook()
		created := h.create(w, approval)
		claimed := h.claimOne()
		closed := h.change(claimed, answered(riposte.ViaCallback))
		h.stop() // which waits until all have been told
		h.wantEqual(n.all(), []riposte.Instance{created, claimed, closed})
		var steps [][]riposte.State
		for _, i := range n.all() {
			steps = append(steps, i.Steps())
		}
		h.wantEqual(steps, [][]riposte.State{
			{riposte.StatePending},
			{riposte.StatePending, riposte.StateRunning},
			{riposte.StateRunning, riposte.StateProcessResponse, riposte.StateSuccess},
		})
	}},
	{"all have been told of what was committed before", func(h *house) {
		var n notes
		behind := make(chan struct{})
		defer h.store.Subscribe(func(i riposte.Instance) {
			<-behind
			n.take(i)
		})()
		created := h.createMany(h.webhook(), 3)
		impatient, cancel := context.WithCancel(h.Context())
		cancel()
		if err := h.store.Told(impatient); !errors.Is(err, context.Canceled) {
			h.Errorf("nobody was told, and the answer is %v", err)
		}
		close(behind)
		h.must(h.store.Told(h.Context()))
		h.wantEqual(n.all(), created)
	}},
	{"a subscriber is told in the order of the commits", func(h *house) {
		var n notes
		defer h.store.Subscribe(n.take)()
		w := h.webhook(bounded(1000))
		h.createMany(w, 50)
		var answers []riposte.Instance
		for _, c := range h.claim(riposte.ClaimRequest{Limit: 50}).Attempts {
			answers = append(answers, h.apply(c.Instance, answered(riposte.ViaCallback)))
		}
		for _, err := range concurrently(len(answers), func(k int) error {
			_, err := h.store.SaveInstance(h.Context(), answers[k], nil)
			return err
		}) {
			h.must(err)
		}
		h.stop()
		version, sequence := make(map[string]int64), int64(0)
		for _, i := range n.all() {
			if i.Version <= version[i.ID] {
				h.Errorf("%s: version %d comes after %d", i.ID, i.Version, version[i.ID])
			}
			version[i.ID] = i.Version
			if i.Outcome != nil && i.Outcome.Sequence <= sequence {
				h.Errorf("sequence %d comes after %d", i.Outcome.Sequence, sequence)
			}
			if i.Outcome != nil {
				sequence = i.Outcome.Sequence
			}
		}
		if len(n.all()) != 150 {
			h.Errorf("told of %d changes, want 150", len(n.all()))
		}
	}},
	{"a subscriber is told after the commit", func(h *house) {
		told := make(chan struct{}, 100)
		store := h.store
		defer store.Subscribe(func(i riposte.Instance) {
			if now, err := store.LoadInstance(h.Context(), i.ID); err != nil || now.Version < i.Version {
				h.Errorf("told of version %d, but the store has %d (%v)", i.Version, now.Version, err)
			}
			told <- struct{}{}
		})()
		w := h.webhook()
		for range 20 {
			h.change(h.running(w), attempted(200))
		}
		for range 60 {
			<-told
		}
	}},
	{"a subscriber is not told of what was refused", func(h *house) {
		var n notes
		w := h.webhook()
		stale := h.running(w)
		h.change(stale, attempted(202))
		defer h.store.Subscribe(n.take)()
		_, err := h.store.SaveInstance(h.Context(), h.apply(stale, attempted(500)), nil)
		h.wantError(err, riposte.ErrConflict)
		unknown := w
		unknown.ID = riposte.NewID(h.now())
		_, err = h.store.CreateInstances(h.Context(), []riposte.NewInstanceRecord{h.record(w, approval), h.record(unknown, approval)})
		h.wantError(err, riposte.ErrWebhookNotFound)
		h.must(h.store.RecordAttempt(h.Context(), stale.ID, attempt(1, h.now())))
		h.stop()
		h.wantEqual(n.all(), []riposte.Instance(nil))
	}},
	{"a repeated request is no change", func(h *house) {
		w := h.webhook()
		h.create(w, riposte.InstanceRequest{RequestID: "r"})
		var n notes
		defer h.store.Subscribe(n.take)()
		h.create(w, riposte.InstanceRequest{RequestID: "r"})
		h.stop()
		h.wantEqual(n.all(), []riposte.Instance(nil))
	}},
	{"who has canceled is told no more, the others are", func(h *house) {
		var gone, stays notes
		cancel := h.store.Subscribe(gone.take)
		defer h.store.Subscribe(stays.take)()
		cancel()
		cancel()
		i := h.create(h.webhook(), approval)
		h.stop()
		h.wantEqual(gone.all(), []riposte.Instance(nil))
		h.wantEqual(stays.all(), []riposte.Instance{i})
	}},
}
