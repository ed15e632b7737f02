package storetest

import (
	"slices"
	"time"

	"github.com/riposte-dev/riposte"
)

// claimBounds are about fairness: who may be claimed, how much, and when next.
var claimBounds = slices.Concat(webhookBounds, requestBounds)

var webhookBounds = []behaviour{
	{"a claim takes at most its limit", func(h *house) {
		h.createMany(h.webhook(), 5)
		h.createMany(h.webhook(), 5)
		for _, limit := range []int{0, 1, 4} {
			if n := len(h.claim(riposte.ClaimRequest{Limit: limit}).Attempts); n != limit {
				h.Errorf("claimed %d, want %d", n, limit)
			}
		}
		if n := len(h.claim(riposte.ClaimRequest{Limit: 100}).Attempts); n != 5 {
			h.Errorf("claimed %d, want the other 5", n)
		}
	}},
	{"a claim keeps to each webhook's bound", func(h *house) {
		a, b, full := h.webhook(bounded(3)), h.webhook(bounded(3)), h.webhook(bounded(3))
		for _, w := range []riposte.Webhook{a, b, full} {
			h.createMany(w, 5)
		}
		c := h.claim(riposte.ClaimRequest{Limit: 100, InFlight: map[string]int{b.ID: 2, full.ID: 4}})
		got := make(map[string]int)
		for _, each := range c.Attempts {
			got[each.Webhook.ID]++
		}
		h.wantEqual(got, map[string]int{a.ID: 3, b.ID: 1})
	}},
	{"a full webhook with many due holds up nobody", func(h *house) {
		full := h.webhook(bounded(2))
		h.createMany(full, 300)
		other := h.create(h.webhook(), approval)
		c := h.claim(riposte.ClaimRequest{Limit: 2, InFlight: map[string]int{full.ID: 2}})
		h.wantEqual(claimedIDs(c), []string{other.ID})
	}},
	{"a claim's limit is shared among the webhooks that are due", func(h *house) {
		h.createMany(h.webhook(), 50)
		late := h.create(h.webhook(), approval)
		later := h.create(h.webhook(), approval)
		got := claimedIDs(h.claim(riposte.ClaimRequest{Limit: 10}))
		found := 0
		for _, id := range got {
			if id == late.ID || id == later.ID {
				found++
			}
		}
		if len(got) != 10 || found != 2 {
			h.Errorf("claimed %d, %d of them of the two webhooks with one due", len(got), found)
		}
	}},
	{"what a webhook's bound held back is claimed when there is room", func(h *house) {
		w := h.webhook(bounded(1))
		is := h.createMany(w, 2)
		first := h.claimOne()
		if c := h.claim(riposte.ClaimRequest{Limit: 10, InFlight: map[string]int{w.ID: 1}}); len(c.Attempts) != 0 {
			h.Errorf("claimed beyond the bound")
		}
		h.change(first, attempted(202))
		h.wantEqual(claimedIDs(h.claim(riposte.ClaimRequest{Limit: 10})), ids(is[1:]))
	}},
	{"what expires is closed though its webhook has no room", func(h *house) {
		w := h.webhook(bounded(1))
		pending := h.create(w, approval)
		h.clock.Advance(pending.ExpiresAt.Sub(h.now()))
		h.settle(riposte.ClaimRequest{Limit: 10, InFlight: map[string]int{w.ID: 1}})
		h.wantFailure(pending.ID, riposte.FailureExpired)
	}},
	{"what expires is closed though nothing may begin", func(h *house) {
		running := h.running(h.webhook())
		h.clock.Advance(running.ExpiresAt.Sub(h.now()))
		h.settle(riposte.ClaimRequest{})
		h.wantFailure(running.ID, riposte.FailureExpired)
	}},
	{"instances of a deleted webhook close without room or limit", func(h *house) {
		w := h.webhook(bounded(1))
		is := h.createMany(w, 3)
		h.deleteWebhook(w)
		h.settle(riposte.ClaimRequest{InFlight: map[string]int{w.ID: 1}})
		for _, i := range is {
			h.wantFailure(i.ID, riposte.FailureWebhookDeleted)
		}
	}},
	{"any number that expired is closed, claim by claim", func(h *house) {
		is := h.createMany(h.webhook(), 450)
		h.clock.Advance(riposte.DefaultCallbackTimeout)
		h.settle(riposte.ClaimRequest{Limit: 10})
		if n := len(h.list(riposte.InstanceFilter{State: riposte.StateFatalError})); n != len(is) {
			h.Errorf("%d are closed, want %d", n, len(is))
		}
	}},
	{"closing the expired does not use up the limit", func(h *house) {
		w := h.webhook()
		h.createMany(w, 20)
		h.clock.Advance(riposte.DefaultCallbackTimeout)
		i := h.create(w, approval)
		h.wantEqual(claimedIDs(h.settle(riposte.ClaimRequest{Limit: 1})), []string{i.ID})
	}},
	{"next is zero while nothing is open", func(h *house) {
		h.wantNext(riposte.ClaimRequest{Limit: 10}, time.Time{})
		i := h.running(h.webhook())
		h.change(i, attempted(410))
		h.wantNext(riposte.ClaimRequest{Limit: 10}, time.Time{})
	}},
	{"next is when the next instance is due", func(h *house) {
		w := h.webhook()
		waiting := h.change(h.running(w), attempted(202))
		h.wantNext(riposte.ClaimRequest{Limit: 10}, waiting.ExpiresAt)
		running := h.running(h.webhook())
		h.wantNext(riposte.ClaimRequest{Limit: 10}, running.LeasedUntil)
		failed := h.change(running, attempted(500))
		h.wantNext(riposte.ClaimRequest{Limit: 10}, failed.DueAt)
		h.change(failed, answered(riposte.ViaCallback))
		h.wantNext(riposte.ClaimRequest{Limit: 10}, waiting.ExpiresAt)
	}},
	{"next leaves out what a webhook's bound holds back", func(h *house) {
		full := h.webhook(bounded(1))
		held := h.create(full, approval)
		other := h.change(h.claimOf(h.create(h.webhook(), approval), full), attempted(500))
		r := riposte.ClaimRequest{Limit: 10, InFlight: map[string]int{full.ID: 1}}
		h.wantNext(r, other.DueAt)
		h.change(other, answered(riposte.ViaOperator))
		h.wantNext(r, held.ExpiresAt)
	}},
	{"next leaves out what the limit holds back", func(h *house) {
		is := h.createMany(h.webhook(), 3)
		c := h.claim(riposte.ClaimRequest{Limit: 2})
		h.wantEqual(claimedIDs(c), ids(is[:2]))
		if !c.Next.IsZero() && !c.Next.After(h.now()) {
			h.Errorf("next is %v, but the limit is reached", c.Next)
		}
	}},
	{"next is at once while a claim had too much to do", func(h *house) {
		h.createMany(h.webhook(), 250)
		h.clock.Advance(riposte.DefaultCallbackTimeout)
		c := h.claim(riposte.ClaimRequest{Limit: 10})
		if open := 250 - len(h.list(riposte.InstanceFilter{State: riposte.StateFatalError})); open > 0 && !c.Next.Equal(h.now()) {
			h.Errorf("%d expired are still open and next is %v", open, c.Next)
		}
	}},
	{"oldest is zero while nothing is open", func(h *house) {
		h.wantOldest(riposte.ClaimRequest{Limit: 10}, time.Time{})
		h.change(h.running(h.webhook()), attempted(410))
		h.wantOldest(riposte.ClaimRequest{Limit: 10}, time.Time{})
	}},
	{"oldest is what the limit left", func(h *house) {
		is := h.createMany(h.webhook(), 3)
		h.create(h.webhook(), approval)
		h.clock.Advance(time.Minute)
		h.wantOldest(riposte.ClaimRequest{}, is[0].DueAt)
		h.change(is[0], riposte.Canceled{})
		h.wantOldest(riposte.ClaimRequest{}, is[1].DueAt)
		h.wantOldest(riposte.ClaimRequest{Limit: 2}, is[2].DueAt) // one of each webhook's is taken
		h.wantOldest(riposte.ClaimRequest{Limit: 2}, h.now().Add(riposte.LeaseDuration))
	}},
	{"oldest may be still to come", func(h *house) {
		w := h.webhook()
		waiting := h.change(h.running(w), attempted(202))
		h.wantOldest(riposte.ClaimRequest{Limit: 10}, waiting.ExpiresAt)
		failed := h.change(h.running(w), attempted(500))
		h.wantOldest(riposte.ClaimRequest{Limit: 10}, failed.DueAt)
		h.change(failed, answered(riposte.ViaCallback))
		h.wantOldest(riposte.ClaimRequest{Limit: 10}, waiting.ExpiresAt)
	}},
	{"oldest leaves out what a webhook's bound holds back", func(h *house) {
		full, other := h.webhook(bounded(1)), h.webhook()
		h.create(full, approval)
		r := riposte.ClaimRequest{InFlight: map[string]int{full.ID: 1}}
		h.wantOldest(r, time.Time{})
		h.clock.Advance(time.Second)
		h.wantOldest(r, h.create(other, approval).DueAt)
	}},
}

