package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/riposte-dev/riposte"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
	"github.com/riposte-dev/riposte/ripostetest"
)

// canaryText is a secret that an operator may have chosen, with all that is written
// otherwise in JSON, HTML or an address. Enough stands between for every piece to be its
// own.
func canaryText() string {
	var text strings.Builder
	for _, special := range `"<&>\%+/'` {
		text.WriteString(rand.Text()[:9])
		text.WriteRune(special)
	}
	return text.String() + rand.Text()
}

// canaryServer is a server with secrets of every kind.
type canaryServer struct {
	*crashNode
	*canaries
	t    *testing.T
	http *http.Client

	apiKey    string            // the configured one
	keys      map[string]string // by role: admin, sender, viewer
	client    *ripostev1.Client
	secret    string // the client's
	token     string // an access token
	signing   ed25519.PrivateKey
	webhook   string // one that carries secrets
	misplaced string // what callers put where it doesn't belong, and what may then be a name
	malformed string // a secret in a request that can't be read, or is refused

	receiver    *ripostetest.Receiver
	mutual      string // the URL of a receiver that asks for a certificate
	certificate *ripostev1.ClientCertificate
	authority   string // PEM
	header      string
}

// newCanaryServer is not yet started.
func newCanaryServer(t *testing.T, store []string) *canaryServer {
	s := &canaryServer{crashNode: newCrashNodeOn(t, store), canaries: newCanaries(t), t: t, keys: map[string]string{}}
	s.http = &http.Client{
		Transport:     &http.Transport{DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       patience,
	}
	t.Cleanup(s.http.CloseIdleConnections)
	s.apiKey = s.text("the configured API key", canaryText())
	s.misplaced = s.text("what is misplaced", canaryText())
	s.malformed = s.text("what is malformed or refused", canaryText())
	s.header = s.text("a header's value", canaryText())
	s.env = []string{"RIPOSTE_API_KEY=" + s.apiKey, "RIPOSTE_LOG_LEVEL=debug"}
	return s
}

// startAs starts the server, to be called with its configured key.
func (s *canaryServer) startAs() {
	s.t.Helper()
	s.start()
	s.CloseIdleConnections()
	s.Client = ripostetest.NewClient("http://"+s.listen, s.apiKey)
}

// answered makes a request and keeps what it is answered, which shows what it is for.
func (s *canaryServer) answered(method, path, body string, header http.Header, shows ...string) response {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	r, place, err := s.do(ctx, method, path, body, header)
	if err != nil {
		s.t.Fatalf("%s: %v", place.name, err)
	}
	place.shows = shows
	s.places = append(s.places, place)
	return r
}

// do makes a request. A caller may find in the answer what it has put into the place of
// a name.
func (s *canaryServer) do(ctx context.Context, method, path, body string, header http.Header) (response, canaryPlace, error) {
	place := canaryPlace{name: "the answer to " + method + " " + path[:min(len(path), 120)], may: []string{"what is misplaced"}}
	r, err := http.NewRequestWithContext(ctx, method, "http://"+s.listen+path, strings.NewReader(body))
	if err != nil {
		return response{}, place, err
	}
	for name, values := range header {
		r.Header[name] = values
	}
	res, err := s.http.Do(r)
	if err != nil {
		return response{}, place, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	place.text = fmt.Appendln(place.text, res.StatusCode, res.Header)
	place.text = append(place.text, b...)
	return response{res.StatusCode, res.Header, b}, place, err
}

func bearer(key string) http.Header {
	return http.Header{"Authorization": {"Bearer " + key}, "Content-Type": {"application/json"}}
}

// must decodes an answer that has to be a good one.
func (s *canaryServer) must(r response, into any) {
	s.t.Helper()
	if err := json.Unmarshal(r.body, into); r.status != http.StatusOK || err != nil {
		s.t.Fatalf("HTTP %d, %v: %s", r.status, err, r.body)
	}
}

// makeCallers makes keys, a client and an access token.
func (s *canaryServer) makeCallers() {
	s.t.Helper()
	for _, role := range []string{"admin", "sender", "viewer"} {
		name := "the key of " + role
		var made struct{ Secret string }
		s.must(s.answered(http.MethodPost, "/api/v1/keys", `{"name":"`+role+`","role":"ROLE_`+strings.ToUpper(role)+`"}`, bearer(s.apiKey), name), &made)
		s.keys[role] = made.Secret
		s.text(name, strings.TrimPrefix(made.Secret, "riposte_"))
	}
	var made struct {
		Client       struct{ ID, ClientID string }
		ClientSecret string
	}
	s.must(s.answered(http.MethodPost, "/api/v1/clients", `{"name":"canary","role":"ROLE_SENDER"}`, bearer(s.apiKey), "the client's private key"), &made)
	s.client, s.secret = &ripostev1.Client{Id: made.Client.ID, ClientId: made.Client.ClientID}, made.ClientSecret
	var err error
	if s.signing, err = riposte.ParseClientSecret(s.secret); err != nil {
		s.t.Fatal(err)
	}
	s.bytes("the client's private key", s.signing.Seed())
	s.token = s.takeToken("an access token", url.Values{"client_id": {s.client.GetClientId()}, "client_secret": {s.secret}})
	s.takeToken("an access token by assertion", s.assertion("an assertion", time.Minute))
}

func (s *canaryServer) takeToken(name string, form url.Values) string {
	s.t.Helper()
	form.Set("grant_type", "client_credentials")
	var granted struct {
		AccessToken string `json:"access_token"`
	}
	s.must(s.answered(http.MethodPost, "/auth/v1/token", form.Encode(), http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, name), &granted)
	s.jwt(name, granted.AccessToken)
	return granted.AccessToken
}

// jwt adds a JWT: without its signature it is worth nothing, and what is before that
// has public things in it.
func (s *canaryServer) jwt(name, token string) {
	s.t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		s.t.Fatalf("%s is no JWT: %q", name, token)
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		s.t.Fatal(err)
	}
	s.bytes(name, signature)
}

// assertion is a form with one that ends after life.
func (s *canaryServer) assertion(name string, life time.Duration) url.Values {
	s.t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.EdDSA, Key: s.signing}, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	id := s.client.GetClientId()
	u, err := url.Parse(s.URL)
	if err != nil {
		s.t.Fatal(err)
	}
	claims := fmt.Sprintf(`{"iss":%q,"sub":%q,"aud":%q,"exp":%d,"jti":%q}`, id, id, u.Hostname(), time.Now().Add(life).Unix(), rand.Text())
	signed, err := signer.Sign([]byte(claims))
	if err != nil {
		s.t.Fatal(err)
	}
	jwt, err := signed.CompactSerialize()
	if err != nil {
		s.t.Fatal(err)
	}
	s.jwt(name, jwt)
	return url.Values{"grant_type": {"client_credentials"}, "client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}, "client_assertion": {jwt}}
}

// canaryAuthority makes certificates.
type canaryAuthority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	pool        *x509.CertPool
}

