package console

import (
	"fmt"
	"strings"

	webhooksv1 "github.com/riposte-dev/riposte/gen/c1/api/webhooks/v1"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

// stateView is how a state looks and reads.
type stateView struct {
	Name  string // the API's word
	Text  string // for people
	Class string
}

var stateTexts = map[webhooksv1.WebhookState]string{
	webhooksv1.WebhookState_WEBHOOK_STATE_PENDING:          "Pending",
	webhooksv1.WebhookState_WEBHOOK_STATE_RUNNING:          "Running",
	webhooksv1.WebhookState_WEBHOOK_STATE_ERROR:            "Retrying",
	webhooksv1.WebhookState_WEBHOOK_STATE_WAITING_CALLBACK: "Waiting for callback",
	webhooksv1.WebhookState_WEBHOOK_STATE_PROCESS_RESPONSE: "Handing over",
	webhooksv1.WebhookState_WEBHOOK_STATE_SUCCESS:          "Success",
	webhooksv1.WebhookState_WEBHOOK_STATE_FATAL_ERROR:      "Fatal error",
}

func newStateView(s webhooksv1.WebhookState) stateView {
	name := stateName(s)
	return stateView{Name: name, Text: stateTexts[s], Class: "state-" + strings.ToLower(strings.ReplaceAll(name, "_", "-"))}
}

// stateName is the word that filters take.
func stateName(s webhooksv1.WebhookState) string {
	return strings.TrimPrefix(s.String(), "WEBHOOK_STATE_")
}

// sourceView is who asks: the kind in the API's word and for people, and what the
// step is called.
type sourceView struct {
	Kind   string
	Text   string
	Ticket string // also a workflow's step, "" for a test
}

func newSourceView(s *webhooksv1.WebhookSource) sourceView {
	switch of := s.GetSource().(type) {
	case *webhooksv1.WebhookSource_Test:
		return sourceView{Kind: "test", Text: "Test"}
	case *webhooksv1.WebhookSource_PolicyPostAction:
		return sourceView{"policyPostAction", "Policy post-action", of.PolicyPostAction.GetTicketId()}
	case *webhooksv1.WebhookSource_ApprovalStep:
		return sourceView{"approvalStep", "Approval step", of.ApprovalStep.GetTicketId()}
	case *webhooksv1.WebhookSource_ProvisionStep:
		return sourceView{"provisionStep", "Provision step", of.ProvisionStep.GetTicketId()}
	case *webhooksv1.WebhookSource_WorkflowStep:
		step := of.WorkflowStep
		return sourceView{"workflowStep", "Workflow step", fmt.Sprintf("%d/%s", step.GetWorkflowExecutionId(), step.GetWorkflowStepId())}
	}
	return sourceView{Text: "Unknown source"}
}

// sourceKinds are the words of the five sources, with those for people.
var sourceKinds = []sourceView{
	{Kind: "approvalStep", Text: "Approval step"},
	{Kind: "provisionStep", Text: "Provision step"},
	{Kind: "workflowStep", Text: "Workflow step"},
	{Kind: "policyPostAction", Text: "Policy post-action"},
	{Kind: "test", Text: "Test"},
}

// healthView is how a webhook's health looks and reads.
type healthView struct{ Text, Class string }

var healthViews = map[ripostev1.WebhookHealth]healthView{
	ripostev1.WebhookHealth_WEBHOOK_HEALTH_QUIET:   {"Quiet", "health-quiet"},
	ripostev1.WebhookHealth_WEBHOOK_HEALTH_HEALTHY: {"Healthy", "health-healthy"},
	ripostev1.WebhookHealth_WEBHOOK_HEALTH_FAILING: {"Failing", "health-failing"},
	ripostev1.WebhookHealth_WEBHOOK_HEALTH_HELD:    {"Held", "health-held"},
}

func healthOf(h ripostev1.WebhookHealth) healthView { return healthViews[h] }

var outcomeNames = map[ripostev1.OutcomeKind]string{
	ripostev1.OutcomeKind_OUTCOME_KIND_DELIVERED:       "Delivered",
	ripostev1.OutcomeKind_OUTCOME_KIND_APPROVED:        "Approved",
	ripostev1.OutcomeKind_OUTCOME_KIND_DENIED:          "Denied",
	ripostev1.OutcomeKind_OUTCOME_KIND_REASSIGNED:      "Reassigned",
	ripostev1.OutcomeKind_OUTCOME_KIND_POLICY_REPLACED: "Policy replaced",
	ripostev1.OutcomeKind_OUTCOME_KIND_COMPLETED:       "Completed",
	ripostev1.OutcomeKind_OUTCOME_KIND_ERRORED:         "Errored",
	ripostev1.OutcomeKind_OUTCOME_KIND_CONTEXT:         "Context given",
	ripostev1.OutcomeKind_OUTCOME_KIND_FAILED:          "Failed",
}

func outcomeName(k ripostev1.OutcomeKind) string { return outcomeNames[k] }
