package outbound

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"time"

	"github.com/riposte-dev/riposte"
)

// Bounds of what the client holds on to.
const (
	maxHeaderBytes   = 64 << 10                   // of a response's headers, 1xx responses included
	maxIdlePerHost   = riposte.DefaultMaxInFlight // connections kept per receiver
	maxIdle          = 512                        // connections kept in all, and as many of webhooks that have their own
	idleTimeout      = 90 * time.Second           // a connection is kept this long unused
	defaultUserAgent = "Riposte"
)

// Options says how a Client works. Signer and Issuer must be set, and OutcomeBody
// where outcomes are pushed.
type Options struct {
	Destinations Destinations
	Signer       *Signer
	Issuer       string // the JWT's iss: a bare host name
	OutcomeBody  func(riposte.Instance) ([]byte, error)
	UserAgent    string           // "Riposte" when empty
	Timeout      time.Duration    // for a whole attempt; riposte.AttemptTimeout when zero
	Now          func() time.Time // time.Now when nil
	RootCAs      *x509.CertPool   // the system's when nil
	// Open opens a secret of a webhook; nil where there is none that could be opened.
	Open func(purpose string, sealed riposte.Sealed) ([]byte, error)
}

// Client makes attempts. It may be used by several goroutines at once.
type Client struct {
	destinations Destinations
	signer       *Signer
	issuer       string
	userAgent    string
	outcomeBody  func(riposte.Instance) ([]byte, error)
	timeout      time.Duration
	now          func() time.Time
	roots        *x509.CertPool
	transport    *http.Transport
	targets      targets
	openSealed   func(purpose string, sealed riposte.Sealed) ([]byte, error)
	openings     openings
}

// New returns a Client. Close it to let go of its connections.
func New(o Options) (*Client, error) {
	switch {
	case o.Signer == nil:
		return nil, errors.New("outbound: Options.Signer must be set")
	case o.Issuer == "":
		return nil, errors.New("outbound: Options.Issuer must be set")
	}
	c := &Client{
		destinations: o.Destinations,
		signer:       o.Signer,
		issuer:       o.Issuer,
		userAgent:    cmp.Or(o.UserAgent, defaultUserAgent),
		outcomeBody:  o.OutcomeBody,
		timeout:      cmp.Or(o.Timeout, riposte.AttemptTimeout),
		now:          o.Now,
		roots:        o.RootCAs,
		openSealed:   o.Open,
	}
	if c.now == nil {
		c.now = time.Now
	}
	c.openings.mostConns = maxIdle
	c.transport = newTransport(c.dial(), c.timeout, o.RootCAs)
	return c, nil
}

// dial connects behind the guard.
func (c *Client) dial() dialFunc { return c.destinations.dialer(c.timeout).DialContext }

// newTransport returns a transport without proxies, HTTP/2 and decompression.
// The client uses it without an http.Client, which would follow redirects.
func newTransport(dial dialFunc, timeout time.Duration, roots *x509.CertPool) *http.Transport {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	return &http.Transport{
		Proxy:                  nil, // the environment's would see and could change every request
		DialContext:            watched(dial),
		TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    timeout,
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxHeaderBytes,
		MaxIdleConns:           maxIdle,
		MaxIdleConnsPerHost:    maxIdlePerHost,
		IdleConnTimeout:        idleTimeout,
		Protocols:              &protocols,
	}
}

// Close lets go of idle connections. Attempts under way are not ended: that is
// what their contexts are for.
func (c *Client) Close() {
	c.transport.CloseIdleConnections()
	c.openings.close()
}
