package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// bench is one run.
type bench struct {
	options
	machine machine
	dir     string // programs and data
	figures []figure

	limit, riposte, river system
}

// options are the command's.
type options struct {
	systems []string // to be measured
	rounds  int
	smoke   bool
}

// newBench builds the programs.
func newBench(ctx context.Context, o options) (*bench, error) {
	// Not /tmp: where that is kept in memory, an fsync costs nothing.
	dir, err := os.MkdirTemp(cmp.Or(os.Getenv("TMPDIR"), "/var/tmp"), "riposte-bench.")
	if err != nil {
		return nil, err
	}
	b := &bench{options: o, machine: thisMachine(), dir: dir}
	b.describe()
	for _, name := range o.systems {
		pkg, ok := programs[name]
		if !ok {
			return nil, errors.Join(fmt.Errorf("there is no system %q", name), b.close())
		}
		fmt.Fprintf(os.Stderr, "building %s\n", name)
		cmd := exec.CommandContext(ctx, "go", "build", "-o", b.program(name), pkg)
		if !o.smoke {
			// As they are released. A smoke run takes what the tests have built.
			cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		}
		if said, err := cmd.CombinedOutput(); err != nil {
			return nil, errors.Join(fmt.Errorf("building %s: %w\n%s", pkg, err, said), b.close())
		}
	}
	return b, nil
}

// programs are the systems' packages.
var programs = map[string]string{"limit": "./limit", "riposte": "github.com/riposte-dev/riposte/cmd/riposte", "river": "./river"}

// closedWell counts those that came to the receivers' answer, and no failure.
const closedWell = `riposte_instances_closed_total{outcome="APPROVED",reason=""}`

// describe says how each system is started and read.
func (b *bench) describe() {
	b.limit = system{name: "limit", closed: "bench_closed_total", fsyncs: "bench_fsyncs_total", args: func(listen, data string) []string {
		return []string{b.program("limit"), "--listen", listen, "--data", data}
	}}
	b.riposte = system{name: "riposte", closed: closedWell, fsyncs: "riposte_store_commit_duration_seconds_count",
		args: func(listen, data string) []string {
			return []string{b.program("riposte"), "serve", "--listen", listen, "--data", data, "--allow-destinations", "loopback"}
		}}
	b.river = system{name: "river", closed: "bench_closed_total", fsyncs: "bench_fsyncs_total", others: postgresProcesses,
		args: func(listen, _ string) []string {
			return []string{b.program("river"), "--listen", listen, "--database-url", databaseURL()}
		}}
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

// place is where a session runs. The zero value is an empty directory, which
// is removed afterwards, and any address.
type place struct {
	data     string // the system's directory
	receiver string // the receivers' host:port
}

// with runs f on a new node of s with a receiver.
func (b *bench) with(ctx context.Context, s system, at place, f func(session) error) error {
	if at.data == "" {
		var err error
		if at.data, err = b.newDir(s.name); err != nil {
			return err
		}
		defer os.RemoveAll(at.data)
	}
	r, err := newReceiver(cmp.Or(at.receiver, "127.0.0.1:0"))
	if err != nil {
		return err
	}
	defer r.close()
	n, err := s.start(ctx, at.data)
	if err != nil {
		return err
	}
	if err := f(session{n, r}); err != nil {
		n.kill()
		return fmt.Errorf("%s: %w", s.name, err)
	}
	// What still hangs must not hold up the stop.
	r.release()
	if err := n.stop(); err != nil {
		return err
	}
	if broken := r.callbackErrs.Load(); broken > 0 {
		return fmt.Errorf("%s refused %d callbacks", s.name, broken)
	}
	if twice := r.repeated.Load(); twice > 0 {
		return fmt.Errorf("%s delivered %d instances again that had been answered", s.name, twice)
	}
	return nil
}

func (b *bench) newDir(name string) (string, error) { return os.MkdirTemp(b.dir, name+"-") }

// interleaved runs each system in turn, round by round, so that what else the
// machine does meets them alike. It leaves out those that are not to be measured.
func (b *bench) interleaved(ctx context.Context, what string, systems []system, f func(system) error) error {
	return b.inRounds(ctx, b.rounds, what, systems, f)
}

func (b *bench) inRounds(ctx context.Context, rounds int, what string, systems []system, f func(system) error) error {
	for round := range rounds {
		for _, s := range systems {
			if !b.measures(s) {
				continue
			}
			fmt.Fprintf(os.Stderr, "  %s: round %d of %d, %s\n", what, round+1, rounds, s.name)
			if err := f(s); err != nil {
				return err
			}
			if err := ctx.Err(); err != nil {
				return err
			}
		}
	}
	return nil
}

// variant is s under another circumstance, as its figures name it.
func (s system) variant(circumstance string) system {
	s.name += variantMark + circumstance
	return s
}

const variantMark = ", "

// base is the name of the system that name is a variant of.
func base(name string) string {
	before, _, _ := strings.Cut(name, variantMark)
	return before
}

func (b *bench) measures(s system) bool { return slices.Contains(b.systems, base(s.name)) }
