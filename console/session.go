package console

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

const (
	sessionCookie = "riposte_session"
	// sessionLife is how long somebody stays signed in. The API decides with each call
	// whether the key still counts.
	sessionLife = 12 * time.Hour

	sessionKeySize = 32 // bytes, for AES-256
)

// session is who has signed in. It is kept in the cookie alone, sealed, so that any
// node can serve the next page.
type session struct {
	Key     string         `json:"key"` // the API key
	KeyID   string         `json:"id"`
	Name    string         `json:"name"`
	Role    ripostev1.Role `json:"role"`
	Expires time.Time      `json:"expires"`
}

// MaySend reports whether the role may create instances and act on them: what it
// can't do is not offered. The API has the last word.
func (s session) MaySend() bool { return s.Role >= ripostev1.Role_ROLE_SENDER }

// MayManage reports whether the role may manage webhooks and keys.
func (s session) MayManage() bool { return s.Role >= ripostev1.Role_ROLE_ADMIN }

// RoleName is the role's word.
func (s session) RoleName() string { return roleName(s.Role) }

func newSessionKey() ([]byte, error) {
	key := make([]byte, sessionKeySize)
	_, err := rand.Read(key)
	return key, err
}

// sessions seals and opens cookies.
type sessions struct{ aead cipher.AEAD }

func newSessions(key []byte) (sessions, error) {
	if len(key) != sessionKeySize {
		return sessions{}, fmt.Errorf("the session key must have %d bytes, has %d", sessionKeySize, len(key))
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return sessions{}, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	return sessions{aead}, err
}

// purpose is sealed with each session, so that nothing else sealed with the key is
// taken for one.
var purpose = []byte("riposte console session v1")

func (ss sessions) seal(s session) (string, error) {
	b, err := json.Marshal(s)
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(ss.aead.Seal(nil, nil, b, purpose)), nil
}

// open returns false for what was not sealed here, or is over.
func (ss sessions) open(sealed string, now time.Time) (session, bool) {
	var s session
	b, err := base64.RawURLEncoding.DecodeString(sealed)
	if err != nil {
		return s, false
	}
	if b, err = ss.aead.Open(nil, nil, b, purpose); err != nil {
		return s, false
	}
	return s, json.Unmarshal(b, &s) == nil && now.Before(s.Expires)
}

func (ss sessions) of(r *http.Request) (session, bool) {
	cookie, err := r.Cookie(sessionCookie)
	if err != nil {
		return session{}, false
	}
	return ss.open(cookie.Value, time.Now())
}

// cookie is the session's, or one that ends it when value is empty. Lax, and not
// strict: a link in a chat message must find its reader signed in, and no GET acts.
func (c *Console) cookie(r *http.Request, value string) *http.Cookie {
	k := &http.Cookie{Name: sessionCookie, Value: value, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode,
		Secure: c.hosts.secure(r), MaxAge: int(sessionLife.Seconds())}
	if value == "" {
		k.MaxAge = -1
	}
	return k
}
