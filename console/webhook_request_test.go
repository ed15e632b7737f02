package console_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	webhooksv1 "github.com/riposte-dev/riposte/gen/c1/api/webhooks/v1"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
	"github.com/riposte-dev/riposte/ripostetest"
)

// requested makes a webhook, and returns its page of request settings and what the
// headers of a test at its receiver are.
func (r *reader) requested() (path string, headers func() http.Header) {
	r.t.Helper()
	receiver, err := ripostetest.NewReceiver(func(ripostetest.Delivery) ripostetest.Reply { return ripostetest.Reply{} })
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(receiver.Close)
	res, err := r.server.Webhooks.Create(r.t.Context(), &webhooksv1.WebhooksServiceCreateRequest{DisplayName: "<hook>", Url: receiver.URL})
	if err != nil {
		r.t.Fatal(err)
	}
	id := res.GetWebhook().GetId()
	return "/webhooks/" + id + "/requests", func() http.Header {
		r.t.Helper()
		asked := r.ask(id, &webhooksv1.WebhookSource{Source: &webhooksv1.WebhookSource_Test{Test: &webhooksv1.WebhookSourceTest{}}}, webhooksv1.WebhookState_WEBHOOK_STATE_SUCCESS)
		return receiver.Deliveries(asked)[0].Header
	}
}

func TestHeadersAreSetReplacedKeptAndRemoved(t *testing.T) {
	r := newReader(t).as(ripostev1.Role_ROLE_ADMIN)
	at, sent := r.requested()
	r.get(at).wants(t, http.StatusOK, "None beside those of the contract.", "<bdi>&lt;hook&gt;</bdi>")
	for _, h := range []url.Values{
		{"name": {"X-Api-Key"}, "value": {"first-secret"}}, {"name": {"X-Team"}, "value": {" blue "}}, {"name": {"x-api-key"}, "value": {"second-secret"}},
	} {
		p := r.post(at+"/header", h)
		p.wants(t, http.StatusOK, "Saved.", h.Get("name"))
		p.lacks(t, "-secret", "blue")
	}
	webhook := strings.TrimSuffix(at, "/requests")
	page := r.get(webhook)
	page.wants(t, http.StatusOK, "X-Team", "x-api-key", `href="`+at+`"`)
	page.lacks(t, "-secret", "blue")

	form := r.get(webhook+"/edit").form(t, webhook)
	form.Set("displayName", "renamed")
	form.Set("maxInFlight", "3")
	r.post(webhook, form).wants(t, http.StatusOK, "Saved.")
	if h := sent(); h.Get("X-Api-Key") != "second-secret" || h.Get("X-Team") != "blue" {
		t.Errorf("the receiver got %v", h)
	}
	r.post(at+"/header/remove", url.Values{"name": {"X-Team"}}).wants(t, http.StatusOK, "Removed.", "x-api-key")
	if h := sent(); h.Get("X-Api-Key") != "second-secret" || h.Values("X-Team") != nil {
		t.Errorf("after the removal the receiver got %v", h)
	}
}

