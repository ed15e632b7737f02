package riposte_test

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/riposte-dev/riposte"
)

// This file writes docs/transitions.md: all cells, put together where what
// tells them apart makes no difference.

const transitionsHead = `# Every state with every event

Written by ` + "`go test . -run TestTransitionTable -update`" + ` and compared by every run of the
tests: what stands here is what ` + "`Instance.Apply`" + ` does. The table puts %d
combinations of state, event, source and moment together. A second test holds
all of them against the rows of the design.

` + "```mermaid\n%s```" + `

- A source is named only where sources differ, a moment only where moments do.
- With an outcome URL the outcome is pushed, and the instance stays in
  PROCESS_RESPONSE until it was taken. A push is given up %d days after the
  outcome, which here is expiresAt.
- "Due" is dueAt: of a new instance its creation, of an attempt the end of its
  lease, of a failed one the end of its delay, which is the shortest here.
- An answer by callback or operator that is no good document is refused before
  it becomes an event (reason BAD_DOCUMENT) and changes nothing.

| from | event | to |
| --- | --- | --- |
`

func transitionsMarkdown(cells []cell) string {
	var b strings.Builder
	fmt.Fprintf(&b, transitionsHead, len(cells), mermaid(cells), int(riposte.PushPeriod.Hours()/24))
	for _, s := range sections(cells) {
		for _, r := range s.rows {
			fmt.Fprintf(&b, "| %s | %s | %s |\n", s.name, r.event(), r.result)
		}
	}
	return b.String()
}

// mermaid draws an arrow for every step that any event made.
func mermaid(cells []cell) string {
	type arrow struct{ from, to riposte.State }
	var arrows []arrow
	labels := map[arrow][]string{}
	for _, c := range cells {
		next, err := c.before.Apply(c.event, c.now)
		if err != nil {
			continue
		}
		a := arrow{c.before.State, next.State}
		if !slices.Contains(arrows, a) {
			arrows = append(arrows, a)
		}
		if l := arrowLabel(c, next); !slices.Contains(labels[a], l) {
			labels[a] = append(labels[a], l)
		}
	}
	var b strings.Builder
	b.WriteString("stateDiagram-v2\n    [*] --> PENDING\n")
	for _, a := range arrows {
		fmt.Fprintf(&b, "    %s --> %s: %s\n", a.from, a.to, strings.Join(labels[a], ", "))
	}
	b.WriteString("    SUCCESS --> [*]\n    FATAL_ERROR --> [*]\n")
	return b.String()
}

// arrowLabel is a failure's reason, what an attempt gave, or the event.
func arrowLabel(c cell, next riposte.Instance) string {
	switch is := c.variant.class(c.kind); {
	case c.before.Outcome == nil && next.Outcome != nil && next.Outcome.Failure != nil && next.Outcome.Failure.Reason != riposte.FailureBadResponse:
		return string(next.Outcome.Failure.Reason)
	case c.variant.event != "attempted":
		return c.variant.event
	case is == lastTry:
		return string(failure)
	default:
		return string(is)
	}
}

// row is a line of the table. details, sources and moment are empty where they
// make no difference.
type row struct {
	name    string
	details string
	sources string
	moment  string
	result  string
}

func (r row) event() string {
	s := r.name
	if r.details != "" {
		s += ": " + r.details
	}
	if r.sources != "" {
		s += " (" + r.sources + ")"
	}
	if r.moment != "" {
		s += ", " + r.moment
	}
	return s
}

// section is the rows of one situation, or of several that are alike.
type section struct {
	name string
	rows []row
}

func sections(cells []cell) []section {
	var out []section
	rowsOf := map[string][]row{}
	last := situation{}
	for _, s := range situations {
		rows := situationRows(filter(cells, func(c cell) bool { return c.situation.name() == s.name() }))
		rowsOf[s.name()] = rows
		switch {
		case len(out) > 0 && last.state == s.state && slices.Equal(out[len(out)-1].rows, rows):
			prev := &out[len(out)-1]
			prev.name = strings.TrimSuffix(prev.name, ")") + ", " + s.detail + ")"
		case s.likeIts != "":
			own := slices.DeleteFunc(slices.Clone(rows), func(r row) bool { return slices.Contains(rowsOf[s.likeIts], r) })
			out = append(out, section{s.name() + ", else as " + s.likeIts, own})
		default:
			out = append(out, section{s.name(), rows})
		}
		last = s
	}
	return out
}

