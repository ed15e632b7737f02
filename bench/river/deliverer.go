package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/riverqueue/river"

	"github.com/riposte-dev/riposte/outbound"
)

// deliverTimeout is Riposte's for an attempt.
const deliverTimeout = 30 * time.Second

// delivery is a job. It holds what an instance holds, so that both stores write
// as much. River keeps it as jsonb: what is POSTed means what came, but its bytes
// may differ in spaces and in the order of names.
type delivery struct {
	WebhookID string          `json:"webhookId"`
	Source    json.RawMessage `json:"source,omitempty"`
	Payload   json.RawMessage `json:"payload"`
}

func (delivery) Kind() string { return "delivery" }

// webhookID is the URL in letters that need no escaping, so that webhooks, whose
// storage is not measured, need none.
func webhookID(url string) string { return base64.RawURLEncoding.EncodeToString([]byte(url)) }

func webhookURL(id string) (*url.URL, error) {
	raw, err := base64.RawURLEncoding.DecodeString(id)
	if err != nil {
		return nil, fmt.Errorf("reading webhook's id: %w", err)
	}
	return url.Parse(string(raw))
}

// deliverer POSTs payloads, signed as Riposte signs them: with its code, so that
// what differs is the queue.
type deliverer struct {
	river.WorkerDefaults[delivery]
	signer    *outbound.Signer
	transport *http.Transport
}

func newDeliverer() (*deliverer, error) {
	key, err := outbound.NewSigningKey()
	if err != nil {
		return nil, err
	}
	signer, err := outbound.NewSigner(key)
	if err != nil {
		return nil, err
	}
	return &deliverer{signer: signer, transport: &http.Transport{
		DisableCompression:  true,
		MaxIdleConnsPerHost: maxWorkers,
		IdleConnTimeout:     90 * time.Second,
	}}, nil
}

// Work makes one attempt. Its error makes River try again.
func (d *deliverer) Work(ctx context.Context, job *river.Job[delivery]) error {
	ctx, cancel := context.WithTimeout(ctx, deliverTimeout)
	defer cancel()
	req, err := d.request(ctx, job)
	if err != nil {
		return err
	}
	resp, err := d.transport.RoundTrip(req)
	if err != nil {
		return fmt.Errorf("posting: %w", err)
	}
	defer resp.Body.Close()
	// Read to its end, or the connection would not be used again.
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return fmt.Errorf("reading response: %w", err)
	}
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("receiver answered %s", resp.Status)
	}
	return nil
}

func (d *deliverer) request(ctx context.Context, job *river.Job[delivery]) (*http.Request, error) {
	destination, err := webhookURL(job.Args.WebhookID)
	if err != nil {
		return nil, err
	}
	sum, now := sha256.Sum256(job.Args.Payload), time.Now().Unix()
	token, err := d.signer.Sign(outbound.Claims{
		Audience:   destination.Hostname(),
		C1Type:     "wh",
		Expiry:     now + 120,
		Method:     http.MethodPost,
		URL:        destination.String(),
		BodySHA256: base64.StdEncoding.EncodeToString(sum[:]),
		IssuedAt:   now,
		Issuer:     "river.example",
		ID:         rand.Text(),
		NotBefore:  now - 60,
	})
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, destination.String(), bytes.NewReader(job.Args.Payload))
	if err != nil {
		return nil, fmt.Errorf("building request: %w", err)
	}
	req.Header.Set("Authorization", "bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Webhook-Id", strconv.FormatInt(job.ID, 10))
	return req, nil
}
