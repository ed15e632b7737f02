package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/riposte-dev/riposte/client"
	"github.com/riposte-dev/riposte/ripostetest"
	"github.com/riposte-dev/riposte/server"
)

// asked asks n questions and returns their tickets in the order of their outcomes.
func asked(t testing.TB, c *client.Client, hook, name string, n int) (tickets []string) {
	t.Helper()
	for k := range n {
		ticket := fmt.Sprintf("%s-%d", name, k)
		if _, err := c.Ask(patient(t), hook, client.ApprovalStep(ticket), nil); err != nil {
			t.Fatal(err)
		}
		tickets = append(tickets, ticket)
	}
	return tickets
}

// watching collects what a watch gives.
type watching struct {
	got chan client.Outcome
	err func(testing.TB) error // once it has ended
}

func watch(ctx context.Context, c *client.Client, after string, f client.Filter) *watching {
	w := &watching{got: make(chan client.Outcome, 1000)}
	w.err = later(func() (error, error) {
		for o, err := range c.Watch(ctx, after, f) {
			if err != nil {
				return err, nil
			}
			w.got <- o
		}
		return nil, nil
	})
	return w
}

// next waits for n outcomes and returns their tickets.
func (w *watching) next(t testing.TB, n int) (tickets []string, last client.Outcome) {
	t.Helper()
	for ctx := patient(t); len(tickets) < n; {
		select {
		case last = <-w.got:
			tickets = append(tickets, last.Source.TicketID)
		case <-ctx.Done():
			t.Fatalf("after %q came nothing", tickets)
		}
	}
	return tickets, last
}

func (w *watching) want(t testing.TB, tickets ...string) client.Outcome {
	t.Helper()
	got, last := w.next(t, len(tickets))
	if !slices.Equal(got, tickets) {
		t.Fatalf("got %q, want %q", got, tickets)
	}
	return last
}

func TestWatchGoesOnFromACursor(t *testing.T) {
	receiver := approving(t)
	s := ripostetest.Start(t)
	hook := newWebhook(t, s.Webhooks, receiver.URL+"/")
	c := connectTo(t, s.BaseURL())
	old := asked(t, c, hook, "old", 3)
	ctx, leave := context.WithCancel(patient(t))
	defer leave()
	w := watch(ctx, c, "0", client.Filter{})
	w.want(t, old...)
	o := w.want(t, asked(t, c, hook, "new", 2)...)
	if o.Cursor == "" || o.Kind != client.Approved || string(o.Document) != approval || o.Comment != "fine" {
		t.Errorf("got %+v", o)
	}
	leave()
	if err := w.err(t); !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
	between := asked(t, c, hook, "between", 2)
	n := 0
	for o, err := range c.Watch(patient(t), o.Cursor, client.Filter{}) {
		if err != nil || o.Source.TicketID != between[n] {
			t.Fatalf("goes on with %+v, %v", o, err)
		}
		if n++; n == len(between) {
			break // without an error
		}
	}
}