func TestWhatIsWrongWithRequestSettingsIsSaidAtTheirFields(t *testing.T) {
	r := newReader(t).as(ripostev1.Role_ROLE_ADMIN)
	at, _ := r.requested()
	certificate, _ := selfSigned(t, "us", time.Hour)
	_, other := selfSigned(t, "them", time.Hour)
	for _, tt := range []struct {
		part  string
		form  url.Values
		wants []string
	}{
		{"header", url.Values{"name": {"Authorization"}, "value": {"ü"}}, []string{`id="name-about">Name must not be`, `id="value-about">Value must be of printable ASCII`, `value="Authorization"`}},
		{"header", url.Values{"value": {"x"}}, []string{`id="name-about">Name must be a token`}},
		{"secret", url.Values{"scheme": {"v1a"}, "secret": {"whsec_x"}, "keepFor": {"31 days"}},
			[]string{`id="secret-about">Secret must be empty`, `id="keepFor-about">Keep the one before for must be from 0s`, `value="v1a" checked`}},
		{"secret", url.Values{"secret": {"nothing"}}, []string{`id="secret-about">Secret must be whsec_`, `value="nothing"`}},
		{"secret", url.Values{"keepFor": {"a while"}}, []string{`id="keepFor-about">Keep the one before for must be a span of time`}},
		{"certificate", url.Values{}, []string{`id="certificatePem-about">Certificate must be set.`}},
		{"certificate", url.Values{"certificatePem": {"nothing"}}, []string{`id="certificatePem-about">Certificate must be certificates in PEM`, "nothing</textarea>"}},
		{"certificate", url.Values{"certificatePem": {certificate}}, []string{`id="privateKeyPem-about">Private key must be set`}},
		{"certificate", url.Values{"certificatePem": {certificate}, "privateKeyPem": {other}}, []string{`id="privateKeyPem-about">Private key must be the certificate`}},
		{"authorities", url.Values{"caPem": {"nobody"}}, []string{`id="caPem-about">Authorities must be certificates in PEM`, "nobody</textarea>"}},
	} {
		r.post(at+"/"+tt.part, tt.form).wants(t, http.StatusUnprocessableEntity, append(tt.wants, `data-home="`+at+`"`)...)
	}
	for n := range 32 {
		r.post(at+"/header", url.Values{"name": {"X-" + strings.Repeat("n", n+1)}, "value": {"x"}}).wants(t, http.StatusOK)
	}
	r.post(at+"/header", url.Values{"name": {"X-More"}, "value": {"x"}}).wants(t, http.StatusUnprocessableEntity, `role="alert">The headers must be at most 32`)
	if _, s := r.onlyWebhook(); len(s.GetHeaders().GetList()) != 32 || len(s.GetSecrets()) > 0 || s.GetClientCertificate() != nil || s.GetCaPem() != "" {
		t.Errorf("the settings are %v", s)
	}
}

func TestAWebhooksSecretIsShownOnceAndRotated(t *testing.T) {
	r := newReader(t).as(ripostev1.Role_ROLE_ADMIN)
	at, sent := r.requested()
	made := func(p seen) string {
		t.Helper()
		p.wants(t, http.StatusOK, `data-home="`+at+`"`, `data-copy="verify-with"`)
		_, text, _ := strings.Cut(p.text, `<pre id="verify-with"`)
		_, text, _ = strings.Cut(text, "<code>")
		text, _, _ = strings.Cut(text, "</code>")
		return strings.ReplaceAll(text, "&#43;", "+")
	}
	p := r.post(at+"/secret", url.Values{"scheme": {"v1"}})
	first := made(p)
	p.wants(t, http.StatusOK, "never shown again", "another takes its place")
	if !strings.HasPrefix(first, "whsec_") {
		t.Fatalf("what is shown is %q", first)
	}
	p = r.get(at)
	p.wants(t, http.StatusOK, "Rotate the secret")
	p.lacks(t, "whsec_"+strings.TrimPrefix(first, "whsec_")[:8], "never shown again")

	p = r.post(at+"/secret", url.Values{"scheme": {"v1a"}, "keepFor": {"2 hours"}})
	if public := made(p); !strings.HasPrefix(public, "whpk_") {
		t.Errorf("what is shown is %q", public)
	}
	wantTexts(t, p.row(t, `<td data-label="Scheme">v1<`), `data-as="left"`) // the end of the one before
	if h := sent().Get("Webhook-Signature"); !strings.HasPrefix(h, "v1a,") || !strings.Contains(h, " v1,") {
		t.Errorf("requests are signed by %q", h)
	}
	_, s := r.onlyWebhook()
	r.post(at+"/secret/remove", url.Values{"id": {s.GetSecrets()[1].GetId()}}).wants(t, http.StatusOK, "Removed.")
	if h := sent().Get("Webhook-Signature"); !strings.HasPrefix(h, "v1a,") || strings.Contains(h, " ") {
		t.Errorf("after the removal requests are signed by %q", h)
	}
	for range 3 {
		r.post(at+"/secret", url.Values{"scheme": {"v1"}}).wants(t, http.StatusOK)
	}
	p = r.post(at+"/secret", url.Values{"scheme": {"v1"}})
	p.wants(t, http.StatusUnprocessableEntity, `role="alert"`, "Nothing was changed.")
	p.lacks(t, "never shown again")
}

