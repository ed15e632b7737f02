package outbound

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// SigningAlgorithms are those that requests may be signed with, the default first.
var SigningAlgorithms = []string{string(jose.EdDSA), string(jose.ES256), string(jose.RS256)}

const rsaBits = 2048

// SigningKey is a private key with which requests are signed. Its algorithm is
// fixed when it is made and kept with it: nothing that a message says chooses
// another.
type SigningKey struct {
	jwk jose.JSONWebKey
}

// NewSigningKey returns a new key of the default algorithm.
func NewSigningKey() (SigningKey, error) { return NewSigningKeyOf(SigningAlgorithms[0]) }

// NewSigningKeyOf returns a new key of one of SigningAlgorithms. One for RS256 may take a
// second.
func NewSigningKeyOf(algorithm string) (SigningKey, error) {
	var private crypto.PrivateKey
	var err error
	alg := jose.SignatureAlgorithm(algorithm)
	switch alg {
	case jose.EdDSA:
		_, private, err = ed25519.GenerateKey(rand.Reader)
	case jose.ES256:
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case jose.RS256:
		private, err = rsa.GenerateKey(rand.Reader, rsaBits)
	default:
		err = fmt.Errorf("there is no algorithm %q", algorithm)
	}
	if err != nil {
		return SigningKey{}, fmt.Errorf("generating signing key: %w", err)
	}
	return newSigningKey(private, alg)
}

// newSigningKey names the key by its thumbprint (RFC 7638), so that every node
// and every restart gives it the same name.
func newSigningKey(private crypto.PrivateKey, alg jose.SignatureAlgorithm) (SigningKey, error) {
	jwk := jose.JSONWebKey{Key: private, Algorithm: string(alg), Use: "sig"}
	thumbprint, err := jwk.Thumbprint(crypto.SHA256)
	if err != nil {
		return SigningKey{}, fmt.Errorf("naming signing key: %w", err)
	}
	jwk.KeyID = base64.RawURLEncoding.EncodeToString(thumbprint)
	return SigningKey{jwk}, nil
}

// Marshal returns k, private part included, as a JWK in JSON, for a store to
// keep.
func (k SigningKey) Marshal() ([]byte, error) {
	b, err := k.jwk.MarshalJSON()
	if err != nil {
		return nil, fmt.Errorf("marshalling signing key: %w", err)
	}
	return b, nil
}

// ParseSigningKey reads what Marshal wrote.
func ParseSigningKey(b []byte) (SigningKey, error) {
	var jwk jose.JSONWebKey
	if err := json.Unmarshal(b, &jwk); err != nil {
		return SigningKey{}, fmt.Errorf("parsing signing key: %w", err)
	}
	switch private := jwk.Key.(type) {
	case ed25519.PrivateKey:
		return newSigningKey(private, jose.EdDSA)
	case *ecdsa.PrivateKey:
		if private.Curve == elliptic.P256() {
			return newSigningKey(private, jose.ES256)
		}
	case *rsa.PrivateKey:
		if private.N.BitLen() >= rsaBits {
			return newSigningKey(private, jose.RS256)
		}
	}
	return SigningKey{}, errors.New("parsing signing key: it must be a private key of Ed25519, P-256 or RSA")
}

// ID is the key's kid.
func (k SigningKey) ID() string { return k.jwk.KeyID }

// Algorithm is the key's alg, one of SigningAlgorithms.
func (k SigningKey) Algorithm() string { return k.jwk.Algorithm }

// String and GoString keep the private part out of logs.
func (k SigningKey) String() string   { return "signing key " + k.jwk.KeyID }
func (k SigningKey) GoString() string { return k.String() }

// Claims is what a request's JWT says: exactly these ten claims (PROTOCOL.md
// section 2). Times are Unix seconds.
type Claims struct {
	Audience   string `json:"aud"`
	C1Type     string `json:"c1typ"`
	Expiry     int64  `json:"exp"`
	Method     string `json:"htm"`
	URL        string `json:"htu"`
	BodySHA256 string `json:"htb_s256"`
	IssuedAt   int64  `json:"iat"`
	Issuer     string `json:"iss"`
	ID         string `json:"jti"`
	NotBefore  int64  `json:"nbf"`
}

// UsedKey is a signing key and from when on it signs.
type UsedKey struct {
	SigningKey
	From time.Time
}

