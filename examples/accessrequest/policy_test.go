package main

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/riposte-dev/riposte/client"
)

func outcome(kind client.Kind, document string) client.Outcome {
	return client.Outcome{Kind: kind, Document: json.RawMessage(document), Failure: client.Failure{Reason: client.Expired}, Comment: "so"}
}

func TestPolicyGoesOnByTheOutcome(t *testing.T) {
	told := []Step{postAction}
	for _, tt := range []struct {
		name   string
		steps  []Step
		o      client.Outcome
		want   []Step
		result Result
	}{
		{"approved", []Step{approvalBy("a"), provision}, outcome(client.Approved, ""), []Step{provision}, ""},
		{"approved, the last step", []Step{approvalBy("a")}, outcome(client.Approved, ""), told, Granted},
		{"denied", []Step{approvalBy("a"), provision}, outcome(client.Denied, ""), told, Denied},
		{
			"reassigned", []Step{approvalBy("a"), provision}, outcome(client.Reassigned, `{"reassign":{"newStepUserIds":["b","c"]}}`),
			[]Step{approvalBy("b", "c"), provision}, "",
		},
		{
			"replaced", []Step{approvalBy("a"), provision}, outcome(client.PolicyReplaced, `{"replacePolicy":{"policySteps":[{"approval":{"users":["b"]}}]}}`),
			[]Step{approvalBy("b")}, "",
		},
		{"replaced by what nobody knows", []Step{approvalBy("a")}, outcome(client.PolicyReplaced, `{"replacePolicy":{"policySteps":[{"prayer":{}}]}}`), told, Broken},
		{"replaced by an approval of nobody's", []Step{approvalBy("a")}, outcome(client.PolicyReplaced, `{"replacePolicy":{"policySteps":[{"approval":{}}]}}`), told, Broken},
		{"replaced by another shape", []Step{approvalBy("a")}, outcome(client.PolicyReplaced, `{"replacePolicy":{"policySteps":[{"approval":7}]}}`), told, Broken},
		{"completed", []Step{provision}, outcome(client.Completed, ""), told, Granted},
		{"completed, a step before others", []Step{provision, approvalBy("a")}, outcome(client.Completed, ""), []Step{approvalBy("a")}, ""},
		{"errored", []Step{provision}, outcome(client.Errored, ""), told, NotProvisioned},
		{"failed", []Step{provision}, outcome(client.Failed, ""), told, Broken},
		{"a kind of a newer server", []Step{approvalBy("a")}, outcome("ESCALATED", ""), told, Broken},
		{"told", told, outcome(client.Delivered, ""), nil, ""},
		{"nobody could be told", told, outcome(client.Failed, ""), nil, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := Request{ID: 1, Steps: slices.Clone(tt.steps), Asked: 3}
			after := before.after(tt.o)
			if diff := cmp.Diff(tt.want, after.Steps); diff != "" || after.Result != tt.result {
				t.Errorf("it came to %q, with the steps (-want +got)\n%s", after.Result, diff)
			}
			if asked := 3 + min(1, len(tt.want)); after.Asked != asked || after.closed() != (tt.want == nil) {
				t.Errorf("it has asked %d questions, want %d; closed: %t", after.Asked, asked, after.closed())
			}
			if !cmp.Equal(before.Steps, tt.steps) {
				t.Errorf("it changed the request that it began with: %v", before.Steps)
			}
		})
	}
}
