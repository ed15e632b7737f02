package api

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect"

	"github.com/riposte-dev/riposte"
)

const (
	tokenPath = "/auth/v1/token"
	// maxTokenBody, in bytes, holds a form several times as long as C1's clients'.
	maxTokenBody = 16 << 10
	// tokenTimeout bounds how long the form may take: it fits into a packet or two.
	tokenTimeout   = 10 * time.Second
	basicChallenge = `Basic realm="riposte", charset="UTF-8"`
)

// oauthError is a refusal in the form of RFC 6749, section 5.2: everything that the token
// endpoint says but yes.
type oauthError struct {
	status      int
	Code        string `json:"error"`
	Description string `json:"error_description"`
}

func (e *oauthError) Error() string { return e.Code + ": " + e.Description }

func invalidRequest(description string) *oauthError {
	return &oauthError{http.StatusBadRequest, "invalid_request", description}
}

func invalidClient(description string) *oauthError {
	return &oauthError{http.StatusUnauthorized, "invalid_client", description}
}

var (
	// errUnknownClient is for whoever has not shown that it has a client's secret: it
	// doesn't learn which clients there are.
	errUnknownClient = invalidClient("there is no such client, or this is not its secret")
	errReplayed      = invalidClient("client_assertion was used before: make another one, with a nonce or jti of its own")
	errClientExpired = invalidClient("the client has expired")
)

// nobody is the client whose secret nobody has: what is checked for a client that isn't
// there takes as long as for one that is.
var nobody = sync.OnceValue(func() riposte.Client {
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic("api: generating a key: " + err.Error())
	}
	return riposte.Client{PublicKey: public}
})

// tokenResponse is RFC 6749's, section 5.1.
type tokenResponse struct {
	AccessToken string `json:"access_token"`
	TokenType   string `json:"token_type"`
	ExpiresIn   int    `json:"expires_in"` // seconds
}

// token is POST /auth/v1/token: client credentials for an access token (RFC 6749,
// section 4.4), shown by client_secret or by client_assertion (RFC 7523).
func (s *Server) token(w http.ResponseWriter, r *http.Request) {
	res, err := s.grant(w, r)
	if err != nil {
		s.refuseGrant(w, r, err)
		return
	}
	tokenHeaders(w.Header())
	_ = json.NewEncoder(w).Encode(res)
}

func tokenHeaders(h http.Header) {
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	h.Set("Pragma", "no-cache")
}

func (s *Server) refuseGrant(w http.ResponseWriter, r *http.Request, err error) {
	h := w.Header()
	tokenHeaders(h)
	refused := s.refusedGrant(err)
	switch refused.status {
	case http.StatusUnauthorized:
		// Only whoever tried Basic is told of it (RFC 6749, section 5.2): others take the
		// challenge for all there is to know, and don't read the body.
		if r.Header.Get("Authorization") != "" {
			h.Set("WWW-Authenticate", basicChallenge)
		}
	case http.StatusMethodNotAllowed:
		h.Set("Allow", http.MethodPost)
	case http.StatusServiceUnavailable:
		h.Set("Retry-After", "1")
	}
	w.WriteHeader(refused.status)
	_ = json.NewEncoder(w).Encode(refused)
}

// refusedGrant is mapError for the token endpoint.
func (s *Server) refusedGrant(err error) *oauthError {
	if e, ok := errors.AsType[*oauthError](err); ok {
		return e
	}
	mapped := s.mapError("token", err)
	if e, ok := errors.AsType[*riposte.Error](err); ok && e.Code == riposte.CodeUnavailable {
		return &oauthError{http.StatusServiceUnavailable, "temporarily_unavailable", mapped.Message()}
	}
	return &oauthError{http.StatusInternalServerError, "server_error", mapped.Message()}
}

func (s *Server) grant(w http.ResponseWriter, r *http.Request) (*tokenResponse, error) {
	form, err := readTokenForm(w, r)
	if err != nil {
		return nil, err
	}
	switch grant := form["grant_type"]; grant {
	case "client_credentials":
	case "":
		return nil, invalidRequest("grant_type is missing")
	default:
		return nil, &oauthError{http.StatusBadRequest, "unsupported_grant_type", "grant_type must be client_credentials"}
	}
	client, err := s.provenClient(r, form)
	if err != nil {
		return nil, err
	}
	if client.Caller().Expired(s.Store.Now()) {
		return nil, errClientExpired
	}
	token, err := s.AccessTokens.Issue(client)
	if err != nil {
		return nil, err
	}
	return &tokenResponse{token, "Bearer", int(accessTokenRenewal.Seconds())}, nil
}

// readTokenForm returns the parameters that have a value: one without is as good as one
// that isn't there (RFC 6749, section 3.2).
func readTokenForm(w http.ResponseWriter, r *http.Request) (map[string]string, error) {
	if r.Method != http.MethodPost {
		return nil, &oauthError{http.StatusMethodNotAllowed, "invalid_request", "this path takes only POST"}
	}
	if r.URL.RawQuery != "" {
		return nil, invalidRequest("the parameters must be in the body: addresses are logged")
	}
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/x-www-form-urlencoded" {
		return nil, invalidRequest("Content-Type must be application/x-www-form-urlencoded")
	}
	body, err := readWithin(w, r, tokenTimeout, maxTokenBody)
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, &oauthError{http.StatusRequestEntityTooLarge, "invalid_request", "the body is too long"}
	}
	if _, ok := errors.AsType[*connect.Error](err); ok { // there is no room for what its head didn't announce
		return nil, errOverloaded
	}
	if err != nil {
		return nil, invalidRequest("the body " + brokeOff(err, tokenTimeout))
	}
	values, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, invalidRequest("the body is not a form")
	}
	form := map[string]string{}
	for name, v := range values {
		if len(v) > 1 {
			return nil, invalidRequest("a parameter must not be there twice")
		}
		if v[0] != "" {
			form[name] = v[0]
		}
	}
	return form, nil
}

