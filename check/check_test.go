package check_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/riposte-dev/riposte"
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
			var broke atomic.Bool
			r.broken.before = func(req *http.Request) {
				if broke.Load() {
					panic(http.ErrAbortHandler)
				}
				broke.Store(req.ContentLength > 1<<20)
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
	var asked atomic.Int32
	r := newCandidate(t, func(r *candidate) {
		r.broken.before = func(*http.Request) { asked.Add(1); <-r.closing }
	})
	report := run(t, r, func(o *check.Options) { o.AttemptTimeout = 300 * time.Millisecond })
	if diff := cmp.Diff([]string{"in-time"}, names(report, check.Fail)); diff != "" || report.Skipped != len(check.Names())-1 || asked.Load() != 1 {
		t.Errorf("asked %d times, %d skipped, failed: -want +got\n%s", asked.Load(), report.Skipped, diff)
		tell(t, report)
	}
}

func came(t *testing.T, report *check.Report, name string) check.Row {
	t.Helper()
	for _, row := range report.Checks {
		if row.Name == name {
			return row
		}
	}
	t.Fatalf("no check %s in the report", name)
	return check.Row{}
}

// TestABadCallbackIsToldAtOnce: the callback URL is not used up by it, so the
// question stays open, and the check must not wait for its end.
func TestABadCallbackIsToldAtOnce(t *testing.T) {
	t.Parallel()
	r := newCandidate(t, func(r *candidate) {
		r.later = true
		r.broken.document = func(event string, _ int) string {
			if strings.HasSuffix(event, "WorkflowStep") {
				return `{"version":"v1"}`
			}
			return documents[event]
		}
	})
	report := run(t, r, func(o *check.Options) { o.Timeout = time.Hour })
	if diff := cmp.Diff([]string{"answers-workflow-step"}, names(report, check.Fail, check.Warn)); diff != "" {
		t.Errorf("failed: -want +got\n%s", diff)
		tell(t, report)
	}
	const want = "a callback, refused with 400: bad response document: context must be set to an object"
	if row := came(t, report, "answers-workflow-step"); row.Came != want {
		t.Errorf("came %q", row.Came)
	}
}

func TestAReceiverThatTrustsNobodyIsToldWhomToTrust(t *testing.T) {
	t.Parallel()
	r := newCandidate(t, func(*candidate) {})
	r.server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) })
	report := run(t, r, func(o *check.Options) { o.Sources = []riposte.Source{{Kind: riposte.SourceTest}} })
	if diff := cmp.Diff([]string{"answers-test"}, names(report, check.Fail, check.Warn)); diff != "" {
		t.Errorf("failed: -want +got\n%s", diff)
	}
	row := came(t, report, "answers-test")
	if want := "the issuer 127.0.0.1 with the keys at " + report.JWKSURL + ", which it never asked for"; !strings.Contains(row.Hint, want) {
		t.Errorf("the hint is %q", row.Hint)
	}
	if report.Skipped != len(report.Checks)-2 {
		t.Errorf("%d of %d skipped", report.Skipped, len(report.Checks))
		tell(t, report)
	}
}

// TestOneThatNeverCallsBackCostsNoMoreThanTheTimeout also asks a single source.
func TestOneThatNeverCallsBackCostsNoMoreThanTheTimeout(t *testing.T) {
	t.Parallel()
	r := newCandidate(t, func(r *candidate) { r.later, r.broken.callbacks = true, 0 })
	report := run(t, r, func(o *check.Options) {
		o.Timeout, o.Sources = 3*time.Second, []riposte.Source{{Kind: riposte.SourceApprovalStep, TicketID: "T-1"}}
	})
	if diff := cmp.Diff([]string{"answers-approval-step"}, names(report, check.Fail, check.Warn)); diff != "" {
		t.Errorf("failed: -want +got\n%s", diff)
		tell(t, report)
	}
	if row := came(t, report, "answers-approval-step"); row.Came != "202, and no callback within the time of a check" {
		t.Errorf("came %q", row.Came)
	}
}

func TestACallbackMayComeBeforeIts202(t *testing.T) {
	t.Parallel()
	report := run(t, newCandidate(t, func(r *candidate) { r.later, r.broken.early = true, true }))
	if diff := cmp.Diff([]string(nil), names(report, check.Fail, check.Warn, check.Skip)); diff != "" {
		t.Errorf("not passed: -want +got\n%s", diff)
		tell(t, report)
	}
	if row := came(t, report, "early-callback"); !strings.HasSuffix(row.Came, " before the 202 was there") {
		t.Errorf("came %q", row.Came)
	}
}

func TestOnlyWhatIsAskedForIsPlayed(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		only, skip, played, shown []string
	}{
		{only: []string{"in-time"}, played: []string{"in-time"}, shown: []string{"in-time"}},
		{only: []string{"expired", "answers-test"}, played: []string{"in-time", "answers-provision-step", "answers-test", "expired"}, shown: []string{"answers-test", "expired"}},
		{only: []string{"expired", "replay"}, skip: []string{"replay"}, played: []string{"in-time", "answers-provision-step", "answers-test", "expired"}, shown: []string{"expired"}},
	} {
		t.Run(strings.Join(tt.only, "+"), func(t *testing.T) {
			t.Parallel()
			r := newCandidate(t, func(*candidate) {})
			s, err := check.Open(t.Context(), check.Options{URL: r.URL, Listen: "127.0.0.1:0", Only: tt.only, Skip: tt.skip,
				Sources: []riposte.Source{{Kind: riposte.SourceTest}, {Kind: riposte.SourceProvisionStep, TicketID: "T-1"}}})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			r.trusts = s.Keys
			var played []string
			report, err := s.Run(t.Context(), func(_, _ int, c check.Check) { played = append(played, c.Name) })
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.played, played); diff != "" {
				t.Errorf("played: -want +got\n%s", diff)
			}
			if diff := cmp.Diff(tt.shown, names(report, check.Pass)); diff != "" || len(report.Checks) != len(tt.shown) {
				t.Errorf("shown: -want +got\n%s", diff)
			}
		})
	}
}

// TestKeysAreKeptFromRunToRun: a receiver need not be told about new ones.
func TestKeysAreKeptFromRunToRun(t *testing.T) {
	t.Parallel()
	r, data := newCandidate(t, func(*candidate) {}), t.TempDir()
	for range 2 { // the second one finds the receiver with the first one's keys
		report := run(t, r, func(o *check.Options) { o.Data, o.Only = data, []string{"answers-test"} })
		if report.Passed != 1 {
			tell(t, report)
			t.Fatal("refused")
		}
	}
}

func TestASessionThatDoesNotRunLetsGoOfEverything(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	for range 2 {
		s, err := check.Open(t.Context(), check.Options{URL: "https://example.com/", Listen: "127.0.0.1:0", Data: data})
		if err != nil {
			t.Fatal(err)
		}
		s.Close()
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	r := newCandidate(t, func(r *candidate) {
		r.broken.before = func(*http.Request) { cancel(); <-r.closing }
	})
	s, err := check.Open(ctx, check.Options{URL: r.URL, Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	r.trusts = s.Keys
	if report, err := s.Run(ctx, func(int, int, check.Check) {}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, %v", report, err)
	}
}
