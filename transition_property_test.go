package riposte_test

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/riposte-dev/riposte"
)

// legalSteps are the arrows of DESIGN.md's table.
func legalSteps() map[[2]riposte.State]bool {
	legal := map[[2]riposte.State]bool{}
	for _, row := range design {
		for _, from := range row.from {
			for _, to := range row.to {
				legal[[2]riposte.State{from, to}] = true
				from = to
			}
		}
	}
	return legal
}

func TestAnyHistoryKeepsTheInvariants(t *testing.T) {
	pending := map[string]riposte.Instance{}
	for _, kind := range riposte.SourceKinds {
		for _, url := range []string{"", outcomeURL} {
			pending[string(kind)+url] = newInstance(t, riposte.InstanceRequest{Source: sources[kind], CallbackTimeout: riposte.MinCallbackTimeout, OutcomeURL: url})
		}
	}
	live, deleted := newWebhook(t), newWebhook(t)
	deleted.Delete(start)
	legal := legalSteps()

	rapid.Check(t, func(rt *rapid.T) {
		i := pending[string(rapid.SampledFrom(riposte.SourceKinds).Draw(rt, "source"))+rapid.SampledFrom([]string{"", outcomeURL}).Draw(rt, "outcome URL")]
		webhook := live
		if rapid.Bool().Draw(rt, "webhook deleted") {
			webhook = deleted
		}
		var past []snapshot
		now := start
		for range rapid.IntRange(1, 80).Draw(rt, "events") {
			now = drawTime(rt, i, now)
			past = append(past, snapshotOf(i))
			next, ok := step(rt, i, webhook, now)
			if !ok {
				continue
			}
			checkShape(rt, next)
			checkStep(rt, i, next, legal)
			i = next
			if rapid.IntRange(0, 3).Draw(rt, "saved") == 0 {
				i = i.Stored(i.Version + 1)
			}
		}
		for _, s := range past {
			s.checkUnchanged(rt)
		}
		checkEnds(rt, i, webhook, now)
	})
}

// drawTime moves the clock: mostly on, now and then back, and often to just
// where the state machine looks.
func drawTime(rt *rapid.T, i riposte.Instance, now time.Time) time.Time {
	near := rapid.SampledFrom([]time.Duration{-time.Microsecond, -1, 0, 1, time.Microsecond}).Draw(rt, "near")
	switch rapid.IntRange(0, 9).Draw(rt, "clock") {
	case 0:
		return i.ExpiresAt.Add(near)
	case 1, 2, 3:
		if !i.DueAt.IsZero() {
			return i.DueAt.Add(near)
		}
		return now
	case 4:
		return now.Add(-time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(rt, "back")))
	case 5:
		return now.Add(time.Duration(rapid.Int64Range(0, int64(6*time.Hour)).Draw(rt, "long")))
	default:
		return now.Add(time.Duration(rapid.Int64Range(0, int64(time.Minute)).Draw(rt, "on")))
	}
}

// step lets one event happen, by one of the three ways there are.
func step(rt *rapid.T, i riposte.Instance, w riposte.Webhook, now time.Time) (riposte.Instance, bool) {
	if rapid.IntRange(0, 3).Draw(rt, "way") == 0 {
		return stepDue(rt, i, w, now)
	}
	e := drawEvent(rt, i)
	apply := i.Apply
	if rapid.Bool().Draw(rt, "advance") {
		apply = i.Advance
	}
	next, err := apply(e, now)
	if i.State.Closed() && err == nil {
		rt.Fatalf("%s took %T", i.State, e)
	}
	if err != nil {
		return riposte.Instance{}, false
	}
	checkEvent(rt, i, next, e, riposte.Time(now))
	return next, true
}

// stepDue is what a store's Claim does. It must have an answer for everything
// that is due, else the instance would be claimed for ever.
func stepDue(rt *rapid.T, i riposte.Instance, w riposte.Webhook, now time.Time) (riposte.Instance, bool) {
	next, lost, err := i.Due(w, now)
	isDue := !i.DueAt.IsZero() && !now.Before(i.DueAt)
	if isDue != (err == nil) {
		rt.Fatalf("%s due at %s, at %s: Due says %v", i.State, i.DueAt, now, err)
	}
	if err == nil && (i.State == riposte.StateRunning) != (lost != nil) {
		rt.Fatalf("%s to %s: the attempt in flight is %v", i.State, next.State, lost)
	}
	return next, err == nil
}

func drawEvent(rt *rapid.T, i riposte.Instance) riposte.Event {
	switch e := rapid.SampledFrom(variants).Draw(rt, "event").make(i.Source.Kind).(type) {
	case riposte.Attempted:
		e.Policy = drawPolicy(rt)
		e.Jitter = rapid.Float64Range(0, 0.9999999).Draw(rt, "jitter")
		if rapid.Bool().Draw(rt, "Retry-After sent") {
			e.Result.RetryAfter = time.Duration(rapid.Int64Range(0, int64(3*time.Hour)).Draw(rt, "Retry-After"))
		}
		return e
	case riposte.Pushed:
		e.Jitter = rapid.Float64Range(0, 0.9999999).Draw(rt, "jitter")
		return e
	case riposte.LeaseRanOut:
		return riposte.LeaseRanOut{Policy: drawPolicy(rt)}
	default:
		return e
	}
}

