package api

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

const (
	assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" // RFC 7523, section 2.2
	// maxAssertionLife is how far ahead an assertion may expire, and so for how long it is
	// remembered. C1's clients say two minutes.
	maxAssertionLife = 5 * time.Minute
	// clockLeeway is by how much the clocks of a client and of this server may differ.
	clockLeeway = 30 * time.Second
)

// assertion is a client's word for who it is, signed with its secret (RFC 7523).
type assertion struct {
	token  *jwt.JSONWebToken
	claims jwt.Claims // as they came: nobody has vouched for them before verify
	raw    string
}

// parseAssertion reads an assertion whose algorithm is EdDSA, in the one spelling that
// encoding gives: another would be another assertion to useID. The error is for its
// sender.
func parseAssertion(raw string) (assertion, error) {
	a := assertion{raw: raw}
	var err error
	for part := range strings.SplitSeq(raw, ".") {
		if _, ok := decodeToken(part); !ok {
			return a, errors.New("client_assertion must be in base64url without padding, line breaks and spare bits")
		}
	}
	if a.token, err = jwt.ParseSigned(raw, []jose.SignatureAlgorithm{jose.EdDSA}); err != nil {
		return a, errors.New("client_assertion must be a JWT in its compact form, signed with EdDSA")
	}
	if err = a.token.UnsafeClaimsWithoutVerification(&a.claims); err != nil {
		return a, errors.New("client_assertion has claims of the wrong types")
	}
	return a, nil
}

// signedBy reports whether a was signed with the private part of key.
func (a assertion) signedBy(key ed25519.PublicKey) bool {
	return len(key) == ed25519.PublicKeySize && a.token.Claims(key, &jwt.Claims{}) == nil
}

// check is for all rules but the signature: that clientID speaks of itself, to one of
// audience, now. The error is for the client.
func (a assertion) check(clientID string, audience []string, now time.Time) error {
	c := a.claims
	switch {
	case c.Issuer != clientID || c.Subject != clientID:
		return errors.New("client_assertion must have the client's id as iss and sub")
	case !slices.ContainsFunc(c.Audience, func(s string) bool { return isAudience(s, audience) }):
		return errors.New("client_assertion must have an aud that is this server's: " + strings.Join(audience, " or "))
	case c.Expiry == nil:
		return errors.New("client_assertion must have an exp")
	case !now.Before(a.until()):
		return errors.New("client_assertion has expired")
	case c.Expiry.Time().After(now.Add(maxAssertionLife + clockLeeway)):
		return errors.New("client_assertion must expire within " + maxAssertionLife.String())
	case c.NotBefore != nil && c.NotBefore.Time().After(now.Add(clockLeeway)),
		c.IssuedAt != nil && c.IssuedAt.Time().After(now.Add(clockLeeway)):
		return errors.New("client_assertion is not valid yet: its nbf or iat lies ahead")
	}
	return nil
}

// isAudience compares host names, which are the same in capitals, and in brackets where
// they are IPv6 addresses: C1's clients differ.
func isAudience(s string, audience []string) bool {
	s = strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")
	return slices.ContainsFunc(audience, func(a string) bool { return strings.EqualFold(a, s) })
}

// until is from when on a is refused anyway.
func (a assertion) until() time.Time { return a.claims.Expiry.Time().Add(clockLeeway) }

// useID is what makes a the one that it is, by which it is refused the next time: the
// JOSE header's nonce, which is all that most of C1's clients send, else the jti, else
// all of it. It has one length, whatever the client sends, and counts for this client.
func (a assertion) useID(clientID string) string {
	kind, value := "sha256", a.raw
	switch {
	case a.token.Headers[0].Nonce != "":
		kind, value = "nonce", a.token.Headers[0].Nonce
	case a.claims.ID != "":
		kind, value = "jti", a.claims.ID
	}
	h := sha256.Sum256([]byte(clientID + "\x00" + kind + "\x00" + value))
	return base64.RawURLEncoding.EncodeToString(h[:])
}
