package postgres_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/postgres"
	"github.com/riposte-dev/riposte/postgres/postgrestest"
)

// TestAssertionIsUsedOnce at whatever node, also at two of them at once.
func TestAssertionIsUsedOnce(t *testing.T) {
	t.Parallel()
	a, b := twoNodes(t)
	for n := range 20 {
		id := fmt.Sprintf("assertion \x00\xff %d", n) // a client may call it anything
		used := atBoth(a, b, func(s *postgres.Store) error { return s.UseAssertion(t.Context(), id, s.Now().Add(time.Minute)) })
		if (used[0] == nil) == (used[1] == nil) || !errors.Is(errors.Join(used...), riposte.ErrReplayed) {
			t.Fatalf("assertion %d: %v", n, used)
		}
		if err := b.UseAssertion(t.Context(), id, b.Now().Add(time.Minute)); !errors.Is(err, riposte.ErrReplayed) {
			t.Fatalf("assertion %d later: %v", n, err)
		}
	}
}

// TestSecretIsSavedByOneNode of those that have read the same version.
func TestSecretIsSavedByOneNode(t *testing.T) {
	t.Parallel()
	a, b := twoNodes(t)
	for version := range int64(20) {
		saved := atBoth(a, b, func(s *postgres.Store) error {
			return s.SaveSecret(t.Context(), "ring", fmt.Appendf(nil, "%p", s), version)
		})
		if (saved[0] == nil) == (saved[1] == nil) || !errors.Is(errors.Join(saved...), riposte.ErrConflict) {
			t.Fatalf("version %d: %v", version, saved)
		}
		winner := a
		if saved[1] == nil {
			winner = b
		}
		secret, err := a.LoadSecret(t.Context(), "ring")
		if err != nil || secret.Version != version+1 || string(secret.Value) != fmt.Sprintf("%p", winner) {
			t.Fatalf("version %d is %+v, %v", version, secret, err)
		}
	}
}

// atBoth calls f for both nodes at once.
func atBoth(a, b *postgres.Store, f func(*postgres.Store) error) []error {
	errs := make([]error, 2)
	var both sync.WaitGroup
	for n, s := range []*postgres.Store{a, b} {
		both.Go(func() { errs[n] = f(s) })
	}
	both.Wait()
	return errs
}

// TestPassedAssertionsAreForgotten by the use of the next, a minute later, as a node's
// clock may be behind.
func TestPassedAssertionsAreForgotten(t *testing.T) {
	t.Parallel()
	where := postgrestest.URL(t)
	s, passed := openTimedNode(t, where)
	until := s.Now().Add(time.Minute)
	for n := range 3 {
		if err := s.UseAssertion(t.Context(), fmt.Sprint(n), until); err != nil {
			t.Fatal(err)
		}
	}
	for _, each := range []struct {
		after time.Duration
		want  int
	}{{2*time.Minute - time.Microsecond, 4}, {2 * time.Minute, 2}} {
		passed.Store(int64(each.after))
		if err := s.UseAssertion(t.Context(), each.after.String(), s.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		var n int
		if err := postgrestest.Connect(t, where).QueryRow(t.Context(), "SELECT count(*) FROM assertions").Scan(&n); err != nil || n != each.want {
			t.Errorf("after %s there are %d, %v; want %d", each.after, n, err, each.want)
		}
	}
}
