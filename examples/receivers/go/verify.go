package main

import (
	"context"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

const (
	leeway        = time.Minute      // how far apart the two clocks may be
	tolerance     = 5 * time.Minute  // how old a webhook-timestamp may be
	keysLast      = 10 * time.Minute // then they are fetched again
	keysPause     = 30 * time.Second // between two fetches for keys that aren't there
	maxKeySetSize = 1 << 20          // bytes
)

// errUnavailable: the sender may be right, but its keys can't be had now.
var errUnavailable = errors.New("the server's keys can't be had")

// verifier checks that a request is a delivery of the server's to this receiver.
type verifier struct {
	issuer   string // the JWT's iss
	audience string // its aud: this receiver's host name
	url      string // its htu: this receiver's URL as the webhook has it, without a query
	keys     *keys
	seen     seen
	secret   string // whsec_… or whpk_…; "" where the JWT is enough
}

// algorithms are what a key may be for. Which of them counts is the key's to
// say, and never the token's: with HS256 anybody could sign by the public key.
var algorithms = []jose.SignatureAlgorithm{jose.EdDSA, jose.ES256, jose.RS256}

type claims struct {
	jwt.Claims
	Type     string `json:"c1typ"`
	Method   string `json:"htm"`
	URL      string `json:"htu"`
	BodyHash string `json:"htb_s256"`
}

// verifyJWT checks the token, and that it is about this very request. The body is
// the bytes as they came, before any parsing.
func (v *verifier) verifyJWT(ctx context.Context, h http.Header, body []byte, now time.Time) error {
	scheme, token, _ := strings.Cut(h.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "bearer") {
		return errors.New("there is no bearer token")
	}
	parsed, err := jwt.ParseSigned(token, algorithms)
	if err != nil {
		return fmt.Errorf("reading the token: %w", err)
	}
	key, err := v.keys.find(ctx, parsed.Headers[0].KeyID, now)
	if err != nil {
		return err
	}
	if parsed.Headers[0].Algorithm != key.Algorithm {
		return errors.New("the token's algorithm is not its key's")
	}
	var c claims
	if err := parsed.Claims(key.Key, &c); err != nil {
		return fmt.Errorf("checking the signature: %w", err)
	}
	if err := v.checkClaims(c, h, body, now); err != nil {
		return err
	}
	if !v.seen.add(c.ID, c.Expiry.Time().Add(leeway), now) {
		return errors.New("this token was seen before: each attempt has its own")
	}
	return nil
}

func (v *verifier) checkClaims(c claims, h http.Header, body []byte, now time.Time) error {
	if c.Expiry == nil || c.NotBefore == nil || c.ID == "" {
		return errors.New("exp, nbf or jti is missing")
	}
	expected := jwt.Expected{Issuer: v.issuer, AnyAudience: jwt.Audience{v.audience}, Time: now}
	if err := c.ValidateWithLeeway(expected, leeway); err != nil {
		return err
	}
	sum := sha256.Sum256(body)
	hash := base64.StdEncoding.EncodeToString(sum[:])
	switch {
	case c.Type != "wh":
		return errors.New("c1typ is not that of a webhook")
	case c.Method != http.MethodPost:
		return errors.New("htm is not POST")
	case c.URL != v.url:
		return errors.New("htu is another URL")
	case c.BodyHash != hash:
		return errors.New("htb_s256 is not the body's hash")
	case h.Get("Content-Digest") != "sha-256="+hash:
		return errors.New("Content-Digest is not the body's hash")
	}
	return nil
}

// keys are the server's. They are kept, so that a delivery costs no fetch.
type keys struct {
	url string

	mu      sync.Mutex
	set     jose.JSONWebKeySet
	fetched time.Time
}

// find returns the key of a kid. One that isn't known may be new, so the keys are
// fetched again, but not for each of the kids that somebody makes up.
func (k *keys) find(ctx context.Context, kid string, now time.Time) (jose.JSONWebKey, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	age := now.Sub(k.fetched)
	if age > keysLast || age > keysPause && len(k.set.Key(kid)) == 0 {
		set, err := fetchKeys(ctx, k.url)
		if err != nil {
			return jose.JSONWebKey{}, fmt.Errorf("%w: %w", errUnavailable, err)
		}
		k.set, k.fetched = set, now
	}
	found := k.set.Key(kid)
	if len(found) != 1 {
		return jose.JSONWebKey{}, errors.New("the token's kid is no key of the server's")
	}
	return found[0], nil
}

func fetchKeys(ctx context.Context, url string) (set jose.JSONWebKeySet, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return set, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return set, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return set, errors.New(resp.Status)
	}
	return set, json.NewDecoder(io.LimitReader(resp.Body, maxKeySetSize)).Decode(&set)
}

// seen has the jti of each token that was taken, until the token has expired.
type seen struct {
	mu  sync.Mutex
	ids map[string]time.Time
}

// add returns false when the id is there already.
func (s *seen) add(id string, until, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, until := range s.ids {
		if now.After(until) {
			delete(s.ids, id)
		}
	}
	if _, ok := s.ids[id]; ok {
		return false
	}
	if s.ids == nil {
		s.ids = map[string]time.Time{}
	}
	s.ids[id] = until
	return true
}

// verifySignature checks the headers of Standard Webhooks. While a secret is being
// changed there is one signature by the old and one by the new, so one is enough.
func (v *verifier) verifySignature(h http.Header, body []byte, now time.Time) error {
	seconds, err := strconv.ParseInt(h.Get("Webhook-Timestamp"), 10, 64)
	if err != nil {
		return errors.New("webhook-timestamp is no number")
	}
	if age := now.Sub(time.Unix(seconds, 0)); age > tolerance || age < -tolerance {
		return errors.New("webhook-timestamp is not of now")
	}
	signed := append([]byte(h.Get("Webhook-Id")+"."+h.Get("Webhook-Timestamp")+"."), body...)
	for one := range strings.FieldsSeq(h.Get("Webhook-Signature")) {
		scheme, encoded, _ := strings.Cut(one, ",")
		signature, err := base64.StdEncoding.DecodeString(encoded)
		if err == nil && isSignature(v.secret, scheme, signed, signature) {
			return nil
		}
	}
	return errors.New("no webhook-signature is by the secret")
}

// isSignature knows the two schemes: an HMAC by a secret that both sides have
// (whsec_), and an Ed25519 signature whose public key is enough here (whpk_).
func isSignature(secret, scheme string, signed, signature []byte) bool {
	kind, encoded, _ := strings.Cut(secret, "_")
	key, err := base64.StdEncoding.DecodeString(encoded)
	switch {
	case err != nil || len(key) == 0:
		return false
	case kind == "whsec" && scheme == "v1":
		mac := hmac.New(sha256.New, key)
		mac.Write(signed)
		return hmac.Equal(signature, mac.Sum(nil))
	case kind == "whpk" && scheme == "v1a" && len(key) == ed25519.PublicKeySize:
		return ed25519.Verify(key, signed, signature)
	}
	return false
}
