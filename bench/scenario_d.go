package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/riposte-dev/riposte/sqlite"
)

// drained names (d)'s figures.
const drained = "d: drain of a backlog"

// draining is how long a drain is watched: a slow machine doesn't come to the
// end of it.
const draining = 45 * time.Second

// backlog: instances that were there before the system, from the first arrival
// to the last close, or for as long as draining. Riposte's store is seeded once and copied for each round.
// The limit pipeline doesn't take part: it has no store to find them in.
func backlog(ctx context.Context, b *bench) error {
	size := b.size(200_000, 1_000)
	var seeded place
	if b.measures(b.riposte) {
		if _, err := b.maximum(ctx); err != nil { // which the goal is to be
			return err
		}
		var err error
		if seeded, err = b.seedBacklog(ctx, size); err != nil {
			return err
		}
		defer os.RemoveAll(seeded.data)
	}
	paused := b.river
	paused.args = func(listen, data string) []string { return append(b.river.args(listen, data), "--paused") }
	// Each takes long enough that two are enough.
	return b.inRounds(ctx, min(b.rounds, 2), drained, []system{b.riposte, paused}, func(s system) error {
		if s.name == b.river.name {
			return b.with(ctx, s, place{}, func(n session) error { return b.drainRiver(ctx, n, size) })
		}
		dir, err := b.newDir(s.name)
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		if err := os.CopyFS(dir, os.DirFS(seeded.data)); err != nil {
			return err
		}
		if err := syncFile(filepath.Join(dir, sqlite.FileName)); err != nil {
			return err
		}
		return b.with(ctx, s, place{dir, seeded.receiver}, func(n session) error { return b.drain(ctx, n, size) })
	})
}

// seedBacklog fixes also where the receivers will be, which the instances know.
func (b *bench) seedBacklog(ctx context.Context, size int) (place, error) {
	address, err := freeAddress()
	if err != nil {
		return place{}, err
	}
	dir, err := b.newDir("backlog")
	if err != nil {
		return place{}, err
	}
	return place{dir, address}, seed(ctx, dir, "http://"+address+answers, size, pending)
}

func (b *bench) drainRiver(ctx context.Context, n session, size int) error {
	webhook, err := n.newWebhook(ctx, n.receiver.url+answers)
	if err != nil {
		return err
	}
	if _, err := n.post(ctx, fmt.Sprintf("/seed?count=%d&webhookId=%s", size, webhook), payload()); err != nil {
		return err
	}
	if _, err := n.post(ctx, "/start", nil); err != nil {
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
