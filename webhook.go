package riposte

import (
	"slices"
	"strconv"
	"time"
)

// Bounds of a webhook's fields (PROTOCOL.md section 1, Rules).
const (
	DefaultCallbackTimeout = 8 * 24 * time.Hour
	MinCallbackTimeout     = 24 * time.Hour
	MaxCallbackTimeout     = 30 * 24 * time.Hour

	MaxURLLength         = 2040 // characters
	MaxDisplayNameLength = 256  // characters
	MaxDescriptionLength = 2048 // characters

	DefaultMaxInFlight = 64
	MaxMaxInFlight     = 1024
	// MaxMaxInFlightTotal is what sixteen nodes may have.
	MaxMaxInFlightTotal = 16 * MaxMaxInFlight
)

// Webhook says where to ask. It is changed by value and saved with
// compare-and-swap on Version.
type Webhook struct {
	ID              string
	DisplayName     string
	Description     string
	URL             string // byte for byte as the caller wrote it
	Host            string // URL's host as it is dialled: IDNA-mapped, lower case, no port
	CallbackTimeout time.Duration
	CreatedAt       time.Time
	UpdatedAt       time.Time
	DeletedAt       time.Time // zero while it lives
	Settings        WebhookSettings
	Version         int64 // 0 before the first save; the store raises it
}

// WebhookSettings is what Riposte knows about a webhook beyond C1's message
// (PROTOCOL.md section 7).
type WebhookSettings struct {
	RetryPolicy RetryPolicy
	MaxInFlight int // attempts in flight at once at one node, 1 to MaxMaxInFlight
	// MaxInFlightTotal bounds the attempts in flight at all nodes together, 0 to
	// MaxMaxInFlightTotal; with 0 nothing does.
	MaxInFlightTotal int
	// OutcomeURL is where the outcomes of the webhook's instances are pushed that
	// have no URL of their own; "" for the server's, if it has one. It applies to
	// instances that are created afterwards.
	OutcomeURL string
	// Request is what the requests to the receiver have beyond the contract. Pushes of
	// outcomes have none of it.
	Request RequestSettings
}

// DestinationCheck parses a webhook's URL, applies the rules of PROTOCOL.md
// section 1 and returns the host as it will be dialled. Its error is an Error
// with violations of the field "url".
type DestinationCheck func(url string) (host string, err error)

// NewWebhook returns a webhook with its defaults set. A zero callbackTimeout
// means the default.
func NewWebhook(displayName, description, url string, callbackTimeout time.Duration, check DestinationCheck, now time.Time) (Webhook, error) {
	now = Time(now)
	w := Webhook{
		ID:              NewID(now),
		DisplayName:     displayName,
		Description:     description,
		URL:             url,
		CallbackTimeout: callbackTimeout,
		CreatedAt:       now,
		UpdatedAt:       now,
		Settings:        WebhookSettings{RetryPolicy: RetryFastThenSlow, MaxInFlight: DefaultMaxInFlight},
	}
	if w.CallbackTimeout == 0 {
		w.CallbackTimeout = DefaultCallbackTimeout
	}
	return w, w.Validate(check)
}

// Clone returns a copy of w that shares nothing which can be changed.
func (w Webhook) Clone() Webhook {
	r := &w.Settings.Request
	r.Headers = slices.Clone(r.Headers)
	for n, h := range r.Headers {
		r.Headers[n].Value = slices.Clone(h.Value)
	}
	r.Secrets = slices.Clone(r.Secrets)
	for n, s := range r.Secrets {
		r.Secrets[n].Secret, r.Secrets[n].PublicKey = slices.Clone(s.Secret), slices.Clone(s.PublicKey)
	}
	if c := r.ClientCertificate; c != nil {
		r.ClientCertificate = &ClientCertificate{Certificate: c.Certificate, PrivateKey: slices.Clone(c.PrivateKey)}
	}
	return w
}

// Deleted reports whether w has been deleted.
func (w Webhook) Deleted() bool { return !w.DeletedAt.IsZero() }

// Delete marks w deleted. Its instances close when they are next due.
func (w *Webhook) Delete(now time.Time) {
	w.DeletedAt = Time(now)
	w.UpdatedAt = w.DeletedAt
}

// Validate checks every field and sets Host. Its error names them all.
func (w *Webhook) Validate(check DestinationCheck) error {
	var v violations
	v.required("displayName", w.DisplayName, MaxDisplayNameLength)
	v.text("description", w.Description, MaxDescriptionLength)
	if w.URL == "" {
		v.addf("url", "must be set")
	} else if host, err := check(w.URL); err != nil {
		v.within("url", err)
	} else {
		w.Host = host
	}
	checkCallbackTimeout(&v, w.CallbackTimeout)
	return v.err()
}

// Validate checks the settings' bounds, and the outcome URL as a webhook's.
func (s WebhookSettings) Validate(check DestinationCheck) error {
	var v violations
	if !s.RetryPolicy.known() {
		v.addf("retryPolicy", "must be RETRY_POLICY_FAST or RETRY_POLICY_FAST_THEN_SLOW")
	}
	if s.MaxInFlight < 1 || s.MaxInFlight > MaxMaxInFlight {
		v.addf("maxInFlight", "must be from 1 to %d, is %d", MaxMaxInFlight, s.MaxInFlight)
	}
	if s.MaxInFlightTotal < 0 || s.MaxInFlightTotal > MaxMaxInFlightTotal {
		v.addf("maxInFlightTotal", "must be from 0 (no bound) to %d, is %d", MaxMaxInFlightTotal, s.MaxInFlightTotal)
	}
	v.within("outcomeUrl", CheckOutcomeURL(s.OutcomeURL, check))
	return v.err()
}

func checkCallbackTimeout(v *violations, d time.Duration) {
	if d < MinCallbackTimeout || d > MaxCallbackTimeout {
		v.addf("callbackTimeout", "must be from %ds to %ds (1 to 30 days), is %ss",
			int(MinCallbackTimeout.Seconds()), int(MaxCallbackTimeout.Seconds()), strconv.FormatFloat(d.Seconds(), 'f', -1, 64))
	}
}

// Time returns t as Riposte keeps it: in UTC and whole microseconds, the same
// in every store and in every answer.
func Time(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }
