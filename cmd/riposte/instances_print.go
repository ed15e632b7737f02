package main

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	webhooksv1 "github.com/riposte-dev/riposte/gen/c1/api/webhooks/v1"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

// writeInstance writes the view BASIC for people, and the answer where it came
// with it.
func writeInstance(out *bytes.Buffer, i *ripostev1.Instance, now time.Time) {
	w, outcome := i.GetWebhookInstance(), i.GetOutcome()
	t := newFacts(out)
	t.add("Instance", w.GetId())
	t.add("Webhook", w.GetWebhookId())
	t.add("Source", sourceText(w.GetSource()))
	t.add("Destination", w.GetSpec().GetDestination())
	t.add("Labels", labelsText(i.GetLabels()))
	t.add("Recreated from", i.GetRecreatedFrom())
	t.add("Created", moment(w.GetCreatedAt(), now))
	t.add("Created by", i.GetCreatedBy())
	t.add("State", stateName(i))
	t.add("Attempts", attemptsText(w, now))
	t.add("Next attempt", moment(i.GetNextAttemptAt(), now))
	if outcome == nil {
		t.add("Expires", moment(w.GetExpiresAt(), now))
	}
	t.add("Outcome", outcomeText(outcome))
	t.add("Decided", moment(outcome.GetDecidedAt(), now))
	t.add("Comment", outcome.GetComment())
	t.add("Because", outcome.GetFailure().GetMessage())
	addPush(t, i, now)
	t.flush()
	if document := outcome.GetDocumentJson(); document != "" {
		writeBlock(out, "Answer", pretty(document))
	}
}

// addPush tells how the outcome gets to whoever takes it, where somebody does.
func addPush(t facts, i *ripostev1.Instance, now time.Time) {
	p := i.GetPush()
	t.add("Outcome to", p.GetUrl())
	if p.GetAttempts() > 0 {
		t.add("Pushes", fmt.Sprintf("%d, the last %s ago", p.GetAttempts(), age(p.GetLastAttemptedAt(), now)))
	}
	if i.GetWebhookInstance().GetCompletedAt() == nil {
		answer := attemptErrorText(p.GetError())
		if code := p.GetStatusCode(); code > 0 {
			answer = strings.TrimSpace(count(code) + " " + answer)
		}
		t.add("Not taken", answer)
	}
	t.add("Next push", moment(p.GetNextAttemptAt(), now))
	t.add("Given up", moment(p.GetGivenUpAt(), now))
}

// writeExchange writes what the view FULL has beyond that: what was asked, and
// what the receiver answered to each attempt.
func writeExchange(out *bytes.Buffer, i *ripostev1.Instance, now time.Time) {
	writeBlock(out, "Payload", cmp.Or(pretty(string(i.GetPayload())), "{}"))
	writeAttempts(out, i, now)
}

func writeAttempts(out *bytes.Buffer, i *ripostev1.Instance, now time.Time) {
	attempts := i.GetAttempts()
	if len(attempts) == 0 {
		fmt.Fprintf(out, "\nNo attempts on record yet.\n")
		return
	}
	fmt.Fprintf(out, "\nAttempts:\n")
	t := newTable(out, "  #", "AGE", "STATUS", "TOTAL", "DNS", "CONNECT", "TLS", "FIRST BYTE", "REMOTE", "ERROR")
	for _, a := range attempts {
		p := a.GetPhases()
		t.row(fmt.Sprintf("  %d", a.GetNumber()), age(a.GetStartedAt(), now), statusText(a), elapsed(a.GetDuration()), elapsed(p.GetDns()),
			elapsed(p.GetConnect()), elapsed(p.GetTls()), elapsed(p.GetFirstByte()), a.GetRemoteAddress(), attemptErrorText(a.GetError()))
	}
	t.flush()
	// A synchronous answer is the last response; it has been written.
	if i.GetOutcome().GetVia() != ripostev1.OutcomeVia_OUTCOME_VIA_SYNC || i.GetOutcome().GetDocumentJson() == "" {
		writeResponse(out, attempts[len(attempts)-1])
	}
}

// writeResponse writes what the receiver said in one attempt, where it said
// anything.
func writeResponse(out *bytes.Buffer, a *ripostev1.Attempt) {
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(a.GetResponseHeaders())) {
		if name != "Date" && name != "Content-Length" { // every response has them
			lines = append(lines, name+": "+a.GetResponseHeaders()[name])
		}
	}
	if body := a.GetResponseBody(); body != "" {
		lines = append(lines, "", pretty(body))
	}
	if a.GetResponseBodyCut() {
		lines = append(lines, "[it was longer; the rest is not kept]")
	}
	if text := strings.TrimLeft(strings.Join(lines, "\n"), "\n"); text != "" {
		writeBlock(out, fmt.Sprintf("Response to attempt %d", a.GetNumber()), text)
	}
}

func sourceText(s *webhooksv1.WebhookSource) string {
	switch s := s.GetSource().(type) {
	case *webhooksv1.WebhookSource_Test:
		return "test"
	case *webhooksv1.WebhookSource_PolicyPostAction:
		return "policyPostAction " + s.PolicyPostAction.GetTicketId()
	case *webhooksv1.WebhookSource_ApprovalStep:
		return "approvalStep " + s.ApprovalStep.GetTicketId()
	case *webhooksv1.WebhookSource_ProvisionStep:
		return "provisionStep " + s.ProvisionStep.GetTicketId()
	case *webhooksv1.WebhookSource_WorkflowStep:
		return fmt.Sprintf("workflowStep %d/%s", s.WorkflowStep.GetWorkflowExecutionId(), s.WorkflowStep.GetWorkflowStepId())
	}
	return ""
}

func stateName(i *ripostev1.Instance) string {
	return enumName(i.GetWebhookInstance().GetState(), "WEBHOOK_STATE_")
}

func labelsText(labels map[string]string) string {
	var pairs []string
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		pairs = append(pairs, key+"="+labels[key])
	}
	return strings.Join(pairs, ", ")
}

func attemptsText(w *webhooksv1.WebhookInstance, now time.Time) string {
	if w.GetLastAttemptedAt() == nil {
		return count(w.GetAttempts())
	}
	return fmt.Sprintf("%d, the last %s ago", w.GetAttempts(), age(w.GetLastAttemptedAt(), now))
}

// outcomeText is the kind with the way by which it came, or why there is none.
func outcomeText(o *ripostev1.Outcome) string {
	if o == nil {
		return ""
	}
	how := strings.ToLower(enumName(o.GetVia(), "OUTCOME_VIA_"))
	if o.GetFailure() != nil {
		how = enumName(o.GetFailure().GetReason(), "FAILURE_REASON_")
	}
	return fmt.Sprintf("%s (%s)", enumName(o.GetKind(), "OUTCOME_KIND_"), how)
}

func failureText(f *ripostev1.Failure) string {
	reason := enumName(f.GetReason(), "FAILURE_REASON_")
	if f.GetMessage() == "" {
		return reason
	}
	return reason + ": " + f.GetMessage()
}

// nextText is what an open instance is on its way to.
func nextText(i *ripostev1.Instance, now time.Time) string {
	switch {
	case i.GetOutcome() != nil:
		return ""
	case i.GetNextAttemptAt() != nil && i.GetNextAttemptAt().AsTime().After(now):
		return "attempt in " + age(i.GetNextAttemptAt(), now)
	case i.GetNextAttemptAt() != nil:
		return "attempt now"
	}
	return "expires in " + age(i.GetWebhookInstance().GetExpiresAt(), now)
}

func statusText(a *ripostev1.Attempt) string {
	if a.GetStatusCode() == 0 {
		return ""
	}
	return count(a.GetStatusCode())
}

func attemptErrorText(e *ripostev1.AttemptError) string {
	if e == nil {
		return ""
	}
	return short(fmt.Sprintf("%s %s: %s", e.GetPhase(), e.GetReason(), e.GetMessage()), 120)
}

func count(n int32) string { return strconv.Itoa(int(n)) }
