package main

import (
	"context"
	"errors"
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

// beside is s in a store that has instances of a kind.
func (s system) beside(k kind) system { return s.variant("beside " + k.name) }

// throughputBeside measures (a) in a store that has size instances of a kind, and
// in an empty one. The seeded store is used again in each round, with what the
// rounds before have left in it. A store is made after the other is gone, because
// both are large.
func (b *bench) throughputBeside(ctx context.Context, name string, size int, k kind) error {
	on := map[medium][]system{}
	for _, s := range b.apart() {
		if b.measures(s) {
			on[s.medium] = append(on[s.medium], s)
		}
	}
	for _, m := range []medium{b.riposte.medium, b.ripostePg.medium} {
		if len(on[m]) == 0 {
			continue
		}
		if err := b.throughputsBeside(ctx, name, m, on[m], size, k); err != nil {
			return err
		}
	}
	return nil
}

// throughputsBeside is that of systems on one medium.
func (b *bench) throughputsBeside(ctx context.Context, name string, m medium, systems []system, size int, k kind) (err error) {
	store, err := m.create(ctx, "")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.remove(ctx, store)) }()
	// Nobody listens there, and nobody is to be asked.
	if err := seedMany(ctx, m, store, "http://127.0.0.1:1", size, b.size(25_000, 500), k); err != nil {
		return err
	}
	var both []system
	for _, s := range systems {
		both = append(both, s, s.beside(k))
	}
	return b.interleaved(ctx, name, both, func(s system) error {
		var at place
		if base(s.name) != s.name {
			at.store = store
		}
		return b.with(ctx, s, at, func(n session) error {
			if err := n.awaitCounted(ctx); err != nil {
				return err
			}
			return b.throughput(ctx, n, name, answers, callers)
		})
	})
}
