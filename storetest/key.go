package storetest

import (
	"errors"
	"slices"
	"time"

	"github.com/riposte-dev/riposte"
)

var keys = []behaviour{
	{"a key is found by its hash", func(h *house) {
		k, secret, err := riposte.NewKey("CI", riposte.RoleSender, h.now())
		h.must(err)
		h.must(h.store.CreateKey(h.Context(), k))
		loaded, err := h.store.LoadKey(h.Context(), riposte.HashKey(secret))
		h.must(err)
		h.wantEqual(loaded, k)
		_, err = h.store.LoadKey(h.Context(), riposte.HashKey("other"))
		h.wantError(err, riposte.ErrKeyNotFound)
	}},
	{"a key has its expiry and its rate", func(h *house) {
		k, _, err := riposte.NewKey("CI", riposte.RoleSender, h.now())
		h.must(err)
		k.ExpiresAt, k.RateLimit = h.now().Add(time.Hour), riposte.MaxRateLimit
		h.must(h.store.CreateKey(h.Context(), k))
		h.clock.Advance(2 * time.Hour)
		for range 2 {
			loaded, err := h.store.LoadKey(h.Context(), k.Hash)
			h.must(err)
			h.wantEqual(loaded, k)
			h.wantKeys(k)
			h.restart()
		}
	}},
	{"the key whose hash is already there stays", func(h *house) {
		first, err := riposte.NewKeyWithSecret("first", riposte.RoleViewer, "secret", h.now())
		h.must(err)
		h.must(h.store.CreateKey(h.Context(), first))
		second, err := riposte.NewKeyWithSecret("second", riposte.RoleAdmin, "secret", h.now())
		h.must(err)
		h.must(h.store.CreateKey(h.Context(), second))
		loaded, err := h.store.LoadKey(h.Context(), first.Hash)
		h.must(err)
		h.wantEqual(loaded, first)
	}},
	{"keys are listed newest first", func(h *house) {
		h.wantKeys()
		var all []riposte.Key
		for _, role := range riposte.Roles {
			all = append(all, h.key(role))
		}
		slices.Reverse(all)
		h.wantKeys(all...)
		h.restart()
		h.wantKeys(all...)
	}},
	{"a deleted key is not found from then on", func(h *house) {
		k, other := h.key(riposte.RoleAdmin), h.key(riposte.RoleViewer)
		for _, each := range []riposte.Key{k, other} {
			_, err := h.store.LoadKey(h.Context(), each.Hash)
			h.must(err)
		}
		h.must(h.store.DeleteKey(h.Context(), k.ID, false))
		_, err := h.store.LoadKey(h.Context(), k.Hash)
		h.wantError(err, riposte.ErrKeyNotFound)
		h.wantError(h.store.DeleteKey(h.Context(), k.ID, false), riposte.ErrKeyNotFound)
		h.wantKeys(other)
		loaded, err := h.store.LoadKey(h.Context(), other.Hash)
		h.must(err)
		h.wantEqual(loaded, other)
		h.restart()
		_, err = h.store.LoadKey(h.Context(), k.Hash)
		h.wantError(err, riposte.ErrKeyNotFound)
	}},
	{"the last key can be deleted, and made again with its secret", func(h *house) {
		first := h.key(riposte.RoleAdmin)
		_, err := h.store.LoadKey(h.Context(), first.Hash)
		h.must(err)
		h.must(h.store.DeleteKey(h.Context(), first.ID, false))
		h.wantKeys()
		again := first
		again.ID, again.Role = riposte.NewID(h.now()), riposte.RoleViewer
		h.must(h.store.CreateKey(h.Context(), again))
		loaded, err := h.store.LoadKey(h.Context(), first.Hash)
		h.must(err)
		h.wantEqual(loaded, again)
	}},
	{"the last key of an admin can be kept", func(h *house) {
		viewer, first := h.key(riposte.RoleViewer), h.key(riposte.RoleAdmin)
		h.wantError(h.store.DeleteKey(h.Context(), first.ID, true), riposte.ErrLastAdmin)
		h.wantKeys(first, viewer)
		second := h.key(riposte.RoleAdmin)
		h.must(h.store.DeleteKey(h.Context(), first.ID, true))
		h.wantError(h.store.DeleteKey(h.Context(), second.ID, true), riposte.ErrLastAdmin)
		h.wantError(h.store.DeleteKey(h.Context(), first.ID, true), riposte.ErrKeyNotFound)
		h.must(h.store.DeleteKey(h.Context(), viewer.ID, true))
		h.wantKeys(second)
		h.must(h.store.DeleteKey(h.Context(), second.ID, false))
		h.wantError(h.store.DeleteKey(h.Context(), second.ID, true), riposte.ErrKeyNotFound)
	}},
	{"a key of an admin that expires is none to rely on", func(h *house) {
		k, _, err := riposte.NewKey("for a day", riposte.RoleAdmin, h.now())
		h.must(err)
		k.ExpiresAt = h.now().Add(24 * time.Hour)
		h.must(h.store.CreateKey(h.Context(), k))
		last := h.key(riposte.RoleAdmin)
		h.wantError(h.store.DeleteKey(h.Context(), last.ID, true), riposte.ErrLastAdmin)
		h.must(h.store.DeleteKey(h.Context(), k.ID, true))
		h.wantError(h.store.DeleteKey(h.Context(), last.ID, true), riposte.ErrLastAdmin)
		h.must(h.store.CreateKey(h.Context(), k))
		h.must(h.store.DeleteKey(h.Context(), last.ID, false))
		h.must(h.store.DeleteKey(h.Context(), k.ID, true))
	}},
	{"of admins' keys that are deleted all at once one stays", func(h *house) {
		for range 5 {
			all := make([]riposte.Key, 4)
			for n := range all {
				all[n] = h.key(riposte.RoleAdmin)
			}
			kept := 0
			for n, err := range concurrently(len(all), func(n int) error { return h.store.DeleteKey(h.Context(), all[n].ID, true) }) {
				if errors.Is(err, riposte.ErrLastAdmin) {
					kept++
				} else if err != nil {
					h.Fatalf("key %d: %v", n, err)
				}
			}
			left, err := h.store.ListKeys(h.Context())
			h.must(err)
			if kept != 1 || len(left) != 1 {
				h.Fatalf("%d were refused, and %d keys are left", kept, len(left))
			}
			h.must(h.store.DeleteKey(h.Context(), left[0].ID, false))
		}
	}},
	{"a key that is loaded while it is deleted is not kept", func(h *house) {
		for range 20 {
			k := h.key(riposte.RoleAdmin)
			for n, err := range concurrently(8, func(n int) error {
				if n == 4 {
					return h.store.DeleteKey(h.Context(), k.ID, false)
				}
				_, _ = h.store.LoadKey(h.Context(), k.Hash)
				return nil
			}) {
				if err != nil {
					h.Fatalf("call %d: %v", n, err)
				}
			}
			_, err := h.store.LoadKey(h.Context(), k.Hash)
			h.wantError(err, riposte.ErrKeyNotFound)
		}
	}},
}

// key creates a key.
func (h *house) key(role riposte.Role) riposte.Key {
	h.Helper()
	h.clock.Advance(time.Millisecond)
	k := h.newKey(role)
	h.must(h.store.CreateKey(h.Context(), k))
	return k
}

// newKey makes a key without storing it.
func (h *house) newKey(role riposte.Role) riposte.Key {
	h.Helper()
	k, _, err := riposte.NewKey("a key", role, h.now())
	h.must(err)
	return k
}

func (h *house) wantKeys(want ...riposte.Key) {
	h.Helper()
	got, err := h.store.ListKeys(h.Context())
	h.must(err)
	h.wantEqual(got, want)
}