func TestWatchFilters(t *testing.T) {
	receiver := approving(t)
	s := ripostetest.Start(t)
	hook, other := newWebhook(t, s.Webhooks, receiver.URL+"/"), newWebhook(t, s.Webhooks, receiver.URL+"/")
	c := connectTo(t, s.BaseURL())
	odd := map[string]string{`a "b" \c`: `x "y" \z 'w' AND =`, "it's": "", "plain": "é\n"}
	for _, q := range []struct {
		hook   string
		source client.Source
		labels map[string]string
	}{
		{hook, client.ApprovalStep("1"), nil}, {other, client.ApprovalStep(`2 " \`), nil}, {hook, client.PolicyPostAction("3"), nil},
		{hook, client.ApprovalStep("4"), odd}, {hook, client.ApprovalStep("5"), map[string]string{"plain": "e"}},
	} {
		if _, err := c.Ask(patient(t), q.hook, q.source, nil, client.WithLabels(q.labels)); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		filter client.Filter
		want   []string
	}{
		{client.Filter{}, []string{"1", `2 " \`, "3", "4", "5"}},
		{client.Filter{WebhookID: other}, []string{`2 " \`}},
		{client.Filter{Source: client.SourcePolicyPostAction}, []string{"3"}},
		{client.Filter{TicketID: `2 " \`}, []string{`2 " \`}},
		{client.Filter{Labels: odd}, []string{"4"}},
		{client.Filter{WebhookID: hook, Source: client.SourceApprovalStep, Labels: map[string]string{"plain": "e"}}, []string{"5"}},
	} {
		ctx, leave := context.WithCancel(patient(t))
		w := watch(ctx, c, "0", tt.filter)
		w.want(t, tt.want...)
		leave()
		_ = w.err(t)
		if len(w.got) > 0 {
			t.Errorf("%s: there is more", tt.filter)
		}
	}
}

// TestWatchOutlivesAServerThatIsKilled twice, and misses nothing and repeats nothing.
func TestWatchOutlivesAServerThatIsKilled(t *testing.T) {
	receiver := approving(t)
	p := startProcess(t)
	hook := newWebhook(t, p.Webhooks, receiver.URL+"/")
	seen, transport := newWitness(t)
	c, watcher := connectTo(t, p.url()), connectTo(t, p.url(), transport)
	ctx, leave := context.WithCancel(patient(t))
	defer leave()
	w := watch(ctx, watcher, "0", client.Filter{})
	for _, name := range []string{"a", "b", "c"} {
		w.want(t, asked(t, c, hook, name, 3)...)
		p.kill()
		seen.failure(t, "Watch") // it has tried again in vain
		p.start()
	}
	leave()
	_ = w.err(t)
	if len(w.got) > 0 {
		t.Errorf("%+v comes again", <-w.got)
	}
}

// TestWatchOutlivesAServerThatIsStopped, which says so.
func TestWatchOutlivesAServerThatIsStopped(t *testing.T) {
	receiver := approving(t)
	s := ripostetest.Start(t)
	hook := newWebhook(t, s.Webhooks, receiver.URL+"/")
	c := connectTo(t, s.BaseURL())
	ctx, leave := context.WithCancel(patient(t))
	defer leave()
	w := watch(ctx, c, "0", client.Filter{})
	w.want(t, asked(t, c, hook, "a", 2)...)
	restarted(t, s)
	w.want(t, asked(t, c, hook, "b", 2)...)
}

// restarted is another server on the data directory and the port of s.
func restarted(t testing.TB, s *ripostetest.Server, changes ...func(*server.Config)) *ripostetest.Server {
	t.Helper()
	s.Stop()
	config := s.Config
	config.Listen = s.Addr().String()
	return ripostetest.Start(t, append([]func(*server.Config){func(c *server.Config) { *c = config }}, changes...)...)
}

// TestWatchReopensAStream that broke off within an outcome, and one on which nothing
// is heard any more.
func TestWatchReopensAStream(t *testing.T) {
	receiver := approving(t)
	s := ripostetest.Start(t)
	hook := newWebhook(t, s.Webhooks, receiver.URL+"/")
	want := asked(t, connectTo(t, s.BaseURL()), hook, "a", 3)
	front := faulty(t, s.BaseURL(), func(n int, w http.ResponseWriter, r *http.Request, pass http.HandlerFunc) {
		switch n {
		case 1:
			pass(&cutOff{ResponseWriter: w, left: 500, end: func() { panic(http.ErrAbortHandler) }}, r)
		case 2:
			pass(&cutOff{ResponseWriter: w, left: 500, end: func() { <-r.Context().Done() }}, r)
		case 3:
			_, _ = io.Copy(io.Discard, r.Body) // or else the server doesn't see that the caller leaves
			<-r.Context().Done()               // not even a header
		default:
			pass(w, r)
		}
	})
	ctx, leave := context.WithCancel(patient(t))
	defer leave()
	w := watch(ctx, connectTo(t, front).WithSilence(time.Second), "0", client.Filter{})
	w.want(t, want...)
}

// cutOff passes on so many bytes and then ends in its way.
type cutOff struct {
	http.ResponseWriter
	left int
	end  func()
}

func (c *cutOff) Write(b []byte) (int, error) {
	n, err := c.ResponseWriter.Write(b[:min(len(b), c.left)])
	if c.left -= n; c.left == 0 {
		_ = http.NewResponseController(c.ResponseWriter).Flush()
		c.end()
	}
	return n, err
}

func (c *cutOff) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// TestWatchLetsTheLoopTakeItsTime: what takes longer than a silence may is not the
// server's silence.
func TestWatchLetsTheLoopTakeItsTime(t *testing.T) {
	receiver := approving(t)
	s := ripostetest.Start(t)
	hook := newWebhook(t, s.Webhooks, receiver.URL+"/")
	want := asked(t, connectTo(t, s.BaseURL()), hook, "a", 3)
	streams := 0
	front := faulty(t, s.BaseURL(), func(n int, w http.ResponseWriter, r *http.Request, pass http.HandlerFunc) {
		streams = n
		pass(w, r)
	})
	const silence = 300 * time.Millisecond
	var got []string
	for o, err := range connectTo(t, front).WithSilence(silence).Watch(patient(t), "0", client.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		<-time.After(2 * silence) // the loop's work
		if got = append(got, o.Source.TicketID); len(got) == len(want) {
			break
		}
	}
	if !slices.Equal(got, want) || streams != 1 {
		t.Errorf("got %q over %d streams", got, streams)
	}
}

func TestWatchEndsWithWhatIsIncurable(t *testing.T) {
	receiver := approving(t)
	var clock ripostetest.Clock
	s := ripostetest.Start(t, func(c *server.Config) { c.Now = clock.Now })
	hook := newWebhook(t, s.Webhooks, receiver.URL+"/")
	c := connectTo(t, s.BaseURL())
	reason := func(after string, f client.Filter, c *client.Client) string {
		err := watch(patient(t), c, after, f).err(t)
		if e, ok := errors.AsType[*client.Error](err); ok {
			return e.Reason
		}
		return fmt.Sprint(err)
	}
	asked(t, c, hook, "a", 2)
	if got := reason("nonsense", client.Filter{}, c); got != "INVALID_ARGUMENT" {
		t.Errorf("a cursor that is none: %s", got)
	}
	if got := reason("99", client.Filter{}, c); got != "CURSOR_UNKNOWN" {
		t.Errorf("a cursor to come: %s", got)
	}
	if got := reason("0", client.Filter{Source: "nonsense"}, c); got != "INVALID_ARGUMENT" {
		t.Errorf("a filter that is none: %s", got)
	}
	if got := reason("0", client.Filter{}, connectTo(t, s.BaseURL(), client.WithAPIKey("another-api-key-0123"))); got != "BAD_CREDENTIALS" {
		t.Errorf("a wrong key: %s", got)
	}
}
