package storetest

import (
	"time"

	"github.com/riposte-dev/riposte"
)

var claims = []behaviour{
	{"a claim begins an attempt and brings what it needs", func(h *house) {
		w := h.webhook()
		r := h.record(w, approval)
		_, err := h.store.CreateInstances(h.Context(), []riposte.NewInstanceRecord{r})
		h.must(err)
		h.clock.Advance(time.Second)
		c := h.claim(riposte.ClaimRequest{Limit: 1})
		if len(c.Attempts) != 1 {
			h.Fatalf("claimed %d, want 1", len(c.Attempts))
		}
		got := c.Attempts[0]
		h.wantEqual(got.Webhook, w)
		h.wantEqual(got.Envelope, r.Envelope)
		h.wantEqual(got.Instance, h.load(r.Instance.ID))
		if i := got.Instance; i.State != riposte.StateRunning || i.Attempts != 1 || !i.LastAttemptedAt.Equal(h.now()) ||
			!i.LeasedUntil.Equal(h.now().Add(riposte.LeaseDuration)) || len(i.Steps()) != 1 {
			h.Errorf("claimed %+v", i)
		}
	}},
	{"only what is due is claimed", func(h *house) {
		w := h.webhook()
		i := h.change(h.running(w), attempted(503))
		h.change(h.running(w), attempted(202))
		h.running(w)
		h.clock.Advance(i.DueAt.Sub(h.now()) - time.Microsecond)
		if c := h.claim(riposte.ClaimRequest{Limit: 10}); len(c.Attempts) != 0 {
			h.Errorf("claimed %v too early", claimedIDs(c))
		}
		h.clock.Advance(time.Microsecond)
		if again := h.claimOne(); again.ID != i.ID || again.Attempts != 2 {
			h.Errorf("claimed %+v", again)
		}
	}},
	{"nothing is claimed twice", func(h *house) {
		h.createMany(h.webhook(), 3)
		h.claim(riposte.ClaimRequest{Limit: 10})
		if c := h.claim(riposte.ClaimRequest{Limit: 10}); len(c.Attempts) != 0 {
			h.Errorf("claimed again: %v", claimedIDs(c))
		}
	}},
	{"simultaneous claims take each instance once", func(h *house) {
		for range 4 {
			h.createMany(h.webhook(), 10)
		}
		taken := make([]riposte.Claim, 8)
		for _, err := range concurrently(len(taken), func(k int) (err error) {
			taken[k], err = h.store.Claim(h.Context(), riposte.ClaimRequest{Limit: 5})
			return err
		}) {
			h.must(err)
		}
		seen := make(map[string]bool)
		for _, c := range taken {
			for _, id := range claimedIDs(c) {
				if seen[id] {
					h.Errorf("%s was claimed twice", id)
				}
				seen[id] = true
			}
		}
		if len(seen) != 40 {
			h.Errorf("claimed %d, want 40", len(seen))
		}
	}},
	{"a claim takes the oldest first", func(h *house) {
		w := h.webhook()
		is := h.createMany(w, 5)
		h.wantEqual(claimedIDs(h.claim(riposte.ClaimRequest{Limit: 2})), ids(is[:2]))
		h.wantEqual(claimedIDs(h.claim(riposte.ClaimRequest{Limit: 10})), ids(is[2:]))
	}},
	{"an edited bound and address count at the next claim", func(h *house) {
		w := h.webhook(bounded(1))
		h.createMany(w, 3)
		w.Settings.MaxInFlight, w.Host = 2, "other.example"
		w, err := h.store.SaveWebhook(h.Context(), w)
		h.must(err)
		c := h.claim(riposte.ClaimRequest{Limit: 10})
		if len(c.Attempts) != 2 {
			h.Fatalf("claimed %d, want 2", len(c.Attempts))
		}
		h.wantEqual(c.Attempts[0].Webhook, w)
	}},
	{"a lease that ran out is recorded and the attempt made again", func(h *house) {
		i := h.running(h.webhook())
		h.clock.Advance(riposte.LeaseDuration - time.Microsecond)
		if c := h.settle(riposte.ClaimRequest{Limit: 10}); len(c.Attempts) != 0 {
			h.Fatalf("the lease was broken")
		}
		h.clock.Advance(time.Microsecond)
		again := h.claimOne()
		if again.ID != i.ID || again.Attempts != 2 {
			h.Errorf("claimed %+v", again)
		}
		got := h.attempts(i.ID)
		if len(got) != 1 || got[0].Number != 1 || got[0].Error == nil || got[0].Error.Phase != riposte.PhaseUnknown ||
			!got[0].StartedAt.Equal(i.LastAttemptedAt) {
			h.Errorf("recorded %+v", got)
		}
	}},
	{"the last attempt's lost lease closes the instance", func(h *house) {
		i := h.running(h.webhook(func(w *riposte.Webhook) { w.Settings.RetryPolicy = riposte.RetryFast }))
		for i.Attempts < riposte.FastAttempts {
			h.clock.Advance(riposte.LeaseDuration)
			i = h.claimOne()
		}
		h.clock.Advance(riposte.LeaseDuration)
		h.settle(riposte.ClaimRequest{Limit: 10})
		h.wantFailure(i.ID, riposte.FailureAttemptsExhausted)
		if n := len(h.attempts(i.ID)); n != riposte.FastAttempts {
			h.Errorf("%d attempts are recorded, want %d", n, riposte.FastAttempts)
		}
	}},
	{"a hand-over that was left undone is done", func(h *house) {
		i := h.decided(h.running(h.webhook()))
		h.settle(riposte.ClaimRequest{Limit: 10})
		h.wantState(i.ID, riposte.StateSuccess)
		h.wantEqual(h.load(i.ID).Outcome, i.Outcome)
	}},
	{"what expires is closed when it does and not before", func(h *house) {
		w := h.webhook()
		i := h.change(h.running(w), attempted(202))
		h.clock.Advance(i.ExpiresAt.Sub(h.now()) - time.Microsecond)
		h.settle(riposte.ClaimRequest{Limit: 10})
		h.wantState(i.ID, riposte.StateWaitingCallback)
		h.clock.Advance(time.Microsecond)
		h.settle(riposte.ClaimRequest{Limit: 10})
		h.wantState(i.ID, riposte.StateFatalError)
		h.wantFailure(i.ID, riposte.FailureExpired)
	}},
	{"instances of a deleted webhook close when they are due", func(h *house) {
		w := h.webhook()
		waiting := h.change(h.running(w), attempted(202))
		failed := h.change(h.running(w), attempted(500))
		running := h.running(w)
		pending := h.create(w, approval)
		h.deleteWebhook(w)
		h.wantState(pending.ID, riposte.StatePending)

		if c := h.settle(riposte.ClaimRequest{Limit: 10}); len(c.Attempts) != 0 {
			h.Errorf("an attempt of a deleted webhook began")
		}
		h.wantFailure(pending.ID, riposte.FailureWebhookDeleted)
		h.wantState(failed.ID, riposte.StateError)

		h.clock.Advance(failed.DueAt.Sub(h.now()))
		h.settle(riposte.ClaimRequest{Limit: 10})
		h.wantFailure(failed.ID, riposte.FailureWebhookDeleted)
		h.wantState(running.ID, riposte.StateRunning)

		h.change(h.load(waiting.ID), answered(riposte.ViaCallback))
		h.wantState(waiting.ID, riposte.StateSuccess)
	}},
	{"a claim of nothing changes nothing", func(h *house) {
		i := h.running(h.webhook())
		var published []riposte.Instance
		defer h.store.Subscribe(func(i riposte.Instance) { published = append(published, i) })()
		if c := h.claim(riposte.ClaimRequest{Limit: 10}); len(c.Attempts) != 0 {
			h.Errorf("claimed %v", claimedIDs(c))
		}
		h.wantEqual(h.load(i.ID), i)
		h.stop()
		h.wantEqual(published, []riposte.Instance(nil))
	}},
}
