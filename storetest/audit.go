package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/riposte-dev/riposte"
)

var audit = []behaviour{
	{"each change has its entry", func(h *house) {
		w, i, k, c := h.webhook(), h.create(h.webhook(), approval), h.key(riposte.RoleAdmin), h.client()
		consumer := h.consumer("consumer", 0)
		for _, each := range []struct {
			operation, target string
			change            func(ctx context.Context) error
		}{
			{"webhook created", "", func(ctx context.Context) error {
				_, err := h.store.SaveWebhook(ctx, h.newWebhook())
				return err
			}},
			{"webhook changed", w.ID, func(ctx context.Context) error { _, err := h.store.SaveWebhook(ctx, w); return err }},
			{"instance changed", i.ID, func(ctx context.Context) error {
				_, err := h.store.SaveInstance(ctx, h.apply(i, riposte.Canceled{}), nil)
				return err
			}},
			{"consumer saved", "", func(ctx context.Context) error { _, err := h.store.SaveConsumer(ctx, consumer); return err }},
			{"consumer deleted", "", func(ctx context.Context) error { return h.store.DeleteConsumer(ctx, consumer.Name) }},
			{"key created", "", func(ctx context.Context) error { return h.store.CreateKey(ctx, h.newKey(riposte.RoleViewer)) }},
			{"key deleted", k.ID, func(ctx context.Context) error { return h.store.DeleteKey(ctx, k.ID, false) }},
			{"client created", "", func(ctx context.Context) error { return h.store.CreateClient(ctx, h.newClient()) }},
			{"client deleted", c.ID, func(ctx context.Context) error { return h.store.DeleteClient(ctx, c.ID) }},
			{"secret saved", "ring", func(ctx context.Context) error { return h.store.SaveSecret(ctx, "ring", []byte("one"), 0) }},
			{"secret replaced", "ring", func(ctx context.Context) error { return h.store.SaveSecret(ctx, "ring", []byte("two"), 1) }},
		} {
			h.clock.Advance(time.Second)
			e := riposte.AuditEntry{Actor: "id", ActorName: "na\"me", Role: riposte.RoleAdmin, RemoteAddress: "2001:db8::1", Operation: each.operation,
				Target: each.target, Detail: "détail"}
			h.must(each.change(riposte.WithAudit(h.Context(), e)))
			got := h.auditLog(riposte.AuditFilter{Operation: each.operation})
			if len(got) != 1 || !riposte.IsID(got[0].ID) {
				h.Fatalf("%s: %+v", each.operation, got)
			}
			e.ID, e.CreatedAt = got[0].ID, h.now()
			h.wantEqual(got[0], e)
		}
		before := h.auditLog(riposte.AuditFilter{})
		if len(before) != 11 {
			h.Errorf("there are %d entries", len(before))
		}
		h.restart()
		h.wantEqual(h.auditLog(riposte.AuditFilter{}), before)
	}},
	{"what comes to nothing has no entry", func(h *house) {
		w, i, k, c := h.webhook(), h.create(h.webhook(), approval), h.key(riposte.RoleAdmin), h.client()
		deleted := h.deleteWebhook(h.webhook())
		consumer := h.consumer("consumer", 0)
		h.saveConsumer(consumer)
		h.change(i, riposte.Canceled{})
		ctx := riposte.WithAudit(h.Context(), riposte.AuditEntry{Operation: "refused"})
		stale := w
		stale.Version = 7
		_, err := h.store.SaveWebhook(ctx, stale)
		h.wantError(err, riposte.ErrConflict)
		_, err = h.store.SaveInstance(ctx, h.apply(i, riposte.Canceled{}), nil)
		h.wantError(err, riposte.ErrConflict)
		_, err = h.store.CreateInstances(ctx, []riposte.NewInstanceRecord{h.record(w, approval), h.record(deleted, approval)})
		h.wantError(err, riposte.ErrWebhookNotFound)
		_, err = h.store.SaveConsumer(ctx, consumer)
		h.wantError(err, riposte.ErrConsumerExists)
		h.wantError(h.store.DeleteConsumer(ctx, "another"), riposte.ErrConsumerNotFound)
		again := k
		again.ID = riposte.NewID(h.now())
		h.must(h.store.CreateKey(ctx, again)) // whose hash is already there
		h.wantError(h.store.DeleteKey(ctx, k.ID, true), riposte.ErrLastAdmin)
		h.wantError(h.store.DeleteKey(ctx, "another", false), riposte.ErrKeyNotFound)
		h.wantError(h.store.CreateClient(ctx, c), riposte.ErrClientExists)
		h.wantError(h.store.DeleteClient(ctx, "another"), riposte.ErrClientNotFound)
		h.wantError(h.store.SaveSecret(ctx, "ring", nil, 1), riposte.ErrConflict)
		_, err = h.store.Claim(ctx, riposte.ClaimRequest{Limit: 10})
		h.must(err)
		h.must(h.store.UseAssertion(ctx, "assertion", h.now().Add(time.Hour)))
		h.must(h.store.SaveLastUses(ctx, map[string]time.Time{k.ID: h.now()}))
		h.wantEqual(h.auditLog(riposte.AuditFilter{}), []riposte.AuditEntry(nil))
	}},
	{"each instance that is created has its entry, one that was there already none", func(h *house) {
		w := h.webhook()
		ctx := riposte.WithAudit(h.Context(), riposte.AuditEntry{Actor: "k", Operation: "create"})
		first := h.record(w, riposte.InstanceRequest{RequestID: "r"})
		created, err := h.store.CreateInstances(ctx, []riposte.NewInstanceRecord{first})
		h.must(err)
		h.wantTargets(created[0].ID)
		again := h.record(w, riposte.InstanceRequest{RequestID: "r"})
		_, err = h.store.CreateInstances(ctx, []riposte.NewInstanceRecord{again})
		h.must(err)
		h.wantTargets(created[0].ID)
		two := []riposte.NewInstanceRecord{h.record(w, approval), again, h.record(w, riposte.InstanceRequest{RequestID: "s"})}
		_, err = h.store.CreateInstances(ctx, two)
		h.must(err)
		h.wantTargets(two[2].Instance.ID, two[0].Instance.ID, created[0].ID)
		_, err = h.store.CreateInstances(riposte.WithAudit(ctx, riposte.AuditEntry{Target: "batch"}), []riposte.NewInstanceRecord{h.record(w, approval), h.record(w, approval)})
		h.must(err)
		h.wantTargets("batch", "batch", two[2].Instance.ID, two[0].Instance.ID, created[0].ID)
	}},
	{"an instance that is saved is its entry's target", func(h *house) {
		i := h.create(h.webhook(), approval)
		ctx := riposte.WithAudit(h.Context(), riposte.AuditEntry{Operation: "cancel"})
		saved, err := h.store.SaveInstance(ctx, h.apply(i, riposte.Canceled{}), nil)
		h.must(err)
		h.wantTargets(saved.ID)
	}},
	{"of changes that come at once each has its own entry, or none", func(h *house) {
		w := h.webhook()
		const n = 48
		records := make([][]riposte.NewInstanceRecord, n)
		for k := range records {
			records[k] = []riposte.NewInstanceRecord{h.record(w, approval), h.record(w, approval)}
			if k%6 == 5 {
				records[k][1].Instance.State = "NONSENSE" // is only found out half way
			}
		}
		var want []string
		for k, err := range concurrently(n, func(k int) error {
			ctx := h.Context()
			if k%3 != 0 {
				ctx = riposte.WithAudit(ctx, riposte.AuditEntry{Operation: fmt.Sprint("create ", k)})
			}
			_, err := h.store.CreateInstances(ctx, records[k])
			return err
		}) {
			if (err != nil) != (k%6 == 5) {
				h.Fatalf("create %d: %v", k, err)
			}
			if err == nil && k%3 != 0 {
				for _, r := range records[k] {
					want = append(want, fmt.Sprintf("create %d %s", k, r.Instance.ID))
				}
			}
		}
		var got []string
		for _, e := range h.auditLog(riposte.AuditFilter{}) {
			got = append(got, e.Operation+" "+e.Target)
		}
		slices.Sort(got)
		slices.Sort(want)
		h.wantEqual(got, want)
	}},
	{"the audit log is listed newest first, by what is asked for", func(h *house) {
		all := h.manyAudited()
		created := riposte.TimeRange{From: all[30].CreatedAt, To: all[4].CreatedAt}
		for _, f := range []riposte.AuditFilter{
			{},
			{Actor: "a1"},
			{Actor: "nobody"},
			{Operation: "o2"},
			{Target: "t3"},
			{Actor: "a1", Operation: "o2"},
			{Actor: "a1", Target: "t3"},
			{Actor: "a1", Operation: "o0", Target: "t1"},
			{Created: created},
			{Created: riposte.TimeRange{From: all[7].CreatedAt.Add(-time.Nanosecond)}},
			{Created: riposte.TimeRange{From: all[7].CreatedAt.Add(time.Nanosecond)}},
			{Created: riposte.TimeRange{To: all[7].CreatedAt.Add(time.Nanosecond)}, Actor: "a0"},
			{Created: created, Operation: "o1", Before: all[10].ID},
			{Before: all[20].ID},
			{Target: "\x00"},
			{Before: all[20].ID, Created: created, Target: "t1"},
		} {
			f.Limit = 1000
			want := audited(all, f)
			h.wantEqual(h.auditLog(f), want)
			var paged []riposte.AuditEntry
			for f.Limit = 3; ; {
				page, err := h.store.ListAudit(h.Context(), f)
				h.must(err)
				paged = append(paged, page...)
				if len(page) < f.Limit {
					break
				}
				f.Before = page[len(page)-1].ID
			}
			h.wantEqual(paged, want)
		}
		none, err := h.store.ListAudit(h.Context(), riposte.AuditFilter{})
		h.must(err)
		h.wantEqual(len(none), 0)
	}},
	{"an entry is kept for 400 days", func(h *house) {
		note := func(operation string) {
			h.Helper()
			_, err := h.store.SaveWebhook(riposte.WithAudit(h.Context(), riposte.AuditEntry{Operation: operation}), h.newWebhook())
			h.must(err)
		}
		operations := func() string {
			h.Helper()
			var all []string
			for _, e := range h.auditLog(riposte.AuditFilter{}) {
				all = append(all, e.Operation)
			}
			return strings.Join(all, " ")
		}
		note("one")
		h.clock.Advance(time.Hour)
		note("two")
		h.clock.Advance(riposte.KeepAudit - time.Hour - time.Millisecond)
		note("three")
		h.wantEqual(operations(), "three two one")
		h.clock.Advance(2 * time.Millisecond)
		h.wantError(h.store.DeleteConsumer(riposte.WithAudit(h.Context(), riposte.AuditEntry{}), "none"), riposte.ErrConsumerNotFound)
		h.wantEqual(operations(), "three two one")
		note("four")
		h.wantEqual(operations(), "four three two")
		h.clock.Advance(time.Hour)
		note("five")
		h.wantEqual(operations(), "five four three")
	}},
	{"what is never stored has no entry either", func(h *house) {
		ctx, cancel := context.WithCancel(riposte.WithAudit(h.Context(), riposte.AuditEntry{}))
		cancel()
		if _, err := h.store.SaveWebhook(ctx, h.newWebhook()); !errors.Is(err, context.Canceled) {
			h.Errorf("error is %v", err)
		}
		h.must(h.store.Check(h.Context()))
		h.wantEqual(len(h.auditLog(riposte.AuditFilter{})), 0)
	}},
}