func TestCertificatesAreSetReplacedAndRemoved(t *testing.T) {
	r := newReader(t).as(ripostev1.Role_ROLE_ADMIN)
	at, _ := r.requested()
	certificate, key := selfSigned(t, "us <1>", time.Hour)
	r.get(at).wants(t, http.StatusOK, "a receiver that asks for one gets none", "must come from one of those")
	p := r.post(at+"/certificate", url.Values{"certificatePem": {strings.ReplaceAll(certificate, "\n", "\r\n")}, "privateKeyPem": {key}})
	p.wants(t, http.StatusOK, "Saved.", "<bdi>CN=us \\&lt;1\\&gt;</bdi>", "Good until", "Replace the certificate")
	p.lacks(t, "PRIVATE KEY")
	r.post(at+"/certificate", url.Values{"certificatePem": {certificate}}).wants(t, http.StatusOK, "Saved.") // of the same key
	r.post(at+"/authorities", url.Values{"caPem": {certificate}}).wants(t, http.StatusOK, "Saved.", "BEGIN CERTIFICATE")
	r.get(strings.TrimSuffix(at, "/requests")).wants(t, http.StatusOK, "<dt>Client certificate</dt><dd><bdi>CN=us", "<dt>Authorities</dt><dd><bdi>CN=us")

	p = r.post(at+"/certificate/remove", nil)
	p.wants(t, http.StatusOK, "Removed.", "a receiver that asks for one gets none", "BEGIN CERTIFICATE")
	r.post(at+"/authorities", url.Values{"caPem": {" "}}).wants(t, http.StatusOK, "Saved.")
	if _, s := r.onlyWebhook(); s.GetClientCertificate() != nil || s.GetCaPem() != "" {
		t.Errorf("the settings are %v", s)
	}
}

func TestRequestSettingsAreForAdmins(t *testing.T) {
	admin := newReader(t).as(ripostev1.Role_ROLE_ADMIN)
	at, _ := admin.requested()
	admin.post(at+"/header", url.Values{"name": {"X-Api-Key"}, "value": {"x"}}).wants(t, http.StatusOK)
	for _, role := range []ripostev1.Role{ripostev1.Role_ROLE_VIEWER, ripostev1.Role_ROLE_SENDER} {
		r := readerOf(t, admin.server).as(role)
		r.get(at).wants(t, http.StatusForbidden, "Not with this key")
		for _, form := range []string{"header", "header/remove", "secret", "secret/remove", "certificate", "certificate/remove", "authorities"} {
			r.post(at+"/"+form, url.Values{"name": {"X-Api-Key"}, "value": {"y"}}).wants(t, http.StatusForbidden, "Not with this key")
		}
		p := r.get(strings.TrimSuffix(at, "/requests"))
		p.wants(t, http.StatusOK, "X-Api-Key")
		p.lacks(t, at)
	}
	admin.get("/webhooks/nothing/requests").wants(t, http.StatusNotFound)
	if p := admin.get(at + "/secret/remove"); p.path != at {
		t.Errorf("a reload leads to %s", p.path)
	}
}

// selfSigned is a certificate that vouches for itself, and its key, in PEM.
func selfSigned(t *testing.T, name string, life time.Duration) (certificate, key string) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(life), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
}
