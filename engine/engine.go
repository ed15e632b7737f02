// Package engine moves instances along: it claims what is due, delivers it,
// applies what came of it and saves that. One loop does it all, because one
// column says when somebody must look (docs/ARCHITECTURE.md); there is no
// scheduler, rescuer or heartbeat beside it.
package engine

import (
	"context"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/riposte-dev/riposte"
)

// Sender makes one attempt or one push; outbound.Client is one.
type Sender interface {
	// Send returns within riposte.AttemptTimeout, whatever the other side does.
	Send(ctx context.Context, c riposte.ClaimedInstance) riposte.Result
}

// Options is what the engine needs; all but MaxInFlight is required.
type Options struct {
	Store       riposte.Store
	Sender      Sender
	Fast        riposte.FastDelay // the fast phase's delays
	Keep        time.Duration     // how long closed instances stay after they expired
	MaxInFlight int               // attempts in flight at once, in all; DefaultMaxInFlight when zero
	Logger      *slog.Logger
}

// DefaultMaxInFlight bounds the attempts in flight, and with them the memory
// that deliveries take: some 32 receivers that hang at their own bound leave
// room for the others.
const DefaultMaxInFlight = 2048

const (
	// idlePoll is the longest time without a look at the store. Nothing hangs
	// on it: what becomes due announces itself or is known from the last look.
	idlePoll = 30 * time.Second
	// claimStep bounds the attempts that one claim begins, so that a backlog
	// does not hold up who waits for the same commit.
	claimStep = 200
	// pushShare is which part of the places pushes may have: a half. There may be any
	// number of hosts that take outcomes, and questions must not wait for those
	// that hang.
	pushShare = 2
	// storeRetry is the pause after the store could not take something.
	storeRetry = time.Second
)

// Engine delivers what a store holds.
type Engine struct {
	Options
	wake chan struct{}

	mu       sync.Mutex
	inFlight map[string]int // attempts by webhook or lane of pushes, and places reserved for some
	total    int
	pushes   int       // of total
	claiming bool      // a claim is under way, so nobody else may have a place
	held     bool      // the last claim left something that waits for a place
	freed    int       // places that became free, ever
	next     time.Time // when the loop looks again by itself
	breakers breakers

	attempts sync.WaitGroup
}

// New returns an engine that Run starts.
func New(o Options) *Engine {
	if o.MaxInFlight == 0 {
		o.MaxInFlight = DefaultMaxInFlight
	}
	return &Engine{Options: o, wake: make(chan struct{}, 1), inFlight: map[string]int{}, breakers: newBreakers()}
}

// Run works until ctx ends. Then it claims nothing more, lets the attempts in
// flight end and be saved, and returns: nothing is attempted twice because of a
// clean stop.
func (e *Engine) Run(ctx context.Context) {
	defer e.Store.Subscribe(e.changed)()
	stopTaking := e.Store.TakeNew(taker{e})
	var purging sync.WaitGroup
	purging.Go(func() { e.purge(ctx) })
	for ctx.Err() == nil {
		next, err := e.claim()
		if err != nil {
			e.Logger.Error("claiming what is due", "error", err)
			// Whatever happens meanwhile is found by the claim that follows.
			pause(ctx, nil, storeRetry)
			continue
		}
		pause(ctx, e.wake, next)
	}
	stopTaking()
	purging.Wait()
	if n := e.InFlight(); n > 0 {
		e.Logger.Info("stopping: waiting for the attempts in flight", "attempts", n, "at_most", riposte.AttemptTimeout)
	}
	e.attempts.Wait()
}

// InFlight is how many attempts are in flight.
func (e *Engine) InFlight() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.total
}

// InFlightByWebhook is how many attempts are in flight on each webhook, or lane of
// pushes, that has any.
func (e *Engine) InFlightByWebhook() map[string]int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return maps.Clone(e.inFlight)
}

// BreakersOpen is how many webhooks are held because their receivers can't be
// reached: open breakers and half open ones.
func (e *Engine) BreakersOpen() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.breakers.open()
}

// Held returns the ids of the webhooks that are held because their receivers can't be
// reached, in no order. Another node may hold others.
func (e *Engine) Held() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.breakers.webhooks()
}

// changed is subscribed to the store: it wakes the loop for what is due before
// the loop would look by itself, and when the loop is late, because the store's
// clock has gone faster than its timer; also when it may not have been told.
func (e *Engine) changed(i riposte.Instance) {
	if i.ID == "" {
		e.wakeUp()
		return
	}
	now := e.Store.Now()
	e.mu.Lock()
	early := !i.DueAt.IsZero() && i.DueAt.Before(e.next)
	late := now.After(e.next)
	e.mu.Unlock()
	if early || late {
		e.wakeUp()
	}
}

