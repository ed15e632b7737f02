package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// The receivers' paths. Each answers in its own way.
const (
	answers   = "/answers"    // 200 at once
	callsBack = "/calls-back" // 202, and a callback at once
	callsSoon = "/calls-soon" // 202, and a callback after soon
	hangs     = "/hangs"      // nothing until the run is over
)

// soon is long enough for a caller to have come to wait.
const soon = 100 * time.Millisecond

// What the receivers answer, and how the API says what came of it.
const (
	approval       = `{"version":"v1","approve":{"comment":"granted"}}`
	approvedMember = `"OUTCOME_KIND_APPROVED"`
)

const callbackWorkers = 64

// receiver notes what reaches it. It runs in the load generator's process, so
// that one clock measures both ends.
type receiver struct {
	url    string
	server *http.Server
	client *http.Client
	over   chan struct{}

	releaseOnce sync.Once

	callbacks    chan callback
	distinct     atomic.Int64 // instances that arrived
	repeated     atomic.Int64 // arrivals beyond an instance's first
	first        atomic.Int64 // when the first one arrived, in nanoseconds since 1970
	hanging      atomic.Int64
	shards       [64]shard
	callbackErrs atomic.Int64
	refused      chan error // the first callback that came to nothing
}

type callback struct{ id, url string }

// shard holds some instances' times: locks must not be the wall.
type shard struct {
	mu       sync.Mutex
	arrived  map[string]time.Time
	answered map[string]time.Time // when the callback was sent
}

func newReceiver(address string) (*receiver, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	r := &receiver{url: "http://" + l.Addr().String(), client: newClient(), over: make(chan struct{}), callbacks: make(chan callback, 1<<20),
		refused: make(chan error, 1)}
	for n := range r.shards {
		r.shards[n].arrived, r.shards[n].answered = map[string]time.Time{}, map[string]time.Time{}
	}
	for range callbackWorkers {
		go r.callBack()
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+answers, func(w http.ResponseWriter, q *http.Request) {
		r.note(q)
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, approval)
	})
	mux.HandleFunc("POST "+callsBack, func(w http.ResponseWriter, q *http.Request) {
		r.note(q)
		w.WriteHeader(http.StatusAccepted)
		r.callbacks <- callback{q.Header.Get("Webhook-Id"), q.Header.Get("Webhook-Callback-Url")}
	})
	mux.HandleFunc("POST "+callsSoon, func(w http.ResponseWriter, q *http.Request) {
		r.note(q)
		c := callback{q.Header.Get("Webhook-Id"), q.Header.Get("Webhook-Callback-Url")}
		time.AfterFunc(soon, func() { r.send(c) })
		w.WriteHeader(http.StatusAccepted)
	})
	mux.HandleFunc("POST "+hangs, func(_ http.ResponseWriter, q *http.Request) {
		io.Copy(io.Discard, q.Body)
		r.hanging.Add(1)
		defer r.hanging.Add(-1)
		select {
		case <-r.over:
		case <-q.Context().Done():
		}
	})
	r.server = &http.Server{Handler: mux}
	go r.server.Serve(l)
	return r, nil
}

// release lets go of what hangs.
func (r *receiver) release() { r.releaseOnce.Do(func() { close(r.over) }) }

func (r *receiver) close() {
	r.release()
	r.server.Shutdown(context.Background())
	close(r.callbacks)
	r.client.CloseIdleConnections()
}

func (r *receiver) shard(id string) *shard {
	h := uint32(2166136261)
	for n := range len(id) {
		h = (h ^ uint32(id[n])) * 16777619
	}
	return &r.shards[h%uint32(len(r.shards))]
}

func (r *receiver) note(q *http.Request) {
	io.Copy(io.Discard, q.Body)
	id, now := q.Header.Get("Webhook-Id"), time.Now()
	s := r.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, again := s.arrived[id]; again {
		r.repeated.Add(1)
		return
	}
	s.arrived[id] = now
	r.first.CompareAndSwap(0, now.UnixNano())
	r.distinct.Add(1)
}

// arrivedAt is when an instance came here first.
func (r *receiver) arrivedAt(id string) (time.Time, bool) {
	s := r.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	t, ok := s.arrived[id]
	return t, ok
}

// answeredAt is when an instance's callback was sent.
func (r *receiver) answeredAt(id string) (time.Time, bool) {
	s := r.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	t, ok := s.answered[id]
	return t, ok
}

func (r *receiver) callBack() {
	for c := range r.callbacks {
		r.send(c)
	}
}

func (r *receiver) send(c callback) {
	s := r.shard(c.id)
	s.mu.Lock()
	s.answered[c.id] = time.Now()
	s.mu.Unlock()
	err := r.post(c)
	for tries := 0; errors.Is(err, errUnavailable) && tries < 10; tries++ { // as any receiver has to
		time.Sleep(time.Second)
		err = r.post(c)
	}
	if err != nil {
		r.callbackErrs.Add(1)
		select {
		case r.refused <- fmt.Errorf("the callback of %s: %w", c.id, err):
		default:
		}
	}
}

var errUnavailable = errors.New("503 Service Unavailable")

func (r *receiver) post(c callback) error {
	resp, err := r.client.Post(c.url, "application/json", strings.NewReader(approval))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return err
	case resp.StatusCode == http.StatusServiceUnavailable:
		return errUnavailable
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("%s: %s", resp.Status, body)
	}
	return nil
}