func drawPolicy(rt *rapid.T) riposte.RetryPolicy {
	return rapid.SampledFrom([]riposte.RetryPolicy{riposte.RetryFast, riposte.RetryFastThenSlow}).Draw(rt, "policy")
}

// checkShape checks what holds of every instance, whatever happened before.
func checkShape(rt *rapid.T, i riposte.Instance) {
	closed := i.State.Closed()
	must := func(ok bool, rule string) {
		if !ok {
			rt.Fatalf("%s: %+v", rule, i)
		}
	}
	pushing := i.State == riposte.StateProcessResponse && i.OutcomeURL != ""
	must(i.DueAt.IsZero() == (closed || pushing && !i.Push.GivenUpAt.IsZero()), "DueAt is zero when closed or given up only")
	must(pushing || !i.DueAt.After(i.ExpiresAt), "DueAt is never after ExpiresAt")
	must(!pushing || i.DueAt.IsZero() || !i.DueAt.After(i.Push.Since.Add(riposte.PushPeriod+riposte.LeaseDuration)) || !i.LeasedUntil.IsZero(), "nothing is pushed for longer than PushPeriod")
	must(pushing || i.LeasedUntil.IsZero() == (i.State != riposte.StateRunning), "LeasedUntil is set in RUNNING and for a push only")
	must((i.Push != nil) == (i.OutcomeURL != "" && i.Outcome != nil), "there is a push for an outcome with a URL, and for no other")
	if p := i.Push; p != nil {
		must((p.Attempts == 0) == p.LastAttemptedAt.IsZero(), "Push.LastAttemptedAt is set once pushed")
		must(p.Tries <= p.Attempts, "no more tries than attempts")
		must(!closed || p.Attempts > 0, "with a URL nothing closes without a push")
	}
	must(i.CompletedAt.IsZero() != closed, "CompletedAt is set in a closed state only")
	must(i.LastAttemptedAt.Before(i.ExpiresAt), "nothing is attempted at or after ExpiresAt")
	must((i.Attempts == 0) == i.LastAttemptedAt.IsZero(), "LastAttemptedAt is set once attempted")
	must((i.Outcome != nil) == (closed || i.State == riposte.StateProcessResponse), "there is an outcome from PROCESS_RESPONSE on")
	for _, at := range []time.Time{i.UpdatedAt, i.DueAt, i.LeasedUntil, i.LastAttemptedAt, i.CompletedAt} {
		must(at.Equal(at.Truncate(time.Microsecond)), "times have whole microseconds")
	}
	if o := i.Outcome; o != nil {
		must((o.Kind == riposte.OutcomeFailed) == (o.Failure != nil), "a failed outcome says why")
		expired := o.Failure != nil && o.Failure.Reason == riposte.FailureExpired
		must(expired != o.DecidedAt.Before(i.ExpiresAt), "at or after ExpiresAt, and only then, the outcome is EXPIRED")
		must((i.State == riposte.StateSuccess) == (closed && o.Failure == nil), "SUCCESS is the state of every outcome but a failure")
	}
}

// checkStep checks what a change may do.
func checkStep(rt *rapid.T, before, after riposte.Instance, legal map[[2]riposte.State]bool) {
	if before.State.Closed() {
		rt.Fatalf("%s changed to %s", before.State, after.State)
	}
	if d := after.Attempts - before.Attempts; d != 0 && (d != 1 || after.State != riposte.StateRunning) {
		rt.Fatalf("%s to %s: attempts from %d to %d", before.State, after.State, before.Attempts, after.Attempts)
	}
	if before.Outcome != nil && !cmp.Equal(before.Outcome, after.Outcome) {
		rt.Fatalf("the outcome changed: %s", cmp.Diff(before.Outcome, after.Outcome))
	}
	known := len(before.Steps())
	steps := after.Steps()
	if len(steps) <= known || !slices.Equal(steps[:known], before.Steps()) || steps[len(steps)-1] != after.State {
		rt.Fatalf("after the steps %v come %v, in %s", before.Steps(), steps, after.State)
	}
	for n := known; n < len(steps); n++ {
		if !legal[[2]riposte.State{steps[n-1], steps[n]}] {
			rt.Fatalf("%s to %s is not in the table", steps[n-1], steps[n])
		}
	}
	before.State, before.Attempts, before.UpdatedAt, before.LastAttemptedAt = after.State, after.Attempts, after.UpdatedAt, after.LastAttemptedAt
	before.CompletedAt, before.DueAt, before.LeasedUntil, before.Outcome = after.CompletedAt, after.DueAt, after.LeasedUntil, after.Outcome
	if before.Outcome != nil {
		before.Push = after.Push
	}
	if b, a := before.Stored(0), after.Stored(0); !reflect.DeepEqual(b, a) {
		rt.Fatalf("a field changed that no event changes: %s", cmp.Diff(b, a, cmp.AllowUnexported(riposte.Instance{})))
	}
}

