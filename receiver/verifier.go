package receiver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	// DefaultMaxBody bounds a request's body, in bytes. A payload has 1 MiB at
	// most, and the body around it a few hundred bytes more.
	DefaultMaxBody = 2 << 20
	// DefaultLeeway is by how much the two clocks may differ beside what the
	// JWT's own life allows for: it begins a minute before it is issued.
	DefaultLeeway = 10 * time.Second
)

// Verifier checks deliveries to one receiver. Its methods may be called
// concurrently.
type Verifier struct {
	receiver *url.URL
	keys     keySource
	issuer   string
	leeway   time.Duration
	maxBody  int64
	seen     *seenTokens // nil where replays are allowed
}

// Option is one of NewVerifier's.
type Option func(*settings) error

type settings struct {
	Verifier
	http *http.Client
	keys *jose.JSONWebKeySet
}

// WithIssuer takes JWTs of this issuer alone: the server's --issuer, by default
// its public URL's host without port.
func WithIssuer(issuer string) Option {
	return func(s *settings) error {
		if issuer == "" {
			return errors.New("the issuer is empty")
		}
		s.issuer = issuer
		return nil
	}
}

// WithLeeway sets by how much the clocks may differ, 0 to 10 minutes.
func WithLeeway(d time.Duration) Option {
	return func(s *settings) error {
		if d < 0 || d > 10*time.Minute {
			return fmt.Errorf("the leeway must be 0 to 10 minutes, not %s", d)
		}
		s.leeway = d
		return nil
	}
}

// WithMaxBody bounds a request's body, in bytes.
func WithMaxBody(n int64) Option {
	return func(s *settings) error {
		if n <= 0 {
			return fmt.Errorf("a body must be allowed more than %d bytes", n)
		}
		s.maxBody = n
		return nil
	}
}

// WithHTTPClient fetches the keys with h: for a certificate authority or a
// proxy of one's own.
func WithHTTPClient(h *http.Client) Option {
	return func(s *settings) error {
		if h == nil {
			return errors.New("the HTTP client is nil")
		}
		s.http = h
		return nil
	}
}

// WithKeys gives the server's keys instead of fetching them.
func WithKeys(keys jose.JSONWebKeySet) Option {
	return func(s *settings) error {
		s.keys = &keys
		return nil
	}
}

// AllowReplays takes a JWT more than once. It is for those who check what they
// recorded, and for a receiver behind a proxy that repeats requests by itself.
// Everybody else is better off without: a verifier remembers each JWT for its
// life of three minutes, at most 65,536 of them (of more the oldest is
// forgotten), and nothing that the sender does repeats one. Several processes
// of a receiver don't know of each other's: acting once for an InstanceID is
// what protects them.
func AllowReplays() Option {
	return func(s *settings) error {
		s.seen = nil
		return nil
	}
}

// NewVerifier returns a verifier of what the server at its base URL, such as
// https://riposte.example.com, sends to the receiver at receiverURL. It does
// not connect: the keys are fetched from the server's /auth/v1/jwks with the
// first delivery, again after ten minutes, and at once, though not more than
// once in five seconds, for a key that isn't among them.
//
// receiverURL is the receiver's own URL as the sender sees it, which is what
// its webhooks have, a proxy in front of it or not. With a path it is this one
// URL, whatever path a proxy makes of it. Without one it stands for all paths
// of its host, and the request's own path must be the one that was signed. A
// host with other characters than ASCII must be in its ASCII form (xn--).
func NewVerifier(server, receiverURL string, options ...Option) (*Verifier, error) {
	own, err := parseURL("the receiver's URL", receiverURL)
	if err != nil {
		return nil, err
	}
	s := settings{
		Verifier: Verifier{receiver: own, leeway: DefaultLeeway, maxBody: DefaultMaxBody, seen: newSeenTokens(maxSeen)},
		http:     http.DefaultClient,
	}
	for _, option := range options {
		if err := option(&s); err != nil {
			return nil, err
		}
	}
	v := s.Verifier
	if s.keys != nil {
		v.keys = fixedKeys{*s.keys}
		return &v, nil
	}
	base, err := parseURL("the server's URL", server)
	if err != nil {
		return nil, err
	}
	v.keys = &fetchedKeys{url: strings.TrimRight(base.String(), "/") + "/auth/v1/jwks", http: s.http}
	return &v, nil
}

