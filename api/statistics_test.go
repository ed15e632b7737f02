package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/api"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
	"github.com/riposte-dev/riposte/ripostetest"
	"github.com/riposte-dev/riposte/server"
)

// inTheMiddleOfAQuarter sets a clock so that a short test sees the end of no minute.
func inTheMiddleOfAQuarter(c *server.Config) {
	var clock ripostetest.Clock
	now := clock.Now()
	middle := now.Truncate(riposte.StatisticsQuarter).Add(riposte.StatisticsQuarter + 7*time.Minute + 10*time.Second)
	clock.Advance(middle.Sub(now))
	c.Now = clock.Now
}

// overview is what the statistics say of the server now.
func (n *node) overview() *ripostev1.StatisticsServiceGetResponse {
	n.t.Helper()
	if err := n.Told(n.t.Context()); err != nil {
		n.t.Fatal(err)
	}
	res, err := n.Statistics.Get(n.t.Context(), &ripostev1.StatisticsServiceGetRequest{})
	if err != nil {
		n.t.Fatal(err)
	}
	return res
}

func (n *node) overviewOf(webhook string) *ripostev1.StatisticsServiceGetWebhookResponse {
	n.t.Helper()
	if err := n.Told(n.t.Context()); err != nil {
		n.t.Fatal(err)
	}
	res, err := n.Statistics.GetWebhook(n.t.Context(), &ripostev1.StatisticsServiceGetWebhookRequest{WebhookId: webhook})
	if err != nil {
		n.t.Fatal(err)
	}
	return res
}

// TestSeriesAreWhole: each span follows the one before it, and the last is under way.
func TestSeriesAreWhole(t *testing.T) {
	n := startNode(t, inTheMiddleOfAQuarter)
	w := n.webhook("/approve")
	n.approval(w, riposte.StateSuccess)
	res := n.overview()
	for name, series := range map[string]struct {
		list []*ripostev1.Statistics
		n    int
		span time.Duration
	}{
		"the last hour":            {res.GetLastHour(), 60, time.Minute},
		"the last day":             {res.GetLastDay(), 96, 15 * time.Minute},
		"the webhook's last day":   {n.overviewOf(w).GetLastDay(), 96, 15 * time.Minute},
		"another one's last day":   {n.overviewOf(n.webhook("/later")).GetLastDay(), 96, 15 * time.Minute},
		"the sum of the last hour": {[]*ripostev1.Statistics{n.overviewOf(w).GetOverview().GetLastHour()}, 1, time.Hour},
		"the sum of the last day":  {[]*ripostev1.Statistics{n.overviewOf(w).GetOverview().GetLastDay()}, 1, 24 * time.Hour},
	} {
		if len(series.list) != series.n {
			t.Fatalf("%s has %d spans", name, len(series.list))
		}
		next := series.list[0].GetStartAt().AsTime()
		for at, s := range series.list {
			if s.GetSpan().AsDuration() != series.span || !s.GetStartAt().AsTime().Equal(next) {
				t.Errorf("%s: the span %d is %s from %s", name, at, s.GetSpan().AsDuration(), s.GetStartAt().AsTime())
			}
			next = next.Add(series.span)
			want := int64(0)
			if at == series.n-1 && name != "another one's last day" {
				want = 1
			}
			if s.GetCreated() != want || s.GetAnswered() != want || s.GetAttempts() != want {
				t.Errorf("%s: the span %d counts %v", name, at, s)
			}
		}
		if now := res.GetAsOf().AsTime(); next.Before(now) || next.Sub(now) > 15*time.Minute {
			t.Errorf("%s ends at %s, now it is %s", name, next, now)
		}
	}
}

// TestTroubleIsShown: who is held comes first, then whose attempts failed most often.
func TestTroubleIsShown(t *testing.T) {
	n := startNode(t, inTheMiddleOfAQuarter)
	n.approval(n.webhook("/approve"), riposte.StateSuccess)
	failing, worse, deleted := n.webhook("/down"), n.webhook("/down"), n.webhook("/down")
	n.approval(failing, riposte.StateError)
	for range 21 {
		n.approval(worse, riposte.StateError)
	}
	n.approval(deleted, riposte.StateError)
	okJSON(t, n.send(http.MethodDelete, "/api/v1/webhooks/"+deleted, ""))
	n.receiver.Close()
	held := n.webhook("/approve")
	for range 20 {
		n.approval(held, riposte.StateError)
	}
	res := n.overview()
	var got []string
	for _, w := range res.GetInTrouble() {
		got = append(got, fmt.Sprintf("%s %s %d", w.GetWebhook().GetId(), w.GetHealth(), w.GetLastHour().GetAttemptsFailed()))
	}
	want := []string{held + " WEBHOOK_HEALTH_HELD 20", worse + " WEBHOOK_HEALTH_FAILING 21", failing + " WEBHOOK_HEALTH_FAILING 1"}
	if diff := gocmp.Diff(want, got); diff != "" || res.GetInTroubleCount() != 3 {
		t.Errorf("%d in trouble: -want +got\n%s", res.GetInTroubleCount(), diff)
	}
}

