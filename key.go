package riposte

import (
	"crypto/rand"
	"crypto/sha256"
	"strings"
	"time"
)

// Role says what a caller may do. Each may also do what the ones before it may.
type Role string

const (
	RoleViewer Role = "viewer" // read everything
	RoleSender Role = "sender" // and create instances and act on them
	RoleAdmin  Role = "admin"  // and manage webhooks and keys
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
)

// Key is an API key as it is kept: its secret's hash, never the secret.
type Key struct {
	ID        string
	Name      string
	Role      Role
	Hash      []byte // HashKey of the secret
	CreatedAt time.Time
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
	KeyID        string
	KeyName      string
	KeyCreatedAt time.Time
	KeyHash      []byte // by which to look whether the key is still there; for no log
	Role         Role
}

// Caller is whoever calls with k.
func (k Key) Caller() Caller {
	return Caller{KeyID: k.ID, KeyName: k.Name, KeyCreatedAt: k.CreatedAt, KeyHash: k.Hash, Role: k.Role}
}
