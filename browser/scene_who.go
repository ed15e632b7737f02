package browser

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
	"github.com/riposte-dev/riposte/ripostetest"
)

// The names of a scene's keys that have no admin's role, and of its client.
const (
	Sender    = "ticket-desk"
	Viewer    = "grafana"
	Terraform = "terraform"
)

// admit makes the keys and the client by which others call, those that have an end, too,
// and gives a webhook's requests what its receiver wants to see.
func (s *Scene) admit() {
	s.tb.Helper()
	in := func(d time.Duration) *timestamppb.Timestamp { return timestamppb.New(s.clock.Now().Add(d)) }
	for _, key := range []*ripostev1.KeysServiceCreateRequest{
		{Name: Sender, Role: ripostev1.Role_ROLE_SENDER, RateLimit: 500},
		{Name: Viewer, Role: ripostev1.Role_ROLE_VIEWER},
		{Name: "ops", Role: ripostev1.Role_ROLE_ADMIN, ExpiresAt: in(90 * 24 * time.Hour)},
		{Name: "the auditors, on their visit", Role: ripostev1.Role_ROLE_VIEWER, ExpiresAt: in(15 * time.Minute)},
	} {
		res, err := s.Keys.Create(context.Background(), key)
		if err != nil {
			s.tb.Fatalf("making the key %s: %v", key.GetName(), err)
		}
		s.APIKeys[key.GetName()] = res.GetSecret()
	}
	if _, err := s.Clients.Create(context.Background(), &ripostev1.ClientsServiceCreateRequest{
		Name: Terraform, Role: ripostev1.Role_ROLE_ADMIN, ExpiresAt: in(365 * 24 * time.Hour)}); err != nil {
		s.tb.Fatalf("making the client %s: %v", Terraform, err)
	}
	s.rotate(ripostev1.ServerKeyUse_SERVER_KEY_USE_CALLBACK, nil)
	s.dress(s.Webhooks[Provisioning])
}

func (s *Scene) rotate(use ripostev1.ServerKeyUse, publishFor *durationpb.Duration) {
	s.tb.Helper()
	if _, err := s.ServerKeys.Rotate(context.Background(), &ripostev1.ServerKeysServiceRotateRequest{Use: use, PublishFor: publishFor}); err != nil {
		s.tb.Fatalf("rotating %s: %v", use, err)
	}
}

// dress gives a webhook's requests some of all that they may have.
func (s *Scene) dress(webhook string) {
	s.tb.Helper()
	certificate, key := selfSigned(s.tb, s.clock.Now())
	_, err := s.Settings.Update(context.Background(), &ripostev1.WebhookSettingsServiceUpdateRequest{WebhookId: webhook, Settings: &ripostev1.WebhookSettings{
		Headers: &ripostev1.WebhookHeaders{List: []*ripostev1.WebhookHeader{
			{Name: "X-Api-Key", Value: proto.String("gateway-key")}, {Name: "X-Tenant", Value: proto.String("example")}}},
		ClientCertificate: &ripostev1.ClientCertificate{CertificatePem: certificate, PrivateKeyPem: &key},
		CaPem:             &certificate,
	}})
	if err != nil {
		s.tb.Fatalf("changing the request settings of a webhook: %v", err)
	}
	for _, scheme := range []ripostev1.WebhookSecretScheme{ripostev1.WebhookSecretScheme_WEBHOOK_SECRET_SCHEME_V1, ripostev1.WebhookSecretScheme_WEBHOOK_SECRET_SCHEME_V1A} {
		if _, err := s.Settings.RotateSecret(context.Background(), &ripostev1.WebhookSettingsServiceRotateSecretRequest{
			WebhookId: webhook, Scheme: scheme, KeepFor: durationpb.New(7 * 24 * time.Hour)}); err != nil {
			s.tb.Fatalf("rotating the secret of a webhook: %v", err)
		}
	}
}

// selfSigned is a certificate that vouches for itself, good for 400 days, and its key.
func selfSigned(tb ripostetest.TB, now time.Time) (certificate, key string) {
	tb.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		tb.Fatalf("making a key: %v", err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "riposte", Organization: []string{"Example"}},
		NotBefore: now, NotAfter: now.Add(400 * 24 * time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		tb.Fatalf("making a certificate: %v", err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		tb.Fatalf("writing a key: %v", err)
	}
	inPEM := func(kind string, b []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}))
	}
	return inPEM("CERTIFICATE", der), inPEM("PRIVATE KEY", pkcs8)
}
