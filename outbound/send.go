package outbound

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"time"

	"github.com/riposte-dev/riposte"
)

// A JWT's life, in seconds around its making: receivers' clocks differ.
const (
	validBefore = 60
	validAfter  = 120
)

// Send makes the one attempt that was claimed and says what came of it. It
// returns within the client's timeout. When ctx ends first, the attempt fails
// with the reason CANCELED.
func (c *Client) Send(ctx context.Context, claimed riposte.ClaimedInstance) riposte.Result {
	began, startedAt := time.Now(), c.now()
	limited, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()

	var p progress
	m, err := c.message(claimed)
	var result riposte.Result
	if err == nil {
		result, err = c.exchange(httptrace.WithClientTrace(limited, p.trace()), m, startedAt)
	}
	if p.answersAnother() {
		result, err = riposte.Result{}, errUnasked
	}

	a := &result.Attempt
	a.Number = m.number
	a.StartedAt = riposte.Time(startedAt)
	a.Duration = time.Since(began)
	var phase riposte.Phase
	phase, a.Phases, a.RemoteAddress = p.end()
	if err != nil {
		a.Error = explain(err, phase, ctx.Err(), limited.Err())
	}
	return result
}

// exchange sends the request and reads the response. Its result counts even
// with an error: the status line may have come before it.
func (c *Client) exchange(ctx context.Context, m message, now time.Time) (riposte.Result, error) {
	req, err := c.build(ctx, m, now)
	if err != nil {
		return riposte.Result{}, err
	}
	resp, err := c.transportOf(m).RoundTrip(req)
	if err != nil {
		return riposte.Result{}, err
	}
	defer resp.Body.Close()
	return read(resp, now)
}

// transportOf is the webhook's own where it has one.
func (c *Client) transportOf(m message) *http.Transport {
	if m.beyond != nil && m.beyond.transport != nil {
		return m.beyond.transport
	}
	return c.transport
}

// message is what is sent: a delivery, or an outcome to whoever takes it.
type message struct {
	url, id, event, callbackURL string
	number                      int // of this attempt
	body                        []byte
	beyond                      *opened // the contract; nil for nothing, as for a push
}

func (c *Client) message(claimed riposte.ClaimedInstance) (message, error) {
	i := claimed.Instance
	if !i.OwesPush() {
		return c.question(claimed, i.Attempts)
	}
	m := message{url: i.Push.URL, id: i.OutcomeID(), event: riposte.PushEvent, number: i.Push.Attempts}
	var err error
	if m.body, err = c.outcomeBody(i); err != nil {
		err = fmt.Errorf("building outcome: %w", err)
	}
	return m, err
}

func (c *Client) question(claimed riposte.ClaimedInstance, number int) (message, error) {
	i, e := claimed.Instance, claimed.Envelope
	m := message{url: i.Destination, id: i.ID, event: i.Source.Kind.EventType(), callbackURL: e.CallbackURL(), number: number, body: e.Body}
	var err error
	m.beyond, err = c.beyond(claimed.Webhook, i.Destination)
	return m, err
}

// build makes the request that Send sends and Question shows.
func (c *Client) build(ctx context.Context, m message, now time.Time) (*http.Request, error) {
	// The rules may be stricter than they were when the URL was saved.
	t, err := c.target(m.url)
	if err != nil {
		return nil, err
	}
	return c.request(ctx, t, m, now)
}

// request builds the request of PROTOCOL.md section 2. A push has no callback URL,
// and is like a delivery in all else.
func (c *Client) request(ctx context.Context, t target, m message, now time.Time) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "", bytes.NewReader(m.body))
	if err != nil {
		return nil, fmt.Errorf("building request: %w", err)
	}
	req.URL, req.Host = t.url, t.url.Host // parsed once, not for each attempt
	sum := sha256.Sum256(m.body)
	digest := base64.StdEncoding.EncodeToString(sum[:])
	token, err := c.signer.Sign(c.claims(t, digest, now))
	if err != nil {
		return nil, err
	}
	h := req.Header
	h.Set("Authorization", "bearer "+token)
	h.Set("Content-Type", "application/json")
	h.Set("Content-Digest", "sha-256="+digest)
	h.Set("User-Agent", c.userAgent)
	h.Set("Webhook-Version", "v1")
	h.Set("Webhook-Id", m.id)
	h.Set("Webhook-Event", m.event)
	if m.callbackURL != "" {
		h.Set("Webhook-Callback-Url", m.callbackURL)
	}
	timestamp := strconv.FormatInt(now.Unix(), 10)
	h.Set("Webhook-Timestamp", timestamp)
	h.Set("Webhook-Attempt", strconv.Itoa(m.number))
	if m.beyond != nil {
		m.beyond.addTo(h, m, timestamp, now)
	}
	return req, nil
}

func (c *Client) claims(t target, digest string, now time.Time) Claims {
	issued := now.Unix()
	return Claims{
		Audience:   t.host,
		C1Type:     "wh",
		Expiry:     issued + validAfter,
		Method:     http.MethodPost,
		URL:        t.htu,
		BodySHA256: digest,
		IssuedAt:   issued,
		Issuer:     c.issuer,
		ID:         rand.Text(),
		NotBefore:  issued - validBefore,
	}
}
