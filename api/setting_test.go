package api_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/riposte-dev/riposte/apijson"
	webhooksv1 "github.com/riposte-dev/riposte/gen/c1/api/webhooks/v1"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
	"github.com/riposte-dev/riposte/ripostetest"
)

// TestSettingsShowNoSecret gives a webhook all kinds of secrets and looks for them in
// every answer after that.
func TestSettingsShowNoSecret(t *testing.T) {
	n := startNode(t)
	id := n.webhook("/ok")
	path := "/api/v1/webhooks/" + id + "/settings"
	certificate, key := clientCertificate(t)
	update := fmt.Sprintf(`{"settings":{"headers":{"list":[{"name":"X-Key","value":"s3cret"}]},"clientCertificate":{"certificatePem":%q,"privateKeyPem":%q},"caPem":%q}}`,
		certificate, key, certificate)
	secret := strings.TrimPrefix(n.rotate(id, ""), "whsec_")
	for _, r := range []reply{
		n.send(http.MethodPatch, path, update), n.send(http.MethodGet, path, ""), n.send(http.MethodPost, path+":rotateSecret", `{}`),
		n.send(http.MethodGet, path, ""), n.send(http.MethodGet, "/api/v1/webhooks/"+id, ""),
	} {
		if r.status != http.StatusOK {
			t.Fatalf("HTTP %d: %s", r.status, r.body)
		}
		for _, s := range []string{"s3cret", "PRIVATE KEY", secret} {
			if strings.Contains(string(r.body), s) {
				t.Errorf("%s is in %s", s, r.body)
			}
		}
	}
}

// TestSettingsSentBackChangeNothing: what Get returned may be what Update gets.
func TestSettingsSentBackChangeNothing(t *testing.T) {
	n := startNode(t)
	id := n.webhook("/ok")
	certificate, key := clientCertificate(t)
	n.updateSettings(id, &ripostev1.WebhookSettings{
		Headers:           &ripostev1.WebhookHeaders{List: []*ripostev1.WebhookHeader{{Name: "X-Key", Value: proto.String("s3cret")}}},
		ClientCertificate: &ripostev1.ClientCertificate{CertificatePem: certificate, PrivateKeyPem: &key}, CaPem: &certificate,
	})
	n.rotate(id, "")
	before := n.settings(id)
	n.updateSettings(id, before)
	if after := n.settings(id); !proto.Equal(before, after) {
		t.Errorf("they were %v and are %v", before, after)
	}
	delivery := n.deliveryOf(id)
	if got := delivery.Header.Get("X-Key"); got != "s3cret" {
		t.Errorf("X-Key is %q", got)
	}
	n.updateSettings(id, &ripostev1.WebhookSettings{}, "headers", "client_certificate", "ca_pem")
	if s := n.settings(id); len(s.GetHeaders().GetList()) != 0 || s.GetClientCertificate() != nil || s.GetCaPem() != "" || len(s.GetSecrets()) != 1 {
		t.Errorf("cleared they are %v", s)
	}
}