// requestBounds are about the bounds of a claim's own.
var requestBounds = []behaviour{
	{"a claim's own bound goes before a webhook's where it is lower", func(h *house) {
		held, one, two, higher, free := h.webhook(), h.webhook(bounded(3)), h.webhook(bounded(3)), h.webhook(bounded(3)), h.webhook(bounded(3))
		for _, w := range []riposte.Webhook{held, one, two, higher, free} {
			h.createMany(w, 5)
		}
		c := h.claim(riposte.ClaimRequest{Limit: 100,
			Bounds:   map[string]int{held.ID: 0, one.ID: 1, two.ID: 2, higher.ID: 100},
			InFlight: map[string]int{two.ID: 1}})
		got := make(map[string]int)
		for _, each := range c.Attempts {
			got[each.Webhook.ID]++
		}
		h.wantEqual(got, map[string]int{one.ID: 1, two.ID: 1, higher.ID: 3, free.ID: 3})
	}},
	{"a claim's own bound holds no more than its webhook", func(h *house) {
		held := h.webhook()
		h.createMany(held, 300)
		other := h.create(h.webhook(), approval)
		c := h.claim(riposte.ClaimRequest{Limit: 2, Bounds: map[string]int{held.ID: 0}})
		h.wantEqual(claimedIDs(c), []string{other.ID})
	}},
	{"what a claim's own bound held back is claimed without it", func(h *house) {
		w := h.webhook()
		is := h.createMany(w, 3)
		h.wantEqual(claimedIDs(h.claim(riposte.ClaimRequest{Limit: 10, Bounds: map[string]int{w.ID: 0}})), []string{})
		h.wantEqual(claimedIDs(h.claim(riposte.ClaimRequest{Limit: 10, Bounds: map[string]int{w.ID: 1}})), ids(is[:1]))
		h.wantEqual(claimedIDs(h.claim(riposte.ClaimRequest{Limit: 10})), ids(is[1:]))
	}},
	{"what a claim's own bound holds back expires on time", func(h *house) {
		w := h.webhook()
		held := []riposte.Instance{h.change(h.running(w), attempted(202)), h.change(h.running(w), attempted(500)), h.create(w, approval)}
		r := riposte.ClaimRequest{Limit: 10, Bounds: map[string]int{w.ID: 0}}
		for _, i := range held {
			h.clock.Advance(i.ExpiresAt.Sub(h.now()) - time.Microsecond)
			h.wantNext(r, i.ExpiresAt)
			h.clock.Advance(time.Microsecond)
			h.settle(r)
			h.wantFailure(i.ID, riposte.FailureExpired)
		}
	}},
	{"a claim's own bound holds nothing of a deleted webhook", func(h *house) {
		w := h.webhook()
		i := h.create(w, approval)
		h.deleteWebhook(w)
		h.settle(riposte.ClaimRequest{Limit: 10, Bounds: map[string]int{w.ID: 0}})
		h.wantFailure(i.ID, riposte.FailureWebhookDeleted)
	}},
	{"next and oldest leave out what a claim's own bound holds back", func(h *house) {
		w := h.webhook()
		held := h.create(w, approval)
		r := riposte.ClaimRequest{Limit: 10, Bounds: map[string]int{w.ID: 0}}
		h.wantNext(r, held.ExpiresAt)
		h.clock.Advance(time.Second)
		h.wantOldest(r, time.Time{})
		other := h.create(h.webhook(), approval)
		h.wantOldest(riposte.ClaimRequest{Bounds: r.Bounds}, other.DueAt)
		running := h.claim(r).Attempts[0].Instance
		h.wantNext(r, running.LeasedUntil)
		h.wantOldest(r, running.LeasedUntil)
	}},
	{"next and oldest have what a claim's own bound leaves room for", func(h *house) {
		w := h.webhook()
		is := h.createMany(w, 2)
		r := riposte.ClaimRequest{Limit: 0, Bounds: map[string]int{w.ID: 1}}
		h.wantOldest(r, is[0].DueAt)
		first := h.change(h.claim(riposte.ClaimRequest{Limit: 10, Bounds: r.Bounds}).Attempts[0].Instance, attempted(500))
		h.change(is[1], riposte.Canceled{})
		r.Limit = 10
		h.wantNext(r, first.DueAt)
	}},
}

