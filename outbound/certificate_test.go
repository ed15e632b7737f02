package outbound

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/riposte-dev/riposte"
)

// authority signs certificates.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	pem         string
	pool        *x509.CertPool
}

func newAuthority(name string) authority {
	a := authority{key: must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)), pool: x509.NewCertPool()}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der := must(x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key))
	a.certificate = must(x509.ParseCertificate(der))
	a.pem = pemBlock("CERTIFICATE", der)
	a.pool.AddCert(a.certificate)
	return a
}

func pemBlock(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// issue returns a certificate for 127.0.0.1 and its key, both in PEM.
func (a authority) issue(end time.Time) (certificate, key string) {
	private := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: end,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}}
	der := must(x509.CreateCertificate(rand.Reader, template, a.certificate, private.Public(), a.key))
	return pemBlock("CERTIFICATE", der), pemBlock("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(private)))
}

func (a authority) pair(end time.Time) tls.Certificate {
	certificate, key := a.issue(end)
	return must(tls.X509KeyPair([]byte(certificate), []byte(key)))
}

// tlsReceiver counts its connections.
func tlsReceiver(t *testing.T, config *tls.Config) (string, *atomic.Int64) {
	t.Helper()
	var connections atomic.Int64
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		if len(r.TLS.PeerCertificates) > 0 {
			w.Header().Set("X-Request-Id", r.TLS.PeerCertificates[0].NotAfter.UTC().Format(time.RFC3339))
		}
	}))
	s.Config.ErrorLog = silent
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	s.TLS = config
	s.Listener = polite{s.Listener}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.URL + "/hook", &connections
}

// polite has connections that read all there is before they close, so that no reset
// overtakes an alert.
type polite struct{ net.Listener }

func (l polite) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	return politeConn{conn}, err
}

type politeConn struct{ net.Conn }

func (c politeConn) Close() error {
	untilClosed(c.Conn.(*net.TCPConn))
	return c.Conn.Close()
}

// withCertificates is an attempt of a webhook that shows a certificate and trusts ca.
func withCertificates(url, certificate, key, ca string) riposte.ClaimedInstance {
	a := asked(url)
	r := &a.Webhook.Settings.Request
	if r.CA = ca; certificate != "" {
		c := riposte.ClientCertificate{Certificate: certificate}
		c.PrivateKey = sealPlainly(c.Purpose(a.Webhook.ID), []byte(key))
		r.ClientCertificate = &c
	}
	return a
}

func TestMutualTLS(t *testing.T) {
	ours, theirs, strange := newAuthority("ours"), newAuthority("theirs"), newAuthority("strange")
	later := time.Now().Add(time.Hour)
	good, goodKey := ours.issue(later)
	foreign, foreignKey := strange.issue(later)
	old, oldKey := ours.issue(time.Now().Add(-time.Hour))
	for version, name := range map[uint16]string{tls.VersionTLS12: "TLS 1.2", tls.VersionTLS13: "TLS 1.3"} {
		url, _ := tlsReceiver(t, &tls.Config{Certificates: []tls.Certificate{theirs.pair(later)}, MinVersion: version, MaxVersion: version,
			ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ours.pool})
		for _, tt := range []struct {
			name, certificate, key, ca string
			reason                     string // "" where it gets through
		}{
			{"with all it takes", good, goodKey, theirs.pem, ""},
			{"of an authority that the receiver doesn't know", foreign, foreignKey, theirs.pem, ReasonClientCertificateRefused},
			{"expired", old, oldKey, theirs.pem, ReasonClientCertificateRefused},
			{"no certificate", "", "", theirs.pem, ReasonClientCertificateRequired},
			{"the system's authorities", good, goodKey, "", ReasonUnknownAuthority},
			{"another authority", good, goodKey, strange.pem, ReasonUnknownAuthority},
		} {
			t.Run(name+"/"+tt.name, func(t *testing.T) {
				c := newClient(t, func(o *Options) { o.Open, o.RootCAs = openPlainly, strange.pool })
				r := c.Send(t.Context(), withCertificates(url, tt.certificate, tt.key, tt.ca))
				switch {
				case tt.reason == "":
					wantStatus(t, r, 200)
				case version == tls.VersionTLS12 && tt.reason == ReasonClientCertificateRequired:
					wantError(t, r, riposte.PhaseTLS, ReasonHandshake) // TLS 1.2 has no alert that says so
				default:
					wantError(t, r, riposte.PhaseTLS, tt.reason)
				}
			})
		}
	}
}

