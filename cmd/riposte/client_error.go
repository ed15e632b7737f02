package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
)

// The exit codes. 3 and 4 are for those who wait for an outcome.
const (
	exitFailure = 1 // the command could not do what it was asked for
	exitUsage   = 2 // the command line is wrong
	exitFailed  = 3 // the instance came to the outcome FAILED
	exitOpen    = 4 // the instance was still open at the timeout
)

// exitCodes is the part of a command's help that documents them.
const exitCodes = `Exit codes: 0 when there is an answer, also one that denies; 3 when the outcome
is FAILED; 4 when the instance is still open at the timeout; 1 for any other
error; 2 for a wrong command line.`

// exitError is an error that decides the exit code. Any other is exitFailure.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }

func (e *exitError) Unwrap() error { return e.err }

func usageError(err error) error { return &exitError{exitUsage, err} }

func usagef(format string, args ...any) error { return usageError(fmt.Errorf(format, args...)) }

// explained is a failed call's error in words that say what to do. What it was
// made of stays within reach of errors.As.
type explained struct {
	text  string
	cause error
}

func (e *explained) Error() string { return e.text }

func (e *explained) Unwrap() error { return e.cause }

// hints say what to do about an error, by the reason in its details.
var hints = map[string]string{
	"ROLE_TOO_LOW":             "an admin makes another key with riposte keys create",
	"WEBHOOK_NOT_FOUND":        "riposte webhooks list shows those there are",
	"INSTANCE_NOT_FOUND":       "riposte instances list shows those there are",
	"INSTANCE_CLOSED":          "riposte instances recreate asks the same question again",
	"CALLBACK_ALREADY_USED":    "riposte instances get shows it",
	"REQUEST_ID_REUSED":        "use another --request-id",
	"CURSOR_TOO_OLD":           "--after 0 begins with the oldest that is kept",
	"CONSUMER_NOT_FOUND":       "riposte consumers list shows those there are",
	"CONSUMER_EXISTS":          "riposte consumers get shows it",
	"WEBHOOK_SECRET_NOT_FOUND": "riposte webhooks settings shows those there are",
	"LEASE_LOST":               "pull again, with a longer --lease",
}

const whereKeysAre = "set RIPOSTE_API_KEY or --api-key; the first start of riposte serve writes one to admin.key in its data directory"

// explanation says what a failed call means for the person who made it.
func explanation(server string, err error) string {
	var call *connect.Error
	dial, dialling := errors.AsType[*net.OpError](err)
	sending, failedSending := errors.AsType[*url.Error](err)
	switch {
	case errors.Is(err, context.Canceled):
		return "interrupted"
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("the server at %s did not answer in time; whether it did what it was asked is not known", server)
	case dialling && dial.Op == "dial":
		return fmt.Sprintf("no server at %s (%v): start one with riposte serve, or name it with --server", server, innermost(dial))
	case failedSending:
		return fmt.Sprintf("calling the server at %s: %v", server, sending.Err)
	case !errors.As(err, &call):
		return err.Error()
	case !connect.IsWireError(err):
		return fmt.Sprintf("the server at %s does not answer as a Riposte server of this version does (%s): check --server", server, call.Message())
	}
	return serverSaid(call)
}

// serverSaid words an error that the server answered with.
func serverSaid(e *connect.Error) string {
	info, fields := details(e)
	switch {
	case e.Code() == connect.CodeUnauthenticated && info.GetReason() == "NO_CREDENTIALS":
		return "the API key is missing: " + whereKeysAre
	case e.Code() == connect.CodeUnauthenticated && info.GetReason() == "KEY_EXPIRED":
		return "the API key has expired: " + whereKeysAre
	case e.Code() == connect.CodeUnauthenticated:
		return "the API key is not known: " + whereKeysAre
	case len(fields) > 0:
		return refusal(fields)
	}
	text := e.Message()
	if hint := hints[info.GetReason()]; hint != "" {
		text += ": " + hint
	}
	return text
}

// refusal lists each field with the rule that it breaks.
func refusal(fields []*errdetails.BadRequest_FieldViolation) string {
	lines := make([]string, len(fields))
	for i, f := range fields {
		lines[i] = f.GetField() + ": " + f.GetDescription()
	}
	if len(lines) == 1 {
		return "not accepted: " + lines[0]
	}
	return "not accepted:\n  " + strings.Join(lines, "\n  ")
}

func details(e *connect.Error) (info *errdetails.ErrorInfo, fields []*errdetails.BadRequest_FieldViolation) {
	for _, d := range e.Details() {
		m, err := d.Value()
		if err != nil {
			continue // a kind of detail that a newer server has
		}
		switch m := m.(type) {
		case *errdetails.ErrorInfo:
			info = m
		case *errdetails.BadRequest:
			fields = append(fields, m.GetFieldViolations()...)
		}
	}
	return info, fields
}

// longestRetryAfter keeps a wrong delay from being waited for all day.
const longestRetryAfter = time.Minute

// retryAfter is how long the server wants to be left alone, zero where it doesn't say.
func retryAfter(err error) time.Duration {
	call, ok := errors.AsType[*connect.Error](err)
	if !ok {
		return 0
	}
	for _, d := range call.Details() {
		m, err := d.Value()
		if info, ok := m.(*errdetails.RetryInfo); ok && err == nil {
			return min(max(info.GetRetryDelay().AsDuration(), 0), longestRetryAfter)
		}
	}
	return 0
}

// innermost finds "connection refused" in what the net package wraps around it.
func innermost(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}
