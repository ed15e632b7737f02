package outbound

import (
	"context"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/riposte-dev/riposte"
)

// maxOpened bounds for how many webhooks a client keeps opened settings, and with them
// their connections.
const maxOpened = 1024

// hiddenValue stands for the value of a webhook's header where a request is shown.
const hiddenValue = "<hidden>"

// errUnreadable is what an attempt ends with that would need a secret which can't be
// opened.
var errUnreadable = errors.New("a secret of the webhook can't be opened")

// opened is what a webhook's requests have beyond the contract, ready to be sent. It
// does not change, but for its version.
type opened struct {
	version   int64 // of the webhook
	settings  riposte.RequestSettings
	headers   []header
	signers   []requestSigner
	transport *http.Transport // nil where the client's own will do
}

// header is a header with its name as net/http writes it.
type header struct{ name, value string }

// requestSigner is a secret of the Standard Webhooks scheme.
type requestSigner struct {
	secret riposte.WebhookSecret
	sign   func(id, timestamp string, body []byte) []byte
}

// openings keeps what was opened, because nearly all attempts are of a few webhooks
// that seldom change.
type openings struct {
	mu    sync.Mutex
	known map[string]*opened // by the webhook's id

	conns     atomic.Int64 // connections that are open
	mostConns int64        // from how many on idle ones are closed
}

// beyond returns what requests of w to destination have beyond the contract; nil where
// that is nothing. What is meant for the host of the webhook's url goes nowhere else:
// an instance that was created before the url was changed is still asked at the old
// one, whose owner must not learn what the new one is let in with.
func (c *Client) beyond(w riposte.Webhook, destination string) (*opened, error) {
	if w.Settings.Request.Empty() {
		return nil, nil
	}
	o, err := c.open(w)
	if err != nil || destination == w.URL || c.sameHost(destination, w.URL) {
		return o, err
	}
	return &opened{settings: o.settings, signers: o.signers}, nil
}

func (c *Client) sameHost(a, b string) bool {
	x, errX := c.target(a)
	y, errY := c.target(b)
	return errX == nil && errY == nil && x.url.Scheme == y.url.Scheme && x.url.Host == y.url.Host
}

// open returns w's settings opened, as they are in its version.
func (c *Client) open(w riposte.Webhook) (*opened, error) {
	c.openings.mu.Lock()
	defer c.openings.mu.Unlock()
	old := c.openings.known[w.ID]
	switch {
	case old == nil:
	case old.version == w.Version:
		return old, nil
	case reflect.DeepEqual(old.settings, w.Settings.Request):
		old.version = w.Version // something else was changed
		return old, nil
	}
	o, err := c.openNew(w, old)
	if err != nil {
		return nil, err
	}
	c.openings.keep(w.ID, o)
	return o, nil
}

// keep puts o in the place of what there was, or else of any other where there are as
// many as may be. What is gone from here is still used by the attempts that have it;
// their connections are closed when they are done.
func (k *openings) keep(webhookID string, o *opened) {
	if k.known == nil {
		k.known = map[string]*opened{}
	}
	old := k.known[webhookID]
	if old == nil && len(k.known) >= maxOpened {
		for id := range k.known {
			k.drop(id)
			break
		}
	}
	if old != nil && old.transport != o.transport {
		k.drop(webhookID)
	}
	k.known[webhookID] = o
}

func (k *openings) drop(webhookID string) {
	if t := k.known[webhookID].transport; t != nil {
		t.CloseIdleConnections()
	}
	delete(k.known, webhookID)
}

// counted counts the connections of a webhook's dial, and makes room for them: each
// transport knows of its own alone, and all together would keep more than a process may
// have open.
func (k *openings) counted(webhookID string, dial dialFunc) dialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if k.conns.Load() >= k.mostConns {
			k.closeIdle(webhookID)
		}
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		k.conns.Add(1)
		return &countedConn{Conn: conn, open: &k.conns}, nil
	}
}

// closeIdle leaves those of one webhook, which are bounded by themselves: its transport
// would not keep the next one either.
func (k *openings) closeIdle(butOf string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for id, o := range k.known {
		if id != butOf && o.transport != nil {
			o.transport.CloseIdleConnections()
		}
	}
}

func (k *openings) close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for id := range k.known {
		k.drop(id)
	}
}

