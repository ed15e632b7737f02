package feed_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/feed"
)

func (f *fixture) consumer(name string, filter riposte.OutcomeFilter, after int64) riposte.Consumer {
	f.Helper()
	c, err := riposte.NewConsumer(name, filter, after, f.store.Now())
	if err == nil {
		c, err = f.feed.CreateConsumer(f.Context(), c)
	}
	if err != nil {
		f.Fatal(err)
	}
	return c
}

// pull waits for outcomes as long as tests do.
func pull(ctx context.Context, f *feed.Feed, name string, limit int, lease time.Duration) (feed.Pulled, error) {
	waiting, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return f.Pull(ctx, waiting, name, "", limit, lease)
}

func (f *fixture) pull(name string, limit int, lease time.Duration) feed.Pulled {
	f.Helper()
	p, err := pull(f.Context(), f.feed, name, limit, lease)
	if err != nil {
		f.Fatal(err)
	}
	return p
}

func (f *fixture) ack(name, lease string, through int64) {
	f.Helper()
	if err := f.feed.Ack(f.Context(), name, "", lease, through); err != nil {
		f.Fatal(err)
	}
}

func sequences(p feed.Pulled) []int64 {
	var all []int64
	for _, i := range p.Instances {
		all = append(all, i.Outcome.Sequence)
	}
	return all
}

// TestWorkersShareAConsumer at two nodes: each outcome goes to one of them.
func TestWorkersShareAConsumer(t *testing.T) {
	const outcomes = 1000
	f := start(t)
	f.consumer("shared", riposte.OutcomeFilter{}, 0)
	other := feed.New(f.store, slog.New(slog.DiscardHandler))
	defer other.Close()
	var (
		mu  sync.Mutex
		all sync.WaitGroup
	)
	seen := map[int64]int{}
	ctx, done := context.WithTimeout(t.Context(), patience)
	defer done()
	work := func(n *feed.Feed) {
		for {
			p, err := n.Pull(ctx, ctx, "shared", "", 7, riposte.MaxLease)
			if err != nil || len(p.Instances) == 0 {
				if ctx.Err() == nil {
					t.Errorf("pull: %d outcomes, %v", len(p.Instances), err)
				}
				return
			}
			mu.Lock()
			for _, sequence := range sequences(p) {
				seen[sequence]++
			}
			enough := len(seen) == outcomes
			mu.Unlock()
			if err := n.Ack(context.WithoutCancel(ctx), "shared", "", p.Lease.ID, 0); err != nil {
				t.Errorf("ack: %v", err)
			}
			if enough {
				done()
			}
		}
	}
	for _, node := range []*feed.Feed{f.feed, other, f.feed, other} {
		all.Go(func() { work(node) })
	}
	for range outcomes / 100 {
		f.close(100, 0)
	}
	all.Wait()
	for sequence, times := range seen {
		if times != 1 {
			t.Errorf("%d was given %d times", sequence, times)
		}
	}
	c, err := f.store.LoadConsumer(t.Context(), "shared")
	if err != nil || len(seen) != outcomes || c.Acked() != outcomes || len(c.Leases) > 0 {
		t.Errorf("%d of %d were given, and %d acked, with %d leases out: %v", len(seen), outcomes, c.Acked(), len(c.Leases), err)
	}
}

func TestWhatIsNotAckedIsGivenAgain(t *testing.T) {
	f := start(t)
	f.consumer("c", riposte.OutcomeFilter{}, 0)
	f.close(3, 0)
	first := f.pull("c", 3, riposte.MinLease)
	f.ack("c", first.Lease.ID, first.Instances[0].Outcome.Sequence)
	// Nothing tells of a lease that runs out: the pull has to know when.
	again := f.pull("c", 10, riposte.MinLease)
	if got := sequences(again); len(got) != 2 || got[0] != 2 || again.Lease.Tries != 2 {
		t.Errorf("given again: %v, try %d", got, again.Lease.Tries)
	}
	if err := f.feed.Ack(t.Context(), "c", "", first.Lease.ID, 0); !errors.Is(err, riposte.ErrLeaseLost) {
		t.Errorf("an ack that comes too late: %v", err)
	}
	f.ack("c", again.Lease.ID, 0)
	f.ack("c", again.Lease.ID, 0)
}

