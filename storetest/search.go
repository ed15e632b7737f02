package storetest

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/riposte-dev/riposte"
)

// searches are about what takes rows to be looked at, of which there may be millions.
var searches = []behaviour{
	{"a list says where it stopped searching, and goes on there", func(h *house) {
		bounded := h.searchAtMost(4)
		w, all := h.mixture()
		for _, f := range mixedFilters(w, all) {
			for _, limit := range []int{1, 3, 100} {
				f.Limit = limit
				got := ids(h.pageThrough(f))
				if want := ids(selected(all, f)); !slices.Equal(got, want) {
					h.Errorf("%+v gives %v, want %v", f, got, want)
				}
			}
		}
		page, err := h.store.ListInstances(h.Context(), riposte.InstanceFilter{WebhookID: w.ID, SourceKind: riposte.SourceWorkflowStep, Limit: 1})
		h.must(err)
		if bounded && page.Searched == "" {
			h.Errorf("it looked at all to find nothing")
		}
	}},
	{"a list that an index tells is not cut short", func(h *house) {
		h.searchAtMost(2)
		w, all := h.mixture()
		for _, f := range []riposte.InstanceFilter{{}, {WebhookID: w.ID}, {State: riposte.StatePending}, {State: riposte.StateFatalError},
			{SourceKind: riposte.SourceApprovalStep}, {TicketID: "t0"}, {Labels: map[string]string{"k": "v"}},
			{WebhookID: w.ID, Created: riposte.TimeRange{From: all[20].CreatedAt, To: all[2].CreatedAt}}} {
			f.Limit = 100
			page, err := h.store.ListInstances(h.Context(), f)
			h.must(err)
			if page.Searched != "" || len(page.Instances) != len(selected(all, f)) {
				h.Errorf("%+v gives %d, and has searched up to %q", f, len(page.Instances), page.Searched)
			}
		}
	}},
	{"what a filter selects is counted up to a bound", func(h *house) {
		w, all := h.mixture()
		for _, f := range mixedFilters(w, all) {
			want := len(selected(all, f))
			for _, atMost := range []int{0, 2, want, want + 1, math.MaxInt} {
				f.Limit = atMost % 7 // which doesn't count
				n, more, err := h.store.CountMatching(h.Context(), f, atMost)
				h.must(err)
				if n != min(want, atMost) || more != (want > atMost) {
					h.Errorf("%+v: counted %d, more: %t; there are %d, asked for %d at most", f, n, more, want, atMost)
				}
			}
		}
	}},
	{"a count that stopped searching says that there may be more", func(h *house) {
		w, all := h.mixture()
		if !h.searchAtMost(len(all) / 4) {
			return
		}
		for _, each := range []struct {
			filter riposte.InstanceFilter
			n      int
			more   bool
		}{
			{riposte.InstanceFilter{WebhookID: w.ID, SourceKind: riposte.SourceWorkflowStep}, 0, true},
			{riposte.InstanceFilter{WebhookID: w.ID, SourceKind: riposte.SourceWorkflowStep, TicketID: "t0"}, 0, false},
			{riposte.InstanceFilter{WebhookID: "unknown", SourceKind: riposte.SourceWorkflowStep}, 0, false},
			{riposte.InstanceFilter{WebhookID: w.ID}, len(all) / 4, true},
		} {
			n, more, err := h.store.CountMatching(h.Context(), each.filter, 1000)
			h.must(err)
			if n != each.n || more != each.more {
				h.Errorf("%+v: counted %d, more: %t", each.filter, n, more)
			}
		}
		// As many as are looked at is not too many.
		f := riposte.InstanceFilter{WebhookID: w.ID, Expires: riposte.TimeRange{From: h.now()}}
		h.searchAtMost(len(selected(all, f)))
		if n, more, err := h.store.CountMatching(h.Context(), f, 1000); err != nil || more || n != len(selected(all, f)) {
			h.Errorf("counted %d, more: %t (%v)", n, more, err)
		}
	}},
	{"what is due and not leased is found, the longest due first", func(h *house) {
		h.wantDue(10)
		w, other := h.webhook(), h.webhook()
		first := h.change(h.running(w), attempted(500)) // due in a while
		waiting := h.change(h.running(other), attempted(202))
		h.wantDue(10)
		leased := h.running(w)
		h.toPush(w)
		a, b, c := h.create(other, approval), h.create(w, approval), h.create(other, approval)
		h.wantDue(10, a, b, c)
		h.wantDue(2, a, b)
		h.wantDue(0)
		h.clock.Advance(first.DueAt.Sub(h.now()))
		h.wantDue(3, a, b, c)
		h.wantDue(10, a, b, c, first)
		h.clock.Advance(leased.LeasedUntil.Sub(h.now()))
		h.wantDue(10, a, b, c, first, leased)
		h.change(b, riposte.Canceled{})
		h.deleteWebhook(other)
		h.wantDue(10, a, c, first, leased)
		h.clock.Advance(waiting.ExpiresAt.Sub(h.now()))
		h.wantDue(10, a, c, first, leased, waiting)
	}},
	{"what is due is found of every webhook", func(h *house) {
		var all []riposte.Instance
		for range 12 {
			all = append(all, h.createMany(h.webhook(), 3)...)
		}
		h.clock.Advance(time.Second)
		h.wantDue(5, all[:5]...)
		h.wantDue(100, all...)
	}},
	{"what expires soonest is found, as long as it has no outcome", func(h *house) {
		h.wantExpiring(10)
		w := h.webhook()
		within := func(d time.Duration) riposte.Instance {
			return h.create(w, riposte.InstanceRequest{CallbackTimeout: d})
		}
		late, soon, sooner := within(72*time.Hour), within(48*time.Hour), within(36*time.Hour)
		pushed := h.create(w, riposte.InstanceRequest{CallbackTimeout: 24 * time.Hour, OutcomeURL: outcomeURL})
		h.wantExpiring(10, pushed, sooner, soon, late)
		h.change(pushed, riposte.Canceled{})
		h.wantExpiring(2, sooner, soon)
		h.wantExpiring(0)
		h.change(sooner, riposte.Canceled{})
		for _, c := range h.claim(riposte.ClaimRequest{Limit: 10}).Attempts {
			switch c.Instance.ID {
			case soon.ID:
				soon = h.change(c.Instance, attempted(202))
			case late.ID:
				h.decided(c.Instance)
			}
		}
		h.wantExpiring(10, soon)
		h.clock.Advance(soon.ExpiresAt.Sub(h.now()) + time.Hour)
		h.wantExpiring(10, soon)
	}},
}

