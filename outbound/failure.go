package outbound

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"

	"github.com/riposte-dev/riposte"
)

// The reasons of an attempt's error. They are stable: programs branch on them.
const (
	ReasonBadURL          = "BAD_URL"
	ReasonBlockedAddress  = "BLOCKED_ADDRESS"
	ReasonCanceled        = "CANCELED"
	ReasonCertificate     = "CERTIFICATE"
	ReasonCutOff          = "CUT_OFF"
	ReasonFailed          = "FAILED" // none of the others
	ReasonHandshake       = "HANDSHAKE"
	ReasonMalformed       = "MALFORMED"
	ReasonNotFound        = "NOT_FOUND"
	ReasonRefused         = "REFUSED"
	ReasonReset           = "RESET"
	ReasonTimeout         = "TIMEOUT"
	ReasonTooLargeHeaders = "TOO_LARGE_HEADERS"
	ReasonUnreachable     = "UNREACHABLE"
)

// cause is a phase and a reason.
type cause struct {
	phase  riposte.Phase
	reason string
}

// messages says of each cause what to do about it. They are shown to callers,
// so none names an address, a port or anything else about the network here.
var messages = map[cause]string{
	{riposte.PhaseDNS, ReasonNotFound}: "the receiver's name does not exist in DNS: check the webhook's url and the name's records",
	{riposte.PhaseDNS, ReasonTimeout}:  "DNS did not answer in time for the receiver's name: check the name's DNS servers",
	{riposte.PhaseDNS, ReasonFailed}:   "the receiver's name could not be resolved: check the name's DNS servers",

	{riposte.PhaseConnect, ReasonBadURL}:         "the webhook's url breaks a rule that this server has: set the url anew to learn which",
	{riposte.PhaseConnect, ReasonBlockedAddress}: "the receiver has an address that this server may not connect to: use a public one, or have the operator allow it",
	{riposte.PhaseConnect, ReasonRefused}:        "the receiver refused the connection: check that it runs and listens on the url's port",
	{riposte.PhaseConnect, ReasonTimeout}:        "no connection to the receiver came about in time: check that it runs and that its firewall lets this server in",
	{riposte.PhaseConnect, ReasonUnreachable}:    "there is no way to the receiver's network from this server: check the receiver's address records and routes",
	{riposte.PhaseConnect, ReasonReset}:          "the receiver reset the connection while it was being made: check its firewall and load balancer",
	{riposte.PhaseConnect, ReasonFailed}:         "no connection to the receiver came about",

	{riposte.PhaseTLS, ReasonCertificate}: "the receiver's TLS certificate is not valid for the url's host: check its name, its dates and its chain of issuers",
	{riposte.PhaseTLS, ReasonHandshake}:   "the TLS handshake with the receiver failed: check that it speaks TLS 1.2 or newer on the url's port",
	{riposte.PhaseTLS, ReasonTimeout}:     "the TLS handshake with the receiver did not end in time: check that it speaks TLS on the url's port",
	{riposte.PhaseTLS, ReasonReset}:       "the receiver reset the connection during the TLS handshake: check that it speaks TLS on the url's port",

	{riposte.PhaseRequest, ReasonTimeout}: "the receiver did not take the whole request in time",
	{riposte.PhaseRequest, ReasonReset}:   "the receiver reset the connection while the request was being sent; it may have acted on it",
	{riposte.PhaseRequest, ReasonCutOff}:  "the receiver closed the connection while the request was being sent; it may have acted on it",
	{riposte.PhaseRequest, ReasonFailed}:  "the request could not be sent",

	{riposte.PhaseResponse, ReasonTimeout}:         "the receiver's response did not end in time: let it answer 202 and call back when it needs longer",
	{riposte.PhaseResponse, ReasonReset}:           "the receiver reset the connection before its response was complete",
	{riposte.PhaseResponse, ReasonCutOff}:          "the receiver closed the connection before its response was complete",
	{riposte.PhaseResponse, ReasonMalformed}:       "the receiver's response is not valid HTTP/1.1",
	{riposte.PhaseResponse, ReasonTooLargeHeaders}: "the receiver's response has more than 64 KiB of headers",
}

const messageCanceled = "this server stopped before the attempt had ended; it will be made again"

// explain turns err, which ended an attempt in phase, into what is recorded.
// canceled and expired are the errors of the caller's context and of the
// attempt's own: they win, because what broke off a connection then was us.
func explain(err error, phase riposte.Phase, canceled, expired error) *riposte.AttemptError {
	if canceled != nil && !errors.Is(canceled, context.DeadlineExceeded) {
		return &riposte.AttemptError{Phase: phase, Reason: ReasonCanceled, Message: messageCanceled}
	}
	c := classify(err, phase)
	if expired != nil {
		c = cause{phase, ReasonTimeout}
	}
	return &riposte.AttemptError{Phase: c.phase, Reason: c.reason, Message: messages[c]}
}

// classify finds the cause of err. Some errors tell their phase; for the others
// phase is the one that the attempt had reached.
func classify(err error, phase riposte.Phase) cause {
	if rule, ok := errors.AsType[urlRule](err); ok {
		if rule == ruleAddress || rule == ruleLocalhost {
			return cause{riposte.PhaseConnect, ReasonBlockedAddress}
		}
		return cause{riposte.PhaseConnect, ReasonBadURL}
	}
	if errors.Is(err, errBlockedAddress) {
		return cause{riposte.PhaseConnect, ReasonBlockedAddress}
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return cause{riposte.PhaseTLS, ReasonCertificate}
	}
	// crypto/tls has no type for an alert. In TLS 1.3 the receiver's comes only
	// after our side of the handshake is done.
	if op, ok := errors.AsType[*net.OpError](err); ok && (op.Op == "remote error" || op.Op == "local error") {
		return cause{riposte.PhaseTLS, ReasonHandshake}
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		return cause{riposte.PhaseDNS, dnsReason(dns)}
	}
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		return cause{phase, ReasonTimeout}
	}
	return cause{phase, reasonIn(phase, err)}
}

func dnsReason(err *net.DNSError) string {
	switch {
	case err.IsNotFound:
		return ReasonNotFound
	case err.IsTimeout:
		return ReasonTimeout
	}
	return ReasonFailed
}

// reasonIn finds the reason where the same error means different things in
// different phases. It returns only what messages has for the phase.
func reasonIn(phase riposte.Phase, err error) string {
	reset := errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
	switch {
	case reset && phase != riposte.PhaseDNS:
		return ReasonReset
	case phase == riposte.PhaseConnect:
		return connectReason(err)
	case phase == riposte.PhaseTLS:
		return ReasonHandshake
	case phase == riposte.PhaseResponse:
		return responseReason(err)
	case phase == riposte.PhaseRequest && closed(err):
		return ReasonCutOff
	}
	return ReasonFailed
}

func connectReason(err error) string {
	for _, unreachable := range []error{syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.ENETDOWN, syscall.EHOSTDOWN, syscall.EADDRNOTAVAIL} {
		if errors.Is(err, unreachable) {
			return ReasonUnreachable
		}
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return ReasonRefused
	}
	return ReasonFailed
}

func responseReason(err error) string {
	switch {
	case closed(err):
		return ReasonCutOff
	// net/http has no type or value for this error; a test pins its words.
	case strings.Contains(err.Error(), "response headers exceeded"):
		return ReasonTooLargeHeaders
	}
	return ReasonMalformed
}

func closed(err error) bool {
	return errors.Is(err, errCutOff) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}
