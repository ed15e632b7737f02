package interop

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
	"github.com/riposte-dev/riposte/ripostetest"
	"github.com/riposte-dev/riposte/server"
)

// house is a server that is reached by TLS, and what a client of it has in its
// environment.
type house struct {
	t   *testing.T
	env []string
}

func newHouse(t *testing.T) house {
	t.Helper()
	receiver, err := ripostetest.NewReceiver(func(ripostetest.Delivery) ripostetest.Reply { return ripostetest.Reply{Body: "fine"} })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(receiver.Close)
	certificate, authority := newCertificate(t)
	front, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{certificate}})
	if err != nil {
		t.Fatal(err)
	}
	base := "https://" + front.Addr().String()
	s := ripostetest.Start(t, func(c *server.Config) { c.PublicURL = base })
	t.Cleanup(s.CloseIdleConnections)
	serveFront(t, front, s.BaseURL())
	res, err := s.Clients.Create(t.Context(), &ripostev1.ClientsServiceCreateRequest{Name: "interop", Role: ripostev1.Role_ROLE_ADMIN})
	if err != nil {
		t.Fatal(err)
	}
	return house{t, append(os.Environ(), "CLIENT_ID="+res.GetClient().GetClientId(), "CLIENT_SECRET="+res.GetClientSecret(),
		"SERVER="+base, "RECEIVER="+receiver.URL, "SSL_CERT_FILE="+authority, "NODE_EXTRA_CA_CERTS="+authority)}
}

// serveFront passes what comes by TLS to the server at base.
func serveFront(t *testing.T, front net.Listener, base string) {
	t.Helper()
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	h := &http.Server{ReadHeaderTimeout: time.Minute, Handler: &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(u); r.Out.Host = r.In.Host },
		Transport: transport,
	}}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = h.Serve(front)
	}()
	t.Cleanup(func() {
		h.Close()
		<-served
		transport.CloseIdleConnections()
	})
}

// newCertificate returns one for 127.0.0.1 that is its own authority, and the file that
// says so.
func newCertificate(t *testing.T) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IsCA: true, BasicConstraintsValid: true, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, file
}

// run has a program do its work within a minute.
func (h house) run(name string, args ...string) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = h.env
	if out, err := cmd.CombinedOutput(); err != nil {
		h.t.Errorf("%s %v: %v\n%s", name, args, err, out)
	}
}

func TestGoClients(t *testing.T) {
	program := filepath.Join(t.TempDir(), "goclient")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./goclient").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, way := range []string{"assertion", "auto", "header", "form"} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			newHouse(t).run(program, way)
		})
	}
}

// TestNodeClients needs what npm ci installs in node/.
func TestNodeClients(t *testing.T) {
	for _, way := range []string{"c1", "assertion", "header", "form"} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			newHouse(t).run("node", "node/client.js", way)
		})
	}
}
