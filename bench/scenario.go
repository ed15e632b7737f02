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
}

// synchronous: instances per second with receivers that answer at once.
func synchronous(ctx context.Context, b *bench) error {
	levels := []int{64}
	if b.smoke {
		levels = []int{64}
	}
	for _, callers := range levels {
		name := fmt.Sprintf("a: %d callers", callers)
		if err := b.interleaved([]system{b.limit, b.riposte, b.river}, func(s system) error {
			return b.with(ctx, s, "", func(n session) error { return b.throughput(ctx, n, name, answers, callers) })
		}); err != nil {
			return err
		}
	}
	return nil
}

// callbacks: the same with receivers that answer by callback.
func callbacks(ctx context.Context, b *bench) error {
	return b.interleaved([]system{b.limit, b.riposte}, func(s system) error {
		return b.with(ctx, s, "", func(n session) error { return b.throughput(ctx, n, "b: 64 callers", callsBack, 64) })
	})
}

const (
	warmUp = time.Second
	loop   = 5 * time.Second
)

// throughput counts instances from the first create to the last close, so that
// nothing counts which was only accepted.
func (b *bench) throughput(ctx context.Context, n session, name, path string, callers int) error {
	webhook, err := n.newWebhook(ctx, n.receiver.url+path)
	if err != nil {
		return err
	}
	c := newCaller(n.node, webhook)
	if _, err := b.load(ctx, n, c, callers, b.or(warmUp, 100*time.Millisecond)); err != nil {
		return err
	}
	before, err := n.usage(ctx)
	if err != nil {
		return err
	}
	began := time.Now()
	created, err := b.load(ctx, n, c, callers, b.or(loop, time.Second))
	if err != nil {
		return err
	}
	took := time.Since(began)
	after, err := n.usage(ctx)
	if err != nil {
		return err
	}
	used, each := after.since(before), func(v float64) float64 { return v / float64(created) }
	b.note(name, n.name, "instances/s", float64(created)/took.Seconds())
	b.note(name, n.name, "CPU µs/instance", each(float64(used.cpu.Microseconds())))
	b.note(name, n.name, "bytes/instance", each(float64(used.written)))
	b.note(name, n.name, "fsyncs/instance", each(float64(used.fsyncs)))
	b.note(name, n.name, "peak MiB", float64(used.peak)/(1<<20))
	return nil
}

// load creates instances for d and returns how many, once every one of them
// has arrived and is closed: the books balance, or it is an error.
func (b *bench) load(ctx context.Context, n session, c *caller, callers int, d time.Duration) (int64, error) {
	closed, err := n.counter(ctx, n.closed)
	if err != nil {
		return 0, err
	}
	arrived := n.receiver.distinct.Load()
	created, err := closedLoop(c, callers, d)
	if err != nil {
		return 0, err
	}
	for deadline := time.Now().Add(patience); n.receiver.distinct.Load() < arrived+created; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			return 0, fmt.Errorf("%d instances of %d have arrived after %s", n.receiver.distinct.Load()-arrived, created, patience)
		}
	}
	if err := n.awaitClosed(ctx, closed+created); err != nil {
		return 0, err
	}
	if got := n.receiver.distinct.Load() - arrived; got != created {
		return 0, fmt.Errorf("%d instances were created, %d arrived", created, got)
	}
	return created, nil
}

// latencies: from the planned creation to the arrival.
func latencies(ctx context.Context, b *bench) error {
	return b.interleaved([]system{b.limit, b.riposte, b.river}, func(s system) error {
		return b.with(ctx, s, "", func(n session) error {
			return b.arrival(ctx, n, "c: 100/s, create to arrival", 100, b.or(15*time.Second, 2*time.Second))
		})
	})
}

func (b *bench) arrival(ctx context.Context, n session, name string, rate float64, d time.Duration) error {
	webhook, err := n.newWebhook(ctx, n.receiver.url+answers)
	if err != nil {
		return err
	}
	c := newCaller(n.node, webhook)
	if _, err := openLoop(c, rate, b.or(warmUp, 100*time.Millisecond)); err != nil {
		return err
	}
	all, err := openLoop(c, rate, d)
	if err != nil {
		return err
	}
	h, err := arrivals(all, n.receiver, patience)
	if err != nil {
		return err
	}
	b.note(name, n.name, "p50 ms", milliseconds(h, 50))
	b.note(name, n.name, "p99 ms", milliseconds(h, 99))
	return nil
}
