package riposte_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/riposte-dev/riposte"
)

func TestDueSaysWhatHappensToAnInstance(t *testing.T) {
	live, deleted := newWebhook(t), newWebhook(t)
	deleted.Delete(start)
	pending := newInstance(t, riposte.InstanceRequest{Source: sources[approvalStep]})
	running := runningInstance(t, approvalStep)
	retrying := advance(t, running, failed(riposte.RetryFastThenSlow), start.Add(time.Second))
	waiting := advance(t, running, attempted(202, ""), start.Add(time.Second))
	answered, err := running.Apply(attempted(200, goodDocuments[approvalStep]), start.Add(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	const leaseEnd = riposte.LeaseDuration
	for _, tt := range []struct {
		name    string
		i       riposte.Instance
		webhook riposte.Webhook
		at      time.Duration
		want    riposte.State
		reason  riposte.FailureReason
	}{
		{"pending", pending, live, 0, riposte.StateRunning, ""},
		{"pending, webhook deleted", pending, deleted, 0, riposte.StateFatalError, riposte.FailureWebhookDeleted},
		{"pending at expiresAt", pending, live, untilExpiry, riposte.StateFatalError, riposte.FailureExpired},
		{"pending at expiresAt, webhook deleted", pending, deleted, untilExpiry, riposte.StateFatalError, riposte.FailureExpired},
		{"running, lease over", running, live, leaseEnd, riposte.StateError, ""},
		{"running, lease over, webhook deleted", running, deleted, leaseEnd, riposte.StateError, ""},
		{"running at expiresAt", running, live, untilExpiry, riposte.StateFatalError, riposte.FailureExpired},
		{"error, delay over", retrying, live, 4 * time.Second, riposte.StateRunning, ""},
		{"error, delay over, webhook deleted", retrying, deleted, 4 * time.Second, riposte.StateFatalError, riposte.FailureWebhookDeleted},
		{"error at expiresAt", retrying, live, untilExpiry, riposte.StateFatalError, riposte.FailureExpired},
		{"waiting at expiresAt", waiting, live, untilExpiry, riposte.StateFatalError, riposte.FailureExpired},
		{"outcome not handed over", answered, live, time.Second, riposte.StateSuccess, ""},
		{"outcome not handed over, webhook deleted", answered, deleted, time.Second, riposte.StateSuccess, ""},
		{"outcome not handed over at expiresAt", answered, live, untilExpiry, riposte.StateSuccess, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			next, _, err := tt.i.Due(tt.webhook, start.Add(tt.at))
			if err != nil {
				t.Fatal(err)
			}
			var got riposte.FailureReason
			if next.Outcome != nil && next.Outcome.Failure != nil {
				got = next.Outcome.Failure.Reason
			}
			if next.State != tt.want || got != tt.reason {
				t.Errorf("it goes to %s (%s), want %s (%s)", next.State, got, tt.want, tt.reason)
			}
		})
	}
}

func TestDueRefusesWhatIsNotDue(t *testing.T) {
	w := newWebhook(t)
	pending := newInstance(t, riposte.InstanceRequest{Source: sources[approvalStep]})
	running := runningInstance(t, approvalStep)
	for name, tt := range map[string]struct {
		i  riposte.Instance
		at time.Time
	}{
		"pending, the clock went back": {pending, start.Add(-time.Microsecond)},
		"running, leased":              {running, start.Add(riposte.LeaseDuration - time.Microsecond)},
		"waiting":                      {advance(t, running, attempted(202, ""), start), running.ExpiresAt.Add(-time.Nanosecond)},
		"closed":                       {advance(t, running, riposte.Canceled{}, start), running.ExpiresAt.Add(time.Hour)},
	} {
		next, lost, err := tt.i.Due(w, tt.at)
		if err == nil || lost != nil || next.ID != "" {
			t.Errorf("%s: got %s, %v, %v", name, next.State, lost, err)
		}
	}
}

func TestLostLeaseLeavesARecordOfItsAttempt(t *testing.T) {
	i := runningInstance(t, approvalStep)
	next, lost, err := i.Due(newWebhook(t), start.Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	want := &riposte.Attempt{Number: 1, StartedAt: start, Error: &riposte.AttemptError{
		Phase: riposte.PhaseUnknown, Reason: "LEASE_RAN_OUT",
		Message: "the server stopped before it could record what came of this attempt",
	}}
	if diff := cmp.Diff(want, lost); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if next.State != riposte.StateError || !next.DueAt.Equal(start.Add(time.Minute)) {
		t.Errorf("it is in %s, due at %s, want the next attempt at once", next.State, next.DueAt)
	}
	again, lost, err := next.Due(newWebhook(t), start.Add(time.Minute))
	if err != nil || lost != nil || again.State != riposte.StateRunning || again.Attempts != 2 {
		t.Errorf("then it is in %s after %d attempts, lost %v, %v", again.State, again.Attempts, lost, err)
	}
}

func TestInstanceClosedInFlightLeavesARecordOfItsAttempt(t *testing.T) {
	i := runningInstance(t, approvalStep)
	want := &riposte.Attempt{Number: 1, StartedAt: start, Error: &riposte.AttemptError{
		Phase: riposte.PhaseUnknown, Reason: "INSTANCE_CLOSED", Message: "the instance was closed while this attempt was in flight",
	}}
	for name, next := range map[string]riposte.Instance{
		"canceled": advance(t, i, riposte.Canceled{}, start.Add(time.Second)),
		"expired":  advance(t, i, riposte.Expired{}, start.Add(untilExpiry)),
	} {
		if diff := cmp.Diff(want, i.InFlight(next)); diff != "" {
			t.Errorf("%s: -want +got\n%s", name, diff)
		}
	}
	waiting := advance(t, i, attempted(202, ""), start.Add(time.Second))
	if got := waiting.InFlight(advance(t, waiting, riposte.Canceled{}, start.Add(time.Second))); got != nil {
		t.Errorf("WAITING_CALLBACK has the attempt %v in flight", got)
	}
}

func TestLostLeaseWithPolicyFastEndsAtTheFiftiethAttempt(t *testing.T) {
	w := newWebhook(t)
	w.Settings.RetryPolicy = riposte.RetryFast
	for n, want := range map[int]riposte.State{49: riposte.StateError, 50: riposte.StateFatalError, 51: riposte.StateFatalError} {
		s := situation{state: riposte.StateRunning, events: func(riposte.SourceKind) []timed { return attempts(n) }}
		i, _ := s.in(t, approvalStep)
		next, lost, err := i.Due(w, i.DueAt)
		if err != nil || lost == nil || lost.Number != n || next.State != want {
			t.Errorf("attempt %d: to %s, lost %+v, %v, want %s", n, next.State, lost, err, want)
		}
	}
}

func TestNothingIsDueAfterExpiresAt(t *testing.T) {
	i := newInstance(t, riposte.InstanceRequest{Source: sources[approvalStep]})
	nearEnd := i.ExpiresAt.Add(-time.Second)
	running := advance(t, i, riposte.Claimed{}, nearEnd)
	if !running.DueAt.Equal(i.ExpiresAt) || !running.LeasedUntil.Equal(nearEnd.Add(riposte.LeaseDuration)) {
		t.Errorf("running: due at %s, leased until %s", running.DueAt, running.LeasedUntil)
	}
	retrying := advance(t, running, failed(riposte.RetryFastThenSlow), nearEnd.Add(time.Microsecond))
	if !retrying.DueAt.Equal(i.ExpiresAt) {
		t.Errorf("a retry after expiresAt is due at %s", retrying.DueAt)
	}
	if at := retrying.NextAttemptAt(); !at.IsZero() {
		t.Errorf("the next attempt is said to be at %s, but expiry comes first", at)
	}
}

func TestNextAttemptAtIsSetWhileOneIsToCome(t *testing.T) {
	pending := newInstance(t, riposte.InstanceRequest{Source: sources[approvalStep]})
	running := runningInstance(t, approvalStep)
	for name, tt := range map[string]struct {
		i    riposte.Instance
		want time.Time
	}{
		"pending":  {pending, start},
		"running":  {running, time.Time{}},
		"retrying": {advance(t, running, failed(riposte.RetryFast), start), start.Add(3 * time.Second)},
		"waiting":  {advance(t, running, attempted(202, ""), start), time.Time{}},
		"closed":   {advance(t, running, riposte.Canceled{}, start), time.Time{}},
	} {
		if got := tt.i.NextAttemptAt(); !got.Equal(tt.want) {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
}