// TestSecretsRotateWhileDeliveriesRun: whoever has a secret verifies all deliveries
// until it ends, and whoever has the new one all those of questions asked since.
func TestSecretsRotateWhileDeliveriesRun(t *testing.T) {
	n := startNode(t)
	id := n.webhook("/ok")
	first := n.rotate(id, "")
	var asking sync.WaitGroup
	stop := make(chan struct{})
	for range 3 {
		asking.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := n.Webhooks.Test(t.Context(), &webhooksv1.WebhooksServiceTestRequest{Id: id}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	// since has the deliveries of a question that was asked after each rotation.
	secrets, since := []string{first}, []ripostetest.Delivery{n.deliveryOf(id)}
	for range 3 {
		secrets = append(secrets, n.rotate(id, "3600s"))
		since = append(since, n.deliveryOf(id))
	}
	close(stop)
	asking.Wait()
	all := n.receiver.Deliveries("")
	for _, d := range all {
		if !signedBy(t, d, first) {
			t.Errorf("a delivery doesn't verify with the first secret: %s", d.Header.Get("Webhook-Signature"))
		}
	}
	for asked, d := range since {
		for rotated, secret := range secrets {
			if got, want := signedBy(t, d, secret), rotated <= asked; got != want {
				t.Errorf("asked after %d rotations, by the secret of rotation %d: %v, want %v", asked, rotated, got, want)
			}
		}
	}
	if len(all) < 8 {
		t.Errorf("only %d deliveries were made", len(all))
	}
}

func TestFifthSecretIsRefused(t *testing.T) {
	n := startNode(t)
	id := n.webhook("/ok")
	for range 4 {
		n.rotate(id, "3600s")
	}
	r := n.send(http.MethodPost, "/api/v1/webhooks/"+id+"/settings:rotateSecret", `{}`)
	if s := r.error(t); r.status != http.StatusBadRequest || s.reason() != "MANY_SECRETS" {
		t.Errorf("HTTP %d: %s", r.status, r.body)
	}
	if s := n.settings(id).GetSecrets(); len(s) != 4 || s[0].GetExpiresAt() != nil || s[1].GetExpiresAt() == nil {
		t.Errorf("the secrets are %v", s)
	}
}

func signedBy(t *testing.T, d ripostetest.Delivery, secret string) bool {
	t.Helper()
	w, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	return w.Verify(d.Body, d.Header) == nil
}

// rotate returns what a receiver verifies signatures with.
func (n *node) rotate(webhook, keepFor string) string {
	n.t.Helper()
	req := &ripostev1.WebhookSettingsServiceRotateSecretRequest{WebhookId: webhook}
	if d, err := time.ParseDuration(keepFor); err == nil {
		req.KeepFor = durationpb.New(d)
	}
	res, err := n.Settings.RotateSecret(n.t.Context(), req)
	if err != nil {
		n.t.Fatal(err)
	}
	return res.GetVerifyWith()
}

func (n *node) settings(webhook string) *ripostev1.WebhookSettings {
	n.t.Helper()
	res, err := n.Settings.Get(n.t.Context(), &ripostev1.WebhookSettingsServiceGetRequest{WebhookId: webhook})
	if err != nil {
		n.t.Fatal(err)
	}
	return res.GetSettings()
}

// updateSettings changes what is there, or what the mask names.
func (n *node) updateSettings(webhook string, s *ripostev1.WebhookSettings, mask ...string) {
	n.t.Helper()
	req := &ripostev1.WebhookSettingsServiceUpdateRequest{WebhookId: webhook, Settings: s}
	if len(mask) > 0 {
		if err := apijson.Unmarshal([]byte(`{"updateMask":"`+strings.Join(mask, ",")+`"}`), req); err != nil {
			n.t.Fatal(err)
		}
		req.WebhookId, req.Settings = webhook, s
	}
	if _, err := n.Settings.Update(n.t.Context(), req); err != nil {
		n.t.Fatal(err)
	}
}

// deliveryOf asks a webhook and returns what its receiver got.
func (n *node) deliveryOf(webhook string) ripostetest.Delivery {
	n.t.Helper()
	res, err := n.Webhooks.Test(n.t.Context(), &webhooksv1.WebhooksServiceTestRequest{Id: webhook})
	if err != nil {
		n.t.Fatal(err)
	}
	id := res.GetWebhook().GetId()
	if err := n.receiver.Wait(n.t.Context(), func() bool { return len(n.receiver.Deliveries(id)) > 0 }); err != nil {
		n.t.Fatal(err)
	}
	return n.receiver.Deliveries(id)[0]
}

// clientCertificate returns a certificate and its key in PEM.
func clientCertificate(t *testing.T) (certificate, key string) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	inPEM := func(kind string, b []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}))
	}
	return inPEM("CERTIFICATE", der), inPEM("PRIVATE KEY", pkcs8)
}
