package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"
)

// certificatePause is how often the files are read again.
const certificatePause = 30 * time.Second

// certificate is what the server shows of itself, from two files that may change:
// whoever connects afterwards sees the new one, and whoever is connected stays so.
type certificate struct {
	certFile, keyFile string
	log               *slog.Logger
	current           atomic.Pointer[tls.Certificate]
	cert, key         []byte // as they were read last, good or not
}

func openCertificate(certFile, keyFile string, log *slog.Logger) (*certificate, error) {
	c := &certificate{certFile: certFile, keyFile: keyFile, log: log}
	_, err := c.read()
	return c, err
}

// config is for servers. What is older than TLS 1.2 is refused.
func (c *certificate) config() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.current.Load(), nil },
	}
}

// read takes the pair that is in the files, if it is another one than was read last.
func (c *certificate) read() (changed bool, err error) {
	cert, err := os.ReadFile(c.certFile)
	if err != nil {
		return false, fmt.Errorf("--tls-cert: %w", err)
	}
	key, err := os.ReadFile(c.keyFile)
	if err != nil {
		return false, fmt.Errorf("--tls-key: %w", err)
	}
	if bytes.Equal(cert, c.cert) && bytes.Equal(key, c.key) {
		return false, nil
	}
	c.cert, c.key = cert, key
	pair, err := parseCertificate(cert, key)
	if err != nil {
		return false, err
	}
	c.current.Store(pair)
	return true, nil
}

// parseCertificate says which of the two files is wrong.
func parseCertificate(cert, key []byte) (*tls.Certificate, error) {
	pair, err := tls.X509KeyPair(cert, key)
	if err == nil {
		return &pair, nil
	}
	if !bytes.Contains(cert, []byte("-----BEGIN CERTIFICATE-----")) {
		return nil, errors.New("--tls-cert has no certificate in PEM: it must begin with -----BEGIN CERTIFICATE-----")
	}
	if !bytes.Contains(key, []byte("PRIVATE KEY-----")) {
		return nil, errors.New("--tls-key has no private key in PEM")
	}
	return nil, fmt.Errorf("--tls-cert and --tls-key are no pair: %w", err)
}

// run reads the files again and again until ctx ends. A pair that can't be used is
// logged, once, and the one before stays: who writes two files after each other has
// none for a moment.
func (c *certificate) run(ctx context.Context) {
	tick := time.NewTicker(certificatePause)
	defer tick.Stop()
	var last string
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		changed, err := c.read()
		switch {
		case err != nil && err.Error() != last:
			c.log.Error("the new TLS certificate can't be used: the old one stays", "error", err)
			last = err.Error()
		case err != nil:
		case changed:
			c.log.Info("a new TLS certificate is in use", "until", c.current.Load().Leaf.NotAfter)
			last = ""
		default:
			last = ""
		}
	}
}
