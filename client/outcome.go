package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/riposte-dev/riposte/apijson"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

// Kind says what an instance came to. A newer server may have kinds that are not
// among these.
type Kind string

const (
	Delivered      Kind = "DELIVERED" // the receiver took it, and nothing was asked
	Approved       Kind = "APPROVED"
	Denied         Kind = "DENIED"
	Reassigned     Kind = "REASSIGNED"      // Outcome.NewStepUserIDs says to whom
	PolicyReplaced Kind = "POLICY_REPLACED" // Outcome.PolicySteps says by what
	Completed      Kind = "COMPLETED"
	Errored        Kind = "ERRORED" // the receiver says that it could not do it
	Context        Kind = "CONTEXT" // Outcome.Context has it
	Failed         Kind = "FAILED"  // there is no answer: Outcome.Failure says why
)

// Via says by which way the answer came.
type Via string

const (
	ViaNone     Via = "NONE"     // nobody answered
	ViaSync     Via = "SYNC"     // the receiver's response
	ViaCallback Via = "CALLBACK" // the receiver, later
	ViaOperator Via = "OPERATOR" // a person, in the receiver's place
)

// FailureReason says why there is no answer.
type FailureReason string

const (
	Gone              FailureReason = "GONE"               // the receiver answered 410
	AttemptsExhausted FailureReason = "ATTEMPTS_EXHAUSTED" // no attempt reached it
	Expired           FailureReason = "EXPIRED"            // no answer came in time
	BadResponse       FailureReason = "BAD_RESPONSE"       // the answer is none that the source takes
	Canceled          FailureReason = "CANCELED"
	WebhookDeleted    FailureReason = "WEBHOOK_DELETED"
)

// Failure says why an outcome is Failed, for programs and for people.
type Failure struct {
	Reason  FailureReason
	Message string
}

// Outcome is what an instance came to. There is exactly one; it never changes.
type Outcome struct {
	InstanceID string
	WebhookID  string
	Source     Source
	Labels     map[string]string
	// State is the instance's, without its prefix: SUCCESS, FATAL_ERROR, or
	// PROCESS_RESPONSE as long as the outcome is being handed over.
	State    string
	Attempts int // HTTP attempts begun

	Kind      Kind
	Via       Via
	Comment   string
	Document  json.RawMessage // the answer's exact bytes; nil where there was none
	Failure   Failure         // of a Failed one
	DecidedAt time.Time       // UTC, in microseconds
	Sequence  int64           // its place in the order of all outcomes, from 1

	// Cursor is where a Watch goes on after this outcome. Only a Watch sets it.
	Cursor string
}

// NewStepUserIDs says to whom a Reassigned step goes, 1 to 32 ids; nil for any other
// kind.
func (o Outcome) NewStepUserIDs() []string {
	var ids []string
	o.read(Reassigned, &ids, "reassign", "newStepUserIds", "new_step_user_ids")
	return ids
}

// PolicySteps are the steps, 1 or more objects, that a PolicyReplaced policy has from
// now on; nil for any other kind.
func (o Outcome) PolicySteps() []json.RawMessage {
	var steps []json.RawMessage
	o.read(PolicyReplaced, &steps, "replacePolicy", "policySteps", "policy_steps")
	return steps
}

// Context is the object that a workflow goes on with, byte for byte; nil for any
// other kind than Context.
func (o Outcome) Context() json.RawMessage {
	if o.Kind != Context {
		return nil
	}
	return member(o.Document, "context")
}

// read finds a member of a member in the document of an outcome that has it. The
// server has checked the document, so what isn't there means another kind.
func (o Outcome) read(kind Kind, into any, outer string, inner ...string) {
	if o.Kind != kind {
		return
	}
	_ = json.Unmarshal(member(member(o.Document, outer, snakeNames[outer]), inner...), into)
}

// snakeNames are the other names that an answer may have, as in all proto3 JSON.
var snakeNames = map[string]string{"replacePolicy": "replace_policy"}

// member returns the member of an object that has one of the names and isn't null,
// nil when there is none. Names are exact, which a Go struct's are not.
func member(object json.RawMessage, names ...string) json.RawMessage {
	var members map[string]json.RawMessage
	_ = json.Unmarshal(object, &members)
	for _, name := range names {
		if value := members[name]; value != nil && string(value) != "null" {
			return value
		}
	}
	return nil
}

// ParseOutcome reads the payload of an outcome that the server pushed: the member
// payload of what came to an outcome URL, once that was verified (package receiver).
func ParseOutcome(payload []byte) (Outcome, error) {
	var members struct {
		Type     string          `json:"@type"`
		Instance json.RawMessage `json:"instance"`
	}
	const want = "type.googleapis.com/riposte.v1.PayloadOutcome"
	if err := json.Unmarshal(payload, &members); err != nil {
		return Outcome{}, fmt.Errorf("reading a pushed outcome: %w", err)
	}
	if members.Type != want {
		return Outcome{}, fmt.Errorf("reading a pushed outcome: its type is %q, not %q", members.Type, want)
	}
	var i ripostev1.Instance
	if err := apijson.Unmarshal(members.Instance, &i); err != nil {
		return Outcome{}, fmt.Errorf("reading a pushed outcome: %w", err)
	}
	if i.GetOutcome() == nil {
		return Outcome{}, errors.New("reading a pushed outcome: the instance has none")
	}
	return readOutcome(&i), nil
}

// readOutcome takes an instance that has its outcome.
func readOutcome(i *ripostev1.Instance) Outcome {
	w, o := i.GetWebhookInstance(), i.GetOutcome()
	out := Outcome{
		InstanceID: w.GetId(),
		WebhookID:  w.GetWebhookId(),
		Source:     readSource(w.GetSource()),
		Labels:     maps.Clone(i.GetLabels()),
		State:      strings.TrimPrefix(w.GetState().String(), "WEBHOOK_STATE_"),
		Attempts:   int(w.GetAttempts()),
		Kind:       Kind(strings.TrimPrefix(o.GetKind().String(), "OUTCOME_KIND_")),
		Via:        Via(strings.TrimPrefix(o.GetVia().String(), "OUTCOME_VIA_")),
		Comment:    o.GetComment(),
		DecidedAt:  o.GetDecidedAt().AsTime(),
		Sequence:   o.GetSequence(),
	}
	if d := o.GetDocumentJson(); d != "" {
		out.Document = json.RawMessage(d)
	}
	if f := o.GetFailure(); f != nil {
		out.Failure = Failure{Reason: FailureReason(strings.TrimPrefix(f.GetReason().String(), "FAILURE_REASON_")), Message: f.GetMessage()}
	}
	return out
}
