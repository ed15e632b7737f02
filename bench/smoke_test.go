package main

import (
	"bytes"
	"sync/atomic"
	"testing"
)

// TestSmoke runs every scenario, tiny. Each of them fails when its books don't
// balance: created, received and closed are to be the same. No time is checked.
// Those on PostgreSQL take part where there is one; see scripts/postgres.
func TestSmoke(t *testing.T) {
	o := options{systems: []string{"limit", "riposte"}, rounds: 1, smoke: true}
	if databaseURL() != "" {
		o.systems = append(o.systems, "riposte-pg", "riposte-pg3", "river")
	}
	b, err := newBench(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	all := scenarioNames()
	var ran atomic.Int64
	t.Run("scenario", func(t *testing.T) {
		for _, name := range all {
			t.Run(name, func(t *testing.T) {
				t.Parallel() // they wait for disks and programs more than they work
				ran.Add(1)
				if err := b.runAll(t.Context(), []string{name}); err != nil {
					t.Fatal(err)
				}
			})
		}
	})
	if int(ran.Load()) == len(all) { // and not those alone that -run names
		checkGoalsMeasured(t, b)
	}
	var report bytes.Buffer
	if err := b.report(&report, t.TempDir()+"/figures.json"); err != nil {
		t.Fatal(err)
	}
	t.Logf("nothing of this is worth reading but that it is there:\n%s", &report)
}

// checkGoalsMeasured keeps goals and figures by the same names.
func checkGoalsMeasured(t *testing.T, b *bench) {
	t.Helper()
	for _, g := range b.goals() {
		if _, ok := b.measured(g); !ok && b.concerns(g) {
			t.Errorf("nothing was measured for the goal %q", g.about)
		}
	}
}
