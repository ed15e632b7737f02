package main

import (
	"context"
	"os"
)

// The names of (e)'s and (f)'s figures.
const (
	besideHistory = "e: 64 callers"
	besideWaiting = "f: 64 callers"
)

func history(ctx context.Context, b *bench) error {
	return b.throughputBeside(ctx, besideHistory, b.size(2_000_000, 1_000), closed)
}

func waits(ctx context.Context, b *bench) error {
	return b.throughputBeside(ctx, besideWaiting, b.size(1_000_000, 1_000), waiting)
}

// beside is Riposte in a store that has instances of a kind.
func (b *bench) beside(k kind) system { return b.riposte.variant("beside " + k.name) }

// throughputBeside measures (a) in a store that has size instances of a kind, and on an
// empty one. The seeded store is used again in each round, with what the rounds
// before have left in it.
func (b *bench) throughputBeside(ctx context.Context, name string, size int, k kind) error {
	if !b.measures(b.riposte) {
		return nil
	}
	dir, err := b.newDir(k.name)
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	// Nobody listens there, and nobody is to be asked.
	if err := seedMany(ctx, dir, "http://127.0.0.1:1", size, b.size(50_000, 500), k); err != nil {
		return err
	}
	full := b.beside(k)
	return b.interleaved(ctx, name, []system{b.riposte, full}, func(s system) error {
		var at place
		if s.name == full.name {
			at.data = dir
		}
		return b.with(ctx, s, at, func(n session) error {
			if err := n.awaitCounted(ctx); err != nil {
				return err
			}
			return b.throughput(ctx, n, name, answers, callers)
		})
	})
}
