package storetest

import (
	"errors"

	"github.com/riposte-dev/riposte"
)

var secrets = []behaviour{
	{"a secret is saved over the version that it was made from", func(h *house) {
		_, err := h.store.LoadSecret(h.Context(), "ring")
		h.wantError(err, riposte.ErrSecretNotFound)
		h.wantError(h.store.SaveSecret(h.Context(), "ring", []byte("x"), 1), riposte.ErrConflict)
		h.must(h.store.SaveSecret(h.Context(), "ring", []byte("one"), 0))
		h.wantSecret("ring", "one", 1)
		h.wantError(h.store.SaveSecret(h.Context(), "ring", []byte("x"), 0), riposte.ErrConflict)
		h.must(h.store.SaveSecret(h.Context(), "ring", []byte("two"), 1))
		h.wantError(h.store.SaveSecret(h.Context(), "ring", []byte("x"), 1), riposte.ErrConflict)
		h.restart()
		h.wantSecret("ring", "two", 2)
	}},
	{"of those who save a secret at once one wins", func(h *house) {
		for version := range int64(10) {
			winner := -1
			for n, err := range concurrently(8, func(n int) error { return h.store.SaveSecret(h.Context(), "ring", []byte{byte(n)}, version) }) {
				switch {
				case err == nil && winner >= 0:
					h.Fatalf("%d and %d have won", winner, n)
				case err == nil:
					winner = n
				case !errors.Is(err, riposte.ErrConflict):
					h.Fatalf("save %d: %v", n, err)
				}
			}
			h.wantSecret("ring", string(rune(winner)), version+1)
		}
	}},
}

func (h *house) wantSecret(name, value string, version int64) {
	h.Helper()
	got, err := h.store.LoadSecret(h.Context(), name)
	h.must(err)
	h.wantEqual(got, riposte.Secret{Value: []byte(value), Version: version})
}
