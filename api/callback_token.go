package api

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/riposte-dev/riposte"
)

const (
	callbackKeySize = 32
	// callbackKeyID leads every token, so that a later key can stand beside
	// this one.
	callbackKeyID = 1
)

// CallbackTokens makes the one-time part of callback URLs: the instance's id
// under AES-256-GCM, unforgeable and meaningless to its holder.
type CallbackTokens struct{ aead cipher.AEAD }

// NewCallbackKey is what CallbackTokens needs, to be kept by the store.
func NewCallbackKey() ([]byte, error) {
	key := make([]byte, callbackKeySize)
	rand.Read(key)
	return key, nil
}

// NewCallbackTokens takes a key made by NewCallbackKey.
func NewCallbackTokens(key []byte) (*CallbackTokens, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("reading the callback key: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("reading the callback key: %w", err)
	}
	return &CallbackTokens{aead}, nil
}

// Seal returns a token for an instance's id, in unpadded base64url. Each call
// gives another one: the envelope keeps the instance's own.
func (t *CallbackTokens) Seal(instanceID string) string {
	sealed := t.aead.Seal([]byte{callbackKeyID}, nil, []byte(instanceID), []byte{callbackKeyID})
	return base64.RawURLEncoding.EncodeToString(sealed)
}

// Open returns the instance's id, and false for any token that Seal didn't make.
func (t *CallbackTokens) Open(token string) (string, bool) {
	b, ok := decodeToken(token)
	if !ok || len(b) < 1 || b[0] != callbackKeyID {
		return "", false
	}
	id, err := t.aead.Open(nil, nil, b[1:], b[:1])
	return string(id), err == nil && riposte.IsID(string(id))
}

// decodeToken takes only the text that encoding gives: Go's decoder skips line
// breaks, even a strict one.
func decodeToken(token string) ([]byte, bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(token)
	return b, err == nil && !strings.ContainsAny(token, "\r\n")
}