// parseURL refuses user info because URLs are part of error messages.
func parseURL(what, s string) (*url.URL, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "":
		return nil, fmt.Errorf("%s must be an http or https URL with a host, not %q", what, s)
	case u.User != nil, u.Fragment != "":
		return nil, fmt.Errorf("%s must have no user info and no fragment", what)
	}
	u.RawQuery, u.ForceQuery = "", false // a JWT doesn't name it
	return u, nil
}

// SourceKind says which step asks. The set is closed.
type SourceKind string

const (
	SourceTest             SourceKind = "test"
	SourcePolicyPostAction SourceKind = "policyPostAction"
	SourceApprovalStep     SourceKind = "approvalStep"
	SourceProvisionStep    SourceKind = "provisionStep"
	SourceWorkflowStep     SourceKind = "workflowStep"
)

// sources are the event types, by which a delivery says its source.
var sources = map[string]SourceKind{
	"c1.webhooks.v1.PayloadTest":               SourceTest,
	"c1.webhooks.v1.PayloadPolicyPostAction":   SourcePolicyPostAction,
	"c1.webhooks.v1.PayloadPolicyApprovalStep": SourceApprovalStep,
	"c1.webhooks.v1.PayloadProvisionStep":      SourceProvisionStep,
	"c1.webhooks.v1.PayloadWorkflowStep":       SourceWorkflowStep,
}

// OutcomeEvent is the event of a delivery that asks nothing: the server pushes
// what an instance came to. Any 2xx takes it; client.ParseOutcome reads its payload.
const OutcomeEvent = "riposte.v1.PayloadOutcome"

// outcomePrefix is before the instance's id in the id of its outcome.
const outcomePrefix = "outcome_"

// Delivery is an attempt to ask, or to push an outcome, as it came in.
type Delivery struct {
	InstanceID  string     // the same on every attempt
	Event       string     // such as c1.webhooks.v1.PayloadPolicyApprovalStep
	Source      SourceKind // what Event means; "" for OutcomeEvent, and for one that is newer than this package
	CallbackURL string     // where an answer may be posted, once; "" for OutcomeEvent
	Attempt     int        // from 1, by a header that isn't signed; 0 when it isn't there
	Payload     json.RawMessage
	Body        []byte
	Header      http.Header
	Claims      Claims
}

// Claims is what the JWT says (PROTOCOL.md section 2).
type Claims struct {
	Issuer    string    // iss
	Audience  string    // aud
	Type      string    // c1typ
	ID        string    // jti
	IssuedAt  time.Time // iat
	NotBefore time.Time // nbf
	Expiry    time.Time // exp
	Method    string    // htm
	URL       string    // htu
	BodyHash  string    // htb_s256
}

// Verify reads the request's body and makes every check of it. Its error is a
// *Refusal; the delivery is then empty.
func (v *Verifier) Verify(r *http.Request) (Delivery, error) {
	req, err := v.Read(r)
	if err != nil {
		return Delivery{}, err
	}
	d, checks := v.Check(r.Context(), req)
	if err := Verdict(checks); err != nil {
		return Delivery{}, err
	}
	return d, nil
}

// Verdict is what the checks come to: nil when all are OK, else a *Refusal.
func Verdict(checks []Check) error {
	for _, c := range checks {
		if !c.OK {
			return &Refusal{Checks: checks}
		}
	}
	return nil
}

// Refusal is why a request isn't taken.
type Refusal struct {
	Checks []Check // all that were made
}

// Error tells the checks that failed.
func (r *Refusal) Error() string {
	var failed []string
	for _, c := range r.Checks {
		if !c.OK {
			failed = append(failed, c.Name+": "+c.Detail)
		}
	}
	return "the delivery does not verify: " + strings.Join(failed, "; ")
}

// Status is what to answer: 503 when nothing is wrong but that the server's
// keys can't be had now, 413 for a body that is too large, 401 otherwise. The
// sender repeats its attempt after each of them.
func (r *Refusal) Status() int {
	status := http.StatusUnauthorized
	for _, c := range r.Checks {
		switch {
		case c.OK:
		case c.status == 0:
			return http.StatusUnauthorized
		default:
			status = c.status
		}
	}
	return status
}

// Refuse answers a request that Verify did not take. It doesn't tell the other
// side why; log the error.
func Refuse(w http.ResponseWriter, err error) {
	status := http.StatusInternalServerError
	if r, ok := errors.AsType[*Refusal](err); ok {
		status = r.Status()
	}
	http.Error(w, http.StatusText(status), status)
}

// keySource finds the key of a kid.
type keySource interface {
	find(ctx context.Context, kid string) (jose.JSONWebKey, error)
}
