package console

import (
	"fmt"
	"strings"

	webhooksv1 "github.com/riposte-dev/riposte/gen/c1/api/webhooks/v1"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

// summary is where an instance stands, in one sentence, and what can be done about it.
type summary struct {
	Class string
	Text  string
	Hint  string
}

// summarize goes by the outcome first, then by the state.
func summarize(i *ripostev1.Instance) summary {
	o := i.GetOutcome()
	switch {
	case o.GetFailure() != nil:
		return summary{"bad", sentence(o.GetFailure().GetMessage()), failureHint(i)}
	case owesPush(i) && i.GetPush().GetGivenUpAt() != nil:
		return summary{"bad", "The outcome stands, but nobody has taken it: the push was given up.",
			"See that " + visible(i.GetPush().GetUrl()) + " takes it, then retry now; or close it, when nobody needs it any more."}
	case owesPush(i):
		return summary{"busy", outcomeName(o.GetKind()) + " " + whoGave(i) + "; the outcome is on its way to " + visible(i.GetPush().GetUrl()) + ".", ""}
	case o != nil:
		return summary{"good", outcomeName(o.GetKind()) + " " + whoGave(i) + ".", ""}
	}
	return summarizeOpen(i)
}

func summarizeOpen(i *ripostev1.Instance) summary {
	in := i.GetWebhookInstance()
	switch in.GetState() {
	case webhooksv1.WebhookState_WEBHOOK_STATE_PENDING:
		return summary{"busy", "It has not been asked yet.",
			"Where this lasts, its webhook has as many attempts in flight as it may: its settings say how many."}
	case webhooksv1.WebhookState_WEBHOOK_STATE_RUNNING:
		return summary{"busy", fmt.Sprintf("Attempt %d is in flight.", in.GetAttempts()), ""}
	case webhooksv1.WebhookState_WEBHOOK_STATE_WAITING_CALLBACK:
		return summary{"wait", "The receiver has taken the question and will call back.", ""}
	}
	s := summary{Class: "warn", Text: fmt.Sprintf("%s failed so far; it will be tried again.", plural(in.GetAttempts(), "attempt"))}
	if attempts := i.GetAttempts(); len(attempts) > 0 {
		s.Hint = attemptHint(attempts[len(attempts)-1])
	}
	return s
}

// failureHint says what to do about an instance that came to no answer.
func failureHint(i *ripostev1.Instance) string {
	var last string
	if attempts := i.GetAttempts(); len(attempts) > 0 {
		last = attemptHint(attempts[len(attempts)-1])
	}
	switch i.GetOutcome().GetFailure().GetReason() {
	case ripostev1.FailureReason_FAILURE_REASON_GONE:
		return "A receiver says 410 when it wants no more of this. If that was a mistake, mend it and recreate the instance."
	case ripostev1.FailureReason_FAILURE_REASON_ATTEMPTS_EXHAUSTED:
		return join(last, "Once the receiver works, recreate asks again. The retry policy in the webhook's settings says how long it is tried.")
	case ripostev1.FailureReason_FAILURE_REASON_EXPIRED:
		return join(last, "Recreate asks again; a longer callback timeout gives more time.")
	case ripostev1.FailureReason_FAILURE_REASON_BAD_RESPONSE:
		return "The receiver must answer with a response document for this source, or with 202 and a callback. Verify shows what it makes of a document."
	case ripostev1.FailureReason_FAILURE_REASON_WEBHOOK_DELETED:
		return "The question has to be asked of another webhook."
	}
	return ""
}

// attemptHint says why an attempt failed, and what to do about it.
func attemptHint(a *ripostev1.Attempt) string {
	if e := a.GetError(); e != nil {
		return sentence(e.GetMessage())
	}
	code := a.GetStatusCode()
	switch {
	case code == 0 || code/100 == 2:
		return ""
	case code == 401 || code == 403:
		return fmt.Sprintf("The receiver answered %d: it doesn't take the delivery for ours. Verify shows what it should have found.", code)
	case code == 404:
		return "The receiver answered 404: the webhook's URL has a path that it doesn't know."
	case code == 405:
		return "The receiver answered 405: it doesn't take POST at this URL."
	case code == 410:
		return "The receiver answered 410: it wants no more of this."
	case code == 413:
		return "The receiver answered 413: the delivery is too large for it."
	case code == 429:
		return "The receiver answered 429: it has too much to do. Fewer attempts in flight, in the webhook's settings, help it."
	case code/100 == 3:
		return fmt.Sprintf("The receiver answered %d: redirects are not followed. Give the webhook the URL that it leads to.", code)
	case code/100 == 4:
		return fmt.Sprintf("The receiver answered %d: it refuses the request. What it says is in its response.", code)
	}
	return fmt.Sprintf("The receiver answered %d: it has a fault of its own. What it says is in its response, or in its log.", code)
}

// join puts blanks between those that are not empty.
func join(texts ...string) string {
	var some []string
	for _, s := range texts {
		if s != "" {
			some = append(some, s)
		}
	}
	return strings.Join(some, " ")
}
