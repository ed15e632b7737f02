package riposte_test

import (
	"os"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/riposte-dev/riposte"
)

// cell is one combination of the four dimensions, and what came of it.
type cell struct {
	situation situation
	kind      riposte.SourceKind
	variant   variant
	moment    int // an index into moments

	before riposte.Instance
	event  riposte.Event
	now    time.Time
	after  riposte.Instance // by Advance; the zero Instance when refused
	err    error
}

// allCells applies every event to every state at every moment for every source.
func allCells(t *testing.T) []cell {
	t.Helper()
	var cells []cell
	for _, s := range situations {
		for _, kind := range riposte.SourceKinds {
			i, ok := s.in(t, kind)
			if !ok {
				continue
			}
			for _, v := range variants {
				for m, now := range moments(i) {
					if now.IsZero() {
						continue
					}
					c := cell{situation: s, kind: kind, variant: v, moment: m, before: i, event: v.make(kind), now: now}
					c.after, c.err = i.Advance(c.event, now)
					cells = append(cells, c)
				}
			}
		}
	}
	return cells
}

const transitionsFile = "docs/transitions.md"

func TestTransitionTableIsTheDocumentedOne(t *testing.T) {
	got := transitionsMarkdown(allCells(t))
	if *update {
		if err := os.WriteFile(transitionsFile, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(transitionsFile)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("the state machine is not the one in %s (-file +code); if it should be, run go test . -update\n%s", transitionsFile, diff)
	}
}

// designRow is a row of the table in DESIGN.md, section "The instance".
type designRow struct {
	name string
	from []riposte.State
	// applies says whether the row speaks of this event at this moment.
	applies func(c cell) bool
	to      []riposte.State // one after the other
	failure riposte.FailureReason
}

// path is where the row leads an instance. What has an outcome to push goes no
// further than PROCESS_RESPONSE, a failure included.
func (r designRow) path(before riposte.Instance) []riposte.State {
	decides := r.to[len(r.to)-1].Closed() && before.Outcome == nil
	if decides && before.OutcomeURL != "" {
		return []riposte.State{riposte.StateProcessResponse}
	}
	return r.to
}

var (
	beforeProcessResponse = []riposte.State{riposte.StatePending, riposte.StateRunning, riposte.StateError, riposte.StateWaitingCallback}
	pendingOrError        = []riposte.State{riposte.StatePending, riposte.StateError}
	running               = []riposte.State{riposte.StateRunning}
	processResponse       = []riposte.State{riposte.StateProcessResponse}
)

func owesPush(c cell) bool { return c.before.OutcomeURL != "" }

func inFlight(c cell, event string, is class) bool {
	return c.variant.event == event && c.variant.class(c.kind) == is && owesPush(c) && !c.before.LeasedUntil.IsZero()
}

var design = []designRow{
	{"claimed", pendingOrError, onceDue("claimed"),
		[]riposte.State{riposte.StateRunning}, ""},
	{"2xx≠202, good document", running, anEvent("attempted", good),
		[]riposte.State{riposte.StateProcessResponse, riposte.StateSuccess}, ""},
	{"2xx≠202, bad document", running, anEvent("attempted", bad),
		[]riposte.State{riposte.StateProcessResponse, riposte.StateFatalError}, riposte.FailureBadResponse},
	{"202", running, anEvent("attempted", later),
		[]riposte.State{riposte.StateWaitingCallback}, ""},
	{"410", running, anEvent("attempted", gone),
		[]riposte.State{riposte.StateFatalError}, riposte.FailureGone},
	{"other status, unreachable, lease ran out", running, failedAnd(false),
		[]riposte.State{riposte.StateError}, ""},
	{"other status, unreachable, lease ran out; exhausted", running, failedAnd(true),
		[]riposte.State{riposte.StateFatalError}, riposte.FailureAttemptsExhausted},
	{"callback or operator answer, once attempted", beforeProcessResponse,
		func(c cell) bool { return anEvent("answered", good)(c) && c.before.Attempts > 0 },
		[]riposte.State{riposte.StateProcessResponse, riposte.StateSuccess}, ""},
	{"expiresAt reached", beforeProcessResponse, expiryReached,
		[]riposte.State{riposte.StateFatalError}, riposte.FailureExpired},
	{"cancel", beforeProcessResponse, inTime("canceled"),
		[]riposte.State{riposte.StateFatalError}, riposte.FailureCanceled},
	{"its webhook was deleted", pendingOrError, onceDue("webhook deleted"),
		[]riposte.State{riposte.StateFatalError}, riposte.FailureWebhookDeleted},
	{"handed over", []riposte.State{riposte.StateProcessResponse},
		func(c cell) bool {
			return c.variant.event == "handed over" && !owesPush(c) && c.before.Outcome.Failure == nil
		},
		[]riposte.State{riposte.StateSuccess}, ""},
	{"handed over, a failure", []riposte.State{riposte.StateProcessResponse},
		func(c cell) bool {
			return c.variant.event == "handed over" && !owesPush(c) && c.before.Outcome.Failure != nil
		},
		[]riposte.State{riposte.StateFatalError}, riposte.FailureBadResponse},
	{"retry requested", []riposte.State{riposte.StateError},
		func(c cell) bool { return inTime("retry requested")(c) && c.variant.detail == "" },
		[]riposte.State{riposte.StateError}, ""},
	{"push claimed", processResponse,
		func(c cell) bool {
			return c.variant.event == "push claimed" && owesPush(c) && !c.before.DueAt.IsZero() && !c.now.Before(c.before.DueAt)
		},
		processResponse, ""},
	{"pushed, and taken", processResponse,
		func(c cell) bool { return inFlight(c, "pushed", taken) && c.before.Outcome.Failure == nil },
		[]riposte.State{riposte.StateSuccess}, ""},
	{"a failure pushed, and taken", processResponse,
		func(c cell) bool { return inFlight(c, "pushed", taken) && c.before.Outcome.Failure != nil },
		[]riposte.State{riposte.StateFatalError}, ""},
	{"pushed, and not taken", processResponse,
		func(c cell) bool { return inFlight(c, "pushed", failure) || inFlight(c, "pushed", gone) },
		processResponse, ""},
	{"retry of a push requested", processResponse,
		func(c cell) bool {
			return c.variant.event == "retry requested" && owesPush(c) && (c.before.LeasedUntil.IsZero() || c.variant.detail != "")
		},
		processResponse, ""},
	{"canceled once given up", processResponse,
		func(c cell) bool { return c.variant.event == "canceled" && owesPush(c) && c.before.DueAt.IsZero() },
		[]riposte.State{riposte.StateSuccess}, ""},
}

func inTime(event string) func(cell) bool {
	return func(c cell) bool { return c.variant.event == event && c.now.Before(c.before.ExpiresAt) }
}

func onceDue(event string) func(cell) bool {
	return func(c cell) bool { return inTime(event)(c) && !c.now.Before(c.before.DueAt) }
}

func anEvent(event string, is class) func(cell) bool {
	return func(c cell) bool { return inTime(event)(c) && c.variant.class(c.kind) == is }
}

func failedAnd(exhausted bool) func(cell) bool {
	return func(c cell) bool {
		is := c.variant.class(c.kind)
		last := is == lastTry && c.before.Attempts >= riposte.FastAttempts
		happened := inTime("attempted")(c) || onceDue("lease ran out")(c)
		return happened && (is == failure || is == lastTry) && last == exhausted
	}
}

// expiryReached: the loop finds it, or the report of an attempt that hung.
func expiryReached(c cell) bool {
	found := c.variant.event == "expired" || c.variant.event == "attempted" && c.before.State == riposte.StateRunning
	return found && !c.now.Before(c.before.ExpiresAt)
}

func TestTransitionsAreTheDesignsAndNoOthers(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range allCells(t) {
		var rows []designRow
		for _, row := range design {
			if slices.Contains(row.from, c.before.State) && row.applies(c) {
				rows = append(rows, row)
			}
		}
		where := c.String()
		switch {
		case len(rows) > 1:
			t.Errorf("%s: both %q and %q apply", where, rows[0].name, rows[1].name)
		case len(rows) == 0 && c.err == nil:
			t.Errorf("%s: is taken and leads to %v; no row allows it", where, passed(c))
		case len(rows) == 0:
			checkRefusal(t, c)
		default:
			seen[rows[0].name] = true
			checkTaken(t, c, rows[0])
		}
	}
	for _, row := range design {
		if !seen[row.name] {
			t.Errorf("no event of the table exercises the row %q", row.name)
		}
	}
}

func checkTaken(t *testing.T, c cell, row designRow) {
	t.Helper()
	if c.err != nil {
		t.Errorf("%s: refused (%v), but the row %q takes it", c, c.err, row.name)
		return
	}
	if got, want := passed(c), row.path(c.before); !slices.Equal(got, want) {
		t.Errorf("%s: leads to %v, the row %q to %v", c, got, row.name, want)
	}
	var got riposte.FailureReason
	if c.after.Outcome != nil && c.after.Outcome.Failure != nil {
		got = c.after.Outcome.Failure.Reason
	}
	if got != row.failure && c.before.Outcome == nil {
		t.Errorf("%s: the failure is %q, in the row %q it is %q", c, got, row.name, row.failure)
	}
}

// checkRefusal: a refusal is an answer to a caller, never a fault, and leaves
// nothing that could be saved by mistake.
func checkRefusal(t *testing.T, c cell) {
	t.Helper()
	if e, ok := c.err.(*riposte.Error); !ok || e.Code != riposte.CodeFailedPrecondition {
		t.Errorf("%s: refused with %v, which is no failed precondition", c, c.err)
	}
	if !reflect.DeepEqual(c.after, riposte.Instance{}) {
		t.Errorf("%s: refused, but returned an instance in %q", c, c.after.State)
	}
}

// passed lists the states that an event led to.
func passed(c cell) []riposte.State { return c.after.Steps()[1:] }

func (c cell) String() string {
	return c.situation.name() + " of " + string(c.kind) + " takes " + c.variant.event + " " + c.variant.detail + " at " + c.now.Sub(start).String()
}
