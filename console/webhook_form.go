package console

import (
	"cmp"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	webhooksv1 "github.com/riposte-dev/riposte/gen/c1/api/webhooks/v1"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

// webhookForm is a webhook and its settings as they are typed. An empty field stands
// for its default.
type webhookForm struct {
	ID string // "" of a new one

	DisplayName     string
	URL             string
	Description     string
	CallbackTimeout string

	RetryPolicy      string // the API's word without its prefix
	MaxInFlight      string
	MaxInFlightTotal string
	OutcomeURL       string

	Problem  string            // of the form as a whole
	Problems map[string]string // of its fields, by their names in the API
}

// Fields of the form, by their names in the API.
const (
	displayNameField      = "displayName"
	urlField              = "url"
	descriptionField      = "description"
	callbackTimeoutField  = "callbackTimeout"
	retryPolicyField      = "retryPolicy"
	maxInFlightField      = "maxInFlight"
	maxInFlightTotalField = "maxInFlightTotal"
	outcomeURLField       = "outcomeUrl"
)

// The masks of what the form has all of.
var (
	webhookMask  = &fieldmaskpb.FieldMask{Paths: []string{"display_name", "description", "url", "callback_timeout"}}
	settingsMask = &fieldmaskpb.FieldMask{Paths: []string{"retry_policy", "max_in_flight", "max_in_flight_total", "outcome_url"}}
)

// readWebhookForm takes what was sent. Browsers send text of several lines with CRLF,
// whatever it had.
func readWebhookForm(r *http.Request) webhookForm {
	get := func(name string) string { return strings.TrimSpace(r.PostFormValue(name)) }
	return webhookForm{
		ID: r.PathValue("id"), DisplayName: get(displayNameField), URL: get(urlField), CallbackTimeout: get(callbackTimeoutField),
		Description: strings.ReplaceAll(get(descriptionField), "\r\n", "\n"),
		RetryPolicy: get(retryPolicyField), MaxInFlight: get(maxInFlightField), MaxInFlightTotal: get(maxInFlightTotalField),
		OutcomeURL: get(outcomeURLField),
	}
}

// newWebhookForm is the form of a webhook as it is.
func newWebhookForm(w *webhooksv1.Webhook, s *ripostev1.WebhookSettings) webhookForm {
	return webhookForm{
		ID: w.GetId(), DisplayName: w.GetDisplayName(), URL: w.GetUrl(), Description: w.GetDescription(),
		CallbackTimeout: patience(w.GetCallbackTimeout().AsDuration()), RetryPolicy: retryPolicyWord(s.GetRetryPolicy()),
		MaxInFlight: strconv.Itoa(int(s.GetMaxInFlight())), MaxInFlightTotal: strconv.Itoa(int(s.GetMaxInFlightTotal())),
		OutcomeURL: s.GetOutcomeUrl(),
	}
}

const retryPolicyPrefix = "RETRY_POLICY_"

func retryPolicyWord(p ripostev1.RetryPolicy) string {
	return strings.TrimPrefix(p.String(), retryPolicyPrefix)
}

// policyChoice is a retry policy that can be chosen.
type policyChoice struct {
	Word, Text string
	Chosen     bool
}

// Policies are the retry policies, of which the first is the default.
func (f webhookForm) Policies() []policyChoice {
	var choices []policyChoice
	for n, each := range retryPolicies {
		word := retryPolicyWord(each.Policy)
		choices = append(choices, policyChoice{word, each.Text, word == f.RetryPolicy || n == 0 && f.RetryPolicy == ""})
	}
	return choices
}

// Settled reports whether any setting is other than its default, or wrong.
func (f webhookForm) Settled() bool {
	return cmp.Or(f.MaxInFlight, f.MaxInFlightTotal, f.OutcomeURL) != "" || !f.Policies()[0].Chosen ||
		cmp.Or(f.Problems[retryPolicyField], f.Problems[maxInFlightField], f.Problems[maxInFlightTotalField], f.Problems[outcomeURLField]) != ""
}

// parse returns what is typed as the API takes it. It returns false where that can't
// be, and says at the fields why. What has a rule in the API is left to that.
func (f *webhookForm) parse() (*webhooksv1.Webhook, *ripostev1.WebhookSettings, bool) {
	problems := map[string]string{}
	w := &webhooksv1.Webhook{Id: f.ID, DisplayName: &f.DisplayName, Description: &f.Description, Url: &f.URL}
	if f.CallbackTimeout != "" {
		d, err := parsePatience(f.CallbackTimeout)
		if err != nil {
			problems[callbackTimeoutField] = err.Error()
		}
		w.CallbackTimeout = durationpb.New(d)
	}
	s := &ripostev1.WebhookSettings{
		MaxInFlight:      wholeNumber(maxInFlightField, f.MaxInFlight, problems),
		MaxInFlightTotal: wholeNumber(maxInFlightTotalField, f.MaxInFlightTotal, problems),
		OutcomeUrl:       &f.OutcomeURL,
	}
	if f.RetryPolicy != "" {
		s.RetryPolicy = ripostev1.RetryPolicy(ripostev1.RetryPolicy_value[retryPolicyPrefix+f.RetryPolicy]).Enum()
	}
	if len(problems) > 0 {
		f.mark(problems)
	}
	return w, s, len(problems) == 0
}

// wholeNumber is nil for an empty field.
func wholeNumber(name, value string, problems map[string]string) *int32 {
	if value == "" {
		return nil
	}
	n, err := strconv.ParseInt(value, 10, 32)
	if err != nil {
		problems[name] = "must be a whole number"
		return nil
	}
	whole := int32(n)
	return &whole
}

// mark says at the fields what is wrong with them.
func (f *webhookForm) mark(problems map[string]string) {
	f.Problems, f.Problem = problems, "Nothing is saved yet: what is marked must be put right first."
}

// errNotAdmin is for a form that would be filled in for nothing.
var errNotAdmin = connect.NewError(connect.CodePermissionDenied, errors.New("webhooks are made and changed with the API key of an admin"))

func (v *visit) showWebhookForm(status int, f webhookForm) error {
	title := "New webhook"
	if f.ID != "" {
		title = "Edit webhook"
	}
	return v.show(status, "webhook_form", page{Title: title, Nav: "/webhooks", Data: f})
}

func (v *visit) newWebhook() error {
	if !v.session.MayManage() {
		return errNotAdmin
	}
	return v.showWebhookForm(http.StatusOK, webhookForm{})
}

func (v *visit) editWebhook() error {
	if !v.session.MayManage() {
		return errNotAdmin
	}
	w, err := v.api.webhooks.Get(v.call(), &webhooksv1.WebhooksServiceGetRequest{Id: v.id()})
	if err != nil {
		return err
	}
	s, err := v.api.settings.Get(v.call(), &ripostev1.WebhookSettingsServiceGetRequest{WebhookId: v.id()})
	if err != nil {
		return err
	}
	return v.showWebhookForm(http.StatusOK, newWebhookForm(w.GetWebhook(), s.GetSettings()))
}

func (v *visit) createWebhook() error {
	if !v.session.MayManage() {
		return errNotAdmin
	}
	f := readWebhookForm(v.r)
	w, s, ok := f.parse()
	if !ok {
		return v.showWebhookForm(http.StatusUnprocessableEntity, f)
	}
	res, err := v.api.webhooks.Create(v.call(), &webhooksv1.WebhooksServiceCreateRequest{
		DisplayName: f.DisplayName, Url: f.URL, Description: f.Description, CallbackTimeout: w.GetCallbackTimeout()})
	if bad := violations(err); bad != nil {
		f.mark(bad)
		return v.showWebhookForm(http.StatusUnprocessableEntity, f)
	}
	if err != nil {
		return err
	}
	f.ID = res.GetWebhook().GetId()
	if !f.Settled() {
		return v.redirect(webhookPath(f.ID), "created")
	}
	return v.saveSettings(f, s, "created")
}

func (v *visit) updateWebhook() error {
	if !v.session.MayManage() {
		return errNotAdmin
	}
	f := readWebhookForm(v.r)
	w, s, ok := f.parse()
	if !ok {
		return v.showWebhookForm(http.StatusUnprocessableEntity, f)
	}
	_, err := v.api.webhooks.Update(v.call(), &webhooksv1.WebhooksServiceUpdateRequest{Webhook: w, UpdateMask: webhookMask})
	if bad := violations(err); bad != nil {
		f.mark(bad)
		return v.showWebhookForm(http.StatusUnprocessableEntity, f)
	}
	if err != nil {
		return err
	}
	return v.saveSettings(f, s, "saved")
}

// saveSettings is the second of a form's two calls. By then the webhook itself is
// saved, and who tries again must not make another one: the form goes on as that of
// the webhook that is there.
func (v *visit) saveSettings(f webhookForm, s *ripostev1.WebhookSettings, done string) error {
	_, err := v.api.settings.Update(v.call(), &ripostev1.WebhookSettingsServiceUpdateRequest{WebhookId: f.ID, Settings: s, UpdateMask: settingsMask})
	if err == nil {
		return v.redirect(webhookPath(f.ID), done)
	}
	if bad := violations(err); bad != nil {
		f.Problems, f.Problem = bad, "The webhook is "+done+", but without these settings: put right what is marked, and save again."
		return v.showWebhookForm(http.StatusUnprocessableEntity, f)
	}
	switch connect.CodeOf(err) {
	case connect.CodeUnavailable, connect.CodeDeadlineExceeded, connect.CodeResourceExhausted, connect.CodeInternal:
		f.Problem = "The webhook is " + done + ", but without these settings: save again in a moment. " + problem(err)
		return v.showWebhookForm(http.StatusServiceUnavailable, f)
	}
	return err
}
