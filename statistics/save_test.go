package statistics

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/riposte-dev/riposte"
)

// unsure is a store that may fail to save: before its commit, or after it.
type unsure struct {
	riposte.Store

	mu            sync.Mutex
	before, after error
	during        func()
	saves         [][]riposte.StatisticsRow
}

// set changes what happens, or looks at what has.
func (u *unsure) set(change func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	change()
}

func (u *unsure) SaveStatistics(ctx context.Context, rows []riposte.StatisticsRow) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.saves = append(u.saves, rows)
	if u.during != nil {
		u.during()
	}
	if u.before != nil {
		return u.before
	}
	if err := u.Store.SaveStatistics(ctx, rows); err != nil {
		return err
	}
	return u.after
}

func (u *unsure) saved() (n int) {
	u.set(func() { n = len(u.saves) })
	return n
}

func everything(w riposte.Webhook) []string { return []string{"", w.ID} }

// TestWhatIsCountedIsSavedAfter10s, and not again where nothing was added.
func TestWhatIsCountedIsSavedAfter10s(t *testing.T) {
	in(t, func(t *testing.T) {
		s := &unsure{Store: openStore(t)}
		c, _ := start(t, s)
		w := newWebhook(t, s)
		ask(t, s, w, 2)
		pass(savePeriod - time.Nanosecond)
		if rows := stored(t, s, riposte.StatisticsQuarter, everything(w)...); len(rows) != 0 {
			t.Errorf("before that there is %+v", rows)
		}
		pass(time.Nanosecond)
		for span, ids := range map[time.Duration][]string{riposte.StatisticsMinute: {""}, riposte.StatisticsQuarter: everything(w)} {
			for _, id := range ids {
				if got := sum(stored(t, s, span, id)); got.Created != 2 {
					t.Errorf("of %q there is %+v", id, got)
				}
			}
			if rows := unsavedOf(c, span, ids...); len(rows) != 0 {
				t.Errorf("unsaved: %+v", rows)
			}
		}
		pass(time.Hour)
		if n := s.saved(); n != 1 {
			t.Errorf("%d saves", n)
		}
		ask(t, s, w, 1)
		pass(savePeriod)
		if got := sum(stored(t, s, riposte.StatisticsQuarter, w.ID)); got.Created != 3 || s.saved() != 2 {
			t.Errorf("after %d saves there is %+v", s.saved(), got)
		}
	})
}

// TestRestartForgetsNothing: the next process counts in rows of its own.
func TestRestartForgetsNothing(t *testing.T) {
	in(t, func(t *testing.T) {
		s := openStore(t)
		w := newWebhook(t, s)
		for range 3 {
			_, stop := start(t, s)
			ask(t, s, w, 2)
			stop()
		}
		rows := stored(t, s, riposte.StatisticsQuarter, w.ID)
		if got := sum(rows); got.Created != 6 || len(rows) != 3 {
			t.Errorf("%d rows: %+v", len(rows), got)
		}
	})
}

// TestCloseCountsWhatSubscribersAreBehindWith: the store tells of changes after it
// has answered.
func TestCloseCountsWhatSubscribersAreBehindWith(t *testing.T) {
	in(t, func(t *testing.T) {
		s := openStore(t)
		behind := make(chan struct{})
		defer s.Subscribe(func(riposte.Instance) { <-behind })()
		_, stop := start(t, s)
		w := newWebhook(t, s)
		ask(t, s, w, 5)
		stopped := make(chan struct{})
		go func() {
			defer close(stopped)
			stop()
		}()
		synctest.Wait() // stop waits for the subscriber
		close(behind)
		<-stopped
		if got := sum(stored(t, s, riposte.StatisticsQuarter, w.ID)); got.Created != 5 {
			t.Errorf("stored: %+v", got)
		}
	})
}

// TestSaveThatFailsIsMadeAgain, also where all of it was stored and nobody knows.
func TestSaveThatFailsIsMadeAgain(t *testing.T) {
	for name, fail := range map[string]func(*unsure){
		"before its commit": func(u *unsure) { u.before = riposte.ErrUnavailable },
		"after its commit":  func(u *unsure) { u.after = riposte.ErrUnavailable },
	} {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T) {
				s := &unsure{Store: openStore(t)}
				var log bytes.Buffer
				c, stop := start(t, s, func(o *Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
				w := newWebhook(t, s)
				ask(t, s, w, 2)
				s.set(func() {
					fail(s)
					s.during = func() {
						s.during = nil
						c.count(w.ID, &riposte.Statistics{Created: 1})
					}
				})
				pass(savePeriod)
				if n := strings.Count(log.String(), "not saved"); n != 1 {
					t.Errorf("the log has %s", &log)
				}
				if got := sum(unsavedOf(c, riposte.StatisticsQuarter, w.ID)); got.Created != 3 {
					t.Errorf("unsaved are %+v", got)
				}
				pass(riposte.StatisticsQuarter) // so that its rows are over
				ask(t, s, w, 1)
				s.set(func() { s.before, s.after = nil, nil })
				pass(savePeriod)
				if got := sum(stored(t, s, riposte.StatisticsQuarter, w.ID)); got.Created != 4 {
					t.Errorf("stored are %+v", got)
				}
				stop()
				if len(c.unsaved)+len(c.written)+c.past != 0 {
					t.Errorf("%d rows are unsaved, %d being written, %d of the past", len(c.unsaved), len(c.written), c.past)
				}
			})
		})
	}
}

