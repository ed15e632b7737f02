package riposte_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/riposte-dev/riposte"
)

// sealPlainly keeps what it was given readable, behind what it is for.
func sealPlainly(purpose string, secret []byte) riposte.Sealed {
	return riposte.Sealed(purpose + "=" + string(secret))
}

var settingsAt = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func settingsWebhook() riposte.Webhook {
	return riposte.Webhook{ID: "w1", Settings: riposte.WebhookSettings{RetryPolicy: riposte.RetryFast, MaxInFlight: 1}}
}

func headers(namesAndValues ...string) riposte.RequestChange {
	list := []riposte.HeaderChange{}
	for n := 0; n < len(namesAndValues); n += 2 {
		list = append(list, riposte.HeaderChange{Name: namesAndValues[n], Value: &namesAndValues[n+1]})
	}
	return riposte.RequestChange{Headers: &list}
}

// violations are what err says is wrong, each field once.
func violations(t *testing.T, err error) map[string]string {
	t.Helper()
	e, ok := errors.AsType[*riposte.Error](err)
	if !ok || e.Code != riposte.CodeInvalidArgument {
		t.Fatalf("the error is %v, want one with violations", err)
	}
	fields := map[string]string{}
	for _, v := range e.Violations {
		fields[v.Field] = v.Description
	}
	return fields
}

func wantViolation(t *testing.T, err error, field, words string) {
	t.Helper()
	if err == nil {
		t.Errorf("nothing is wrong, want %s: %s", field, words)
		return
	}
	if got, ok := violations(t, err)[field]; !ok || !strings.Contains(got, words) {
		t.Errorf("the error is %q, want %s: %s", err, field, words)
	}
}

// spellings are all the same name to some receiver.
func spellings(name string) []string {
	title := []byte(name)
	for n := range title {
		if n == 0 || title[n-1] == '-' {
			title[n] = strings.ToUpper(name)[n]
		}
	}
	upper := strings.ToUpper(name)
	return []string{name, upper, string(title), strings.ReplaceAll(name, "-", "_"), strings.ReplaceAll(upper, "-", "_"), strings.Replace(name, "-", "_", 1)}
}

func TestReservedHeadersAreRefusedInEverySpelling(t *testing.T) {
	for _, name := range []string{
		"host", "content-length", "content-type", "content-encoding", "content-digest", "content-anything", "transfer-encoding", "connection",
		"upgrade", "te", "trailer", "expect", "proxy-authorization", "proxy-connection", "proxy-anything", "cookie", "authorization", "forwarded",
		"x-forwarded-for", "x-forwarded-host", "x-forwarded-anything", "webhook-id", "webhook-signature", "webhook-timestamp", "webhook-anything",
		"svix-id", "svix-signature", "metadata", "metadata-flavor", "metadata-anything", "x-aws-ec2-metadata-token", "x-aws-ec2-metadata-token-ttl-seconds",
		"idempotency-key", "x-idempotency-key",
		"user-agent", "accept-encoding", "keep-alive", "http2-settings", "x-google-metadata-request", "x-aliyun-ecs-metadata-token",
	} {
		for _, spelled := range spellings(name) {
			w := settingsWebhook()
			wantViolation(t, w.ChangeRequest(headers(spelled, "x"), sealPlainly, settingsAt), "headers.list[0].name", "reserved")
			if !w.Settings.Request.Empty() {
				t.Errorf("%s: there is a header now", spelled)
			}
		}
	}
	for _, name := range []string{"x-api-key", "accept", "x-host", "tea", "hosts", "x-webhook-id", "date", "traceparent", "cookies"} {
		for _, spelled := range spellings(name) {
			w := settingsWebhook()
			if err := w.ChangeRequest(headers(spelled, "x"), sealPlainly, settingsAt); err != nil {
				t.Errorf("%s: %v", spelled, err)
			}
		}
	}
}

