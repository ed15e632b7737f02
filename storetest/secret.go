package storetest

import (
	"bytes"
	"errors"
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
}

func (h *house) secret(name, value string) []byte {
	h.Helper()
	got, err := h.store.Secret(h.Context(), name, func() ([]byte, error) { return []byte(value), nil })
	h.must(err)
	return got
}
