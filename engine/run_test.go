package engine_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/engine"
)

func TestStopWaitsForTheAttemptsInFlight(t *testing.T) {
	in(t, func(t *testing.T) {
		s, r := openStore(t), &receiver{script: takes(10 * time.Second)}
		w := newWebhook(t, s, bound(2))
		ask(t, s, w, 5)
		e, stop := start(t, s, r)
		pass(time.Second)
		began := time.Now()
		stop()
		if took := time.Since(began); took != 9*time.Second || e.InFlight() != 0 {
			t.Errorf("Run returned after %s with %d in flight", took, e.InFlight())
		}
		if n := countIn(t, s, riposte.StateSuccess); n != 2 {
			t.Errorf("%d of the 2 attempts in flight were saved", n)
		}
		if n := len(r.deliveries()); n != 2 {
			t.Errorf("%d attempts were made, 2 had begun before the stop", n)
		}
	})
}

// slowPurge is a store whose purges take 10 s, whoever has stopped waiting.
type slowPurge struct{ riposte.Store }

func (s slowPurge) PurgeInstances(context.Context, time.Time, int) (int, error) {
	time.Sleep(10 * time.Second)
	return 0, nil
}

// TestStopWaitsForThePurge, because the store is closed next.
func TestStopWaitsForThePurge(t *testing.T) {
	in(t, func(t *testing.T) {
		_, stop := start(t, slowPurge{openStore(t)}, &receiver{})
		pass(time.Second)
		began := time.Now()
		stop()
		if took := time.Since(began); took != 9*time.Second {
			t.Errorf("Run returned after %s while a purge had 9 s to go", took)
		}
	})
}

// TestStopDuringAClaimLosesNothing: what a claim has taken is attempted, or
// its lease would be nobody's and a restart would record an attempt that was
// never made.
func TestStopDuringAClaimLosesNothing(t *testing.T) {
	in(t, func(t *testing.T) {
		s := &faulty{Store: openStore(t)}
		i := askOne(t, s, newWebhook(t, s))
		ctx, cancel := context.WithCancel(context.Background())
		s.afterClaim = func(ctx context.Context) error {
			cancel()
			return ctx.Err()
		}
		e := engine.New(engine.Options{Store: s, Sender: &receiver{}, Fast: riposte.DefaultFastDelay, Logger: slog.New(slog.DiscardHandler)})
		e.Run(ctx)
		if got := load(t, s, i.ID); got.State != riposte.StateSuccess {
			t.Errorf("left in %s", got.State)
		}
	})
}

// TestClaimThatFailsIsTriedOnceASecond, however much goes on meanwhile.
func TestClaimThatFailsIsTriedOnceASecond(t *testing.T) {
	in(t, func(t *testing.T) {
		s := &faulty{Store: openStore(t)}
		began := s.Now()
		var tries []time.Duration // after began
		s.beforeClaim = func(riposte.ClaimRequest) error {
			if since := s.Now().Sub(began); since < 10*time.Second {
				tries = append(tries, since)
				return errors.New("no claim now")
			}
			return nil
		}
		w := newWebhook(t, s)
		start(t, s, &receiver{})
		for range 100 {
			askOne(t, s, w)
			pass(100 * time.Millisecond)
		}
		if len(tries) != 10 || tries[0] != 0 || tries[9] != 9*time.Second {
			t.Errorf("claimed after %v, want once a second", tries)
		}
		if n := countIn(t, s, riposte.StateSuccess); n != 100 {
			t.Errorf("%d of 100 are done when claims work again", n)
		}
	})
}

// TestIdleEngineHardlyClaims: nothing polls for what announces itself.
func TestIdleEngineHardlyClaims(t *testing.T) {
	in(t, func(t *testing.T) {
		claims := 0
		s := &faulty{Store: openStore(t), beforeClaim: func(riposte.ClaimRequest) error {
			claims++
			return nil
		}}
		w := newWebhook(t, s, bound(1))
		start(t, s, &receiver{script: takes(25 * time.Second)})
		ask(t, s, w, 3) // one in flight, two due and held back
		pass(20 * time.Second)
		if claims > 4 {
			t.Errorf("claimed %d times in 20 s in which there was nothing to claim", claims)
		}
	})
}
