package riposte

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"
)

const (
	maxPEMSize    = 64 << 10 // bytes
	minRSAKeySize = 2048     // bits
)

// ClientCertificate is what the server shows of itself to a receiver that asks for it.
type ClientCertificate struct {
	Certificate string `json:"certificate"` // PEM, with those between it and its authority behind it
	PrivateKey  Sealed `json:"privateKey"`  // for Purpose; PEM
}

// Purpose is what the private key is sealed for.
func (ClientCertificate) Purpose(webhookID string) string {
	return webhookPurpose(webhookID, clientKeyPurpose)
}

const clientKeyPurpose = "client-key"

// ClientCertificateChange is a client certificate as it is to be.
type ClientCertificateChange struct {
	Certificate string // PEM; "" for none, which goes without a key
	// PrivateKey is PEM. Nil stands for the one that is there, which the certificate must
	// be of.
	PrivateKey *string
}

// changeClientCertificate returns the certificate that c makes of old.
func changeClientCertificate(v *violations, old *ClientCertificate, c ClientCertificateChange, seal Sealer, now time.Time) *ClientCertificate {
	switch {
	case c == (ClientCertificateChange{}):
		return nil
	case old != nil && c == (ClientCertificateChange{Certificate: old.Certificate}):
		return old // also where it has run out since
	}
	chain, err := parseCertificates(c.Certificate)
	if err == nil {
		err = checkClientCertificate(chain[0], now)
	}
	if err != nil {
		v.addf("clientCertificate.certificatePem", "%s", err)
		return old
	}
	changed := &ClientCertificate{Certificate: c.Certificate}
	const field = "clientCertificate.privateKeyPem"
	switch {
	case c.PrivateKey == nil && old == nil:
		v.addf(field, "must be set: there is none that could stay")
	case c.PrivateKey == nil:
		if !sameKey(chain[0], old.Certificate) {
			v.addf(field, "must be set: the certificate is of another key than the one that is there")
		}
		changed.PrivateKey = old.PrivateKey
	case len(*c.PrivateKey) > maxPEMSize:
		v.addf(field, "must have at most %d bytes", maxPEMSize)
	default:
		if _, err := tls.X509KeyPair([]byte(c.Certificate), []byte(*c.PrivateKey)); err != nil {
			v.addf(field, "must be the certificate's private key in PEM, without a passphrase")
		}
		changed.PrivateKey = seal(clientKeyPurpose, []byte(*c.PrivateKey))
	}
	return changed
}

// checkClientCertificate takes kinds of keys that receivers can verify. That the
// certificate is no longer valid is told here; that it has run out later, by the
// receiver.
func checkClientCertificate(c *x509.Certificate, now time.Time) error {
	if !now.Before(c.NotAfter) {
		return fmt.Errorf("must be a certificate that is still valid, ended at %s", c.NotAfter.UTC().Format(time.RFC3339))
	}
	switch key := c.PublicKey.(type) {
	case *rsa.PublicKey:
		if key.N.BitLen() < minRSAKeySize {
			return fmt.Errorf("must have an RSA key of %d bits or more, has %d", minRSAKeySize, key.N.BitLen())
		}
		return nil
	case *ecdsa.PublicKey, ed25519.PublicKey:
		return nil
	}
	return errors.New("must have a key of RSA, ECDSA or Ed25519")
}

// sameKey reports whether c is of the same key as the first certificate of other.
func sameKey(c *x509.Certificate, other string) bool {
	chain, err := parseCertificates(other)
	return err == nil && string(chain[0].RawSubjectPublicKeyInfo) == string(c.RawSubjectPublicKeyInfo)
}

// checkAuthorities takes bundles in which some have run out, as they do, but not all.
func checkAuthorities(v *violations, ca string, now time.Time) {
	if ca == "" {
		return
	}
	list, err := parseCertificates(ca)
	if err != nil {
		v.addf("caPem", "%s", err)
		return
	}
	for _, c := range list {
		if now.Before(c.NotAfter) {
			return
		}
	}
	v.addf("caPem", "must have a certificate that is still valid")
}

// parseCertificates returns the certificates of a PEM text, one at least. Text between
// them is ignored, as tools write it there.
func parseCertificates(text string) ([]*x509.Certificate, error) {
	if len(text) > maxPEMSize {
		return nil, fmt.Errorf("must have at most %d bytes, has %d", maxPEMSize, len(text))
	}
	var list []*x509.Certificate
	rest := []byte(text)
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("must be certificates alone, has a %s", strings.ToLower(block.Type))
		}
		if len(block.Headers) > 0 { // x509.CertPool would leave it out, and say nothing
			return nil, errors.New("must be certificates in PEM without headers")
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("must be certificates that can be read: number %d can't", len(list)+1)
		}
		list = append(list, c)
	}
	// What is broken counts for text, too, and might be a key.
	if len(list) == 0 || len(list) != strings.Count(text, "-----BEGIN") {
		return nil, errors.New("must be certificates in PEM")
	}
	return list, nil
}
