package outbound

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/hex"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/riposte-dev/riposte"
)

// hostile returns a certificate for loopback with whatever change makes of it.
func (a authority) hostile(key crypto.Signer, change func(*x509.Certificate)) tls.Certificate {
	template := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	if change != nil {
		change(template)
	}
	return tls.Certificate{Certificate: [][]byte{must(x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key))}, PrivateKey: key}
}

// bigKey is an RSA key that takes long to verify with, and can't sign.
type bigKey struct{ public *rsa.PublicKey }

func (k bigKey) Public() crypto.PublicKey { return k.public }
func (k bigKey) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return make([]byte, k.public.Size()), nil
}

// TestHostileHandshake has receivers that try the client during TLS. Nothing is ever
// sent to them.
func TestHostileHandshake(t *testing.T) {
	a := newAuthority("authority")
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	config := func(change func(*tls.Config)) *tls.Config {
		c := &tls.Config{Certificates: []tls.Certificate{a.hostile(key, nil)}}
		change(c)
		return c
	}
	chain := func(bytes, each int) *tls.Config {
		return config(func(c *tls.Config) {
			for n := 0; n < bytes; n += each {
				c.Certificates[0].Certificate = append(c.Certificates[0].Certificate, make([]byte, each))
			}
		})
	}
	certificate := func(change func(*x509.Certificate)) *tls.Config {
		return config(func(c *tls.Config) { c.Certificates[0] = a.hostile(key, change) })
	}
	modulus := must(rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 16384)))
	modulus.SetBit(modulus, 16383, 1).SetBit(modulus, 0, 1)
	for name, c := range map[string]*tls.Config{
		"a certificate of 300 KiB":         chain(300<<10, 300<<10),
		"a chain of 255 KiB":               chain(255<<10, 1<<10),
		"a thousand certificates":          chain(100_000, 100),
		"a key of 16384 bits":              config(func(c *tls.Config) { c.Certificates[0] = a.hostile(bigKey{&rsa.PublicKey{N: modulus, E: 65537}}, nil) }),
		"a certificate of another host":    certificate(func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, []string{"example.com", "*", "*.0.0.1"} }),
		"a certificate with a common name": certificate(func(c *x509.Certificate) { c.IPAddresses, c.Subject = nil, pkix.Name{CommonName: "127.0.0.1"} }),
		"a client's certificate":           certificate(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }),
		"an expired certificate":           certificate(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }),
		"a certificate of the future":      certificate(func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) }),
		"a certificate of another key": config(func(c *tls.Config) {
			c.Certificates[0].PrivateKey = must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
		}),
		"TLS 1.1": config(func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }),
	} {
		t.Run(name, func(t *testing.T) {
			client := newClient(t, func(o *Options) { o.RootCAs = a.pool })
			r := cost(t, client, "https://"+listener(t, func(conn *net.TCPConn) {
				conn.SetDeadline(time.Now().Add(30 * time.Second))
				if n, err := tls.Server(conn, c).Read(make([]byte, 1)); err == nil {
					t.Errorf("%d bytes of the request were sent", n)
				}
			}))
			e := r.Attempt.Error
			if e == nil || e.Phase != riposte.PhaseTLS || e.Reason != ReasonHandshake && !strings.Contains(e.Reason, "CERTIFICATE") {
				t.Fatalf("the error is %+v", e)
			}
			if r.Attempt.StatusCode != 0 || r.Attempt.Duration > client.timeout/2 {
				t.Errorf("status %d after %v", r.Attempt.StatusCode, r.Attempt.Duration)
			}
		})
	}
}

// TestFloodDuringTheHandshake has records and messages without end.
func TestFloodDuringTheHandshake(t *testing.T) {
	hello := "\x16\x03\x03\x00\x04\x02\xff\xff\xff" // a ServerHello of 16 MiB
	for name, chunk := range map[string]string{
		"no TLS":                "x",
		"NULs":                  "\x00",
		"a message of 16 MiB":   hello,
		"records without text":  "\x16\x03\x03\x00\x00",
		"data before its time":  "\x17\x03\x03\x00\x01x",
		"warnings":              "\x15\x03\x03\x00\x02\x01\x5a",
		"changes of the cipher": "\x14\x03\x03\x00\x01\x01",
		"records too long":      "\x16\x03\x03\xff\xff",
		"an HTTP answer":        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			client := newClient(t, nil)
			r := cost(t, client, "https://"+listener(t, func(conn *net.TCPConn) {
				conn.Read(make([]byte, 1))
				flood("", chunk)(conn)
			}))
			reason := ReasonHandshake
			if r.Attempt.Error != nil && r.Attempt.Error.Reason == ReasonReset {
				reason = ReasonReset // their reset, for what we left unread, may come first
			}
			wantError(t, r, riposte.PhaseTLS, reason)
			if r.Attempt.Duration > client.timeout/2 {
				t.Errorf("the attempt took %v", r.Attempt.Duration)
			}
		})
	}
}

