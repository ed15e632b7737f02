package receiver_test

import (
	"math"
	"strings"
	"testing"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/receiver"
)

// TestDocuments shows each form, and that the server's own rules take it.
func TestDocuments(t *testing.T) {
	type step struct {
		Approver string `json:"approver"`
	}
	for _, tt := range []struct {
		document receiver.Document
		source   riposte.SourceKind
		kind     riposte.OutcomeKind
		want     string
	}{
		{receiver.Approve("fine <&> \"good\""), riposte.SourceApprovalStep, riposte.OutcomeApproved, `{"version":"v1","approve":{"comment":"fine <&> \"good\""}}`},
		{receiver.Approve(""), riposte.SourceApprovalStep, riposte.OutcomeApproved, `{"version":"v1","approve":{}}`},
		{receiver.Deny(strings.Repeat("ü", 1024)), riposte.SourceApprovalStep, riposte.OutcomeDenied, `{"version":"v1","deny":{"comment":"` + strings.Repeat("ü", 1024) + `"}}`},
		{receiver.Reassign("you", "u1", "u2"), riposte.SourceApprovalStep, riposte.OutcomeReassigned, `{"version":"v1","reassign":{"comment":"you","newStepUserIds":["u1","u2"]}}`},
		{receiver.ReplacePolicy("", step{"a"}, map[string]any{}), riposte.SourceApprovalStep, riposte.OutcomePolicyReplaced, `{"version":"v1","replacePolicy":{"policySteps":[{"approver":"a"},{}]}}`},
		{receiver.Complete("done"), riposte.SourceProvisionStep, riposte.OutcomeCompleted, `{"version":"v1","complete":{"comment":"done"}}`},
		{receiver.Errored("no"), riposte.SourceProvisionStep, riposte.OutcomeErrored, `{"version":"v1","errored":{"comment":"no"}}`},
		{receiver.Context(map[string]any{"a": 1}), riposte.SourceWorkflowStep, riposte.OutcomeContext, `{"version":"v1","context":{"a":1}}`},
		{receiver.VersionAlone(), riposte.SourceTest, riposte.OutcomeDelivered, `{"version":"v1"}`},
		{receiver.Raw([]byte(` {"approve":{}, "version":"v1"}`)), riposte.SourceApprovalStep, riposte.OutcomeApproved, ` {"approve":{}, "version":"v1"}`},
	} {
		got, err := tt.document.JSON()
		if err != nil || string(got) != tt.want {
			t.Errorf("%s, %v; want %s", got, err, tt.want)
		}
		if a, err := riposte.ParseAnswer(tt.source, got); err != nil || a.Kind != tt.kind {
			t.Errorf("%s is %s to the server, %v; want %s", got, a.Kind, err, tt.kind)
		}
	}
}

func TestDocumentsThatCannotBe(t *testing.T) {
	for name, d := range map[string]receiver.Document{
		"nothing":                 {},
		"a long comment":          receiver.Approve(strings.Repeat("x", 1025)),
		"a comment of bad bytes":  receiver.Deny("\xff"),
		"nobody to decide":        receiver.Reassign(""),
		"33 to decide":            receiver.Reassign("", strings.Split(strings.Repeat("u ", 32)+"u", " ")...),
		"an empty user":           receiver.Reassign("", "u", ""),
		"no steps":                receiver.ReplacePolicy(""),
		"a step that is a string": receiver.ReplacePolicy("", "step"),
		"a context that is null":  receiver.Context(nil),
		"a context of a number":   receiver.Context(math.NaN()),
		"a large context":         receiver.Context(map[string]any{"a": strings.Repeat("x", receiver.MaxDocumentSize)}),
		"raw junk":                receiver.Raw([]byte("junk")),
		"raw without a version":   receiver.Raw([]byte("{}")),
		"raw, and more":           receiver.Raw([]byte(`{"version":"v1"} x`)),
		"raw, too large":          receiver.Raw([]byte(`{"version":"v1"}` + strings.Repeat(" ", receiver.MaxDocumentSize))),
	} {
		if b, err := d.JSON(); err == nil {
			t.Errorf("%s makes %.80s", name, b)
		}
	}
}
