package storetest

import (
	"bytes"
	"errors"

	"github.com/riposte-dev/riposte"
)

var secrets = []behaviour{
	{"a secret is created once and kept", func(h *house) {
		first := h.secret("jwt", "one")
		h.wantEqual(first, []byte("one"))
		h.wantEqual(h.secret("jwt", "two"), first)
		h.wantEqual(h.secret("other", "three"), []byte("three"))
		h.restart()
		h.wantEqual(h.secret("jwt", "four"), first)
	}},
	{"all who ask for a secret at once get the same", func(h *house) {
		got := make([][]byte, 16)
		h.must(errors.Join(concurrently(len(got), func(k int) (err error) {
			got[k], err = h.store.Secret(h.Context(), "jwt", func() ([]byte, error) { return []byte{byte(k)}, nil })
			return err
		})...))
		for _, each := range got {
			if !bytes.Equal(each, got[0]) {
				h.Errorf("got %v and %v", got[0], each)
			}
		}
	}},
	{"a secret that could not be created is tried again", func(h *house) {
		broken := errors.New("no entropy")
		if _, err := h.store.Secret(h.Context(), "jwt", func() ([]byte, error) { return nil, broken }); !errors.Is(err, broken) {
			h.Errorf("error is %v, want %v", err, broken)
		}
		h.wantEqual(h.secret("jwt", "one"), []byte("one"))
	}},
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
		h.secret("jwt", "key")
		h.wantSecret("jwt", "key", 1)
		h.must(h.store.SaveSecret(h.Context(), "jwt", []byte("sealed"), 1))
		h.wantEqual(h.secret("jwt", "another"), []byte("sealed"))
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

func (h *house) secret(name, value string) []byte {
	h.Helper()
	got, err := h.store.Secret(h.Context(), name, func() ([]byte, error) { return []byte(value), nil })
	h.must(err)
	return got
}
