package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"connectrpc.com/connect"

	"github.com/riposte-dev/riposte/gen/riposte/v1/ripostev1connect"
)

// Client calls one server, or any node of it. Its methods may be called
// concurrently.
type Client struct {
	instances ripostev1connect.InstancesServiceClient
	consumers ripostev1connect.ConsumersServiceClient
	silence   time.Duration // of a stream that counts as dead
}

// Option is one of New's.
type Option func(*settings) error

type settings struct {
	apiKey string
	http   *http.Client
}

// WithAPIKey makes every call with an API key. Ask and Consume need the role
// sender, Watch and Wait the role viewer.
func WithAPIKey(key string) Option {
	return func(s *settings) error {
		s.apiKey = strings.TrimSpace(key)
		switch {
		case s.apiKey == "":
			return errors.New("the API key is empty")
		case strings.ContainsFunc(s.apiKey, func(r rune) bool { return r <= ' ' || r > '~' }):
			return errors.New("the API key has characters that no key has")
		}
		return nil
	}
}

// WithHTTPClient makes every call over a copy of h: for a certificate authority or a
// proxy of one's own. Its Timeout doesn't count, because a stream has none and every
// other call has one already, and redirects are refused.
func WithHTTPClient(h *http.Client) Option {
	return func(s *settings) error {
		if h == nil {
			return errors.New("the HTTP client is nil")
		}
		s.http = h
		return nil
	}
}

// New returns a client of the server at an http or https URL such as
// https://riposte.example.com. It does not connect. Its errors say what is wrong with
// the URL or with an option.
func New(server string, options ...Option) (*Client, error) {
	base, err := parseServer(server)
	if err != nil {
		return nil, err
	}
	var s settings
	for _, option := range options {
		if err := option(&s); err != nil {
			return nil, err
		}
	}
	if s.http == nil {
		s.http = &http.Client{Transport: newTransport()}
	}
	h := *s.http
	h.Timeout = 0
	h.CheckRedirect = refuseRedirect
	withKey := connect.WithInterceptors(bearer(s.apiKey))
	return &Client{
		instances: ripostev1connect.NewInstancesServiceClient(caller{&h}, base, withKey),
		consumers: ripostev1connect.NewConsumersServiceClient(caller{&h}, base, withKey),
		silence:   watchSilence,
	}, nil
}

// newTransport is Go's own, for many who wait at once and for connections on which
// nothing comes back any more: over HTTP/2 all calls share one, also the repeated.
func newTransport() *http.Transport {
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		ForceAttemptHTTP2:   true,
		TLSHandshakeTimeout: 10 * time.Second,
		MaxIdleConnsPerHost: 64,
		IdleConnTimeout:     90 * time.Second,
		HTTP2:               &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 15 * time.Second},
	}
}

// parseServer returns the URL without a slash at its end. User info is refused
// because the URL is part of error texts.
func parseServer(server string) (string, error) {
	u, err := url.Parse(strings.TrimSpace(server))
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "":
		return "", fmt.Errorf("the server must be an http or https URL such as https://riposte.example.com, not %q", server)
	case u.User != nil, u.RawQuery != "", u.Fragment != "":
		return "", errors.New("the server's URL must have no user info, query or fragment")
	}
	return strings.TrimRight(u.String(), "/"), nil
}

// errRedirect is incurable: calling again leads to the same place.
var errRedirect = errors.New("the server's URL is another one")

// refuseRedirect keeps a POST from turning into a GET, and the API key from going
// where nobody sent it.
func refuseRedirect(r *http.Request, _ []*http.Request) error {
	return fmt.Errorf("%w: it redirects to %s://%s", errRedirect, r.URL.Scheme, r.URL.Host)
}

// caller makes HTTP calls. Connect forgets the header of an answer that isn't one of
// its own, as a proxy's are that has no server to ask.
type caller struct{ *http.Client }

// Do implements connect.HTTPClient.
func (c caller) Do(r *http.Request) (*http.Response, error) {
	res, err := c.Client.Do(r)
	if err != nil || res.Header.Get("Retry-After") == "" || strings.HasPrefix(res.Header.Get("Content-Type"), "application/json") {
		return res, err
	}
	switch res.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		res.Body.Close()
		return nil, &busyError{res.Status, res.Header.Get("Retry-After")}
	}
	return res, nil
}

// busyError becomes a connect.Error with the code UNAVAILABLE.
type busyError struct{ status, retryAfter string }

func (e *busyError) Error() string { return "HTTP status " + e.status }

// bearer adds an API key, if there is one, to every call.
type bearer string

// WrapUnary implements connect.Interceptor.
func (b bearer) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, r connect.AnyRequest) (connect.AnyResponse, error) {
		b.identify(r.Header())
		return next(ctx, r)
	}
}

// WrapStreamingClient implements connect.Interceptor.
func (b bearer) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return func(ctx context.Context, s connect.Spec) connect.StreamingClientConn {
		conn := next(ctx, s)
		b.identify(conn.RequestHeader())
		return conn
	}
}

// WrapStreamingHandler implements connect.Interceptor for servers.
func (b bearer) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return next
}

func (b bearer) identify(h http.Header) {
	if b != "" {
		h.Set("Authorization", "Bearer "+string(b))
	}
}