func TestHeaderRules(t *testing.T) {
	long, most := strings.Repeat("x", riposte.MaxHeaderValueSize+1), strings.Repeat("x", riposte.MaxHeaderValueSize)
	var many []string
	for n := range riposte.MaxHeaders + 1 {
		many = append(many, "x-"+strings.Repeat("a", n+1), "v")
	}
	for _, tt := range []struct {
		given        []string
		field, words string // "" where nothing is wrong
	}{
		{given: []string{"a", "", "B", "x y", "!#$%&'*+-.^_`|~09", "~"}},
		{given: many[2:]},
		{given: []string{"a", most, "b", strings.Repeat("x", riposte.MaxHeaderValueSize-2)}},
		{many, "headers.list", "at most 32, are 33"},
		{[]string{"a", most, "b", most}, "headers.list", "at most 16384 bytes of names and values together, has 16386"},
		{[]string{"a", long}, "headers.list[0].value", "at most 8192 bytes, has 8193"},
		{[]string{"", "x"}, "headers.list[0].name", "RFC 9110"},
		{[]string{"a b", "x"}, "headers.list[0].name", "RFC 9110"},
		{[]string{"a:", "x"}, "headers.list[0].name", "RFC 9110"},
		{[]string{"a\r\nb", "x"}, "headers.list[0].name", "RFC 9110"},
		{[]string{"é", "x"}, "headers.list[0].name", "RFC 9110"},
		{[]string{"X-A", "x", "b", "x", "x-a", "y"}, "headers.list[2].name", "there once"},
		{[]string{"a", "x\r\ny: z"}, "headers.list[0].value", "printable"},
		{[]string{"a", "x\ty"}, "headers.list[0].value", "printable"},
		{[]string{"a", "x\x00"}, "headers.list[0].value", "printable"},
		{[]string{"a", "x\x7f"}, "headers.list[0].value", "printable"},
		{[]string{"a", "é"}, "headers.list[0].value", "printable"},
		{[]string{"a", " x"}, "headers.list[0].value", "blank"},
		{[]string{"a", "x "}, "headers.list[0].value", "blank"},
	} {
		w := settingsWebhook()
		err := w.ChangeRequest(headers(tt.given...), sealPlainly, settingsAt)
		if tt.field == "" {
			if err != nil {
				t.Errorf("%.60q: %v", tt.given, err)
			}
			continue
		}
		wantViolation(t, err, tt.field, tt.words)
	}
}

func TestHeaderWithoutValueKeepsTheOneThere(t *testing.T) {
	w := settingsWebhook()
	if err := w.ChangeRequest(headers("X-Key", "k1", "x-team", "red"), sealPlainly, settingsAt); err != nil {
		t.Fatal(err)
	}
	before := w
	blue := "blue"
	change := riposte.RequestChange{Headers: &[]riposte.HeaderChange{{Name: "X-TEAM", Value: &blue}, {Name: "x-key"}}}
	if err := w.ChangeRequest(change, sealPlainly, settingsAt); err != nil {
		t.Fatal(err)
	}
	want := []riposte.Header{
		{Name: "X-TEAM", Value: riposte.Sealed("webhook/w1/header/x-team=blue"), Size: 4},
		{Name: "x-key", Value: riposte.Sealed("webhook/w1/header/x-key=k1"), Size: 2},
	}
	if diff := cmp.Diff(want, w.Settings.Request.Headers); diff != "" {
		t.Errorf("the headers differ (-want +got):\n%s", diff)
	}
	if h := before.Settings.Request.Headers[0]; h.Name != "X-Key" {
		t.Errorf("what was there before is changed: %v", h)
	}
	for _, h := range want {
		if got, _, _ := strings.Cut(string(h.Value), "="); got != h.Purpose("w1") {
			t.Errorf("%s is sealed for %s, want %s", h.Name, got, h.Purpose("w1"))
		}
	}
	unknown := riposte.RequestChange{Headers: &[]riposte.HeaderChange{{Name: "x-other"}}}
	wantViolation(t, w.ChangeRequest(unknown, sealPlainly, settingsAt), "headers.list[0].value", "could stay")
	if err := w.ChangeRequest(headers(), sealPlainly, settingsAt); err != nil || !w.Settings.Request.Empty() {
		t.Errorf("an empty list leaves %v, %v", w.Settings.Request.Headers, err)
	}
}

