package api

import (
	"context"
	"crypto/subtle"
	"errors"
	"net/http"
	"net/netip"
	"strings"

	"connectrpc.com/connect"

	"github.com/riposte-dev/riposte"
)

var (
	errNoCredentials = &riposte.Error{Code: riposte.CodeUnauthenticated, Reason: "NO_CREDENTIALS",
		Message: "the request needs the header Authorization: Bearer followed by an API key"}
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
// every 401.
const challenge = `Bearer realm="riposte"`

type callerKey struct{}

// authenticated lets a request in when its caller is known. It comes before
// the body is read, so that a bad body isn't answered to just anybody. No cache
// may keep what the caller is answered: there are secrets in it, such as a new key.
func (s *Server) authenticated(next http.Handler) http.Handler {
	rpcErrors := connect.NewErrorWriter()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		caller, err := s.caller(r)
		if now := s.Store.Now(); err == nil && caller.Expired(now) {
			err = errKeyExpired
		} else if err == nil {
			s.lastUses.note(caller.KeyID, now)
			caller.RemoteAddress = remoteAddress(r)
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, caller)))
			return
		}
		mapped := s.mapError(r.URL.Path, err)
		if !strings.HasPrefix(r.URL.Path, "/api/") && !isOperators(r.URL.Path) && rpcErrors.IsSupported(r) {
			if mapped.Code() == connect.CodeUnauthenticated {
				mapped.Meta().Set("WWW-Authenticate", challenge)
			}
			_ = rpcErrors.Write(w, r, mapped)
			return
		}
		writeError(w, mapped)
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
func (s *Server) stillCalls(ctx context.Context, caller riposte.Caller) error {
	if caller.Expired(s.Store.Now()) {
		return errKeyExpired
	}
	if caller.ClientID == "" {
		_, err := s.key(ctx, caller.KeyHash)
		return err
	}
	_, err := s.Store.LoadClient(ctx, caller.ClientID)
	if errors.Is(err, riposte.ErrClientNotFound) {
		err = errBadCredentials
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
