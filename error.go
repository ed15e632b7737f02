package riposte

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"unicode/utf8"
)

// Code says what kind of error an Error is. The API maps each to its gRPC
// code and HTTP status at its border (PROTOCOL.md section 1, Rules).
type Code int

const (
	CodeInternal           Code = iota // a fault of ours
	CodeInvalidArgument                // the request is wrong whatever the state
	CodeNotFound                       // there is no such thing, or it has been deleted
	CodeAlreadyExists                  // a name is taken by something else
	CodeFailedPrecondition             // the request is right but the state refuses it
	CodeAborted                        // somebody else was faster; read again and retry
	CodeUnauthenticated                // the caller is not known
	CodePermissionDenied               // the caller is known and may not
	CodeResourceExhausted              // too much at once, or too large
	CodeUnavailable                    // the store can't take it now; nothing was committed
)

// Error is the only error type that crosses from the domain and the stores to
// the API. Reason is UPPER_SNAKE and stable: programs branch on it.
type Error struct {
	Code       Code
	Reason     string
	Message    string
	Violations []Violation       // for CodeInvalidArgument: which fields and why
	Metadata   map[string]string // further facts for programs
}

// Violation names one field and the rule that its value breaks.
type Violation struct {
	Field       string // the JSON name, with a path where it is nested: "source.approvalStep.ticketId"
	Description string // the rule, in a sentence without the field's name
}

func (e *Error) Error() string { return e.Message }

// Is makes errors.Is compare by reason, so that an Error that carries metadata
// still matches the sentinel it was made from.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Reason == e.Reason
}

// With returns a copy of e with one more metadata entry.
func (e *Error) With(key, value string) *Error {
	c := *e
	c.Metadata = map[string]string{}
	maps.Copy(c.Metadata, e.Metadata)
	c.Metadata[key] = value
	return &c
}

