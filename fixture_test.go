package riposte_test

import (
	"errors"
	"flag"
	"testing"
	"time"

	"github.com/riposte-dev/riposte"
)

var update = flag.Bool("update", false, "write the golden files instead of comparing with them")

// start is when every test's instance is created. It has no whole second, so
// that a lost microsecond shows.
var start = time.Date(2026, time.March, 1, 12, 0, 0, 123_456_000, time.UTC)

// sources has one complete source of each kind.
var sources = map[riposte.SourceKind]riposte.Source{
	riposte.SourceTest:             {Kind: riposte.SourceTest},
	riposte.SourcePolicyPostAction: {Kind: riposte.SourcePolicyPostAction, TicketID: "ticket-1"},
	riposte.SourceApprovalStep:     {Kind: riposte.SourceApprovalStep, TicketID: "ticket-1"},
	riposte.SourceProvisionStep:    {Kind: riposte.SourceProvisionStep, TicketID: "ticket-1"},
	riposte.SourceWorkflowStep:     {Kind: riposte.SourceWorkflowStep, WorkflowExecutionID: 42, WorkflowStepID: "step-1"},
}

// goodDocuments has one document that each kind of source takes.
var goodDocuments = map[riposte.SourceKind]string{
	riposte.SourceTest:             `{"version":"v1"}`,
	riposte.SourcePolicyPostAction: `{"version":"v1"}`,
	riposte.SourceApprovalStep:     `{"version":"v1","approve":{"comment":"fine"}}`,
	riposte.SourceProvisionStep:    `{"version":"v1","complete":{"comment":"fine"}}`,
	riposte.SourceWorkflowStep:     `{"version":"v1","context":{"n":1}}`,
}

const outcomeURL = "https://caller.example:8443/outcomes"

// acceptAnyURL stands for the address rules, which package outbound tests.
func acceptAnyURL(string) (string, error) { return "receiver.example", nil }

func newWebhook(t testing.TB) riposte.Webhook {
	t.Helper()
	w, err := riposte.NewWebhook("Approvals", "", "https://receiver.example/ask?a=1&b=2", 0, acceptAnyURL, start)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func callbackURL(id string) string {
	return "https://riposte.example/api/v1/webhooks/callback/token-of-" + id
}

func newInstance(t testing.TB, r riposte.InstanceRequest) riposte.Instance {
	t.Helper()
	i, _, err := riposte.NewInstance(newWebhook(t), r, callbackURL, start)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func goodAnswer(t testing.TB, kind riposte.SourceKind) riposte.Answer {
	t.Helper()
	a, err := riposte.ParseAnswer(kind, []byte(goodDocuments[kind]))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// reason returns an error's reason, "" for nil.
func reason(t testing.TB, err error) string {
	t.Helper()
	if err == nil {
		return ""
	}
	e, ok := errors.AsType[*riposte.Error](err)
	if !ok {
		t.Fatalf("%v is a %T, want a *riposte.Error", err, err)
	}
	return e.Reason
}

// violatedFields returns the fields that err says are wrong, in its order.
func violatedFields(t testing.TB, err error) []string {
	t.Helper()
	if err == nil {
		return nil
	}
	e, ok := errors.AsType[*riposte.Error](err)
	if !ok || e.Code != riposte.CodeInvalidArgument {
		t.Fatalf("%v is no invalid argument", err)
	}
	var fields []string
	for _, v := range e.Violations {
		fields = append(fields, v.Field)
	}
	return fields
}
