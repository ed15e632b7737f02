package check

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/outbound"
)

// forgery is what is changed of an honest delivery. The zero value changes
// nothing.
type forgery struct {
	claims func(*outbound.Claims)
	token  func(signers, outbound.Claims) (string, error) // in place of the server's signature
	header func(http.Header)                              // last of all
	body   func([]byte) []byte                            // after signing; the digest follows it
}

// signers are the server's and one with a key of nobody's.
type signers struct{ own, foreign *outbound.Signer }

// signed is a request's header and body, ready to be sent, once or again.
type signed struct {
	header http.Header
	body   []byte
}

// sign makes the request that takes q to the receiver.
func (f forgery) sign(q *question, s signers, to target, now time.Time) (signed, error) {
	claims := q.claims
	shift(&claims, time.Duration(now.Unix()-claims.IssuedAt)*time.Second)
	claims.Audience, claims.URL, claims.ID = to.host, to.htu, rand.Text()
	if f.claims != nil {
		f.claims(&claims)
	}
	token, err := honestToken(s, claims)
	if f.token != nil {
		token, err = f.token(s, claims)
	}
	if err != nil {
		return signed{}, err
	}
	body := q.body
	if f.body != nil {
		body = f.body(body)
	}
	q.attempts++
	h := q.header.Clone()
	h.Set("Authorization", "bearer "+token)
	h.Set("Content-Digest", "sha-256="+digest(body))
	h.Set("Webhook-Timestamp", strconv.FormatInt(now.Unix(), 10))
	h.Set("Webhook-Attempt", strconv.Itoa(q.attempts))
	if f.header != nil {
		f.header(h)
	}
	return signed{header: h, body: body}, nil
}

func honestToken(s signers, c outbound.Claims) (string, error) { return s.own.Sign(c) }

func foreignToken(s signers, c outbound.Claims) (string, error) { return s.foreign.Sign(c) }

// badSignature has the key that the receiver trusts in its header, and another
// key's signature.
func badSignature(s signers, c outbound.Claims) (string, error) {
	token, err := s.own.Sign(c)
	if err != nil {
		return "", err
	}
	foreign, err := s.foreign.Sign(c)
	return token[:strings.LastIndexByte(token, '.')] + foreign[strings.LastIndexByte(foreign, '.'):], err
}

// unsignedToken is what RFC 7519, section 6 calls an unsecured JWT.
func unsignedToken(_ signers, c outbound.Claims) (string, error) {
	payload, err := json.Marshal(c)
	enc := base64.RawURLEncoding
	return enc.EncodeToString([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + enc.EncodeToString(payload) + ".", err
}

// shift moves all times of c.
func shift(c *outbound.Claims, d time.Duration) {
	seconds := int64(d / time.Second)
	c.IssuedAt += seconds
	c.NotBefore += seconds
	c.Expiry += seconds
}

// changed adds a member to the payload: the body is as good as before, but not
// the one that was signed.
func changed(body []byte) []byte {
	inner := bytes.TrimSuffix(body, []byte("}}"))
	return append(inner[:len(inner):len(inner)], `,"riposteCheckChanged":true}}`...)
}

// enlarge adds a member that makes a payload as large as any may be. One that
// has no room for it is large already.
func enlarge(payload []byte) []byte {
	inner := bytes.TrimSpace(payload)
	inner = bytes.TrimSpace(inner[:len(inner)-1]) // the closing brace
	begin, end := `"riposteCheckFiller":"`, `"}`
	if len(inner) > 1 {
		begin = "," + begin
	}
	room := riposte.MaxPayloadSize - len(inner) - len(begin) - len(end)
	if room < 0 {
		return payload
	}
	return slices.Concat(inner, []byte(begin), bytes.Repeat([]byte("x"), room), []byte(end))
}

func digest(body []byte) string {
	sum := sha256.Sum256(body)
	return base64.StdEncoding.EncodeToString(sum[:])
}

// readClaims returns what a delivery of the server's says in its JWT. The
// server is this process, so its signature is not looked at.
func readClaims(h http.Header) (outbound.Claims, error) {
	var c outbound.Claims
	parts := strings.Split(h.Get("Authorization"), ".")
	if len(parts) != 3 {
		return c, fmt.Errorf("reading the server's JWT: it has %d parts", len(parts))
	}
	b, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err == nil {
		err = json.Unmarshal(b, &c)
	}
	if err != nil {
		return c, fmt.Errorf("reading the server's JWT: %w", err)
	}
	return c, nil
}
