package storetest

import (
	"errors"
	"time"

	"github.com/riposte-dev/riposte"
)

var webhooks = []behaviour{
	{"a webhook loads as it was saved", func(h *house) {
		w := h.webhook(func(w *riposte.Webhook) {
			w.DisplayName, w.Description = "Ünïcode %_'\"", "two\nlines"
			w.CallbackTimeout = 36*time.Hour + time.Nanosecond
			w.Settings = riposte.WebhookSettings{RetryPolicy: riposte.RetryFast, MaxInFlight: 7, MaxInFlightTotal: 9}
		})
		loaded, err := h.store.LoadWebhook(h.Context(), w.ID)
		h.must(err)
		h.wantEqual(loaded, w)
		if w.Version == 0 || !w.CreatedAt.Equal(riposte.Time(w.CreatedAt)) {
			h.Errorf("version %d, created at %v", w.Version, w.CreatedAt)
		}
	}},
	{"what a webhook's requests have beyond the contract loads as it was saved", func(h *house) {
		request := riposte.RequestSettings{
			Headers: []riposte.Header{{Name: "X-Tenant", Value: riposte.Sealed("\x00\xffone")}, {Name: "A", Value: riposte.Sealed("two")}},
			Secrets: []riposte.WebhookSecret{
				{ID: "b", Scheme: riposte.SchemeV1A, Secret: riposte.Sealed("seed"), PublicKey: []byte("public"), CreatedAt: h.now()},
				{ID: "a", Scheme: riposte.SchemeV1, Secret: riposte.Sealed("key"), CreatedAt: h.now(), ExpiresAt: h.now().Add(time.Hour)},
			},
			ClientCertificate: &riposte.ClientCertificate{Certificate: "certificate", PrivateKey: riposte.Sealed("key")},
			CA:                "authority \"\n",
		}
		want := h.webhook(func(w *riposte.Webhook) { w.Settings.Request = request }).Clone()
		// What a caller does with its own changes nothing that is stored.
		request.Headers[0].Name, request.Secrets[0].Secret[0], request.ClientCertificate.Certificate = "changed", 0, "changed"
		for range 2 {
			h.create(want, approval)
			h.wantEqual(h.claim(riposte.ClaimRequest{Limit: 1}).Attempts[0].Webhook, want)
			for range 2 {
				loaded, err := h.store.LoadWebhook(h.Context(), want.ID)
				h.must(err)
				h.wantEqual(loaded, want)
				h.must(errors.Join(concurrently(4, func(int) error {
					mine, err := h.store.LoadWebhook(h.Context(), want.ID)
					if err == nil {
						mine.Settings.Request.Headers[0].Value[0], mine.Settings.Request.Secrets[1].ID = 'x', "x"
					}
					return err
				})...))
			}
			h.restart()
		}
		listed, err := h.store.ListWebhooks(h.Context(), riposte.WebhookFilter{Limit: 10})
		h.must(err)
		h.wantEqual(listed, []riposte.Webhook{want})
		want.Settings.Request = riposte.RequestSettings{}
		want, err = h.store.SaveWebhook(h.Context(), want)
		h.must(err)
		loaded, err := h.store.LoadWebhook(h.Context(), want.ID)
		h.must(err)
		h.wantEqual(loaded, want)
	}},
	{"a webhook is replaced by the one that carries its version", func(h *house) {
		first := h.webhook()
		second := first
		second.DisplayName, second.URL, second.Settings.MaxInFlight = "new name", "https://other.example", 3
		second, err := h.store.SaveWebhook(h.Context(), second)
		h.must(err)
		if second.Version <= first.Version {
			h.Errorf("version went from %d to %d", first.Version, second.Version)
		}
		loaded, err := h.store.LoadWebhook(h.Context(), first.ID)
		h.must(err)
		h.wantEqual(loaded, second)
	}},
	{"a webhook that was changed in the meantime conflicts", func(h *house) {
		stale := h.webhook()
		fresh, err := h.store.SaveWebhook(h.Context(), stale)
		h.must(err)
		_, err = h.store.SaveWebhook(h.Context(), stale)
		h.wantError(err, riposte.ErrConflict)
		loaded, err := h.store.LoadWebhook(h.Context(), stale.ID)
		h.must(err)
		h.wantEqual(loaded, fresh)
	}},
	{"one of simultaneous saves of a webhook wins", func(h *house) {
		w := h.webhook()
		won := 0
		for _, err := range concurrently(8, func(int) error { _, err := h.store.SaveWebhook(h.Context(), w); return err }) {
			switch {
			case err == nil:
				won++
			case !errors.Is(err, riposte.ErrConflict):
				h.Errorf("the loser got %v", err)
			}
		}
		if won != 1 {
			h.Errorf("%d won, want 1", won)
		}
	}},
	{"a new webhook does not take an id that is there", func(h *house) {
		w := h.webhook()
		again := w
		again.Version = 0
		_, err := h.store.SaveWebhook(h.Context(), again)
		h.wantError(err, riposte.ErrConflict)
	}},
	{"a webhook that is not there is not found", func(h *house) {
		w := h.webhook()
		_, err := h.store.LoadWebhook(h.Context(), "unknown")
		h.wantError(err, riposte.ErrWebhookNotFound)
		w.ID = riposte.NewID(h.now())
		_, err = h.store.SaveWebhook(h.Context(), w)
		h.wantError(err, riposte.ErrWebhookNotFound)
	}},
	{"a deleted webhook loads and is not listed", func(h *house) {
		w := h.deleteWebhook(h.webhook())
		loaded, err := h.store.LoadWebhook(h.Context(), w.ID)
		h.must(err)
		h.wantEqual(loaded, w)
		h.wantWebhooks(riposte.WebhookFilter{})
		h.wantWebhooks(riposte.WebhookFilter{IDs: []string{w.ID}})
	}},
	{"deleted webhooks are listed by themselves", func(h *house) {
		a, b, c := h.webhook(), h.webhook(), h.webhook()
		a, c = h.deleteWebhook(a), h.deleteWebhook(c)
		h.wantWebhooks(riposte.WebhookFilter{}, b)
		h.wantWebhooks(riposte.WebhookFilter{Deleted: true}, c, a)
		h.wantWebhooks(riposte.WebhookFilter{Deleted: true, Limit: 1}, c)
		h.wantWebhooks(riposte.WebhookFilter{Deleted: true, Before: c.ID}, a)
		h.wantWebhooks(riposte.WebhookFilter{Deleted: true, Query: a.DisplayName, IDs: []string{a.ID, b.ID, c.ID}}, a)
	}},
	{"webhooks are listed newest first, page by page", func(h *house) {
		a, b, c := h.webhook(), h.webhook(), h.webhook()
		h.wantWebhooks(riposte.WebhookFilter{}, c, b, a)
		h.wantWebhooks(riposte.WebhookFilter{Limit: 2}, c, b)
		h.wantWebhooks(riposte.WebhookFilter{Limit: 2, Before: b.ID}, a)
		h.wantWebhooks(riposte.WebhookFilter{Before: a.ID})
	}},
	{"a webhook is found by any part of its name or description", func(h *house) {
		a := h.webhook(func(w *riposte.Webhook) { w.DisplayName = "Deploy approvals" })
		b := h.webhook(func(w *riposte.Webhook) { w.Description = "asks before a deploy" })
		h.webhook()
		h.wantWebhooks(riposte.WebhookFilter{Query: "deploy"}, b, a)
		h.wantWebhooks(riposte.WebhookFilter{Query: "APPROVALSasks"})
		h.wantWebhooks(riposte.WebhookFilter{Query: "loy app"}, a)
	}},
	{"a search ignores case in every alphabet", func(h *house) {
		w := h.webhook(func(w *riposte.Webhook) {
			w.DisplayName, w.Description = "ÄRGER Łódź", "Привет Σίσυφος"
		})
		for _, query := range []string{"ärger", "łÓDŹ", "пРИВЕТ", "σίσυφοσ", "ΣΊΣΥΦΟΣ"} {
			h.wantWebhooks(riposte.WebhookFilter{Query: query}, w)
		}
		h.wantWebhooks(riposte.WebhookFilter{Query: "arger"})
	}},
	{"a search has no wildcards", func(h *house) {
		w := h.webhook(func(w *riposte.Webhook) { w.DisplayName = `100%_of*[a]\?` })
		h.webhook()
		for _, query := range []string{"%", "_", "*", "[a]", `\`, "?", "0%_of"} {
			h.wantWebhooks(riposte.WebhookFilter{Query: query}, w)
		}
		h.wantWebhooks(riposte.WebhookFilter{Query: "1_0"})
		h.wantWebhooks(riposte.WebhookFilter{Query: "1%f"})
	}},
	{"a search combines its parts with AND", func(h *house) {
		a := h.webhook(func(w *riposte.Webhook) { w.DisplayName = "one" })
		b := h.webhook(func(w *riposte.Webhook) { w.DisplayName = "one more" })
		h.wantWebhooks(riposte.WebhookFilter{Query: "one", IDs: []string{a.ID, "unknown"}}, a)
		h.wantWebhooks(riposte.WebhookFilter{Query: "more", IDs: []string{a.ID}})
		h.wantWebhooks(riposte.WebhookFilter{Query: "one", Before: b.ID}, a)
		h.wantWebhooks(riposte.WebhookFilter{IDs: []string{}})
	}},
}

func (h *house) wantWebhooks(f riposte.WebhookFilter, want ...riposte.Webhook) {
	h.Helper()
	if f.Limit == 0 {
		f.Limit = 100
	}
	got, err := h.store.ListWebhooks(h.Context(), f)
	h.must(err)
	h.wantEqual(got, want)
}
