package storetest

import (
	"slices"
	"time"

	"github.com/riposte-dev/riposte"
)

var lists = []behaviour{
	{"instances are listed newest first, page by page", func(h *house) {
		w := h.webhook()
		all := ids(h.createMany(w, 7))
		slices.Reverse(all)
		h.wantEqual(ids(h.list(riposte.InstanceFilter{})), all)
		var paged []string
		f := riposte.InstanceFilter{WebhookID: w.ID, Limit: 3}
		for page := h.list(f); len(page) > 0; page = h.list(f) {
			if len(page) > 3 {
				h.Fatalf("a page has %d", len(page))
			}
			paged = append(paged, ids(page)...)
			f.Before = paged[len(paged)-1]
		}
		h.wantEqual(paged, all)
	}},
	{"listed outcomes come without documents", func(h *house) {
		i := h.change(h.running(h.webhook()), answered(riposte.ViaCallback))
		want := *i.Outcome
		want.Document = nil
		h.wantEqual(h.list(riposte.InstanceFilter{})[0].Outcome, &want)
	}},
	{"each part of a filter selects", func(h *house) {
		w, other := h.webhook(), h.webhook()
		start := h.now()
		a := h.create(w, riposte.InstanceRequest{Source: riposte.Source{Kind: riposte.SourceApprovalStep, TicketID: "one"}, Labels: map[string]string{"k": "v", "l": "w"}})
		b := h.create(w, riposte.InstanceRequest{Source: riposte.Source{Kind: riposte.SourceProvisionStep, TicketID: "two"}, Labels: map[string]string{"k": "v"}})
		c := h.create(other, riposte.InstanceRequest{Source: riposte.Source{Kind: riposte.SourceTest}, Labels: map[string]string{"k": "x"}, CallbackTimeout: 30 * 24 * time.Hour})
		for _, each := range []struct {
			filter riposte.InstanceFilter
			want   []riposte.Instance
		}{
			{riposte.InstanceFilter{WebhookID: w.ID}, list(b, a)},
			{riposte.InstanceFilter{WebhookID: "unknown"}, nil},
			{riposte.InstanceFilter{WebhookID: "\x00"}, nil},
			{riposte.InstanceFilter{TicketID: "one\x00"}, nil},
			{riposte.InstanceFilter{Labels: map[string]string{"k": "v\x00"}}, nil},
			{riposte.InstanceFilter{TicketID: "one"}, list(a)},
			{riposte.InstanceFilter{TicketID: "three"}, nil},
			{riposte.InstanceFilter{SourceKind: riposte.SourceTest}, list(c)},
			{riposte.InstanceFilter{Labels: map[string]string{"k": "v"}}, list(b, a)},
			{riposte.InstanceFilter{Labels: map[string]string{"k": "v", "l": "w"}}, list(a)},
			{riposte.InstanceFilter{Labels: map[string]string{"k": "v", "l": "x"}}, nil},
			{riposte.InstanceFilter{Labels: map[string]string{"k": "v"}, Before: b.ID}, list(a)},
			{riposte.InstanceFilter{Labels: map[string]string{"k": "v"}, Limit: 1}, list(b)},
			{riposte.InstanceFilter{Created: riposte.TimeRange{From: b.CreatedAt}}, list(c, b)},
			{riposte.InstanceFilter{Created: riposte.TimeRange{To: b.CreatedAt}}, list(a)},
			{riposte.InstanceFilter{Created: riposte.TimeRange{From: a.CreatedAt, To: b.CreatedAt.Add(time.Nanosecond)}}, list(b, a)},
			{riposte.InstanceFilter{Created: riposte.TimeRange{From: time.Date(1, 2, 3, 0, 0, 0, 0, time.UTC), To: b.CreatedAt}}, list(a)},
			{riposte.InstanceFilter{Created: riposte.TimeRange{To: time.Date(1, 2, 3, 0, 0, 0, 0, time.UTC)}}, nil},
			{riposte.InstanceFilter{Created: riposte.TimeRange{From: start, To: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)}}, list(c, b, a)},
			{riposte.InstanceFilter{Expires: riposte.TimeRange{From: b.ExpiresAt, To: c.ExpiresAt}}, list(b)},
			{riposte.InstanceFilter{Expires: riposte.TimeRange{From: c.ExpiresAt}}, list(c)},
			{riposte.InstanceFilter{Expires: riposte.TimeRange{To: c.ExpiresAt}}, list(b, a)},
			{riposte.InstanceFilter{WebhookID: w.ID, TicketID: "two", SourceKind: riposte.SourceProvisionStep, State: riposte.StatePending,
				Labels: map[string]string{"k": "v"}, Created: riposte.TimeRange{From: start}, Expires: riposte.TimeRange{From: start}}, list(b)},
			{riposte.InstanceFilter{WebhookID: other.ID, TicketID: "two"}, nil},
			{riposte.InstanceFilter{SourceKind: riposte.SourceProvisionStep, State: riposte.StateRunning}, nil},
		} {
			if got := ids(h.list(each.filter)); !slices.Equal(got, ids(each.want)) {
				h.Errorf("%+v gives %v, want %v", each.filter, got, ids(each.want))
			}
		}
	}},
	{"instances are found by each state", func(h *house) {
		w := h.webhook()
		by := map[riposte.State]riposte.Instance{
			riposte.StateError:           h.change(h.running(w), attempted(500)),
			riposte.StateWaitingCallback: h.change(h.running(w), attempted(202)),
			riposte.StateSuccess:         h.change(h.running(w), attempted(200)),
			riposte.StateFatalError:      h.change(h.running(w), attempted(410)),
			riposte.StateRunning:         h.running(w),
		}
		by[riposte.StateProcessResponse] = h.decided(h.running(w)) // the next claim hands it over
		by[riposte.StatePending] = h.create(w, approval)
		for _, s := range riposte.States {
			h.wantEqual(ids(h.list(riposte.InstanceFilter{State: s})), ids(list(by[s])))
			h.wantEqual(ids(h.list(riposte.InstanceFilter{State: s, WebhookID: w.ID})), ids(list(by[s])))
			h.wantEqual(h.list(riposte.InstanceFilter{State: s, Before: by[s].ID}), []riposte.Instance(nil))
		}
	}},
}

