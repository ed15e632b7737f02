package storetest

import (
	"sync"
	"time"

	"github.com/riposte-dev/riposte"
)

// places is a taker with room for so many attempts.
type places struct {
	mu    sync.Mutex
	free  int
	taken []riposte.ClaimedInstance
}

func (p *places) Reserve(riposte.Webhook) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.free == 0 {
		return false
	}
	p.free--
	return true
}

func (p *places) Release(riposte.Webhook) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free++
}

func (p *places) Take(c riposte.ClaimedInstance) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.taken = append(p.taken, c)
}

// want compares what was taken, and how many places are left.
func (p *places) want(h *house, free int, ids ...string) {
	h.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	var taken []string
	for _, c := range p.taken {
		taken = append(taken, c.Instance.ID)
	}
	h.wantEqual(taken, ids)
	if p.free != free {
		h.Errorf("%d places are free, want %d", p.free, free)
	}
}

// taker registers one with n places.
func (h *house) taker(n int) *places {
	p := &places{free: n}
	h.Cleanup(h.store.TakeNew(p))
	return p
}

var taking = []behaviour{
	{"an instance that is not due yet is not taken", func(h *house) {
		p, w := h.taker(1), h.webhook()
		record := h.record(w, approval) // by a clock that was ahead of the store's
		record.Instance.DueAt = record.Instance.DueAt.Add(time.Second)
		_, err := h.store.CreateInstances(h.Context(), []riposte.NewInstanceRecord{record})
		h.must(err)
		p.want(h, 1)
		h.wantState(record.Instance.ID, riposte.StatePending)
	}},
	{"a new instance is taken as it is created", func(h *house) {
		p, w := h.taker(2), h.webhook()
		record := h.record(w, riposte.InstanceRequest{Source: approval.Source, Payload: []byte(`{"a": 1}`)})
		created, err := h.store.CreateInstances(h.Context(), []riposte.NewInstanceRecord{record})
		h.must(err)
		h.wantEqual(created[0], record.Instance.Stored(1))
		p.want(h, 1, created[0].ID)
		got := p.taken[0]
		h.wantEqual(got.Instance, h.load(created[0].ID))
		if got.Instance.State != riposte.StateRunning || got.Instance.Attempts != 1 || got.Instance.Version != 2 {
			h.Errorf("it was taken in %s after %d attempts as version %d", got.Instance.State, got.Instance.Attempts, got.Instance.Version)
		}
		h.wantEqual(got.Webhook, w)
		h.wantEqual(string(got.Envelope.Body), string(record.Envelope.Body))
		if c := h.claim(riposte.ClaimRequest{Limit: 9}); len(c.Attempts) > 0 || !c.Next.Equal(got.Instance.LeasedUntil) {
			h.Errorf("a claim took %d and says %s, want the lease's end", len(c.Attempts), c.Next)
		}
		h.change(got.Instance, answered(riposte.ViaSync))
		h.wantState(created[0].ID, riposte.StateSuccess)
	}},
	{"a new instance waits where there is no place", func(h *house) {
		p, w := h.taker(1), h.webhook()
		first, second := h.create(w, approval), h.create(w, approval)
		p.want(h, 0, first.ID)
		h.wantState(second.ID, riposte.StatePending)
		h.wantEqual(h.claimOne().ID, second.ID)
	}},
	{"a new instance doesn't overtake an older one of its webhook", func(h *house) {
		w, other := h.webhook(), h.webhook()
		waiting := h.create(w, approval)
		p := h.taker(9)
		next, elsewhere := h.create(w, approval), h.create(other, approval)
		p.want(h, 8, elsewhere.ID)
		h.wantState(waiting.ID, riposte.StatePending)
		h.wantState(next.ID, riposte.StatePending)
	}},
	{"a repeated request takes no place", func(h *house) {
		p, w := h.taker(2), h.webhook()
		r := riposte.InstanceRequest{RequestID: "r"}
		first := h.create(w, r)
		records := []riposte.NewInstanceRecord{h.record(w, r), h.record(w, r)}
		again, err := h.store.CreateInstances(h.Context(), records)
		h.must(err)
		h.wantEqual(again, []riposte.Instance{h.load(first.ID), h.load(first.ID)})
		p.want(h, 1, first.ID)
	}},
	{"a batch that is refused gives its places back", func(h *house) {
		p, w := h.taker(3), h.webhook()
		deleted := h.deleteWebhook(h.webhook())
		_, err := h.store.CreateInstances(h.Context(), []riposte.NewInstanceRecord{h.record(w, approval), h.record(w, approval), h.record(deleted, approval)})
		h.wantError(err, riposte.ErrWebhookNotFound)
		p.want(h, 3)
		h.settle(riposte.ClaimRequest{Limit: 9}) // a store may have to look first what waits
		one := h.create(w, approval)
		p.want(h, 2, one.ID)
	}},
	{"a batch is taken as far as there are places", func(h *house) {
		p, w := h.taker(2), h.webhook()
		all := h.createMany(w, 4)
		p.want(h, 0, all[0].ID, all[1].ID)
		h.wantState(all[2].ID, riposte.StatePending)
		h.wantState(all[3].ID, riposte.StatePending)
	}},
	{"after its stop a taker takes nothing", func(h *house) {
		w, p := h.webhook(), &places{free: 9}
		h.store.TakeNew(p)()
		h.wantState(h.create(w, approval).ID, riposte.StatePending)
		p.want(h, 9)
	}},
	{"a place whose attempt is lost runs out with its lease", func(h *house) {
		p, w := h.taker(1), h.webhook()
		i := h.create(w, approval)
		p.want(h, 0, i.ID)
		h.restart()
		c := h.settleLeases(riposte.ClaimRequest{Limit: 9})
		if len(c.Attempts) != 1 || c.Attempts[0].Instance.Attempts != 2 {
			h.Errorf("after a restart %d were claimed", len(c.Attempts))
		}
	}},
}
