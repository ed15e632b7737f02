package api

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/riposte-dev/riposte"
)

const (
	// accessTokenRenewal is what clients are told: after this they get another one.
	accessTokenRenewal = 600 * time.Second
	// AccessTokenLife is for how long a token is taken. C1's TypeScript SDK keeps one for
	// an hour whatever it is told. A longer life gives nothing away: a token counts only
	// while its client is there, which is looked at for each call.
	AccessTokenLife = 65 * time.Minute
	accessTokenType = "at+jwt" // RFC 9068, section 2.1
	// maxRemembered bounds the tokens that are not verified again, at 64 bytes or so each.
	maxRemembered = 10_000
)

var errBadAccessToken = &riposte.Error{Code: riposte.CodeUnauthenticated, Reason: "BAD_CREDENTIALS",
	Message: "the access token is not one of this server's, or it has expired: get another one from POST /auth/v1/token"}

// AccessTokens makes the tokens that clients call with, and knows its own again. It may
// be used by several goroutines at once.
type AccessTokens struct {
	ring   atomic.Pointer[[]accessKey]
	issuer string // iss and aud: who makes them is who takes them
	now    func() time.Time

	mu       sync.Mutex
	verified map[[sha256.Size]byte]accessToken // by the token's hash
}

// accessToken is what one stands for: a client, by both of its names, because a later
// client may call itself as one did that was revoked.
type accessToken struct {
	id       string
	clientID string
	expires  time.Time
}

// accessClaims are RFC 9068's, section 2.2.
type accessClaims struct {
	jwt.Claims
	ClientID string `json:"client_id"`
}

// NewAccessTokenKey is what AccessTokens needs, to be kept by the store. It signs
// nothing else, so that no other text of this server's can pass for an access token.
func NewAccessTokenKey() ([]byte, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generating the access tokens' key: %w", err)
	}
	return key.Seed(), nil
}

// AccessTokenKey signs access tokens from a time on.
type AccessTokenKey struct {
	Seed []byte // as NewAccessTokenKey makes it
	From time.Time
}

// accessKey is a key that signs, or has signed, and its name.
type accessKey struct {
	id     string
	from   time.Time
	public crypto.PublicKey
	signer jose.Signer
}

// NewAccessTokens takes a key made by NewAccessTokenKey.
func NewAccessTokens(seed []byte, issuer string, now func() time.Time) (*AccessTokens, error) {
	t := NewAccessTokenRing(issuer, now)
	return t, t.Use([]AccessTokenKey{{Seed: seed}})
}

// NewAccessTokenRing takes its keys by Use, before anything else. now is the clock by
// which they are used.
func NewAccessTokenRing(issuer string, now func() time.Time) *AccessTokens {
	return &AccessTokens{issuer: issuer, now: now, verified: map[[sha256.Size]byte]accessToken{}}
}

// Use takes these keys in the place of those that it had. They are in the order in which
// they are used, and there must be one at least.
func (t *AccessTokens) Use(keys []AccessTokenKey) error {
	if len(keys) == 0 {
		return errors.New("reading the access tokens' keys: there are none")
	}
	var ring []accessKey
	for _, k := range keys {
		key, err := newAccessKey(k)
		if err != nil {
			return err
		}
		ring = append(ring, key)
	}
	t.ring.Store(&ring)
	return nil
}

// AccessTokenKeyID is the name of a key that NewAccessTokenKey made: its thumbprint.
func AccessTokenKeyID(seed []byte) (string, error) {
	k, err := newAccessKey(AccessTokenKey{Seed: seed})
	return k.id, err
}