// Signer signs claims and publishes the keys that verify them. It may be used
// by several goroutines at once.
type Signer struct{ ring atomic.Pointer[signingRing] }

// signingRing is what a Signer has at one time. Nothing of it changes.
type signingRing struct {
	keys []preparedKey // in the order in which they are used; at least one
	jwks []byte
}

// preparedKey is a key with what need not be done for each signature.
type preparedKey struct {
	from   int64 // Unix seconds
	sign   func(message []byte) ([]byte, error)
	header string // in base64url, with the dot behind it
}

// NewSigner returns a Signer that signs with key.
func NewSigner(key SigningKey) (*Signer, error) {
	s := &Signer{}
	return s, s.Use([]UsedKey{{SigningKey: key}})
}

// Use takes these keys in the place of those that it had. They are in the order in which
// they are used, all are published, and there must be one at least.
func (s *Signer) Use(keys []UsedKey) error {
	if len(keys) == 0 {
		return errors.New("making signer: it needs a key")
	}
	ring := &signingRing{}
	var set jose.JSONWebKeySet
	for _, k := range keys {
		prepared, err := prepare(k)
		if err != nil {
			return fmt.Errorf("making signer: %w", err)
		}
		ring.keys = append(ring.keys, prepared)
		set.Keys = append(set.Keys, k.jwk.Public())
	}
	var err error
	if ring.jwks, err = json.Marshal(set); err != nil {
		return fmt.Errorf("marshalling key set: %w", err)
	}
	s.ring.Store(ring)
	return nil
}

func prepare(k UsedKey) (preparedKey, error) {
	header, err := json.Marshal(map[string]string{"alg": k.Algorithm(), "kid": k.ID(), "typ": "JWT"})
	if err != nil {
		return preparedKey{}, err
	}
	p := preparedKey{from: k.From.Unix(), header: base64.RawURLEncoding.EncodeToString(header) + "."}
	switch private := k.jwk.Key.(type) {
	case ed25519.PrivateKey:
		p.sign = func(message []byte) ([]byte, error) { return ed25519.Sign(private, message), nil }
	case *ecdsa.PrivateKey:
		p.sign = func(message []byte) ([]byte, error) { return signES256(private, message) }
	case *rsa.PrivateKey:
		p.sign = func(message []byte) ([]byte, error) {
			sum := sha256.Sum256(message)
			return rsa.SignPKCS1v15(nil, private, crypto.SHA256, sum[:])
		}
	default:
		return p, errors.New("it must be a private key")
	}
	return p, nil
}

// signES256 returns both numbers side by side (RFC 7518, section 3.4).
func signES256(private *ecdsa.PrivateKey, message []byte) ([]byte, error) {
	sum := sha256.Sum256(message)
	r, s, err := ecdsa.Sign(rand.Reader, private, sum[:])
	if err != nil {
		return nil, err
	}
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return signature, nil
}

// at is the key that signs what is issued at a time, in Unix seconds.
func (r *signingRing) at(issued int64) preparedKey {
	for n := len(r.keys) - 1; n > 0; n-- {
		if r.keys[n].from <= issued {
			return r.keys[n]
		}
	}
	return r.keys[0]
}

// Sign returns c as a JWT in its compact form (RFC 7515, section 7.1), by the key that is
// used at c.IssuedAt. It is done by hand because go-jose, with which the tests verify it,
// does as much again beside the signature, and each attempt pays for it.
func (s *Signer) Sign(c Claims) (string, error) {
	payload, err := json.Marshal(c)
	if err != nil {
		return "", fmt.Errorf("marshalling claims: %w", err)
	}
	key := s.ring.Load().at(c.IssuedAt)
	enc := base64.RawURLEncoding
	token := make([]byte, 0, len(key.header)+enc.EncodedLen(len(payload))+1+enc.EncodedLen(ed25519.SignatureSize))
	token = enc.AppendEncode(append(token, key.header...), payload)
	signature, err := key.sign(token)
	if err != nil {
		return "", fmt.Errorf("signing: %w", err)
	}
	return string(enc.AppendEncode(append(token, '.'), signature)), nil
}

// JWKS returns the public key set in JSON: the body of GET /auth/v1/jwks. The
// caller must not change it.
func (s *Signer) JWKS() []byte { return s.ring.Load().jwks }