func TestDripDuringTheHandshakeIsCutOff(t *testing.T) {
	for name, chunk := range map[string]string{"a record": "\x16\x03\x03\x3f\xff\x02\x00\x3f\xfb", "warnings": "\x15\x03\x03\x00\x02"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := send(t, newClient(t, waiting), "https://"+listener(t, drip(chunk, "\x00")))
			if r.Attempt.Error == nil || r.Attempt.Error.Phase != riposte.PhaseTLS || r.Attempt.Duration > 5*later {
				t.Errorf("the error is %+v after %v", r.Attempt.Error, r.Attempt.Duration)
			}
		})
	}
}

// TestRenegotiationIsRefused has a receiver that asks for a new handshake once it has
// the request (RFC 5246, section 7.4.1.1). No server in Go can do that, so the record
// is made by hand, of the keys that the server logs.
func TestRenegotiationIsRefused(t *testing.T) {
	a := newAuthority("authority")
	certificate := a.hostile(must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)), nil)
	ended := make(chan error, 1)
	r := send(t, newClient(t, func(o *Options) { o.RootCAs = a.pool }), "https://"+listener(t, func(conn *net.TCPConn) {
		conn.SetDeadline(time.Now().Add(30 * time.Second))
		var keys strings.Builder
		raw := &recordedConn{Conn: conn}
		server := tls.Server(raw, &tls.Config{Certificates: []tls.Certificate{certificate}, MaxVersion: tls.VersionTLS12, KeyLogWriter: &keys,
			CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}, SessionTicketsDisabled: true})
		if _, err := server.Read(make([]byte, 1)); err != nil {
			ended <- err
			return
		}
		conn.Write(helloRequest(keys.String(), raw.written))
		_, err := io.Copy(io.Discard, server)
		ended <- err
	}))
	wantError(t, r, riposte.PhaseTLS, ReasonHandshake)
	// Had the record been a bad one, the client would have said so; that there is no
	// renegotiation is but a warning, of which Go's server says nothing.
	if err := <-ended; err != nil {
		t.Errorf("the receiver's connection ended with %v", err)
	}
}

type recordedConn struct {
	net.Conn
	written []byte
}

func (c *recordedConn) Write(b []byte) (int, error) {
	c.written = append(c.written, b...)
	return c.Conn.Write(b)
}

// helloRequest returns the record in which a server asks for a new handshake, the first
// after its Finished, under AES-128-GCM with SHA-256 (RFC 5288).
func helloRequest(keyLog string, written []byte) []byte {
	fields := strings.Fields(keyLog)                           // CLIENT_RANDOM, the random, the master secret
	seed := append([]byte("key expansion"), written[11:43]...) // the ServerHello's random
	seed = append(seed, must(hex.DecodeString(fields[1]))...)
	sum := func(text []byte) []byte {
		h := hmac.New(sha256.New, must(hex.DecodeString(fields[2])))
		h.Write(text)
		return h.Sum(nil)
	}
	var block []byte // RFC 5246, section 5
	for state := sum(seed); len(block) < 40; state = sum(state) {
		block = append(block, sum(append(state, seed...))...)
	}
	aead := must(cipher.NewGCM(must(aes.NewCipher(block[16:32]))))
	sequence := binary.BigEndian.AppendUint64(nil, 1)
	header := []byte{22, 3, 3, 0, 4}
	sealed := aead.Seal(nil, append(block[36:40:40], sequence...), []byte{0, 0, 0, 0}, append(sequence[:8:8], header...))
	header[4] = byte(len(sequence) + len(sealed))
	return append(append(header, sequence...), sealed...)
}