func TestRotateSecret(t *testing.T) {
	w := settingsWebhook()
	const given = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	first, verifyWith, err := w.RotateSecret(riposte.SecretRotation{Scheme: riposte.SchemeV1, Secret: given, Keep: time.Hour}, sealPlainly, settingsAt)
	if err != nil || verifyWith != given || !first.ExpiresAt.IsZero() || !strings.HasPrefix(string(first.Secret), first.Purpose("w1")+"=1\xf2\x90\xf6") {
		t.Fatalf("it is %+v, verified with %s, %v", first, verifyWith, err)
	}
	second, verifyWith, err := w.RotateSecret(riposte.SecretRotation{Scheme: riposte.SchemeV1A, Keep: time.Hour}, sealPlainly, settingsAt.Add(time.Minute))
	if err != nil || !strings.HasPrefix(verifyWith, "whpk_") || verifyWith != second.VerifyKey() {
		t.Fatalf("it is verified with %s, %v", verifyWith, err)
	}
	third, verifyWith, err := w.RotateSecret(riposte.SecretRotation{Scheme: riposte.SchemeV1, Keep: 0}, sealPlainly, settingsAt.Add(2*time.Minute))
	if err != nil || !strings.HasPrefix(verifyWith, "whsec_") || len(verifyWith) != len("whsec_")+44 {
		t.Fatalf("it is verified with %s, %v", verifyWith, err)
	}
	var got []string
	for _, s := range w.Settings.Request.Secrets {
		got = append(got, s.ID)
	}
	// The second ended at once, the first has its own end.
	if diff := cmp.Diff([]string{third.ID, first.ID}, got); diff != "" {
		t.Errorf("the secrets differ (-want +got):\n%s", diff)
	}
	end := settingsAt.Add(time.Minute + time.Hour)
	if s := w.Settings.Request.Secrets[1]; !s.ExpiresAt.Equal(end) || !s.Live(end.Add(-1)) || s.Live(end) {
		t.Errorf("the first ends at %v, want %v", s.ExpiresAt, end)
	}
	if n := len(w.Settings.Request.LiveSecrets(end)); n != 1 {
		t.Errorf("%d secrets are left at the first's end", n)
	}
	if err := w.RemoveSecret(second.ID, settingsAt); !errors.Is(err, riposte.ErrWebhookSecretNotFound) {
		t.Errorf("removing one that has ended: %v", err)
	}
	if err := w.RemoveSecret(third.ID, settingsAt); err != nil || len(w.Settings.Request.Secrets) != 1 {
		t.Errorf("removing the newest leaves %d, %v", len(w.Settings.Request.Secrets), err)
	}
}

