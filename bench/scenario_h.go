package main

import (
	"context"
	"time"
)

// idling names (h)'s figures.
const idling = "h: idle, one webhook"

// idle: what a server takes that has nothing to do. Once is enough.
func idle(ctx context.Context, b *bench) error {
	return b.inRounds(ctx, 1, idling, b.apart(), func(s system) error {
		return b.with(ctx, s, place{}, func(n session) error {
			if _, err := n.newWebhook(ctx, n.receiver.url+answers); err != nil {
				return err
			}
			if err := pause(ctx, b.or(5*time.Second, 100*time.Millisecond)); err != nil { // the start's work is done
				return err
			}
			before, err := n.usage(ctx)
			if err != nil {
				return err
			}
			began := time.Now()
			if err := pause(ctx, b.or(time.Minute, 300*time.Millisecond)); err != nil {
				return err
			}
			after, err := n.usage(ctx)
			if err != nil {
				return err
			}
			used := after.since(before)
			b.note(idling, n.name, cpuShare, 100*used.cpu.Seconds()/time.Since(began).Seconds())
			b.notePeaks(idling, n, used)
			return nil
		})
	})
}
