// Package vault keeps secrets unreadable at rest: it seals what the store is given and
// opens it again.
package vault

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/riposte-dev/riposte"
)

const keySize = 32 // bytes

// ErrSealed is the error of Open for what it can't open: it was sealed with another key
// or for another purpose, or changed since.
var ErrSealed = errors.New("the secret can't be opened with the keys that are there")

// Vault seals secrets. It may be used by several goroutines at once.
type Vault struct{ aead cipher.AEAD }

// NewKey returns what New needs.
func NewKey() ([]byte, error) {
	key := make([]byte, keySize)
	rand.Read(key)
	return key, nil
}

// New returns a vault that seals with key.
func New(key []byte) (*Vault, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("reading the vault's key: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("reading the vault's key: %w", err)
	}
	return &Vault{aead}, nil
}

// Seal returns secret encrypted, to be opened for the same purpose alone.
func (v *Vault) Seal(purpose string, secret []byte) riposte.Sealed {
	return v.aead.Seal(nil, nil, secret, []byte(purpose))
}

// Open returns what Seal was given. ErrSealed.
func (v *Vault) Open(purpose string, sealed riposte.Sealed) ([]byte, error) {
	secret, err := v.aead.Open(nil, nil, sealed, []byte(purpose))
	if err != nil {
		return nil, ErrSealed
	}
	return secret, nil
}
