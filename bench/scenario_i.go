package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// besideSnapshot names (i)'s figures.
const besideSnapshot = "i: 64 callers"

// besideSnapshot is s with a snapshot that somebody holds.
func (s system) besideSnapshot() system { return s.variant("beside a held snapshot") }

// snapshots: throughput before and while a transaction is open on the same
// database whose snapshot is held: no row that died since then can be cleaned
// away. Once is enough.
func snapshots(ctx context.Context, b *bench) error {
	return b.inRounds(ctx, 1, besideSnapshot, []system{b.ripostePg, b.river}, func(s system) error {
		return b.with(ctx, s, place{}, func(n session) error {
			webhook, err := n.newWebhook(ctx, n.receiver.url+answers)
			if err != nil {
				return err
			}
			c := newCaller(n.cluster, webhook)
			if _, err := n.load(ctx, c, callers, b.or(warmUp, 50*time.Millisecond)); err != nil {
				return err
			}
			return n.balanced(ctx, func() (int64, error) {
				return loopWhile(ctx, c, callers, func(ctx context.Context) error { return b.holdSnapshot(ctx, n) })
			})
		})
	})
}

// loopWhile has n callers create instances until measure returns, whose context
// ends when they fail, and returns how many they created.
func loopWhile(ctx context.Context, c *caller, n int, measure func(context.Context) error) (created int64, err error) {
	ctx, end := context.WithCancel(ctx)
	var failed error
	var loop sync.WaitGroup
	loop.Go(func() {
		defer end()
		created, failed = closedLoop(c, n, func(int64) bool { return ctx.Err() == nil })
	})
	err = measure(ctx)
	end()
	loop.Wait()
	return created, errors.Join(failed, err)
}

// holdSnapshot measures for a minute, then holds a snapshot for five, the last of
// which it measures again.
func (b *bench) holdSnapshot(ctx context.Context, n session) error {
	minute := b.or(time.Minute, 500*time.Millisecond)
	before, err := n.closing(ctx, minute)
	if err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, n.store)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	if err != nil {
		return err
	}
	// Not BEGIN but the first query takes the snapshot.
	if _, err := tx.Exec(ctx, "SELECT"); err != nil {
		return err
	}
	if err := pause(ctx, 4*minute); err != nil {
		return err
	}
	after, err := n.closing(ctx, minute)
	if err != nil {
		return err
	}
	b.note(besideSnapshot, n.name, perSecond, before)
	b.note(besideSnapshot, n.besideSnapshot().name, perSecond, after)
	return tx.Rollback(ctx)
}

// closing is how many instances a second are closed during d.
func (c *cluster) closing(ctx context.Context, d time.Duration) (float64, error) {
	before, err := c.counter(ctx, c.closed)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	if err := pause(ctx, d); err != nil {
		return 0, err
	}
	after, err := c.counter(ctx, c.closed)
	return float64(after-before) / time.Since(began).Seconds(), err
}