// openNew opens w's settings. Connections stay where nothing has changed that they are
// made with.
func (c *Client) openNew(w riposte.Webhook, old *opened) (*opened, error) {
	r := w.Settings.Request
	o := &opened{version: w.Version, settings: r}
	for _, h := range r.Headers {
		value, err := c.openSecret(h.Purpose(w.ID), h.Value)
		if err != nil {
			return nil, err
		}
		// A name that has been reserved since it was given is left out.
		if !riposte.ReservedHeader(h.Name) {
			o.headers = append(o.headers, header{http.CanonicalHeaderKey(h.Name), string(value)})
		}
	}
	for _, s := range r.LiveSecrets(c.now()) {
		key, err := c.openSecret(s.Purpose(w.ID), s.Secret)
		if err != nil {
			return nil, err
		}
		o.signers = append(o.signers, requestSigner{s, newSign(s.Scheme, key)})
	}
	if r.ClientCertificate == nil && r.CA == "" {
		return o, nil
	}
	if old != nil && old.settings.CA == r.CA && reflect.DeepEqual(old.settings.ClientCertificate, r.ClientCertificate) {
		o.transport = old.transport
		return o, nil
	}
	var err error
	o.transport, err = c.newOwnTransport(w)
	return o, err
}

func (c *Client) openSecret(purpose string, sealed riposte.Sealed) ([]byte, error) {
	if c.openSealed == nil {
		return nil, errUnreadable
	}
	secret, err := c.openSealed(purpose, sealed)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUnreadable, err)
	}
	return secret, nil
}

// newOwnTransport returns a transport like the client's, for w alone: a connection
// belongs to whom it was made as, and to those who vouched for the receiver.
func (c *Client) newOwnTransport(w riposte.Webhook) (*http.Transport, error) {
	r, roots := w.Settings.Request, c.roots
	if r.CA != "" {
		if roots = x509.NewCertPool(); !roots.AppendCertsFromPEM([]byte(r.CA)) {
			return nil, fmt.Errorf("%w: the CA's certificates can't be read", errUnreadable)
		}
	}
	t := newTransport(c.openings.counted(w.ID, c.dial()), c.timeout, roots)
	t.MaxIdleConns = maxIdlePerHost
	if r.ClientCertificate == nil {
		return t, nil
	}
	key, err := c.openSecret(r.ClientCertificate.Purpose(w.ID), r.ClientCertificate.PrivateKey)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair([]byte(r.ClientCertificate.Certificate), key)
	if err != nil {
		return nil, fmt.Errorf("%w: reading the client certificate: %w", errUnreadable, err)
	}
	// Shown to whoever asks for one: by Certificates, a receiver that asks for one of
	// other authorities would get none, and complain of that.
	t.TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	return t, nil
}

// hidden is o to be shown: with the names of its headers and without their values.
func (o *opened) hidden() *opened {
	if o == nil {
		return nil
	}
	// Not a copy of all: the version is changed by others meanwhile.
	shown := &opened{settings: o.settings, signers: o.signers}
	for _, h := range o.headers {
		shown.headers = append(shown.headers, header{h.name, hiddenValue})
	}
	return shown
}

// addTo adds the signature to a request that has all of the contract's headers, and
// then what takes the place of none of them.
func (o *opened) addTo(h http.Header, m message, timestamp string, now time.Time) {
	if signature := o.signature(m, timestamp, now); signature != "" {
		h.Set("Webhook-Signature", signature)
	}
	for _, own := range o.headers {
		if _, taken := h[own.name]; !taken {
			h[own.name] = []string{own.value}
		}
	}
}

// signature is the value of webhook-signature: one of each secret that counts now,
// newest first.
func (o *opened) signature(m message, timestamp string, now time.Time) string {
	var value []byte
	for _, s := range o.signers {
		if !s.secret.Live(now) {
			continue
		}
		if value != nil {
			value = append(value, ' ')
		}
		value = append(append(value, s.secret.Scheme...), ',')
		value = base64.StdEncoding.AppendEncode(value, s.sign(m.id, timestamp, m.body))
	}
	return string(value)
}

// newSign returns what signs "id.timestamp.body" with key.
func newSign(scheme riposte.SecretScheme, key []byte) func(id, timestamp string, body []byte) []byte {
	if scheme == riposte.SchemeV1A && len(key) == ed25519.SeedSize {
		private := ed25519.NewKeyFromSeed(key)
		return func(id, timestamp string, body []byte) []byte {
			text := append(make([]byte, 0, len(id)+len(timestamp)+len(body)+2), id+"."+timestamp+"."...)
			return ed25519.Sign(private, append(text, body...))
		}
	}
	return func(id, timestamp string, body []byte) []byte {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(id + "." + timestamp + "."))
		mac.Write(body)
		return mac.Sum(nil)
	}
}
