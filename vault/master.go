package vault

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"unicode"
)

const keySize = 32 // bytes, for AES-256

// Master is a master key: it wraps data keys, and nothing else.
type Master struct {
	id   string
	text string
	aead cipher.AEAD
}

// Masters are the master keys that a server was given. The first one seals, all open.
type Masters []Master

// NewMaster returns the text of a new master key: 32 random bytes in base64.
func NewMaster() string {
	key := make([]byte, keySize)
	rand.Read(key)
	return base64.StdEncoding.EncodeToString(key)
}

// ParseMasters reads master keys that line breaks, blanks or commas separate. Its error
// says which is none, and nothing of what it is.
func ParseMasters(text string) (Masters, error) {
	var masters Masters
	for _, part := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || unicode.IsSpace(r) }) {
		key, err := base64.StdEncoding.Strict().DecodeString(part)
		if err != nil || len(key) != keySize {
			return nil, fmt.Errorf("master key %d must be %d bytes in base64, as riposte keys generate-master prints them", len(masters)+1, keySize)
		}
		aead, err := newAEAD(key)
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(append([]byte("riposte master key "), key...))
		masters = append(masters, Master{id: hex.EncodeToString(sum[:6]), text: part, aead: aead})
	}
	return masters, nil
}

// Text is what ParseMasters reads, one a line, those first that seal first.
func (m Masters) Text() string {
	var text strings.Builder
	for _, each := range m {
		text.WriteString(each.text + "\n")
	}
	return text.String()
}

// Only are those of these ids.
func (m Masters) Only(ids []string) Masters {
	var some Masters
	for _, id := range ids {
		if each, ok := m.find(id); ok {
			some = append(some, each)
		}
	}
	return some
}

func (m Masters) find(id string) (Master, bool) {
	for _, each := range m {
		if each.id == id {
			return each, true
		}
	}
	return Master{}, false
}

// ID names the key in logs and where data keys are kept: a part of its hash.
func (m Master) ID() string { return m.id }

// String and GoString keep the key out of logs.
func (m Master) String() string   { return "master key " + m.id }
func (m Master) GoString() string { return m.String() }

func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("reading a key: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("reading a key: %w", err)
	}
	return aead, nil
}
