package api

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"connectrpc.com/connect"

	"github.com/riposte-dev/riposte"
)

var (
	errNoCredentials = &riposte.Error{Code: riposte.CodeUnauthenticated, Reason: "NO_CREDENTIALS",
		Message: "the request needs the header Authorization: Bearer followed by an API key or an access token"}
	errKeyExpired = &riposte.Error{Code: riposte.CodeUnauthenticated, Reason: "KEY_EXPIRED",
		Message: "the API key or client has expired: it needs a new one"}
	errBadCredentials = &riposte.Error{Code: riposte.CodeUnauthenticated, Reason: "BAD_CREDENTIALS",
		Message: "the API key is not known"}
)

func mayNot(has, needs riposte.Role) error {
	return &riposte.Error{Code: riposte.CodePermissionDenied, Reason: "ROLE_TOO_LOW",
		Message: "this needs the role " + string(needs) + "; the API key has the role " + string(has)}
}

// challenge is the WWW-Authenticate that RFC 9110, section 15.5.2, demands of
// every 401; challengeOf says more where there is more to say.
const challenge = `Bearer realm="riposte"`

// challengeOf tells a client whose access token is refused that it needs another one
// (RFC 6750, section 3.1).
func challengeOf(err error) string {
	if errors.Is(err, errBadAccessToken) {
		return challenge + `, error="invalid_token", error_description="the access token is not good, or no longer"`
	}
	return challenge
}

type callerKey struct{}

// authenticated lets a request in when its caller is known. It comes before
// the body is read, so that a bad body isn't answered to just anybody. No cache
// may keep what the caller is answered: there are secrets in it, such as a new key.
func (s *Server) authenticated(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		caller, err := s.caller(r)
		now := s.Store.Now()
		if err == nil && caller.Expired(now) {
			err = errKeyExpired
		}
		if err != nil {
			mapped := s.mapError(r.URL.Path, err)
			if mapped.Code() == connect.CodeUnauthenticated {
				mapped.Meta().Set("WWW-Authenticate", challengeOf(err))
			}
			writeRefusal(w, r, mapped)
			return
		}
		if after := s.buckets.take(caller, time.Now()); after > 0 {
			writeRefusal(w, r, rateLimited(caller, after))
			return
		}
		s.lastUses.note(caller.KeyID, now)
		caller.RemoteAddress = remoteAddress(r)
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, caller)))
	})
}

func (s *Server) caller(r *http.Request) (riposte.Caller, error) {
	scheme, secret, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	secret = strings.TrimSpace(secret)
	if !strings.EqualFold(scheme, "Bearer") || secret == "" {
		return riposte.Caller{}, errNoCredentials
	}
	hash := riposte.HashKey(secret)
	if _, ok := s.configured(hash); !ok && looksLikeJWT(secret) {
		return s.callerOfToken(r.Context(), secret)
	}
	k, err := s.key(r.Context(), hash)
	return k.Caller(), err
}

// looksLikeJWT tells an access token from an API key, which has dots only where an
// operator chose it, and then the configuration has it.
func looksLikeJWT(s string) bool {
	return strings.HasPrefix(s, "eyJ") && strings.Count(s, ".") == 2
}

// callerOfToken returns the client that an access token was issued to, if it is still
// there: what ends a client ends its tokens.
func (s *Server) callerOfToken(ctx context.Context, token string) (riposte.Caller, error) {
	id, clientID, err := s.AccessTokens.Verify(token)
	if err != nil {
		// Another node may have signed it with a key that this one has not seen yet.
		if err := s.ServerKeys.Reread(ctx, riposte.ServerKeyAccessToken); err != nil {
			return riposte.Caller{}, fmt.Errorf("%w: %w", riposte.ErrUnavailable, err)
		}
		if id, clientID, err = s.AccessTokens.Verify(token); err != nil {
			return riposte.Caller{}, err
		}
	}
	return s.callerOfClient(ctx, id, clientID)
}

// callerOfClient returns the client of this ID and ClientID. errBadAccessToken.
func (s *Server) callerOfClient(ctx context.Context, id, clientID string) (riposte.Caller, error) {
	c, err := s.Store.LoadClient(ctx, clientID)
	caller := c.Caller()
	if errors.Is(err, riposte.ErrClientNotFound) || err == nil && (c.ID != id || caller.Expired(s.Store.Now())) {
		err = errBadAccessToken
	}
	return caller, err
}

// remoteAddress is where the connection came from, which behind a proxy is that one: a
// header that names another may be anybody's, so none is believed.
func remoteAddress(r *http.Request) string {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return ""
	}
	return from.Addr().Unmap().WithZone("").String()
}

// stillCalls says whether caller may go on: its key or client may have been revoked or
// have expired since the call began.
func (s *Server) stillCalls(ctx context.Context, caller riposte.Caller) (err error) {
	switch {
	case caller.Expired(s.Store.Now()):
		return errKeyExpired
	case caller.ClientID != "":
		_, err = s.callerOfClient(ctx, caller.KeyID, caller.ClientID)
	default:
		_, err = s.key(ctx, caller.KeyHash)
	}
	return err
}

// untilExpiry returns a context that ends when caller expires, for calls that wait.
// expiredOr tells why it ended.
func (s *Server) untilExpiry(ctx context.Context, caller riposte.Caller) (context.Context, context.CancelFunc) {
	if caller.ExpiresAt.IsZero() {
		return ctx, func() {}
	}
	return context.WithTimeoutCause(ctx, caller.ExpiresAt.Sub(s.Store.Now()), errKeyExpired)
}

// expiredOr returns err, or errKeyExpired where that is why ctx ended.
func expiredOr(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); errors.Is(cause, errKeyExpired) {
		return cause
	}
	return err
}

// key returns the key with this hash, of the configuration or of the store.
// errBadCredentials.
func (s *Server) key(ctx context.Context, hash []byte) (riposte.Key, error) {
	if k, ok := s.configured(hash); ok {
		return k, nil
	}
	k, err := s.Store.LoadKey(ctx, hash)
	if errors.Is(err, riposte.ErrKeyNotFound) {
		err = errBadCredentials
	}
	return k, err
}

func (s *Server) configured(hash []byte) (riposte.Key, bool) {
	for _, k := range s.Keys {
		if subtle.ConstantTimeCompare(k.Hash, hash) == 1 {
			return k, true
		}
	}
	return riposte.Key{}, false
}
