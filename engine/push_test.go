package engine_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/engine"
)

// askFor makes n instances whose outcomes are pushed to the URLs.
func askFor(t *testing.T, s riposte.Store, w riposte.Webhook, n int, url func(int) string) {
	t.Helper()
	records := make([]riposte.NewInstanceRecord, n)
	for k := range records {
		i, envelope, err := riposte.NewInstance(w, riposte.InstanceRequest{Source: riposte.Source{Kind: riposte.SourceProvisionStep, TicketID: "T-1"}, OutcomeURL: url(k)},
			func(id string) string { return "https://riposte.test/" + id }, s.Now())
		if err != nil {
			t.Fatal(err)
		}
		records[k] = riposte.NewInstanceRecord{Instance: i, Envelope: envelope}
	}
	if _, err := s.CreateInstances(t.Context(), records); err != nil {
		t.Fatal(err)
	}
}

// takers answers questions with 200, and pushes by take.
func takers(take func() (status int)) (r *receiver, pushes *atomic.Int64) {
	pushes = new(atomic.Int64)
	return &receiver{script: func(c riposte.ClaimedInstance) int {
		if !c.Instance.OwesPush() {
			return 200
		}
		pushes.Add(1)
		return take()
	}}, pushes
}

// TestWhoCannotTakeOutcomesIsHardlyAsked, as a receiver that is down is.
func TestWhoCannotTakeOutcomesIsHardlyAsked(t *testing.T) {
	in(t, func(t *testing.T) {
		s := openStore(t)
		r, pushes := takers(func() int { return 0 })
		var log bytes.Buffer
		e, stop := start(t, s, r, func(o *engine.Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
		askFor(t, s, newWebhook(t, s), 500, func(int) string { return "https://taker.test/o" })
		pass(time.Hour)
		stop()
		if n, held := e.BreakersOpen(), e.Held(); n != 1 || len(held) != 0 {
			t.Errorf("%d breakers are open, and the webhooks %v held: a host is none", n, held)
		}
		if n := pushes.Load(); n > riposte.DefaultMaxInFlight+3600/15+10 {
			t.Errorf("%d pushes in an hour", n)
		}
		if !strings.Contains(log.String(), "breaker opened") || !strings.Contains(log.String(), "webhook=push:taker.test:443") {
			t.Errorf("the log has\n%s", log.String())
		}
	})
}

// TestHostsThatHangLeaveRoomForQuestions, however many they are.
func TestHostsThatHangLeaveRoomForQuestions(t *testing.T) {
	in(t, func(t *testing.T) {
		s := openStore(t)
		r, pushes := takers(func() int { time.Sleep(riposte.AttemptTimeout); return 0 })
		e, _ := start(t, s, r, func(o *engine.Options) { o.MaxInFlight = 64 })
		askFor(t, s, newWebhook(t, s), 500, func(n int) string { return fmt.Sprintf("https://h%d.taker.test/o", n) })
		pass(time.Minute)
		if n := e.InFlight(); n != 32 || pushes.Load() < 64 {
			t.Errorf("%d pushes are in flight, of %d so far", n, pushes.Load())
		}
		i := askOne(t, s, newWebhook(t, s))
		pass(100 * time.Millisecond)
		if load(t, s, i.ID).Outcome == nil {
			t.Error("a question has to wait for them")
		}
	})
}

// TestWhatWasGivenUpIsLeftAlone: there is nothing to do, and nothing is done.
func TestWhatWasGivenUpIsLeftAlone(t *testing.T) {
	in(t, func(t *testing.T) {
		s := openStore(t)
		var claims atomic.Int64
		r, pushes := takers(func() int { return 410 })
		start(t, &faulty{Store: s, beforeClaim: func(riposte.ClaimRequest) error { claims.Add(1); return nil }}, r)
		askFor(t, s, newWebhook(t, s), 100, func(int) string { return "https://taker.test/o" })
		pass(time.Minute)
		before := claims.Load()
		pass(time.Hour)
		if n := claims.Load() - before; n > 130 || pushes.Load() != 100 { // one each 30 s does no harm
			t.Errorf("%d claims in an hour, %d pushes", n, pushes.Load())
		}
	})
}
