package riposte

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"net"
	"net/url"
	"regexp"
	"strings"
	"time"
)

const (
	// clientUse is what C1 puts there for the credentials of a person or a program, as
	// opposed to a connector's.
	clientUse           = "pcc"
	clientSecretPrefix  = "secret-token:conductorone.com:v1:"
	maxClientNameLength = 63 // characters
	maxClientHostLength = 253 + len(":65535")
)

var (
	clientName = regexp.MustCompile(`^[a-z0-9-]+$`)
	clientHost = regexp.MustCompile(`^[A-Za-z0-9.:_\[\]-]+$`)
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

// NewClient returns client credentials and their secret, which is shown once. The name
// is made up if it is empty. C1's clients call host where nothing else tells them which
// server is theirs: it has a port where the server has another one than 443. A zero
// expiresAt is for never; rate is Client.RateLimit. An error names what is wrong with
// name, host, role, expiresAt and rateLimit.
func NewClient(name, host string, role Role, expiresAt time.Time, rate int, now time.Time) (Client, string, error) {
	now = Time(now)
	var v violations
	if name == "" {
		name = "client-" + strings.ToLower(rand.Text()[:10])
	}
	if !isClientName(name) {
		v.addf("name", "must have 1 to %d lower-case letters, digits and hyphens", maxClientNameLength)
	}
	if !isClientHost(host) {
		v.addf("host", "must be a host name, with a port if need be, is %q", host)
	}
	if role.rank() == 0 {
		v.addf("role", "must be admin, sender or viewer")
	}
	v.limits(expiresAt, rate, now)
	if !expiresAt.IsZero() {
		expiresAt = Time(expiresAt)
	}
	if err := v.err(); err != nil {
		return Client{}, "", err
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return Client{}, "", err
	}
	c := Client{ID: NewID(now), ClientID: name + "@" + host + "/" + clientUse, Name: name, Role: role,
		PublicKey: public, CreatedAt: now, ExpiresAt: expiresAt, RateLimit: rate}
	return c, clientSecret(private), nil
}

// IsClientID reports whether s may be a client's ClientID.
func IsClientID(s string) bool {
	name, rest, _ := strings.Cut(s, "@")
	host, use, _ := strings.Cut(rest, "/")
	return use == clientUse && isClientName(name) && isClientHost(host)
}

func isClientName(s string) bool { return len(s) <= maxClientNameLength && clientName.MatchString(s) }
func isClientHost(s string) bool { return len(s) <= maxClientHostLength && clientHost.MatchString(s) }

// ClientHost is the host of client ids at the server with this public URL: its host,
// with its port where that is not the one that the scheme stands for.
func ClientHost(publicURL *url.URL) string {
	port := publicURL.Port()
	if port == "" || publicURL.Scheme == "https" && port == "443" || publicURL.Scheme == "http" && port == "80" {
		return strings.TrimSuffix(publicURL.Host, ":"+port)
	}
	return net.JoinHostPort(publicURL.Hostname(), port)
}

// clientSecret writes the key in the one layout that the parser of each of C1's clients
// takes. Some of them read base64, which for this text is the same as base64url.
func clientSecret(key ed25519.PrivateKey) string {
	enc := base64.RawURLEncoding
	jwk := `{"kty":"OKP","crv":"Ed25519","x":"` + enc.EncodeToString(key[ed25519.SeedSize:]) + `","d":"` + enc.EncodeToString(key.Seed()) + `"}`
	return clientSecretPrefix + enc.EncodeToString([]byte(jwk))
}

// ErrClientSecret is the error of ParseClientSecret.
var ErrClientSecret = errors.New("this is no client secret: one is " + clientSecretPrefix + " and a private key, as it was shown when the client was made")

// ParseClientSecret returns the private key of a secret that NewClient gave, and
// ErrClientSecret for any other text: also for one that only means the same, and for a
// key whose public part is another's.
func ParseClientSecret(secret string) (ed25519.PrivateKey, error) {
	// The length of all secrets is the same, and so is where the private key is.
	jwk, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(secret, clientSecretPrefix))
	end := len(jwk) - len(`"}`)
	start := end - base64.RawURLEncoding.EncodedLen(ed25519.SeedSize)
	if err != nil || start < 0 {
		return nil, ErrClientSecret
	}
	seed, err := base64.RawURLEncoding.DecodeString(string(jwk[start:end]))
	if err != nil || len(seed) != ed25519.SeedSize {
		return nil, ErrClientSecret
	}
	key := ed25519.NewKeyFromSeed(seed)
	if subtle.ConstantTimeCompare([]byte(clientSecret(key)), []byte(secret)) == 0 {
		return nil, ErrClientSecret
	}
	return key, nil
}

// Summary says for the audit log what a client is for and what it is good for.
func (c Client) Summary() string { return summary(c.ClientID, c.Role, c.ExpiresAt, c.RateLimit) }

// Has reports whether key is the private part of c's public key.
func (c Client) Has(key ed25519.PrivateKey) bool {
	public, ok := key.Public().(ed25519.PublicKey)
	return ok && subtle.ConstantTimeCompare(public, c.PublicKey) == 1
}

// Caller is whoever calls with an access token of c.
func (c Client) Caller() Caller {
	return Caller{KeyID: c.ID, KeyName: c.Name, KeyCreatedAt: c.CreatedAt, ClientID: c.ClientID,
		ExpiresAt: c.ExpiresAt, RateLimit: c.RateLimit, Role: c.Role}
}
