package main

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/riposte-dev/riposte"
)

// TestCopiesAreInstances: what was copied is found by its id, in the order of its
// creation, with its labels and its outcome, and nothing becomes due for weeks.
func TestCopiesAreInstances(t *testing.T) {
	media := map[string]medium{"SQLite": directories{t.TempDir()}}
	if databaseURL() != "" {
		media["PostgreSQL"] = databases{databaseURL()}
	}
	for name, m := range media {
		t.Run(name, func(t *testing.T) {
			const copies, first = 3, 200
			s := seededStore(t, m, copies*first, first)
			all := everyInstance(t, s)
			if len(all) != copies*first+rareInstances {
				t.Fatalf("there are %d instances, want %d", len(all), copies*first+rareInstances)
			}
			labeled := map[string]int{}
			soon := time.Now().Add(14 * 24 * time.Hour)
			for n, i := range all {
				if n > 0 && all[n-1].ID <= i.ID {
					t.Errorf("instance %d of the list is not older than the one before", n)
				}
				one, err := s.LoadInstance(t.Context(), i.ID)
				if err != nil {
					t.Fatal(err)
				}
				if one.State.Closed() != (one.Outcome != nil) || !maps.Equal(one.Labels, i.Labels) {
					t.Errorf("instance %d: state %s, outcome %v, labels %v and %v", n, one.State, one.Outcome, one.Labels, i.Labels)
				}
				if !one.State.Closed() && one.DueAt.Before(soon) {
					t.Errorf("instance %d in %s is due %s", n, one.State, one.DueAt)
				}
				if of := riposte.IDNumber(i.ID); of < riposte.LeastIDNumber(i.CreatedAt) || of >= riposte.LeastIDNumber(i.CreatedAt.Add(time.Millisecond)) {
					t.Errorf("instance %d has an id of another time than %s", n, i.CreatedAt)
				}
				labeled["env="+i.Labels["env"]]++
				labeled["team="+i.Labels["team"]]++
			}
			if labeled[rareLabel] != rareInstances {
				t.Errorf("%d instances have %s, want %d", labeled[rareLabel], rareLabel, rareInstances)
			}
			for _, team := range append(slices.Clone(mixedTeams), "legal") {
				page, err := s.ListInstances(t.Context(), riposte.InstanceFilter{Labels: map[string]string{"team": team}, Limit: len(all)})
				if err != nil || len(page.Instances) != labeled["team="+team] {
					t.Errorf("a list has %d instances of team %s (%v), want %d", len(page.Instances), team, err, labeled["team="+team])
				}
			}
		})
	}
}

func seededStore(t *testing.T, m medium, n, first int) riposte.Store {
	t.Helper()
	name, err := m.create(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.remove(t.Context(), name); err != nil {
			t.Error(err)
		}
	})
	if err := seedMixed(t.Context(), m, name, n, first, mixed); err != nil {
		t.Fatal(err)
	}
	s, err := m.open(t.Context(), name, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// everyInstance goes through a list page by page.
func everyInstance(t *testing.T, s riposte.Store) (all []riposte.Instance) {
	t.Helper()
	f := riposte.InstanceFilter{Limit: 100}
	for {
		page, err := s.ListInstances(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, page.Instances...)
		if len(page.Instances) < f.Limit {
			return all
		}
		f.Before = all[len(all)-1].ID
	}
}