func list(is ...riposte.Instance) []riposte.Instance { return is }

var purging = []behaviour{
	{"purging removes what expired long ago, with all that belongs to it", func(h *house) {
		w := h.webhook()
		r := riposte.InstanceRequest{RequestID: "r", Labels: map[string]string{"k": "v"}}
		i := h.create(w, r)
		a := attempt(1, h.now())
		h.save(h.apply(h.claimOne(), attempted(200)), &a)
		h.wantPurged(i.ExpiresAt, 10, 0)
		h.wantPurged(i.ExpiresAt.Add(time.Microsecond), 10, 1)
		_, err := h.store.LoadInstance(h.Context(), i.ID)
		h.wantError(err, riposte.ErrInstanceNotFound)
		_, err = h.store.LoadEnvelope(h.Context(), i.ID)
		h.wantError(err, riposte.ErrInstanceNotFound)
		h.wantEqual(h.list(riposte.InstanceFilter{Labels: r.Labels}), []riposte.Instance(nil))
		h.wantEqual(h.attempts(i.ID), []riposte.Attempt(nil))
		h.must(h.store.RecordAttempt(h.Context(), i.ID, a))
		if again := h.create(w, r); again.ID == i.ID {
			h.Errorf("the requestId still gives %s", i.ID)
		}
	}},
	{"purging never removes what is open", func(h *house) {
		w := h.webhook()
		open := []riposte.Instance{h.change(h.running(w), attempted(202)), h.change(h.running(w), attempted(500)), h.running(w)}
		open = append(open, h.decided(h.running(w)), h.create(w, approval))
		h.wantPurged(h.now().Add(100*24*time.Hour), 100, 0)
		for _, i := range open {
			h.wantEqual(h.load(i.ID), i)
		}
	}},
	{"purging goes in steps", func(h *house) {
		h.createMany(h.webhook(), 150)
		h.clock.Advance(riposte.DefaultCallbackTimeout)
		h.settle(riposte.ClaimRequest{})
		late := h.now().Add(time.Hour)
		h.wantPurged(late, 0, 0)
		h.wantPurged(late, 7, 7)
		h.wantPurged(late, 140, 140)
		h.wantPurged(late, 140, 3)
		h.wantPurged(late, 140, 0)
	}},
	{"a sequence is not used again after a purge", func(h *house) {
		w := h.webhook()
		last := h.change(h.running(w), attempted(200)).Outcome.Sequence
		h.wantPurged(h.now().Add(100*24*time.Hour), 10, 1)
		h.restart()
		if next := h.change(h.running(w), attempted(200)).Outcome.Sequence; next <= last {
			h.Errorf("sequence %d comes after %d", next, last)
		}
	}},
	{"a deleted webhook stays until its last instance is purged", func(h *house) {
		w := h.webhook()
		closed := h.change(h.running(w), attempted(200))
		waiting := h.change(h.running(w), attempted(202))
		w = h.deleteWebhook(w)
		h.wantPurged(closed.ExpiresAt.Add(time.Hour), 10, 1)
		loaded, err := h.store.LoadWebhook(h.Context(), w.ID)
		h.must(err)
		h.wantEqual(loaded, w)
		h.change(waiting, answered(riposte.ViaCallback))
		h.wantState(waiting.ID, riposte.StateSuccess)
	}},
	{"a live webhook without instances stays", func(h *house) {
		w := h.webhook()
		h.wantPurged(h.now().Add(100*24*time.Hour), 10, 0)
		h.wantWebhooks(riposte.WebhookFilter{}, w)
		h.create(w, approval)
	}},
}

func (h *house) wantPurged(t time.Time, limit, want int) {
	h.Helper()
	n, err := h.store.PurgeInstances(h.Context(), t, limit)
	h.must(err)
	if n != want {
		h.Fatalf("purged %d, want %d", n, want)
	}
}
