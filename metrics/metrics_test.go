package metrics

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/outbound"
	"github.com/riposte-dev/riposte/sqlite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestEveryNameAndHelpIsAsPrometheusWantsIt(t *testing.T) {
	m, _ := watching(t, map[string]int{"w": 1})
	problems, err := testutil.GatherAndLint(m.registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "riposte_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

// TestDocumentNamesExactlyWhatIsExposed reads docs/metrics.md: the table's rows
// are the metrics, and its alerts name no other ones.
func TestDocumentNamesExactlyWhatIsExposed(t *testing.T) {
	m, s := watching(t, map[string]int{"w": 1})
	newConsumer(t, s, "c", 0)
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	exposed := map[string]string{}
	series := map[string]bool{}
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "riposte_") {
			continue
		}
		exposed[f.GetName()] = strings.ToLower(f.GetType().String())
		series[f.GetName()] = true
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			series[f.GetName()+suffix] = exposed[f.GetName()] == "histogram"
		}
	}
	document, err := os.ReadFile("../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `(riposte_\\w+)(?:\\{[^}]*\\})?` \\| (\\w+) \\|").FindAllStringSubmatch(string(document), -1) {
		documented[row[1]] = row[2]
	}
	if diff := cmp.Diff(exposed, documented); diff != "" {
		t.Errorf("-exposed +documented\n%s", diff)
	}
	for _, name := range regexp.MustCompile(`\briposte_\w+`).FindAllString(string(document), -1) {
		if !series[name] {
			t.Errorf("the document names %s, which nothing exposes", name)
		}
	}
	var alerts [2][]string
	for n, pattern := range []string{`(?m)^ *- alert: (\w+)$`, `(?m)^\| (Riposte\w+) \|`} {
		for _, found := range regexp.MustCompile(pattern).FindAllStringSubmatch(string(document), -1) {
			alerts[n] = append(alerts[n], found[1])
		}
	}
	if diff := cmp.Diff(alerts[0], alerts[1]); diff != "" || len(alerts[0]) == 0 {
		t.Errorf("-rules +explained\n%s", diff)
	}
}

// TestDocumentNamesEveryLabelValue: whoever writes an alert has to know them.
func TestDocumentNamesEveryLabelValue(t *testing.T) {
	document, err := os.ReadFile("../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	for series := range scrape(t, New()) {
		for _, value := range regexp.MustCompile(`(?:state|source|outcome|reason|result)="([^"]+)"`).FindAllStringSubmatch(series, -1) {
			if !strings.Contains(string(document), "`"+value[1]+"`") {
				t.Errorf("the document doesn't name %s of %s", value[1], series)
			}
		}
	}
}

// TestEverySeriesIsThereFromTheStart, because a rate does not see the first
// event of a series that appears with it.
func TestEverySeriesIsThereFromTheStart(t *testing.T) {
	want := map[string]float64{}
	for _, s := range []string{"test", "policyPostAction", "approvalStep", "provisionStep", "workflowStep"} {
		want[fmt.Sprintf("riposte_instances_created_total{source=%q}", s)] = 0
	}
	for _, o := range []string{"DELIVERED", "APPROVED", "DENIED", "REASSIGNED", "POLICY_REPLACED", "COMPLETED", "ERRORED", "CONTEXT"} {
		want[fmt.Sprintf(`riposte_instances_closed_total{outcome=%q,reason=""}`, o)] = 0
	}
	for _, r := range []string{"GONE", "ATTEMPTS_EXHAUSTED", "EXPIRED", "BAD_RESPONSE", "CANCELED", "WEBHOOK_DELETED"} {
		want[fmt.Sprintf(`riposte_instances_closed_total{outcome="FAILED",reason=%q}`, r)] = 0
	}
	for _, r := range []string{"1xx", "2xx", "3xx", "4xx", "5xx", "prepare", "dns", "connect", "tls", "request", "response", "timeout", "other"} {
		want[fmt.Sprintf("riposte_attempts_total{result=%q}", r)] = 0
		want[fmt.Sprintf("riposte_pushes_total{result=%q}", r)] = 0
	}
	want["riposte_pushes_given_up_total"] = 0
	wantSeries(t, scrape(t, New()), `^riposte_\w+_total`, want)
}

