package console

import (
	"net/http"
	"slices"
	"strings"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	webhooksv1 "github.com/riposte-dev/riposte/gen/c1/api/webhooks/v1"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

// requestsData is what the page webhook_request shows: what a webhook's requests have
// beyond the contract. Nothing that is secret in it can be read back.
type requestsData struct {
	Webhook     *webhooksv1.Webhook
	Headers     []headerRow
	Secrets     []secretRow
	Certificate *certificateView // nil for none
	Authorities []certificateView
	Form        requestForm
	Made        *ripostev1.WebhookSettingsServiceRotateSecretResponse // with what nobody can see again
}

// requestsView is the same in short, for a webhook's own page.
type requestsView struct {
	Headers     []string // their names
	Schemes     []string // of the secrets, the newest first
	Certificate *certificateView
	Authorities []certificateView
}

// Empty reports whether requests have nothing beyond the contract.
func (r requestsView) Empty() bool {
	return len(r.Headers)+len(r.Schemes)+len(r.Authorities) == 0 && r.Certificate == nil
}

func newRequestsView(s *ripostev1.WebhookSettings) requestsView {
	view := requestsView{Authorities: certificates(s.GetCaPem())}
	for _, h := range s.GetHeaders().GetList() {
		view.Headers = append(view.Headers, h.GetName())
	}
	for _, secret := range s.GetSecrets() {
		view.Schemes = append(view.Schemes, schemeWord(secret.GetScheme()))
	}
	if chain := certificates(s.GetClientCertificate().GetCertificatePem()); len(chain) > 0 {
		view.Certificate = &chain[0]
	}
	return view
}

// headerRow is a header of the list.
type headerRow struct {
	Name   string
	Remove []formField
}

// secretRow is a secret of the list.
type secretRow struct {
	*ripostev1.WebhookSecret
	Scheme string
	Remove []formField
}

// requestForm is what was typed into one of the page's forms.
type requestForm struct {
	Part string // the form's, one of those below; "" for none

	HeaderName, HeaderValue string
	Scheme, Secret, KeepFor string
	Certificate, PrivateKey string
	CA                      string

	Problem  string            // of the form as a whole
	Problems map[string]string // of its fields, by their names in the API
}

// The page's forms, as they stand in URLs.
const (
	headerPart      = "header"
	secretPart      = "secret"
	certificatePart = "certificate"
	authoritiesPart = "authorities"
)

// Of is the problem as a whole of a form.
func (f requestForm) Of(part string) string {
	if f.Part != part {
		return ""
	}
	return f.Problem
}

// secretSchemes are those that a new secret may have, the first of them the default.
var secretSchemes = []struct {
	Word, Text string
	Scheme     ripostev1.WebhookSecretScheme
}{
	{"v1", "v1: HMAC-SHA256, with a secret that the receiver has, too", ripostev1.WebhookSecretScheme_WEBHOOK_SECRET_SCHEME_V1},
	{"v1a", "v1a: Ed25519, with a key that never leaves the server", ripostev1.WebhookSecretScheme_WEBHOOK_SECRET_SCHEME_V1A},
}

func schemeWord(s ripostev1.WebhookSecretScheme) string {
	for _, each := range secretSchemes {
		if each.Scheme == s {
			return each.Word
		}
	}
	return ""
}

// schemeChoice is a scheme that can be chosen.
type schemeChoice struct {
	Word, Text string
	Chosen     bool
}

// Schemes are those that can be chosen.
func (f requestForm) Schemes() []schemeChoice {
	var choices []schemeChoice
	for n, each := range secretSchemes {
		choices = append(choices, schemeChoice{each.Word, each.Text, each.Word == f.Scheme || n == 0 && f.Scheme == ""})
	}
	return choices
}

// readRequestForm takes what was sent of the form of a part.
func readRequestForm(r *http.Request, part string) requestForm {
	get := func(name string) string {
		return strings.TrimSpace(strings.ReplaceAll(r.PostFormValue(name), "\r\n", "\n"))
	}
	return requestForm{
		Part: part, HeaderName: get("name"), HeaderValue: get("value"), Scheme: get("scheme"), Secret: get("secret"), KeepFor: get("keepFor"),
		Certificate: get("certificatePem"), PrivateKey: get("privateKeyPem"), CA: get("caPem"),
	}
}

func requestsPath(webhook string) string { return webhookPath(webhook) + "/requests" }

func (v *visit) webhookRequests() error {
	return v.showRequests(http.StatusOK, requestForm{}, nil)
}

// toWebhookRequests is for who comes back to the address of a form by a link or a reload.
func (v *visit) toWebhookRequests() error { return v.redirect(requestsPath(v.id()), "") }

func (v *visit) showRequests(status int, form requestForm, made *ripostev1.WebhookSettingsServiceRotateSecretResponse) error {
	if !v.session.MayManage() {
		return errNotAdmin
	}
	w, err := v.api.webhooks.Get(v.call(), &webhooksv1.WebhooksServiceGetRequest{Id: v.id()})
	if err != nil {
		return err
	}
	res, err := v.api.settings.Get(v.call(), &ripostev1.WebhookSettingsServiceGetRequest{WebhookId: v.id()})
	if err != nil {
		return err
	}
	s := res.GetSettings()
	view := newRequestsView(s)
	d := requestsData{Webhook: w.GetWebhook(), Certificate: view.Certificate, Authorities: view.Authorities, Form: form, Made: made}
	for _, h := range s.GetHeaders().GetList() {
		d.Headers = append(d.Headers, headerRow{h.GetName(), []formField{{"name", h.GetName()}}})
	}
	for _, secret := range s.GetSecrets() {
		d.Secrets = append(d.Secrets, secretRow{secret, schemeWord(secret.GetScheme()), []formField{{"id", secret.GetId()}}})
	}
	if form.Part != authoritiesPart {
		d.Form.CA = s.GetCaPem()
	}
	return v.show(status, "webhook_request", page{Title: "Request settings", Nav: "/webhooks", Data: d})
}

// refuseRequest shows a form again with what the API says is wrong with it, or with the
// whole. What is no fault of the form's is an error of the page.
func (v *visit) refuseRequest(form requestForm, err error) error {
	if form.Problems = violations(err); form.Problems != nil {
		form.Problem = form.Problems["list"] // of all headers together
		if form.Problem != "" {
			form.Problem = sentence("The headers " + form.Problem)
		}
		return v.showRequests(http.StatusUnprocessableEntity, form, nil)
	}
	switch connect.CodeOf(err) {
	case connect.CodeFailedPrecondition, connect.CodeAborted, connect.CodeUnavailable, connect.CodeResourceExhausted:
		form.Problem = problem(err) + " Nothing was changed."
		return v.showRequests(http.StatusUnprocessableEntity, form, nil)
	}
	return err
}

// saveRequest changes one of the settings, which the mask names: the others stay.
func (v *visit) saveRequest(form requestForm, s *ripostev1.WebhookSettings, path, done string) error {
	_, err := v.api.settings.Update(v.call(), &ripostev1.WebhookSettingsServiceUpdateRequest{
		WebhookId: v.id(), Settings: s, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{path}}})
	if err != nil {
		return v.refuseRequest(form, err)
	}
	return v.redirect(requestsPath(v.id()), done)
}

