// Command bench measures Riposte beside the thinnest pipeline that keeps its
// promise (limit) and beside River on PostgreSQL: the same load on the same
// machine in the same run, each system in processes of its own, in interleaved
// rounds. Its ratios hold on other machines; its seconds don't.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	// The generator shares the machine with what it measures.
	debug.SetGCPercent(800)
	names := scenarioNames()
	only := flag.String("scenario", "", "the scenarios to run, out of "+strings.Join(names, ",")+"; all when empty")
	systems := flag.String("systems", "limit,riposte,riposte-pg,riposte-pg3,river", "the systems to measure")
	rounds := flag.Int("rounds", 3, "how often each measurement is made")
	smoke := flag.Bool("smoke", false, "a short run that checks the books and measures nothing worth reading")
	out := flag.String("json", "", "a `file` for the figures in JSON")
	into := flag.String("seed", "", "a new data `directory` to seed with instances to look at, in place of measuring")
	instances := flag.Int("n", 1_000_000, "how many instances -seed makes, about")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "Usage: make bench [SYSTEMS=limit,riposte] [SCENARIO=a,c]")
		for _, name := range names {
			fmt.Fprintf(flag.CommandLine.Output(), "  %s  %s\n", name, scenarios[name].about)
		}
		flag.PrintDefaults()
	}
	flag.Parse()
	if *into != "" {
		return seedDirectory(ctx, *into, *instances)
	}
	if *smoke {
		*rounds = 1
	}
	if *only != "" {
		names = strings.Split(*only, ",")
	}
	b, err := newBench(ctx, options{systems: strings.Split(*systems, ","), rounds: *rounds, smoke: *smoke})
	if err != nil {
		return err
	}
	// What was measured before an error is worth its time, too.
	err = b.runAll(ctx, names)
	return errors.Join(err, b.close(), b.report(os.Stdout, *out))
}

func scenarioNames() []string { return slices.Sorted(maps.Keys(scenarios)) }

// runAll runs scenarios in their order, as some use what others measured.
func (b *bench) runAll(ctx context.Context, names []string) error {
	for _, name := range names {
		if _, ok := scenarios[name]; !ok {
			return fmt.Errorf("there is no scenario %q", name)
		}
	}
	for _, name := range slices.Compact(slices.Sorted(slices.Values(names))) {
		s, began := scenarios[name], time.Now()
		fmt.Fprintf(os.Stderr, "(%s) %s\n", name, s.about)
		if err := s.run(ctx, b); err != nil {
			return fmt.Errorf("scenario %s: %w", name, err)
		}
		fmt.Fprintf(os.Stderr, "(%s) took %s\n", name, time.Since(began).Round(time.Second))
	}
	return nil
}

// report prints the tables and writes file, if it has a name.
func (b *bench) report(out io.Writer, file string) error {
	if len(b.figures) == 0 {
		return nil
	}
	fmt.Fprintf(out, "%s\n\n", b.machine)
	b.print(out)
	fmt.Fprintln(out)
	b.printGoals(out)
	if file == "" {
		return nil
	}
	text, err := json.MarshalIndent(struct {
		Machine machine  `json:"machine"`
		Figures []figure `json:"figures"`
	}{b.machine, b.figures}, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(text, '\n'), 0o644)
}
