package riposte

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Bounds of what a caller may attach to an instance.
const (
	MaxLabels           = 32
	MaxLabelKeyLength   = 63  // characters
	MaxLabelValueLength = 255 // characters
	MaxRequestIDLength  = 255 // characters
	MaxBatch            = 1000
)

// State is an instance's state. The set is C1's and closed; reasons live in
// the outcome.
type State string

const (
	StatePending         State = "PENDING"
	StateRunning         State = "RUNNING"
	StateError           State = "ERROR"
	StateWaitingCallback State = "WAITING_CALLBACK"
	StateProcessResponse State = "PROCESS_RESPONSE"
	StateSuccess         State = "SUCCESS"
	StateFatalError      State = "FATAL_ERROR"
)

// States lists the closed set in the order of an instance's life.
var States = []State{StatePending, StateRunning, StateError, StateWaitingCallback, StateProcessResponse, StateSuccess, StateFatalError}

// Closed reports whether nothing can change the state any more.
func (s State) Closed() bool { return s == StateSuccess || s == StateFatalError }

// Instance is one question on its way to an answer. It changes only by Apply;
// what Apply returns counts once a store's Save has taken it.
type Instance struct {
	// C1's eleven fields.
	ID              string
	WebhookID       string
	Source          Source
	Destination     string // the webhook's URL at creation; C1's spec.destination
	State           State
	Attempts        int // HTTP attempts begun
	CreatedAt       time.Time
	UpdatedAt       time.Time
	LastAttemptedAt time.Time // zero before the first attempt
	CompletedAt     time.Time // zero while open
	ExpiresAt       time.Time

	// Ours.
	Labels        map[string]string
	RequestID     string
	Fingerprint   []byte    // of the request that RequestID names
	RecreatedFrom string    // the id of the instance that this one repeats
	CreatedBy     string    // whose it is: the Caller.Owner that created it; "" where that isn't known
	OutcomeURL    string    // where the outcome is to be pushed; "" where nobody has to take it
	DueAt         time.Time // when somebody must look next; zero when closed or given up; never after ExpiresAt before the outcome
	LeasedUntil   time.Time // while an attempt or a push is in flight: until when it belongs to its claimer
	Outcome       *Outcome  // nil until it is decided
	Push          *Push     // of the outcome; nil before it, and where there is no OutcomeURL
	Version       int64     // 0 before it is stored; the store raises it with every save

	steps []State // the states passed since it was loaded, the first one included
}

// InstanceRequest is what a caller asks for.
type InstanceRequest struct {
	Source          Source
	Payload         []byte // a JSON object, or empty
	RequestID       string
	CallbackTimeout time.Duration // zero: the webhook's
	Labels          map[string]string
	RecreatedFrom   string
	CreatedBy       string
	OutcomeURL      string // "" for the webhook's, or else the server's
}

// NewInstance returns a PENDING instance that is due at once, and its body.
// callbackURL makes the instance's one-time URL from its id. r.OutcomeURL has
// been checked as a webhook's is.
func NewInstance(w Webhook, r InstanceRequest, callbackURL func(id string) string, now time.Time) (Instance, Envelope, error) {
	if err := r.validate(); err != nil {
		return Instance{}, Envelope{}, err
	}
	now = Time(now)
	timeout := r.CallbackTimeout
	if timeout == 0 {
		timeout = w.CallbackTimeout
	}
	i := Instance{
		ID:            NewID(now),
		WebhookID:     w.ID,
		Source:        r.Source,
		Destination:   w.URL,
		State:         StatePending,
		CreatedAt:     now,
		UpdatedAt:     now,
		ExpiresAt:     Time(now.Add(timeout)),
		Labels:        r.Labels,
		RequestID:     r.RequestID,
		RecreatedFrom: r.RecreatedFrom,
		CreatedBy:     r.CreatedBy,
		OutcomeURL:    cmp.Or(r.OutcomeURL, w.Settings.OutcomeURL),
		DueAt:         now,
		steps:         []State{StatePending},
	}
	if r.RequestID != "" {
		i.Fingerprint = r.fingerprint()
	}
	return i, NewEnvelope(i.ID, callbackURL(i.ID), i.Source, r.Payload), nil
}

func (r InstanceRequest) validate() error {
	var v violations
	sourceErr := r.Source.Validate()
	v.within("source", sourceErr)
	if sourceErr == nil {
		v.within("payload", CheckPayload(r.Source.Kind, r.Payload))
	}
	v.text("requestId", r.RequestID, MaxRequestIDLength)
	if r.CallbackTimeout != 0 {
		checkCallbackTimeout(&v, r.CallbackTimeout)
	}
	if len(r.Labels) > MaxLabels {
		v.addf("labels", "must be at most %d, are %d", MaxLabels, len(r.Labels))
	}
	for _, key := range slices.Sorted(maps.Keys(r.Labels)) {
		switch n := utf8.RuneCountInString(key); {
		case n == 0:
			v.addf("labels", "must not have an empty key")
		case n > MaxLabelKeyLength:
			v.addf("labels", "must have keys of at most %d characters; one has %d", MaxLabelKeyLength, n)
		case strings.Contains(key, "\x00"):
			v.addf("labels", "must not have a key that contains the character U+0000")
		}
		v.text("labels."+key, r.Labels[key], MaxLabelValueLength)
	}
	return v.err()
}

// fingerprint tells two requests with one requestId apart. Every part carries
// its length, so that no two requests share a preimage.
func (r InstanceRequest) fingerprint() []byte {
	h := sha256.New()
	part := func(s string) { fmt.Fprintf(h, "%d:%s", len(s), s) }
	part(string(r.Source.Kind))
	part(r.Source.TicketID)
	part(fmt.Sprint(r.Source.WorkflowExecutionID))
	part(r.Source.WorkflowStepID)
	part(string(payloadMembers(r.Payload)))
	part(r.CallbackTimeout.String())
	for _, key := range slices.Sorted(maps.Keys(r.Labels)) {
		part(key)
		part(r.Labels[key])
	}
	// Only where there is one, so that requests of before it was known stay the same.
	if r.OutcomeURL != "" {
		part(r.OutcomeURL)
	}
	return h.Sum(nil)
}

// Repeats reports whether i asks again what an earlier instance asked that has its
// RequestID: the same by its fingerprint, and for the same owner, as far as the earlier
// one's is known. Whoever asks gets that instance, so it must not be another's.
func (i Instance) Repeats(fingerprint []byte, createdBy string) bool {
	return bytes.Equal(i.Fingerprint, fingerprint) && (createdBy == "" || i.CreatedBy == createdBy)
}

// NextAttemptAt is when the next attempt is due, zero when none is: nothing is
// attempted at expiresAt.
func (i Instance) NextAttemptAt() time.Time {
	if (i.State == StatePending || i.State == StateError) && i.DueAt.Before(i.ExpiresAt) {
		return i.DueAt
	}
	return time.Time{}
}

// Steps lists the states that i passed since it was loaded or made, the first
// one included. A store publishes them after the commit.
func (i Instance) Steps() []State {
	if len(i.steps) == 0 {
		return []State{i.State}
	}
	return i.steps
}

// JustDecided reports whether i got its outcome with what was done to it since it
// was loaded: what only happens to its push is no news.
func (i Instance) JustDecided() bool {
	first := i.Steps()[0]
	return i.Outcome != nil && first != StateProcessResponse && !first.Closed()
}

// Stored is for stores: i as it reads after a commit, at version, with nothing
// passed since.
func (i Instance) Stored(version int64) Instance {
	i.Version = version
	i.steps = nil
	return i
}
