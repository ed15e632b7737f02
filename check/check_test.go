package check_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/riposte-dev/riposte/check"
)

// run plays a receiver through the paces.
func run(t *testing.T, r *candidate, changes ...func(*check.Options)) *check.Report {
	t.Helper()
	o := check.Options{URL: r.URL, Listen: "127.0.0.1:0", RetryPatience: 3 * time.Second}
	for _, change := range changes {
		change(&o)
	}
	s, err := check.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	r.trusts = s.Keys
	report, err := s.Run(t.Context(), func(int, int, check.Check) {})
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func names(report *check.Report, results ...check.Result) []string {
	var list []string
	for _, row := range report.Checks {
		if slices.Contains(results, row.Result) {
			list = append(list, row.Name)
		}
	}
	return list
}

func tell(t *testing.T, report *check.Report) {
	t.Helper()
	for _, row := range report.Checks {
		t.Logf("%-28s %s  %s  (%s)", row.Name, row.Result, row.Came, row.Hint)
	}
}

// ofCallbacks are the checks that need one.
var ofCallbacks = []string{"early-callback", "callback-retried", "late-callback"}

func TestARightReceiverPasses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		later   bool
		skipped []string
	}{
		{"that answers at once", false, ofCallbacks},
		{"that calls back", true, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			report := run(t, newCandidate(t, func(r *candidate) { r.later = tt.later }))
			if diff := cmp.Diff(tt.skipped, names(report, check.Fail, check.Warn, check.Skip)); diff != "" {
				t.Errorf("not passed: -want +got\n%s", diff)
				tell(t, report)
			}
			if got := report.Passed + report.Skipped; got != len(check.Names()) || len(report.Checks) != got {
				t.Errorf("%d checks of %d", got, len(check.Names()))
			}
		})
	}
}

// TestABrokenReceiverIsCaught breaks one thing each, and nothing else may be
// found wrong.
func TestABrokenReceiverIsCaught(t *testing.T) {
	t.Parallel()
	counted := func(event string, n int) string {
		if strings.HasSuffix(event, "ApprovalStep") {
			return fmt.Sprintf(`{"version":"v1","approve":{"comment":"number %d"}}`, n)
		}
		return documents[event]
	}
	without := func(names ...string) func(*candidate) {
		return func(r *candidate) {
			for _, name := range names {
				r.without[name] = true
			}
		}
	}
	for _, tt := range []struct {
		name       string
		change     func(*candidate)
		fail, warn []string
	}{
		{name: "verifies nothing", change: without("signature", "claims"),
			fail: []string{"no-signature", "unsigned-token", "bad-signature", "wrong-key", "expired", "wrong-audience", "wrong-url", "changed-body"},
			warn: []string{"wrong-issuer", "replay"}},
		{name: "reads the token, and not its signature", change: without("signature"), fail: []string{"unsigned-token", "bad-signature", "wrong-key"}},
		{name: "any issuer", change: without("issuer"), warn: []string{"wrong-issuer"}},
		{name: "no clock", change: without("expiry"), fail: []string{"expired"}},
		{name: "any audience", change: without("audience"), fail: []string{"wrong-audience"}},
		{name: "any URL", change: without("url"), fail: []string{"wrong-url"}},
		{name: "compares the digest alone", change: without("body"), fail: []string{"changed-body"}},
		{name: "accepts replays", change: without("replay"), warn: []string{"replay"}},
		{name: "acts on replays", change: func(r *candidate) {
			without("replay")(r)
			r.broken.again, r.broken.document = true, counted
		}, fail: []string{"replay", "duplicate"}},
		{name: "acts twice on a duplicate", change: func(r *candidate) { r.broken.again, r.broken.document = true, counted }, fail: []string{"duplicate"}},
		{name: "acts twice on a duplicate, and calls back", change: func(r *candidate) {
			r.later, r.broken.again, r.broken.document = true, true, counted
		}, fail: []string{"duplicate"}},
		{name: "answers a bad document", change: func(r *candidate) {
			r.broken.document = func(event string, _ int) string {
				if strings.HasSuffix(event, "ProvisionStep") {
					return `{"version":"v1","approve":{}}`
				}
				return documents[event]
			}
		}, fail: []string{"answers-provision-step"}},
		{name: "refuses large bodies", change: func(r *candidate) { r.bodies = 100 << 10 }, fail: []string{"large-body"}},
		{name: "answers at once and calls back", change: func(r *candidate) { r.broken.both = true }, fail: []string{"one-answer"}},
		{name: "calls back twice", change: func(r *candidate) { r.later, r.broken.callbacks = true, 2 }, warn: []string{"one-answer"}},
		{name: "insists on its callback", change: func(r *candidate) { r.later, r.broken.insists = true, true }, fail: []string{"late-callback"}},
		{name: "breaks down after a large body", change: func(r *candidate) {
			broke := false
			r.broken.before = func(req *http.Request) {
				if broke {
					panic(http.ErrAbortHandler)
				}
				broke = req.ContentLength > 1<<20
			}
		}, fail: []string{"one-answer", "still-answers"}},
		{name: "gives up its callback", change: func(r *candidate) { r.later, r.broken.gives = true, true }, warn: []string{"callback-retried"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			report := run(t, newCandidate(t, tt.change))
			if diff := cmp.Diff(tt.fail, names(report, check.Fail)); diff != "" {
				t.Errorf("failed: -want +got\n%s", diff)
				tell(t, report)
			}
			if diff := cmp.Diff(tt.warn, names(report, check.Warn)); diff != "" {
				t.Errorf("warned: -want +got\n%s", diff)
				tell(t, report)
			}
			for _, row := range report.Checks {
				if (row.Result == check.Fail || row.Result == check.Warn) && row.Hint == "" {
					t.Errorf("%s has no hint", row.Name)
				}
			}
		})
	}
}

func TestASlowReceiverIsAskedOnce(t *testing.T) {
	t.Parallel()
	asked := 0
	r := newCandidate(t, func(r *candidate) {
		r.broken.before = func(*http.Request) { asked++; <-r.closing }
	})
	report := run(t, r, func(o *check.Options) { o.AttemptTimeout = 300 * time.Millisecond })
	if diff := cmp.Diff([]string{"in-time"}, names(report, check.Fail)); diff != "" || report.Skipped != len(check.Names())-1 || asked != 1 {
		t.Errorf("asked %d times, %d skipped, failed: -want +got\n%s", asked, report.Skipped, diff)
		tell(t, report)
	}
}
