package engine_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/engine"
)

// down is a receiver of whose webhooks one can't be reached until it is back.
// Each attempt on it takes as long as it takes; all others are answered at once.
type down struct {
	receiver
	webhook string
	takes   time.Duration
	back    atomic.Bool
}

func newDown(w riposte.Webhook, takes time.Duration) *down {
	d := &down{webhook: w.ID, takes: takes}
	d.script = func(c riposte.ClaimedInstance) int {
		switch {
		case c.Webhook.ID != d.webhook:
			return 200
		case d.back.Load():
			time.Sleep(100 * time.Millisecond)
			return 200
		}
		time.Sleep(d.takes)
		return 0
	}
	return d
}

// since returns when attempts on the webhook began, after t.
func (d *down) since(instances map[string]bool, t time.Time) (after []time.Duration) {
	for _, each := range d.deliveries() {
		if instances[each.instance] && each.at.After(t) {
			after = append(after, each.at.Sub(t))
		}
	}
	return after
}

func idSet(is []riposte.Instance) map[string]bool {
	all := map[string]bool{}
	for _, i := range is {
		all[i.ID] = true
	}
	return all
}

func TestReceiverThatIsDownIsHardlyAsked(t *testing.T) {
	for name, takes := range map[string]time.Duration{"it refuses": 0, "it takes 30 s": riposte.AttemptTimeout} {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T) {
				s := openStore(t)
				w := newWebhook(t, s)
				d := newDown(w, takes)
				e, _ := start(t, s, d)
				asked := ask(t, s, w, 500)
				began := time.Now()
				pass(time.Hour)
				// 500 would make more than 30,000 attempts an hour in the fast phase.
				if n := len(d.deliveries()); n < 64+3600/60 || n > 64+3600/15+10 {
					t.Errorf("%d attempts in an hour", n)
				}
				after := d.since(idSet(asked), began.Add(takes))
				// Attempts that were in flight when it opened are probes enough.
				if after[0] > time.Second+takes || after[1] > after[0]+2*time.Second+takes || after[2] > after[1]+4*time.Second+takes {
					t.Errorf("the first probes came after %v", after[:3])
				}
				for n := 1; n < len(after); n++ {
					if gap := after[n] - after[n-1] - takes; gap > 30*time.Second || n > 5 && gap < 15*time.Second {
						t.Errorf("probe %d came %s after the one before it", n+1, gap)
					}
				}
				if n, held := e.BreakersOpen(), e.Held(); n != 1 || !slices.Equal(held, []string{w.ID}) {
					t.Errorf("%d breakers are open, of %v", n, held)
				}
			})
		})
	}
}

func TestWhatWasHeldIsDeliveredWithARamp(t *testing.T) {
	in(t, func(t *testing.T) {
		s := openStore(t)
		w := newWebhook(t, s)
		d := newDown(w, 0)
		e, _ := start(t, s, d)
		asked := ask(t, s, w, 500)
		pass(10 * time.Minute)
		d.back.Store(true)
		back := time.Now()
		pass(60 * time.Second)
		if n := countIn(t, s, riposte.StateSuccess); n != len(asked) {
			t.Errorf("%d of %d are done a minute after it was back", n, len(asked))
		}
		var rounds []int // attempts begun in each, of 100 ms
		after := d.since(idSet(asked), back)
		for _, at := range after {
			n := int((at - after[0]) / (100 * time.Millisecond))
			for len(rounds) <= n {
				rounds = append(rounds, 0)
			}
			rounds[n]++
		}
		if want := []int{1, 2, 4, 8, 16, 32, 64, 64}; !slices.Equal(rounds[:8], want) {
			t.Errorf("its first rounds had %v attempts, want %v", rounds[:8], want)
		}
		if n, held := e.BreakersOpen(), e.Held(); n != 0 || len(held) != 0 {
			t.Errorf("%d breakers are open, of %v", n, held)
		}
	})
}

func TestReceiverThatIsDownCostsTheOthersNothing(t *testing.T) {
	in(t, func(t *testing.T) {
		s := openStore(t)
		w := newWebhook(t, s)
		start(t, s, newDown(w, 0))
		ask(t, s, w, 500)
		pass(time.Minute)
		healthy := newWebhook(t, s)
		i := ask(t, s, healthy, 200)[199]
		synctest.Wait()
		if got := load(t, s, i.ID); !got.CompletedAt.Equal(i.CreatedAt) {
			t.Errorf("in %s, completed %s after it was created", got.State, got.CompletedAt.Sub(i.CreatedAt))
		}
	})
}

