package storetest

import (
	"slices"
	"time"

	"github.com/riposte-dev/riposte"
)

// consumer makes one without storing it.
func (h *house) consumer(name string, after int64) riposte.Consumer {
	h.Helper()
	filter := riposte.OutcomeFilter{SourceKind: riposte.SourceApprovalStep, Labels: map[string]string{"k": `v"`}}
	c, err := riposte.NewConsumer(name, filter, after, h.now())
	h.must(err)
	return c
}

func (h *house) saveConsumer(c riposte.Consumer) riposte.Consumer {
	h.Helper()
	saved, err := h.store.SaveConsumer(h.Context(), c)
	h.must(err)
	return saved
}

var consumers = []behaviour{
	{"a consumer loads as it was saved", func(h *house) {
		c := h.saveConsumer(h.consumer("b", 7))
		c, _, err := c.Lease(9, time.Minute, h.now())
		h.must(err)
		c = h.saveConsumer(c)
		first := h.saveConsumer(h.consumer("a", 0))
		h.restart()
		loaded, err := h.store.LoadConsumer(h.Context(), "b")
		h.must(err)
		h.wantEqual(loaded, c)
		all, err := h.store.ListConsumers(h.Context())
		h.must(err)
		h.wantEqual(all, []riposte.Consumer{first, c})
	}},
	{"a consumer is saved over its own version alone", func(h *house) {
		c := h.saveConsumer(h.consumer("a", 7))
		_, err := h.store.SaveConsumer(h.Context(), h.consumer("a", 0))
		h.wantError(err, riposte.ErrConsumerExists)
		h.saveConsumer(c)
		_, err = h.store.SaveConsumer(h.Context(), c)
		h.wantError(err, riposte.ErrConflict)
	}},
	{"a deleted consumer is gone", func(h *house) {
		c := h.saveConsumer(h.consumer("a", 7))
		h.must(h.store.DeleteConsumer(h.Context(), "a"))
		h.wantError(h.store.DeleteConsumer(h.Context(), "a"), riposte.ErrConsumerNotFound)
		_, err := h.store.LoadConsumer(h.Context(), "a")
		h.wantError(err, riposte.ErrConsumerNotFound)
		_, err = h.store.SaveConsumer(h.Context(), c)
		h.wantError(err, riposte.ErrConsumerNotFound)
		h.saveConsumer(h.consumer("a", 0))
	}},
	{"one of many who save a consumer at the same time wins", func(h *house) {
		c := h.saveConsumer(h.consumer("a", 7))
		errs := concurrently(20, func(int) error {
			_, err := h.store.SaveConsumer(h.Context(), c)
			return err
		})
		won := slices.IndexFunc(errs, func(err error) bool { return err == nil })
		if won < 0 {
			h.Fatalf("nobody won: %v", errs[0])
		}
		for _, err := range slices.Delete(errs, won, won+1) {
			h.wantError(err, riposte.ErrConflict)
		}
	}},
	{"purging leaves what a consumer has not acked", func(h *house) {
		closed := h.close(h.webhook(bounded(100)), 4)
		c := h.saveConsumer(h.consumer("a", closed[0].Outcome.Sequence))
		c, lease, err := c.Lease(closed[2].Outcome.Sequence, time.Minute, h.now())
		h.must(err)
		c = h.saveConsumer(c)
		late := h.now().Add(100 * 24 * time.Hour)
		h.wantPurged(late, 100, 1)
		c, err = c.Ack(lease.ID, 0)
		h.must(err)
		h.saveConsumer(c)
		h.wantPurged(late, 100, 2)
		h.must(h.store.DeleteConsumer(h.Context(), "a"))
		h.wantPurged(late, 100, 1)
	}},
}
