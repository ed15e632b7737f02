package main

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// goal is what a figure is to be, or how it is to compare to another one.
type goal struct {
	about  string
	is     bound
	want   float64
	figure key
	to     key // zero where the figure itself is meant
}

type bound string

const (
	atLeast bound = "≥"
	atMost  bound = "≤"
)

// key names a figure.
type key struct{ scenario, system, unit string }

// goals are those that the project has set itself, on two cores.
func (b *bench) goals() []goal {
	limit, riposte, river, pg, pg3 := b.limit.name, b.riposte.name, b.river.name, b.ripostePg.name, b.ripostePg3.name
	a := key{atCallers(callers), riposte, perSecond}
	of := func(scenario, unit string) (ripostes, limits key) {
		return key{scenario, riposte, unit}, key{scenario, limit, unit}
	}
	b64, b64Limit := of(withCallbacks, perSecond)
	slow50, slow50Limit := of(slowArrival, p50)
	slow99, slow99Limit := of(slowArrival, p99)
	fast50, fast50Limit := of(fastArrival, p50)
	fast99, fast99Limit := of(fastArrival, p99)
	closedBeside := key{besideHistory, b.riposte.beside(closed).name, perSecond}
	waitingBeside := key{besideWaiting, b.riposte.beside(waiting).name, perSecond}
	waitingPeak := key{besideWaiting, b.riposte.beside(waiting).name, peakMiB}
	hangingBeside := key{besideHanging, b.riposte.besideHanging().name, p99}
	aPg := key{a.scenario, pg, a.unit}
	closedBesidePg := key{besideHistory, b.ripostePg.beside(closed).name, perSecond}
	waitingPeakPg := key{besideWaiting, b.ripostePg.beside(waiting).name, peakMiB}
	snapshotBeside := key{besideSnapshot, b.ripostePg.besideSnapshot().name, perSecond}
	worst := func(s system) (page, list key) {
		beside := s.beside(million).name
		return key{worstPage, beside, p95}, key{worstList, beside, p95ToNone}
	}
	page, list := worst(b.riposte)
	pagePg, listPg := worst(b.ripostePg)
	read := key{besideReading, b.riposte.besideReaders().name, perSecond}
	readPg := key{besideReading, b.ripostePg.besideReaders().name, perSecond}
	alone := func(k key) key { return key{k.scenario, base(k.system), k.unit} }
	return []goal{
		{"(a) throughput at 64 callers, to limit", atLeast, 0.60, a, key{a.scenario, limit, a.unit}},
		{"(a) throughput at 64 callers, to River", atLeast, 3, a, key{a.scenario, river, a.unit}},
		{"(b) throughput with callbacks, to limit", atLeast, 0.40, b64, b64Limit},
		{"(c) arrival at 100/s, p50, to limit", atMost, 2, slow50, slow50Limit},
		{"(c) arrival at 100/s, p99, to limit", atMost, 3, slow99, slow99Limit},
		{"(c) arrival at half of the maximum, p50, to limit", atMost, 2, fast50, fast50Limit},
		{"(c) arrival at half of the maximum, p99, to limit", atMost, 3, fast99, fast99Limit},
		{"(c) callback to waiting caller, p99 ms", atMost, 10, key{toWaiter, riposte, p99}, key{}},
		{"(d) drain, to the throughput of (a)", atLeast, 1, key{drained, riposte, perSecond}, a},
		{"(e) throughput beside closed instances, to an empty store", atLeast, 0.9, closedBeside, alone(closedBeside)},
		{"(f) throughput beside waiting instances, to an empty store", atLeast, 0.9, waitingBeside, alone(waitingBeside)},
		{"(f) peak MiB beside waiting instances", atMost, 150, waitingPeak, key{}},
		{"(g) p99 beside a receiver that hangs, to alone", atMost, 1.5, hangingBeside, alone(hangingBeside)},
		{"(h) CPU when idle, % of a core", atMost, 0.5, key{idling, riposte, cpuShare}, key{}},
		{"(j) the console's worst list beside a million instances, p95 to an empty store's", atMost, 3, list, key{}},
		{"(j) the console's worst page beside a million instances, p95 ms", atMost, 100, page, key{}},
		{"(j) throughput while people look at the console, to without them", atLeast, 0.9, read, alone(read)},

		{"(a) on PostgreSQL, throughput at 64 callers, to limit", atLeast, 0.30, aPg, key{a.scenario, limit, a.unit}},
		{"(a) on PostgreSQL, throughput at 64 callers, to River", atLeast, 2, aPg, key{a.scenario, river, a.unit}},
		{"(a) on PostgreSQL, throughput of three nodes, to one", atLeast, 0.9, key{a.scenario, pg3, a.unit}, aPg},
		{"(c) on PostgreSQL, arrival at 100/s, p99 ms", atMost, 10, key{slowArrival, pg, p99}, key{}},
		{"(c) on PostgreSQL, callback at one node to a caller waiting at another, p99 ms", atMost, 50, key{toWaiter, pg3, p99}, key{}},
		{"(e) on PostgreSQL, throughput beside closed instances, to an empty store", atLeast, 0.9, closedBesidePg, alone(closedBesidePg)},
		{"(f) on PostgreSQL, peak MiB of a node beside waiting instances", atMost, 150, waitingPeakPg, key{}},
		{"(i) on PostgreSQL, throughput beside a held snapshot, to before", atLeast, 0.7, snapshotBeside, alone(snapshotBeside)},
		{"(j) on PostgreSQL, the console's worst list, p95 to an empty store's", atMost, 3, listPg, key{}},
		{"(j) on PostgreSQL, the console's worst page, p95 ms", atMost, 100, pagePg, key{}},
		{"(j) on PostgreSQL, throughput while people look at the console, to without them", atLeast, 0.9, readPg, alone(readPg)},
	}
}

// measured is what has come of g, if all that it needs was measured.
func (b *bench) measured(g goal) (float64, bool) {
	f := b.figure(g.figure.scenario, g.figure.system, g.figure.unit)
	if f == nil {
		return 0, false
	}
	if g.to == (key{}) {
		return f.median(), true
	}
	to := b.figure(g.to.scenario, g.to.system, g.to.unit)
	if to == nil || to.median() == 0 {
		return 0, false
	}
	return f.median() / to.median(), true
}

// concerns reports whether the systems that g is about are measured.
func (b *bench) concerns(g goal) bool {
	return b.measures(system{name: g.figure.system}) && (g.to == key{} || b.measures(system{name: g.to.system}))
}

func (g goal) reached(v float64) bool {
	return g.is == atLeast && v >= g.want || g.is == atMost && v <= g.want
}

// printGoals says which of the goals that were measured were reached. One that was missed is no error:
// that a machine is busy must not look like a defect.
func (b *bench) printGoals(out io.Writer) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "goal\twanted\tmeasured\treached")
	for _, g := range b.goals() {
		v, ok := b.measured(g)
		if !ok {
			continue
		}
		reached := "no"
		if g.reached(v) {
			reached = "yes"
		}
		fmt.Fprintf(w, "%s\t%s %v\t%s\t%s\n", g.about, g.is, g.want, digits(v), reached)
	}
	w.Flush()
}