// otherHeaders are those that the webhook has, but for the one of a name, each without
// its value: so it keeps the one that it has.
func (v *visit) otherHeaders(name string) ([]*ripostev1.WebhookHeader, error) {
	res, err := v.api.settings.Get(v.call(), &ripostev1.WebhookSettingsServiceGetRequest{WebhookId: v.id()})
	return slices.DeleteFunc(res.GetSettings().GetHeaders().GetList(), func(h *ripostev1.WebhookHeader) bool {
		return strings.EqualFold(h.GetName(), name)
	}), err
}

// setHeader adds a header, or gives the one of its name another value.
func (v *visit) setHeader() error {
	form := readRequestForm(v.r, headerPart)
	list, err := v.otherHeaders(form.HeaderName)
	if err != nil {
		return err
	}
	list = append(list, &ripostev1.WebhookHeader{Name: form.HeaderName, Value: &form.HeaderValue})
	return v.saveRequest(form, &ripostev1.WebhookSettings{Headers: &ripostev1.WebhookHeaders{List: list}}, "headers", "saved")
}

func (v *visit) removeHeader() error {
	list, err := v.otherHeaders(v.r.PostFormValue("name"))
	if err != nil {
		return err
	}
	return v.saveRequest(requestForm{Part: headerPart}, &ripostev1.WebhookSettings{Headers: &ripostev1.WebhookHeaders{List: list}}, "headers", "removed")
}

// rotateSecret answers with the page itself, because the secret is in this one answer and
// must be nowhere else.
func (v *visit) rotateSecret() error {
	form := readRequestForm(v.r, secretPart)
	req := &ripostev1.WebhookSettingsServiceRotateSecretRequest{WebhookId: v.id(), Secret: form.Secret}
	for _, each := range secretSchemes {
		if each.Word == form.Scheme {
			req.Scheme = each.Scheme
		}
	}
	if form.KeepFor != "" {
		d, err := parseSpan(form.KeepFor)
		if err != nil {
			form.Problems = map[string]string{"keepFor": err.Error()}
			return v.showRequests(http.StatusUnprocessableEntity, form, nil)
		}
		req.KeepFor = durationpb.New(d)
	}
	res, err := v.api.settings.RotateSecret(v.call(), req)
	if err != nil {
		return v.refuseRequest(form, err)
	}
	return v.showRequests(http.StatusOK, requestForm{}, res)
}

func (v *visit) removeSecret() error {
	_, err := v.api.settings.RemoveSecret(v.call(), &ripostev1.WebhookSettingsServiceRemoveSecretRequest{WebhookId: v.id(), SecretId: v.r.PostFormValue("id")})
	if err != nil {
		return err
	}
	return v.redirect(requestsPath(v.id()), "removed")
}

func (v *visit) setClientCertificate() error {
	form := readRequestForm(v.r, certificatePart)
	if form.Certificate == "" { // the API would take it for a removal
		form.Problems = map[string]string{"certificatePem": "must be set"}
		return v.showRequests(http.StatusUnprocessableEntity, form, nil)
	}
	c := &ripostev1.ClientCertificate{CertificatePem: form.Certificate}
	if form.PrivateKey != "" {
		c.PrivateKeyPem = &form.PrivateKey
	}
	return v.saveRequest(form, &ripostev1.WebhookSettings{ClientCertificate: c}, "client_certificate", "saved")
}

func (v *visit) removeClientCertificate() error {
	return v.saveRequest(requestForm{Part: certificatePart}, &ripostev1.WebhookSettings{}, "client_certificate", "removed")
}

func (v *visit) setAuthorities() error {
	form := readRequestForm(v.r, authoritiesPart)
	return v.saveRequest(form, &ripostev1.WebhookSettings{CaPem: &form.CA}, "ca_pem", "saved")
}
