package api

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/riposte-dev/riposte"
)

const callbackKeySize = 32

// MaxCallbackKeys is how many keys of callback URLs there may be at one time: a byte
// names them.
const MaxCallbackKeys = 255

// CallbackKey seals the tokens of callback URLs from a time on.
type CallbackKey struct {
	ID   byte // leads every token that is made with it; not 0
	Key  []byte
	From time.Time
}

// CallbackTokens makes the one-time part of callback URLs: the instance's id
// under AES-256-GCM, unforgeable and meaningless to its holder. It may be used by several
// goroutines at once.
type CallbackTokens struct {
	now  func() time.Time
	ring atomic.Pointer[[]callbackAEAD]
}

type callbackAEAD struct {
	id   byte
	from time.Time
	aead cipher.AEAD
}

// NewCallbackKey is what CallbackTokens needs, to be kept by the store.
func NewCallbackKey() ([]byte, error) {
	key := make([]byte, callbackKeySize)
	rand.Read(key)
	return key, nil
}

// NewCallbackTokens takes a key made by NewCallbackKey.
func NewCallbackTokens(key []byte) (*CallbackTokens, error) {
	t := &CallbackTokens{now: time.Now}
	return t, t.Use([]CallbackKey{{ID: 1, Key: key}})
}

// NewCallbackTokenRing takes its keys by Use, before anything else. now is the clock by
// which they are used.
func NewCallbackTokenRing(now func() time.Time) *CallbackTokens { return &CallbackTokens{now: now} }

// Use takes these keys in the place of those that it had. They are in the order in which
// they are used, and there must be one at least.
func (t *CallbackTokens) Use(keys []CallbackKey) error {
	if len(keys) == 0 {
		return errors.New("reading the callback keys: there are none")
	}
	var ring []callbackAEAD
	for _, k := range keys {
		block, err := aes.NewCipher(k.Key)
		if err != nil {
			return fmt.Errorf("reading the callback key: %w", err)
		}
		aead, err := cipher.NewGCMWithRandomNonce(block)
		if err != nil {
			return fmt.Errorf("reading the callback key: %w", err)
		}
		ring = append(ring, callbackAEAD{k.ID, k.From, aead})
	}
	t.ring.Store(&ring)
	return nil
}

// Seal returns a token for an instance's id, in unpadded base64url. Each call
// gives another one: the envelope keeps the instance's own.
func (t *CallbackTokens) Seal(instanceID string) string {
	k := t.current()
	sealed := k.aead.Seal([]byte{k.id}, nil, []byte(instanceID), []byte{k.id})
	return base64.RawURLEncoding.EncodeToString(sealed)
}

func (t *CallbackTokens) current() callbackAEAD {
	ring, now := *t.ring.Load(), t.now()
	for n := len(ring) - 1; n > 0; n-- {
		if !ring[n].from.After(now) {
			return ring[n]
		}
	}
	return ring[0]
}

// Open returns the instance's id, and false for any token that Seal didn't make with a
// key that is there.
func (t *CallbackTokens) Open(token string) (string, bool) {
	b, ok := decodeToken(token)
	if !ok || len(b) < 1 {
		return "", false
	}
	for _, k := range *t.ring.Load() {
		if k.id == b[0] {
			id, err := k.aead.Open(nil, nil, b[1:], b[:1])
			return string(id), err == nil && riposte.IsID(string(id))
		}
	}
	return "", false
}

// decodeToken takes only the text that encoding gives: Go's decoder skips line
// breaks, even a strict one.
func decodeToken(token string) ([]byte, bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(token)
	return b, err == nil && !strings.ContainsAny(token, "\r\n")
}
