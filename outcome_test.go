package riposte_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/riposte-dev/riposte"
)

// answers has a document for every kind of outcome but FAILED.
var answers = []struct {
	source   riposte.SourceKind
	document string
	kind     riposte.OutcomeKind
	comment  string
}{
	{testSource, `{"version":"v1"}`, riposte.OutcomeDelivered, ""},
	{policyPostAction, `{"version":"v1"}`, riposte.OutcomeDelivered, ""},
	{approvalStep, `{"version":"v1","approve":{"comment":"c"}}`, riposte.OutcomeApproved, "c"},
	{approvalStep, `{"version":"v1","deny":{"comment":"c"}}`, riposte.OutcomeDenied, "c"},
	{approvalStep, `{"version":"v1","reassign":{"newStepUserIds":["u"]}}`, riposte.OutcomeReassigned, ""},
	{approvalStep, `{"version":"v1","replacePolicy":{"policySteps":[{}]}}`, riposte.OutcomePolicyReplaced, ""},
	{provisionStep, `{"version":"v1","complete":{}}`, riposte.OutcomeCompleted, ""},
	{provisionStep, `{"version":"v1","errored":{"comment":"c"}}`, riposte.OutcomeErrored, "c"},
	{workflowStep, `{"version":"v1","context":{}}`, riposte.OutcomeContext, ""},
}

// TestListsOfOutcomesAreComplete reads the constants from the source.
func TestListsOfOutcomesAreComplete(t *testing.T) {
	source, err := os.ReadFile("outcome.go")
	if err != nil {
		t.Fatal(err)
	}
	declared := map[string][]string{}
	for _, found := range regexp.MustCompile(`(?m)^\t\w+ +(\w+) += "(\w+)"`).FindAllStringSubmatch(string(source), -1) {
		declared[found[1]] = append(declared[found[1]], found[2])
	}
	var listed [2][]string
	for _, kind := range riposte.OutcomeKinds {
		listed[0] = append(listed[0], string(kind))
	}
	for _, reason := range riposte.FailureReasons {
		listed[1] = append(listed[1], string(reason))
	}
	if diff := cmp.Diff([2][]string{declared["OutcomeKind"], declared["FailureReason"]}, listed); diff != "" {
		t.Errorf("-declared +listed\n%s", diff)
	}
}

// runningInstance returns an instance whose first attempt began at start.
func runningInstance(t *testing.T, kind riposte.SourceKind) riposte.Instance {
	t.Helper()
	return advance(t, newInstance(t, riposte.InstanceRequest{Source: sources[kind]}), riposte.Claimed{}, start)
}

func advance(t *testing.T, i riposte.Instance, e riposte.Event, now time.Time) riposte.Instance {
	t.Helper()
	next, err := i.Advance(e, now)
	if err != nil {
		t.Fatalf("%T in %s: %v", e, i.State, err)
	}
	return next
}

func TestSynchronousAnswerIsTheOutcome(t *testing.T) {
	now := start.Add(time.Second)
	for _, tt := range answers {
		i := advance(t, runningInstance(t, tt.source), attempted(200, tt.document), now)
		checkOutcome(t, i, riposte.StateSuccess, riposte.Outcome{
			Kind: tt.kind, Via: riposte.ViaSync, Document: []byte(tt.document), Comment: tt.comment, DecidedAt: now,
		})
	}
}

func TestLaterAnswerIsTheOutcomeAndSaysWhichWayItCame(t *testing.T) {
	now := start.Add(time.Hour)
	for _, tt := range answers {
		a, err := riposte.ParseAnswer(tt.source, []byte(tt.document))
		if err != nil {
			t.Fatal(err)
		}
		waiting := advance(t, runningInstance(t, tt.source), attempted(202, ""), start.Add(time.Second))
		for _, via := range []riposte.Via{riposte.ViaCallback, riposte.ViaOperator} {
			i := advance(t, waiting, riposte.Answered{Via: via, Answer: a}, now)
			checkOutcome(t, i, riposte.StateSuccess, riposte.Outcome{
				Kind: tt.kind, Via: via, Document: []byte(tt.document), Comment: tt.comment, DecidedAt: now,
			})
		}
	}
}