func situationRows(cells []cell) []row {
	var rows []row
	for _, event := range distinct(cells, func(c cell) string { return c.variant.event }) {
		rows = append(rows, eventRows(event, filter(cells, func(c cell) bool { return c.variant.event == event }))...)
	}
	common := row{name: "anything", result: rows[0].result}
	odd := slices.DeleteFunc(slices.Clone(rows), func(r row) bool { return r == row{name: r.name, result: common.result} })
	switch len(odd) {
	case 0:
		return []row{common}
	case 1:
		common.name = "anything else"
		return append(odd, common)
	}
	return rows
}

// eventRows puts the variants of an event together that lead to the same.
func eventRows(event string, cells []cell) []row {
	details := distinct(cells, func(c cell) string { return c.variant.detail })
	var rows []row
	by := map[row][]string{}
	for _, detail := range details {
		for _, r := range sourceRows(filter(cells, func(c cell) bool { return c.variant.detail == detail })) {
			if by[r] == nil {
				rows = append(rows, r)
			}
			by[r] = append(by[r], detail)
		}
	}
	for n, r := range rows {
		rows[n].name = event
		if len(by[r]) < len(details) {
			rows[n].details = strings.Join(by[r], "; ")
		}
	}
	return rows
}

// sourceRows puts the sources together for which one variant leads to the same.
func sourceRows(cells []cell) []row {
	kinds := distinct(cells, func(c cell) string { return string(c.kind) })
	var rows []row
	by := map[row][]string{}
	for _, kind := range kinds {
		for _, r := range momentRows(filter(cells, func(c cell) bool { return string(c.kind) == kind })) {
			if by[r] == nil {
				rows = append(rows, r)
			}
			by[r] = append(by[r], kind)
		}
	}
	for n, r := range rows {
		if len(by[r]) < len(kinds) {
			rows[n].sources = strings.Join(by[r], ", ")
		}
	}
	return rows
}

// momentRows puts neighbouring moments together. An instance that is due at
// expiresAt only, or closed, has no second moment; the first stands for it.
func momentRows(cells []cell) []row {
	names := map[[2]int]string{
		{0, 3}: "", {0, 0}: "before it is due", {0, 1}: "before expiresAt", {1, 1}: "when due, before expiresAt",
		{1, 3}: "when due", {2, 3}: "at or after expiresAt",
	}
	var rows []row
	for n := 0; n < len(cells); {
		first, r := cells[n].moment, result(cells[n])
		for n++; n < len(cells) && result(cells[n]) == r; n++ {
		}
		last := 3
		if n < len(cells) {
			last = cells[n].moment - 1
		}
		name, ok := names[[2]int{first, last}]
		if !ok {
			panic(fmt.Sprintf("%s: moments %d to %d have no name", cells[n-1], first, last))
		}
		rows = append(rows, row{moment: name, result: r})
	}
	return rows
}

// result says what came of a cell, in the table's words.
func result(c cell) string {
	if c.err != nil {
		return "refused: " + c.err.(*riposte.Error).Reason
	}
	var states []string
	for _, s := range passed(c) {
		states = append(states, string(s))
	}
	return strings.Join(states, ", then ") + consequence(c.before, c.after, c.now)
}

func consequence(before, i riposte.Instance, now time.Time) string {
	switch {
	case i.State == riposte.StateProcessResponse && i.DueAt.IsZero():
		return " (given up)"
	case i.State == riposte.StateProcessResponse && !i.LeasedUntil.IsZero():
		return fmt.Sprintf(" (pushes + 1, leased for %g s)", i.LeasedUntil.Sub(now).Seconds())
	case i.Outcome != nil && i.Outcome.Failure != nil && (i.State.Closed() || before.Outcome == nil):
		return " (" + string(i.Outcome.Failure.Reason) + ")"
	case i.State.Closed():
		return ""
	case i.State == riposte.StateRunning:
		return fmt.Sprintf(" (attempts + 1, leased for %g s)", i.LeasedUntil.Sub(now).Seconds())
	case i.DueAt.Equal(now):
		return " (due at once)"
	case i.DueAt.Equal(i.ExpiresAt):
		return " (due at expiresAt)"
	}
	return fmt.Sprintf(" (due after %g s)", i.DueAt.Sub(now).Seconds())
}

func filter(cells []cell, keep func(cell) bool) []cell {
	var out []cell
	for _, c := range cells {
		if keep(c) {
			out = append(out, c)
		}
	}
	return out
}

func distinct(cells []cell, of func(cell) string) []string {
	var out []string
	for _, c := range cells {
		if v := of(c); !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}
