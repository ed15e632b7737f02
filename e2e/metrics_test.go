package e2e

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/riposte-dev/riposte"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
	"github.com/riposte-dev/riposte/ripostetest"
	"github.com/riposte-dev/riposte/server"
)

var accepted = ripostetest.Reply{Status: http.StatusAccepted}

// TestMetricsSayExactlyWhatHappened takes instances to most of the ends that
// there are and compares what is shown with books of its own.
func TestMetricsSayExactlyWhatHappened(t *testing.T) {
	t.Parallel()
	var clock ripostetest.Clock
	s := ripostetest.Start(t, timedBy(&clock), retryAfter(time.Millisecond))
	b := newBooks(t, s)

	expiring := b.ask("approvalStep", 2, always(accepted), "2xx")
	b.inState("WAITING_CALLBACK", expiring)
	jump(t, s, &clock, riposte.MaxCallbackTimeout)
	b.enter("test", 2, "2xx") // the jump's own
	b.leave("DELIVERED", "", 2)
	b.end("FAILED", "EXPIRED", expiring)

	b.end("APPROVED", "", b.ask("approvalStep", 3, always(ripostetest.Reply{Body: approve}), "2xx"))
	b.end("COMPLETED", "", b.ask("provisionStep", 2, always(ripostetest.Reply{Status: http.StatusAccepted, Callback: complete}), "2xx"))
	inTheEnd := inTurn(ripostetest.Reply{Status: http.StatusServiceUnavailable}, ripostetest.Reply{Status: http.StatusFound}, ripostetest.Reply{Body: context1})
	b.end("CONTEXT", "", b.ask("workflowStep", 2, inTheEnd, "5xx", "3xx", "2xx"))
	b.end("FAILED", "GONE", b.ask("policyPostAction", 2, always(ripostetest.Reply{Status: http.StatusGone}), "4xx"))
	b.end("FAILED", "BAD_RESPONSE", b.ask("approvalStep", 1, always(ripostetest.Reply{Body: "fine"}), "2xx"))
	canceled := b.ask("approvalStep", 1, always(accepted), "2xx")
	b.inState("WAITING_CALLBACK", canceled)
	if _, err := s.Instances.Cancel(patient(t), &ripostev1.InstancesServiceCancelRequest{Id: canceled[0]}); err != nil {
		t.Fatal(err)
	}
	b.end("FAILED", "CANCELED", canceled)
	b.end("FAILED", "ATTEMPTS_EXHAUSTED", []string{b.askNobody()})

	waiting := b.ask("provisionStep", 2, always(accepted), "2xx")
	b.inState("WAITING_CALLBACK", waiting)
	b.want[`riposte_instances{state="WAITING_CALLBACK"}`] = 2
	b.askHanging(3)
	b.compare()

	if _, err := s.Instances.Cancel(patient(t), &ripostev1.InstancesServiceCancelRequest{Id: waiting[0]}); err != nil {
		t.Fatal(err)
	}
	b.end("FAILED", "CANCELED", waiting[:1])
	b.want[`riposte_instances{state="WAITING_CALLBACK"}`] = 1
	b.compare()
}

// TestMetricsAfterARestart: what the store has is shown as it is, and what
// happened before the start is not counted again.
func TestMetricsAfterARestart(t *testing.T) {
	t.Parallel()
	var clock ripostetest.Clock
	dir := t.TempDir()
	start := func() (*ripostetest.Server, *books) {
		s := ripostetest.Start(t, timedBy(&clock), func(c *server.Config) { c.Data = dir })
		return s, newBooks(t, s)
	}
	s, b := start()
	b.end("APPROVED", "", b.ask("approvalStep", 3, always(ripostetest.Reply{Body: approve}), "2xx"))
	b.compare()
	s.Stop()

	s, b = start()
	b.want[`riposte_instances{state="SUCCESS"}`] = 3
	b.compare()
	s.Stop()

	clock.Advance(riposte.MaxCallbackTimeout + 24*time.Hour)
	_, b = start() // which removes what is too old to be kept
	b.compare()
}

// books are what a server's metrics should be.
type books struct {
	t      *testing.T
	server *ripostetest.Server
	key    string             // a viewer's
	want   map[string]float64 // all that exact matches
}

// exact are the series of which the books say everything.
var exact = regexp.MustCompile(`^riposte_(instances|attempts_|webhook_|due_lag|attempt_duration_seconds_count|outcome_duration_seconds_count)`)

func newBooks(t *testing.T, s *ripostetest.Server) *books {
	t.Helper()
	res, err := s.Keys.Create(patient(t), &ripostev1.KeysServiceCreateRequest{Name: "prometheus", Role: ripostev1.Role_ROLE_VIEWER})
	if err != nil {
		t.Fatal(err)
	}
	b := &books{t: t, server: s, key: res.GetSecret()}
	// What a package's test says is there from the start, is 0 until something
	// happens.
	b.want = b.scrape()
	for series := range b.want {
		b.want[series] = 0
	}
	return b
}

// enter notes n instances created, each with an attempt for each result.
func (b *books) enter(source string, n int, results ...string) {
	b.want[fmt.Sprintf("riposte_instances_created_total{source=%q}", source)] += float64(n)
	for _, result := range results {
		b.want[fmt.Sprintf("riposte_attempts_total{result=%q}", result)] += float64(n)
		b.want["riposte_attempt_duration_seconds_count"] += float64(n)
	}
}