func TestTroubleThatIsTooMuchIsCounted(t *testing.T) {
	n := startNode(t, inTheMiddleOfAQuarter)
	for range 12 {
		n.approval(n.webhook("/down"), riposte.StateError)
	}
	if res := n.overview(); len(res.GetInTrouble()) != 10 || res.GetInTroubleCount() != 12 {
		t.Errorf("%d are shown of %d", len(res.GetInTrouble()), res.GetInTroubleCount())
	}
}

// TestStatisticsOfADeletedWebhook can be seen as long as it is there.
func TestStatisticsOfADeletedWebhook(t *testing.T) {
	n := startNode(t, inTheMiddleOfAQuarter)
	w, other := n.webhook("/down"), n.webhook("/down")
	i := n.approval(w, riposte.StateError)
	okJSON(t, n.send(http.MethodDelete, "/api/v1/webhooks/"+w, ""))
	got := n.overviewOf(w).GetOverview()
	if got.GetWebhook().GetDeletedAt() == nil || got.GetLastAttempt().GetInstanceId() != i || got.GetLastAttempt().GetStatusCode() != 503 {
		t.Errorf("%v", got)
	}
	for deleted, want := range map[bool]string{true: w, false: other} {
		res, err := n.Statistics.ListWebhooks(t.Context(), &ripostev1.StatisticsServiceListWebhooksRequest{Deleted: deleted})
		if err != nil {
			t.Fatal(err)
		}
		if len(res.GetList()) != 1 || res.GetList()[0].GetWebhook().GetId() != want {
			t.Errorf("deleted %t: %v", deleted, res)
		}
	}
}