func TestPullWaits(t *testing.T) {
	f := start(t)
	f.consumer("c", riposte.OutcomeFilter{}, 0)
	impatient, cancel := context.WithCancel(t.Context())
	cancel()
	if p, err := f.feed.Pull(t.Context(), impatient, "c", "", 1, riposte.MinLease); err != nil || len(p.Instances) > 0 || p.Lease.ID != "" {
		t.Errorf("of nothing: %+v, %v", p, err)
	}
	got := make(chan feed.Pulled, 1)
	go func() {
		p, err := pull(t.Context(), f.feed, "c", 1, riposte.MinLease)
		if err != nil {
			t.Error(err)
		}
		got <- p
	}()
	f.close(1, 0)
	if p := <-got; len(p.Instances) != 1 {
		t.Errorf("waited for %v", sequences(p))
	}
}

// TestPullPassesOverWhatTheFilterLeavesOut so that a consumer of few among many
// doesn't go through them at each pull.
func TestPullPassesOverWhatTheFilterLeavesOut(t *testing.T) {
	f := start(t)
	f.consumer("none", riposte.OutcomeFilter{TicketID: "none"}, 0)
	f.close(5200, 0)
	nothing, cancel := context.WithCancel(t.Context())
	cancel()
	if p, err := f.feed.Pull(t.Context(), nothing, "none", "", 1000, riposte.MinLease); err != nil || len(p.Instances) > 0 {
		t.Fatalf("%v, %v", sequences(p), err)
	}
	c, err := f.store.LoadConsumer(t.Context(), "none")
	if err != nil || c.Position < 5000 || c.Acked() != c.Position {
		t.Errorf("position %d, acked %d, %v", c.Position, c.Acked(), err)
	}
}

// TestPullIsBoundedByBytes too.
func TestPullIsBoundedByBytes(t *testing.T) {
	f := start(t)
	f.consumer("c", riposte.OutcomeFilter{}, 0)
	f.close(50, 200<<10)
	var got []int64
	for len(got) < 50 {
		p := f.pull("c", riposte.MaxPull, riposte.MaxLease)
		if size := len(p.Instances) * 200 << 10; size > 8<<20 {
			t.Fatalf("%d bytes at once", size)
		}
		got = append(got, sequences(p)...)
		f.ack("c", p.Lease.ID, 0)
	}
	for n, sequence := range got {
		if sequence != int64(n)+1 {
			t.Fatalf("%d comes where %d should", sequence, n+1)
		}
	}
}

func TestConsumersAreBounded(t *testing.T) {
	f := start(t)
	same := f.consumer("same", riposte.OutcomeFilter{TicketID: "a"}, 0)
	if again := f.consumer("same", riposte.OutcomeFilter{TicketID: "a"}, 0); !again.CreatedAt.Equal(same.CreatedAt) {
		t.Errorf("made a second time: %+v", again)
	}
	other, err := riposte.NewConsumer("same", riposte.OutcomeFilter{TicketID: "b"}, 0, f.store.Now())
	if err == nil {
		_, err = f.feed.CreateConsumer(t.Context(), other)
	}
	if !errors.Is(err, riposte.ErrConsumerExists) {
		t.Errorf("with another filter: %v", err)
	}
	if _, err := pull(t.Context(), f.feed, "none", 1, riposte.MinLease); !errors.Is(err, riposte.ErrConsumerNotFound) {
		t.Errorf("pull of none: %v", err)
	}
	f.consumer("all", riposte.OutcomeFilter{}, 0)
	f.close(riposte.MaxLeases+1, 0)
	for range riposte.MaxLeases {
		f.pull("all", 1, riposte.MaxLease)
	}
	if _, err := pull(t.Context(), f.feed, "all", 1, riposte.MinLease); !errors.Is(err, riposte.ErrManyLeases) {
		t.Errorf("one lease more: %v", err)
	}
}

// TestNamesThatAreNoConsumersLeaveNothing: whoever may pull can make up as many as it likes.
func TestNamesThatAreNoConsumersLeaveNothing(t *testing.T) {
	f := start(t)
	for n := range 10 {
		name := strings.Repeat("x", n)
		if _, err := pull(t.Context(), f.feed, name, 1, time.Minute); !errors.Is(err, riposte.ErrConsumerNotFound) {
			t.Errorf("%q: %v", name, err)
		}
		if err := f.feed.Ack(t.Context(), name, "", "lease", 0); !errors.Is(err, riposte.ErrConsumerNotFound) {
			t.Errorf("%q: %v", name, err)
		}
	}
	f.consumer("there", riposte.OutcomeFilter{}, 0)
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.feed.Pull(t.Context(), over, "there", "", 1, time.Minute); err != nil {
		t.Error(err)
	}
	if n := f.feed.Known(); n != 1 {
		t.Errorf("there is something for %d names, want 1", n)
	}
}
