package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// payloadSize is the callers' payloads', in bytes.
const payloadSize = 1 << 10

func newClient() *http.Client {
	return &http.Client{Transport: &http.Transport{MaxIdleConns: 1024, MaxIdleConnsPerHost: 1024, DisableCompression: true}}
}

// caller creates instances of one webhook.
type caller struct {
	cluster *cluster
	path    string
	body    []byte
}

func newCaller(c *cluster, webhook string) *caller {
	return &caller{cluster: c, path: "/api/v1/webhooks/" + webhook + "/instances",
		body: fmt.Appendf(nil, `{"source":{"approvalStep":{"ticketId":%q}},"payload":%s}`, ticket, payload())}
}

const ticket = "T-1"

func payload() []byte {
	return fmt.Appendf(nil, `{"text":%q}`, bytes.Repeat([]byte("x"), payloadSize-len(`{"text":""}`)))
}

// create returns the new instance's id once a node has accepted it.
func (c *caller) create() (string, error) { return c.createAt(c.cluster.turn()) }

func (c *caller) createAt(n *node) (string, error) {
	b, err := n.post(context.Background(), c.path, c.body)
	if err != nil {
		return "", err
	}
	return firstID(b)
}

var idMember = []byte(`"id":`)

// firstID reads the first id in a response, as a generator that takes little
// of the machine does.
func firstID(b []byte) (string, error) {
	at := bytes.Index(b, idMember)
	if at < 0 {
		return "", fmt.Errorf("no id in %s", b)
	}
	_, rest, _ := bytes.Cut(b[at+len(idMember):], []byte(`"`))
	id, _, _ := bytes.Cut(rest, []byte(`"`))
	return string(id), nil
}

// closedLoop has n callers create one instance after the other while more says
// so, and returns how many were accepted.
func closedLoop(c *caller, n int, more func(created int64) bool) (int64, error) {
	var begun, created atomic.Int64
	var failed firstError
	var callers sync.WaitGroup
	for range n {
		callers.Go(func() {
			for more(begun.Add(1)-1) && !failed.is() {
				if _, err := c.create(); err != nil {
					failed.set(err)
					return
				}
				created.Add(1)
			}
		})
	}
	callers.Wait()
	return created.Load(), failed.get()
}

// lasting goes on for d from now.
func lasting(d time.Duration) func(int64) bool {
	end := time.Now().Add(d)
	return func(int64) bool { return time.Now().Before(end) }
}

// upTo goes on until there are n.
func upTo(n int) func(int64) bool { return func(begun int64) bool { return begun < int64(n) } }

// planned is an instance and when it should have been created.
type planned struct {
	id string
	at time.Time
}

// openLoop does what do does at a fixed rate, whatever becomes of those before:
// a latency counts from the time at which its instance was planned.
func openLoop(perSecond float64, d time.Duration, do func() (id string, err error)) ([]planned, error) {
	all := make([]planned, int(perSecond*d.Seconds()))
	var failed firstError
	start := time.Now()
	var doing sync.WaitGroup
	for n := range all {
		p := &all[n]
		p.at = start.Add(time.Duration(float64(n) / perSecond * float64(time.Second)))
		time.Sleep(time.Until(p.at))
		if failed.is() {
			break
		}
		doing.Go(func() {
			id, err := do()
			failed.set(err)
			p.id = id
		})
	}
	doing.Wait()
	return all, failed.get()
}

// arrivals are the latencies from plan to arrival of instances that have arrived.
func arrivals(all []planned, r *receiver) (*hdrhistogram.Histogram, error) {
	h := newHistogram()
	for _, p := range all {
		at, ok := r.arrivedAt(p.id)
		if !ok {
			return nil, fmt.Errorf("instance %s has not arrived", p.id)
		}
		if err := h.RecordValue(at.Sub(p.at).Microseconds()); err != nil {
			return nil, err
		}
	}
	return h, nil
}

// awaitArrived returns when so many instances have come to the receivers.
func (r *receiver) awaitArrived(ctx context.Context, want int64) error {
	err := until(ctx, func() bool { return r.distinct.Load() >= want })
	if err != nil {
		return fmt.Errorf("%d instances of %d have arrived: %w", r.distinct.Load(), want, err)
	}
	return nil
}

// until returns when done is true, which patience has a limit for.
func until(ctx context.Context, done func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for !done() {
		if err := pause(ctx, time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// times notes when each of some instances came to something.
type times struct {
	mu sync.Mutex
	m  map[string]time.Time
}

func (t *times) note(id string, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.m == nil {
		t.m = map[string]time.Time{}
	}
	t.m[id] = at
}

func (t *times) of(id string) time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.m[id]
}

// newHistogram takes microseconds up to ten minutes.
func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, (10 * time.Minute).Microseconds(), 3)
}

// milliseconds is a histogram's quantile, in percent.
func milliseconds(h *hdrhistogram.Histogram, q float64) float64 {
	return float64(h.ValueAtQuantile(q)) / 1000
}

// firstError keeps the first error of several goroutines.
type firstError struct{ err atomic.Pointer[error] }

func (f *firstError) set(err error) {
	if err != nil {
		f.err.CompareAndSwap(nil, &err)
	}
}

func (f *firstError) is() bool { return f.err.Load() != nil }

func (f *firstError) get() error {
	if err := f.err.Load(); err != nil {
		return *err
	}
	return nil
}