func TestExpiredReceiverIsTold(t *testing.T) {
	theirs := newAuthority("theirs")
	url, _ := tlsReceiver(t, &tls.Config{Certificates: []tls.Certificate{theirs.pair(time.Now().Add(-time.Hour))}})
	r := newOpeningClient(t).Send(t.Context(), withCertificates(url, "", "", theirs.pem))
	wantError(t, r, riposte.PhaseTLS, ReasonCertificateExpired)
}

// TestConnectionsBelongToTheirSettings: they are kept as long as what they are made with
// is the same, and nobody else's requests go over them.
func TestConnectionsBelongToTheirSettings(t *testing.T) {
	ours, theirs := newAuthority("ours"), newAuthority("theirs")
	later := time.Now().Add(time.Hour)
	url, connections := tlsReceiver(t, &tls.Config{Certificates: []tls.Certificate{theirs.pair(later)}, ClientAuth: tls.RequestClientCert})
	certificate, key := ours.issue(later)
	renewed, renewedKey := ours.issue(later.Add(time.Hour))
	c := newClient(t, func(o *Options) { o.Open, o.RootCAs = openPlainly, theirs.pool })
	ask := func(a riposte.ClaimedInstance, wantShown string, wantConnections int64) {
		t.Helper()
		r := c.Send(t.Context(), a)
		wantStatus(t, r, 200)
		if got := r.Attempt.ResponseHeaders.Get("X-Request-Id"); !strings.HasPrefix(got, wantShown) || (got == "") != (wantShown == "") {
			t.Errorf("the certificate that was shown ends at %q, want %q", got, wantShown)
		}
		if n := connections.Load(); n != wantConnections {
			t.Errorf("there were %d connections, want %d", n, wantConnections)
		}
	}
	first, second := later.UTC().Format(time.RFC3339), later.Add(time.Hour).UTC().Format(time.RFC3339)
	a := withCertificates(url, certificate, key, theirs.pem)
	ask(a, first, 1)
	ask(a, first, 1)
	a.Webhook.Version++
	a.Webhook.Settings.Request.Headers = []riposte.Header{plainHeader("X-Key", "k")}
	ask(a, first, 1)
	ask(asked(url), "", 2) // of another webhook
	other := a
	other.Webhook.URL = "https://elsewhere.example/hook"
	ask(other, "", 2)
	changed := withCertificates(url, renewed, renewedKey, theirs.pem)
	changed.Webhook.Version = a.Webhook.Version + 1
	ask(changed, second, 3)
	ask(changed, second, 3)
}

func TestOwnTransportsHaveTheGuardAndTheLimits(t *testing.T) {
	theirs := newAuthority("theirs")
	a := withCertificates("https://blocked.test/hook", "", "", theirs.pem)
	c := newClient(t, func(o *Options) { o.Open, o.Destinations = openPlainly, Destinations{} })
	o := must(c.open(a.Webhook))
	own, shared := o.transport, c.transport
	if _, err := own.DialContext(t.Context(), "tcp", "127.0.0.1:1"); err == nil || !strings.Contains(err.Error(), errBlockedAddress.Error()) {
		t.Errorf("dialling loopback: %v", err)
	}
	if own.Proxy != nil || !own.DisableCompression || own.MaxResponseHeaderBytes != shared.MaxResponseHeaderBytes || own.IdleConnTimeout != shared.IdleConnTimeout ||
		own.TLSHandshakeTimeout != shared.TLSHandshakeTimeout || own.TLSClientConfig.MinVersion != shared.TLSClientConfig.MinVersion || own.Protocols.HTTP2() {
		t.Errorf("the transport is %+v", own)
	}
}

// TestConnectionsOfTheirOwnAreBounded: however many webhooks have some, no more are kept
// than the client's own may be.
func TestConnectionsOfTheirOwnAreBounded(t *testing.T) {
	theirs := newAuthority("theirs")
	url, connections := tlsReceiver(t, &tls.Config{Certificates: []tls.Certificate{theirs.pair(time.Now().Add(time.Hour))}})
	c := newOpeningClient(t)
	c.openings.mostConns = 4
	ask := func(n int) {
		t.Helper()
		a := withCertificates(url, "", "", theirs.pem)
		a.Webhook.ID = strconv.Itoa(n)
		wantStatus(t, c.Send(t.Context(), a), 200)
		if open := c.openings.conns.Load(); open < 1 || open > 5 {
			t.Fatalf("%d connections are open after the webhook %d", open, n)
		}
	}
	for n := range 4 {
		ask(n)
		ask(n)
	}
	if n := connections.Load(); n != 4 {
		t.Errorf("there were %d connections, want one for each webhook", n)
	}
	for n := range 20 {
		ask(n)
	}
	c.Close()
	if open := c.openings.conns.Load(); open != 0 {
		t.Errorf("%d connections are left", open)
	}
}
