// Command bench measures Riposte beside the thinnest pipeline that keeps its
// promise (limit) and beside River on PostgreSQL: the same load on the same
// machine in the same run, each system in a process of its own, in interleaved
// rounds. Its ratios hold on other machines; its seconds don't.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
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
	names := slices.Sorted(maps.Keys(scenarios))
	only := flag.String("scenario", "", "the scenarios to run, out of "+strings.Join(names, ", ")+"; all when empty")
	rounds := flag.Int("rounds", 3, "how often each measurement is made")
	smoke := flag.Bool("smoke", false, "a short run that checks the books and measures nothing worth reading")
	out := flag.String("json", "", "a file for the figures in JSON")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "Usage: make bench [SCENARIO=a,c]")
		for _, name := range names {
			fmt.Fprintf(flag.CommandLine.Output(), "  %s  %s\n", name, scenarios[name].about)
		}
		flag.PrintDefaults()
	}
	flag.Parse()
	if *only != "" {
		names = strings.Split(*only, ",")
	}
	b, err := newBench(ctx, *rounds, *smoke)
	if err != nil {
		return err
	}
	defer b.close()
	for _, name := range names {
		s, ok := scenarios[name]
		if !ok {
			return fmt.Errorf("there is no scenario %q", name)
		}
		began := time.Now()
		fmt.Fprintf(os.Stderr, "(%s) %s\n", name, s.about)
		if err := s.run(ctx, b); err != nil {
			return fmt.Errorf("scenario %s: %w", name, err)
		}
		fmt.Fprintf(os.Stderr, "(%s) took %s\n", name, time.Since(began).Round(time.Second))
	}
	if *out != "" {
		report, err := json.MarshalIndent(b.figures, "", "\t")
		if err != nil {
			return err
		}
		if err := os.WriteFile(*out, append(report, '\n'), 0o644); err != nil {
			return err
		}
	}
	b.print(os.Stdout)
	return nil
}
