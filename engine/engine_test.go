package engine_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/engine"
)

func TestNewInstanceIsAttemptedAtOnce(t *testing.T) {
	in(t, func(t *testing.T) {
		s, r := openStore(t), &receiver{}
		start(t, s, r)
		pass(10 * time.Second) // into the idle loop's pause
		i := askOne(t, s, newWebhook(t, s))
		synctest.Wait()
		got := load(t, s, i.ID)
		if got.State != riposte.StateSuccess || !got.CompletedAt.Equal(i.CreatedAt) {
			t.Errorf("in %s, completed %s after it was created", got.State, got.CompletedAt.Sub(i.CreatedAt))
		}
	})
}

func TestWhatWasDueBeforeTheStartIsAttemptedAtOnce(t *testing.T) {
	in(t, func(t *testing.T) {
		s, r := openStore(t), &receiver{}
		i := askOne(t, s, newWebhook(t, s))
		pass(time.Hour)
		started := s.Now()
		start(t, s, r)
		synctest.Wait()
		if got := load(t, s, i.ID); !got.CompletedAt.Equal(started) {
			t.Errorf("in %s, completed %s after the start", got.State, got.CompletedAt.Sub(started))
		}
	})
}

// TestEachRetryComesAtItsDueTime goes through the fast phase and into the slow
// one, whose delays are longer than the loop's own pause.
func TestEachRetryComesAtItsDueTime(t *testing.T) {
	in(t, func(t *testing.T) {
		s, r := openStore(t), &receiver{script: func(riposte.ClaimedInstance) int { return 500 }}
		var due []time.Time
		defer s.Subscribe(func(i riposte.Instance) {
			if i.State == riposte.StateError {
				due = append(due, i.DueAt)
			}
		})()
		start(t, s, r)
		i := askOne(t, s, newWebhook(t, s))
		pass(3 * time.Hour)

		made := r.deliveries()
		if len(made) < riposte.FastAttempts+3 {
			t.Fatalf("%d attempts in 3 h, want more than the fast phase's %d", len(made), riposte.FastAttempts)
		}
		want := append([]time.Time{i.CreatedAt}, due...)
		for n, d := range made {
			if !d.at.Equal(want[n]) {
				t.Errorf("attempt %d was made at %s, due at %s", d.attempt, d.at, want[n])
			}
		}
	})
}

// TestRetryAskedForComesAtOnce: RetryNow makes an instance due earlier than the
// loop meant to look.
func TestRetryAskedForComesAtOnce(t *testing.T) {
	in(t, func(t *testing.T) {
		s := openStore(t)
		r := &receiver{script: func(c riposte.ClaimedInstance) int {
			if c.Instance.Attempts == 1 {
				return 500
			}
			return 200
		}}
		start(t, s, r)
		i := askOne(t, s, newWebhook(t, s))
		pass(time.Second)
		next, err := load(t, s, i.ID).Advance(riposte.RetryRequested{}, s.Now())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.SaveInstance(t.Context(), next, nil); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := load(t, s, i.ID); got.State != riposte.StateSuccess || got.CompletedAt.Sub(i.CreatedAt) != time.Second {
			t.Errorf("in %s after %s", got.State, got.CompletedAt.Sub(i.CreatedAt))
		}
	})
}

func TestInstanceExpiresOnTime(t *testing.T) {
	for name, status := range map[string]int{"while it waits for its callback": 202, "between attempts": 500} {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T) {
				s, r := openStore(t), &receiver{script: func(riposte.ClaimedInstance) int { return status }}
				start(t, s, r)
				w := newWebhook(t, s, expiresShortly)
				i := askOne(t, s, w)
				pass(shortly)
				got := load(t, s, i.ID)
				if got.Outcome == nil || got.Outcome.Failure == nil || got.Outcome.Failure.Reason != riposte.FailureExpired || !got.CompletedAt.Equal(i.ExpiresAt) {
					t.Errorf("came to %+v at %s, expires at %s", got.Outcome, got.CompletedAt, i.ExpiresAt)
				}
			})
		})
	}
}

