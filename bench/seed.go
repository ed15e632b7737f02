package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
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

// kind is what a store is seeded with.
type kind struct {
	name     string
	webhooks []string // their display names
	// before are so many that come before the first one and are not copied: each gets
	// the numbers from -before on.
	before int
	each   func(n int) question
	// counted are the statistics that a server would have kept, where last has an
	// instance of each webhook; nil for none.
	counted func(webhooks []riposte.Webhook, last []string, now time.Time) []riposte.StatisticsRow
}

// question is an instance in the making.
type question struct {
	webhook int // which of the kind's
	source  riposte.Source
	labels  map[string]string
	life
}

// life is what is to be made of a new instance.
type life struct {
	// stored is what CreateInstances gets.
	stored func(riposte.Instance, time.Time) (riposte.Instance, error)
	// saved is what SaveInstance gets afterwards; nil when that is all.
	saved func(riposte.Instance, time.Time) (riposte.Instance, *riposte.Attempt, error)
}

var (
	pending = uniform("pending", life{stored: func(i riposte.Instance, _ time.Time) (riposte.Instance, error) { return i, nil }})
	waiting = uniform("waiting", awaiting)
	closed  = uniform("closed", closing(200, func(riposte.SourceKind) string { return approval }))
)

// uniform is a kind of instances of one webhook that are alike.
func uniform(name string, l life) kind {
	return kind{name: name, webhooks: []string{"seeded"}, each: func(int) question {
		return question{source: riposte.Source{Kind: riposte.SourceApprovalStep, TicketID: ticket}, life: l}
	}}
}

var awaiting = life{stored: func(i riposte.Instance, now time.Time) (riposte.Instance, error) {
	i, err := i.Apply(riposte.Claimed{}, now)
	if err != nil {
		return i, err
	}
	return i.Apply(riposte.Attempted{Result: riposte.Result{Attempt: attempt(i, http.StatusAccepted, "")}}, now)
}}

// closing is stored as claimed, so that closing it writes what it writes in life: the
// change, the attempt and the outcome.
func closing(status int, answer func(riposte.SourceKind) string) life {
	return life{
		stored: func(i riposte.Instance, now time.Time) (riposte.Instance, error) {
			return i.Apply(riposte.Claimed{}, now)
		},
		saved: func(i riposte.Instance, now time.Time) (riposte.Instance, *riposte.Attempt, error) {
			a := attempt(i, status, answer(i.Source.Kind))
			i, err := i.Advance(riposte.Attempted{Result: riposte.Result{Attempt: a, Document: a.ResponseBody}}, now)
			return i, &a, err
		}}
}

func attempt(i riposte.Instance, status int, body string) riposte.Attempt {
	return riposte.Attempt{Number: i.Attempts, StartedAt: i.LastAttemptedAt, Duration: time.Millisecond, StatusCode: status,
		ResponseBody: []byte(body), RemoteAddress: "127.0.0.1:80"}
}

// seed puts n instances of a kind, whose receivers have the URL to, into a store that
// no server has open. It takes the store's own way in, so that its data are those of
// a life.
func seed(ctx context.Context, m medium, store, to string, n int, k kind) error {
	if err := seedAt(ctx, m, store, to, n, k, nil, func(int) time.Time { return riposte.Time(time.Now()) }); err != nil {
		return err
	}
	return m.settle(ctx, store)
}

// seeding is one in the making.
type seeding struct {
	store    riposte.Store
	kind     kind
	webhooks []riposte.Webhook
	made     func(n int) time.Time // when the n-th is created

	mu   sync.Mutex
	last []string // the id of an instance of each webhook
}

// seedAt is seed at times of its own, by another clock than the store's where now
// isn't nil.
func seedAt(ctx context.Context, m medium, store, to string, n int, k kind, now func() time.Time, made func(n int) time.Time) (err error) {
	s, err := m.open(ctx, store, now)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	g := seeding{store: s, kind: k, made: made}
	if err := g.makeWebhooks(ctx, to); err != nil {
		return err
	}
	p := progress{what: "seeding " + k.name + " instances", of: k.before + n}
	batches := make(chan int)
	var failed firstError
	var writers sync.WaitGroup
	for range seedWriters {
		writers.Go(func() {
			for first := range batches {
				size := min(seedBatch, n-first)
				if !failed.is() {
					failed.set(g.create(ctx, first, size))
				}
				p.add(size)
			}
		})
	}
	for first := -k.before; first < n; first += seedBatch {
		batches <- first
	}
	close(batches)
	writers.Wait()
	if err := failed.get(); err != nil || k.counted == nil {
		return err
	}
	return s.SaveStatistics(ctx, k.counted(g.webhooks, g.last, riposte.Time(time.Now())))
}

// makeWebhooks makes them in the order of their names, a millisecond apart, before
// the first instance.
func (g *seeding) makeWebhooks(ctx context.Context, to string) error {
	begin := g.made(-g.kind.before).Add(-time.Duration(len(g.kind.webhooks)) * time.Millisecond)
	for n, name := range g.kind.webhooks {
		w, err := riposte.NewWebhook(name, "", to, riposte.MaxCallbackTimeout, hostOf, begin.Add(time.Duration(n)*time.Millisecond))
		if err != nil {
			return err
		}
		if w, err = g.store.SaveWebhook(ctx, w); err != nil {
			return err
		}
		g.webhooks = append(g.webhooks, w)
	}
	g.last = make([]string, len(g.webhooks))
	return nil
}

// create makes size instances from the first-th on.
func (g *seeding) create(ctx context.Context, first, size int) error {
	questions := make([]question, size)
	records := make([]riposte.NewInstanceRecord, size)
	payload := payload()
	for n := range records {
		q, now := g.kind.each(first+n), g.made(first+n)
		r := riposte.InstanceRequest{Source: q.source, Labels: q.labels}
		if q.source.Kind != riposte.SourceTest { // which has none
			r.Payload = payload
		}
		i, e, err := riposte.NewInstance(g.webhooks[q.webhook], r,
			func(id string) string { return "http://127.0.0.1/api/v1/webhooks/callback/" + strings.Repeat(id, 3) }, now)
		if err != nil {
			return err
		}
		if i, err = q.stored(i, now); err != nil {
			return err
		}
		questions[n], records[n] = q, riposte.NewInstanceRecord{Instance: i, Envelope: e}
	}
	created, err := g.store.CreateInstances(ctx, records)
	if err != nil {
		return err
	}
	g.mu.Lock()
	for n, i := range created {
		g.last[questions[n].webhook] = i.ID
	}
	g.mu.Unlock()
	// All at once, so that they share commits.
	var failed firstError
	var saving sync.WaitGroup
	for n, i := range created {
		if questions[n].saved == nil {
			continue
		}
		saving.Go(func() {
			i, a, err := questions[n].saved(i, i.CreatedAt.Add(time.Millisecond))
			if err == nil {
				_, err = g.store.SaveInstance(ctx, i, a)
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
