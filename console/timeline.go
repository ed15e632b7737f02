package console

import (
	"fmt"

	"google.golang.org/protobuf/types/known/timestamppb"

	webhooksv1 "github.com/riposte-dev/riposte/gen/c1/api/webhooks/v1"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

// step is a point on an instance's way.
type step struct {
	At    *timestamppb.Timestamp // unset for what is still to come
	Class string
	Text  string
	Note  string
}

// timeline is an instance's way so far, and what comes next.
func timeline(i *ripostev1.Instance) []step {
	in := i.GetWebhookInstance()
	steps := []step{{At: in.GetCreatedAt(), Class: "step-created", Text: "Asked"}}
	steps = append(steps, attemptSteps(i.GetAttempts())...)
	if o := i.GetOutcome(); o != nil {
		class := "step-good"
		if o.GetFailure() != nil {
			class = "step-bad"
		}
		steps = append(steps, step{At: o.GetDecidedAt(), Class: class, Text: outcomeName(o.GetKind()), Note: whoGave(i)})
	}
	steps = append(steps, pushSteps(i)...)
	if next, ok := nextStep(i); ok {
		steps = append(steps, next)
	}
	return steps
}

// attemptSteps are the first attempt, the last one, and between them how many there
// were: those are listed elsewhere.
func attemptSteps(attempts []*ripostev1.Attempt) []step {
	var steps []step
	for n, a := range attempts {
		if n == 1 && len(attempts) > 3 {
			steps = append(steps, step{Class: "step-more", Text: fmt.Sprintf("%d more attempts", len(attempts)-2)})
		}
		if n > 0 && n < len(attempts)-1 && len(attempts) > 3 {
			continue
		}
		text, failed := resultOf(a)
		s := step{At: a.GetStartedAt(), Class: "step-attempt", Text: fmt.Sprintf("Attempt %d", a.GetNumber()), Note: text}
		switch {
		case failed:
			s.Class = "step-failed"
		case a.GetStatusCode() == 202:
			s.Note = "202: the receiver will call back"
		}
		steps = append(steps, s)
	}
	return steps
}

func pushSteps(i *ripostev1.Instance) []step {
	p := i.GetPush()
	if p == nil || i.GetOutcome() == nil {
		return nil
	}
	var steps []step
	if p.GetAttempts() > 0 {
		s := step{At: p.GetLastAttemptedAt(), Class: "step-attempt", Text: fmt.Sprintf("Outcome pushed, attempt %d", p.GetAttempts())}
		if e := p.GetError(); e != nil {
			s.Class, s.Note = "step-failed", e.GetPhase()+" "+e.GetReason()
		} else if code := p.GetStatusCode(); code > 0 {
			s.Note = fmt.Sprint(code)
		}
		steps = append(steps, s)
	}
	if p.GetGivenUpAt() != nil {
		steps = append(steps, step{At: p.GetGivenUpAt(), Class: "step-bad", Text: "Push given up", Note: "retry now pushes it again"})
	}
	if done := i.GetWebhookInstance().GetCompletedAt(); done != nil {
		steps = append(steps, step{At: done, Class: "step-good", Text: "Handed over"})
	}
	return steps
}

// nextStep is what is waited for.
func nextStep(i *ripostev1.Instance) (step, bool) {
	in := i.GetWebhookInstance()
	s := step{Class: "step-next"}
	switch {
	case in.GetCompletedAt() != nil:
		return s, false
	case i.GetOutcome() != nil && i.GetPush().GetNextAttemptAt() != nil:
		s.At, s.Text = i.GetPush().GetNextAttemptAt(), "Next push of the outcome"
	case i.GetOutcome() != nil:
		return s, false
	case in.GetState() == webhooksv1.WebhookState_WEBHOOK_STATE_RUNNING:
		s.Text = "The receiver is being asked"
	case i.GetNextAttemptAt() != nil:
		s.At, s.Text = i.GetNextAttemptAt(), "Next attempt due"
	default:
		s.At, s.Text = in.GetExpiresAt(), "Expires, unless an answer comes"
	}
	return s, true
}

// whoGave says by whom an outcome came about.
func whoGave(i *ripostev1.Instance) string {
	switch i.GetOutcome().GetVia() {
	case ripostev1.OutcomeVia_OUTCOME_VIA_SYNC:
		return fmt.Sprintf("by the receiver, in its response to attempt %d", i.GetWebhookInstance().GetAttempts())
	case ripostev1.OutcomeVia_OUTCOME_VIA_CALLBACK:
		return "by a call of the callback URL"
	case ripostev1.OutcomeVia_OUTCOME_VIA_OPERATOR:
		return "by an operator"
	}
	return ""
}