// TestInstancesAreCountedOnceEach takes instances through a store on all the
// ways that there are to an end.
func TestInstancesAreCountedOnceEach(t *testing.T) {
	m, s := watching(t, nil)
	w := newWebhook(t, s)
	for _, kind := range riposte.SourceKinds {
		create(t, s, w, kind)
	}
	claimed := claim(t, s)
	document := []byte(`{"version":"v1","approve":{}}`)
	for _, c := range claimed {
		r := riposte.Result{Attempt: riposte.Attempt{Number: 1, StatusCode: 200}}
		switch c.Instance.Source.Kind {
		case riposte.SourceApprovalStep:
			r.Document = document // APPROVED
		case riposte.SourceProvisionStep:
			r.Attempt.StatusCode = 410 // GONE
		case riposte.SourceWorkflowStep:
			r.Document = nil // BAD_RESPONSE; the two others are DELIVERED
		}
		saveAttempt(t, s, c.Instance, r)
	}
	waiting := create(t, s, w, riposte.SourceApprovalStep)
	saveAttempt(t, s, claim(t, s)[0].Instance, riposte.Result{Attempt: riposte.Attempt{Number: 1, StatusCode: 202}})
	answered, err := load(t, s, waiting.ID).Advance(riposte.Answered{Via: riposte.ViaCallback, Answer: riposte.Answer{Kind: riposte.OutcomeDenied}}, s.Now())
	save(t, s, answered, err)
	canceled := create(t, s, w, riposte.SourceTest)
	canceled, err = canceled.Advance(riposte.Canceled{}, s.Now())
	save(t, s, canceled, err)
	create(t, s, w, riposte.SourceTest) // stays PENDING
	running := create(t, s, w, riposte.SourceApprovalStep)
	for _, c := range claim(t, s) {
		if c.Instance.ID != running.ID {
			saveAttempt(t, s, c.Instance, riposte.Result{Attempt: riposte.Attempt{Number: 1, StatusCode: 500}})
		}
	}
	published(t, s, w)

	got := scrape(t, m)
	wantSeries(t, nonzero(got), `^riposte_instances`, map[string]float64{
		`riposte_instances{state="SUCCESS"}`:                                     4,
		`riposte_instances{state="FATAL_ERROR"}`:                                 3,
		`riposte_instances{state="ERROR"}`:                                       1,
		`riposte_instances{state="RUNNING"}`:                                     1,
		`riposte_instances{state="PENDING"}`:                                     1,
		`riposte_instances_created_total{source="test"}`:                         4,
		`riposte_instances_created_total{source="policyPostAction"}`:             1,
		`riposte_instances_created_total{source="approvalStep"}`:                 3,
		`riposte_instances_created_total{source="provisionStep"}`:                1,
		`riposte_instances_created_total{source="workflowStep"}`:                 1,
		`riposte_instances_closed_total{outcome="APPROVED",reason=""}`:           1,
		`riposte_instances_closed_total{outcome="DENIED",reason=""}`:             1,
		`riposte_instances_closed_total{outcome="DELIVERED",reason=""}`:          2,
		`riposte_instances_closed_total{outcome="FAILED",reason="GONE"}`:         1,
		`riposte_instances_closed_total{outcome="FAILED",reason="BAD_RESPONSE"}`: 1,
		`riposte_instances_closed_total{outcome="FAILED",reason="CANCELED"}`:     1,
	})
	if n := got["riposte_outcome_duration_seconds_count"]; n != 7 {
		t.Errorf("%v durations of outcomes, want 7", n)
	}
}

func TestOutcomeDurationIsFromCreationToDecision(t *testing.T) {
	m := New()
	now := time.Now()
	i := riposte.Instance{Version: 3, State: riposte.StateProcessResponse, CreatedAt: now,
		Outcome: &riposte.Outcome{Kind: riposte.OutcomeApproved, DecidedAt: now.Add(21 * 24 * time.Hour)}}
	m.changed(i) // is not closed yet
	i.Version, i.State, i.CompletedAt = 4, riposte.StateSuccess, now.Add(22*24*time.Hour)
	m.changed(i)
	got := scrape(t, m)
	if sum := got["riposte_outcome_duration_seconds_sum"]; sum != 21*86400 {
		t.Errorf("the sum is %v s, want three weeks", sum)
	}
	for bound, want := range map[string]float64{"0.001": 0, "1.2096e+06": 0, "2.592e+06": 1, "+Inf": 1} {
		if n, ok := got[fmt.Sprintf("riposte_outcome_duration_seconds_bucket{le=%q}", bound)]; n != want || !ok {
			t.Errorf("%v in the bucket to %s, want %v", n, bound, want)
		}
	}
}

