package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"golang.org/x/oauth2"
)

// asserting gets tokens by an assertion, which has a nonce and neither jti nor typ. The
// audience is the host without its port.
type asserting struct{ id, secret, host string }

// Token implements oauth2.TokenSource.
func (a asserting) Token() (*oauth2.Token, error) {
	assertion, err := a.sign(time.Now())
	if err != nil {
		return nil, err
	}
	res, err := http.PostForm("https://"+a.host+"/auth/v1/token", url.Values{
		"client_id":             {a.id},
		"grant_type":            {"client_credentials"},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
		"client_assertion":      {assertion},
	})
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("getting a token: HTTP %d: %s, %w", res.StatusCode, b, err)
	}
	var t struct {
		AccessToken string `json:"access_token"`
		TokenType   string `json:"token_type"`
		ExpiresIn   int    `json:"expires_in"`
	}
	if err := json.Unmarshal(b, &t); err != nil || t.AccessToken == "" || t.TokenType != "Bearer" || t.ExpiresIn <= 60 {
		return nil, fmt.Errorf("getting a token: %s, %w", b, err)
	}
	return &oauth2.Token{AccessToken: t.AccessToken, TokenType: t.TokenType, Expiry: time.Now().Add(time.Duration(t.ExpiresIn) * time.Second)}, nil
}

func (a asserting) sign(now time.Time) (string, error) {
	key, err := parseSecret(a.secret)
	if err != nil {
		return "", err
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.EdDSA, Key: key}, &jose.SignerOptions{NonceSource: nonces{}})
	if err != nil {
		return "", err
	}
	audience := a.host
	if host, _, err := net.SplitHostPort(a.host); err == nil {
		audience = host
	}
	return jwt.Signed(signer).Claims(jwt.Claims{
		Issuer:    a.id,
		Subject:   a.id,
		Audience:  jwt.Audience{audience},
		Expiry:    jwt.NewNumericDate(now.Add(2 * time.Minute)),
		IssuedAt:  jwt.NewNumericDate(now),
		NotBefore: jwt.NewNumericDate(now.Add(-2 * time.Minute)),
	}).Serialize()
}

// parseSecret takes unpadded base64url alone, and a JWK that go-jose takes.
func parseSecret(secret string) (*jose.JSONWebKey, error) {
	parts := strings.SplitN(secret, ":", 4)
	if len(parts) != 4 || parts[2] != "v1" {
		return nil, fmt.Errorf("the secret has %d parts", len(parts))
	}
	b, err := base64.RawURLEncoding.DecodeString(parts[3])
	if err != nil {
		return nil, err
	}
	key := &jose.JSONWebKey{}
	if err := key.UnmarshalJSON(b); err != nil {
		return nil, err
	}
	if _, ok := key.Key.(ed25519.PrivateKey); !ok || key.IsPublic() || !key.Valid() {
		return nil, fmt.Errorf("the secret has a %T", key.Key)
	}
	return key, nil
}

type nonces struct{}

// Nonce implements jose.NonceSource.
func (nonces) Nonce() (string, error) {
	b := make([]byte, 16)
	rand.Read(b)
	return hex.EncodeToString(b), nil
}