// TestWhatIsCountedDuringASave is in the next one, and nobody who asks meanwhile
// misses or doubles anything.
func TestWhatIsCountedDuringASave(t *testing.T) {
	in(t, func(t *testing.T) {
		s := &unsure{Store: openStore(t)}
		c := New(Options{Store: s, Logger: quiet})
		ids := make([]string, saveStep+3) // two steps
		for n := range ids {
			ids[n] = riposte.NewID(s.Now())
			c.count(ids[n], &riposte.Statistics{Created: 1})
		}
		last := ids[len(ids)-1]
		s.during = func() {
			c.count(ids[0], &riposte.Statistics{Created: 1})
			c.count(last, &riposte.Statistics{Created: 1})
			want := map[string]int{"": len(ids) + 2*len(s.saves), ids[0]: 1 + len(s.saves), last: 1 + len(s.saves), ids[1]: 1}
			got := map[string]int{}
			for _, r := range c.Unsaved(riposte.StatisticsFilter{Span: riposte.StatisticsQuarter, WebhookIDs: []string{"", ids[0], ids[1], last}}) {
				got[r.WebhookID] += r.Created
			}
			if len(s.saves) == 2 {
				delete(want, ids[1]) // stored with the first step
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("during step %d: -want +got\n%s", len(s.saves), diff)
			}
		}
		if err := c.save(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.during = nil
		if err := c.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := []int{len(s.saves[0]), len(s.saves[1]), len(s.saves[2]), len(s.saves)}; !slices.Equal(got, []int{saveStep, 5, 4, 3}) {
			t.Errorf("saved %v", got)
		}
		for id, want := range map[string]int{"": len(ids) + 4, ids[0]: 3, last: 3, ids[1]: 1} {
			if got := sum(stored(t, s, riposte.StatisticsQuarter, id)); got.Created != want {
				t.Errorf("of %q there is %+v, want %d created", id, got, want)
			}
		}
	})
}

// TestRoomIsForWhatIsNotWritten: what was counted again during a save takes up its room
// once, and what is of the quarter before it a room of its own.
func TestRoomIsForWhatIsNotWritten(t *testing.T) {
	for name, test := range map[string]struct {
		pause time.Duration
		past  int
	}{"in one quarter": {0, 0}, "as a quarter begins": {riposte.StatisticsQuarter, 12}} {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T) {
				c := New(Options{Store: openStore(t), Logger: quiet})
				count := func() {
					for n := range 10 {
						c.count(fmt.Sprint(n), &riposte.Statistics{Created: 1})
					}
				}
				count()
				rows := c.begin()
				count()
				pass(test.pause)
				count()
				for ; len(rows) > 0; rows = c.step() {
					c.saved(len(rows))
				}
				if c.past != test.past {
					t.Errorf("%d rows are of the past, want %d", c.past, test.past)
				}
			})
		})
	}
}

// TestAttemptsAreCountedWhileSomebodyAsks, however much there is to look through.
func TestAttemptsAreCountedWhileSomebodyAsks(t *testing.T) {
	c := New(Options{Store: openStore(t), Logger: quiet})
	for n := range maxRows - 10 {
		c.count(fmt.Sprint(n), &riposte.Statistics{Created: 1})
	}
	for name, ids := range map[string][]string{"for one": {"1"}, "for each": nil} {
		// A busy machine may stop the one that counts all along, and now and then the one
		// that asks before it has begun.
		tries, many := 0, 0
		for shown := false; tries < 300 && !shown; shown = many >= 5 && 10*many >= tries {
			tries++
			if countWhile(c, func() {
				c.Unsaved(riposte.StatisticsFilter{WebhookIDs: ids, Span: riposte.StatisticsQuarter})
			}) > 100 {
				many++
			}
		}
		if many < 5 || 10*many < tries {
			t.Errorf("%d of %d times there was more than a little counted while somebody asked %s", many, tries, name)
		}
	}
}

// countWhile counts until ask returns, and returns how often.
func countWhile(c *Collector, ask func()) (n int) {
	var counting sync.WaitGroup
	began, done := make(chan struct{}), make(chan struct{})
	counting.Go(func() {
		<-began
		for {
			select {
			case <-done:
				return
			default:
				c.count("1", &riposte.Statistics{Created: 1})
				n++
			}
		}
	})
	close(began)
	ask()
	close(done)
	counting.Wait()
	return n
}

// TestLastAttemptIsSaved: it is what is shown of a webhook that was not asked for long.
func TestLastAttemptIsSaved(t *testing.T) {
	in(t, func(t *testing.T) {
		s := openStore(t)
		c, _ := start(t, s)
		deliver(t, s, c, 503, 202)
		w := newWebhook(t, s)
		i := ask(t, s, w, 1)[0]
		began := s.Now()
		pass(savePeriod)
		want := riposte.LastAttempt{EndedAt: riposte.Time(began.Add(20 * time.Millisecond)), InstanceID: i.ID, StatusCode: 503}
		for n, after := range []time.Duration{0, 2 * time.Minute} {
			if n == 1 {
				want.EndedAt, want.StatusCode = riposte.Time(began.Add(time.Minute+40*time.Millisecond)), 202
			}
			pass(after)
			last, err := s.LastAttempts(t.Context(), []string{w.ID})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(map[string]riposte.LastAttempt{w.ID: want}, last); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		}
	})
}
