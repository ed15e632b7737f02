package statistics

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/engine"
)

const complete = `{"version":"v1","complete":{}}`

// statuses is a sender that answers with these in turn, each after 20 ms: 0 is no
// answer. Pushes are always taken.
type statuses struct {
	mu   sync.Mutex
	left []int
}

func (s *statuses) Send(_ context.Context, c riposte.ClaimedInstance) riposte.Result {
	r := riposte.Result{Attempt: riposte.Attempt{StartedAt: riposte.Time(time.Now()), Duration: 20 * time.Millisecond}, Document: []byte(complete)}
	time.Sleep(r.Attempt.Duration)
	r.Attempt.Number, r.Attempt.StatusCode = c.Instance.Attempts, 200
	if !c.Instance.OwesPush() {
		s.mu.Lock()
		r.Attempt.StatusCode, s.left = s.left[0], s.left[1:]
		s.mu.Unlock()
	}
	if r.Attempt.StatusCode == 0 {
		r.Attempt.Error = &riposte.AttemptError{Phase: riposte.PhaseConnect, Reason: "REFUSED"}
	}
	return r
}

// deliver runs an engine whose sender is watched.
func deliver(t testing.TB, s riposte.Store, c *Collector, answers ...int) {
	t.Helper()
	e := engine.New(engine.Options{Store: s, Sender: c.Sender(&statuses{left: answers}), Fast: riposte.FastDelay{Min: time.Minute, Max: time.Minute}, Logger: quiet})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { e.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
}

// unsavedOf are the rows of any time; in these tests nothing is saved.
func unsavedOf(c *Collector, span time.Duration, webhookIDs ...string) []riposte.StatisticsRow {
	return c.Unsaved(riposte.StatisticsFilter{WebhookIDs: webhookIDs, Span: span})
}

// TestEventsAreCountedOnce takes instances to all the ends that there are.
func TestEventsAreCountedOnce(t *testing.T) {
	for name, test := range map[string]struct {
		answers []int
		request func(*riposte.InstanceRequest)
		then    riposte.Event
		want    riposte.Statistics
	}{
		"answered":             {answers: []int{200}, want: riposte.Statistics{Answered: 1, Attempts: 1}},
		"answered, and pushed": {answers: []int{200}, request: pushed, want: riposte.Statistics{Answered: 1, Attempts: 1}},
		"answered in the end":  {answers: []int{503, 0, 302, 200}, want: riposte.Statistics{Answered: 1, Attempts: 4, AttemptsFailed: 3}},
		"gone":                 {answers: []int{410}, want: riposte.Statistics{Failed: 1, Attempts: 1, AttemptsFailed: 1}},
		"failed, and pushed":   {answers: []int{410}, request: pushed, want: riposte.Statistics{Failed: 1, Attempts: 1, AttemptsFailed: 1}},
		"waiting":              {answers: []int{202}, want: riposte.Statistics{Attempts: 1}},
		"canceled":             {answers: []int{202}, then: riposte.Canceled{}, want: riposte.Statistics{Failed: 1, Attempts: 1}},
		"called back":          {answers: []int{202}, then: byCallback, want: riposte.Statistics{Answered: 1, Attempts: 1}},
		"called back, pushed":  {answers: []int{202}, request: pushed, then: byCallback, want: riposte.Statistics{Answered: 1, Attempts: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T) {
				s := openStore(t)
				c := New(Options{Store: s, Logger: quiet})
				deliver(t, s, c, test.answers...)
				w := newWebhook(t, s)
				if test.request == nil {
					test.request = func(*riposte.InstanceRequest) {}
				}
				i := ask(t, s, w, 1, test.request)[0]
				pass(14 * time.Minute)
				if test.then != nil {
					change(t, s, i, test.then)
					pass(30 * time.Second)
				}
				test.want.Created = 1
				for _, status := range test.answers {
					if status != 0 {
						test.want.Times[2]++
					}
				}
				for of, got := range map[string]riposte.Statistics{
					"the minutes of all":     sum(unsavedOf(c, riposte.StatisticsMinute, "")),
					"the quarter of all":     sum(unsavedOf(c, riposte.StatisticsQuarter, "")),
					"the webhook's quarter":  sum(unsavedOf(c, riposte.StatisticsQuarter, w.ID)),
					"each webhook's quarter": sum(unsavedOf(c, riposte.StatisticsQuarter)),
				} {
					if diff := cmp.Diff(test.want, got); diff != "" {
						t.Errorf("%s: -want +got\n%s", of, diff)
					}
				}
			})
		})
	}
}

func pushed(r *riposte.InstanceRequest) { r.OutcomeURL = "https://taker.test/" }

var byCallback = riposte.Answered{Via: riposte.ViaCallback, Answer: func() riposte.Answer {
	a, err := riposte.ParseAnswer(riposte.SourceProvisionStep, []byte(complete))
	if err != nil {
		panic(err)
	}
	return a
}()}

func TestExpiredInstancesAreCounted(t *testing.T) {
	in(t, func(t *testing.T) {
		s := openStore(t)
		c := New(Options{Store: s, Logger: quiet})
		deliver(t, s, c, 202, 202)
		w := newWebhook(t, s)
		ask(t, s, w, 2)
		pass(w.CallbackTimeout + time.Minute)
		if got := sum(unsavedOf(c, riposte.StatisticsQuarter, w.ID)); got.Failed != 2 {
			t.Errorf("counted %+v", got)
		}
	})
}