func TestStatesAreThoseOfTheStoreAfterAPurge(t *testing.T) {
	m, s := watching(t, nil)
	w := newWebhook(t, s)
	i, err := create(t, s, w, riposte.SourceTest).Advance(riposte.Canceled{}, s.Now())
	save(t, s, i, err)
	create(t, s, w, riposte.SourceTest)
	if n, err := s.PurgeInstances(t.Context(), i.ExpiresAt.Add(time.Hour), 10); n != 1 || err != nil {
		t.Fatalf("purged %d, %v", n, err)
	}
	wantSeries(t, scrape(t, m), `^riposte_instances\{`, map[string]float64{
		`riposte_instances{state="PENDING"}`: 1, `riposte_instances{state="RUNNING"}`: 0, `riposte_instances{state="ERROR"}`: 0,
		`riposte_instances{state="WAITING_CALLBACK"}`: 0, `riposte_instances{state="PROCESS_RESPONSE"}`: 0,
		`riposte_instances{state="SUCCESS"}`: 0, `riposte_instances{state="FATAL_ERROR"}`: 0,
	})
}

// TestStoreThatStillCountsHoldsUpNoScrape: its figures are missing, and the
// others are there.
func TestStoreThatStillCountsHoldsUpNoScrape(t *testing.T) {
	m := New()
	defer m.Watch(counting{openStore(t, nil), t}, node{})()
	got := scrape(t, m)
	wantSeries(t, got, `^riposte_instances\{`, map[string]float64{})
	wantSeries(t, got, `^riposte_attempts_in_flight`, map[string]float64{"riposte_attempts_in_flight": 0})
}

// counting never comes to an end with it.
type counting struct {
	riposte.Store
	t *testing.T
}

func (c counting) CountInstances(ctx context.Context) (map[riposte.State]int, error) {
	if end, ok := ctx.Deadline(); !ok || time.Until(end) > 100*time.Millisecond {
		c.t.Errorf("the scrape would wait until %v", end)
	}
	<-ctx.Done()
	return nil, ctx.Err()
}

// answer is a Sender that answers alike.
type answer riposte.Attempt

func (a answer) Send(context.Context, riposte.ClaimedInstance) riposte.Result {
	return riposte.Result{Attempt: riposte.Attempt(a)}
}

func TestAttemptsAreCountedByTheirResult(t *testing.T) {
	failed := func(phase riposte.Phase, reason string) *riposte.AttemptError {
		return &riposte.AttemptError{Phase: phase, Reason: reason}
	}
	for _, tt := range []struct {
		attempt riposte.Attempt
		want    string
	}{
		{riposte.Attempt{StatusCode: 101}, "1xx"},
		{riposte.Attempt{StatusCode: 200}, "2xx"},
		{riposte.Attempt{StatusCode: 299}, "2xx"},
		{riposte.Attempt{StatusCode: 302}, "3xx"},
		{riposte.Attempt{StatusCode: 410}, "4xx"},
		{riposte.Attempt{StatusCode: 503}, "5xx"},
		{riposte.Attempt{StatusCode: 600}, "other"},
		{riposte.Attempt{StatusCode: 99}, "other"},
		{riposte.Attempt{Error: failed(riposte.PhaseDNS, outbound.ReasonNotFound)}, "dns"},
		{riposte.Attempt{Error: failed(riposte.PhaseConnect, outbound.ReasonRefused)}, "connect"},
		{riposte.Attempt{Error: failed(riposte.PhaseTLS, outbound.ReasonCertificate)}, "tls"},
		{riposte.Attempt{Error: failed(riposte.PhaseRequest, outbound.ReasonReset)}, "request"},
		{riposte.Attempt{Error: failed(riposte.PhaseResponse, outbound.ReasonCutOff), StatusCode: 200}, "response"},
		{riposte.Attempt{Error: failed(riposte.PhaseConnect, outbound.ReasonTimeout)}, "timeout"},
		{riposte.Attempt{Error: failed(riposte.PhaseResponse, outbound.ReasonTimeout), StatusCode: 200}, "timeout"},
		{riposte.Attempt{Error: failed(riposte.PhaseUnknown, "")}, "other"},
	} {
		m := New()
		tt.attempt.Duration = 1500 * time.Millisecond
		if r := m.Sender(answer(tt.attempt)).Send(t.Context(), riposte.ClaimedInstance{}); !cmp.Equal(r.Attempt, tt.attempt) {
			t.Errorf("the attempt became %+v", r.Attempt)
		}
		got := scrape(t, m)
		wantSeries(t, nonzero(got), `^riposte_attempts_total`, map[string]float64{fmt.Sprintf("riposte_attempts_total{result=%q}", tt.want): 1})
		if got["riposte_attempt_duration_seconds_sum"] != 1.5 || got[`riposte_attempt_duration_seconds_bucket{le="1"}`] != 0 {
			t.Errorf("%s: the duration is not counted: %v", tt.want, got["riposte_attempt_duration_seconds_sum"])
		}
	}
}

