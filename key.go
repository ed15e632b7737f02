package riposte

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"strings"
	"time"
)

// Role says what a caller may do. Each may call what the ones before it may, but where
// that is about instances, a sender has to do with its own alone.
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

// NewKey returns a key without limits and its secret, which is shown once.
func NewKey(name string, role Role, now time.Time) (Key, string, error) {
	return NewLimitedKey(name, role, time.Time{}, 0, now)
}

// NewLimitedKey is NewKey for a key that is refused from expiresAt on, which must be
// later than now, and with which a node takes rateLimit calls per second; zero for
// never and for no bound.
func NewLimitedKey(name string, role Role, expiresAt time.Time, rateLimit int, now time.Time) (Key, string, error) {
	secret := keyPrefix + strings.ToLower(rand.Text()+rand.Text())
	var v violations
	k, err := NewKeyWithSecret(name, role, secret, now)
	v.within("key", err)
	v.limits(expiresAt, rateLimit, now)
	k.RateLimit = rateLimit
	if !expiresAt.IsZero() {
		k.ExpiresAt = Time(expiresAt)
	}
	return k, secret, v.err()
}

// limits checks those of a key or client.
func (v *violations) limits(expiresAt time.Time, rateLimit int, now time.Time) {
	if !expiresAt.IsZero() && !Time(expiresAt).After(Time(now)) {
		v.addf("expiresAt", "must be later than now")
	}
	if rateLimit < 0 || rateLimit > MaxRateLimit {
		v.addf("rateLimit", "must be 0, for no bound, to %d, is %d", MaxRateLimit, rateLimit)
	}
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

// Summary says for the audit log what a key is for and what it is good for.
func (k Key) Summary() string {
	return summary(fmt.Sprintf("named %q", k.Name), k.Role, k.ExpiresAt, k.RateLimit)
}

func summary(who string, role Role, expiresAt time.Time, rateLimit int) string {
	s := fmt.Sprintf("%s, role %s", who, role)
	if !expiresAt.IsZero() {
		s += ", expires " + expiresAt.UTC().Format(time.RFC3339)
	}
	if rateLimit > 0 {
		s += fmt.Sprintf(", %d calls a second", rateLimit)
	}
	return s
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

// Only is whose instances alone c sees and acts on: a sender's are its own. It is "" for
// those who see all.
func (c Caller) Only() string {
	if c.Role == RoleSender {
		return c.Owner()
	}
	return ""
}

// Sees reports whether c may know of what owner has created.
func (c Caller) Sees(owner string) bool { return c.Only() == "" || c.Only() == owner }

// Expired reports whether c's key or client is refused by now.
func (c Caller) Expired(now time.Time) bool { return !c.ExpiresAt.IsZero() && !now.Before(c.ExpiresAt) }

// Caller is whoever calls with k.
func (k Key) Caller() Caller {
	return Caller{KeyID: k.ID, KeyName: k.Name, KeyCreatedAt: k.CreatedAt, KeyHash: k.Hash,
		ExpiresAt: k.ExpiresAt, RateLimit: k.RateLimit, Role: k.Role}
}
