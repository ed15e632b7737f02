package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/riposte-dev/riposte"
)

// FindPlanted plants bugs in the store that open opens, one at a time, and fails
// where the suite does not find them.
func FindPlanted(t *testing.T, open Open) {
	for _, bug := range []struct {
		name    string
		plant   func(riposte.Store) riposte.Store
		foundBy []string
	}{
		{"no fence", func(s riposte.Store) riposte.Store { return noFence{s} }, []string{
			"a save over another version conflicts and adds no attempt",
			"a save after the lease ran out loses and its attempt is kept",
		}},
		{"publishes before the commit", func(s riposte.Store) riposte.Store { return &hasty{Store: s} }, []string{
			"a subscriber is told after the commit",
			"a subscriber is not told of what was refused",
		}},
		{"ignores the bound", func(s riposte.Store) riposte.Store { return noBound{s} }, []string{
			"a claim keeps to each webhook's bound",
			"a full webhook with many due holds up nobody",
		}},
		{"forgets attempts", func(s riposte.Store) riposte.Store { return forgetful{s} }, []string{
			"an attempt loads as it was saved",
			"everything is there after a restart",
		}},
		{"keeps milliseconds", func(s riposte.Store) riposte.Store { return coarse{s} }, []string{
			"a created instance loads as it was returned",
		}},
		{"counts what is gone", func(s riposte.Store) riposte.Store { return &hoarder{Store: s} }, []string{
			"what is purged is no longer counted",
		}},
		{"knows only what it made itself", func(s riposte.Store) riposte.Store { return &newcomer{Store: s} }, []string{
			"what was there is counted after a restart",
		}},
		{"says nothing of what is left", func(s riposte.Store) riposte.Store { return content{s} }, []string{
			"oldest is what the limit left",
		}},
	} {
		t.Run(bug.name, func(t *testing.T) {
			t.Parallel()
			planted := func(ctx context.Context, place string, now func() time.Time) (riposte.Store, error) {
				s, err := open(ctx, place, now)
				if err != nil {
					return nil, err
				}
				return bug.plant(s), nil
			}
			for _, name := range bug.foundBy {
				if !fails(t, name, planted) {
					t.Errorf("%q doesn't find it", name)
				}
				if fails(t, name, open) {
					t.Errorf("%q fails without it too", name)
				}
			}
		})
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

// hoarder goes on counting what it has purged.
type hoarder struct {
	riposte.Store
	purged int
}

func (s *hoarder) PurgeInstances(ctx context.Context, t time.Time, limit int) (int, error) {
	n, err := s.Store.PurgeInstances(ctx, t, limit)
	s.purged += n
	return n, err
}

func (s *hoarder) CountInstances(ctx context.Context) (map[riposte.State]int, error) {
	counts, err := s.Store.CountInstances(ctx)
	counts[riposte.StateSuccess] += s.purged
	return counts, err
}

// newcomer counts no more than it was asked to create.
type newcomer struct {
	riposte.Store
	created int
}

func (s *newcomer) CreateInstances(ctx context.Context, records []riposte.NewInstanceRecord) ([]riposte.Instance, error) {
	s.created += len(records)
	return s.Store.CreateInstances(ctx, records)
}

func (s *newcomer) CountInstances(ctx context.Context) (map[riposte.State]int, error) {
	counts, err := s.Store.CountInstances(ctx)
	for state, n := range counts {
		counts[state] = min(n, s.created)
	}
	return counts, err
}

// content is behind with nothing.
type content struct{ riposte.Store }

func (s content) Claim(ctx context.Context, r riposte.ClaimRequest) (riposte.Claim, error) {
	c, err := s.Store.Claim(ctx, r)
	c.Oldest = time.Time{}
	return c, err
}
