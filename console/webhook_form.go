package console

import (
	"cmp"
	"errors"
	"maps"
	"net/http"
	"slices"
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

	// Shown is what the fields of a webhook that is there held when the form was
	// opened, by their names in the API. What is still so is not sent: somebody else may
	// have changed it meanwhile. A field that isn't here is sent.
	Shown map[string]string

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

// The paths in masks of the form's fields, by their names.
var (
	webhookPaths = map[string]string{displayNameField: "display_name", urlField: "url", descriptionField: "description", callbackTimeoutField: "callback_timeout"}

	settingsPaths = map[string]string{retryPolicyField: "retry_policy", maxInFlightField: "max_in_flight",
		maxInFlightTotalField: "max_in_flight_total", outcomeURLField: "outcome_url"}
)

// fields are the form's, by their names.
func (f *webhookForm) fields() map[string]*string {
	return map[string]*string{
		displayNameField: &f.DisplayName, urlField: &f.URL, descriptionField: &f.Description, callbackTimeoutField: &f.CallbackTimeout,
		retryPolicyField: &f.RetryPolicy, maxInFlightField: &f.MaxInFlight, maxInFlightTotalField: &f.MaxInFlightTotal, outcomeURLField: &f.OutcomeURL,
	}
}

// shownPrefix begins the names of the hidden fields that have what was shown.
const shownPrefix = "shown."

// readWebhookForm takes what was sent. Browsers send text of several lines with CRLF,
// whatever it had.
func readWebhookForm(r *http.Request) webhookForm {
	get := func(name string) string {
		return strings.TrimSpace(strings.ReplaceAll(r.PostFormValue(name), "\r\n", "\n"))
	}
	f := webhookForm{ID: r.PathValue("id"), Shown: map[string]string{}}
	for name, field := range f.fields() {
		*field = get(name)
		if r.PostForm.Has(shownPrefix + name) {
			f.Shown[name] = get(shownPrefix + name)
		}
	}
	return f
}

// newWebhookForm is the form of a webhook as it is.
func newWebhookForm(w *webhooksv1.Webhook, s *ripostev1.WebhookSettings) webhookForm {
	f := webhookForm{
		ID: w.GetId(), DisplayName: w.GetDisplayName(), URL: w.GetUrl(), Description: w.GetDescription(),
		CallbackTimeout: patience(w.GetCallbackTimeout().AsDuration()), RetryPolicy: retryPolicyWord(s.GetRetryPolicy()),
		MaxInFlight: strconv.Itoa(int(s.GetMaxInFlight())), MaxInFlightTotal: strconv.Itoa(int(s.GetMaxInFlightTotal())),
		OutcomeURL: s.GetOutcomeUrl(), Shown: map[string]string{},
	}
	for name, field := range f.fields() {
		f.Shown[name] = *field
	}
	return f
}

// changed is the mask of those fields among paths that are not as they were shown; nil
// when all are.
func (f *webhookForm) changed(paths map[string]string) *fieldmaskpb.FieldMask {
	var mask *fieldmaskpb.FieldMask
	fields := f.fields()
	for _, name := range slices.Sorted(maps.Keys(paths)) {
		if shown, ok := f.Shown[name]; ok && shown == *fields[name] {
			continue
		}
		if mask == nil {
			mask = &fieldmaskpb.FieldMask{}
		}
		mask.Paths = append(mask.Paths, paths[name])
	}
	return mask
}

// goOn makes the form that of a webhook that is saved by now, without its settings: those
// that were not as shown are sent again, whatever is typed.
func (f *webhookForm) goOn() {
	fields, shown := f.fields(), map[string]string{}
	for name := range webhookPaths {
		shown[name] = *fields[name]
	}
	for name := range settingsPaths {
		if was, ok := f.Shown[name]; ok && was == *fields[name] {
			shown[name] = was
		}
	}
	f.Shown = shown
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
	if mask := f.changed(webhookPaths); mask != nil {
		_, err := v.api.webhooks.Update(v.call(), &webhooksv1.WebhooksServiceUpdateRequest{Webhook: w, UpdateMask: mask})
		if bad := violations(err); bad != nil {
			f.mark(bad)
			return v.showWebhookForm(http.StatusUnprocessableEntity, f)
		}
		if err != nil {
			return err
		}
	}
	return v.saveSettings(f, s, "saved")
}

// saveSettings is the second of a form's two calls. By then the webhook itself is
// saved, and who tries again must not make another one: the form goes on as that of
// the webhook that is there.
func (v *visit) saveSettings(f webhookForm, s *ripostev1.WebhookSettings, done string) error {
	mask := f.changed(settingsPaths)
	if mask == nil {
		return v.redirect(webhookPath(f.ID), done)
	}
	_, err := v.api.settings.Update(v.call(), &ripostev1.WebhookSettingsServiceUpdateRequest{WebhookId: f.ID, Settings: s, UpdateMask: mask})
	if err == nil {
		return v.redirect(webhookPath(f.ID), done)
	}
	f.goOn()
	if bad := violations(err); bad != nil {
		f.Problems, f.Problem = bad, "The webhook is "+done+", but without these settings: put right what is marked, and save again."
		return v.showWebhookForm(http.StatusUnprocessableEntity, f)
	}
	switch connect.CodeOf(err) {
	case connect.CodeDeadlineExceeded:
		f.Problem = "The webhook is " + done + ", but with these settings or without them: save again in a moment."
		return v.showWebhookForm(http.StatusServiceUnavailable, f)
	case connect.CodeUnavailable, connect.CodeResourceExhausted, connect.CodeInternal:
		f.Problem = "The webhook is " + done + ", but without these settings: save again in a moment. " + problem(err)
		return v.showWebhookForm(http.StatusServiceUnavailable, f)
	}
	return err
}