// TestPushesAreCountedApart: they are no attempts, and what is given up shows once.
func TestPushesAreCountedApart(t *testing.T) {
	m, s := watching(t, nil)
	i, _, err := riposte.NewInstance(newWebhook(t, s), riposte.InstanceRequest{Source: riposte.Source{Kind: riposte.SourceTest},
		OutcomeURL: "https://caller.example/"}, func(string) string { return "https://riposte.example/" }, s.Now())
	if err != nil {
		t.Fatal(err)
	}
	created, err := s.CreateInstances(t.Context(), []riposte.NewInstanceRecord{{Instance: i, Envelope: riposte.NewEnvelope(i.ID, "", i.Source, nil)}})
	if err != nil {
		t.Fatal(err)
	}
	next, err := created[0].Advance(riposte.Canceled{}, s.Now())
	save(t, s, next, err)
	c, err := s.Claim(t.Context(), riposte.ClaimRequest{Limit: 1})
	if err != nil || len(c.Attempts) != 1 {
		t.Fatalf("claimed %v, %v", c, err)
	}
	r := m.Sender(answer{StatusCode: 410}).Send(t.Context(), c.Attempts[0])
	next, err = c.Attempts[0].Instance.Advance(riposte.Pushed{Result: r}, s.Now())
	save(t, s, next, err)
	got := nonzero(scrape(t, m))
	wantSeries(t, got, `^riposte_(attempts|pushes)_`, map[string]float64{`riposte_pushes_total{result="4xx"}`: 1, "riposte_pushes_given_up_total": 1})
}

func TestCommitsAreCounted(t *testing.T) {
	m := New()
	m.Committed(1, 100*time.Microsecond)
	m.Committed(64, 3*time.Millisecond)
	wantSeries(t, scrape(t, m), `^riposte_store_\w+_(sum|count)|le="(32|0\.001)"`, map[string]float64{
		"riposte_store_commit_operations_sum": 65, "riposte_store_commit_operations_count": 2,
		"riposte_store_commit_duration_seconds_sum": 0.0031, "riposte_store_commit_duration_seconds_count": 2,
		`riposte_store_commit_operations_bucket{le="32"}`: 1, `riposte_store_commit_duration_seconds_bucket{le="0.001"}`: 1,
		`riposte_attempt_duration_seconds_bucket{le="0.001"}`: 0, `riposte_outcome_duration_seconds_bucket{le="0.001"}`: 0,
	})
}

func TestOpenBreakersAreShown(t *testing.T) {
	m := New()
	defer m.Watch(openStore(t, nil), node{breakersOpen: 3})()
	wantSeries(t, scrape(t, m), `breakers`, map[string]float64{"riposte_breakers_open": 3})
}

