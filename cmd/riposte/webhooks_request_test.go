package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	webhooksv1 "github.com/riposte-dev/riposte/gen/c1/api/webhooks/v1"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
	"github.com/riposte-dev/riposte/ripostetest"
)

// TestWebhooksSettingsTakeCertificatesFromFiles sets, renews and takes away.
func TestWebhooksSettingsTakeCertificatesFromFiles(t *testing.T) {
	s := ripostetest.Start(t)
	created, err := s.Webhooks.Create(t.Context(), &webhooksv1.WebhooksServiceCreateRequest{DisplayName: "w", Url: "https://receiver.example/hook"})
	if err != nil {
		t.Fatal(err)
	}
	id := created.GetWebhook().GetId()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := func(name, kind string, der []byte, err error) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err == nil {
			err = os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	certificate := func(name string, serial int64) string {
		template := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour)}
		der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
		return file(name, "CERTIFICATE", der, err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	first, renewed, key := certificate("first", 1), certificate("renewed", 2), file("key", "PRIVATE KEY", der, err)

	settings := func(args ...string) (string, int) {
		var out bytes.Buffer
		code := runCommand(t.Context(), &out, "", append([]string{"webhooks", "settings", id, "--server", s.BaseURL(), "--api-key", s.APIKey}, args...)...)
		return out.String(), code
	}
	for _, tt := range []struct {
		args []string
		says []string
		code int
	}{
		{[]string{"--client-cert", first}, []string{"privateKeyPem: must be set"}, 1},
		{[]string{"--client-cert", first, "--client-key", key, "--ca", first}, []string{"Client certificate:  CN=first, until ", "CA:                  CN=first, until "}, 0},
		{[]string{"--client-cert", renewed}, []string{"Client certificate:  CN=renewed, until ", "CA: "}, 0},
		{[]string{"--client-cert", filepath.Join(dir, "none")}, []string{"reading --client-cert"}, 2},
		{[]string{"--client-cert", "", "--ca", ""}, nil, 0},
	} {
		out, code := settings(tt.args...)
		if code != tt.code {
			t.Errorf("%v: exit %d: %s", tt.args, code, out)
		}
		for _, words := range tt.says {
			if !strings.Contains(out, words) {
				t.Errorf("%v: it doesn't say %q:\n%s", tt.args, words, out)
			}
		}
	}
	res, err := s.Settings.Get(t.Context(), &ripostev1.WebhookSettingsServiceGetRequest{WebhookId: id})
	if err != nil || res.GetSettings().GetClientCertificate() != nil || res.GetSettings().GetCaPem() != "" {
		t.Errorf("at the end there is %v, %v", res.GetSettings(), err)
	}
}
