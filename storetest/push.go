package storetest

import (
	"fmt"
	"slices"
	"time"

	"github.com/riposte-dev/riposte"
)

const (
	outcomeURL = "https://Caller.example:8443/outcomes?a=1"
	pushLane   = "push:caller.example:8443"
)

// pushing are cases about outcomes that somebody has to take.
var pushing = []behaviour{
	{"an outcome to be pushed stands at once, and its push is claimed", func(h *house) {
		i := h.toPush(h.webhook())
		if i.State != riposte.StateProcessResponse || i.Outcome.Sequence == 0 || !i.CompletedAt.IsZero() {
			h.Errorf("decided: %+v", i)
		}
		h.wantEqual(h.load(i.ID), i)
		page, err := h.store.LoadOutcomes(h.Context(), 0, 10)
		h.must(err)
		h.wantEqual(page.Instances, []riposte.Instance{i})
		h.clock.Advance(time.Second)
		c := h.settle(riposte.ClaimRequest{Limit: 10})
		if len(c.Attempts) != 1 {
			h.Fatalf("claimed %d, want 1", len(c.Attempts))
		}
		got := c.Attempts[0]
		h.wantEqual(got.Instance, h.load(i.ID))
		if len(got.Envelope.Body) > 0 {
			h.Errorf("it brings the question, which is not sent")
		}
		if got.Webhook.ID != pushLane {
			h.Errorf("its lane is %q", got.Webhook.ID)
		}
		if p := got.Instance; p.State != riposte.StateProcessResponse || p.Push.Attempts != 1 || !p.LeasedUntil.Equal(h.now().Add(riposte.LeaseDuration)) {
			h.Errorf("claimed: %+v", p)
		}
		if c := h.settle(riposte.ClaimRequest{Limit: 10}); len(c.Attempts) != 0 {
			h.Errorf("claimed twice")
		}
	}},
	{"a push that was taken closes the instance", func(h *house) {
		i := h.change(h.pushed(h.toPush(h.webhook())), pushAnswered(204))
		if i.State != riposte.StateSuccess || i.CompletedAt.IsZero() || i.Push.StatusCode != 204 {
			h.Errorf("taken: %+v", i)
		}
		h.wantEqual(h.load(i.ID), i)
		if c := h.settle(riposte.ClaimRequest{Limit: 10}); len(c.Attempts) != 0 || !c.Next.IsZero() {
			h.Errorf("closed, and yet to be claimed: %+v", c)
		}
		h.wantCounts(map[riposte.State]int{riposte.StateSuccess: 1})
	}},
	{"a failure is pushed as well", func(h *house) {
		i := h.change(h.create(h.webhook(), toPush), riposte.Canceled{Message: "enough"})
		if i.State != riposte.StateProcessResponse {
			h.Fatalf("canceled: %+v", i)
		}
		h.wantCounts(map[riposte.State]int{riposte.StateProcessResponse: 1})
		i = h.change(h.claimOne(), pushAnswered(200))
		if i.State != riposte.StateFatalError {
			h.Errorf("taken: %+v", i)
		}
		h.wantEqual(h.load(i.ID), i)
	}},
	{"an expired instance is pushed, and doesn't expire again", func(h *house) {
		i := h.create(h.webhook(), toPush)
		h.clock.Advance(i.ExpiresAt.Sub(h.now()))
		p := h.claimOne()
		if p.State != riposte.StateProcessResponse || p.Outcome.Failure.Reason != riposte.FailureExpired || p.Push.Attempts != 1 {
			h.Fatalf("claimed: %+v", p)
		}
		h.change(p, pushAnswered(500))
		h.clock.Advance(time.Hour)
		if again := h.claimOne(); again.ID != p.ID || again.Push.Attempts != 2 || again.Push.StatusCode != 500 {
			h.Errorf("claimed: %+v", again)
		}
	}},
	{"a push is tried again when it is due, however late that is", func(h *house) {
		i := h.toPush(h.webhook())
		for n := 1; n <= 60; n++ {
			i = h.change(h.pushed(i), pushAnswered(503))
			if i.Push.Attempts != n || !i.DueAt.After(h.now()) {
				h.Fatalf("failed %d times: %+v", n, i)
			}
			if c := h.settle(riposte.ClaimRequest{Limit: 10}); len(c.Attempts) != 0 || !c.Next.Equal(i.DueAt) {
				h.Fatalf("before it is due: claimed %d, next at %s, not %s", len(c.Attempts), c.Next, i.DueAt)
			}
			h.clock.Advance(i.DueAt.Sub(h.now()))
		}
	}},
	{"a push whose lease ran out is made again", func(h *house) {
		i := h.pushed(h.toPush(h.webhook()))
		h.clock.Advance(riposte.LeaseDuration)
		again := h.claimOne()
		if again.ID != i.ID || again.Push.Attempts != 2 || again.Push.Error == nil || again.Push.Error.Reason != "LEASE_RAN_OUT" {
			h.Errorf("claimed: %+v", again)
		}
		_, err := h.store.SaveInstance(h.Context(), h.apply(i, pushAnswered(200)), nil)
		h.wantError(err, riposte.ErrConflict)
	}},
	{"a push that was given up is left alone until somebody asks", func(h *house) {
		i := h.change(h.pushed(h.toPush(h.webhook())), pushAnswered(410))
		if !i.DueAt.IsZero() || !i.Push.GivenUpAt.Equal(h.now()) {
			h.Fatalf("gone: %+v", i)
		}
		h.wantEqual(h.load(i.ID), i)
		h.clock.Advance(60 * 24 * time.Hour)
		if c := h.settle(riposte.ClaimRequest{Limit: 10}); len(c.Attempts) != 0 || !c.Next.IsZero() {
			h.Fatalf("given up, and yet to be claimed: %+v", c)
		}
		h.restart()
		if c := h.settle(riposte.ClaimRequest{Limit: 10}); len(c.Attempts) != 0 {
			h.Fatalf("given up, and claimed after a restart: %+v", c)
		}
		i = h.change(h.load(i.ID), riposte.RetryRequested{OutcomeURL: "https://other.example/o"})
		h.wantEqual(h.load(i.ID), i)
		c := h.settle(riposte.ClaimRequest{Limit: 10})
		if len(c.Attempts) != 1 || c.Attempts[0].Webhook.ID != "push:other.example:443" || c.Attempts[0].Instance.Push.Attempts != 2 {
			h.Errorf("claimed: %+v", c)
		}
	}},
	{"a push that was given up can be closed", func(h *house) {
		i := h.change(h.pushed(h.toPush(h.webhook())), pushAnswered(410))
		i = h.change(i, riposte.Canceled{})
		if i.State != riposte.StateSuccess || i.Outcome.Kind != riposte.OutcomeApproved {
			h.Errorf("closed: %+v", i)
		}
		h.wantEqual(h.load(i.ID), i)
	}},
	{"a push in flight is overtaken by one to another URL", func(h *house) {
		inFlight := h.pushed(h.toPush(h.webhook()))
		h.change(inFlight, riposte.RetryRequested{OutcomeURL: "https://other.example/o"})
		c := h.settle(riposte.ClaimRequest{Limit: 10})
		if len(c.Attempts) != 1 || c.Attempts[0].Webhook.ID != "push:other.example:443" {
			h.Fatalf("claimed: %+v", c)
		}
		_, err := h.store.SaveInstance(h.Context(), h.apply(inFlight, pushAnswered(200)), nil)
		h.wantError(err, riposte.ErrConflict)
		h.change(c.Attempts[0].Instance, pushAnswered(200))
	}},
	{"pushes leave to deliveries what is theirs", func(h *house) {
		w := h.webhook()
		for n := range 4 {
			i := h.create(w, riposte.InstanceRequest{OutcomeURL: fmt.Sprintf("https://h%d.example/", n)})
			h.change(i, riposte.Canceled{})
		}
		h.clock.Advance(time.Second)
		asked := h.create(w, riposte.InstanceRequest{})
		c := h.settle(riposte.ClaimRequest{Limit: 4, Deliveries: 2})
		pushes := slices.DeleteFunc(slices.Clone(c.Attempts), func(c riposte.ClaimedInstance) bool { return !c.Instance.OwesPush() })
		if len(pushes) != 2 || len(c.Attempts) != 3 || !slices.Contains(claimedIDs(c), asked.ID) || !c.Held {
			h.Errorf("claimed %d, %d of them pushes; held: %t", len(c.Attempts), len(pushes), c.Held)
		}
		// Now they have none: nothing is to be done at once.
		c = h.claim(riposte.ClaimRequest{Limit: 2, Deliveries: 2})
		if len(c.Attempts) != 0 || !c.Next.IsZero() && !c.Next.After(h.now()) || !c.Held {
			h.Errorf("claimed %d, next at %s; held: %t", len(c.Attempts), c.Next, c.Held)
		}
	}},
	{"where outcomes are pushed to is no webhook", func(h *house) {
		w := h.webhook()
		h.toPush(w)
		for range 2 {
			_, err := h.store.LoadWebhook(h.Context(), pushLane)
			h.wantError(err, riposte.ErrWebhookNotFound)
			r := h.record(w, approval)
			r.Instance.WebhookID = pushLane
			_, err = h.store.CreateInstances(h.Context(), []riposte.NewInstanceRecord{r})
			h.wantError(err, riposte.ErrWebhookNotFound)
			h.restart()
		}
		h.wantWebhooks(riposte.WebhookFilter{}, w)
	}},
	{"pushes have a bound of their own", func(h *house) {
		w := h.webhook()
		for range 3 {
			h.toPush(w)
		}
		asked := h.create(w, riposte.InstanceRequest{})
		c := h.settle(riposte.ClaimRequest{Limit: 10, InFlight: map[string]int{pushLane: riposte.DefaultMaxInFlight}})
		h.wantEqual(claimedIDs(c), ids([]riposte.Instance{asked}))
		if !c.Held {
			h.Errorf("nothing is held back")
		}
		c = h.settle(riposte.ClaimRequest{Limit: 10, InFlight: map[string]int{pushLane: riposte.DefaultMaxInFlight - 2, w.ID: riposte.DefaultMaxInFlight}})
		if len(c.Attempts) != 2 {
			h.Errorf("claimed %d pushes, want 2", len(c.Attempts))
		}
	}},
	{"what was to be pushed is found after a restart", func(h *house) {
		w := h.webhook()
		waiting := h.change(h.pushed(h.toPush(w)), pushAnswered(500))
		inFlight := h.pushed(h.toPush(w))
		h.restart()
		again := h.settleLeases(riposte.ClaimRequest{Limit: 10})
		h.clock.Advance(max(0, waiting.DueAt.Sub(h.now())))
		seen := append(claimedIDs(again), claimedIDs(h.settle(riposte.ClaimRequest{Limit: 10}))...)
		slices.Sort(seen)
		h.wantEqual(seen, ids([]riposte.Instance{waiting, inFlight}))
	}},
	{"an outcome that nobody has taken is not purged", func(h *house) {
		i := h.toPush(h.webhook())
		h.clock.Advance(riposte.MaxCallbackTimeout + time.Hour)
		h.wantPurged(h.now(), 10, 0)
		h.wantEqual(h.load(i.ID), i)
		h.change(h.pushed(i), pushAnswered(200))
		h.wantPurged(h.now(), 10, 1)
	}},
	{"an outcome URL is the instance's own or its webhook's", func(h *house) {
		w := h.webhook(func(w *riposte.Webhook) { w.Settings.OutcomeURL = outcomeURL })
		loaded, err := h.store.LoadWebhook(h.Context(), w.ID)
		h.must(err)
		h.wantEqual(loaded, w)
		if i := h.load(h.create(w, riposte.InstanceRequest{}).ID); i.OutcomeURL != outcomeURL {
			h.Errorf("the outcome URL is %q", i.OutcomeURL)
		}
		if i := h.load(h.create(w, riposte.InstanceRequest{OutcomeURL: "https://own.example/"}).ID); i.OutcomeURL != "https://own.example/" {
			h.Errorf("the outcome URL is %q", i.OutcomeURL)
		}
	}},
}

