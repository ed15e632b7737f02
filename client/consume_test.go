package client_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/riposte-dev/riposte/client"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
	"github.com/riposte-dev/riposte/gen/riposte/v1/ripostev1connect"
	"github.com/riposte-dev/riposte/ripostetest"
)

// worker is a Consume that goes on until the test ends it.
type worker struct {
	got   chan string // each ticket that do was called with
	leave context.CancelFunc
	err   func(testing.TB) error
}

type do = func(ctx context.Context, o client.Outcome) error

func consume(t testing.TB, c *client.Client, name string, do do, options ...client.ConsumeOption) *worker {
	t.Helper()
	ctx, leave := context.WithCancel(patient(t))
	t.Cleanup(leave)
	w := &worker{got: make(chan string, 1000), leave: leave}
	w.err = later(func() (error, error) {
		return c.Consume(ctx, name, func(ctx context.Context, o client.Outcome) error {
			w.got <- o.Source.TicketID
			return do(ctx, o)
		}, options...), nil
	})
	return w
}

func takes(context.Context, client.Outcome) error { return nil }

func (w *worker) want(t testing.TB, tickets ...string) {
	t.Helper()
	ctx := patient(t)
	for n, want := range tickets {
		select {
		case got := <-w.got:
			if got != want {
				t.Fatalf("number %d is %s, want %s", n, got, want)
			}
		case <-ctx.Done():
			t.Fatalf("waited for %s in vain", want)
		}
	}
}

// stop ends the worker as a program ends.
func (w *worker) stop(t testing.TB) {
	t.Helper()
	w.leave()
	if err := w.err(t); !errors.Is(err, context.Canceled) {
		t.Fatalf("ended with %v", err)
	}
}

func consumers(t testing.TB, base string) ripostev1connect.ConsumersServiceClient {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return ripostev1connect.NewConsumersServiceClient(&http.Client{Transport: authorized{transport}}, base)
}

// authorized adds the API key.
type authorized struct{ *http.Transport }

func (a authorized) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+ripostetest.APIKey)
	return a.Transport.RoundTrip(r)
}

func TestConsumeInOrder(t *testing.T) {
	receiver := approving(t)
	s := ripostetest.Start(t)
	hook := newWebhook(t, s.Webhooks, receiver.URL+"/")
	c := connectTo(t, s.BaseURL())
	want := asked(t, c, hook, "old", 25)
	w := consume(t, c, "orders", takes, client.WithAfter("0"))
	w.want(t, want...)
	w.want(t, asked(t, c, hook, "new", 5)...)
	w.stop(t)

	// What was done was acked at the end, so that nothing comes again.
	res, err := consumers(t, s.BaseURL()).Get(patient(t), &ripostev1.ConsumersServiceGetRequest{Name: "orders"})
	if got := res.GetConsumer(); err != nil || got.GetLag() != 0 || got.GetLeases() != 0 {
		t.Errorf("%v, %v", got, err)
	}
	w = consume(t, c, "orders", takes, client.WithAfter("0"))
	w.want(t, asked(t, c, hook, "newer", 1)...)
}

// TestConsumeBeginsNow where nobody says otherwise.
func TestConsumeBeginsNow(t *testing.T) {
	receiver := approving(t)
	s := ripostetest.Start(t)
	hook := newWebhook(t, s.Webhooks, receiver.URL+"/")
	c := connectTo(t, s.BaseURL())
	asked(t, c, hook, "old", 2)
	w := consume(t, c, "orders", takes)
	all := consumers(t, s.BaseURL())
	for ctx := patient(t); ; {
		if _, err := all.Get(ctx, &ripostev1.ConsumersServiceGetRequest{Name: "orders"}); err == nil {
			break
		} else if ctx.Err() != nil {
			t.Fatal(err)
		}
	}
	w.want(t, asked(t, c, hook, "new", 2)...)
}

// TestConsumeGivesAgain what the function could not take, and nothing that follows
// before that.
func TestConsumeGivesAgain(t *testing.T) {
	receiver := approving(t)
	s := ripostetest.Start(t)
	hook := newWebhook(t, s.Webhooks, receiver.URL+"/")
	c := connectTo(t, s.BaseURL())
	asked(t, c, hook, "a", 3)
	failures := 3
	w := consume(t, c, "orders", func(_ context.Context, o client.Outcome) error {
		if o.Source.TicketID == "a-1" && failures > 0 {
			failures--
			return errors.New("the database is away")
		}
		return nil
	}, client.WithAfter("0"))
	w.want(t, "a-0", "a-1", "a-1", "a-1", "a-1", "a-2")
	w.stop(t)
}

// TestConsumeAcksOnlyWhatWasDone when the caller leaves in the middle.
func TestConsumeAcksOnlyWhatWasDone(t *testing.T) {
	receiver := approving(t)
	s := ripostetest.Start(t)
	hook := newWebhook(t, s.Webhooks, receiver.URL+"/")
	c := connectTo(t, s.BaseURL())
	asked(t, c, hook, "a", 5)
	lease := client.WithLease(2 * time.Second)
	first := consume(t, c, "orders", func(ctx context.Context, o client.Outcome) error {
		if o.Source.TicketID != "a-2" {
			return nil
		}
		<-ctx.Done()
		return ctx.Err()
	}, client.WithAfter("0"), lease)
	first.want(t, "a-0", "a-1", "a-2")
	first.stop(t)
	second := consume(t, c, "orders", takes, lease)
	second.want(t, "a-2", "a-3", "a-4")
	second.stop(t)
}

