package riposte

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"strings"
	"time"
)

// Role says what a caller may do. Each may also do what the ones before it may.
type Role string

const (
	RoleViewer Role = "viewer" // read everything but keys, clients and the audit log
	RoleSender Role = "sender" // create instances, and read and act on its own
	RoleAdmin  Role = "admin"  // everything
)

// Roles lists the closed set, the weakest first.
var Roles = []Role{RoleViewer, RoleSender, RoleAdmin}

// Covers reports whether r may do what needs the role needed.
func (r Role) Covers(needed Role) bool { return r.rank() >= needed.rank() && needed.rank() > 0 }

func (r Role) rank() int {
	for n, each := range Roles {
		if r == each {
			return n + 1
		}
	}
	return 0
}

const (
	keyPrefix        = "riposte_"
	maxKeyNameLength = 100 // characters
	// MaxRateLimit is the highest bound of calls per second that a key or client may have.
	MaxRateLimit = 100_000
)

// Key is an API key as it is kept: its secret's hash, never the secret.
type Key struct {
	ID        string
	Name      string
	Role      Role
	Hash      []byte // HashKey of the secret
	CreatedAt time.Time
	ExpiresAt time.Time // from when on it is refused; zero for never
	// LastUsedAt is when it was last used, to within a minute; zero before that. Only
	// ListKeys knows it.
	LastUsedAt time.Time
	RateLimit  int // calls per second at one node, on average, 0 to MaxRateLimit; 0 for no bound
}

// NewKey returns a key and its secret, which is shown once.
func NewKey(name string, role Role, now time.Time) (Key, string, error) {
	secret := keyPrefix + strings.ToLower(rand.Text()+rand.Text())
	k, err := NewKeyWithSecret(name, role, secret, now)
	return k, secret, err
}

// NewKeyWithSecret is NewKey for a secret that the operator chose.
func NewKeyWithSecret(name string, role Role, secret string, now time.Time) (Key, error) {
	now = Time(now)
	var v violations
	if role.rank() == 0 {
		v.addf("role", "must be admin, sender or viewer")
	}
	v.text("name", name, maxKeyNameLength)
	if secret == "" {
		v.addf("secret", "must be set")
	}
	return Key{ID: NewID(now), Name: name, Role: role, Hash: HashKey(secret), CreatedAt: now}, v.err()
}

// HashKey is how a secret is kept and looked up. A fast hash is enough because
// secrets are long and random (PROTOCOL.md section 6).
func HashKey(secret string) []byte {
	h := sha256.Sum256([]byte(secret))
	return h[:]
}

// Caller is who makes a request: what authentication found, handed as an
// argument to whatever needs to know.
type Caller struct {
	KeyID        string // or the client's
	KeyName      string
	KeyCreatedAt time.Time
	KeyHash      []byte // by which to look whether the key is still there; for no log; nil for a client
	ClientID     string // by which to look whether the client is still there; empty for a key
	ExpiresAt    time.Time
	RateLimit    int
	Role         Role
	// RemoteAddress is where the connection came from, without its port.
	RemoteAddress string
}

// Owner is whose the instances are that c creates: see Instance.CreatedBy.
func (c Caller) Owner() string { return cmp.Or(c.KeyName, c.KeyID) }

// Caller is whoever calls with k.
func (k Key) Caller() Caller {
	return Caller{KeyID: k.ID, KeyName: k.Name, KeyCreatedAt: k.CreatedAt, KeyHash: k.Hash,
		ExpiresAt: k.ExpiresAt, RateLimit: k.RateLimit, Role: k.Role}
}