var toPush = riposte.InstanceRequest{OutcomeURL: outcomeURL}

// toPush has an instance decided whose outcome is to be pushed.
func (h *house) toPush(w riposte.Webhook) riposte.Instance {
	h.Helper()
	h.create(w, toPush)
	c := h.settle(riposte.ClaimRequest{Limit: 10, InFlight: map[string]int{pushLane: riposte.DefaultMaxInFlight}})
	if len(c.Attempts) != 1 {
		h.Fatalf("claimed %d, want 1", len(c.Attempts))
	}
	return h.change(c.Attempts[0].Instance, attempted(200))
}

// takePushes takes all outcomes that are due to be pushed.
func (h *house) takePushes() {
	h.Helper()
	for {
		c := h.settle(riposte.ClaimRequest{Limit: 1000})
		if len(c.Attempts) == 0 {
			return
		}
		for _, each := range c.Attempts {
			h.change(each.Instance, pushAnswered(200))
		}
	}
}

// pushed has i's push claimed.
func (h *house) pushed(i riposte.Instance) riposte.Instance {
	h.Helper()
	for _, c := range h.settle(riposte.ClaimRequest{Limit: 10}).Attempts {
		if c.Instance.ID == i.ID {
			return c.Instance
		}
	}
	h.Fatalf("%s was not claimed", i.ID)
	return riposte.Instance{}
}

func pushAnswered(status int) riposte.Pushed {
	return riposte.Pushed{Result: riposte.Result{Attempt: riposte.Attempt{StatusCode: status}}, Fast: riposte.DefaultFastDelay}
}