// leave notes n instances closed.
func (b *books) leave(outcome, reason string, n int) {
	state := "SUCCESS"
	if outcome == "FAILED" {
		state = "FATAL_ERROR"
	}
	b.want[fmt.Sprintf("riposte_instances{state=%q}", state)] += float64(n)
	b.want[fmt.Sprintf("riposte_instances_closed_total{outcome=%q,reason=%q}", outcome, reason)] += float64(n)
	b.want["riposte_outcome_duration_seconds_count"] += float64(n)
}

// ask creates n instances at a receiver of their own, where each comes to
// these results.
func (b *books) ask(source string, n int, script func(ripostetest.Delivery) ripostetest.Reply, results ...string) []string {
	b.t.Helper()
	b.enter(source, n, results...)
	webhook := newWebhook(b.t, b.server, newReceiver(b.t, script).URL)
	ids := make([]string, n)
	for k := range ids {
		ids[k] = ask(b.t, b.server, webhook, sourceNamed(source).message)
	}
	return ids
}

// askNobody asks where no receiver is, until the attempts are exhausted.
func (b *books) askNobody() string {
	b.t.Helper()
	b.enter("approvalStep", 1, slices.Repeat([]string{"connect"}, riposte.FastAttempts)...)
	gone := newReceiver(b.t, always(ripostetest.Reply{}))
	gone.Close()
	webhook := newWebhook(b.t, b.server, gone.URL)
	settle(b.t, b.server, webhook, &ripostev1.WebhookSettings{RetryPolicy: ripostev1.RetryPolicy_RETRY_POLICY_FAST.Enum()})
	return ask(b.t, b.server, webhook, sourceApprovalStep)
}

// askHanging leaves n attempts in flight on one webhook. Each instance is asked
// for twice, with one requestId.
func (b *books) askHanging(n int) {
	b.t.Helper()
	b.enter("workflowStep", n)
	r := newReceiver(b.t, always(ripostetest.Reply{Hang: true}))
	webhook := newWebhook(b.t, b.server, r.URL)
	for k := range n {
		request := &ripostev1.InstancesServiceCreateRequest{WebhookId: webhook, Source: sourceWorkflowStep, RequestId: strconv.Itoa(k)}
		id := create(b.t, b.server, request).GetWebhookInstance().GetId()
		create(b.t, b.server, request)
		delivered(b.t, r, id, 1)
	}
	b.want[`riposte_instances{state="RUNNING"}`] = float64(n)
	b.want["riposte_attempts_in_flight"] = float64(n)
	b.want[fmt.Sprintf("riposte_webhook_attempts_in_flight{webhook=%q}", webhook)] = float64(n)
}

func (b *books) inState(state string, ids []string) {
	b.t.Helper()
	for _, id := range ids {
		inState(b.t, b.server, id, state)
	}
}

// end waits until the instances are closed, as the outcome says.
func (b *books) end(outcome, reason string, ids []string) {
	b.t.Helper()
	for _, id := range ids {
		i := closed(b.t, b.server, id)
		if kind(i) != outcome || outcome == "FAILED" && failure(i) != reason {
			b.t.Errorf("instance %s came to %v, want %s %s", id, i.GetOutcome(), outcome, reason)
		}
	}
	b.leave(outcome, reason, len(ids))
}

// compare waits for what is told a moment after the fact, and then sees that
// it stays.
func (b *books) compare() {
	b.t.Helper()
	ctx := patient(b.t)
	diff := cmp.Diff(b.want, b.scrape())
	for diff != "" && ctx.Err() == nil {
		pauseFor(ctx, 5*time.Millisecond)
		diff = cmp.Diff(b.want, b.scrape())
	}
	if diff == "" {
		diff = cmp.Diff(b.want, b.scrape())
	}
	if diff != "" {
		b.t.Fatalf("-want +shown\n%s", diff)
	}
}

func pauseFor(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// scrape returns the exact series with their values, and checks what holds of
// the store's.
func (b *books) scrape() map[string]float64 {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, b.server.BaseURL()+"/metrics", nil)
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+b.key)
	r.Close = true
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		b.t.Fatalf("HTTP %d, %v: %s", res.StatusCode, err, body)
	}
	series := map[string]float64{}
	for line := range strings.Lines(string(body)) {
		line = strings.TrimSpace(line)
		if at := strings.LastIndexByte(line, ' '); at > 0 && !strings.HasPrefix(line, "#") {
			if series[line[:at]], err = strconv.ParseFloat(line[at+1:], 64); err != nil {
				b.t.Fatalf("%s: %v", line, err)
			}
		}
	}
	commits, operations := series["riposte_store_commit_duration_seconds_count"], series["riposte_store_commit_operations_sum"]
	if commits == 0 || commits != series["riposte_store_commit_operations_count"] || operations < commits {
		b.t.Errorf("%v operations in %v commits, of which %v were timed", operations, series["riposte_store_commit_operations_count"], commits)
	}
	maps.DeleteFunc(series, func(name string, _ float64) bool { return !exact.MatchString(name) })
	return series
}