// auditLog lists all that f selects.
func (h *house) auditLog(f riposte.AuditFilter) []riposte.AuditEntry {
	h.Helper()
	f.Limit = 1000
	entries, err := h.store.ListAudit(h.Context(), f)
	h.must(err)
	return entries
}

// wantTargets compares what the entries are about, newest first.
func (h *house) wantTargets(want ...string) {
	h.Helper()
	var got []string
	for _, e := range h.auditLog(riposte.AuditFilter{}) {
		got = append(got, e.Target)
	}
	h.wantEqual(got, want)
}

// manyAudited stores entries that differ in all that filters select by, some of them in
// the same millisecond, and returns them newest first.
func (h *house) manyAudited() []riposte.AuditEntry {
	h.Helper()
	for k := range 40 {
		e := riposte.AuditEntry{Actor: fmt.Sprint("a", k%2), Operation: fmt.Sprint("o", k%3), Target: fmt.Sprint("t", k%5)}
		_, err := h.store.SaveWebhook(riposte.WithAudit(h.Context(), e), h.newWebhook())
		h.must(err)
		if k%4 == 3 {
			h.clock.Advance(time.Second)
		}
	}
	all := h.auditLog(riposte.AuditFilter{})
	for k, e := range all {
		n := len(all) - 1 - k
		if e.Actor != fmt.Sprint("a", n%2) || e.Operation != fmt.Sprint("o", n%3) || e.Target != fmt.Sprint("t", n%5) {
			h.Fatalf("entry %d is %+v", k, e)
		}
	}
	return all
}

// audited are those that f selects, whatever its Limit.
func audited(all []riposte.AuditEntry, f riposte.AuditFilter) []riposte.AuditEntry {
	return slices.DeleteFunc(slices.Clone(all), func(e riposte.AuditEntry) bool {
		return f.Actor != "" && f.Actor != e.Actor || f.Operation != "" && f.Operation != e.Operation || f.Target != "" && f.Target != e.Target ||
			f.Before != "" && f.Before <= e.ID || !within(e.CreatedAt, f.Created)
	})
}