// TestTestAndPostActionKeepABodyOnlyIfItIsADocument: documentJson is an answer,
// not whatever a web server says with its 200.
func TestTestAndPostActionKeepABodyOnlyIfItIsADocument(t *testing.T) {
	now := start.Add(time.Second)
	for name, e := range map[string]riposte.Attempted{
		"nothing":                     attempted(204, ""),
		"text":                        attempted(200, "OK"),
		"another document":            attempted(200, `{"status":"ok"}`),
		"more than fits":              tooLong(200),
		"a document that broke off":   brokenOff(200),
		"a document, no longer whole": cutDocument(),
	} {
		for _, kind := range []riposte.SourceKind{testSource, policyPostAction} {
			t.Run(name, func(t *testing.T) {
				i := advance(t, runningInstance(t, kind), e, now)
				checkOutcome(t, i, riposte.StateSuccess, riposte.Outcome{Kind: riposte.OutcomeDelivered, Via: riposte.ViaSync, DecidedAt: now})
			})
		}
	}
}

// cutDocument looks whole up to where it was cut off.
func cutDocument() riposte.Attempted {
	e := attempted(200, `{"version":"v1"}`)
	e.Result.Cut = true
	return e
}

func TestBadResponseSaysWhatWasWrongAndWhere(t *testing.T) {
	now := start.Add(time.Second)
	for _, tt := range []struct {
		e    riposte.Attempted
		says string
	}{
		{attempted(200, ""), "bad response document: it is empty"},
		{attempted(200, "OK"), "bad response document: not valid JSON at byte 1"},
		{attempted(200, `{"version":"v1","deny":{"comment":1}}`), "bad response document: deny.comment must be a string"},
		{tooLong(200), "bad response document: it is larger than 256000 bytes"},
	} {
		i := advance(t, runningInstance(t, approvalStep), tt.e, now)
		failure := i.Outcome.Failure
		if failure == nil || !strings.HasPrefix(failure.Message, tt.says) {
			t.Errorf("the failure is %+v, want it to say %q", failure, tt.says)
			continue
		}
		checkOutcome(t, i, riposte.StateFatalError, riposte.Outcome{
			Kind: riposte.OutcomeFailed, Via: riposte.ViaSync, DecidedAt: now,
			Failure: &riposte.Failure{Reason: riposte.FailureBadResponse, Message: failure.Message},
		})
	}
}

func TestFailureSaysWhyAndThatNobodyAnswered(t *testing.T) {
	now := start.Add(time.Second)
	i := runningInstance(t, approvalStep)
	for _, tt := range []struct {
		e       riposte.Event
		at      time.Time
		reason  riposte.FailureReason
		message string
	}{
		{attempted(410, ""), now, riposte.FailureGone, "the receiver answered 410 Gone"},
		{riposte.Canceled{Message: "no longer needed"}, now, riposte.FailureCanceled, "no longer needed"},
		{riposte.Expired{}, i.ExpiresAt, riposte.FailureExpired, "no answer came before expiresAt"},
		{attempted(200, goodDocuments[approvalStep]), i.ExpiresAt, riposte.FailureExpired, "no answer came before expiresAt"},
	} {
		got := advance(t, i, tt.e, tt.at)
		checkOutcome(t, got, riposte.StateFatalError, riposte.Outcome{
			Kind: riposte.OutcomeFailed, Via: riposte.ViaNone, DecidedAt: tt.at,
			Failure: &riposte.Failure{Reason: tt.reason, Message: tt.message},
		})
	}
}

func TestExhaustedSaysHowManyAttemptsFailed(t *testing.T) {
	s := situation{state: riposte.StateRunning, events: func(riposte.SourceKind) []timed { return attempts(50) }}
	i, _ := s.in(t, approvalStep)
	i = advance(t, i, failed(riposte.RetryFast), i.LastAttemptedAt.Add(time.Second))
	if got, want := i.Outcome.Failure.Message, "all 50 attempts failed"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestPointerToAnEventIsRefused(t *testing.T) {
	i := newInstance(t, riposte.InstanceRequest{Source: sources[approvalStep]})
	if _, err := i.Apply(&riposte.Claimed{}, start); reason(t, err) != "TRANSITION_REFUSED" {
		t.Errorf("got %v", err)
	}
}

func checkOutcome(t *testing.T, i riposte.Instance, state riposte.State, want riposte.Outcome) {
	t.Helper()
	if i.State != state || !i.CompletedAt.Equal(want.DecidedAt) {
		t.Errorf("it is in %s, completed at %s, want %s at %s", i.State, i.CompletedAt, state, want.DecidedAt)
	}
	if diff := cmp.Diff(&want, i.Outcome); diff != "" {
		t.Errorf("the outcome: -want +got\n%s", diff)
	}
}
