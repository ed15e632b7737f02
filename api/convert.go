package api

import (
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/riposte-dev/riposte"
	webhooksv1 "github.com/riposte-dev/riposte/gen/c1/api/webhooks/v1"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

func readSource(m *webhooksv1.WebhookSource) riposte.Source {
	switch s := m.GetSource().(type) {
	case *webhooksv1.WebhookSource_Test:
		return riposte.Source{Kind: riposte.SourceTest}
	case *webhooksv1.WebhookSource_PolicyPostAction:
		return riposte.Source{Kind: riposte.SourcePolicyPostAction, TicketID: s.PolicyPostAction.GetTicketId()}
	case *webhooksv1.WebhookSource_ApprovalStep:
		return riposte.Source{Kind: riposte.SourceApprovalStep, TicketID: s.ApprovalStep.GetTicketId()}
	case *webhooksv1.WebhookSource_ProvisionStep:
		return riposte.Source{Kind: riposte.SourceProvisionStep, TicketID: s.ProvisionStep.GetTicketId()}
	case *webhooksv1.WebhookSource_WorkflowStep:
		return riposte.Source{Kind: riposte.SourceWorkflowStep,
			WorkflowExecutionID: s.WorkflowStep.GetWorkflowExecutionId(), WorkflowStepID: s.WorkflowStep.GetWorkflowStepId()}
	}
	return riposte.Source{}
}

// SourceMessage is a source as the API has it.
func SourceMessage(s riposte.Source) *webhooksv1.WebhookSource {
	m := &webhooksv1.WebhookSource{}
	switch s.Kind {
	case riposte.SourceTest:
		m.Source = &webhooksv1.WebhookSource_Test{Test: &webhooksv1.WebhookSourceTest{}}
	case riposte.SourcePolicyPostAction:
		m.Source = &webhooksv1.WebhookSource_PolicyPostAction{PolicyPostAction: &webhooksv1.WebhookSourcePolicyPostAction{TicketId: s.TicketID}}
	case riposte.SourceApprovalStep:
		m.Source = &webhooksv1.WebhookSource_ApprovalStep{ApprovalStep: &webhooksv1.WebhookSourceApprovalStep{TicketId: s.TicketID}}
	case riposte.SourceProvisionStep:
		m.Source = &webhooksv1.WebhookSource_ProvisionStep{ProvisionStep: &webhooksv1.WebhookSourceProvisionStep{TicketId: s.TicketID}}
	case riposte.SourceWorkflowStep:
		m.Source = &webhooksv1.WebhookSource_WorkflowStep{WorkflowStep: &webhooksv1.WebhookSourceWorkflowStep{
			WorkflowExecutionId: s.WorkflowExecutionID, WorkflowStepId: s.WorkflowStepID}}
	}
	return m
}

func stateMessage(s riposte.State) webhooksv1.WebhookState {
	return webhooksv1.WebhookState(webhooksv1.WebhookState_value["WEBHOOK_STATE_"+string(s)])
}

func webhookInstanceMessage(i riposte.Instance) *webhooksv1.WebhookInstance {
	return &webhooksv1.WebhookInstance{
		Id:              i.ID,
		WebhookId:       i.WebhookID,
		Source:          SourceMessage(i.Source),
		Spec:            &webhooksv1.WebhookSpec{Destination: i.Destination},
		State:           stateMessage(i.State),
		Attempts:        int32(i.Attempts),
		CreatedAt:       timestamp(i.CreatedAt),
		UpdatedAt:       timestamp(i.UpdatedAt),
		LastAttemptedAt: timestamp(i.LastAttemptedAt),
		CompletedAt:     timestamp(i.CompletedAt),
		ExpiresAt:       timestamp(i.ExpiresAt),
	}
}

// instanceMessage is the view BASIC: without the outcome's document.
func instanceMessage(i riposte.Instance) *ripostev1.Instance {
	m := decidedInstanceMessage(i)
	if m.Outcome != nil {
		m.Outcome.DocumentJson = ""
	}
	return m
}

func instanceMessages(list []riposte.Instance) []*ripostev1.Instance {
	messages := make([]*ripostev1.Instance, len(list))
	for n, i := range list {
		messages[n] = instanceMessage(i)
	}
	return messages
}

// decidedInstanceMessage has the outcome whole: for those who wait for it.
func decidedInstanceMessage(i riposte.Instance) *ripostev1.Instance {
	return &ripostev1.Instance{
		WebhookInstance: webhookInstanceMessage(i),
		EventType:       i.Source.Kind.EventType(),
		Labels:          i.Labels,
		NextAttemptAt:   timestamp(i.NextAttemptAt()),
		RecreatedFrom:   i.RecreatedFrom,
		Outcome:         outcomeMessage(i.Outcome),
		Push:            pushMessage(i),
		CreatedBy:       i.CreatedBy,
	}
}

func pushMessage(i riposte.Instance) *ripostev1.Push {
	if i.OutcomeURL == "" {
		return nil
	}
	p := i.Push
	if p == nil { // before the outcome
		return &ripostev1.Push{Url: i.OutcomeURL}
	}
	m := &ripostev1.Push{
		Url:             p.URL,
		Attempts:        int32(p.Attempts),
		LastAttemptedAt: timestamp(p.LastAttemptedAt),
		StatusCode:      int32(p.StatusCode),
		Error:           errorMessage(p.Error),
		GivenUpAt:       timestamp(p.GivenUpAt),
	}
	if i.OwesPush() && i.LeasedUntil.IsZero() {
		m.NextAttemptAt = timestamp(i.DueAt)
	}
	return m
}

func fullInstanceMessage(i riposte.Instance, e riposte.Envelope, attempts []riposte.Attempt) *ripostev1.Instance {
	m := decidedInstanceMessage(i)
	m.Payload = e.Payload()
	for _, a := range attempts {
		m.Attempts = append(m.Attempts, attemptMessage(a))
	}
	return m
}

func outcomeMessage(o *riposte.Outcome) *ripostev1.Outcome {
	if o == nil {
		return nil
	}
	m := &ripostev1.Outcome{
		Kind:         outcomeKind(o.Kind),
		Via:          ripostev1.OutcomeVia(ripostev1.OutcomeVia_value["OUTCOME_VIA_"+string(o.Via)]),
		DocumentJson: string(o.Document),
		Comment:      o.Comment,
		DecidedAt:    timestamp(o.DecidedAt),
		Sequence:     o.Sequence,
	}
	if o.Failure != nil {
		m.Failure = &ripostev1.Failure{
			Reason:  ripostev1.FailureReason(ripostev1.FailureReason_value["FAILURE_REASON_"+string(o.Failure.Reason)]),
			Message: o.Failure.Message,
		}
	}
	return m
}

func outcomeKind(k riposte.OutcomeKind) ripostev1.OutcomeKind {
	return ripostev1.OutcomeKind(ripostev1.OutcomeKind_value["OUTCOME_KIND_"+string(k)])
}

func attemptMessage(a riposte.Attempt) *ripostev1.Attempt {
	m := &ripostev1.Attempt{
		Number:    int32(a.Number),
		StartedAt: timestamp(a.StartedAt),
		Duration:  durationpb.New(a.Duration),
		Phases: &ripostev1.AttemptPhases{
			Dns: duration(a.Phases.DNS), Connect: duration(a.Phases.Connect),
			Tls: duration(a.Phases.TLS), FirstByte: duration(a.Phases.FirstByte),
		},
		StatusCode:      int32(a.StatusCode),
		ResponseHeaders: map[string]string{},
		ResponseBody:    strings.ToValidUTF8(string(a.ResponseBody), "\uFFFD"),
		ResponseBodyCut: a.BodyCut,
		RemoteAddress:   a.RemoteAddress,
	}
	for name, values := range a.ResponseHeaders {
		m.ResponseHeaders[name] = strings.ToValidUTF8(strings.Join(values, ", "), "\uFFFD")
	}
	m.Error = errorMessage(a.Error)
	return m
}

func errorMessage(e *riposte.AttemptError) *ripostev1.AttemptError {
	if e == nil {
		return nil
	}
	return &ripostev1.AttemptError{Phase: string(e.Phase), Reason: e.Reason, Message: e.Message}
}

func duration(d time.Duration) *durationpb.Duration {
	if d == 0 {
		return nil
	}
	return durationpb.New(d)
}
