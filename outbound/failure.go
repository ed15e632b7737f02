package outbound

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"

	"github.com/riposte-dev/riposte"
)

// The reasons of an attempt's error. They are stable: programs branch on them.
const (
	ReasonBadURL                    = "BAD_URL"
	ReasonBlockedAddress            = "BLOCKED_ADDRESS"
	ReasonCanceled                  = "CANCELED"
	ReasonCertificate               = "CERTIFICATE"
	ReasonCertificateExpired        = "CERTIFICATE_EXPIRED"
	ReasonClientCertificateRefused  = "CLIENT_CERTIFICATE_REFUSED"
	ReasonClientCertificateRequired = "CLIENT_CERTIFICATE_REQUIRED"
	ReasonCutOff                    = "CUT_OFF"
	ReasonFailed                    = "FAILED" // none of the others
	ReasonHandshake                 = "HANDSHAKE"
	ReasonMalformed                 = "MALFORMED"
	ReasonNotFound                  = "NOT_FOUND"
	ReasonRefused                   = "REFUSED"
	ReasonReset                     = "RESET"
	ReasonSecretUnreadable          = "SECRET_UNREADABLE"
	ReasonTimeout                   = "TIMEOUT"
	ReasonTooLargeHeaders           = "TOO_LARGE_HEADERS"
	ReasonUnknownAuthority          = "UNKNOWN_AUTHORITY"
	ReasonUnreachable               = "UNREACHABLE"
)

// cause is a phase and a reason.
type cause struct {
	phase  riposte.Phase
	reason string
}

// messages says of each cause what to do about it. They are shown to callers,
// so none names an address, a port or anything else about the network here.
var messages = map[cause]string{
	{riposte.PhasePrepare, ReasonSecretUnreadable}: "a secret of the webhook (a header, a signing secret or its client certificate's key) can't be opened with the keys that the server has: give the server those that it was sealed with, or set the secret anew",

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

	{riposte.PhaseTLS, ReasonCertificate}:               "the receiver's TLS certificate is not valid for the url's host: check its names and its chain of issuers",
	{riposte.PhaseTLS, ReasonCertificateExpired}:        "the receiver's TLS certificate, or one of its issuers', has expired or is not valid yet: check their dates",
	{riposte.PhaseTLS, ReasonUnknownAuthority}:          "the receiver's TLS certificate comes from no authority that this server trusts: check that the receiver sends its whole chain, or give the authority in the webhook's settings",
	{riposte.PhaseTLS, ReasonClientCertificateRequired}: "the receiver asks for a client certificate, and the webhook's settings have none",
	{riposte.PhaseTLS, ReasonClientCertificateRefused}:  "the receiver refused the client certificate of the webhook's settings, or that they have none: check its dates, and that the receiver trusts its authority",
	{riposte.PhaseTLS, ReasonHandshake}:                 "the TLS handshake with the receiver failed: check that it speaks TLS 1.2 or newer on the url's port, and whether it asks for a client certificate",
	{riposte.PhaseTLS, ReasonTimeout}:                   "the TLS handshake with the receiver did not end in time: check that it speaks TLS on the url's port",
	{riposte.PhaseTLS, ReasonReset}:                     "the receiver reset the connection during the TLS handshake: check that it speaks TLS on the url's port",

	{riposte.PhaseRequest, ReasonTimeout}: "the receiver did not take the whole request in time",
	{riposte.PhaseRequest, ReasonReset}:   "the receiver reset the connection while the request was being sent; it may have acted on it, or refused the client certificate that it asked for",
	{riposte.PhaseRequest, ReasonCutOff}:  "the receiver closed the connection while the request was being sent; it may have acted on it",
	{riposte.PhaseRequest, ReasonFailed}:  "the request could not be sent",

	{riposte.PhaseResponse, ReasonTimeout}:         "the receiver's response did not end in time: let it answer 202 and call back when it needs longer",
	{riposte.PhaseResponse, ReasonReset}:           "the receiver reset the connection before its response was complete; if none had come, it may have refused the client certificate that it asked for",
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
	if errors.Is(err, errUnreadable) {
		return cause{riposte.PhasePrepare, ReasonSecretUnreadable}
	}
	if bad, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return cause{riposte.PhaseTLS, certificateReason(bad)}
	}
	// In TLS 1.3 the receiver's alert comes only after our side of the handshake is
	// done. Where it closes at once, without having read the request, a reset may
	// overtake the alert: the messages for that say so.
	if op, ok := errors.AsType[*net.OpError](err); ok && (op.Op == "remote error" || op.Op == "local error") {
		return cause{riposte.PhaseTLS, alertReason(op)}
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		return cause{riposte.PhaseDNS, dnsReason(dns)}
	}
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		return cause{phase, ReasonTimeout}
	}
	return cause{phase, reasonIn(phase, err)}
}

func certificateReason(err error) string {
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return ReasonUnknownAuthority
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		return ReasonCertificateExpired
	}
	return ReasonCertificate
}

// What a receiver's alerts say of our certificate (RFC 8446, section 6.2): bad,
// unsupported, revoked, expired, unknown, of an unknown authority, without access.
var refusals = []tls.AlertError{42, 43, 44, 45, 46, 48, 49}

const certificateRequired tls.AlertError = 116

// alertReason goes by an alert's words, because its type is crypto/tls's own.
func alertReason(op *net.OpError) string {
	same := func(a tls.AlertError) bool { return op.Err != nil && a.Error() == op.Err.Error() }
	switch {
	case op.Op == "local error":
		return ReasonHandshake
	case same(certificateRequired):
		return ReasonClientCertificateRequired
	case slices.ContainsFunc(refusals, same):
		return ReasonClientCertificateRefused
	}
	return ReasonHandshake
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