// wantOldest claims and checks Oldest.
func (h *house) wantOldest(r riposte.ClaimRequest, want time.Time) {
	h.Helper()
	if c := h.claim(r); !c.Oldest.Equal(want) {
		h.Fatalf("oldest is %v, want %v", c.Oldest, want)
	}
}

var totals = []behaviour{
	{"a bound over all nodes holds whoever has the attempts", func(h *house) {
		w := h.webhook(func(w *riposte.Webhook) { w.Settings.MaxInFlightTotal = 3 })
		other := h.webhook()
		p := h.taker(9)
		h.createMany(w, 5)
		p.want(h, 9) // new ones wait for a claim
		free := h.create(other, approval)
		p.want(h, 8, free.ID)
		first := h.claim(riposte.ClaimRequest{Limit: 9})
		h.wantEqual(len(first.Attempts), 3)
		// To this claim the three are another node's.
		c := h.claim(riposte.ClaimRequest{Limit: 9})
		if len(c.Attempts) > 0 || !c.Held || !c.Next.After(h.now()) || c.Next.After(h.now().Add(time.Second)) {
			h.Errorf("claimed %d more, held %v, next at %s", len(c.Attempts), c.Held, c.Next)
		}
		h.change(first.Attempts[0].Instance, attempted(200))
		h.wantEqual(len(h.claim(riposte.ClaimRequest{Limit: 9}).Attempts), 1)
		// Leases that ran out hold nothing back.
		h.clock.Advance(riposte.LeaseDuration)
		h.wantEqual(len(h.settle(riposte.ClaimRequest{Limit: 9}).Attempts), 3)
	}},
}

// wantNext claims, expects nothing to be due, and checks Next.
func (h *house) wantNext(r riposte.ClaimRequest, want time.Time) {
	h.Helper()
	c := h.claim(r)
	if len(c.Attempts) != 0 {
		h.Fatalf("claimed %v", claimedIDs(c))
	}
	if !c.Next.Equal(want) {
		h.Fatalf("next is %v, want %v", c.Next, want)
	}
}

// claimOf claims i while the webhook full is at its bound.
func (h *house) claimOf(i riposte.Instance, full riposte.Webhook) riposte.Instance {
	h.Helper()
	c := h.claim(riposte.ClaimRequest{Limit: 10, InFlight: map[string]int{full.ID: full.Settings.MaxInFlight}})
	h.wantEqual(claimedIDs(c), []string{i.ID})
	return c.Attempts[0].Instance
}