// TestConsumeEndsTheFunctionWithTheLease and gives what is left over when the lease
// has run out, in the old order.
func TestConsumeEndsTheFunctionWithTheLease(t *testing.T) {
	receiver := approving(t)
	s := ripostetest.Start(t)
	hook := newWebhook(t, s.Webhooks, receiver.URL+"/")
	c := connectTo(t, s.BaseURL())
	asked(t, c, hook, "a", 3)
	var hung atomic.Bool
	w := consume(t, c, "orders", func(ctx context.Context, o client.Outcome) error {
		if o.Source.TicketID == "a-1" && hung.CompareAndSwap(false, true) {
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	}, client.WithAfter("0"), client.WithLease(time.Second))
	w.want(t, "a-0", "a-1", "a-1", "a-2")
	w.stop(t)
	w = consume(t, c, "orders", takes)
	w.want(t, asked(t, c, hook, "b", 1)...)
}

// TestConsumeIsShared: workers of one name get each outcome once between them.
func TestConsumeIsShared(t *testing.T) {
	receiver := approving(t)
	s := ripostetest.Start(t)
	hook := newWebhook(t, s.Webhooks, receiver.URL+"/")
	c := connectTo(t, s.BaseURL())
	want := asked(t, c, hook, "a", 40)
	var mu sync.Mutex
	got, who := map[string]int{}, map[int]int{}
	all := make(chan struct{})
	var workers []*worker
	for n := range 3 {
		workers = append(workers, consume(t, c, "orders", func(ctx context.Context, o client.Outcome) error {
			mu.Lock()
			defer mu.Unlock()
			who[n]++
			if got[o.Source.TicketID]++; len(got) == len(want) {
				close(all)
			}
			return nil
		}, client.WithAfter("0")))
	}
	select {
	case <-all:
	case <-time.After(patience):
		t.Fatal("not all came")
	}
	for _, w := range workers {
		w.stop(t)
	}
	if slices.Max(slices.Collect(maps.Values(got))) > 1 {
		t.Errorf("each worker's: %v; each ticket's: %v", who, got)
	}
}

// TestConsumeOutlivesAServerThatIsKilled between two outcomes of one pull, and gives
// each at least once, in order but for what is given again.
func TestConsumeOutlivesAServerThatIsKilled(t *testing.T) {
	receiver := approving(t)
	p := startProcess(t)
	hook := newWebhook(t, p.Webhooks, receiver.URL+"/")
	c := connectTo(t, p.url())
	want := asked(t, c, hook, "a", 6)
	killed := make(chan struct{})
	w := consume(t, c, "orders", func(_ context.Context, o client.Outcome) error {
		if o.Source.TicketID == "a-2" {
			<-killed
		}
		return nil
	}, client.WithAfter("0"))
	w.want(t, want[:3]...)
	p.kill()
	close(killed)
	w.want(t, want[3:]...) // the lease has them; the ack waits for the server
	p.start()
	w.want(t, asked(t, c, hook, "b", 3)...)
	p.kill() // while it pulls
	p.start()
	w.want(t, asked(t, c, hook, "c", 1)...)
	w.stop(t)
	w = consume(t, c, "orders", takes)
	w.want(t, asked(t, c, hook, "d", 1)...)
}

// TestConsumePullsAnewWhenTheLeaseIsLost to a worker who took over.
func TestConsumePullsAnewWhenTheLeaseIsLost(t *testing.T) {
	receiver := approving(t)
	s := ripostetest.Start(t)
	hook := newWebhook(t, s.Webhooks, receiver.URL+"/")
	c := connectTo(t, s.BaseURL())
	asked(t, c, hook, "a", 2)
	taken := make(chan struct{})
	deaf := consume(t, c, "orders", func(_ context.Context, o client.Outcome) error {
		if o.Source.TicketID == "a-0" {
			<-taken // whatever its context says
		}
		return nil
	}, client.WithAfter("0"), client.WithLease(time.Second))
	deaf.want(t, "a-0")
	held := make(chan struct{})
	other := consume(t, c, "orders", func(context.Context, client.Outcome) error {
		<-held
		return nil
	})
	other.want(t, "a-0") // since the lease ran out
	close(taken)
	close(held)
	other.want(t, "a-1")
	other.stop(t)
	deaf.want(t, asked(t, c, hook, "b", 1)...)
}

func TestConsumeEndsWithWhatIsIncurable(t *testing.T) {
	receiver := approving(t)
	s := ripostetest.Start(t)
	hook := newWebhook(t, s.Webhooks, receiver.URL+"/")
	c := connectTo(t, s.BaseURL())
	w := consume(t, c, "orders", takes, client.WithAfter("0"))
	w.want(t, asked(t, c, hook, "a", 1)...)
	for _, tt := range []struct {
		name   string
		reason string
		with   client.ConsumeOption
	}{
		{"orders", "CONSUMER_EXISTS", client.WithFilter(client.Filter{WebhookID: hook})},
		{"Orders", "INVALID_ARGUMENT", client.WithAfter("0")},
		{"others", "CURSOR_UNKNOWN", client.WithAfter("99")},
		{"orders", "INVALID_ARGUMENT", client.WithLease(time.Millisecond)},
	} {
		err := c.Consume(patient(t), tt.name, takes, tt.with)
		if e, ok := errors.AsType[*client.Error](err); !ok || e.Reason != tt.reason {
			t.Errorf("%s, %s: %v", tt.name, tt.reason, err)
		}
	}
	if _, err := consumers(t, s.BaseURL()).Delete(patient(t), &ripostev1.ConsumersServiceDeleteRequest{Name: "orders"}); err != nil {
		t.Fatal(err)
	}
	if e, ok := errors.AsType[*client.Error](w.err(t)); !ok || e.Reason != "CONSUMER_NOT_FOUND" {
		t.Errorf("deleted: %v", fmt.Sprint(e))
	}
}
