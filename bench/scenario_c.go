package main

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// The names of (c)'s figures. The rates but 100/s are others in every run.
const (
	slowArrival = "c: 100/s, create to arrival"
	fastArrival = "c: half of the maximum, create to arrival"
	fastOnPg    = "c: half of the maximum on PostgreSQL, create to arrival"
	toWaiter    = "c: 100/s, callback to waiting caller"
)

const slowRate = 100 // instances a second

// latencies at a rate that a site may have, and at one that it may fear.
func latencies(ctx context.Context, b *bench) error {
	d := b.or(15*time.Second, 300*time.Millisecond)
	arrival := func(name string, rate float64, systems ...system) error {
		return b.interleaved(ctx, name, systems, func(s system) error {
			return b.with(ctx, s, place{}, func(n session) error { return b.arrival(ctx, n, name, rate, d) })
		})
	}
	if err := arrival(slowArrival, slowRate, b.all()...); err != nil {
		return err
	}
	for _, half := range []struct {
		name       string
		of, beside system
	}{{fastArrival, b.riposte, b.limit}, {fastOnPg, b.ripostePg, b.ripostePg3}} {
		if !b.measures(half.of) {
			continue
		}
		most, err := b.maximum(ctx, half.of)
		if err != nil {
			return err
		}
		if err := arrival(half.name, most/2, half.of, half.beside); err != nil {
			return err
		}
	}
	return b.interleaved(ctx, toWaiter, b.ripostes(), func(s system) error {
		return b.with(ctx, s, place{}, func(n session) error { return b.outcomes(ctx, n, d) })
	})
}

// arrival measures from the planned creation to the arrival.
func (b *bench) arrival(ctx context.Context, n session, name string, rate float64, d time.Duration) error {
	webhook, err := n.newWebhook(ctx, n.receiver.url+answers)
	if err != nil {
		return err
	}
	c := newCaller(n.cluster, webhook)
	all, err := n.openLoop(ctx, rate, b.or(warmUp, 100*time.Millisecond), d, c.create)
	if err != nil {
		return err
	}
	h, err := arrivals(all, n.receiver)
	if err != nil {
		return err
	}
	b.note(name, n.name, "planned/s", rate)
	b.noteLatencies(name, n, h)
	return nil
}

// openLoop is openLoop after a warm-up, with the books checked. Only what came
// after the warm-up counts.
func (n session) openLoop(ctx context.Context, rate float64, warmUp, d time.Duration, do func() (string, error)) (all []planned, err error) {
	err = n.balanced(ctx, func() (int64, error) {
		warm, err := openLoop(rate, warmUp, do)
		if err != nil {
			return 0, err
		}
		all, err = openLoop(rate, d, do)
		return int64(len(warm) + len(all)), err
	})
	return all, err
}

// outcomes measures from the callback's sending until a caller who waits for
// the outcome has it. Of several nodes one takes the creation, the next one the
// callback, and the one after that has the caller who waits.
func (b *bench) outcomes(ctx context.Context, n session, d time.Duration) error {
	webhook, err := n.newWebhook(ctx, n.receiver.url+callsSoon)
	if err != nil {
		return err
	}
	c := newCaller(n.cluster, webhook)
	var seen times
	all, err := n.openLoop(ctx, slowRate, b.or(warmUp, 100*time.Millisecond), d, func() (string, error) {
		created := n.turn()
		id, err := c.createAt(created)
		if err != nil {
			return "", err
		}
		err = created.next.next.wait(ctx, id)
		seen.note(id, time.Now())
		return id, err
	})
	if err != nil {
		return err
	}
	h := newHistogram()
	for _, p := range all {
		sent, ok := n.receiver.answeredAt(p.id)
		if !ok {
			return fmt.Errorf("instance %s has an outcome, but no callback was sent", p.id)
		}
		if err := h.RecordValue(seen.of(p.id).Sub(sent).Microseconds()); err != nil {
			return err
		}
	}
	b.noteLatencies(toWaiter, n, h)
	return nil
}

// wait returns when an instance has come to the receivers' answer.
func (n *node) wait(ctx context.Context, id string) error {
	b, err := n.get(ctx, "/api/v1/instances/"+id+":wait?timeout=60s")
	if err == nil && !bytes.Contains(b, []byte(approvedMember)) {
		err = fmt.Errorf("waiting returned without the outcome: %s", b)
	}
	return err
}

func (b *bench) noteLatencies(name string, n session, h *hdrhistogram.Histogram) {
	b.note(name, n.name, p50, milliseconds(h, 50))
	b.note(name, n.name, p99, milliseconds(h, 99))
}
