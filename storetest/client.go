package storetest

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/riposte-dev/riposte"
)

var clients = []behaviour{
	{"a client is found by its client id", func(h *house) {
		c := h.client()
		loaded, err := h.store.LoadClient(h.Context(), c.ClientID)
		h.must(err)
		h.wantEqual(loaded, c)
		for _, other := range []string{"", c.ID, c.Name, "other@host/uic"} {
			_, err = h.store.LoadClient(h.Context(), other)
			h.wantError(err, riposte.ErrClientNotFound)
		}
	}},
	{"a client id is taken once", func(h *house) {
		c := h.client()
		second := c
		second.ID, second.Name = riposte.NewID(h.now()), "second"
		h.wantError(h.store.CreateClient(h.Context(), second), riposte.ErrClientExists)
		h.wantClients(c)
		h.must(h.store.DeleteClient(h.Context(), c.ID))
		h.must(h.store.CreateClient(h.Context(), second))
		h.wantClients(second)
		loaded, err := h.store.LoadClient(h.Context(), c.ClientID)
		h.must(err)
		h.wantEqual(loaded, second)
	}},
	{"of clients that take an id at once one gets it", func(h *house) {
		all := make([]riposte.Client, 8)
		for n := range all {
			all[n] = h.newClient()
			all[n].ClientID = all[0].ClientID
		}
		created := 0
		for n, err := range concurrently(len(all), func(n int) error { return h.store.CreateClient(h.Context(), all[n]) }) {
			switch {
			case err == nil:
				created++
			case !errors.Is(err, riposte.ErrClientExists):
				h.Fatalf("client %d: %v", n, err)
			}
		}
		if created != 1 {
			h.Fatalf("%d were created", created)
		}
	}},
	{"clients are listed newest first", func(h *house) {
		h.wantClients()
		all := []riposte.Client{h.client(), h.client(), h.client()}
		slices.Reverse(all)
		h.wantClients(all...)
		h.restart()
		h.wantClients(all...)
	}},
	{"a deleted client is not found from then on", func(h *house) {
		c, other := h.client(), h.client()
		for _, each := range []riposte.Client{c, other} {
			_, err := h.store.LoadClient(h.Context(), each.ClientID)
			h.must(err)
		}
		h.must(h.store.DeleteClient(h.Context(), c.ID))
		_, err := h.store.LoadClient(h.Context(), c.ClientID)
		h.wantError(err, riposte.ErrClientNotFound)
		h.wantError(h.store.DeleteClient(h.Context(), c.ID), riposte.ErrClientNotFound)
		h.wantClients(other)
		loaded, err := h.store.LoadClient(h.Context(), other.ClientID)
		h.must(err)
		h.wantEqual(loaded, other)
		h.restart()
		_, err = h.store.LoadClient(h.Context(), c.ClientID)
		h.wantError(err, riposte.ErrClientNotFound)
	}},
	{"a client that is loaded while it is deleted is not kept", func(h *house) {
		for range 20 {
			c := h.client()
			h.must(errors.Join(concurrently(8, func(n int) error {
				if n == 4 {
					return h.store.DeleteClient(h.Context(), c.ID)
				}
				_, _ = h.store.LoadClient(h.Context(), c.ClientID)
				return nil
			})...))
			_, err := h.store.LoadClient(h.Context(), c.ClientID)
			h.wantError(err, riposte.ErrClientNotFound)
		}
	}},
	{"an assertion is used once", func(h *house) {
		until := h.now().Add(5 * time.Minute)
		h.must(h.store.UseAssertion(h.Context(), "one", until))
		h.must(h.store.UseAssertion(h.Context(), "two", until))
		h.wantError(h.store.UseAssertion(h.Context(), "one", until.Add(time.Hour)), riposte.ErrReplayed)
		h.clock.Advance(5*time.Minute - time.Microsecond)
		h.must(h.store.UseAssertion(h.Context(), "three", until.Add(time.Hour)))
		h.restart()
		for _, used := range []string{"one", "two", "three"} {
			h.wantError(h.store.UseAssertion(h.Context(), used, until), riposte.ErrReplayed)
		}
	}},
	{"of those who use an assertion at once one may", func(h *house) {
		for k := range 10 {
			used := 0
			for n, err := range concurrently(8, func(int) error {
				return h.store.UseAssertion(h.Context(), fmt.Sprint("assertion ", k), h.now().Add(time.Minute))
			}) {
				switch {
				case err == nil:
					used++
				case !errors.Is(err, riposte.ErrReplayed):
					h.Fatalf("use %d: %v", n, err)
				}
			}
			if used != 1 {
				h.Fatalf("%d may", used)
			}
		}
	}},
	{"when keys and clients were last used is kept, the latest time of each", func(h *house) {
		k, unused, c := h.key(riposte.RoleViewer), h.key(riposte.RoleViewer), h.client()
		used := h.now().Add(time.Minute)
		h.must(h.store.SaveLastUses(h.Context(), nil))
		h.must(h.store.SaveLastUses(h.Context(), map[string]time.Time{k.ID: used, c.ID: used, "gone": used}))
		for _, d := range []time.Duration{0, -time.Second, time.Second} {
			h.must(h.store.SaveLastUses(h.Context(), map[string]time.Time{k.ID: used.Add(d), c.ID: used.Add(-d)}))
		}
		k.LastUsedAt, c.LastUsedAt = used.Add(time.Second), used.Add(time.Second)
		h.wantKeys(unused, k)
		h.wantClients(c)
		loaded, err := h.store.LoadKey(h.Context(), k.Hash)
		h.must(err)
		k.LastUsedAt = time.Time{}
		h.wantEqual(loaded, k)
		client, err := h.store.LoadClient(h.Context(), c.ClientID)
		h.must(err)
		c.LastUsedAt = time.Time{}
		h.wantEqual(client, c)
	}},
}

// newClient makes a client without storing it.
func (h *house) newClient() riposte.Client {
	h.Helper()
	h.clock.Advance(time.Millisecond)
	h.names++
	public, _, err := ed25519.GenerateKey(nil)
	h.must(err)
	return riposte.Client{ID: riposte.NewID(h.now()), ClientID: fmt.Sprintf("client-%d@riposte.example/uic", h.names), Name: "a client",
		Role: riposte.RoleSender, PublicKey: public, CreatedAt: h.now(), ExpiresAt: h.now().Add(time.Hour), RateLimit: h.names}
}

// client creates a client.
func (h *house) client() riposte.Client {
	h.Helper()
	c := h.newClient()
	h.must(h.store.CreateClient(h.Context(), c))
	return c
}

func (h *house) wantClients(want ...riposte.Client) {
	h.Helper()
	got, err := h.store.ListClients(h.Context())
	h.must(err)
	h.wantEqual(got, want)
}
