package riposte

// MaxSourceIDLength bounds a ticket's and a workflow step's id, in characters.
const MaxSourceIDLength = 256

// SourceKind says which step asks. The set is closed: C1's five.
type SourceKind string

const (
	SourceTest             SourceKind = "test"
	SourcePolicyPostAction SourceKind = "policyPostAction"
	SourceApprovalStep     SourceKind = "approvalStep"
	SourceProvisionStep    SourceKind = "provisionStep"
	SourceWorkflowStep     SourceKind = "workflowStep"
)

// SourceKinds lists the closed set.
var SourceKinds = []SourceKind{SourceTest, SourcePolicyPostAction, SourceApprovalStep, SourceProvisionStep, SourceWorkflowStep}

// Source is the step that asks, with what identifies it.
type Source struct {
	Kind                SourceKind
	TicketID            string // approvalStep, provisionStep, policyPostAction
	WorkflowExecutionID int64  // workflowStep
	WorkflowStepID      string // workflowStep
}

// EventType is the event's name on the wire, and its payload's type
// (PROTOCOL.md section 2).
func (k SourceKind) EventType() string {
	switch k {
	case SourceTest:
		return "c1.webhooks.v1.PayloadTest"
	case SourcePolicyPostAction:
		return "c1.webhooks.v1.PayloadPolicyPostAction"
	case SourceApprovalStep:
		return "c1.webhooks.v1.PayloadPolicyApprovalStep"
	case SourceProvisionStep:
		return "c1.webhooks.v1.PayloadProvisionStep"
	case SourceWorkflowStep:
		return "c1.webhooks.v1.PayloadWorkflowStep"
	}
	panic("riposte: unknown source kind " + string(k))
}

// Validate checks that s is one of the five and has what that one needs.
func (s Source) Validate() error {
	var v violations
	id := func(field, value string) { v.required(field, value, MaxSourceIDLength) }
	switch s.Kind {
	case SourceTest:
	case SourcePolicyPostAction, SourceApprovalStep, SourceProvisionStep:
		id("source."+string(s.Kind)+".ticketId", s.TicketID)
	case SourceWorkflowStep:
		if s.WorkflowExecutionID == 0 {
			v.addf("source.workflowStep.workflowExecutionId", "must be set and not 0")
		}
		id("source.workflowStep.workflowStepId", s.WorkflowStepID)
	default:
		v.addf("source", "must be exactly one of test, policyPostAction, approvalStep, provisionStep and workflowStep")
	}
	return v.err()
}