func newAccessKey(k AccessTokenKey) (accessKey, error) {
	if len(k.Seed) != ed25519.SeedSize {
		return accessKey{}, fmt.Errorf("reading the access tokens' key: it has %d bytes, not %d", len(k.Seed), ed25519.SeedSize)
	}
	key := ed25519.NewKeyFromSeed(k.Seed)
	jwk := jose.JSONWebKey{Key: key, Algorithm: string(jose.EdDSA)}
	thumbprint, err := jwk.Thumbprint(crypto.SHA256)
	if err != nil {
		return accessKey{}, fmt.Errorf("naming the access tokens' key: %w", err)
	}
	jwk.KeyID = base64.RawURLEncoding.EncodeToString(thumbprint)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.EdDSA, Key: jwk}, (&jose.SignerOptions{}).WithType(accessTokenType))
	if err != nil {
		return accessKey{}, fmt.Errorf("making the access tokens' signer: %w", err)
	}
	return accessKey{id: jwk.KeyID, from: k.From, public: key.Public(), signer: signer}, nil
}

// current is the key that signs now.
func (t *AccessTokens) current(now time.Time) accessKey {
	ring := *t.ring.Load()
	for n := len(ring) - 1; n > 0; n-- {
		if !ring[n].from.After(now) {
			return ring[n]
		}
	}
	return ring[0]
}

// Issue returns a token for a client.
func (t *AccessTokens) Issue(c riposte.Client) (string, error) {
	now := t.now()
	token, err := jwt.Signed(t.current(now).signer).Claims(accessClaims{
		Claims: jwt.Claims{
			Issuer:   t.issuer,
			Subject:  c.ID,
			Audience: jwt.Audience{t.issuer},
			IssuedAt: jwt.NewNumericDate(now),
			Expiry:   jwt.NewNumericDate(now.Add(AccessTokenLife)),
			ID:       rand.Text(),
		},
		ClientID: c.ClientID,
	}).Serialize()
	if err != nil {
		return "", fmt.Errorf("signing an access token: %w", err)
	}
	return token, nil
}

// Verify returns the ID and the ClientID of the client that a token was issued to. Any
// other text, and a token that has expired, is errBadAccessToken. A token's signature is
// checked once.
func (t *AccessTokens) Verify(token string) (id, clientID string, err error) {
	hash := sha256.Sum256([]byte(token))
	t.mu.Lock()
	found, ok := t.verified[hash]
	t.mu.Unlock()
	if !ok {
		if found, err = t.read(token); err != nil {
			return "", "", err
		}
	}
	if !t.now().Before(found.expires) {
		return "", "", errBadAccessToken
	}
	if !ok {
		t.remember(hash, found)
	}
	return found.id, found.clientID, nil
}

// read checks all of a token but whether it has expired.
func (t *AccessTokens) read(token string) (accessToken, error) {
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.EdDSA})
	if err != nil || parsed.Headers[0].ExtraHeaders[jose.HeaderType] != accessTokenType {
		return accessToken{}, errBadAccessToken
	}
	var c accessClaims
	ring := *t.ring.Load()
	key := slices.IndexFunc(ring, func(k accessKey) bool { return k.id == parsed.Headers[0].KeyID })
	if key < 0 || parsed.Claims(ring[key].public, &c) != nil {
		return accessToken{}, errBadAccessToken
	}
	if c.Issuer != t.issuer || !c.Audience.Contains(t.issuer) || c.Expiry == nil || c.Subject == "" || c.ClientID == "" {
		return accessToken{}, errBadAccessToken
	}
	return accessToken{c.Subject, c.ClientID, c.Expiry.Time()}, nil
}

// remember makes room, if there is none, first of what has expired and then of anything:
// what is forgotten is verified again.
func (t *AccessTokens) remember(hash [sha256.Size]byte, a accessToken) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.verified) >= maxRemembered {
		now := t.now()
		maps.DeleteFunc(t.verified, func(_ [sha256.Size]byte, a accessToken) bool { return !now.Before(a.expires) })
	}
	for other := range t.verified {
		if len(t.verified) < maxRemembered {
			break
		}
		delete(t.verified, other)
	}
	t.verified[hash] = a
}