// searchAtMost lowers how many rows the store looks at for one answer. It is false
// where the store can't do that.
func (h *house) searchAtMost(rows int) bool {
	s, ok := h.store.(interface{ SearchAtMost(rows int) })
	if ok {
		s.SearchAtMost(rows)
	}
	return ok
}

// mixture stores instances that differ in all that filters select by, and returns a
// webhook that half of them have, and all of them, newest first.
func (h *house) mixture() (riposte.Webhook, []riposte.Instance) {
	h.Helper()
	webhooks := []riposte.Webhook{h.webhook(), h.webhook()}
	kinds := []riposte.SourceKind{riposte.SourceApprovalStep, riposte.SourceProvisionStep, riposte.SourceApprovalStep}
	var all []riposte.Instance
	for k := range 24 {
		r := riposte.InstanceRequest{Source: riposte.Source{Kind: kinds[k%3], TicketID: fmt.Sprintf("t%d", k%4)},
			CallbackTimeout: time.Duration(1+k%5) * 24 * time.Hour, Labels: map[string]string{"k": "v", "n": fmt.Sprint(k % 2)}, CreatedBy: fmt.Sprintf("sender' %d", k%3/2)}
		if k%6 == 5 {
			r.Labels = nil
		}
		i := h.create(webhooks[k/2%2], r)
		if k%7 == 3 {
			i = h.change(i, riposte.Canceled{})
		}
		all = append(all, i)
		h.clock.Advance(time.Minute)
	}
	slices.Reverse(all)
	return webhooks[0], all
}

