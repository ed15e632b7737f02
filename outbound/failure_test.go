package outbound

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"regexp"
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

// TestErrorsNameThePhaseAndNoAddress has errors with all that callers must not learn:
// what names resolve to in here, which DNS server is asked, and from where.
func TestErrorsNameThePhaseAndNoAddress(t *testing.T) {
	known := map[string]bool{messageCanceled: true}
	texts := []string{messageCanceled, errBlockedAddress.Error()}
	for c, text := range messages {
		known[text] = true
		texts = append(texts, text)
		if c.phase == "" || c.reason == "" {
			t.Errorf("there is a message for the phase %q and the reason %q", c.phase, c.reason)
		}
	}
	for _, rule := range ruleNames {
		texts = append(texts, string(rule))
	}
	address := regexp.MustCompile(`\d+\.\d+\.\d+|[0-9a-f]*:[0-9a-f]*:|:\d|\d/\d|localdomain|internal`)
	for _, text := range texts {
		if found := address.FindString(text); found != "" || strings.ContainsAny(text, "%\n") {
			t.Errorf("%q in %q may be an address or a place for one", found, text)
		}
	}

	from, to := &net.TCPAddr{IP: net.IPv4(10, 0, 0, 2), Port: 40000}, &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 6379}
	causes := []error{errBlockedAddress, errUnasked, errNotHTTP, errCutOff, io.EOF, os.ErrDeadlineExceeded, net.ErrClosed, context.DeadlineExceeded,
		&net.AddrError{Err: "missing port", Addr: "10.0.0.1"}, &net.ParseError{Type: "IP address", Text: "10.0.0.1"}, x509.UnknownAuthorityError{},
		x509.HostnameError{Certificate: &x509.Certificate{IPAddresses: []net.IP{to.IP}}, Host: "10.0.0.1"}, tls.RecordHeaderError{Msg: "10.0.0.1"}, &tls.CertificateVerificationError{Err: errors.New("10.0.0.1")},
		&net.DNSError{Name: "db.internal", Server: "10.0.0.53:53", Err: "server misbehaving"}, &net.DNSError{Name: "db.internal", Server: "10.0.0.53:53", IsTimeout: true}, &net.DNSError{Name: "db.internal", IsNotFound: true}}
	for errno := syscall.Errno(1); errno < 134; errno++ {
		causes = append(causes, os.NewSyscallError("connect", errno))
	}
	for _, rule := range ruleNames {
		causes = append(causes, rule)
	}
	for _, cause := range causes {
		for _, op := range []string{"dial", "read", "write", "remote error", "local error"} {
			err := &url.Error{Op: "Post", URL: "http://10.0.0.1:6379/", Err: &net.OpError{Op: op, Net: "tcp", Source: from, Addr: to, Err: cause}}
			for _, phase := range phases {
				for _, ended := range [][2]error{{}, {nil, context.DeadlineExceeded}, {context.Canceled, context.Canceled}} {
					e := explain(err, phase, ended[0], ended[1])
					if !known[e.Message] || e.Phase == "" {
						t.Fatalf("%v in %s is %s %s with the message %q, which is none of those that are fixed", err, phase, e.Phase, e.Reason, e.Message)
					}
				}
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
