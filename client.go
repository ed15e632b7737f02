package riposte

import (
	"crypto/ed25519"
	"time"
)

// Client is client credentials as they are kept: the public key of a secret that only
// the client has (PROTOCOL.md section 6).
type Client struct {
	ID         string
	ClientID   string // <name>@<host>/<use>, by which the client calls itself
	Name       string
	Role       Role
	PublicKey  ed25519.PublicKey
	CreatedAt  time.Time
	ExpiresAt  time.Time // from when on it and its access tokens are refused; zero for never
	LastUsedAt time.Time // as Key.LastUsedAt
	RateLimit  int       // as Key.RateLimit
}

// Caller is whoever calls with an access token of c.
func (c Client) Caller() Caller {
	return Caller{KeyID: c.ID, KeyName: c.Name, KeyCreatedAt: c.CreatedAt, ClientID: c.ClientID,
		ExpiresAt: c.ExpiresAt, RateLimit: c.RateLimit, Role: c.Role}
}