func newCanaryAuthority(t testing.TB) *canaryAuthority {
	t.Helper()
	a := &canaryAuthority{pool: x509.NewCertPool()}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "canary"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	a.certificate, a.key = a.sign(t, template)
	a.pool.AddCert(a.certificate)
	return a
}

// sign returns the certificate and its key; the first one signs itself.
func (a *canaryAuthority) sign(t testing.TB, template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	parent, signer := a.certificate, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return certificate, key
}

func (a *canaryAuthority) issue(t testing.TB) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	return a.sign(t, &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}})
}

func canaryPEM(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// makeReceivers starts those that answer, and one that asks for the certificate that it
// makes.
func (s *canaryServer) makeReceivers() {
	t := s.t
	t.Helper()
	s.receiver = newReceiver(t, canaryAnswer)
	a := newCanaryAuthority(t)
	certificate, key := a.issue(t)
	s.authority = canaryPEM("CERTIFICATE", a.certificate.Raw)
	s.mutual = canaryReceiver(t, s.receiver, &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{certificate.Raw}, PrivateKey: key}}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: a.pool,
	})
	certificate, key = a.issue(t)
	scalar, err := key.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	s.bytes("a client certificate's private key", scalar)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	private := canaryPEM("PRIVATE KEY", der)
	s.certificate = &ripostev1.ClientCertificate{CertificatePem: canaryPEM("CERTIFICATE", certificate.Raw), PrivateKeyPem: &private}
}

// canaryReceiver is h behind TLS.
func canaryReceiver(t testing.TB, h http.Handler, config *tls.Config) string {
	t.Helper()
	r := httptest.NewUnstartedServer(h)
	r.TLS = config
	r.Config.ErrorLog = log.New(io.Discard, "", 0)
	r.StartTLS()
	t.Cleanup(r.Close)
	return r.URL
}

// canaryAnswer answers by the path.
func canaryAnswer(d ripostetest.Delivery) ripostetest.Reply {
	switch d.Path {
	case "/later":
		return ripostetest.Reply{Status: http.StatusAccepted}
	case "/fails":
		return ripostetest.Reply{Status: http.StatusInternalServerError, Body: "no"}
	case "/moved":
		return ripostetest.Reply{Status: http.StatusTemporaryRedirect, Header: http.Header{"Location": {"/"}}}
	case "/gone":
		return ripostetest.Reply{Status: http.StatusGone}
	case "/bad":
		return ripostetest.Reply{Body: `{"version":"v1","approve":`}
	case "/hangs":
		return ripostetest.Reply{Hang: true}
	}
	return ripostetest.Reply{Body: crashApproval}
}