// TestInstanceExpiresWhileItsAttemptHangs and its webhook has no room for
// anything else.
func TestInstanceExpiresWhileItsAttemptHangs(t *testing.T) {
	in(t, func(t *testing.T) {
		s := openStore(t)
		r := &receiver{script: func(c riposte.ClaimedInstance) int {
			if !time.Now().Before(c.Instance.ExpiresAt.Add(-time.Minute)) {
				time.Sleep(riposte.AttemptTimeout)
			}
			return 500
		}}
		w := newWebhook(t, s, bound(1), expiresShortly)
		i := askOne(t, s, w)
		pass(shortly - 10*time.Second)
		start(t, s, r)
		pass(10 * time.Second)
		if got := load(t, s, i.ID); !got.CompletedAt.Equal(i.ExpiresAt) {
			t.Errorf("in %s, completed at %s, expires at %s", got.State, got.CompletedAt, i.ExpiresAt)
		}
		pass(riposte.AttemptTimeout)
		if all := attemptsOf(t, s, i.ID); len(all) != 1 || all[0].Duration != riposte.AttemptTimeout {
			t.Errorf("the history has %+v", all)
		}
	})
}

func TestWebhooksBoundHolds(t *testing.T) {
	in(t, func(t *testing.T) {
		s, r := openStore(t), &receiver{script: takes(time.Second)}
		start(t, s, r)
		narrow, wide := newWebhook(t, s, bound(3)), newWebhook(t, s, bound(20))
		ask(t, s, narrow, 30)
		ask(t, s, wide, 30)
		pass(10*time.Second - time.Millisecond)
		if narrow, wide := r.mostInFlight(narrow.ID), r.mostInFlight(wide.ID); narrow != 3 || wide != 20 {
			t.Errorf("at most %d and %d were in flight, the bounds are 3 and 20", narrow, wide)
		}
		// A place that becomes free is taken at that moment: thirty by threes
		// take ten times a second.
		pass(time.Millisecond)
		if n := countIn(t, s, riposte.StateSuccess); n != 60 {
			t.Errorf("%d of 60 are done after 10 s", n)
		}
	})
}

func TestBoundInAllHolds(t *testing.T) {
	in(t, func(t *testing.T) {
		s, r := openStore(t), &receiver{script: takes(time.Second)}
		e, _ := start(t, s, r, func(o *engine.Options) { o.MaxInFlight = 7 })
		for range 5 {
			ask(t, s, newWebhook(t, s), 14)
		}
		synctest.Wait()
		if n := e.InFlight(); n != 7 {
			t.Errorf("%d in flight, want all 7 places taken", n)
		}
		pass(10 * time.Second)
		if n := r.mostInFlight(""); n != 7 {
			t.Errorf("at most %d were in flight, the bound is 7", n)
		}
		if n := countIn(t, s, riposte.StateSuccess); n != 70 {
			t.Errorf("%d of 70 are done after 10 s", n)
		}
	})
}

// TestBacklogIsClaimedInSteps, and yet at once.
func TestBacklogIsClaimedInSteps(t *testing.T) {
	in(t, func(t *testing.T) {
		largest := 0
		s := &faulty{Store: openStore(t), beforeClaim: func(r riposte.ClaimRequest) error {
			largest = max(largest, r.Limit)
			return nil
		}}
		ask(t, s, newWebhook(t, s, bound(400)), 450)
		e, _ := start(t, s, &receiver{script: takes(time.Second)})
		synctest.Wait()
		if n := e.InFlight(); n != 400 {
			t.Errorf("%d are in flight at once, want 400", n)
		}
		if largest > 200 {
			t.Errorf("one claim was for %d", largest)
		}
	})
}

// TestHangingReceiverCostsTheOthersNothing: whatever its backlog.
func TestHangingReceiverCostsTheOthersNothing(t *testing.T) {
	in(t, func(t *testing.T) {
		s := openStore(t)
		hanging := newWebhook(t, s)
		r := &receiver{script: func(c riposte.ClaimedInstance) int {
			if c.Webhook.ID == hanging.ID {
				time.Sleep(riposte.AttemptTimeout)
				return 0
			}
			return 200
		}}
		ask(t, s, hanging, 500)
		start(t, s, r)
		pass(time.Second)
		healthy := newWebhook(t, s)
		asked := s.Now()
		ask(t, s, healthy, 200)
		synctest.Wait()
		if n := countIn(t, s, riposte.StateSuccess); n != 200 {
			t.Errorf("the healthy receiver's: %d of 200 are done at once", n)
		}
		if since := s.Now().Sub(asked); since != 0 {
			t.Errorf("it took %s", since)
		}
	})
}

