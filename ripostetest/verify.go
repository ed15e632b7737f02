package ripostetest

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// Claims are a delivery's JWT, checked (PROTOCOL.md section 2).
type Claims struct {
	Issuer    string           `json:"iss"`
	Audience  string           `json:"aud"`
	ID        string           `json:"jti"`
	IssuedAt  *jwt.NumericDate `json:"iat"`
	NotBefore *jwt.NumericDate `json:"nbf"`
	Expiry    *jwt.NumericDate `json:"exp"`
	Type      string           `json:"c1typ"`
	Method    string           `json:"htm"`
	URL       string           `json:"htu"`
	BodyHash  string           `json:"htb_s256"`
}

// FetchKeys gets a server's key set; base is its public URL.
func FetchKeys(base string) (jose.JSONWebKeySet, error) {
	var keys jose.JSONWebKeySet
	resp, err := http.Get(base + "/auth/v1/jwks")
	if err != nil {
		return keys, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return keys, err
	}
	return keys, json.Unmarshal(b, &keys)
}

// Verify makes the check that a receiver at receiverURL should make: the JWT is
// the server's, in time, and about this very request and body.
func Verify(d Delivery, keys jose.JSONWebKeySet, receiverURL string) (Claims, error) {
	var c Claims
	token, ok := strings.CutPrefix(d.Header.Get("Authorization"), "bearer ")
	if !ok {
		return c, errors.New("no bearer token in Authorization")
	}
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.EdDSA})
	if err != nil {
		return c, fmt.Errorf("parsing the JWT: %w", err)
	}
	if err := parsed.Claims(keys, &c); err != nil {
		return c, fmt.Errorf("checking the JWT's signature: %w", err)
	}
	return c, c.check(d, receiverURL)
}

func (c Claims) check(d Delivery, receiverURL string) error {
	u, err := url.Parse(receiverURL)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(d.Body)
	hash := base64.StdEncoding.EncodeToString(sum[:])
	// A URL without a path is requested with the path /.
	base := u.Scheme + "://" + u.Host
	path, _, _ := strings.Cut(d.Target, "?")
	switch now := d.At; {
	case c.IssuedAt == nil || c.NotBefore == nil || c.Expiry == nil:
		return errors.New("a time is missing")
	case now.Before(c.NotBefore.Time()) || now.After(c.Expiry.Time()):
		return fmt.Errorf("not valid at %s", now.Format(time.RFC3339))
	case c.Audience != u.Hostname():
		return fmt.Errorf("aud is %q, not %q", c.Audience, u.Hostname())
	case c.URL != base+path && (path != "/" || c.URL != base):
		return fmt.Errorf("htu is %q, not this URL", c.URL)
	case c.Type != "wh" || c.Method != http.MethodPost:
		return fmt.Errorf("c1typ is %q and htm %q", c.Type, c.Method)
	case c.BodyHash != hash || d.Header.Get("Content-Digest") != "sha-256="+hash:
		return errors.New("htb_s256 or Content-Digest is not the body's hash")
	}
	return nil
}
