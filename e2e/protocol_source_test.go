package e2e

import (
	webhooksv1 "github.com/riposte-dev/riposte/gen/c1/api/webhooks/v1"
)

// The five sources of PROTOCOL.md section 2.
var (
	sourceTest             = &webhooksv1.WebhookSource{Source: &webhooksv1.WebhookSource_Test{Test: &webhooksv1.WebhookSourceTest{}}}
	sourceApprovalStep     = &webhooksv1.WebhookSource{Source: &webhooksv1.WebhookSource_ApprovalStep{ApprovalStep: &webhooksv1.WebhookSourceApprovalStep{TicketId: "T-1"}}}
	sourceProvisionStep    = &webhooksv1.WebhookSource{Source: &webhooksv1.WebhookSource_ProvisionStep{ProvisionStep: &webhooksv1.WebhookSourceProvisionStep{TicketId: "T-2"}}}
	sourcePolicyPostAction = &webhooksv1.WebhookSource{Source: &webhooksv1.WebhookSource_PolicyPostAction{PolicyPostAction: &webhooksv1.WebhookSourcePolicyPostAction{TicketId: "T-3"}}}
	sourceWorkflowStep     = &webhooksv1.WebhookSource{Source: &webhooksv1.WebhookSource_WorkflowStep{WorkflowStep: &webhooksv1.WebhookSourceWorkflowStep{
		WorkflowExecutionId: 9007199254740993, WorkflowStepId: "step-4"}}}
)

// Documents that the sources take.
const (
	approve  = `{"version":"v1","approve":{"comment":"fine"}}`
	deny     = `{"version":"v1","deny":{"comment":"no"}}`
	complete = `{"version":"v1","complete":{}}`
	bare     = `{"version":"v1"}`
	context1 = `{"version":"v1","context":{"n":12345678901234567890}}`
)

// source is a row of the table of sources.
type source struct {
	name     string
	message  *webhooksv1.WebhookSource
	json     string // the same over REST
	event    string
	document string // one that it takes
	kind     string // what that comes to
}

var sources = []source{
	{"test", sourceTest, `{"test":{}}`, "c1.webhooks.v1.PayloadTest", bare, "DELIVERED"},
	{"approvalStep", sourceApprovalStep, `{"approvalStep":{"ticketId":"T-1"}}`, "c1.webhooks.v1.PayloadPolicyApprovalStep", approve, "APPROVED"},
	{"provisionStep", sourceProvisionStep, `{"provisionStep":{"ticketId":"T-2"}}`, "c1.webhooks.v1.PayloadProvisionStep", complete, "COMPLETED"},
	{"policyPostAction", sourcePolicyPostAction, `{"policyPostAction":{"ticketId":"T-3"}}`, "c1.webhooks.v1.PayloadPolicyPostAction", bare, "DELIVERED"},
	{"workflowStep", sourceWorkflowStep, `{"workflowStep":{"workflowExecutionId":"9007199254740993","workflowStepId":"step-4"}}`,
		"c1.webhooks.v1.PayloadWorkflowStep", context1, "CONTEXT"},
}

func sourceNamed(name string) source {
	for _, each := range sources {
		if each.name == name {
			return each
		}
	}
	panic("no source " + name)
}