// mixedFilters are some for what mixture has stored.
func mixedFilters(w riposte.Webhook, all []riposte.Instance) []riposte.InstanceFilter {
	expires := riposte.TimeRange{From: all[5].ExpiresAt, To: all[1].ExpiresAt.Add(time.Hour)}
	created := riposte.TimeRange{From: all[21].CreatedAt, To: all[1].CreatedAt}
	label := map[string]string{"k": "v"}
	return []riposte.InstanceFilter{
		{},
		{WebhookID: w.ID},
		{WebhookID: w.ID, State: riposte.StateFatalError},
		{WebhookID: w.ID, State: riposte.StatePending},
		{WebhookID: w.ID, State: riposte.StateSuccess},
		{WebhookID: w.ID, State: riposte.StateError},
		{WebhookID: w.ID, SourceKind: riposte.SourceProvisionStep},
		{WebhookID: w.ID, SourceKind: riposte.SourceWorkflowStep},
		{TicketID: "t1", SourceKind: riposte.SourceApprovalStep},
		{TicketID: "t1", State: riposte.StateFatalError, Before: all[2].ID},
		{SourceKind: riposte.SourceApprovalStep, State: riposte.StateSuccess},
		{SourceKind: riposte.SourceApprovalStep, State: riposte.StateFatalError},
		{Labels: label},
		{Labels: label, WebhookID: w.ID},
		{Labels: label, State: riposte.StateFatalError},
		{Labels: map[string]string{"k": "v", "n": "1"}},
		{Labels: map[string]string{"k": "v", "n": "2"}},
		{Labels: label, WebhookID: w.ID, Expires: expires, Created: created},
		{CreatedBy: "sender' 1"},
		{CreatedBy: "sender"},
		{CreatedBy: "sender' 0", WebhookID: w.ID, State: riposte.StatePending},
		{CreatedBy: "sender' 0", Labels: label, Before: all[3].ID},
		{CreatedBy: "sender' 1", Created: created},
		{Expires: expires},
		{Expires: riposte.TimeRange{From: expires.From}, State: riposte.StatePending},
		{Expires: riposte.TimeRange{To: expires.From}, WebhookID: w.ID},
		{Created: created},
		{Created: created, WebhookID: w.ID, SourceKind: riposte.SourceApprovalStep},
		{WebhookID: w.ID, State: riposte.StatePending, Before: all[10].ID},
	}
}

// selected are those that f selects, whatever its Limit.
func selected(all []riposte.Instance, f riposte.InstanceFilter) []riposte.Instance {
	return slices.DeleteFunc(slices.Clone(all), func(i riposte.Instance) bool {
		for key, value := range f.Labels {
			if i.Labels[key] != value {
				return true
			}
		}
		return f.WebhookID != "" && f.WebhookID != i.WebhookID || f.State != "" && f.State != i.State ||
			f.SourceKind != "" && f.SourceKind != i.Source.Kind || f.TicketID != "" && f.TicketID != i.Source.TicketID ||
			f.CreatedBy != "" && f.CreatedBy != i.CreatedBy ||
			f.Before != "" && f.Before <= i.ID || !within(i.CreatedAt, f.Created) || !within(i.ExpiresAt, f.Expires)
	})
}

func within(t time.Time, r riposte.TimeRange) bool {
	return !t.Before(r.From) && (r.To.IsZero() || t.Before(r.To))
}

// pageThrough lists all that f selects, f.Limit at a time.
func (h *house) pageThrough(f riposte.InstanceFilter) (all []riposte.Instance) {
	h.Helper()
	for {
		page := h.list(f)
		all = append(all, page...)
		if len(page) < f.Limit {
			return all
		}
		f.Before = page[len(page)-1].ID
	}
}

func (h *house) wantDue(limit int, want ...riposte.Instance) {
	h.Helper()
	got, err := h.store.OldestDue(h.Context(), limit)
	h.must(err)
	h.wantEqual(got, want)
}

func (h *house) wantExpiring(limit int, want ...riposte.Instance) {
	h.Helper()
	got, err := h.store.SoonestToExpire(h.Context(), limit)
	h.must(err)
	h.wantEqual(got, want)
}
