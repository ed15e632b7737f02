package client

import (
	webhooksv1 "github.com/riposte-dev/riposte/gen/c1/api/webhooks/v1"
)

// SourceKind says which step asks. The set is closed.
type SourceKind string

const (
	SourceTest             SourceKind = "test"
	SourcePolicyPostAction SourceKind = "policyPostAction"
	SourceApprovalStep     SourceKind = "approvalStep"
	SourceProvisionStep    SourceKind = "provisionStep"
	SourceWorkflowStep     SourceKind = "workflowStep"
)

// Source is the step that asks. It decides what the receiver may answer, and so of
// which kind the outcome may be.
type Source struct {
	Kind                SourceKind
	TicketID            string // of an approvalStep, a provisionStep and a policyPostAction
	WorkflowExecutionID int64  // of a workflowStep
	WorkflowStepID      string // of a workflowStep
}

// Test asks whether the receiver is there; it takes no payload. The outcome is
// Delivered.
func Test() Source { return Source{Kind: SourceTest} }

// PolicyPostAction tells the receiver what a policy came to. The outcome is Delivered.
// The ticket's id has 1 to 256 characters.
func PolicyPostAction(ticketID string) Source {
	return Source{Kind: SourcePolicyPostAction, TicketID: ticketID}
}

// ApprovalStep asks for a decision. The outcome is Approved, Denied, Reassigned or
// PolicyReplaced. The ticket's id has 1 to 256 characters.
func ApprovalStep(ticketID string) Source {
	return Source{Kind: SourceApprovalStep, TicketID: ticketID}
}

// ProvisionStep asks for something to be provisioned. The outcome is Completed or
// Errored. The ticket's id has 1 to 256 characters.
func ProvisionStep(ticketID string) Source {
	return Source{Kind: SourceProvisionStep, TicketID: ticketID}
}

// WorkflowStep asks for the context that a workflow goes on with. The outcome is
// Context. The execution's id is not 0, the step's has 1 to 256 characters.
func WorkflowStep(executionID int64, stepID string) Source {
	return Source{Kind: SourceWorkflowStep, WorkflowExecutionID: executionID, WorkflowStepID: stepID}
}

// sourceMessage is nil for a kind that there isn't, which the server refuses.
func sourceMessage(s Source) *webhooksv1.WebhookSource {
	switch s.Kind {
	case SourceTest:
		return &webhooksv1.WebhookSource{Source: &webhooksv1.WebhookSource_Test{Test: &webhooksv1.WebhookSourceTest{}}}
	case SourcePolicyPostAction:
		return &webhooksv1.WebhookSource{Source: &webhooksv1.WebhookSource_PolicyPostAction{
			PolicyPostAction: &webhooksv1.WebhookSourcePolicyPostAction{TicketId: s.TicketID}}}
	case SourceApprovalStep:
		return &webhooksv1.WebhookSource{Source: &webhooksv1.WebhookSource_ApprovalStep{
			ApprovalStep: &webhooksv1.WebhookSourceApprovalStep{TicketId: s.TicketID}}}
	case SourceProvisionStep:
		return &webhooksv1.WebhookSource{Source: &webhooksv1.WebhookSource_ProvisionStep{
			ProvisionStep: &webhooksv1.WebhookSourceProvisionStep{TicketId: s.TicketID}}}
	case SourceWorkflowStep:
		return &webhooksv1.WebhookSource{Source: &webhooksv1.WebhookSource_WorkflowStep{
			WorkflowStep: &webhooksv1.WebhookSourceWorkflowStep{WorkflowExecutionId: s.WorkflowExecutionID, WorkflowStepId: s.WorkflowStepID}}}
	}
	return nil
}

func readSource(m *webhooksv1.WebhookSource) Source {
	switch s := m.GetSource().(type) {
	case *webhooksv1.WebhookSource_Test:
		return Test()
	case *webhooksv1.WebhookSource_PolicyPostAction:
		return PolicyPostAction(s.PolicyPostAction.GetTicketId())
	case *webhooksv1.WebhookSource_ApprovalStep:
		return ApprovalStep(s.ApprovalStep.GetTicketId())
	case *webhooksv1.WebhookSource_ProvisionStep:
		return ProvisionStep(s.ProvisionStep.GetTicketId())
	case *webhooksv1.WebhookSource_WorkflowStep:
		return WorkflowStep(s.WorkflowStep.GetWorkflowExecutionId(), s.WorkflowStep.GetWorkflowStepId())
	}
	return Source{}
}
