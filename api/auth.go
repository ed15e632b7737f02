package api

import (
	"context"
	"crypto/subtle"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/riposte-dev/riposte"
)

var (
	errNoCredentials = &riposte.Error{Code: riposte.CodeUnauthenticated, Reason: "NO_CREDENTIALS",
		Message: "the request needs the header Authorization: Bearer followed by an API key"}
	errBadCredentials = &riposte.Error{Code: riposte.CodeUnauthenticated, Reason: "BAD_CREDENTIALS",
		Message: "the API key is not known"}
)

func mayNot(has, needs riposte.Role) error {
	return &riposte.Error{Code: riposte.CodePermissionDenied, Reason: "ROLE_TOO_LOW",
		Message: "this needs the role " + string(needs) + "; the API key has the role " + string(has)}
}

// challenge is the WWW-Authenticate that RFC 9110, section 15.5.2, demands of
// every 401.
const challenge = `Bearer realm="riposte"`

type callerKey struct{}

// authenticated lets a request in when its caller is known. It comes before
// the body is read, so that a bad body isn't answered to just anybody. No cache
// may keep what the caller is answered: there are secrets in it, such as a new key.
func (s *Server) authenticated(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		caller, err := s.caller(r)
		if err != nil {
			writeRefusal(w, r, s.mapError(r.URL.Path, err))
			return
		}
		if after := s.buckets.take(caller, time.Now()); after > 0 {
			writeRefusal(w, r, rateLimited(caller, after))
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, caller)))
	})
}

func (s *Server) caller(r *http.Request) (riposte.Caller, error) {
	scheme, secret, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	secret = strings.TrimSpace(secret)
	if !strings.EqualFold(scheme, "Bearer") || secret == "" {
		return riposte.Caller{}, errNoCredentials
	}
	k, err := s.key(r.Context(), riposte.HashKey(secret))
	return k.Caller(), err
}

// key returns the key with this hash, of the configuration or of the store.
// errBadCredentials.
func (s *Server) key(ctx context.Context, hash []byte) (riposte.Key, error) {
	for _, k := range s.Keys {
		if subtle.ConstantTimeCompare(k.Hash, hash) == 1 {
			return k, nil
		}
	}
	k, err := s.Store.LoadKey(ctx, hash)
	if errors.Is(err, riposte.ErrKeyNotFound) {
		err = errBadCredentials
	}
	return k, err
}
