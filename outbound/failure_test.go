package outbound

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/riposte-dev/riposte"
)

var phases = []riposte.Phase{riposte.PhaseDNS, riposte.PhaseConnect, riposte.PhaseTLS, riposte.PhaseRequest, riposte.PhaseResponse}

func dialError(err error) error {
	return &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1)}, Err: os.NewSyscallError("connect", err)}
}

func TestEveryCauseHasAMessage(t *testing.T) {
	for _, err := range []error{
		errors.New("anything"), io.EOF, io.ErrUnexpectedEOF, errCutOff, errBlockedAddress, ruleHost, ruleAddress,
		dialError(syscall.ECONNREFUSED), dialError(syscall.ECONNRESET), dialError(syscall.EHOSTUNREACH), dialError(syscall.ETIMEDOUT), dialError(syscall.EMFILE),
		&net.DNSError{IsNotFound: true}, &net.DNSError{IsTimeout: true}, &net.DNSError{}, os.ErrDeadlineExceeded,
		tls.RecordHeaderError{}, &tls.CertificateVerificationError{}, fmt.Errorf("%w: no key", errUnreadable),
		&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, &tls.CertificateVerificationError{Err: x509.CertificateInvalidError{Reason: x509.Expired}},
		&net.OpError{Op: "remote error", Err: errors.New("tls: certificate required")}, &net.OpError{Op: "remote error", Err: errors.New("tls: internal error")}, &net.OpError{Op: "remote error", Err: errors.New("tls: bad certificate")},
		errors.New("net/http: server response headers exceeded 65536 bytes; aborted"),
	} {
		for _, phase := range phases {
			e := explain(err, phase, nil, nil)
			if e.Message == "" || strings.Contains(e.Message, "10.0.0.1") {
				t.Errorf("%v in %s: %s %s has the message %q", err, phase, e.Phase, e.Reason, e.Message)
			}
			if e := explain(err, phase, nil, context.DeadlineExceeded); e.Reason != ReasonTimeout || e.Phase != phase || e.Message == "" {
				t.Errorf("%v at the timeout in %s is %+v", err, phase, e)
			}
			if e := explain(err, phase, context.Canceled, context.Canceled); e.Reason != ReasonCanceled || e.Phase != phase || e.Message == "" {
				t.Errorf("%v when canceled in %s is %+v", err, phase, e)
			}
		}
	}
}

func TestConnectErrorsAreTold(t *testing.T) {
	for errno, reason := range map[syscall.Errno]string{
		syscall.ECONNREFUSED: ReasonRefused, syscall.ECONNRESET: ReasonReset, syscall.ETIMEDOUT: ReasonTimeout,
		syscall.EHOSTUNREACH: ReasonUnreachable, syscall.ENETUNREACH: ReasonUnreachable, syscall.EADDRNOTAVAIL: ReasonUnreachable, syscall.EMFILE: ReasonFailed,
	} {
		if c := classify(dialError(errno), riposte.PhaseConnect); c != (cause{riposte.PhaseConnect, reason}) {
			t.Errorf("%v is %v, want %s", errno, c, reason)
		}
	}
}

func TestBrokenConnectionsAreTold(t *testing.T) {
	for _, c := range []struct {
		err  error
		in   riposte.Phase
		want cause
	}{
		{syscall.EPIPE, riposte.PhaseRequest, cause{riposte.PhaseRequest, ReasonReset}},
		{syscall.ECONNRESET, riposte.PhaseResponse, cause{riposte.PhaseResponse, ReasonReset}},
		{io.EOF, riposte.PhaseRequest, cause{riposte.PhaseRequest, ReasonCutOff}},
		{io.EOF, riposte.PhaseTLS, cause{riposte.PhaseTLS, ReasonHandshake}},
		// TLS 1.3: the receiver demands a certificate of us after the handshake.
		{&net.OpError{Op: "remote error", Err: errors.New("tls: certificate required")}, riposte.PhaseResponse, cause{riposte.PhaseTLS, ReasonClientCertificateRequired}},
	} {
		if got := classify(fmt.Errorf("wrapping: %w", c.err), c.in); got != c.want {
			t.Errorf("%v in %s is %v, want %v", c.err, c.in, got, c.want)
		}
	}
}

var retryNow = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestRetryAfter(t *testing.T) {
	for value, want := range map[string]time.Duration{
		"":                               0,
		"0":                              0,
		"120":                            2 * time.Minute,
		"007":                            7 * time.Second,
		"-1":                             0,
		"+5":                             0,
		"1.5":                            0,
		"5s":                             0,
		"soon":                           0,
		"٣":                              0,
		"2592000":                        maxRetryAfter,
		"2592001":                        maxRetryAfter,
		"9223372036":                     maxRetryAfter,
		"9223372036854775807":            maxRetryAfter,
		"99999999999999999999999":        maxRetryAfter,
		"Sun, 01 Mar 2026 12:01:30 GMT":  90 * time.Second,
		"Sunday, 01-Mar-26 12:01:30 GMT": 90 * time.Second,
		"Sun Mar  1 12:01:30 2026":       90 * time.Second,
		"Sun, 01 Mar 2026 11:59:59 GMT":  0,
		"Fri, 31 Dec 9999 23:59:59 GMT":  maxRetryAfter,
		"Mon, 01 Jan 0001 00:00:00 GMT":  0,
	} {
		if got := retryAfter(value, retryNow); got != want {
			t.Errorf("%q is %v, want %v", value, got, want)
		}
	}
}

func FuzzRetryAfter(f *testing.F) {
	for _, s := range []string{"", "0", "120", "-1", "1e9", "99999999999999999999", "Sun, 01 Mar 2026 12:01:30 GMT", "Fri, 31 Dec 9999 23:59:59 GMT", " 5", "0x10"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		got := retryAfter(value, retryNow)
		if got < 0 || got > maxRetryAfter || got%time.Second != 0 {
			t.Errorf("%q is %v", value, got)
		}
		if later := retryAfter(value, retryNow.Add(time.Minute)); later > got {
			t.Errorf("%q is %v, and a minute later %v", value, got, later)
		}
	})
}