func TestLagOfConsumersIsShown(t *testing.T) {
	m, s := New(), openStore(t, nil)
	defer m.Watch(s, node{})()
	wantSeries(t, scrape(t, m), `consumer`, map[string]float64{})
	for name, acked := range map[string]int64{"at-the-end": 1, "behind": 0} {
		newConsumer(t, s, name, acked)
	}
	i, err := create(t, s, newWebhook(t, s), riposte.SourceTest).Advance(riposte.Canceled{}, s.Now())
	save(t, s, i, err)
	wantSeries(t, scrape(t, m), `consumer`, map[string]float64{
		`riposte_consumer_lag_outcomes{consumer="at-the-end"}`: 0, `riposte_consumer_lag_outcomes{consumer="behind"}`: 1})
}

func TestOnlyTheBusiestWebhooksAreShown(t *testing.T) {
	inFlight := map[string]int{}
	for n := range 50 {
		inFlight[fmt.Sprintf("w%02d", n)] = n/2 + 1
	}
	m, _ := watching(t, inFlight)
	want := map[string]float64{"riposte_attempts_in_flight": 650}
	for n := 30; n < 50; n++ {
		want[fmt.Sprintf("riposte_webhook_attempts_in_flight{webhook=\"w%02d\"}", n)] = float64(n/2 + 1)
	}
	wantSeries(t, scrape(t, m), `attempts_in_flight`, want)
}

func TestLatenessIsWhatTheLastClaimLeft(t *testing.T) {
	now := time.UnixMicro(1_700_000_000_000_000)
	after := func(d time.Duration) time.Time { return now.Add(d) }
	var l lateness
	check := func(what string, at time.Time, want time.Duration) {
		t.Helper()
		if got := l.at(at); got != want {
			t.Errorf("%s: %s late, want %s", what, got, want)
		}
	}
	l.reset()
	check("nothing is known", now, 0)
	l.begin(now)
	l.end(after(-5 * time.Second))
	check("something is left", now, 5*time.Second)
	check("and is not fetched", after(time.Second), 6*time.Second)
	l.begin(now)
	l.end(after(3 * time.Second))
	check("the next is due later", now, 0)
	check("and then nobody comes", after(10*time.Second), 7*time.Second)
	l.begin(now)
	l.end(time.Time{})
	check("nothing is left", after(time.Hour), 0)
	l.begin(after(time.Second))
	check("a claim hangs", after(4*time.Second), 3*time.Second)
	l.begin(after(2 * time.Second)) // the first one has failed
	check("claims fail", after(4*time.Second), 3*time.Second)
	l.end(time.Time{})
	check("claims succeed again", after(4*time.Second), 0)
}

