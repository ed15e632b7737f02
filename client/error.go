package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
)

// Error is what a server has against a call, or why it can't be called: an error
// that calling again doesn't cure. Find it with errors.AsType[*client.Error].
type Error struct {
	Code connect.Code
	// Reason is UPPER_SNAKE and stable, for programs: WEBHOOK_NOT_FOUND,
	// REQUEST_ID_REUSED, CURSOR_TOO_OLD and so on. Empty when it wasn't a Riposte
	// server that answered.
	Reason     string
	Message    string
	Violations []Violation       // for INVALID_ARGUMENT: which fields and why
	Metadata   map[string]string // further facts for programs
	cause      error
}

// Violation names one field of a request and the rule that its value breaks.
type Violation struct {
	Field       string // with a path where it is nested: source.approvalStep.ticketId
	Description string
}

func (e *Error) Error() string {
	text := e.Message
	if len(e.Violations) > 0 {
		parts := make([]string, len(e.Violations))
		for i, v := range e.Violations {
			parts[i] = v.Field + " " + v.Description
		}
		text = strings.Join(parts, "; ")
	}
	if e.Reason != "" && e.Reason != "INVALID_ARGUMENT" {
		text += " (" + e.Reason + ")"
	}
	return text
}

// Unwrap returns the *connect.Error that e was made from.
func (e *Error) Unwrap() error { return e.cause }

// newError takes any error of a call.
func newError(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	e := &Error{Code: connect.CodeOf(err), Message: err.Error(), cause: err}
	call, ok := errors.AsType[*connect.Error](err)
	if !ok {
		return e
	}
	e.Message = call.Message()
	if sending, ok := errors.AsType[*url.Error](err); ok {
		e.Message = sending.Err.Error()
	}
	for _, d := range call.Details() {
		m, err := d.Value()
		if err != nil {
			continue // a kind of detail that a newer server has
		}
		switch m := m.(type) {
		case *errdetails.ErrorInfo:
			e.Reason, e.Metadata = m.GetReason(), m.GetMetadata()
		case *errdetails.BadRequest:
			for _, v := range m.GetFieldViolations() {
				e.Violations = append(e.Violations, Violation{v.GetField(), v.GetDescription()})
			}
		}
	}
	return e
}

// isReason reports whether err is the server's, for a reason.
func isReason(err error, reason string) bool {
	return err != nil && newError(err).Reason == reason
}

// curable reports whether the same call may succeed later, when err is not because
// the caller's own context ended. All calls here can be repeated without harm, so
// this goes beyond UNAVAILABLE: a deadline leaves open whether there was a commit,
// and so does an answer that broke off.
func curable(err error) bool {
	if _, certificate := errors.AsType[*tls.CertificateVerificationError](err); certificate {
		return false
	}
	if errors.Is(err, http.ErrSchemeMismatch) || errors.Is(err, errRedirect) {
		return false
	}
	switch connect.CodeOf(err) {
	case connect.CodeUnavailable, connect.CodeDeadlineExceeded, connect.CodeCanceled:
		return true
	case connect.CodeResourceExhausted: // too much for now, or too much for good
		return isReason(err, "RATE_LIMITED")
	}
	_, network := errors.AsType[net.Error](err)
	return !connect.IsWireError(err) && (network || errors.Is(err, io.ErrUnexpectedEOF))
}

// longestRetryAfter keeps a wrong Retry-After from being waited for all day.
const longestRetryAfter = time.Minute

// retryAfter is how long the server wants to be left alone.
func retryAfter(err error) time.Duration {
	call, ok := errors.AsType[*connect.Error](err)
	if !ok {
		return 0
	}
	header := call.Meta().Get("Retry-After")
	if busy, ok := errors.AsType[*busyError](err); ok {
		header = busy.retryAfter
	}
	after := readRetryAfter(header)
	for _, d := range call.Details() {
		if m, err := d.Value(); err == nil {
			if info, ok := m.(*errdetails.RetryInfo); ok {
				after = max(after, info.GetRetryDelay().AsDuration())
			}
		}
	}
	return min(max(after, 0), longestRetryAfter)
}

// readRetryAfter takes seconds or a time; 0 for anything else.
func readRetryAfter(header string) time.Duration {
	if seconds, err := strconv.Atoi(header); err == nil {
		return time.Duration(min(seconds, int(longestRetryAfter/time.Second))) * time.Second
	}
	if at, err := http.ParseTime(header); err == nil {
		return time.Until(at)
	}
	return 0
}

// ended is the error of a caller whose context ended while he waited, with what he
// was waiting for: last is what the last call came to, nil for nothing.
func ended(ctx context.Context, doing string, last error) error {
	if last == nil {
		return fmt.Errorf("%s: %w", doing, ctx.Err())
	}
	return fmt.Errorf("%s: %w (the last try: %s)", doing, ctx.Err(), newError(last))
}
