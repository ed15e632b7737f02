package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// The names of (j)'s figures.
const (
	besideReading = "j: 64 callers beside a million"
	worstPage     = "j: the worst page"
	worstList     = "j: the worst list"
)

// screenName names the figures of a page of the console.
func screenName(s screen) string { return "j: " + s.name }

const (
	p95       = "p95 ms"
	p95ToNone = "p95 to empty"
)

// (j)'s stores beside the empty one: a thousand fill a page as a million do.
var thousand, million = mixed.named("a thousand"), mixed.named("a million")

func (k kind) named(name string) kind {
	k.name = name
	return k
}

// readers is how many people look at the console while callers create.
const readers = 1

// besideReaders is s while people look at its console.
func (s system) besideReaders() system { return s.variant("beside a person who looks") }

// lookedAt is a store whose pages are looked at.
type lookedAt struct {
	store     string
	instances int
	made      time.Duration // for how long they were made
}

// screens: how long the console's pages take beside a million instances, and what it
// costs callers that people look at them.
func screens(ctx context.Context, b *bench) error {
	for _, s := range []system{b.riposte, b.ripostePg} {
		if !b.measures(s) {
			continue
		}
		if err := b.screensOf(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) screensOf(ctx context.Context, s system) (err error) {
	const few = 1_000
	stores := map[string]lookedAt{}
	defer func() {
		for _, at := range stores {
			err = errors.Join(err, s.medium.remove(ctx, at.store))
		}
	}()
	for _, each := range []struct {
		name     string
		k        kind
		n, first int
	}{
		{s.name, mixed.named("no"), 0, 1},
		{s.beside(thousand).name, thousand, few, few},
		{s.beside(million).name, million, b.size(1_000_000, 1_000), b.size(mixedFirst, 500)},
	} {
		store, err := s.medium.create(ctx, "")
		if err != nil {
			return err
		}
		stores[each.name] = lookedAt{store, each.n, time.Duration(max(each.n/each.first, 1)) * copyStep}
		if err := seedMixed(ctx, s.medium, store, each.n, each.first, each.k); err != nil {
			return err
		}
	}
	var seen []screen
	// Each takes long enough that two are enough.
	err = b.inRounds(ctx, min(b.rounds, 2), "j: pages", []system{s, s.beside(thousand), s.beside(million)}, func(v system) error {
		at := stores[v.name]
		return b.with(ctx, v, place{store: at.store}, func(n session) (err error) {
			seen, err = b.look(ctx, n, at)
			return err
		})
	})
	if err != nil {
		return err
	}
	b.noteWorst(s, seen)
	full := stores[s.beside(million).name]
	// There and back, because the store grows with each.
	order := []system{s, s.besideReaders(), s.besideReaders(), s}
	return b.interleaved(ctx, besideReading, order, func(v system) error {
		return b.with(ctx, v, place{store: full.store}, func(n session) error { return b.besideReaders(ctx, n, full) })
	})
}

// look measures the console's pages, and returns those that there are.
func (b *bench) look(ctx context.Context, n session, at lookedAt) ([]screen, error) {
	r, all, err := n.readScreens(ctx, at)
	if err != nil {
		return nil, err
	}
	took, err := r.measure(ctx, all, b.size(200, 2), at.instances > 0)
	if err != nil {
		return nil, err
	}
	for k, s := range all {
		b.note(screenName(s), n.name, p95, milliseconds(took[k], 95))
	}
	return all, nil
}

// readScreens signs somebody in once the server is ready, and finds the pages that
// there are.
func (n session) readScreens(ctx context.Context, at lookedAt) (*reader, []screen, error) {
	if err := n.awaitCounted(ctx); err != nil {
		return nil, nil, err
	}
	r, err := n.nodes[0].signIn(ctx)
	if err != nil {
		return nil, nil, err
	}
	all, err := r.screens(ctx, at.made)
	return r, all, err
}

// noteWorst notes the slowest page beside a million, and of the lists the one that is
// slowest compared to an empty store.
func (b *bench) noteWorst(s system, seen []screen) {
	var slowest, slower float64
	var page, list string
	for _, each := range seen {
		full, empty := b.figure(screenName(each), s.beside(million).name, p95), b.figure(screenName(each), s.name, p95)
		if v := full.median(); v > slowest {
			slowest, page = v, each.name
		}
		if each.noList || empty == nil || empty.median() == 0 {
			continue
		}
		if v := full.median() / empty.median(); v > slower {
			slower, list = v, each.name
		}
	}
	fmt.Fprintf(os.Stderr, "  the worst page is %q, the worst list to an empty store %q\n", page, list)
	b.note(worstPage, s.beside(million).name, p95, slowest)
	b.note(worstList, s.beside(million).name, p95ToNone, slower)
}

// besideReaders measures how many instances callers create, where n is a variant
// while people look at the console.
func (b *bench) besideReaders(ctx context.Context, n session, at lookedAt) error {
	r, all, err := n.readScreens(ctx, at)
	if err != nil {
		return err
	}
	webhook, err := n.newWebhook(ctx, n.receiver.url+answers)
	if err != nil {
		return err
	}
	c := newCaller(n.cluster, webhook)
	if _, err := n.load(ctx, c, callers, b.or(warmUp, 50*time.Millisecond)); err != nil {
		return err
	}
	people := 0
	if base(n.name) != n.name {
		people = readers
	}
	took, err := r.lookWhile(ctx, people, all, func() error {
		began := time.Now()
		created, err := n.load(ctx, c, callers, b.or(10*time.Second, 200*time.Millisecond))
		if err == nil {
			b.note(besideReading, n.name, perSecond, float64(created)/time.Since(began).Seconds())
		}
		return err
	})
	if err == nil && people > 0 {
		b.note(besideReading, n.name, p95, milliseconds(took, 95))
	}
	return err
}