// TestClaimsAreWatched goes through a store.
func TestClaimsAreWatched(t *testing.T) {
	now := time.Now()
	m, s := New(), openStore(t, func() time.Time { return now })
	defer m.Watch(s, node{})()
	w := newWebhook(t, s)
	for range 2 {
		create(t, s, w, riposte.SourceTest)
	}
	now = now.Add(3 * time.Second)
	lag := func() float64 { return scrape(t, m)["riposte_due_lag_seconds"] }
	claim := func(r riposte.ClaimRequest) {
		t.Helper()
		if _, err := m.Store(s).Claim(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	if got := lag(); got != 0 {
		t.Errorf("before any claim the lag is %v s", got)
	}
	claim(riposte.ClaimRequest{Limit: 1})
	if got := lag(); got != 3 {
		t.Errorf("with one left the lag is %v s, want 3", got)
	}
	claim(riposte.ClaimRequest{Limit: 1, InFlight: map[string]int{w.ID: 64}})
	if got := lag(); got != 0 {
		t.Errorf("with one held back by its webhook's bound the lag is %v s", got)
	}
	claim(riposte.ClaimRequest{Limit: 1})
	if got := lag(); got != 0 {
		t.Errorf("with none left the lag is %v s", got)
	}
	broken := m.Store(failing{s})
	if _, err := broken.Claim(t.Context(), riposte.ClaimRequest{}); err == nil {
		t.Fatal("the claim did not fail")
	}
	now = now.Add(2 * time.Second)
	if got := lag(); got != 2 {
		t.Errorf("2 s after a failed claim the lag is %v s", got)
	}
}

type failing struct{ riposte.Store }

func (failing) Claim(context.Context, riposte.ClaimRequest) (riposte.Claim, error) {
	return riposte.Claim{}, errors.New("no")
}

func TestVersionAndRuntimeAreShown(t *testing.T) {
	got := scrape(t, New())
	wantSeries(t, got, `^riposte_build_info`, map[string]float64{`riposte_build_info{version="devel"}`: 1})
	if got["go_goroutines"] == 0 || got["process_start_time_seconds"] == 0 {
		t.Error("the Go runtime's or the process's metrics are missing")
	}
}

func TestEventsAllocateNothing(t *testing.T) {
	m := New()
	created, closed := events()
	send := m.Sender(answer{StatusCode: 200})
	c := riposte.ClaimedInstance{}
	ctx := context.Background()
	if n := testing.AllocsPerRun(100, func() {
		m.changed(created)
		m.changed(closed)
		send.Send(ctx, c)
		m.Committed(8, time.Millisecond)
	}); n != 0 {
		t.Errorf("%v allocations an instance", n)
	}
}

func events() (created, closed riposte.Instance) {
	now := time.Now()
	created = riposte.Instance{Version: 1, State: riposte.StatePending, Source: riposte.Source{Kind: riposte.SourceApprovalStep}, CreatedAt: now}
	closed = riposte.Instance{Version: 3, State: riposte.StateSuccess, CreatedAt: now,
		Outcome: &riposte.Outcome{Kind: riposte.OutcomeApproved, DecidedAt: now.Add(5 * time.Millisecond)}}
	return created, closed
}

// BenchmarkInstance is what the whole life of an instance costs that is answered
// at once: three changes and an attempt.
func BenchmarkInstance(b *testing.B) {
	m := New()
	created, closed := events()
	running := closed
	running.Version, running.State, running.Outcome = 2, riposte.StateRunning, nil
	send := m.Sender(answer{StatusCode: 200, Duration: time.Millisecond})
	ctx, c := context.Background(), riposte.ClaimedInstance{}
	b.ReportAllocs()
	for b.Loop() {
		m.changed(created)
		m.changed(running)
		send.Send(ctx, c)
		m.changed(closed)
	}
}

// BenchmarkBatch is what a commit and a claim cost, which many share.
func BenchmarkBatch(b *testing.B) {
	m := New()
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		m.Committed(8, time.Millisecond)
		m.scraped.lateness.begin(now)
		m.scraped.lateness.end(now)
	}
}

// The store and what a test does with it.

// openStore opens one with the clock now; nil is its own.
func newConsumer(t testing.TB, s *sqlite.Store, name string, after int64) {
	t.Helper()
	c, err := riposte.NewConsumer(name, riposte.OutcomeFilter{}, after, s.Now())
	if err == nil {
		_, err = s.SaveConsumer(t.Context(), c)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func openStore(t testing.TB, now func() time.Time) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), t.TempDir(), sqlite.Options{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// node is what an engine says of itself.
type node struct {
	inFlight     map[string]int
	breakersOpen int
}

func (n node) InFlightByWebhook() map[string]int { return maps.Clone(n.inFlight) }
func (n node) BreakersOpen() int                 { return n.breakersOpen }

func watching(t testing.TB, inFlight map[string]int) (*Metrics, *sqlite.Store) {
	t.Helper()
	m, s := New(), openStore(t, nil)
	t.Cleanup(m.Watch(s, node{inFlight: inFlight}))
	m.WatchDoor(edgeOf{})
	m.WatchListener("main", edgeOf{})
	return m, s
}

// edgeOf is where requests come in: each figure is another one.
type edgeOf struct{}

func (edgeOf) InFlight() map[string]int64  { return map[string]int64{"call": 1, "wait": 2} }
func (edgeOf) HeldBytes() map[string]int64 { return map[string]int64{"call": 3} }
func (edgeOf) Shed() map[string]int64      { return map[string]int64{"call": 4} }
func (edgeOf) RateLimited() int64          { return 5 }
func (edgeOf) Connections() int64          { return 6 }
func (edgeOf) Refused() int64              { return 7 }

func TestWhatComesInIsShown(t *testing.T) {
	m, _ := watching(t, nil)
	wantSeries(t, scrape(t, m), `^riposte_(requests?_|connections)`, map[string]float64{
		`riposte_requests_in_flight{kind="call"}`:            1,
		`riposte_requests_in_flight{kind="wait"}`:            2,
		`riposte_request_body_bytes{kind="call"}`:            3,
		`riposte_requests_refused_total{kind="call"}`:        4,
		`riposte_requests_rate_limited_total`:                5,
		`riposte_connections{listener="main"}`:               6,
		`riposte_connections_refused_total{listener="main"}`: 7,
	})
}

func newWebhook(t testing.TB, s riposte.Store) riposte.Webhook {
	t.Helper()
	w, err := riposte.NewWebhook("w", "", "https://receiver.test/", 0, func(string) (string, error) { return "receiver.test", nil }, s.Now())
	if err == nil {
		w, err = s.SaveWebhook(t.Context(), w)
	}
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func create(t testing.TB, s riposte.Store, w riposte.Webhook, kind riposte.SourceKind) riposte.Instance {
	t.Helper()
	source := riposte.Source{Kind: kind, TicketID: "T-1", WorkflowExecutionID: 1, WorkflowStepID: "s"}
	i, envelope, err := riposte.NewInstance(w, riposte.InstanceRequest{Source: source}, func(id string) string { return "https://riposte.test/" + id }, s.Now())
	if err != nil {
		t.Fatal(err)
	}
	is, err := s.CreateInstances(t.Context(), []riposte.NewInstanceRecord{{Instance: i, Envelope: envelope}})
	if err != nil {
		t.Fatal(err)
	}
	return is[0]
}

func claim(t testing.TB, s riposte.Store) []riposte.ClaimedInstance {
	t.Helper()
	c, err := s.Claim(t.Context(), riposte.ClaimRequest{Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	return c.Attempts
}

func load(t testing.TB, s riposte.Store, id string) riposte.Instance {
	t.Helper()
	i, err := s.LoadInstance(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// save takes what Advance returned.
func save(t testing.TB, s riposte.Store, i riposte.Instance, err error) {
	t.Helper()
	if err == nil {
		_, err = s.SaveInstance(t.Context(), i, nil)
	}
	if err == nil {
		err = s.Told(t.Context()) // it is counted after the commit
	}
	if err != nil {
		t.Fatal(err)
	}
}

func saveAttempt(t testing.TB, s riposte.Store, i riposte.Instance, r riposte.Result) {
	t.Helper()
	next, err := i.Advance(riposte.Attempted{Result: r, Policy: riposte.RetryFast, Fast: riposte.DefaultFastDelay}, s.Now())
	save(t, s, next, err)
}

// published returns when all that was changed so far has been told to those
// who subscribe; it leaves one instance more in PENDING.
func published(t testing.TB, s riposte.Store, w riposte.Webhook) {
	t.Helper()
	told := make(chan string, 1)
	defer s.Subscribe(func(i riposte.Instance) { told <- i.ID })()
	last := create(t, s, w, riposte.SourceTest)
	if id := <-told; id != last.ID {
		t.Fatalf("told of %s, want %s", id, last.ID)
	}
}

// scrape asks the handler and returns each series with its value.
func scrape(t testing.TB, m *Metrics) map[string]float64 {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler(slog.New(slog.DiscardHandler)).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	body, err := io.ReadAll(w.Result().Body)
	if err != nil || w.Code != http.StatusOK {
		t.Fatalf("HTTP %d, %v: %s", w.Code, err, body)
	}
	series := map[string]float64{}
	for line := range strings.Lines(string(body)) {
		line = strings.TrimSpace(line)
		at := strings.LastIndexByte(line, ' ')
		if strings.HasPrefix(line, "#") || at < 0 {
			continue
		}
		if series[line[:at]], err = strconv.ParseFloat(line[at+1:], 64); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
	}
	return series
}

// wantSeries compares those that match a pattern.
func wantSeries(t testing.TB, got map[string]float64, pattern string, want map[string]float64) {
	t.Helper()
	matching := maps.Clone(got)
	maps.DeleteFunc(matching, func(name string, _ float64) bool { return !regexp.MustCompile(pattern).MatchString(name) })
	if diff := cmp.Diff(want, matching); diff != "" {
		t.Errorf("-want +got\n%s\nof %q", diff, slices.Sorted(maps.Keys(got)))
	}
}

func nonzero(series map[string]float64) map[string]float64 {
	kept := maps.Clone(series)
	maps.DeleteFunc(kept, func(_ string, v float64) bool { return v == 0 })
	return kept
}