// checkEvent checks the times that an event sets.
func checkEvent(rt *rapid.T, before, after riposte.Instance, e riposte.Event, now time.Time) {
	if !after.UpdatedAt.Equal(now) {
		rt.Fatalf("updated at %s, not %s", after.UpdatedAt, now)
	}
	switch e := e.(type) {
	case riposte.Claimed:
		if before.DueAt.After(now) || !after.LeasedUntil.Equal(now.Add(riposte.LeaseDuration)) || !after.LastAttemptedAt.Equal(now) {
			rt.Fatalf("claimed at %s: due at %s, leased until %s", now, before.DueAt, after.LeasedUntil)
		}
	case riposte.Attempted:
		if after.State == riposte.StateError && after.DueAt.Before(after.ExpiresAt) {
			checkGap(rt, after, e, after.DueAt.Sub(now))
		}
	case riposte.LeaseRanOut, riposte.RetryRequested:
		if after.State == riposte.StateError && !after.DueAt.Equal(now) {
			rt.Fatalf("after %T due at %s, not at once", e, after.DueAt)
		}
	}
}

// checkGap: PROTOCOL.md section 3.
func checkGap(rt *rapid.T, i riposte.Instance, e riposte.Attempted, gap time.Duration) {
	lo, hi := 3*time.Second, 15*time.Second
	if i.Attempts >= 50 {
		lo, hi = time.Minute, time.Hour
		if e.Policy == riposte.RetryFast {
			rt.Fatalf("policy FAST goes on after attempt %d", i.Attempts)
		}
	}
	lo = max(lo, min(hi, e.Result.RetryAfter).Truncate(time.Microsecond))
	if gap < lo || gap > hi {
		rt.Fatalf("the gap after attempt %d is %s, outside %s to %s", i.Attempts, gap, lo, hi)
	}
}

// checkEnds: whatever has happened, looking when due closes the instance at
// expiresAt at the latest, or has its outcome pushed.
func checkEnds(rt *rapid.T, i riposte.Instance, w riposte.Webhook, now time.Time) {
	if now.Before(i.ExpiresAt) {
		now = i.ExpiresAt
	}
	if i.DueAt.IsZero() {
		return
	}
	if now.Before(i.DueAt) {
		now = i.DueAt
	}
	next, _, err := i.Due(w, now)
	if err != nil || !next.State.Closed() && (next.OutcomeURL == "" || next.State != riposte.StateProcessResponse) {
		rt.Fatalf("%s is in %s after expiresAt: %v", i.State, next.State, err)
	}
	checkShape(rt, next)
}

// snapshot is an instance and a copy of all that it points to, which later
// events on it must not have reached.
type snapshot struct {
	instance, copied riposte.Instance
	steps            []riposte.State
}

func snapshotOf(i riposte.Instance) snapshot {
	s := snapshot{instance: i, copied: i, steps: slices.Clone(i.Steps())}
	if i.Outcome != nil {
		outcome := *i.Outcome
		outcome.Document = slices.Clone(outcome.Document)
		s.copied.Outcome = &outcome
	}
	if i.Push != nil {
		push := *i.Push
		s.copied.Push = &push
	}
	return s
}

func (s snapshot) checkUnchanged(rt *rapid.T) {
	if !reflect.DeepEqual(s.copied, s.instance) {
		rt.Fatalf("a later event changed an earlier value: %s", cmp.Diff(s.copied, s.instance, cmp.AllowUnexported(riposte.Instance{})))
	}
	if !slices.Equal(s.steps, s.instance.Steps()) {
		rt.Fatalf("a later event changed an earlier value's steps from %v to %v", s.steps, s.instance.Steps())
	}
}

// TestTwoEventsOnOneInstanceDoNotMeet: nodes race with the same loaded value,
// and the loser must not show in what the winner saves. Histories of several
// lengths leave the slice of steps with and without spare room.
func TestTwoEventsOnOneInstanceDoNotMeet(t *testing.T) {
	i := advance(t, runningInstance(t, approvalStep), failed(riposte.RetryFast), start)
	for range 8 {
		i = advance(t, i, riposte.RetryRequested{}, start)
		winner := advance(t, i, riposte.Answered{Via: riposte.ViaCallback, Answer: goodAnswer(t, approvalStep)}, start)
		advance(t, i, riposte.Canceled{}, start)
		want := append(slices.Clone(i.Steps()), riposte.StateProcessResponse, riposte.StateSuccess)
		if !slices.Equal(winner.Steps(), want) {
			t.Errorf("the winner passed %v, want %v", winner.Steps(), want)
		}
	}
}