func TestWhatIsHeldExpiresOnTime(t *testing.T) {
	in(t, func(t *testing.T) {
		s := openStore(t)
		w := newWebhook(t, s, expiresShortly)
		start(t, s, newDown(w, 0))
		asked := ask(t, s, w, 64)
		pass(time.Minute)
		asked = append(asked, ask(t, s, w, 64)...) // held from the first
		pass(shortly + time.Microsecond)           // pauses are no whole microseconds
		for _, i := range asked {
			got := load(t, s, i.ID)
			if got.Outcome == nil || got.Outcome.Failure == nil || got.Outcome.Failure.Reason != riposte.FailureExpired || !got.CompletedAt.Equal(i.ExpiresAt) {
				t.Fatalf("came to %+v at %s, expires at %s", got.Outcome, got.CompletedAt, i.ExpiresAt)
			}
		}
	})
}

// TestStatusHoldsNothing: a receiver that only fails is asked as the retry
// policy says.
func TestStatusHoldsNothing(t *testing.T) {
	in(t, func(t *testing.T) {
		s, r := openStore(t), &receiver{script: func(riposte.ClaimedInstance) int { return 503 }}
		late := 0
		due := map[string]time.Time{}
		defer s.Subscribe(func(i riposte.Instance) {
			switch i.State {
			case riposte.StateError:
				due[i.ID] = i.DueAt
			case riposte.StateRunning:
				if at, ok := due[i.ID]; ok && !i.LastAttemptedAt.Equal(at) {
					late++
				}
			}
		})()
		e, _ := start(t, s, r)
		ask(t, s, newWebhook(t, s), 15)
		pass(2 * time.Minute)
		if n := len(r.deliveries()); n < 15*(2*60/15) || late > 0 || e.BreakersOpen() > 0 {
			t.Errorf("%d attempts, %d of them late, %d breakers open", n, late, e.BreakersOpen())
		}
	})
}

func TestHoldingTakesHardlyAnyClaims(t *testing.T) {
	in(t, func(t *testing.T) {
		var claims atomic.Int64
		s := &faulty{Store: openStore(t), beforeClaim: func(riposte.ClaimRequest) error {
			claims.Add(1)
			return nil
		}}
		w := newWebhook(t, s)
		start(t, s, newDown(w, 0))
		ask(t, s, w, 500)
		pass(2 * time.Minute)
		before := claims.Load()
		pass(10 * time.Minute)
		// At a probe, at its end, and when its instance's due time is news.
		if n := claims.Load() - before; n > 4*10*60/15 {
			t.Errorf("claimed %d times in 10 min", n)
		}
	})
}

// TestNewURLIsTriedSoon: what is asked from then on goes there, and what was
// asked before still goes where it went.
func TestNewURLIsTriedSoon(t *testing.T) {
	in(t, func(t *testing.T) {
		s := openStore(t)
		w := newWebhook(t, s)
		r := &receiver{script: func(c riposte.ClaimedInstance) int {
			if c.Instance.Destination == "https://elsewhere.test/" {
				return 200
			}
			time.Sleep(riposte.AttemptTimeout)
			return 0
		}}
		e, _ := start(t, s, r)
		ask(t, s, w, 60)
		pass(5 * time.Minute)
		w.URL = "https://elsewhere.test/"
		w, err := s.SaveWebhook(t.Context(), w)
		if err != nil {
			t.Fatal(err)
		}
		i := askOne(t, s, w)
		// A probe that is under way, a pause, and then the claim that has the url.
		pass(61 * time.Second)
		if got := load(t, s, i.ID); got.State != riposte.StateSuccess || e.BreakersOpen() > 0 {
			t.Errorf("in %s a minute after the url was repaired", got.State)
		}
		pass(5 * time.Minute)
		i = askOne(t, s, w)
		synctest.Wait()
		if got := load(t, s, i.ID); got.State != riposte.StateSuccess {
			t.Errorf("in %s; retries that go to the old url hold it", got.State)
		}
	})
}

func TestBreakerIsLoggedWhenItOpensAndWhenItHasClosed(t *testing.T) {
	in(t, func(t *testing.T) {
		var out bytes.Buffer // the engine writes it behind the handler's lock, and is stopped before it is read
		s := openStore(t)
		w := newWebhook(t, s)
		d := newDown(w, 0)
		_, stop := start(t, s, d, func(o *engine.Options) { o.Logger = slog.New(slog.NewJSONHandler(&out, nil)) })
		ask(t, s, w, 100)
		pass(10 * time.Minute)
		d.back.Store(true)
		pass(time.Minute)
		stop()
		type line struct {
			Level, Msg, Webhook string
			Failures            int
		}
		var got []line
		for text := range strings.Lines(out.String()) {
			if !strings.Contains(text, "breaker") {
				continue
			}
			var l line
			if err := json.Unmarshal([]byte(text), &l); err != nil {
				t.Fatal(err)
			}
			l.Msg, _, _ = strings.Cut(l.Msg, ":")
			got = append(got, l)
		}
		want := []line{{"WARN", "breaker opened", w.ID, 20}, {"INFO", "breaker closed", w.ID, 0}}
		if !slices.Equal(got, want) {
			t.Errorf("logged %+v, want %+v", got, want)
		}
		if strings.Contains(out.String(), "receiver.test") {
			t.Error("the log has the url")
		}
	})
}
