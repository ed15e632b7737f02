package riposte

import "time"

// ServerKey is one of the server's own keys, without what is secret in it.
type ServerKey struct {
	ID           string // a signing key's is its kid in the key set
	Use          ServerKeyUse
	State        ServerKeyState
	Algorithm    string // EdDSA, ES256 or RS256 for signing; A256GCM for what is sealed
	CreatedAt    time.Time
	UsedFrom     time.Time
	RemovedAfter time.Time // zero while no later key is in use
}

// ServerKeyUse is what a key of the server's own is for.
type ServerKeyUse string

const (
	ServerKeySigning     ServerKeyUse = "signing"      // signs deliveries; receivers find it in the key set
	ServerKeyCallback    ServerKeyUse = "callback"     // seals the tokens of callback URLs
	ServerKeyAccessToken ServerKeyUse = "access-token" // signs the access tokens of clients
	ServerKeyData        ServerKeyUse = "data"         // encrypts the others, and the secrets of webhooks, at rest
)

// ServerKeyState is where a key of the server's own is on its way.
type ServerKeyState string

const (
	ServerKeyNext    ServerKeyState = "next"    // published and not yet used
	ServerKeyCurrent ServerKeyState = "current" // what is new is made with it
	ServerKeyRetired ServerKeyState = "retired" // no longer used, but what was made with it still counts
)
