package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
)

// figure is one thing measured of one system, once per round.
type figure struct {
	Scenario string    `json:"scenario"`
	System   string    `json:"system"`
	Unit     string    `json:"unit"`
	Rounds   []float64 `json:"rounds"`
}

// note adds a round's value.
func (b *bench) note(scenario, system, unit string, v float64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if at := b.find(scenario, system, unit); at >= 0 {
		b.figures[at].Rounds = append(b.figures[at].Rounds, v)
		return
	}
	b.figures = append(b.figures, figure{scenario, system, unit, []float64{v}})
}

func (b *bench) find(scenario, system, unit string) int {
	return slices.IndexFunc(b.figures, func(f figure) bool {
		return f.Scenario == scenario && f.System == system && f.Unit == unit
	})
}

// figure is what was noted so far, or nil.
func (b *bench) figure(scenario, system, unit string) *figure {
	b.mu.Lock()
	defer b.mu.Unlock()
	at := b.find(scenario, system, unit)
	if at < 0 {
		return nil
	}
	f := b.figures[at]
	return &f
}

func (f figure) median() float64 {
	sorted := slices.Sorted(slices.Values(f.Rounds))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

// print writes a table with a line per figure, and beside it how it compares
// to others' in the same run: the limit's, River's, and Riposte's alone.
func (b *bench) print(out io.Writer) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "scenario\tunit\tsystem\tmedian\tmin\tmax\tto limit\tto river\tto alone")
	for _, f := range b.figures {
		alone := ""
		if base(f.System) != f.System {
			alone = b.ratio(f, base(f.System))
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", f.Scenario, f.Unit, f.System, digits(f.median()),
			digits(slices.Min(f.Rounds)), digits(slices.Max(f.Rounds)), b.ratio(f, b.limit.name), b.ratio(f, b.river.name), alone)
	}
	w.Flush()
}

func (b *bench) ratio(f figure, to string) string {
	other := b.figure(f.Scenario, to, f.Unit)
	if other == nil || other.System == f.System || other.median() == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f", f.median()/other.median())
}

// digits shows what is worth reading of a figure.
func digits(v float64) string {
	if v < 100 {
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.0f", v)
}