// provenClient returns the client that the request is from, by the one proof that it has.
func (s *Server) provenClient(r *http.Request, form map[string]string) (riposte.Client, error) {
	id, secret, err := basicClient(r)
	if err != nil {
		return riposte.Client{}, err
	}
	if id != "" && form["client_id"] != "" && form["client_id"] != id {
		return riposte.Client{}, invalidRequest("client_id is another one in the form than in the header Authorization")
	}
	if id == "" {
		id = form["client_id"]
	}
	proofs := 0
	for _, proof := range []string{secret, form["client_secret"], form["client_assertion"]} {
		if proof != "" {
			proofs++
		}
	}
	switch {
	case proofs > 1:
		return riposte.Client{}, invalidRequest("a client must prove itself in one way only: client_secret, client_assertion or the header Authorization")
	case form["client_assertion"] != "":
		return s.clientOfAssertion(r, id, form)
	case form["client_assertion_type"] != "":
		return riposte.Client{}, invalidRequest("client_assertion is missing")
	case proofs == 0:
		return riposte.Client{}, invalidClient("the request needs a client_secret or a client_assertion")
	case id == "":
		return riposte.Client{}, invalidRequest("client_id is missing")
	case secret == "":
		secret = form["client_secret"]
	}
	return s.clientOfSecret(r, id, secret)
}

// basicClient returns the client and the secret of HTTP Basic, both encoded as in a form
// (RFC 6749, section 2.3.1), and nothing where there is no such header. Where somebody
// forgot to encode them, a client's id may have a port and so a colon: then the secret
// is where its prefix is.
func basicClient(r *http.Request) (id, secret string, err error) {
	if r.Header.Get("Authorization") == "" {
		return "", "", nil
	}
	id, secret, ok := r.BasicAuth()
	if !ok {
		return "", "", invalidClient("the header Authorization must be HTTP Basic, with client_id and client_secret")
	}
	if both, prefix := id+":"+secret, ":secret-token:"; strings.Contains(both, prefix) {
		at := strings.Index(both, prefix)
		id, secret = both[:at], both[at+1:]
	}
	if id, err = url.QueryUnescape(id); err == nil {
		secret, err = url.QueryUnescape(secret)
	}
	if err != nil || id == "" || secret == "" {
		return "", "", invalidClient("the header Authorization must have client_id and client_secret, each encoded as in a form")
	}
	return id, secret, nil
}

// client is Store.LoadClient, with nobody in the place of a client that isn't there.
func (s *Server) client(ctx context.Context, clientID string) (riposte.Client, error) {
	if !riposte.IsClientID(clientID) { // nor may it be any text that a store can't hold
		return nobody(), nil
	}
	c, err := s.Store.LoadClient(ctx, clientID)
	if errors.Is(err, riposte.ErrClientNotFound) {
		return nobody(), nil
	}
	return c, err
}

func (s *Server) clientOfSecret(r *http.Request, id, secret string) (riposte.Client, error) {
	key, err := riposte.ParseClientSecret(secret)
	if err != nil {
		return riposte.Client{}, errUnknownClient
	}
	c, err := s.client(r.Context(), id)
	if err == nil && !c.Has(key) {
		err = errUnknownClient
	}
	return c, err
}

// clientOfAssertion looks at the signature first, so that whoever can't sign learns
// nothing, and takes notice of the assertion last, so that nobody else can use it up.
func (s *Server) clientOfAssertion(r *http.Request, id string, form map[string]string) (riposte.Client, error) {
	if form["client_assertion_type"] != assertionType {
		return riposte.Client{}, invalidClient("client_assertion_type must be " + assertionType)
	}
	a, err := parseAssertion(form["client_assertion"])
	if err != nil {
		return riposte.Client{}, invalidClient(err.Error())
	}
	if id == "" { // RFC 7521, section 4.2: the assertion says it
		id = a.claims.Subject
	}
	c, err := s.client(r.Context(), id)
	if err != nil {
		return c, err
	}
	if !a.signedBy(c.PublicKey) {
		return c, errUnknownClient
	}
	if err := a.check(id, s.audience(), s.Store.Now()); err != nil {
		return c, invalidClient(err.Error())
	}
	err = s.Store.UseAssertion(r.Context(), a.useID(id), a.until())
	if errors.Is(err, riposte.ErrReplayed) {
		err = errReplayed
	}
	return c, err
}

// audience is what this server is called by clients that speak to it.
func (s *Server) audience() []string {
	names := []string{s.Issuer}
	if host := s.publicURL.Hostname(); !strings.EqualFold(host, s.Issuer) {
		names = append(names, host)
	}
	return names
}
