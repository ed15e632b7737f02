package outbound

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/go-jose/go-jose/v4"
)

// SigningKey is a private key with which requests are signed. Its algorithm is
// fixed when it is made and kept with it: nothing that a message says chooses
// another.
type SigningKey struct {
	jwk jose.JSONWebKey
}

// NewSigningKey returns a new Ed25519 key.
func NewSigningKey() (SigningKey, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return SigningKey{}, fmt.Errorf("generating signing key: %w", err)
	}
	return newSigningKey(private, jose.EdDSA)
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
	}
	return SigningKey{}, errors.New("parsing signing key: it must be a private Ed25519 key")
}

// ID is the key's kid.
func (k SigningKey) ID() string { return k.jwk.KeyID }

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

// Signer signs claims and publishes the key that verifies them. It may be used
// by several goroutines at once.
type Signer struct {
	key    ed25519.PrivateKey
	header string // in base64url, with the dot behind it
	jwks   []byte
}

// NewSigner returns a Signer that signs with key.
func NewSigner(key SigningKey) (*Signer, error) {
	private, ok := key.jwk.Key.(ed25519.PrivateKey)
	if !ok {
		return nil, errors.New("making signer: the key must be a private Ed25519 key")
	}
	header, err := json.Marshal(map[string]string{"alg": key.jwk.Algorithm, "kid": key.ID(), "typ": "JWT"})
	if err != nil {
		return nil, fmt.Errorf("making signer: %w", err)
	}
	jwks, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{key.jwk.Public()}})
	if err != nil {
		return nil, fmt.Errorf("marshalling key set: %w", err)
	}
	return &Signer{key: private, header: base64.RawURLEncoding.EncodeToString(header) + ".", jwks: jwks}, nil
}

// Sign returns c as a JWT in its compact form (RFC 7515, section 7.1). It is
// done by hand because go-jose, with which the tests verify it, does as much
// again beside the signature, and each attempt pays for it.
func (s *Signer) Sign(c Claims) (string, error) {
	payload, err := json.Marshal(c)
	if err != nil {
		return "", fmt.Errorf("marshalling claims: %w", err)
	}
	enc := base64.RawURLEncoding
	token := make([]byte, 0, len(s.header)+enc.EncodedLen(len(payload))+1+enc.EncodedLen(ed25519.SignatureSize))
	token = enc.AppendEncode(append(token, s.header...), payload)
	signature := ed25519.Sign(s.key, token)
	return string(enc.AppendEncode(append(token, '.'), signature)), nil
}

// JWKS returns the public key set in JSON: the body of GET /auth/v1/jwks. The
// caller must not change it.
func (s *Signer) JWKS() []byte { return s.jwks }
