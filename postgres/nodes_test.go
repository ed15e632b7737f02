package postgres_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/postgres"
	"github.com/riposte-dev/riposte/postgres/postgrestest"
)

// patience bounds what these tests wait for.
const patience = 30 * time.Second

// twoNodes are two stores on one database.
func twoNodes(t *testing.T) (a, b *postgres.Store) {
	t.Helper()
	where := postgrestest.URL(t)
	return openNode(t, where), openNode(t, where)
}

func openNode(t *testing.T, where string) *postgres.Store {
	t.Helper()
	s, err := postgres.Open(t.Context(), where, postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func create(t *testing.T, s riposte.Store, w riposte.Webhook) riposte.Instance {
	t.Helper()
	created, err := s.CreateInstances(t.Context(), []riposte.NewInstanceRecord{newRecord(t, s, w)})
	if err != nil {
		t.Fatal(err)
	}
	return created[0]
}

// heard returns the instances that a store tells of.
func heard(t *testing.T, s riposte.Store) <-chan riposte.Instance {
	t.Helper()
	told := make(chan riposte.Instance, 1024)
	t.Cleanup(s.Subscribe(func(i riposte.Instance) { told <- i }))
	return told
}

// await returns what is told of id.
func await(t *testing.T, told <-chan riposte.Instance, id string) riposte.Instance {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		select {
		case i := <-told:
			if i.ID == id {
				return i
			}
		case <-ctx.Done():
			t.Fatalf("nothing is told of %s", id)
		}
	}
}

func TestOutcomeIsToldToOtherNodes(t *testing.T) {
	t.Parallel()
	a, b := twoNodes(t)
	told := heard(t, b)
	i := create(t, a, newWebhook(t, a))
	next, err := i.Advance(riposte.Canceled{}, a.Now())
	if err == nil {
		_, err = a.SaveInstance(t.Context(), next, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	if got := await(t, told, i.ID); got.Version != 0 {
		t.Errorf("told of version %d as if it were its own", got.Version)
	}
	if got, err := b.LoadInstance(t.Context(), i.ID); err != nil || got.Outcome == nil {
		t.Errorf("told before it can be seen: %+v, %v", got, err)
	}
}

// TestWorkOfANodeThatStoppedIsTakenOver also of one that the other has never
// heard of.
func TestWorkOfANodeThatStoppedIsTakenOver(t *testing.T) {
	t.Parallel()
	a, b := twoNodes(t)
	told := heard(t, b)
	if c, err := b.Claim(t.Context(), riposte.ClaimRequest{Limit: 10}); err != nil || len(c.Attempts) > 0 || !c.Next.IsZero() {
		t.Fatalf("claimed %+v, %v", c, err)
	}
	i := create(t, a, newWebhook(t, a))
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if got := await(t, told, i.ID); !got.DueAt.Equal(i.DueAt) {
		t.Errorf("told that it is due at %s, want %s", got.DueAt, i.DueAt)
	}
	c, err := b.Claim(t.Context(), riposte.ClaimRequest{Limit: 10})
	if err != nil || len(c.Attempts) != 1 || c.Attempts[0].Instance.ID != i.ID {
		t.Errorf("claimed %+v, %v", c, err)
	}
}

// TestWebhookIsTheSameAtEveryNode at once, without waiting to be told.
func TestWebhookIsTheSameAtEveryNode(t *testing.T) {
	t.Parallel()
	a, b := twoNodes(t)
	w := newWebhook(t, a)
	for _, s := range []*postgres.Store{b, a, b} { // the second time, both know it already
		w.URL += "/next"
		saved, err := s.SaveWebhook(t.Context(), w)
		if err != nil {
			t.Fatal(err)
		}
		w = saved
		for _, other := range []*postgres.Store{a, b} {
			if got, err := other.LoadWebhook(t.Context(), w.ID); err != nil || got.URL != w.URL {
				t.Errorf("loaded %q, want %q (%v)", got.URL, w.URL, err)
			}
			i := create(t, other, w)
			c, err := other.Claim(t.Context(), riposte.ClaimRequest{Limit: 10})
			if err != nil || len(c.Attempts) != 1 || c.Attempts[0].Instance.ID != i.ID || c.Attempts[0].Webhook.URL != w.URL {
				t.Errorf("claimed %+v, want an attempt at %q (%v)", c.Attempts, w.URL, err)
			}
		}
	}
	w.Delete(a.Now())
	if _, err := a.SaveWebhook(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	if _, err := b.CreateInstances(t.Context(), []riposte.NewInstanceRecord{newRecord(t, b, w)}); err == nil {
		t.Error("another node takes instances of a deleted webhook")
	}
}

// TestRequestIsOneInstanceAtAllNodes also when they are asked at the same time.
func TestRequestIsOneInstanceAtAllNodes(t *testing.T) {
	t.Parallel()
	a, b := twoNodes(t)
	w := newWebhook(t, a)
	for round := range 20 {
		var got [4]string
		var asking sync.WaitGroup
		for n := range got {
			s := []*postgres.Store{a, b}[n%2]
			r := newRequest(t, s, w, fmt.Sprint(round))
			asking.Go(func() {
				created, err := s.CreateInstances(t.Context(), []riposte.NewInstanceRecord{r})
				if err != nil {
					t.Error(err)
					return
				}
				got[n] = created[0].ID
			})
		}
		asking.Wait()
		if got[0] == "" || got[1] != got[0] || got[2] != got[0] || got[3] != got[0] {
			t.Fatalf("one request has made the instances %v", got)
		}
	}
}

// TestNodesShareWhatIsDue: each claims its share, and nothing is claimed twice.
func TestNodesShareWhatIsDue(t *testing.T) {
	t.Parallel()
	a, b := twoNodes(t)
	w := newWebhook(t, a)
	const n = 100
	for range n {
		create(t, a, w)
	}
	claimed := map[string]int{}
	told := heard(t, b)
	deadline := time.Now().Add(patience)
	for len(claimed) < n && time.Now().Before(deadline) {
		for _, s := range []*postgres.Store{a, b} {
			c, err := s.Claim(t.Context(), riposte.ClaimRequest{Limit: 7})
			if err != nil {
				t.Fatal(err)
			}
			for _, each := range c.Attempts {
				claimed[each.Instance.ID]++
			}
		}
		select {
		case <-told:
		default:
		}
	}
	for id, times := range claimed {
		if times != 1 {
			t.Errorf("%s was claimed %d times", id, times)
		}
	}
	if len(claimed) != n {
		t.Errorf("%d of %d were claimed", len(claimed), n)
	}
	counts, err := b.CountInstances(t.Context())
	if err != nil || counts[riposte.StateRunning] != n || counts[riposte.StatePending] != 0 {
		t.Errorf("the counts are %v (%v)", counts, err)
	}
}

// TestTotalHoldsOverAllNodes has both claim as fast as they can, and some of what
// they claim end.
func TestTotalHoldsOverAllNodes(t *testing.T) {
	t.Parallel()
	a, b := twoNodes(t)
	w := newWebhook(t, a)
	const total, n = 3, 30
	w.Settings.MaxInFlightTotal = total
	w, err := a.SaveWebhook(t.Context(), w)
	if err != nil {
		t.Fatal(err)
	}
	for k := range n {
		create(t, []*postgres.Store{a, b}[k%2], w)
	}
	var done atomic.Int64
	var mu sync.Mutex
	var share [2]int
	inFlight, most := 0, 0
	count := func(node, change int) {
		mu.Lock()
		defer mu.Unlock()
		inFlight += change
		most = max(most, inFlight)
		share[node] += max(change, 0)
	}
	var nodes sync.WaitGroup
	deadline := time.Now().Add(patience)
	for k, s := range []*postgres.Store{a, b} {
		nodes.Go(func() {
			for done.Load() < n && time.Now().Before(deadline) {
				c, err := s.Claim(context.Background(), riposte.ClaimRequest{Limit: total})
				if err != nil {
					t.Error(err)
					return
				}
				count(k, len(c.Attempts))
				for _, each := range c.Attempts {
					count(k, -1)
					next, err := each.Instance.Advance(riposte.Canceled{}, s.Now())
					if err == nil {
						_, err = s.SaveInstance(context.Background(), next, nil)
					}
					if err != nil {
						t.Error(err)
						return
					}
					done.Add(1)
				}
				if len(c.Attempts) == 0 {
					time.Sleep(10 * time.Millisecond)
				}
			}
		})
	}
	nodes.Wait()
	if most > total || done.Load() != n {
		t.Errorf("%d were in flight at once, the bound is %d; %d of %d are done", most, total, done.Load(), n)
	}
	t.Logf("the nodes had %d and %d", share[0], share[1])
	claimed := 0
	for range n {
		create(t, b, w)
	}
	for range 2 * n {
		for _, s := range []*postgres.Store{a, b} {
			c, err := s.Claim(t.Context(), riposte.ClaimRequest{Limit: 1})
			if err != nil {
				t.Fatal(err)
			}
			claimed += len(c.Attempts)
		}
	}
	if claimed != total {
		t.Errorf("%d were claimed by both, the bound is %d", claimed, total)
	}
}

// TestNextIsNotNowForWhatAnotherNodeHasLocked would have a node claim in circles.
func TestNextIsNotNowForWhatAnotherNodeHasLocked(t *testing.T) {
	t.Parallel()
	where := postgrestest.URL(t)
	a := openNode(t, where)
	i := create(t, a, newWebhook(t, a))
	lock, err := postgrestest.Connect(t, where).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Rollback(context.Background())
	if _, err := lock.Exec(t.Context(), `SELECT 1 FROM open WHERE id = $1 FOR UPDATE`, i.ID); err != nil {
		t.Fatal(err)
	}
	asked := a.Now()
	c, err := a.Claim(t.Context(), riposte.ClaimRequest{Limit: 10})
	if err != nil || len(c.Attempts) != 0 || c.Next.Before(asked.Add(50*time.Millisecond)) || c.Next.After(a.Now().Add(time.Second)) {
		t.Errorf("claimed %+v at %s, %v", c, a.Now(), err)
	}
	if err := lock.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if c, err := a.Claim(t.Context(), riposte.ClaimRequest{Limit: 10}); err != nil || len(c.Attempts) != 1 {
		t.Errorf("afterwards claimed %+v, %v", c, err)
	}
}
