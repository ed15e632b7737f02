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
	{"keys are counted", func(h *house) {
		for want := range 3 {
			n, err := h.store.CountKeys(h.Context())
			h.must(err)
			if n != want {
				h.Errorf("counted %d, want %d", n, want)
			}
			k, _, err := riposte.NewKey("", riposte.RoleAdmin, h.now())
			h.must(err)
			h.must(h.store.CreateKey(h.Context(), k))
		}
	}},
}

func (h *house) secret(name, value string) []byte {
	h.Helper()
	got, err := h.store.Secret(h.Context(), name, func() ([]byte, error) { return []byte(value), nil })
	h.must(err)
	return got
}