// takes is a script that answers 200 after d.
func takes(d time.Duration) func(riposte.ClaimedInstance) int {
	return func(riposte.ClaimedInstance) int {
		time.Sleep(d)
		return 200
	}
}

func countIn(t *testing.T, s riposte.Store, state riposte.State) int {
	t.Helper()
	page, err := s.ListInstances(t.Context(), riposte.InstanceFilter{State: state, Limit: 10_000})
	if err != nil {
		t.Fatal(err)
	}
	return len(page.Instances)
}

// TestNewInstanceNeedsOneCommit: where nothing waits, it is claimed by the
// transaction that creates it.
func TestNewInstanceNeedsOneCommit(t *testing.T) {
	in(t, func(t *testing.T) {
		s := &prying{Store: openStore(t)}
		s.webhook = newWebhook(t, s.Store, bound(1))
		start(t, s, &receiver{})
		pass(time.Second)
		claims := len(s.during)
		i := askOne(t, s, s.webhook)
		if i.State != riposte.StatePending {
			t.Errorf("it is created in %s", i.State)
		}
		pass(time.Second)
		if got := load(t, s, i.ID); !got.State.Closed() || len(s.during) != claims {
			t.Errorf("it is in %s after %d claims, want it closed without one", got.State, len(s.during)-claims)
		}
	})
}

// TestBoundHoldsForNewInstances: creations and claims keep to it, and none is
// forgotten.
func TestBoundHoldsForNewInstances(t *testing.T) {
	in(t, func(t *testing.T) {
		s := openStore(t)
		const most, callers, rounds, batch = 3, 3, 5, 5
		w := newWebhook(t, s, bound(most))
		r := &receiver{script: func(riposte.ClaimedInstance) int {
			time.Sleep(time.Millisecond)
			return 200
		}}
		e, _ := start(t, s, r)
		for range rounds {
			pass(time.Second) // nothing waits, so that creations are taken
			var creating sync.WaitGroup
			for range callers {
				creating.Go(func() { ask(t, s, w, batch) })
			}
			creating.Wait()
		}
		pass(time.Second)
		if got := r.most[w.ID]; got != most {
			t.Errorf("%d attempts were in flight, want %d", got, most)
		}
		if n := e.InFlight(); n != 0 || len(r.log) != rounds*callers*batch {
			t.Errorf("%d places are taken at the end, %d attempts were made, want %d", n, len(r.log), rounds*callers*batch)
		}
	})
}

// prying is a store that asks the engine for a place while it claims.
type prying struct {
	riposte.Store
	webhook riposte.Webhook
	taker   riposte.Taker
	during  []bool
}

func (p *prying) TakeNew(t riposte.Taker) func() {
	p.taker = t
	return p.Store.TakeNew(t)
}

func (p *prying) Claim(ctx context.Context, r riposte.ClaimRequest) (riposte.Claim, error) {
	p.during = append(p.during, p.taker.Reserve(p.webhook))
	return p.Store.Claim(ctx, r)
}

// TestNoPlaceDuringAClaim: the claim may be about to give it to another.
func TestNoPlaceDuringAClaim(t *testing.T) {
	in(t, func(t *testing.T) {
		p := &prying{Store: openStore(t)}
		p.webhook = newWebhook(t, p.Store, bound(1))
		e, _ := start(t, p, &receiver{})
		pass(time.Second)
		if len(p.during) == 0 || slices.Contains(p.during, true) {
			t.Errorf("during claims a place was given: %v", p.during)
		}
		if !p.taker.Reserve(p.webhook) || p.taker.Reserve(p.webhook) {
			t.Error("after a claim there is not one place")
		}
		p.taker.Release(p.webhook)
		if n := e.InFlight(); n != 0 {
			t.Errorf("%d places are taken at the end", n)
		}
	})
}
