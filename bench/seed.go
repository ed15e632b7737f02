package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/riposte-dev/riposte"
)

const (
	seedBatch   = 500
	seedWriters = 2 // one prepares a batch while the other's is being committed
)

// kind is what is to be made of a new instance.
type kind struct {
	name string
	// stored is what CreateInstances gets.
	stored func(riposte.Instance, time.Time) (riposte.Instance, error)
	// saved is what SaveInstance gets afterwards; nil when that is all.
	saved func(riposte.Instance, time.Time) (riposte.Instance, *riposte.Attempt, error)
}

var (
	pending = kind{name: "pending", stored: func(i riposte.Instance, _ time.Time) (riposte.Instance, error) { return i, nil }}

	waiting = kind{name: "waiting", stored: func(i riposte.Instance, now time.Time) (riposte.Instance, error) {
		i, err := i.Apply(riposte.Claimed{}, now)
		if err != nil {
			return i, err
		}
		return i.Apply(riposte.Attempted{Result: riposte.Result{Attempt: attempt(i, 202, "")}}, now)
	}}

	// Stored as claimed, so that closing it writes what it writes in life: the
	// change, the attempt and the outcome.
	closed = kind{name: "closed",
		stored: func(i riposte.Instance, now time.Time) (riposte.Instance, error) {
			return i.Apply(riposte.Claimed{}, now)
		},
		saved: func(i riposte.Instance, now time.Time) (riposte.Instance, *riposte.Attempt, error) {
			a := attempt(i, 200, approval)
			i, err := i.Advance(riposte.Attempted{Result: riposte.Result{Attempt: a, Document: a.ResponseBody}}, now)
			return i, &a, err
		}}
)

func attempt(i riposte.Instance, status int, body string) riposte.Attempt {
	return riposte.Attempt{Number: i.Attempts, StartedAt: i.LastAttemptedAt, Duration: time.Millisecond, StatusCode: status,
		ResponseBody: []byte(body), RemoteAddress: "127.0.0.1:80"}
}

// seed puts n instances of one webhook, whose receiver has the URL to, into a
// store that no server has open. It takes the store's own way in, so that its
// data are those of a life.
func seed(ctx context.Context, m medium, store, to string, n int, k kind) error {
	if err := seedAt(ctx, m, store, to, n, k, nil); err != nil {
		return err
	}
	return m.settle(ctx, store)
}

// seedAt is seed by another clock than the store's own.
func seedAt(ctx context.Context, m medium, store, to string, n int, k kind, now func() time.Time) (err error) {
	s, err := m.open(ctx, store, now)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	w, err := riposte.NewWebhook("seeded", "", to, riposte.MaxCallbackTimeout, hostOf, s.Now())
	if err != nil {
		return err
	}
	if w, err = s.SaveWebhook(ctx, w); err != nil {
		return err
	}
	p := progress{what: "seeding " + k.name + " instances", of: n}
	batches := make(chan int)
	var failed firstError
	var writers sync.WaitGroup
	for range seedWriters {
		writers.Go(func() {
			for size := range batches {
				if !failed.is() {
					failed.set(seedOnce(ctx, s, w, size, k))
				}
				p.add(size)
			}
		})
	}
	for left := n; left > 0; left -= seedBatch {
		batches <- min(left, seedBatch)
	}
	close(batches)
	writers.Wait()
	return failed.get()
}

func seedOnce(ctx context.Context, s riposte.Store, w riposte.Webhook, size int, k kind) error {
	records := make([]riposte.NewInstanceRecord, size)
	payload := payload()
	for n := range records {
		now := s.Now()
		i, e, err := riposte.NewInstance(w, riposte.InstanceRequest{
			Source:  riposte.Source{Kind: riposte.SourceApprovalStep, TicketID: ticket},
			Payload: payload,
		}, func(id string) string { return "http://127.0.0.1/api/v1/webhooks/callback/" + strings.Repeat(id, 3) }, now)
		if err != nil {
			return err
		}
		if i, err = k.stored(i, now); err != nil {
			return err
		}
		records[n] = riposte.NewInstanceRecord{Instance: i, Envelope: e}
	}
	created, err := s.CreateInstances(ctx, records)
	if err != nil || k.saved == nil {
		return err
	}
	// All at once, so that they share commits.
	var failed firstError
	var saving sync.WaitGroup
	for _, i := range created {
		saving.Go(func() {
			i, a, err := k.saved(i, s.Now())
			if err == nil {
				_, err = s.SaveInstance(ctx, i, a)
			}
			failed.set(err)
		})
	}
	saving.Wait()
	return failed.get()
}

func hostOf(raw string) (string, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return "", err
	}
	return u.Hostname(), nil
}

// progress tells whoever waits how far something long has come.
type progress struct {
	what string
	of   int

	mu   sync.Mutex
	done int
	said time.Time
}

func (p *progress) add(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done += n
	if time.Since(p.said) > 10*time.Second || p.done == p.of {
		p.said = time.Now()
		fmt.Fprintf(os.Stderr, "  %s: %d of %d\n", p.what, p.done, p.of)
	}
}