func (e *Engine) wakeUp() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// claim takes what is due and there is room for, starts the attempts, and says
// how long there is nothing to do unless something changes. A stop does not cut
// it short: what it took would be leased to nobody.
func (e *Engine) claim() (time.Duration, error) {
	// Until the claim has said when to look next, any change is news.
	e.setNext(e.Store.Now().Add(idlePoll))
	// The breakers go by this process's own clock, which nobody can set.
	asOf := time.Now()
	request, probe, freed := e.room(asOf)
	c, err := e.Store.Claim(context.Background(), request)
	if e.claimed(c, asOf) != freed && c.Held {
		e.wakeUp() // for a place that became free meanwhile
	}
	if err != nil {
		return 0, err
	}
	now, wait := e.Store.Now(), idlePoll
	switch {
	case len(c.Attempts) == claimStep:
		wait = 0 // there may be more
	case !c.Next.IsZero():
		wait = min(wait, max(0, c.Next.Sub(now)))
	}
	if !probe.IsZero() {
		wait = min(wait, max(0, time.Until(probe)))
	}
	e.setNext(now.Add(wait))
	return wait, nil
}

// room is what may be claimed as of now, and when a breaker's pause ends next
// (zero when none does). It stands until claimed: no place is given to a new
// instance meanwhile.
func (e *Engine) room(now time.Time) (r riposte.ClaimRequest, probe time.Time, freed int) {
	e.mu.Lock()
	e.claiming = true
	freed = e.freed
	bounds, probe, forgotten := e.breakers.bounds(now)
	limit := min(claimStep, e.MaxInFlight-e.total)
	r = riposte.ClaimRequest{Limit: limit, Deliveries: max(0, limit-max(0, e.MaxInFlight/pushShare-e.pushes)),
		InFlight: maps.Clone(e.inFlight), Bounds: bounds}
	e.mu.Unlock()
	for _, id := range forgotten {
		e.Logger.Info("breaker closed: nothing failed for a while", "webhook", id)
	}
	return r, probe, freed
}

// claimed starts what a claim took.
func (e *Engine) claimed(c riposte.Claim, asOf time.Time) (freed int) {
	e.mu.Lock()
	for _, each := range c.Attempts {
		e.place(each.Webhook)
	}
	e.claiming, e.held, freed = false, c.Held, e.freed
	e.mu.Unlock()
	for _, each := range c.Attempts {
		e.start(each, asOf)
	}
	return freed
}

// place takes one, which done frees. mu must be held.
func (e *Engine) place(w riposte.Webhook) {
	e.total++
	e.inFlight[w.ID]++
	if _, push := riposte.PushLane(w.ID); push {
		e.pushes++
	}
}

func (e *Engine) setNext(t time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.next = t
}

// start makes an attempt that was claimed as of asOf, in a place of its own.
func (e *Engine) start(c riposte.ClaimedInstance, asOf time.Time) {
	e.mu.Lock()
	closed := e.breakers.begun(c.Webhook)
	e.mu.Unlock()
	if closed {
		e.Logger.Info("breaker closed: the webhook has another url", "webhook", c.Webhook.ID)
		e.wakeUp() // for what it held
	}
	e.attempts.Go(func() {
		defer e.done(c.Webhook)
		e.attempt(c, asOf)
	})
}

// done frees the attempt's place, which somebody due may be waiting for.
func (e *Engine) done(w riposte.Webhook) {
	e.mu.Lock()
	e.total--
	e.freed++
	if e.inFlight[w.ID]--; e.inFlight[w.ID] == 0 {
		delete(e.inFlight, w.ID)
	}
	if _, push := riposte.PushLane(w.ID); push {
		e.pushes--
	}
	wanted := e.held
	e.mu.Unlock()
	if wanted {
		e.wakeUp()
	}
}

// taker is the engine as a riposte.Taker.
type taker struct{ *Engine }

// Reserve has no place while a claim under way may need it, and none for a
// webhook whose breaker bounds it: that is the claims' affair.
func (t taker) Reserve(w riposte.Webhook) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.claiming || t.total >= t.MaxInFlight || t.inFlight[w.ID] >= w.Settings.MaxInFlight || t.breakers.holds(w.ID) {
		return false
	}
	t.place(w)
	return true
}

// Take starts the attempt of a place that was reserved.
func (t taker) Take(c riposte.ClaimedInstance) { t.start(c, time.Now()) }

// Release frees a place that is not needed.
func (t taker) Release(w riposte.Webhook) { t.done(w) }

// pause returns after d, or before that when wake says so or ctx ends. A nil
// wake says nothing.
func pause(ctx context.Context, wake <-chan struct{}, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-wake:
	case <-timer.C:
	case <-ctx.Done():
	}
}