// TestWebhooksAreListedByPages, each with its own statistics.
func TestWebhooksAreListedByPages(t *testing.T) {
	n := startNode(t, inTheMiddleOfAQuarter)
	var want, got []string
	for range 13 {
		w := n.webhook("/approve")
		want = append([]string{w + " 1"}, want...)
		n.approval(w, riposte.StateSuccess)
	}
	n.webhook("/later") // which the query leaves out
	if err := n.Told(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := &ripostev1.StatisticsServiceListWebhooksRequest{Query: "APPROVE", PageSize: 10}
	for pages := 1; pages <= 2; pages++ {
		res, err := n.Statistics.ListWebhooks(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range res.GetList() {
			got = append(got, fmt.Sprint(w.GetWebhook().GetId(), " ", w.GetLastDay().GetAnswered()))
		}
		r.PageToken = res.GetNextPageToken()
		if last := r.PageToken == ""; last != (pages == 2) {
			t.Errorf("page %d is the last: %t", pages, last)
		}
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// counted are rows that are not saved, and what happens before the store is asked.
type counted struct {
	rows []riposte.StatisticsRow
	then func()
}

func (c counted) Unsaved(riposte.StatisticsFilter) []riposte.StatisticsRow {
	c.then()
	return slices.Clone(c.rows)
}

// newCounting is the API alone, with what its node is to have counted.
func newCounting(t *testing.T, store riposte.Store, c api.Counted) *api.Server {
	t.Helper()
	key := riposte.Key{ID: "k", Role: riposte.RoleViewer, Hash: riposte.HashKey(adminKey)}
	s := api.New(api.Options{Store: store, Logger: slog.New(slog.DiscardHandler), Held: func() []string { return nil },
		Keys: []riposte.Key{key}, Counted: c})
	t.Cleanup(s.Close)
	return s
}

func newWebhook(t *testing.T, store riposte.Store) riposte.Webhook {
	t.Helper()
	w, err := riposte.NewWebhook("w", "", "https://receiver.example/", 0, func(string) (string, error) { return "receiver.example", nil }, store.Now())
	if err != nil {
		t.Fatal(err)
	}
	if w, err = store.SaveWebhook(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	return w
}

// ask gets what there is at path.
func ask(t *testing.T, s *api.Server, path string, into any) {
	t.Helper()
	answer := httptest.NewRecorder()
	s.ServeHTTP(answer, newRequest(t.Context(), "GET "+path, ""))
	if err := json.Unmarshal(answer.Body.Bytes(), into); err != nil || answer.Code != http.StatusOK {
		t.Fatalf("HTTP %d, %v: %s", answer.Code, err, answer.Body)
	}
}

// TestNothingIsCountedTwice, whatever of it is saved when somebody asks, and nothing
// is missed when it is saved at that very moment.
func TestNothingIsCountedTwice(t *testing.T) {
	store := newStore(t)
	w := newWebhook(t, store)
	quarter := store.Now().Truncate(riposte.StatisticsQuarter)
	row := func(process string, created int) riposte.StatisticsRow {
		return riposte.StatisticsRow{WebhookID: w.ID, Span: riposte.StatisticsQuarter, Process: process,
			Start: quarter, Statistics: riposte.Statistics{Created: created}}
	}
	save := func(rows ...riposte.StatisticsRow) {
		if err := store.SaveStatistics(t.Context(), rows); err != nil {
			t.Fatal(err)
		}
	}
	save(row("saved before", 1), row("unsaved", 1), row("saved meanwhile", 1))
	s := newCounting(t, store, counted{[]riposte.StatisticsRow{row("unsaved", 10), row("saved meanwhile", 100), row("new", 1000)}, func() {
		save(row("saved meanwhile", 200))
	}})
	var got struct {
		Overview struct {
			LastDay struct{ Created string }
		}
	}
	if ask(t, s, "/api/v1/statistics/webhooks/"+w.ID, &got); got.Overview.LastDay.Created != "1211" {
		t.Errorf("created %s", got.Overview.LastDay.Created)
	}
}

// series says how many instances were created, span by span.
type series []struct{ Created string }

func (s series) last() string { return s[len(s)-1].Created }

// TestClockThatIsAheadCountsNothing of what it says will be. One span is a
// clock that is a little ahead, whose node is not to disappear.
func TestClockThatIsAheadCountsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // where a quarter has just begun
		store := newStore(t)
		w := newWebhook(t, store)
		now := store.Now()
		row := func(of string, span time.Duration, ahead, status int) riposte.StatisticsRow {
			start := now.Truncate(span).Add(time.Duration(ahead) * span)
			last := &riposte.LastAttempt{EndedAt: start, InstanceID: fmt.Sprint(ahead), StatusCode: status}
			return riposte.StatisticsRow{WebhookID: of, Span: span, Process: fmt.Sprint(ahead, of), Start: start,
				Statistics: riposte.Statistics{Created: 1, Attempts: 1, AttemptsFailed: 1 - status/200%2, Last: last}}
		}
		var rows []riposte.StatisticsRow
		for ahead, status := range map[int]int{0: 200, 1: 200, 2: 503, 3: 503, 1000: 503} {
			rows = append(rows, row(w.ID, riposte.StatisticsQuarter, ahead, status), row("", riposte.StatisticsQuarter, ahead, status), row("", riposte.StatisticsMinute, ahead, status))
		}
		if err := store.SaveStatistics(t.Context(), rows); err != nil {
			t.Fatal(err)
		}
		s := newCounting(t, store, counted{then: func() {}})
		var all struct {
			LastHour, LastDay series
			InTroubleCount    int
		}
		if ask(t, s, "/api/v1/statistics", &all); all.LastHour.last() != "1" || all.LastDay.last() != "1" || all.InTroubleCount != 0 {
			t.Errorf("in the last minute %s, in the last quarter %s, in trouble %d", all.LastHour.last(), all.LastDay.last(), all.InTroubleCount)
		}
		var one struct {
			Overview struct {
				Health      string
				LastHour    struct{ Created string }
				LastAttempt struct{ StatusCode int }
			}
			LastDay series
		}
		ask(t, s, "/api/v1/statistics/webhooks/"+w.ID, &one)
		if o := one.Overview; o.Health != "WEBHOOK_HEALTH_HEALTHY" || o.LastHour.Created != "2" || o.LastAttempt.StatusCode != 200 || one.LastDay.last() != "1" {
			t.Errorf("the webhook is %+v", one)
		}
	})
}

// laborious is a store with so much that is due that it takes a second to find it.
type laborious struct {
	riposte.Store
	looks, counts atomic.Int32
}

func (s *laborious) OldestDue(ctx context.Context, limit int) ([]riposte.Instance, error) {
	time.Sleep(time.Second)
	s.looks.Add(1)
	return s.Store.OldestDue(ctx, limit)
}

func (s *laborious) CountInstances(ctx context.Context) (map[riposte.State]int, error) {
	s.counts.Add(1)
	return s.Store.CountInstances(ctx)
}

// counting is what was counted by now.
type counting struct{ n int }

func (c *counting) Unsaved(f riposte.StatisticsFilter) []riposte.StatisticsRow {
	start := time.Now().Truncate(f.Span)
	return []riposte.StatisticsRow{{Span: f.Span, Process: "p", Start: start, Statistics: riposte.Statistics{Created: c.n}}}
}

// TestOverviewIsReadOnceForAllWhoLook, and what was counted just now is shown within a
// second, however much work it is to find what is due.
func TestOverviewIsReadOnceForAllWhoLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, c := &laborious{Store: newStore(t)}, &counting{n: 1}
		s := newCounting(t, store, c)
		look := func(created string, counts, looks int32) {
			t.Helper()
			var looking sync.WaitGroup
			for range 10 {
				looking.Go(func() {
					var all struct{ LastHour, LastDay series }
					if ask(t, s, "/api/v1/statistics", &all); all.LastHour.last() != created || all.LastDay.last() != created {
						t.Errorf("created were %s in the last minute, %s in the last quarter, want %s", all.LastHour.last(), all.LastDay.last(), created)
					}
				})
			}
			looking.Wait()
			if n, m := store.counts.Load(), store.looks.Load(); n != counts || m != looks {
				t.Errorf("the store was asked %d times how many there are, %d times what is due, want %d and %d", n, m, counts, looks)
			}
		}
		look("1", 1, 1)
		c.n = 2
		time.Sleep(api.CountsAge)
		look("2", 2, 1)
		time.Sleep(api.KeptCost*time.Second - api.CountsAge)
		look("2", 3, 2)
	})
}