// The errors that callers test for with errors.Is.
var (
	ErrWebhookNotFound  = &Error{Code: CodeNotFound, Reason: "WEBHOOK_NOT_FOUND", Message: "there is no webhook with this id"}
	ErrInstanceNotFound = &Error{Code: CodeNotFound, Reason: "INSTANCE_NOT_FOUND", Message: "there is no instance with this id"}
	ErrKeyNotFound      = &Error{Code: CodeNotFound, Reason: "KEY_NOT_FOUND", Message: "there is no such API key"}

	ErrClientNotFound = &Error{Code: CodeNotFound, Reason: "CLIENT_NOT_FOUND", Message: "there is no such client"}
	ErrClientExists   = &Error{Code: CodeAlreadyExists, Reason: "CLIENT_EXISTS", Message: "there is a client with this name"}
	ErrSecretNotFound = &Error{Code: CodeNotFound, Reason: "SECRET_NOT_FOUND", Message: "there is no such secret"}
	ErrReplayed       = &Error{Code: CodeAlreadyExists, Reason: "REPLAYED", Message: "this assertion was used before"}

	ErrWebhookSecretNotFound = &Error{Code: CodeNotFound, Reason: "WEBHOOK_SECRET_NOT_FOUND", Message: "the webhook is not signed with a secret of this id"}
	ErrManySecrets           = &Error{Code: CodeFailedPrecondition, Reason: "MANY_SECRETS", Message: "the webhook is signed with as many secrets as it may be: remove one, or wait for the end of one"}

	ErrLastAdmin = &Error{Code: CodeFailedPrecondition, Reason: "KEY_LAST_ADMIN", Message: "this is the only API key of an admin: create another one first"}

	// ErrConflict is what Save answers when the row is no longer the one that
	// was read: a callback, another node or an operator was faster.
	ErrConflict = &Error{Code: CodeAborted, Reason: "CONFLICT", Message: "it was changed by somebody else in the meantime: read it again"}

	ErrRequestIDReused = &Error{Code: CodeAlreadyExists, Reason: "REQUEST_ID_REUSED", Message: "this requestId was used for a different instance"}

	// The feed can't be read from where the caller wants to go on.
	ErrCursorTooOld = &Error{Code: CodeFailedPrecondition, Reason: "CURSOR_TOO_OLD",
		Message: "outcomes that come after this cursor have been removed, as old ones are: go on after 0 for what is left"}
	ErrCursorUnknown = &Error{Code: CodeInvalidArgument, Reason: "CURSOR_UNKNOWN",
		Message: "no outcome has reached this cursor: it is from another server, or from another database of this one"}

	ErrConsumerNotFound = &Error{Code: CodeNotFound, Reason: "CONSUMER_NOT_FOUND", Message: "there is no consumer with this name"}
	ErrConsumerExists   = &Error{Code: CodeAlreadyExists, Reason: "CONSUMER_EXISTS", Message: "there is a consumer with this name, with another filter"}
	ErrManyConsumers    = &Error{Code: CodeResourceExhausted, Reason: "MANY_CONSUMERS", Message: "there are as many consumers as there may be: delete one that nobody uses"}
	ErrManyLeases       = &Error{Code: CodeResourceExhausted, Reason: "MANY_LEASES", Message: "as many pulls of this consumer are out as may be: ack some, or pull more at a time"}
	ErrLeaseLost        = &Error{Code: CodeFailedPrecondition, Reason: "LEASE_LOST", Message: "the lease ran out before it was acked, and what it had was given again"}

	// ErrUnavailable is a store's answer when it can't commit now and nothing
	// was committed.
	ErrUnavailable = &Error{Code: CodeUnavailable, Reason: "STORE_UNAVAILABLE", Message: "the store can't take this now: try again"}

	ErrAnswerExpired     = &Error{Code: CodeFailedPrecondition, Reason: "CALLBACK_EXPIRED", Message: "the instance expired before an answer came"}
	ErrAlreadyAnswered   = &Error{Code: CodeFailedPrecondition, Reason: "CALLBACK_ALREADY_USED", Message: "the instance already has its answer"}
	ErrInstanceClosed    = &Error{Code: CodeFailedPrecondition, Reason: "INSTANCE_CLOSED", Message: "the instance is closed"}
	ErrNotAttempted      = &Error{Code: CodeFailedPrecondition, Reason: "INSTANCE_NOT_ATTEMPTED", Message: "the instance has not been attempted yet, so nobody can have answered it"}
	ErrNotRetryable      = &Error{Code: CodeFailedPrecondition, Reason: "INSTANCE_NOT_IN_ERROR", Message: "only an instance that is in ERROR, or whose outcome waits to be pushed, can be retried"}
	ErrPushInFlight      = &Error{Code: CodeFailedPrecondition, Reason: "PUSH_IN_FLIGHT", Message: "the outcome is being pushed just now: see what comes of that, or name another outcomeUrl"}
	ErrNoPush            = &Error{Code: CodeFailedPrecondition, Reason: "NO_PUSH", Message: "only an outcome that waits to be pushed can be sent to another outcomeUrl"}
	ErrTransitionRefused = &Error{Code: CodeFailedPrecondition, Reason: "TRANSITION_REFUSED", Message: "the instance's state does not allow this"}
)

// Invalid returns the error for input that breaks the rules of vs, which must
// not be empty.
func Invalid(vs ...Violation) *Error {
	parts := make([]string, len(vs))
	for i, v := range vs {
		parts[i] = v.Field + " " + v.Description
	}
	return &Error{Code: CodeInvalidArgument, Reason: "INVALID_ARGUMENT", Message: strings.Join(parts, "; "), Violations: vs}
}

// violations collects what is wrong with one request, so that the caller is
// told everything at once.
type violations []Violation

func (v *violations) addf(field, format string, args ...any) {
	*v = append(*v, Violation{Field: field, Description: fmt.Sprintf(format, args...)})
}

// text checks a name or an id that is kept as text: how many characters it has,
// and that all of them can be kept. PostgreSQL's text can't hold U+0000.
func (v *violations) text(field, value string, atMost int) {
	if n := utf8.RuneCountInString(value); n > atMost {
		v.addf(field, "must have at most %d characters, has %d", atMost, n)
	}
	if strings.Contains(value, "\x00") {
		v.addf(field, "must not contain the character U+0000")
	}
}

// required checks a text that must not be empty.
func (v *violations) required(field, value string, atMost int) {
	if value == "" {
		v.addf(field, "must be set")
	}
	v.text(field, value, atMost)
}

// within adds what err, the result of a check of field, says is wrong. An error
// that names no field counts too, so that no failed check passes for success.
func (v *violations) within(field string, err error) {
	if e, ok := errors.AsType[*Error](err); ok && len(e.Violations) > 0 {
		*v = append(*v, e.Violations...)
	} else if err != nil {
		v.addf(field, "%s", err)
	}
}

func (v violations) err() error {
	if len(v) == 0 {
		return nil
	}
	return Invalid(v...)
}
