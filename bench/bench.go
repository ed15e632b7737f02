package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// bench is one run.
type bench struct {
	rounds  int
	smoke   bool
	dir     string // programs and data
	figures []figure

	limit, riposte, river system
}

// newBench builds the programs.
func newBench(ctx context.Context, rounds int, smoke bool) (*bench, error) {
	dir, err := os.MkdirTemp("", "riposte-bench-")
	if err != nil {
		return nil, err
	}
	b := &bench{rounds: rounds, smoke: smoke, dir: dir}
	if smoke {
		b.rounds = 1
	}
	for program, pkg := range map[string]string{"limit": "./limit", "river": "./river", "riposte": "github.com/riposte-dev/riposte/cmd/riposte"} {
		cmd := exec.CommandContext(ctx, "go", "build", "-o", b.program(program), pkg)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if said, err := cmd.CombinedOutput(); err != nil {
			return nil, errors.Join(fmt.Errorf("building %s: %w\n%s", pkg, err, said), b.close())
		}
	}
	b.limit = system{name: "limit", closed: "bench_closed_total", fsyncs: "bench_fsyncs_total", args: func(listen, data string) []string {
		return []string{b.program("limit"), "--listen", listen, "--data", data}
	}}
	b.riposte = system{name: "riposte", closed: "riposte_instances_closed_total", fsyncs: "riposte_store_commit_duration_seconds_count",
		args: func(listen, data string) []string {
			return []string{b.program("riposte"), "serve", "--listen", listen, "--data", data, "--allow-destinations", "loopback"}
		}}
	b.river = system{name: "river", closed: "bench_closed_total", fsyncs: "bench_fsyncs_total", others: postgresProcesses,
		args: func(listen, _ string) []string {
			return []string{b.program("river"), "--listen", listen, "--database-url", databaseURL()}
		}}
	return b, nil
}

func (b *bench) close() error { return os.RemoveAll(b.dir) }

func (b *bench) program(name string) string { return filepath.Join(b.dir, name) }

// or is d, or in a smoke run the shorter one.
func (b *bench) or(d, short time.Duration) time.Duration {
	if b.smoke {
		return short
	}
	return d
}

// size is n, or in a smoke run the smaller one.
func (b *bench) size(n, small int) int {
	if b.smoke {
		return small
	}
	return n
}

// session is a node with a receiver.
type session struct {
	*node
	receiver *receiver
}

// with runs f on a new node of s with a receiver; data "" is a directory that
// is empty at first and removed afterwards.
func (b *bench) with(ctx context.Context, s system, data string, f func(session) error) error {
	if data == "" {
		var err error
		if data, err = os.MkdirTemp(b.dir, s.name+"-"); err != nil {
			return err
		}
		defer os.RemoveAll(data)
	}
	r, err := newReceiver()
	if err != nil {
		return err
	}
	defer r.close()
	n, err := s.start(ctx, data)
	if err != nil {
		return err
	}
	if err := f(session{n, r}); err != nil {
		n.kill()
		return fmt.Errorf("%s: %w", s.name, err)
	}
	if broken := r.callbackErrs.Load(); broken > 0 {
		n.kill()
		return fmt.Errorf("%s refused %d callbacks", s.name, broken)
	}
	return n.stop()
}

// interleaved runs each system in turn, round by round, so that what else the
// machine does meets them alike.
func (b *bench) interleaved(systems []system, f func(system) error) error {
	for range b.rounds {
		for _, s := range systems {
			if only := os.Getenv("BENCH_ONLY"); only != "" && !strings.Contains(only, s.name) {
				continue
			}
			if err := f(s); err != nil {
				return err
			}
		}
	}
	return nil
}
