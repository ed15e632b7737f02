package storetest

import (
	"errors"
	"time"

	"github.com/riposte-dev/riposte"
)

var creation = []behaviour{
	{"a created instance loads as it was returned", func(h *house) {
		w := h.webhook()
		for _, r := range []riposte.InstanceRequest{
			{Source: riposte.Source{Kind: riposte.SourceTest}},
			{Source: riposte.Source{Kind: riposte.SourceWorkflowStep, WorkflowExecutionID: -1 << 63, WorkflowStepID: "step"}, RequestID: "r"},
			{Source: approval.Source, Labels: map[string]string{"team": "päyments", `"`: "", "a": "b"}, RecreatedFrom: riposte.NewID(h.now()), CreatedBy: "CI \"ü"},
			{Source: riposte.Source{Kind: riposte.SourceProvisionStep, TicketID: "t"}, CallbackTimeout: 25 * time.Hour},
		} {
			i := h.create(w, r)
			h.wantEqual(h.load(i.ID), i)
			h.wantEqual(h.list(riposte.InstanceFilter{})[0], i)
			if i.Version == 0 || i.State != riposte.StatePending || len(i.Steps()) != 1 {
				h.Errorf("version %d, state %s, steps %v", i.Version, i.State, i.Steps())
			}
		}
	}},
	{"an envelope keeps its bytes", func(h *house) {
		r := h.record(h.webhook(), riposte.InstanceRequest{Source: approval.Source, Payload: []byte(`{ "n":12345678901234567890,"é":"\u00e9" }`)})
		_, err := h.store.CreateInstances(h.Context(), []riposte.NewInstanceRecord{r})
		h.must(err)
		loaded, err := h.store.LoadEnvelope(h.Context(), r.Instance.ID)
		h.must(err)
		h.wantEqual(loaded, r.Envelope)
		h.wantEqual(loaded.Payload(), r.Envelope.Payload())
	}},
	{"what is not there is not found", func(h *house) {
		_, err := h.store.LoadInstance(h.Context(), "unknown")
		h.wantError(err, riposte.ErrInstanceNotFound)
		_, err = h.store.LoadInstance(h.Context(), "\x00")
		h.wantError(err, riposte.ErrInstanceNotFound)
		_, err = h.store.LoadEnvelope(h.Context(), "unknown")
		h.wantError(err, riposte.ErrInstanceNotFound)
	}},
	{"a batch comes back in its order", func(h *house) {
		a, b := h.webhook(), h.webhook()
		records := []riposte.NewInstanceRecord{h.record(b, approval), h.record(a, approval), h.record(b, approval)}
		got, err := h.store.CreateInstances(h.Context(), records)
		h.must(err)
		for n, r := range records {
			if got[n].ID != r.Instance.ID {
				h.Errorf("place %d has %s, want %s", n, got[n].ID, r.Instance.ID)
			}
		}
	}},
	{"a batch with an unknown webhook stores nothing and says which", func(h *house) {
		w := h.webhook()
		unknown := w
		unknown.ID = riposte.NewID(h.now())
		h.refusedAt2(w, h.record(unknown, approval), riposte.ErrWebhookNotFound)
	}},
	{"a batch with a deleted webhook stores nothing and says which", func(h *house) {
		h.refusedAt2(h.webhook(), h.record(h.deleteWebhook(h.webhook()), approval), riposte.ErrWebhookNotFound)
	}},
	{"a batch with a requestId used otherwise stores nothing and says which", func(h *house) {
		w := h.webhook()
		first := h.create(w, riposte.InstanceRequest{RequestID: "r"})
		other := riposte.InstanceRequest{RequestID: "r", Source: approval.Source, Payload: []byte(`{"a": 2}`)}
		h.refusedAt2(w, h.record(w, other), riposte.ErrRequestIDReused, first)
	}},
	{"a requestId that somebody else has used gives nobody's instance", func(h *house) {
		w := h.webhook()
		first := h.create(w, riposte.InstanceRequest{RequestID: "r", CreatedBy: "red"})
		h.refusedAt2(w, h.record(w, riposte.InstanceRequest{RequestID: "r", CreatedBy: "blue"}), riposte.ErrRequestIDReused, first)
		h.wantEqual(h.create(w, riposte.InstanceRequest{RequestID: "r", CreatedBy: "red"}), first)
		red, blue := h.record(w, riposte.InstanceRequest{RequestID: "s", CreatedBy: "red"}), h.record(w, riposte.InstanceRequest{RequestID: "s", CreatedBy: "blue"})
		_, err := h.store.CreateInstances(h.Context(), []riposte.NewInstanceRecord{red, blue})
		h.wantError(err, riposte.ErrRequestIDReused)
	}},
	{"a requestId of before it was known who creates gives its instance", func(h *house) {
		w := h.webhook()
		first := h.create(w, riposte.InstanceRequest{RequestID: "r"})
		h.wantEqual(h.create(w, riposte.InstanceRequest{RequestID: "r", CreatedBy: "red"}), first)
	}},
	{"the same requestId gives the same instance, as it is now", func(h *house) {
		w := h.webhook()
		r := riposte.InstanceRequest{RequestID: "r"}
		first := h.create(w, r)
		h.wantEqual(h.create(w, r), first)
		closed := h.change(h.claimOne(), answered(riposte.ViaCallback))
		h.wantEqual(h.create(w, r), closed)
		h.wantEqual(ids(h.list(riposte.InstanceFilter{})), []string{first.ID})
	}},
	{"the same requestId gives the same instance also when the webhook was deleted since", func(h *house) {
		w := h.webhook()
		first := h.create(w, riposte.InstanceRequest{RequestID: "r"})
		deleted := h.deleteWebhook(w)
		h.wantEqual(h.create(deleted, riposte.InstanceRequest{RequestID: "r"}), first)
		_, err := h.store.CreateInstances(h.Context(), []riposte.NewInstanceRecord{h.record(deleted, riposte.InstanceRequest{RequestID: "new"})})
		h.wantError(err, riposte.ErrWebhookNotFound)
	}},
	{"a requestId counts on its webhook only", func(h *house) {
		r := riposte.InstanceRequest{RequestID: "r"}
		if a, b := h.create(h.webhook(), r), h.create(h.webhook(), r); a.ID == b.ID {
			h.Errorf("both webhooks got %s", a.ID)
		}
	}},
	{"without a requestId every create is new", func(h *house) {
		w := h.webhook()
		h.create(w, approval)
		h.create(w, approval)
		if n := len(h.list(riposte.InstanceFilter{})); n != 2 {
			h.Errorf("there are %d, want 2", n)
		}
	}},
	{"the same requestId twice in a batch gives one instance", func(h *house) {
		w := h.webhook()
		r := riposte.InstanceRequest{RequestID: "r"}
		records := []riposte.NewInstanceRecord{h.record(w, r), h.record(w, approval), h.record(w, r)}
		got, err := h.store.CreateInstances(h.Context(), records)
		h.must(err)
		h.wantEqual(got[2], got[0])
		if n := len(h.list(riposte.InstanceFilter{})); n != 2 {
			h.Errorf("there are %d, want 2", n)
		}
	}},
	{"the same requestId at the same time gives one instance", func(h *house) {
		w := h.webhook()
		records := make([]riposte.NewInstanceRecord, 16)
		for k := range records {
			records[k] = h.record(w, riposte.InstanceRequest{RequestID: "r"})
		}
		got := make([]riposte.Instance, len(records))
		h.must(errors.Join(concurrently(len(records), func(k int) error {
			is, err := h.store.CreateInstances(h.Context(), records[k:k+1])
			if err == nil {
				got[k] = is[0]
			}
			return err
		})...))
		for _, i := range got {
			h.wantEqual(i, got[0])
		}
		if n := len(h.list(riposte.InstanceFilter{})); n != 1 {
			h.Errorf("there are %d, want 1", n)
		}
	}},
	{"an empty batch is no error", func(h *house) {
		got, err := h.store.CreateInstances(h.Context(), nil)
		h.must(err)
		h.wantEqual(got, []riposte.Instance(nil))
	}},
	{"a call whose context has ended changes nothing", func(h *house) {
		r := h.record(h.webhook(), approval)
		if _, err := h.store.CreateInstances(canceled(), []riposte.NewInstanceRecord{r}); err == nil {
			h.Fatalf("no error")
		}
		_, err := h.store.LoadInstance(h.Context(), r.Instance.ID)
		h.wantError(err, riposte.ErrInstanceNotFound)
	}},
	{"the store's time has whole microseconds in UTC", func(h *house) {
		h.wantEqual(h.now(), riposte.Time(h.clock.Now()))
		if h.now().Location() != time.UTC {
			h.Errorf("it is in %v", h.now().Location())
		}
	}},
	{"a store that can commit says so", func(h *house) {
		h.must(h.store.Check(h.Context()))
		h.must(h.store.Check(h.Context()))
	}},
}

// refusedAt2 creates a batch whose third record must be refused with want, and
// checks that nothing but before is there afterwards.
func (h *house) refusedAt2(w riposte.Webhook, bad riposte.NewInstanceRecord, want *riposte.Error, before ...riposte.Instance) {
	h.Helper()
	good := func() riposte.NewInstanceRecord {
		return h.record(w, riposte.InstanceRequest{Labels: map[string]string{"k": "v"}})
	}
	records := []riposte.NewInstanceRecord{good(), good(), bad, good()}
	_, err := h.store.CreateInstances(h.Context(), records)
	h.wantError(err, want)
	if e, ok := errors.AsType[*riposte.Error](err); !ok || e.Metadata["index"] != "2" {
		h.Errorf("metadata of %v lacks the index 2", err)
	}
	h.wantEqual(ids(h.list(riposte.InstanceFilter{})), ids(before))
	h.wantEqual(h.list(riposte.InstanceFilter{Labels: map[string]string{"k": "v"}}), []riposte.Instance(nil))
	_, err = h.store.LoadEnvelope(h.Context(), records[0].Instance.ID)
	h.wantError(err, riposte.ErrInstanceNotFound)
}
