package main

import (
	"context"
	"fmt"
	"time"
)

type scenario struct {
	about string
	run   func(context.Context, *bench) error
}

var scenarios = map[string]scenario{
	"a": {"synchronous answers, closed loop", synchronous},
	"b": {"202 and a callback, closed loop", callbacks},
	"c": {"latency at fixed rates", latencies},
	"d": {"a backlog, and how fast it drains", backlog},
	"e": {"throughput beside closed instances", history},
	"f": {"throughput and memory beside instances that wait", waits},
	"g": {"latency beside a receiver that hangs", hanging},
	"h": {"idle", idle},
	"i": {"throughput while a snapshot is held", snapshots},
	"j": {"the console beside a million instances", screens},
}

// callers is how many there are where it isn't said otherwise.
const callers = 64

// withCallbacks names (b)'s figures.
const withCallbacks = "b: 64 callers"

// atCallers names (a)'s figures.
func atCallers(n int) string { return fmt.Sprintf("a: %d callers", n) }

// synchronous: instances per second with receivers that answer at once.
func synchronous(ctx context.Context, b *bench) error {
	numbers := []int{16, callers, 256}
	if b.smoke {
		numbers = []int{callers}
	}
	for _, n := range numbers {
		if err := b.throughputs(ctx, atCallers(n), b.all(), answers, n); err != nil {
			return err
		}
	}
	return nil
}

// callbacks: the same with receivers that answer by callback.
func callbacks(ctx context.Context, b *bench) error {
	return b.throughputs(ctx, withCallbacks, append([]system{b.limit}, b.ripostes()...), callsBack, callers)
}

// maximum is how many instances a second a system takes from 64 callers: what
// (a) measured, or measured now.
func (b *bench) maximum(ctx context.Context, s system) (float64, error) {
	name := atCallers(callers)
	if b.figure(name, s.name, perSecond) == nil {
		if err := b.throughputs(ctx, name, []system{s}, answers, callers); err != nil {
			return 0, err
		}
	}
	return b.figure(name, s.name, perSecond).median(), nil
}

func (b *bench) throughputs(ctx context.Context, name string, systems []system, path string, callers int) error {
	return b.interleaved(ctx, name, systems, func(s system) error {
		return b.with(ctx, s, place{}, func(n session) error { return b.throughput(ctx, n, name, path, callers) })
	})
}

const (
	warmUp = time.Second
	loop   = 3 * time.Second
)

// The units that are read again.
const (
	perSecond   = "instances/s"
	peakMiB     = "peak MiB"
	postgresMiB = "PostgreSQL MiB"
	p50, p99    = "p50 ms", "p99 ms"
	cpuShare    = "CPU %"
)

// throughput counts instances from the first create to the last close, so that
// nothing counts which was only accepted.
func (b *bench) throughput(ctx context.Context, n session, name, path string, callers int) error {
	webhook, err := n.newWebhook(ctx, n.receiver.url+path)
	if err != nil {
		return err
	}
	c := newCaller(n.cluster, webhook)
	if _, err := n.load(ctx, c, callers, b.or(warmUp, 50*time.Millisecond)); err != nil {
		return err
	}
	before, err := n.usage(ctx)
	if err != nil {
		return err
	}
	began := time.Now()
	created, err := n.load(ctx, c, callers, b.or(loop, 200*time.Millisecond))
	if err != nil {
		return err
	}
	took := time.Since(began)
	after, err := n.usage(ctx)
	if err != nil {
		return err
	}
	used, each := after.since(before), func(v float64) float64 { return v / float64(created) }
	b.note(name, n.name, perSecond, float64(created)/took.Seconds())
	b.note(name, n.name, "CPU µs/instance", each(float64(used.cpu.Microseconds())))
	b.note(name, n.name, "bytes/instance", each(float64(used.written)))
	b.note(name, n.name, "fsyncs/instance", each(float64(used.fsyncs)))
	b.notePeaks(name, n, used)
	return nil
}

func (b *bench) notePeaks(name string, n session, u usage) {
	b.note(name, n.name, peakMiB, float64(u.peak)/(1<<20))
	if u.mediumPeak > 0 {
		b.note(name, n.name, postgresMiB, float64(u.mediumPeak)/(1<<20))
	}
}

// load creates instances for d and returns how many, once every one of them
// has arrived and is closed.
func (n session) load(ctx context.Context, c *caller, callers int, d time.Duration) (created int64, err error) {
	err = n.balanced(ctx, func() (int64, error) {
		created, err = closedLoop(c, callers, lasting(d))
		return created, err
	})
	return created, err
}

// balanced returns when every instance that create made has arrived and is
// closed, and nothing else has and is: the books balance, or it is an error.
func (n session) balanced(ctx context.Context, create func() (int64, error)) error {
	closed, err := n.counter(ctx, n.closed)
	if err != nil {
		return err
	}
	arrived := n.receiver.distinct.Load()
	created, err := create()
	if err != nil {
		return err
	}
	if err := n.receiver.awaitArrived(ctx, arrived+created); err != nil {
		return err
	}
	if err := n.awaitClosed(ctx, closed+created); err != nil {
		return err
	}
	if got := n.receiver.distinct.Load() - arrived; got != created {
		return fmt.Errorf("%d instances were created, %d arrived", created, got)
	}
	return nil
}

// awaitClosed is the cluster's, and doesn't wait for what can't come: an instance
// whose callback was refused.
func (n session) awaitClosed(ctx context.Context, want int64) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case err := <-n.receiver.refused:
			cancel(err)
		case <-ctx.Done():
		}
	}()
	err := n.cluster.awaitClosed(ctx, want)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		return cause
	}
	return err
}
