package server

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"time"
)

// The files of the authority in the data directory.
const (
	authorityFile    = "tls-ca.pem"
	authorityKeyFile = "tls-ca-key.pem"
)

const (
	authorityLife = 365 * 24 * time.Hour
	// authorityRest is how long one must last yet to be used.
	authorityRest = 30 * 24 * time.Hour
)

// authority is a certificate authority for development. It may speak for this machine's
// own names and the one that the server listens on, and for no others: whoever trusts
// it, and loses its key, has lost nothing else.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// openAuthority takes the authority that is in dir for host, which may be empty, or
// makes one.
func openAuthority(dir, host string, now time.Time) (authority, error) {
	a, err := loadAuthority(dir)
	if err == nil && a.speaksFor(host, now) {
		return a, nil
	}
	if a, err = newAuthority(host, now); err != nil {
		return a, fmt.Errorf("making a certificate authority: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(a.key)
	if err != nil {
		return a, fmt.Errorf("marshalling the authority's key: %w", err)
	}
	err = writeSynced(filepath.Join(dir, authorityKeyFile), encodePEM("PRIVATE KEY", der))
	if err == nil {
		err = writeSynced(filepath.Join(dir, authorityFile), encodePEM("CERTIFICATE", a.cert.Raw))
	}
	if err != nil {
		return a, fmt.Errorf("writing the certificate authority: %w", err)
	}
	return a, nil
}

func encodePEM(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// loadAuthority refuses two files that are no pair, as a crash between them leaves them.
func loadAuthority(dir string) (authority, error) {
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, authorityFile), filepath.Join(dir, authorityKeyFile))
	if err != nil {
		return authority{}, fmt.Errorf("reading the certificate authority: %w", err)
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		return authority{}, errors.New("the certificate authority's key is of another kind")
	}
	return authority{pair.Leaf, key}, nil
}

func newAuthority(host string, now time.Time) (authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return authority{}, err
	}
	serial := newSerial()
	template := &x509.Certificate{
		SerialNumber:                serial,
		Subject:                     pkix.Name{CommonName: fmt.Sprintf("Riposte for development %x", serial.Bytes()[:4])},
		NotBefore:                   now.Add(-time.Hour), // clocks differ
		NotAfter:                    now.Add(authorityLife),
		IsCA:                        true,
		BasicConstraintsValid:       true,
		MaxPathLenZero:              true,
		KeyUsage:                    x509.KeyUsageCertSign,
		PermittedDNSDomainsCritical: true,
	}
	template.PermittedDNSDomains, template.PermittedIPRanges = ownNames(host)
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return authority{}, err
	}
	cert, err := x509.ParseCertificate(der)
	return authority{cert, key}, err
}

func newSerial() *big.Int {
	b := make([]byte, 16)
	rand.Read(b)
	b[0] = b[0]&0x7f | 0x40 // positive, and no zero in front
	return new(big.Int).SetBytes(b)
}

// ownNames are this machine's own, and host.
func ownNames(host string) (names []string, ranges []*net.IPNet) {
	names = []string{"localhost"}
	for _, p := range []string{"127.0.0.0/8", "::1/128"} {
		_, n, _ := net.ParseCIDR(p)
		ranges = append(ranges, n)
	}
	switch addr, err := netip.ParseAddr(host); {
	case host == "" || host == "localhost":
	case err != nil:
		names = append(names, host)
	case !addr.IsUnspecified() && !addr.IsLoopback():
		addr = addr.WithZone("").Unmap()
		ranges = append(ranges, &net.IPNet{IP: addr.AsSlice(), Mask: net.CIDRMask(addr.BitLen(), addr.BitLen())})
	}
	return names, ranges
}

// speaksFor reports whether a still may, for long enough, say who host is.
func (a authority) speaksFor(host string, now time.Time) bool {
	names, ranges := ownNames(host)
	return a.cert.IsCA && now.After(a.cert.NotBefore) && now.Add(authorityRest).Before(a.cert.NotAfter) &&
		slices.Equal(a.cert.PermittedDNSDomains, names) &&
		slices.EqualFunc(a.cert.PermittedIPRanges, ranges, func(x, y *net.IPNet) bool { return x.String() == y.String() })
}

// issue returns a certificate for a server on host. It is nowhere but in memory.
func (a authority) issue(host string, now time.Time) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making a server's key: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: newSerial(),
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     a.cert.NotAfter,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:     []string{"localhost"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	switch addr := net.ParseIP(host); {
	case host == "" || host == "localhost" || addr.IsUnspecified():
	case addr == nil:
		template.DNSNames = append(template.DNSNames, host)
	case !slices.ContainsFunc(template.IPAddresses, addr.Equal):
		template.IPAddresses = append(template.IPAddresses, addr)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		return nil, fmt.Errorf("issuing a server's certificate: %w", err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

// AuthorityFile is where the authority's certificate is that TLSDevelopment made in dir.
func AuthorityFile(dir string) string { return filepath.Join(dir, authorityFile) }
