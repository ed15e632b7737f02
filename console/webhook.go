package console

import (
	"fmt"
	"net/http"

	webhooksv1 "github.com/riposte-dev/riposte/gen/c1/api/webhooks/v1"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

// webhookRows is how many of its newest instances a webhook's page shows; what the
// API gives at least.
const webhookRows = 10

// webhookData is what the page of this name shows.
type webhookData struct {
	*ripostev1.WebhookOverview
	Deleted  bool
	Timeout  string                     // how long an answer may take
	Settings *ripostev1.WebhookSettings // nil of a deleted one
	Policy   string
	Requests requestsView
	Summary  summary
	Charts   []chart
	Rows     []instanceRow
	More     bool // whether there are older instances
}

func (v *visit) webhook() error {
	res, err := v.api.statistics.GetWebhook(v.call(), &ripostev1.StatisticsServiceGetWebhookRequest{WebhookId: v.id()})
	if err != nil {
		return err
	}
	w := res.GetOverview().GetWebhook()
	d := webhookData{
		WebhookOverview: res.GetOverview(), Deleted: w.GetDeletedAt() != nil, Timeout: patience(w.GetCallbackTimeout().AsDuration()),
		Summary: summarizeWebhook(res.GetOverview()),
		Charts: []chart{
			questionsChart("Questions of the last day", res.GetLastDay()), attemptsChart("Attempts of the last day", res.GetLastDay()),
		},
	}
	if !d.Deleted {
		settings, err := v.api.settings.Get(v.call(), &ripostev1.WebhookSettingsServiceGetRequest{WebhookId: v.id()})
		if err != nil {
			return err
		}
		d.Settings, d.Policy = settings.GetSettings(), retryPolicyText(settings.GetSettings().GetRetryPolicy())
		d.Requests = newRequestsView(d.Settings)
	}
	list, err := v.api.instances.List(v.call(), &ripostev1.InstancesServiceListRequest{Filter: "webhookId = " + quoted(v.id()), PageSize: webhookRows})
	if err != nil {
		return err
	}
	d.More = list.GetNextPageToken() != ""
	if d.Rows, err = v.rows(list.GetList(), []*webhooksv1.Webhook{w}); err != nil {
		return err
	}
	p := page{Title: visible(w.GetDisplayName()), Nav: "/webhooks", Live: listLive, Data: d}
	return v.show(http.StatusOK, "webhook", p)
}

// summarizeWebhook says how a webhook fares, and what can be done about it.
func summarizeWebhook(o *ripostev1.WebhookOverview) summary {
	if o.GetWebhook().GetDeletedAt() != nil {
		return summary{"", "It is deleted: nothing is asked here any more.",
			"Its instances can still be seen. Those that wait for a callback still take their answer; those that owe an attempt close as failed when it is due."}
	}
	last := o.GetLastAttempt()
	hint := attemptHint(&ripostev1.Attempt{StatusCode: last.GetStatusCode(), Error: last.GetError()})
	switch o.GetHealth() {
	case ripostev1.WebhookHealth_WEBHOOK_HEALTH_HEALTHY:
		return summary{"good", "Its receiver takes what it is asked.", ""}
	case ripostev1.WebhookHealth_WEBHOOK_HEALTH_FAILING:
		hour := o.GetLastHour()
		return summary{"warn", fmt.Sprintf("Its last attempt failed; in the last hour %s of %s did.",
			number(hour.GetAttemptsFailed()), number(hour.GetAttempts())), hint}
	case ripostev1.WebhookHealth_WEBHOOK_HEALTH_HELD:
		return summary{"bad", "Its receiver doesn't answer at all. Its instances are held, and go on once it does; it is tried again by itself.", hint}
	}
	if last == nil {
		return summary{"", "Its receiver has not been asked yet.", "A test shows whether it takes a question, and how it answers."}
	}
	return summary{"", "Its receiver was not asked in the last hour.", ""}
}

// retryPolicies are those that a webhook may have, and what they come to.
var retryPolicies = []struct {
	Policy ripostev1.RetryPolicy
	Text   string
}{
	{ripostev1.RetryPolicy_RETRY_POLICY_FAST_THEN_SLOW, "Fast, then slow: up to 50 attempts seconds apart, then up to an hour apart until the instance expires"},
	{ripostev1.RetryPolicy_RETRY_POLICY_FAST, "Fast: up to 50 attempts seconds apart, then it has failed"},
}

func retryPolicyText(p ripostev1.RetryPolicy) string {
	for _, each := range retryPolicies {
		if each.Policy == p {
			return each.Text
		}
	}
	return ""
}

func webhookPath(id string) string { return "/webhooks/" + id }

// testWebhook asks an empty question, and goes where its answer is seen.
func (v *visit) testWebhook() error {
	res, err := v.api.webhooks.Test(v.call(), &webhooksv1.WebhooksServiceTestRequest{Id: v.id()})
	if err != nil {
		return err
	}
	return v.redirect(instancePath(res.GetWebhook().GetId()), "tested")
}

func (v *visit) deleteWebhook() error {
	if _, err := v.api.webhooks.Delete(v.call(), &webhooksv1.WebhooksServiceDeleteRequest{Id: v.id()}); err != nil {
		return err
	}
	return v.redirect(webhookPath(v.id()), "deleted")
}
