package riposte

import (
	"net/http"
	"time"
)

// Bounds of what is read and kept of a receiver's response.
const (
	AttemptTimeout      = 30 * time.Second // for a whole attempt, dial to last byte
	MaxDocumentSize     = 256_000          // bytes; PROTOCOL.md says 250 KB
	MaxKeptResponseBody = 16 << 10         // bytes kept in the history
)

// Attempt is one HTTP try, as it is kept.
type Attempt struct {
	Number          int // from 1
	StartedAt       time.Time
	Duration        time.Duration
	Phases          Phases
	StatusCode      int           // 0 when no status line came
	Error           *AttemptError // nil when the response was read whole
	ResponseHeaders http.Header   // allow-listed ones only
	ResponseBody    []byte        // at most MaxKeptResponseBody
	BodyCut         bool          // ResponseBody is not the whole body
	RemoteAddress   string        // "ip:port"; "" when no connection came about
}

// Phases says how long each part of an attempt took; zero where it did not
// take place (a kept connection has no DNS, Connect and TLS).
type Phases struct {
	DNS, Connect, TLS, FirstByte time.Duration
}

// Phase is the part of an attempt in which it failed.
type Phase string

const (
	PhasePrepare  Phase = "prepare" // before anything was sent, or looked up
	PhaseDNS      Phase = "dns"
	PhaseConnect  Phase = "connect"
	PhaseTLS      Phase = "tls"
	PhaseRequest  Phase = "request"
	PhaseResponse Phase = "response"
	PhaseUnknown  Phase = "unknown" // the server stopped before it could record the result
)

// AttemptError says why an attempt has no whole response. Message names no
// address: it is shown to callers.
type AttemptError struct {
	Phase   Phase
	Reason  string // TIMEOUT, REFUSED, RESET, BLOCKED_ADDRESS, …
	Message string
}

// Result is what came of an attempt: the record and what decides.
type Result struct {
	Attempt    Attempt
	Document   []byte        // the body as it came, for 2xx but 202; at most MaxDocumentSize
	Cut        bool          // Document is not the whole body
	RetryAfter time.Duration // of a 429 or 503; 0 without
}

// InFlight is the record of the attempt that is in flight when something else
// than its own result moves i on to next; nil where there is none. It stands
// until the result comes, and for good if the server stops before that.
func (i Instance) InFlight(next Instance) *Attempt {
	if i.State != StateRunning {
		return nil
	}
	e := AttemptError{Phase: PhaseUnknown, Reason: "INSTANCE_CLOSED", Message: "the instance was closed while this attempt was in flight"}
	if next.Outcome == nil || next.Outcome.Failure != nil && next.Outcome.Failure.Reason == FailureAttemptsExhausted {
		e.Reason, e.Message = "LEASE_RAN_OUT", "the server stopped before it could record what came of this attempt"
	}
	return &Attempt{Number: i.Attempts, StartedAt: i.LastAttemptedAt, Error: &e}
}
