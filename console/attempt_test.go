package console

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/durationpb"

	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

func TestWaterfallFillsTheWholeAttempt(t *testing.T) {
	ms := func(n int) *durationpb.Duration { return durationpb.New(time.Duration(n) * time.Millisecond) }
	for _, tt := range []struct {
		name    string
		attempt *ripostev1.Attempt
		want    []phaseView
	}{
		{"all phases", &ripostev1.Attempt{Duration: ms(100), Phases: &ripostev1.AttemptPhases{Dns: ms(10), Connect: ms(20), Tls: ms(30), FirstByte: ms(30)}}, []phaseView{
			{"DNS", "phase-dns", "10 ms", 0, 100}, {"Connect", "phase-connect", "20 ms", 100, 200}, {"TLS", "phase-tls", "30 ms", 300, 300},
			{"First byte", "phase-first-byte", "30 ms", 600, 300}, {"Body", "phase-body", "10 ms", 900, 100},
		}},
		{"a connection that was there", &ripostev1.Attempt{Duration: ms(10), Phases: &ripostev1.AttemptPhases{FirstByte: ms(10)}}, []phaseView{
			{"First byte", "phase-first-byte", "10 ms", 0, 1000},
		}},
		{"a phase longer than what is left", &ripostev1.Attempt{Duration: ms(10), Phases: &ripostev1.AttemptPhases{Dns: ms(8), Connect: ms(8)}}, []phaseView{
			{"DNS", "phase-dns", "8.0 ms", 0, 800}, {"Connect", "phase-connect", "2.0 ms", 800, 200},
		}},
		{"a connection that never came about", &ripostev1.Attempt{Duration: ms(10), Error: &ripostev1.AttemptError{Phase: "connect"}, Phases: &ripostev1.AttemptPhases{Dns: ms(1)}}, []phaseView{
			{"DNS", "phase-dns", "1.0 ms", 0, 100}, {"Connect", "phase-connect", "9.0 ms", 100, 900},
		}},
		{"a response that broke off", &ripostev1.Attempt{Duration: ms(10), StatusCode: 200, Error: &ripostev1.AttemptError{Phase: "response"}, Phases: &ripostev1.AttemptPhases{FirstByte: ms(1)}}, []phaseView{
			{"First byte", "phase-first-byte", "1.0 ms", 0, 100}, {"Body", "phase-body", "9.0 ms", 100, 900},
		}},
		{"in flight", &ripostev1.Attempt{}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, waterfall(tt.attempt)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestOnlyTheLastAttemptsAreShown(t *testing.T) {
	var all []*ripostev1.Attempt
	for n := range 5 {
		all = append(all, &ripostev1.Attempt{Number: int32(n + 1)})
	}
	shown, hidden := attemptViews(all, 2)
	if hidden != 3 || len(shown) != 2 || shown[0].GetNumber() != 5 || shown[1].GetNumber() != 4 {
		t.Errorf("%d hidden, %v shown", hidden, shown)
	}
	if shown, hidden = attemptViews(all[:1], 2); hidden != 0 || len(shown) != 1 {
		t.Errorf("%d hidden, %v shown of one", hidden, shown)
	}
}

func TestResultsOfAttempts(t *testing.T) {
	timeout := &ripostev1.AttemptError{Phase: "response", Reason: "TIMEOUT"}
	for _, tt := range []struct {
		attempt *ripostev1.Attempt
		want    string
		failed  bool
	}{
		{&ripostev1.Attempt{StatusCode: 200}, "200", false},
		{&ripostev1.Attempt{StatusCode: 202}, "202", false},
		{&ripostev1.Attempt{StatusCode: 302}, "302", true},
		{&ripostev1.Attempt{StatusCode: 500}, "500", true},
		{&ripostev1.Attempt{StatusCode: 200, Error: timeout}, "200, then response TIMEOUT", true},
		{&ripostev1.Attempt{Error: timeout}, "response TIMEOUT", true},
		{&ripostev1.Attempt{}, "In flight", false},
	} {
		if got, failed := resultOf(tt.attempt); got != tt.want || failed != tt.failed {
			t.Errorf("%v: %q, %t", tt.attempt, got, failed)
		}
	}
}

// TestEveryFailureHasAHint: whoever reads one at night wants to know what to do.
func TestEveryFailureHasAHint(t *testing.T) {
	for code := int32(300); code < 600; code++ {
		if attemptHint(&ripostev1.Attempt{StatusCode: code}) == "" {
			t.Errorf("there is none for %d", code)
		}
	}
	for n := range ripostev1.FailureReason_name {
		reason := ripostev1.FailureReason(n)
		i := &ripostev1.Instance{Outcome: &ripostev1.Outcome{Failure: &ripostev1.Failure{Reason: reason, Message: "m"}}}
		switch got := summarize(i); {
		case reason == ripostev1.FailureReason_FAILURE_REASON_UNSPECIFIED, reason == ripostev1.FailureReason_FAILURE_REASON_CANCELED: // its message says it
		case got.Hint == "" || got.Class != "bad" || got.Text != "M.":
			t.Errorf("%s: %+v", reason, got)
		}
	}
	if got := attemptHint(&ripostev1.Attempt{StatusCode: 200}); got != "" {
		t.Errorf("a success has the hint %q", got)
	}
}
