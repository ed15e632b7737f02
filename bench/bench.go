package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// bench is one run.
type bench struct {
	options
	machine machine
	dir     string // programs and data

	mu      sync.Mutex // a smoke run has scenarios run at the same time
	figures []figure

	limit, riposte, ripostePg, ripostePg3, river system
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
	if err := b.build(ctx); err != nil {
		return nil, errors.Join(err, b.close())
	}
	return b, nil
}

// build builds what the systems need that are to be measured, once each.
func (b *bench) build(ctx context.Context) error {
	needed := map[string]bool{}
	for _, name := range b.systems {
		at := slices.IndexFunc(b.all(), func(s system) bool { return s.name == name })
		if at < 0 {
			return fmt.Errorf("there is no system %q", name)
		}
		s := b.all()[at]
		if _, ok := s.medium.(databases); ok && databaseURL() == "" {
			return fmt.Errorf("%s needs PostgreSQL: see scripts/postgres, which sets %s", name, databaseVariable)
		}
		needed[s.pkg] = true
	}
	fmt.Fprintf(os.Stderr, "building %s\n", strings.Join(b.systems, ", "))
	args := []string{"build", "-ldflags=-s -w", "-o", b.dir + "/"}
	cmd := exec.CommandContext(ctx, "go", append(args, slices.Collect(maps.Keys(needed))...)...)
	if !b.smoke {
		// As they are released. A smoke run takes what the tests have built.
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	}
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building: %w\n%s", err, said)
	}
	return nil
}

func (b *bench) close() error { return os.RemoveAll(b.dir) }

// path is where build puts a package's program.
func (b *bench) path(pkg string) string { return filepath.Join(b.dir, filepath.Base(pkg)) }

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

// session is a cluster with a receiver.
type session struct {
	*cluster
	receiver *receiver
}

// place is where a session runs. The zero value is an empty store, which is
// removed afterwards, and any address.
type place struct {
	store    string // one that stays
	copied   string // one that is copied; the copy is removed afterwards
	receiver string // the receivers' host:port
}

// with runs f on a new cluster of s with a receiver.
func (b *bench) with(ctx context.Context, s system, at place, f func(session) error) (err error) {
	if at.store == "" {
		if at.store, err = s.medium.create(ctx, at.copied); err != nil {
			return fmt.Errorf("making a store for %s: %w", s.name, err)
		}
		defer func() { err = errors.Join(err, s.medium.remove(ctx, at.store)) }()
	}
	r, err := newReceiver(cmp.Or(at.receiver, "127.0.0.1:0"))
	if err != nil {
		return err
	}
	defer r.close()
	c, err := b.start(ctx, s, at.store)
	if err != nil {
		return err
	}
	if err := f(session{c, r}); err != nil {
		c.kill()
		return fmt.Errorf("%s: %w%s", s.name, err, c.said())
	}
	// What still hangs must not hold up the stop.
	r.release()
	if err := c.stop(); err != nil {
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
