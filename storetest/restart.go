package storetest

import (
	"time"

	"github.com/riposte-dev/riposte"
)

var restarts = []behaviour{
	{"everything is there after a restart", func(h *house) {
		w := h.webhook()
		deleted := h.deleteWebhook(h.webhook())
		waiting := h.change(h.running(w), attempted(202))
		i := h.running(w)
		a := attempt(1, h.now())
		closed := h.save(h.apply(i, attempted(200)), &a)
		r := h.record(w, riposte.InstanceRequest{RequestID: "r", Labels: map[string]string{"k": "v"}})
		_, err := h.store.CreateInstances(h.Context(), []riposte.NewInstanceRecord{r})
		h.must(err)
		k, secret, err := riposte.NewKey("key", riposte.RoleAdmin, h.now())
		h.must(err)
		h.must(h.store.CreateKey(h.Context(), k))

		h.restart()
		for _, want := range []riposte.Webhook{w, deleted} {
			got, err := h.store.LoadWebhook(h.Context(), want.ID)
			h.must(err)
			h.wantEqual(got, want)
		}
		for _, want := range []riposte.Instance{waiting, closed, r.Instance.Stored(1)} {
			h.wantEqual(h.load(want.ID), want)
		}
		h.wantEqual(h.attempts(closed.ID), []riposte.Attempt{a})
		e, err := h.store.LoadEnvelope(h.Context(), r.Instance.ID)
		h.must(err)
		h.wantEqual(e, r.Envelope)
		_, err = h.store.LoadKey(h.Context(), riposte.HashKey(secret))
		h.must(err)
		h.wantEqual(h.create(w, riposte.InstanceRequest{RequestID: "r", Labels: map[string]string{"k": "v"}}).ID, r.Instance.ID)
	}},
	{"what was due is claimed after a restart", func(h *house) {
		w := h.webhook()
		pending := h.create(w, approval)
		h.restart()
		h.wantEqual(h.claimOne().ID, pending.ID)
	}},
	{"what was to be done later is done later after a restart", func(h *house) {
		i := h.change(h.running(h.webhook()), attempted(500))
		h.restart()
		h.wantNext(riposte.ClaimRequest{Limit: 10}, i.DueAt)
		h.clock.Advance(i.DueAt.Sub(h.now()))
		h.wantEqual(h.claimOne().ID, i.ID)
	}},
	{"what expired while the store was closed is closed", func(h *house) {
		i := h.change(h.running(h.webhook()), attempted(202))
		h.stop()
		h.clock.Advance(riposte.DefaultCallbackTimeout)
		h.start()
		h.settle(riposte.ClaimRequest{})
		h.wantFailure(i.ID, riposte.FailureExpired)
	}},
	{"a lease from before a restart runs out in its time at the latest", func(h *house) {
		i := h.running(h.webhook())
		h.restart()
		if got := h.load(i.ID); got.State != riposte.StateRunning || !got.LeasedUntil.Equal(i.LeasedUntil) {
			h.Errorf("the restart made it %+v", got)
		}
		c := h.settleLeases(riposte.ClaimRequest{Limit: 10})
		h.wantEqual(claimedIDs(c), []string{i.ID})
		if a := h.attempts(i.ID); len(a) != 1 || a[0].Error.Phase != riposte.PhaseUnknown {
			h.Errorf("recorded %+v", a)
		}
	}},
	{"a deleted webhook stays deleted after a restart", func(h *house) {
		w := h.webhook()
		i := h.create(w, approval)
		h.deleteWebhook(w)
		h.restart()
		_, err := h.store.CreateInstances(h.Context(), []riposte.NewInstanceRecord{h.record(w, approval)})
		h.wantError(err, riposte.ErrWebhookNotFound)
		h.settle(riposte.ClaimRequest{})
		h.wantFailure(i.ID, riposte.FailureWebhookDeleted)
	}},
	{"versions go on after a restart", func(h *house) {
		stale := h.running(h.webhook())
		fresh := h.change(stale, attempted(500))
		h.restart()
		_, err := h.store.SaveInstance(h.Context(), h.apply(stale, attempted(202)), nil)
		h.wantError(err, riposte.ErrConflict)
		h.clock.Advance(time.Minute)
		h.change(fresh, riposte.RetryRequested{})
	}},
}
