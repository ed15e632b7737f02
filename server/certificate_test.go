package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// writePair issues a certificate for host and writes it and its key.
func writePair(t *testing.T, a authority, certFile, keyFile, host string) {
	t.Helper()
	pair, err := a.issue(host, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	write(t, certFile, encodePEM("CERTIFICATE", pair.Certificate[0]))
	write(t, keyFile, encodePEM("PRIVATE KEY", key))
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// lockedText is written by one goroutine and read by another. That the time of a bubble
// has come is no order for the race detector.
type lockedText struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedText) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lockedText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// TestCertificateIsReadAgain within a minute, and one that can't be used changes nothing.
func TestCertificateIsReadAgain(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	synctest.Test(t, func(t *testing.T) {
		a, err := newAuthority("", time.Now())
		if err != nil {
			t.Fatal(err)
		}
		writePair(t, a, certFile, keyFile, "")
		key, err := os.ReadFile(keyFile)
		if err != nil {
			t.Fatal(err)
		}
		var log lockedText
		c, err := openCertificate(certFile, keyFile, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		serial := func() string {
			got, err := c.config().GetCertificate(nil)
			if err != nil {
				t.Fatal(err)
			}
			return got.Leaf.SerialNumber.String()
		}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { c.run(ctx) })
		minute := func() {
			time.Sleep(time.Minute) // of the bubble's time
			synctest.Wait()
		}

		first := serial()
		write(t, certFile, "nothing")
		minute()
		minute()
		if serial() != first || strings.Count(log.String(), "level=ERROR") != 1 {
			t.Errorf("a broken certificate: %s", log.String())
		}
		if err := os.Remove(keyFile); err != nil {
			t.Fatal(err)
		}
		minute()
		if serial() != first || strings.Count(log.String(), "level=ERROR") != 2 {
			t.Errorf("a key that is gone: %s", log.String())
		}
		write(t, keyFile, string(key)) // as it was read last
		minute()
		if err := os.Remove(keyFile); err != nil {
			t.Fatal(err)
		}
		minute()
		if strings.Count(log.String(), "level=ERROR") != 3 {
			t.Errorf("a key that is gone again: %s", log.String())
		}
		writePair(t, a, certFile, keyFile, "")
		minute()
		if serial() == first || strings.Count(log.String(), "level=INFO") != 1 {
			t.Errorf("the certificate is still the first: %s", log.String())
		}
		cancel()
		running.Wait()
	})
}

func TestTLSFilesThatCanNotBeUsedAreNamed(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	a, err := newAuthority("", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	writePair(t, a, in("cert"), in("key"), "")
	writePair(t, a, in("cert2"), in("key2"), "")
	write(t, in("empty"), "")
	for _, tt := range []struct{ cert, key, want string }{
		{in("cert"), "", "--tls-cert needs --tls-key"},
		{"", in("key"), "--tls-key needs --tls-cert"},
		{in("nothing"), in("key"), "--tls-cert: open"},
		{in("cert"), in("nothing"), "--tls-key: open"},
		{in("empty"), in("key"), "--tls-cert has no certificate"},
		{in("cert"), in("empty"), "--tls-key has no private key"},
		{in("key"), in("cert"), "--tls-cert has no certificate"},
		{in("cert"), in("key2"), "--tls-cert and --tls-key are no pair"},
	} {
		c := Default()
		c.Listen, c.Data, c.Logger, c.TLSCert, c.TLSKey = "127.0.0.1:0", t.TempDir(), slog.New(slog.DiscardHandler), tt.cert, tt.key
		s, err := Open(t.Context(), c)
		if err == nil {
			s.entrance.close()
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s, %s: %v, want %s", filepath.Base(tt.cert), filepath.Base(tt.key), err, tt.want)
		}
	}
}

// TestAuthorityStaysAndSpeaksForItsOwnNamesAlone.
func TestAuthorityStaysAndSpeaksForItsOwnNamesAlone(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	open := func(host string, now time.Time) authority {
		t.Helper()
		a, err := openAuthority(dir, host, now)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	a := open("10.1.2.3", now)
	for _, name := range []string{authorityFile, authorityKeyFile} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	if !open("10.1.2.3", now.Add(300*24*time.Hour)).cert.Equal(a.cert) {
		t.Error("it is another one at the next start")
	}
	if open("10.1.2.3", now.Add(340*24*time.Hour)).cert.Equal(a.cert) {
		t.Error("it is used until its last day")
	}
	if b := open("dev.example", now); b.cert.Equal(a.cert) || !open("dev.example", now).cert.Equal(b.cert) {
		t.Error("it is not one for another host")
	}
	write(t, filepath.Join(dir, authorityKeyFile), "broken")
	open("dev.example", now)

	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	verify := func(leaf *tls.Certificate, name string) error {
		t.Helper()
		cert, err := x509.ParseCertificate(leaf.Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		_, err = cert.Verify(x509.VerifyOptions{Roots: roots, DNSName: name})
		return err
	}
	own, err := a.issue("10.1.2.3", now)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"localhost", "127.0.0.1", "::1", "10.1.2.3"} {
		if err := verify(own, name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, host := range []string{"bank.example", "10.1.2.4"} {
		foreign, err := a.issue(host, now)
		if err != nil {
			t.Fatal(err)
		}
		if verify(foreign, host) == nil || verify(foreign, "localhost") == nil {
			t.Errorf("it speaks for %s", host)
		}
	}
}

func TestPublicURLFollowsTheEntranceOfCallbacks(t *testing.T) {
	actual := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 4711}
	for _, tt := range []struct {
		listen, callbacks string
		tls               bool
		want              string
	}{
		{"127.0.0.1:8080", "", false, "http://127.0.0.1:8080"},
		{"127.0.0.1:8080", "", true, "https://127.0.0.1:8080"},
		{"0.0.0.0:8080", "callbacks.example:0", true, "https://callbacks.example:4711"},
		{"0.0.0.0:8080", "callbacks.example:9090", false, "http://callbacks.example:9090"},
		{"127.0.0.1:8080", ":9090", false, "--public-url"},
		{"127.0.0.1:8080", "9090", false, "--callback-listen: "},
	} {
		c := Default()
		c.Listen, c.CallbackListen, c.TLSDevelopment = tt.listen, tt.callbacks, tt.tls
		_, err := c.check(actual)
		if err == nil && c.PublicURL != tt.want || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %q, %v", tt, c.PublicURL, err)
		}
	}
}
