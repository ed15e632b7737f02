package main

import (
	"context"
	"slices"
)

// system is something to be measured: a program that takes instances over HTTP.
type system struct {
	name   string
	pkg    string // of its program
	medium medium
	nodes  int
	// args are a node's, beside where it listens and where its data is.
	args func(n *node) []string
	// prepared returns when its nodes have done to a new store what they do once
	// in its life; nil where that is nothing.
	prepared func(ctx context.Context, store string) error
	// closed and fsyncs are its counters at GET /metrics; fsyncs is empty where
	// the medium counts them.
	closed, fsyncs string
}

// closedWell counts those that came to the receivers' answer, and no failure.
const closedWell = `riposte_instances_closed_total{outcome="APPROVED",reason=""}`

// describe says how each system is started and read.
func (b *bench) describe() {
	onDisk, onPostgres := directories{b.dir}, databases{databaseURL()}
	b.limit = system{name: "limit", pkg: "./limit", medium: onDisk, nodes: 1, closed: "bench_closed_total", fsyncs: "bench_fsyncs_total"}
	b.river = system{name: "river", pkg: "./river", medium: onPostgres, nodes: 1, closed: "bench_closed_total"}

	b.riposte = system{name: "riposte", pkg: "github.com/riposte-dev/riposte/cmd/riposte", medium: onDisk, nodes: 1, closed: closedWell,
		fsyncs: "riposte_store_commit_duration_seconds_count",
		args: func(n *node) []string {
			return []string{"serve", "--allow-destinations", "loopback", "--public-url", n.next.url}
		}}
	b.ripostePg = b.riposte
	b.ripostePg.name, b.ripostePg.medium, b.ripostePg.fsyncs, b.ripostePg.prepared = "riposte-pg", onPostgres, "", awaitDays
	b.ripostePg3 = b.ripostePg
	b.ripostePg3.name, b.ripostePg3.nodes = "riposte-pg3", 3
}

// all are the systems that there are.
func (b *bench) all() []system { return append([]system{b.limit}, append(b.ripostes(), b.river)...) }

// ripostes are Riposte on each of its stores.
func (b *bench) ripostes() []system { return []system{b.riposte, b.ripostePg, b.ripostePg3} }

// apart are ripostes where nodes have nothing to do with each other: a smoke run
// saves the time of several.
func (b *bench) apart() []system {
	if b.smoke {
		return []system{b.riposte, b.ripostePg}
	}
	return b.ripostes()
}

// measures reports whether s, or what it is a variant of, is to be measured.
func (b *bench) measures(s system) bool { return slices.Contains(b.systems, base(s.name)) }
