package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"

	"github.com/riposte-dev/riposte/server"
)

// trust is how to trust the server of riposte dev: by its own authority with --tls, or
// else as anybody does.
type trust struct {
	file  string         // the authority's certificate; "" without TLS
	roots *x509.CertPool // nil for the system's
}

// newTrust reads what the server has made.
func newTrust(c server.Config) (trust, error) {
	if !c.TLSDevelopment {
		return trust{}, nil
	}
	file, err := filepath.Abs(server.AuthorityFile(c.Data))
	if err != nil {
		return trust{}, fmt.Errorf("finding the certificate authority: %w", err)
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return trust{}, fmt.Errorf("reading the certificate authority: %w", err)
	}
	t := trust{file: file, roots: x509.NewCertPool()}
	t.roots.AppendCertsFromPEM(pem)
	return t, nil
}

// transport is nil for the default one.
func (t trust) transport() http.RoundTripper {
	if t.roots == nil {
		return nil
	}
	return &http.Transport{TLSClientConfig: &tls.Config{RootCAs: t.roots, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true}
}

// environment is what a shell has to export beside the rest, for curl and for this
// binary.
func (t trust) environment() string {
	if t.file == "" {
		return ""
	}
	return fmt.Sprintf(" SSL_CERT_FILE=%[1]s CURL_CA_BUNDLE=%[1]s", t.file)
}

func (t trust) explain(out io.Writer) {
	if t.file == "" {
		return
	}
	fmt.Fprintf(out, `
The server's certificate is by an authority of its own, which speaks for this machine
alone. Its certificate is in
  %[1]s
To trust it:
  curl                 curl --cacert %[1]s ...
  Go, OpenSSL, riposte export SSL_CERT_FILE=%[1]s
  Node                 export NODE_EXTRA_CA_CERTS=%[1]s
  Python (requests)    export REQUESTS_CA_BUNDLE=%[1]s
  Debian, Ubuntu       sudo cp %[1]s /usr/local/share/ca-certificates/riposte-dev.crt && sudo update-ca-certificates
  Fedora               sudo trust anchor %[1]s
  macOS                sudo security add-trusted-cert -d -r trustRoot -k /Library/Keychains/System.keychain %[1]s
Beside SSL_CERT_FILE and REQUESTS_CA_BUNDLE no other authority is trusted; the system's
store, which browsers use, keeps the others.
`, t.file)
}
