package console

import (
	"net/http"
	"time"

	"connectrpc.com/connect"

	webhooksv1 "github.com/riposte-dev/riposte/gen/c1/api/webhooks/v1"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

const (
	// instanceLive is how often an open instance is looked at again.
	instanceLive = time.Second
	// instanceLiveAll is the same where all of it is shown, which may be megabytes.
	instanceLiveAll = 10 * time.Second
	// attemptsShown is how many of the last attempts are shown at first.
	attemptsShown = 20
)

// instanceData is what the page of this name shows.
type instanceData struct {
	*ripostev1.Instance
	Source   sourceView
	State    stateView
	Webhook  string // its name; "" when it is deleted
	Summary  summary
	Steps    []step
	Shown    []attemptView // the last ones, newest first
	Hidden   int           // how many are not shown
	Payload  string
	Answer   answerForm
	MayRetry bool
	Cancel   cancelOffer
	All      bool // whether all of what is long is shown
}

// cancelOffer is what cancel would come to. The zero value is for what can't be canceled.
type cancelOffer struct{ Text, Question, Yes string }

// offerCancel goes by what Cancel does: an outcome that is on its way to somebody stays,
// and one that was given up is only closed.
func offerCancel(i *ripostev1.Instance) cancelOffer {
	switch {
	case i.GetOutcome() == nil:
		return cancelOffer{"Cancel…", "Its outcome will be a failure, for good, and a later answer is refused.", "Cancel this instance"}
	case owesPush(i) && i.GetPush().GetGivenUpAt() != nil:
		return cancelOffer{"Close…", "Nobody will be given its outcome any more. The outcome itself stands.", "Close this instance"}
	}
	return cancelOffer{}
}

func (v *visit) instance() error {
	return v.showInstance(http.StatusOK, answerForm{})
}

// showInstance shows the instance in the path, with an answer that could not be given
// in its form.
func (v *visit) showInstance(status int, answer answerForm) error {
	res, err := v.api.instances.Get(v.call(), &ripostev1.InstancesServiceGetRequest{Id: v.id(), View: ripostev1.InstanceView_INSTANCE_VIEW_FULL})
	if err != nil {
		return err
	}
	i := res.GetInstance()
	rows, err := v.rows([]*ripostev1.Instance{i}, nil)
	if err != nil {
		return err
	}
	in := i.GetWebhookInstance()
	d := instanceData{
		Instance: i, Source: newSourceView(in.GetSource()), State: newStateView(in.GetState()), Webhook: rows[0].Webhook,
		Summary: summarize(i), Steps: timeline(i), Payload: string(i.GetPayload()),
		Answer: answer.of(i), MayRetry: mayRetry(i), Cancel: offerCancel(i), All: v.r.URL.Query().Has("all"),
	}
	limit := attemptsShown
	if d.All {
		limit = len(i.GetAttempts())
	}
	d.Shown, d.Hidden = attemptViews(i.GetAttempts(), limit)
	if overdue(i, time.Now()) {
		if d.Summary, err = v.whyNotAsked(in.GetWebhookId(), d.Summary); err != nil {
			return err
		}
	}
	p := page{Title: title(d.Source), Nav: "/instances", Data: d}
	switch {
	case in.GetCompletedAt() != nil:
	case d.All:
		p.Live = instanceLiveAll
	default:
		p.Live = instanceLive
	}
	return v.show(status, "instance", p)
}

// overdue reports whether an attempt should have begun: it may be held.
func overdue(i *ripostev1.Instance, now time.Time) bool {
	next := i.GetNextAttemptAt()
	return i.GetOutcome() == nil && next != nil && next.AsTime().Before(now)
}

// whyNotAsked says so where the receiver is the reason that an instance must wait.
func (v *visit) whyNotAsked(webhook string, s summary) (summary, error) {
	res, err := v.api.statistics.GetWebhook(v.call(), &ripostev1.StatisticsServiceGetWebhookRequest{WebhookId: webhook})
	if err != nil || res.GetOverview().GetHealth() != ripostev1.WebhookHealth_WEBHOOK_HEALTH_HELD {
		return s, err
	}
	s.Class, s.Text = "warn", "It is held: its receiver doesn't answer at all."
	s.Hint = join(s.Hint, "One attempt at a time finds out when the receiver is back; then all that is held goes on by itself.")
	return s, nil
}

// title says what an instance is about.
func title(s sourceView) string {
	if s.Ticket == "" {
		return s.Text
	}
	return s.Text + " " + visible(s.Ticket)
}

// mayRetry reports whether there is anything that retry now would hasten.
func mayRetry(i *ripostev1.Instance) bool {
	return i.GetWebhookInstance().GetState() == webhooksv1.WebhookState_WEBHOOK_STATE_ERROR || owesPush(i)
}

// owesPush reports whether nobody has taken the outcome yet who must.
func owesPush(i *ripostev1.Instance) bool {
	return i.GetOutcome() != nil && i.GetPush() != nil && i.GetWebhookInstance().GetCompletedAt() == nil
}

func instancePath(id string) string { return "/instances/" + id }

func (v *visit) cancelInstance() error {
	if _, err := v.api.instances.Cancel(v.call(), &ripostev1.InstancesServiceCancelRequest{Id: v.id()}); err != nil {
		return err
	}
	return v.redirect(instancePath(v.id()), "canceled")
}

func (v *visit) retryInstance() error {
	res, err := v.api.instances.RetryNow(v.call(), &ripostev1.InstancesServiceRetryNowRequest{Id: v.id()})
	if err != nil {
		return err
	}
	done := "retried"
	if res.GetInstance().GetOutcome() != nil {
		done = "pushed"
	}
	return v.redirect(instancePath(v.id()), done)
}

func (v *visit) recreateInstance() error {
	res, err := v.api.instances.Recreate(v.call(), &ripostev1.InstancesServiceRecreateRequest{Id: v.id()})
	if err != nil {
		return err
	}
	return v.redirect(instancePath(res.GetInstance().GetWebhookInstance().GetId()), "recreated")
}

// answerInstance gives an operator's answer. What is wrong with it, or came in between, is
// said where it was typed in.
func (v *visit) answerInstance() error {
	form := readAnswerForm(v.r)
	document, problems := form.document()
	if len(problems) > 0 {
		form.Problems = problems
		return v.showInstance(http.StatusUnprocessableEntity, form)
	}
	_, err := v.api.instances.Answer(v.call(), &ripostev1.InstancesServiceAnswerRequest{Id: v.id(), Document: document})
	switch connect.CodeOf(err) {
	case connect.CodeInvalidArgument:
		form.refused(violations(err)["document"])
	case connect.CodeFailedPrecondition, connect.CodeAlreadyExists, connect.CodeAborted:
		form.TooLate = problem(err)
	case connect.CodeUnavailable, connect.CodeResourceExhausted:
		form.Problems = map[string]string{"": problem(err) + " Nothing was changed; try again in a moment."}
	default:
		if err != nil {
			return err
		}
		return v.redirect(instancePath(v.id()), "answered")
	}
	return v.showInstance(http.StatusUnprocessableEntity, form)
}

// toInstance is for who comes back to the address of a form by a link or a reload.
func (v *visit) toInstance() error { return v.redirect(instancePath(v.id()), "") }