// TestOthersChangesAreNotCounted: another node counts its own, and a create that repeats
// a request creates nothing.
func TestOthersChangesAreNotCounted(t *testing.T) {
	in(t, func(t *testing.T) {
		s := openStore(t)
		c := New(Options{Store: s, Logger: quiet})
		w := newWebhook(t, s)
		repeated := func(r *riposte.InstanceRequest) { r.RequestID = "r" }
		ask(t, s, w, 1, repeated)
		ask(t, s, w, 1, repeated)
		pass(0)
		c.changed(riposte.Instance{ID: "of another node"})
		c.changed(riposte.Instance{})
		if got := sum(unsavedOf(c, riposte.StatisticsMinute, "")); got.Counted() != 1 {
			t.Errorf("counted %+v", got)
		}
	})
}

func TestEachSpanHasItsRow(t *testing.T) {
	in(t, func(t *testing.T) {
		s := openStore(t)
		c := New(Options{Store: s, Logger: quiet})
		began := s.Now() // midnight
		one, other := newWebhook(t, s), newWebhook(t, s)
		for _, until := range []struct {
			pause time.Duration
			w     riposte.Webhook
		}{{0, one}, {59 * time.Second, one}, {time.Second, other}, {13 * time.Minute, other}, {time.Minute, one}} {
			pass(until.pause)
			ask(t, s, until.w, 1)
			pass(0)
		}
		sixteen := func(counts ...int) []int { return append(counts, make([]int, 16-len(counts))...) }
		got := map[time.Duration]map[string][]int{}
		for span, ids := range map[time.Duration][]string{riposte.StatisticsMinute: {""}, riposte.StatisticsQuarter: {"", one.ID, other.ID}} {
			got[span] = map[string][]int{}
			for _, r := range unsavedOf(c, span, ids...) {
				name := map[string]string{"": "all", one.ID: "one", other.ID: "other"}[r.WebhookID]
				if got[span][name] == nil {
					got[span][name] = sixteen()
				}
				got[span][name][r.Start.Sub(began)/span] += r.Created
				if r.Process != c.process || !r.Start.Equal(r.Start.Truncate(span)) {
					t.Errorf("%s of %s began at %s, counted by %q", span, name, r.Start, r.Process)
				}
			}
		}
		minutes := sixteen(2, 1)
		minutes[14], minutes[15] = 1, 1
		want := map[time.Duration]map[string][]int{
			riposte.StatisticsMinute:  {"all": minutes},
			riposte.StatisticsQuarter: {"all": sixteen(4, 1), "one": sixteen(2, 1), "other": sixteen(2)},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("-want +got\n%s", diff)
		}
		if rows := c.Unsaved(riposte.StatisticsFilter{Span: riposte.StatisticsQuarter, From: began.Add(time.Second)}); len(rows) != 1 || rows[0].WebhookID != one.ID {
			t.Errorf("of the second quarter there is %+v", rows)
		}
	})
}

// TestMemoryIsBounded: beyond it all webhooks together are counted, and the log says
// so once.
func TestMemoryIsBounded(t *testing.T) {
	in(t, func(t *testing.T) {
		s := openStore(t)
		var log bytes.Buffer
		c := New(Options{Store: s, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		for range maxRows + 10 {
			c.count(riposte.NewID(time.Now()), &riposte.Statistics{Created: 1})
		}
		if n, all := len(c.rows), c.quarter.Created; n != maxRows || all != maxRows+10 {
			t.Errorf("%d rows, and %d counted of all", n, all)
		}
		if n := strings.Count(log.String(), "\n"); n != 1 {
			t.Errorf("the log has %d lines: %s", n, &log)
		}
		// In the next quarter there are as many that could not be written.
		pass(riposte.StatisticsQuarter)
		c.count("w", &riposte.Statistics{Created: 1})
		if len(c.rows) != 0 || c.quarter.Created != 1 || strings.Count(log.String(), "\n") != 2 {
			t.Errorf("%d rows, %d counted; the log: %s", len(c.rows), c.quarter.Created, &log)
		}
		// What is too old for anybody is forgotten.
		pass(riposte.KeepStatisticsQuarters)
		c.count("w", &riposte.Statistics{Created: 1})
		if len(c.rows) != 1 || len(c.unsaved) > 5 {
			t.Errorf("%d rows, %d of them unsaved", len(c.rows), len(c.unsaved))
		}
	})
}

// TestClockThatIsSetBackReplacesNoRow: one of that time may be stored already.
func TestClockThatIsSetBackReplacesNoRow(t *testing.T) {
	in(t, func(t *testing.T) {
		s := &setBack{Store: openStore(t)}
		c := New(Options{Store: s, Logger: quiet})
		c.count("w", &riposte.Statistics{Created: 1})
		pass(20 * time.Minute)
		c.count("w", &riposte.Statistics{Created: 1})
		s.by = 20 * time.Minute
		c.count("w", &riposte.Statistics{Created: 1})
		keys := map[riposte.StatisticsRow]bool{}
		rows := slices.Concat(unsavedOf(c, riposte.StatisticsMinute, ""), unsavedOf(c, riposte.StatisticsQuarter, "", "w"))
		for _, r := range rows {
			keys[riposte.StatisticsRow{WebhookID: r.WebhookID, Span: r.Span, Start: r.Start, Process: r.Process}] = true
		}
		if len(rows) != 9 || len(keys) != 9 {
			t.Errorf("%d rows with %d keys", len(rows), len(keys))
		}
	})
}

type setBack struct {
	riposte.Store
	by time.Duration
}

func (s *setBack) Now() time.Time { return s.Store.Now().Add(-s.by) }
