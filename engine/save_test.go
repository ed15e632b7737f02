package engine_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/riposte-dev/riposte"
)

func TestResultThatComesAfterACallbackIsOnlyRecorded(t *testing.T) {
	in(t, func(t *testing.T) {
		s, r := openStore(t), &receiver{script: takes(10 * time.Second)}
		start(t, s, r)
		i := askOne(t, s, newWebhook(t, s))
		pass(time.Second)
		answerByCallback(t, s, i.ID)
		pass(10 * time.Second)
		got := load(t, s, i.ID)
		if got.Outcome == nil || got.Outcome.Via != riposte.ViaCallback || got.CompletedAt.Sub(i.CreatedAt) != time.Second {
			t.Errorf("came to %+v at %s", got.Outcome, got.CompletedAt)
		}
		if all := attemptsOf(t, s, i.ID); len(all) != 1 || all[0].StatusCode != 200 || all[0].Duration != 10*time.Second {
			t.Errorf("the history has %+v", all)
		}
	})
}

// TestAttemptThatOutlivesItsLeaseIsMadeAgain: a process that was frozen comes
// back when its lease is another attempt's. What it has to say is recorded and
// changes nothing.
func TestAttemptThatOutlivesItsLeaseIsMadeAgain(t *testing.T) {
	in(t, func(t *testing.T) {
		s := openStore(t)
		r := &receiver{script: func(c riposte.ClaimedInstance) int {
			if c.Instance.Attempts == 1 {
				time.Sleep(riposte.LeaseDuration + time.Minute)
				return 410
			}
			return 200
		}}
		start(t, s, r)
		i := askOne(t, s, newWebhook(t, s))
		pass(riposte.LeaseDuration)
		got := load(t, s, i.ID)
		if got.State != riposte.StateSuccess || got.CompletedAt.Sub(i.CreatedAt) != riposte.LeaseDuration {
			t.Errorf("in %s, completed %s after it was created", got.State, got.CompletedAt.Sub(i.CreatedAt))
		}
		if all := attemptsOf(t, s, i.ID); len(all) != 2 || all[0].Error == nil || all[0].Error.Reason != "LEASE_RAN_OUT" {
			t.Errorf("the history has %+v while the first attempt hangs", all)
		}
		pass(time.Minute)
		if all := attemptsOf(t, s, i.ID); len(all) != 2 || all[0].StatusCode != 410 || all[1].StatusCode != 200 {
			t.Errorf("the history has %+v after the first attempt came back", all)
		}
		if got := load(t, s, i.ID); got.State != riposte.StateSuccess {
			t.Errorf("the late result moved it to %s", got.State)
		}
	})
}

func TestSaveIsTriedAgainWithinTheLease(t *testing.T) {
	in(t, func(t *testing.T) {
		s := &faulty{Store: openStore(t)}
		back := s.Now().Add(20 * time.Second)
		s.beforeSave = unavailableUntil(s, back)
		r := &receiver{}
		start(t, s, r)
		i := askOne(t, s, newWebhook(t, s))
		pass(time.Minute)
		got := load(t, s, i.ID)
		if got.State != riposte.StateSuccess || got.CompletedAt.Sub(back) > 2*time.Second {
			t.Errorf("in %s, completed %s after the store was back", got.State, got.CompletedAt.Sub(back))
		}
		if n := len(r.deliveries()); n != 1 {
			t.Errorf("%d attempts were made, want 1", n)
		}
	})
}

func TestSaveIsLeftWhenTheLeaseRanOut(t *testing.T) {
	in(t, func(t *testing.T) {
		s := &faulty{Store: openStore(t)}
		s.beforeSave = unavailableUntil(s, s.Now().Add(riposte.LeaseDuration+time.Second))
		r := &receiver{}
		e, _ := start(t, s, r)
		i := askOne(t, s, newWebhook(t, s))
		pass(riposte.LeaseDuration - 500*time.Millisecond)
		if n := e.InFlight(); n != 0 {
			t.Errorf("%d attempts are in flight at the end of the lease, want it given up", n)
		}
		pass(10 * time.Second)
		all := attemptsOf(t, s, i.ID)
		if len(all) != 2 || all[0].Error == nil || all[0].Error.Phase != riposte.PhaseUnknown || all[1].StatusCode != 200 {
			t.Errorf("the history has %+v", all)
		}
		if got := load(t, s, i.ID); got.State != riposte.StateSuccess {
			t.Errorf("in %s", got.State)
		}
	})
}

// TestSaveWhoseAnswerWasLostCountsOnce: the commit came about, the answer said
// otherwise.
func TestSaveWhoseAnswerWasLostCountsOnce(t *testing.T) {
	in(t, func(t *testing.T) {
		s := &faulty{Store: openStore(t)}
		s.afterSave = unavailableUntil(s, s.Now().Add(5*time.Second))
		r := &receiver{}
		start(t, s, r)
		i := askOne(t, s, newWebhook(t, s))
		pass(time.Minute)
		got := load(t, s, i.ID)
		if got.State != riposte.StateSuccess || !got.CompletedAt.Equal(i.CreatedAt) {
			t.Errorf("in %s, completed %s after it was created", got.State, got.CompletedAt.Sub(i.CreatedAt))
		}
		if all := attemptsOf(t, s, i.ID); len(all) != 1 || len(r.deliveries()) != 1 {
			t.Errorf("%d attempts in the history, %d made", len(all), len(r.deliveries()))
		}
	})
}

// TestSaveThatTheStoreRefusesIsLeft: what is no matter of time is not tried
// again.
func TestSaveThatTheStoreRefusesIsLeft(t *testing.T) {
	in(t, func(t *testing.T) {
		tries := 0
		s := &faulty{Store: openStore(t), beforeSave: func(riposte.Instance) error {
			tries++
			return errors.New("refused")
		}}
		e, _ := start(t, s, &receiver{})
		askOne(t, s, newWebhook(t, s))
		synctest.Wait()
		if n := e.InFlight(); n != 0 || tries != 1 {
			t.Errorf("%d in flight after %d tries", n, tries)
		}
	})
}

func unavailableUntil(s riposte.Store, back time.Time) func(riposte.Instance) error {
	return func(riposte.Instance) error {
		if s.Now().Before(back) {
			return riposte.ErrUnavailable
		}
		return nil
	}
}
