package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// drained names (d)'s figures.
const drained = "d: drain of a backlog"

// draining is how long a drain is watched: a slow machine doesn't come to the
// end of it.
const draining = 30 * time.Second

// backlog: instances that were there before the system, from the first arrival
// to the last close, or for as long as draining. Riposte's stores are seeded once
// and copied for each round. The limit pipeline doesn't take part: it has no store
// to find them in.
func backlog(ctx context.Context, b *bench) (err error) {
	size := b.size(200_000, 1_000)
	if b.measures(b.riposte) {
		if _, err := b.maximum(ctx, b.riposte); err != nil { // which the goal is to be
			return err
		}
	}
	address, err := freeAddress() // of the receivers, which the instances know
	if err != nil {
		return err
	}
	seeded := map[medium]string{}
	defer func() {
		for m, store := range seeded {
			err = errors.Join(err, m.remove(ctx, store))
		}
	}()
	for _, s := range b.ripostes() {
		if _, ok := seeded[s.medium]; ok || !b.measures(s) {
			continue
		}
		if seeded[s.medium], err = s.medium.create(ctx, ""); err != nil {
			return err
		}
		if err := seed(ctx, s.medium, seeded[s.medium], "http://"+address+answers, size, pending); err != nil {
			return err
		}
	}
	paused := b.river
	paused.args = func(*node) []string { return []string{"--paused"} }
	// Each takes long enough that two are enough.
	return b.inRounds(ctx, min(b.rounds, 2), drained, append(b.ripostes(), paused), func(s system) error {
		if s.name == b.river.name {
			return b.with(ctx, s, place{}, func(n session) error { return b.drainRiver(ctx, n, size) })
		}
		at := place{copied: seeded[s.medium], receiver: address}
		return b.with(ctx, s, at, func(n session) error { return b.drain(ctx, n, size) })
	})
}

func (b *bench) drainRiver(ctx context.Context, n session, size int) error {
	webhook, err := n.newWebhook(ctx, n.receiver.url+answers)
	if err != nil {
		return err
	}
	server := n.nodes[0]
	if _, err := server.post(ctx, fmt.Sprintf("/seed?count=%d&webhookId=%s", size, webhook), payload()); err != nil {
		return err
	}
	if err := n.settle(ctx); err != nil {
		return err
	}
	if _, err := server.post(ctx, "/start", nil); err != nil {
		return err
	}
	return b.drain(ctx, n, size)
}

func (b *bench) drain(ctx context.Context, n session, size int) error {
	if err := n.receiver.awaitArrived(ctx, 1); err != nil {
		return err
	}
	first := time.Unix(0, n.receiver.first.Load())
	err := until(ctx, func() bool {
		return n.receiver.distinct.Load() >= int64(size) || time.Since(first) > draining
	})
	if err != nil {
		return err
	}
	if n.receiver.distinct.Load() >= int64(size) {
		if err := n.awaitClosed(ctx, int64(size)); err != nil {
			return err
		}
	}
	closed, err := n.counter(ctx, n.closed)
	if err != nil {
		return err
	}
	took := time.Since(first)
	if arrived := n.receiver.distinct.Load(); closed > arrived {
		return fmt.Errorf("%d instances are closed, %d arrived", closed, arrived)
	}
	b.note(drained, n.name, perSecond, float64(closed)/took.Seconds())
	return nil
}
