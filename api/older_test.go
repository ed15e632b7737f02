package api

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/riposte-dev/riposte"
)

// TestOlderSumsAreReadOnceAQuarter, of those webhooks alone that are not known.
func TestOlderSumsAreReadOnceAQuarter(t *testing.T) {
	from := time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC)
	to := from.Add(23 * time.Hour)
	var asked []string
	var failure error
	o := newOlderSums(func(_ context.Context, f riposte.StatisticsFilter) ([]riposte.StatisticsRow, error) {
		asked = f.WebhookIDs
		var rows []riposte.StatisticsRow
		for _, id := range f.WebhookIDs {
			if id == "quiet" {
				continue
			}
			for _, start := range []time.Time{f.From, to.Add(-time.Minute), to} {
				rows = append(rows, riposte.StatisticsRow{WebhookID: id, Start: start, Statistics: riposte.Statistics{Attempts: 1}})
			}
		}
		return rows, failure
	})
	get := func(from, to time.Time, ids ...string) map[string]riposte.Statistics {
		t.Helper()
		asked = nil
		found, err := o.get(t.Context(), ids, from, to)
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	if found := get(from, to, "a", "quiet"); found["a"].Attempts != 2 || found["quiet"].Attempts != 0 || len(asked) != 2 {
		t.Errorf("at first: %v, asked for %q", found, asked)
	} else {
		found["a"] = riposte.Statistics{Attempts: 99} // the caller's own
	}
	if found := get(from, to, "a", "quiet", "b"); found["a"].Attempts != 2 || found["b"].Attempts != 2 || !slices.Equal(asked, []string{"b"}) {
		t.Errorf("again: %v, asked for %q", found, asked)
	}
	later := riposte.StatisticsQuarter
	if found := get(from.Add(later), to.Add(later), "a"); found["a"].Attempts != 3 || !slices.Equal(asked, []string{"a"}) {
		t.Errorf("a quarter later: %v, asked for %q", found, asked)
	}
	failure = errors.New("the store is away")
	if _, err := o.get(t.Context(), []string{"c"}, from, to); !errors.Is(err, failure) {
		t.Errorf("the error is %v", err)
	}
	failure = nil
	for n := range 2 * maxOlderSums / 100 {
		ids := make([]string, 100)
		for k := range ids {
			ids[k] = fmt.Sprint(n, k)
		}
		get(from, to, ids...)
	}
	if len(o.m) > maxOlderSums+100 {
		t.Errorf("%d sums are kept", len(o.m))
	}
}
