package sqlite_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/storetest"
)

// TestSuiteFindsPlantedBugs runs the suite on stores with a bug each, and wants
// the case that is there for it to fail.
func TestSuiteFindsPlantedBugs(t *testing.T) {
	if testing.Short() {
		t.Skip("runs the whole suite once for each bug")
	}
	for _, bug := range []struct {
		name    string
		plant   func(riposte.Store) riposte.Store
		foundBy string
	}{
		{"no fence", func(s riposte.Store) riposte.Store { return noFence{s} }, "a save after the lease ran out loses and its attempt is kept"},
		{"publishes before the commit", func(s riposte.Store) riposte.Store { return &hasty{Store: s} }, "a subscriber is told after the commit"},
		{"ignores the bound", func(s riposte.Store) riposte.Store { return noBound{s} }, "a claim keeps to each webhook's bound"},
		{"forgets attempts", func(s riposte.Store) riposte.Store { return forgetful{s} }, "everything is there after a restart"},
		{"keeps milliseconds", func(s riposte.Store) riposte.Store { return coarse{s} }, "a created instance loads as it was returned"},
	} {
		t.Run(bug.name, func(t *testing.T) {
			t.Parallel()
			failed := storetest.Failures(t, func(ctx context.Context, place string, now func() time.Time) (riposte.Store, error) {
				s, err := open(ctx, place, now)
				if err != nil {
					return nil, err
				}
				return bug.plant(s), nil
			})
			if !slices.Contains(failed, bug.foundBy) {
				t.Errorf("not found by %q but by %q", bug.foundBy, failed)
			}
		})
	}
}

func TestSuiteFindsNothingInTheStore(t *testing.T) {
	if testing.Short() {
		t.Skip("runs the whole suite once more")
	}
	if failed := storetest.Failures(t, open); len(failed) > 0 {
		t.Errorf("these fail without a bug: %q", failed)
	}
}

// noFence saves over whatever version is there.
type noFence struct{ riposte.Store }

func (s noFence) SaveInstance(ctx context.Context, i riposte.Instance, a *riposte.Attempt) (riposte.Instance, error) {
	saved, err := s.Store.SaveInstance(ctx, i, a)
	if !errors.Is(err, riposte.ErrConflict) {
		return saved, err
	}
	now, err := s.LoadInstance(ctx, i.ID)
	if err != nil {
		return saved, err
	}
	i.Version = now.Version
	return s.Store.SaveInstance(ctx, i, a)
}

// hasty tells subscribers of a save before it is made.
type hasty struct {
	riposte.Store
	tell []func(riposte.Instance)
}

func (s *hasty) Subscribe(f func(riposte.Instance)) func() {
	s.tell = append(s.tell, f)
	return s.Store.Subscribe(f)
}

func (s *hasty) SaveInstance(ctx context.Context, i riposte.Instance, a *riposte.Attempt) (riposte.Instance, error) {
	early := i
	early.Version++
	for _, f := range s.tell {
		f(early)
	}
	return s.Store.SaveInstance(ctx, i, a)
}

// noBound takes no notice of what is in flight.
type noBound struct{ riposte.Store }

func (s noBound) Claim(ctx context.Context, r riposte.ClaimRequest) (riposte.Claim, error) {
	r.InFlight = nil
	return s.Store.Claim(ctx, r)
}

// forgetful loses the attempts it is given with a save.
type forgetful struct{ riposte.Store }

func (s forgetful) SaveInstance(ctx context.Context, i riposte.Instance, _ *riposte.Attempt) (riposte.Instance, error) {
	return s.Store.SaveInstance(ctx, i, nil)
}

// coarse keeps times in milliseconds.
type coarse struct{ riposte.Store }

func (s coarse) LoadInstance(ctx context.Context, id string) (riposte.Instance, error) {
	i, err := s.Store.LoadInstance(ctx, id)
	i.CreatedAt = i.CreatedAt.Truncate(time.Millisecond)
	return i, err
}