func TestSecretsAreBounded(t *testing.T) {
	w := settingsWebhook()
	rotate := func(keep time.Duration) error {
		_, _, err := w.RotateSecret(riposte.SecretRotation{Scheme: riposte.SchemeV1, Keep: keep}, sealPlainly, settingsAt)
		return err
	}
	for range riposte.MaxWebhookSecrets {
		if err := rotate(time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	if err := rotate(time.Hour); !errors.Is(err, riposte.ErrManySecrets) {
		t.Errorf("one too many: %v", err)
	}
	if err := rotate(0); err != nil { // the one before makes room
		t.Error(err)
	}
}

func TestSecretRules(t *testing.T) {
	in := func(bytes int) string {
		return strings.Repeat("AAAA", bytes/3) + map[int]string{0: "", 1: "AA==", 2: "AAA="}[bytes%3]
	}
	for secret, words := range map[string]string{
		"whsec_" + in(24): "", "whsec_" + in(64): "", "whsec_" + in(25): "",
		"whsec_" + in(23): "from 24 to 64 bytes behind whsec_, has 23", "whsec_" + in(65): "has 65", "whsec_": "has 0",
		in(24): "must be whsec_", "WHSEC_" + in(24): "must be whsec_", "whsk_" + in(32): "must be whsec_",
		"whsec_" + strings.TrimRight(in(25), "="): "base64", "whsec_" + in(24) + "\n": "base64", "whsec_" + strings.Repeat("-_-_", 8): "base64",
		"whsec_" + in(24) + "AB==": "base64", // bits that say nothing
	} {
		w := settingsWebhook()
		_, _, err := w.RotateSecret(riposte.SecretRotation{Scheme: riposte.SchemeV1, Secret: secret}, sealPlainly, settingsAt)
		if words == "" && err != nil {
			t.Errorf("%q: %v", secret, err)
		}
		if words != "" {
			wantViolation(t, err, "secret", words)
		}
	}
	w := settingsWebhook()
	for _, tt := range []struct {
		rotation     riposte.SecretRotation
		field, words string
	}{
		{riposte.SecretRotation{Scheme: riposte.SchemeV1A, Secret: "whsk_" + in(32)}, "secret", "made here"},
		{riposte.SecretRotation{Scheme: "v2"}, "scheme", "V1A"},
		{riposte.SecretRotation{Scheme: riposte.SchemeV1, Keep: -1}, "keepFor", "30 days"},
		{riposte.SecretRotation{Scheme: riposte.SchemeV1, Keep: riposte.MaxKeepSecret + 1}, "keepFor", "30 days"},
	} {
		_, _, err := w.RotateSecret(tt.rotation, sealPlainly, settingsAt)
		wantViolation(t, err, tt.field, tt.words)
	}
}

// newCertificate returns a certificate that ends at end, of key or a new one.
func newCertificate(t *testing.T, key crypto.Signer, end time.Time) (certificate, private string) {
	t.Helper()
	if key == nil {
		_, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		key = private
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "riposte"}, NotBefore: settingsAt.Add(-time.Hour), NotAfter: end}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return text("CERTIFICATE", der), text("PRIVATE KEY", pkcs8)
}

func text(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestClientCertificateRules(t *testing.T) {
	later := settingsAt.Add(time.Hour)
	ecKey := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	good, key := newCertificate(t, ecKey, later)
	renewed, _ := newCertificate(t, ecKey, later.Add(time.Hour))
	rsaCert, rsaKey := newCertificate(t, must(rsa.GenerateKey(rand.Reader, 2048)), later)
	t.Setenv("GODEBUG", "rsa1024min=0")
	weak, weakKey := newCertificate(t, must(rsa.GenerateKey(rand.Reader, 1024)), later)
	edCert, edKey := newCertificate(t, nil, later)
	old, oldKey := newCertificate(t, nil, settingsAt)
	const certificate, private = "clientCertificate.certificatePem", "clientCertificate.privateKeyPem"

	there := settingsWebhook()
	if err := there.ChangeRequest(riposte.RequestChange{ClientCertificate: &riposte.ClientCertificateChange{Certificate: good, PrivateKey: &key}}, sealPlainly, settingsAt); err != nil {
		t.Fatal(err)
	}
	if c := there.Settings.Request.ClientCertificate; string(c.PrivateKey) != c.Purpose("w1")+"="+key {
		t.Errorf("the key is kept as %s", []byte(c.PrivateKey))
	}
	none := settingsWebhook()
	for name, tt := range map[string]struct {
		webhook      riposte.Webhook
		certificate  string
		key          *string
		field, words string
	}{
		"RSA":                          {none, rsaCert, &rsaKey, "", ""},
		"Ed25519":                      {none, edCert, &edKey, "", ""},
		"with its issuers":             {none, "some text\n" + good + rsaCert, &key, "", ""},
		"renewed":                      {there, renewed, nil, "", ""},
		"no key":                       {none, good, nil, private, "none that could stay"},
		"renewed with another key":     {there, edCert, nil, private, "another key"},
		"another's key":                {none, good, &edKey, private, "the certificate's private key"},
		"an empty key":                 {none, good, new(string), private, "the certificate's private key"},
		"a long key":                   {none, good, new(strings.Repeat(" ", 64<<10) + key), private, "at most 65536 bytes"},
		"a weak key":                   {none, weak, &weakKey, certificate, "2048 bits or more, has 1024"},
		"expired":                      {none, old, &oldKey, certificate, "ended at 2026-03-01T12:00:00Z"},
		"no certificate":               {none, "", &key, certificate, "must be certificates in PEM"},
		"the key beside it":            {none, good + key, &key, certificate, "certificates alone, has a private key"},
		"no PEM":                       {none, "hello", &key, certificate, "must be certificates in PEM"},
		"cut":                          {none, good + good[:100], &key, certificate, "must be certificates in PEM"},
		"not a certificate's contents": {none, text("CERTIFICATE", []byte("x")), &key, certificate, "number 1 can't"},
		"long":                         {none, good + strings.Repeat("\n", 64<<10), &key, certificate, "at most 65536 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			w := tt.webhook
			err := w.ChangeRequest(riposte.RequestChange{ClientCertificate: &riposte.ClientCertificateChange{Certificate: tt.certificate, PrivateKey: tt.key}}, sealPlainly, settingsAt)
			if tt.field != "" {
				wantViolation(t, err, tt.field, tt.words)
				return
			}
			if err != nil || w.Settings.Request.ClientCertificate.Certificate != tt.certificate {
				t.Errorf("it is %v, %v", w.Settings.Request.ClientCertificate, err)
			}
		})
	}
	if err := there.ChangeRequest(riposte.RequestChange{ClientCertificate: &riposte.ClientCertificateChange{}}, sealPlainly, settingsAt); err != nil || !there.Settings.Request.Empty() {
		t.Errorf("taking it away leaves %v, %v", there.Settings.Request, err)
	}
}

func TestAuthorityRules(t *testing.T) {
	good, key := newCertificate(t, nil, settingsAt.Add(time.Hour))
	old, _ := newCertificate(t, nil, settingsAt)
	// x509.CertPool passes over such a one without a word.
	withHeader := strings.Replace(good, "CERTIFICATE-----\n", "CERTIFICATE-----\nA: b\n\n", 1)
	cutKey := strings.Replace(key, "-----END PRIVATE KEY-----", "", 1) // it would be kept, and shown, as text
	for ca, words := range map[string]string{
		"": "", good: "", old + good: "",
		cutKey + good: "certificates in PEM",
		withHeader:    "without headers", old + withHeader: "without headers",
		old: "still valid", "hello": "in PEM", key: "certificates alone", strings.Repeat("x", 64<<10+1): "at most 65536 bytes, has 65537",
	} {
		w := settingsWebhook()
		err := w.ChangeRequest(riposte.RequestChange{CA: &ca}, sealPlainly, settingsAt)
		if words == "" && (err != nil || w.Settings.Request.CA != ca) {
			t.Errorf("%.40q: %v", ca, err)
		}
		if words != "" {
			wantViolation(t, err, "caPem", words)
		}
	}
}

// TestCertificatesThatHaveRunOutMayBeSentBack: what a client read, and gives back beside
// what it changes, is no new certificate.
func TestCertificatesThatHaveRunOutMayBeSentBack(t *testing.T) {
	end := settingsAt.Add(time.Hour)
	certificate, key := newCertificate(t, nil, end)
	w := settingsWebhook()
	set := riposte.RequestChange{ClientCertificate: &riposte.ClientCertificateChange{Certificate: certificate, PrivateKey: &key}, CA: &certificate}
	if err := w.ChangeRequest(set, sealPlainly, settingsAt); err != nil {
		t.Fatal(err)
	}
	was := w.Clone().Settings.Request
	same := riposte.RequestChange{ClientCertificate: &riposte.ClientCertificateChange{Certificate: certificate}, CA: &certificate}
	if err := w.ChangeRequest(same, sealPlainly, end); err != nil {
		t.Errorf("sending back what is there: %v", err)
	}
	if diff := cmp.Diff(was, w.Settings.Request); diff != "" {
		t.Errorf("sending back what is there changed it (-want +got):\n%s", diff)
	}
	err := w.ChangeRequest(set, sealPlainly, end) // with a key it is set anew
	wantViolation(t, err, "clientCertificate.certificatePem", "still valid")
}

// TestViolationsHaveNoSecrets looks for what was given in what is said of it.
func TestViolationsHaveNoSecrets(t *testing.T) {
	w := settingsWebhook()
	secret := "s3cret"
	_, _, err := w.RotateSecret(riposte.SecretRotation{Scheme: riposte.SchemeV1, Secret: secret}, sealPlainly, settingsAt)
	bad := "\x00" + secret
	change := headers("a", bad)
	change.ClientCertificate = &riposte.ClientCertificateChange{Certificate: secret, PrivateKey: &secret}
	for _, err := range []error{err, w.ChangeRequest(change, sealPlainly, settingsAt)} {
		if err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("the error is %v", err)
		}
	}
}
