package main

import (
	"context"
	"time"
)

// besideHanging names (g)'s figures.
const besideHanging = "g: 200/s, create to arrival"

// besideHanging is s with a receiver that hangs.
func (s system) besideHanging() system { return s.variant("beside a receiver that hangs") }

// hanging: the latency at a healthy receiver, alone and beside one that hangs
// with instances due. It lasts longer than an attempt, so that some of those that
// hang time out meanwhile.
func hanging(ctx context.Context, b *bench) error {
	const rate = 200 // instances a second
	d := b.or(35*time.Second, 300*time.Millisecond)
	var both []system
	for _, s := range b.apart() {
		both = append(both, s, s.besideHanging())
	}
	// Each takes long enough that two are enough.
	return b.inRounds(ctx, min(b.rounds, 2), besideHanging, both, func(s system) error {
		return b.with(ctx, s, place{}, func(n session) error {
			if base(s.name) != s.name {
				if err := b.hang(ctx, n); err != nil {
					return err
				}
			}
			return b.arrival(ctx, n, besideHanging, rate, d)
		})
	})
}

// hang has instances due at a receiver that hangs, and returns when it does.
func (b *bench) hang(ctx context.Context, n session) error {
	webhook, err := n.newWebhook(ctx, n.receiver.url+hangs)
	if err != nil {
		return err
	}
	if _, err := closedLoop(newCaller(n.cluster, webhook), callers, upTo(b.size(10_000, 200))); err != nil {
		return err
	}
	return until(ctx, func() bool { return n.receiver.hanging.Load() > 0 })
}
