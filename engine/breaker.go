package engine

import (
	"slices"
	"time"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/outbound"
)

// The numbers of docs/adr/0004-breaker.md.
const (
	breakerFailures  = 20 // in a row, before a breaker opens
	breakerInstances = 10 // that these come from, at least
	breakerMinPause  = time.Second
	breakerMaxPause  = 30 * time.Second
	// breakerMemory is how long failures count when no more of them come: with
	// so little to do there is nothing to hold. A ramp that has work for each
	// of its rounds is over by then, even if each takes AttemptTimeout.
	breakerMemory = 10 * time.Minute
)

// breakers holds back the webhooks whose receivers can't be reached. A webhook
// is in at most one of its maps, and in none while its receiver answers.
//
//	         20 failures in a row                until
//	row ──────────────────────────▶ pausing ──────────────▶ probing
//	 │  of 10 instances               ▲  ▲   failure, late     │
//	 │                        failure │  └─────────────────────┤ failure:
//	 │ answer                         │                        │ twice the pause
//	 ▼                                │        answer          │
//	nothing ◀────────────────────── ramp ◀─────────────────────┘
//	          the webhook's own bound
//
// It is pure: the time is passed in, and so is chance. The times should have a
// monotonic reading, because a clock that is set back must hold nobody.
type breakers struct {
	rows  map[string]*row     // by webhook
	held  map[string]*breaker // by webhook
	swept time.Time           // when rows were last gone through
}

func newBreakers() breakers {
	return breakers{rows: map[string]*row{}, held: map[string]*breaker{}}
}

// row is of failures with no answer between them.
type row struct {
	url       string   // the webhook's, to which they went
	failures  int      //
	instances []string // that they came from, breakerInstances at most
	last      time.Time
}

// breaker is one that is open, half open, or in its ramp.
type breaker struct {
	url   string
	pause time.Duration // the last one, before chance
	// from is when the present state began, or will begin: the probing, after
	// a pause, or the ramp. What was claimed before it was not sent to see
	// whether the receiver is back, so its failure is no news.
	from  time.Time
	bound int // of the ramp; 0 before
}

// tale is what an attempt tells of its receiver.
type tale int

const (
	tellsNothing tale = iota
	tellsFailure      // a timeout, or no connection that held until a status
	tellsAnswer
)

// tells goes by the status alone where there is one. What the engine's own side
// refused or broke off says nothing of the receiver; a response that can't be
// understood says that it is there.
func tells(a *riposte.Attempt) tale {
	switch {
	case a.StatusCode != 0:
		return tellsAnswer
	case a.Error == nil:
		return tellsNothing
	}
	switch a.Error.Reason {
	case outbound.ReasonMalformed, outbound.ReasonTooLargeHeaders:
		return tellsAnswer
	case outbound.ReasonTimeout, outbound.ReasonNotFound, outbound.ReasonRefused, outbound.ReasonUnreachable, outbound.ReasonReset,
		outbound.ReasonCertificate, outbound.ReasonCertificateExpired, outbound.ReasonUnknownAuthority,
		outbound.ReasonClientCertificateRequired, outbound.ReasonClientCertificateRefused, outbound.ReasonHandshake, outbound.ReasonCutOff, outbound.ReasonFailed:
		return tellsFailure
	}
	return tellsNothing // BLOCKED_ADDRESS, BAD_URL, CANCELED, SECRET_UNREADABLE
}

// ended takes notice of an attempt that was claimed as of claimed. It returns
// the number of failures in a row if these opened a breaker, and whether one
// closed. jitter is drawn from [0, 1).
func (bs *breakers) ended(c riposte.ClaimedInstance, a *riposte.Attempt, claimed, now time.Time, jitter float64) (opened int, closed bool) {
	id, url := c.Webhook.ID, c.Webhook.URL
	b := bs.held[id]
	switch tells(a) {
	case tellsAnswer:
		delete(bs.rows, id)
		if b != nil && b.answered(c.Webhook.Settings.MaxInFlight, now) {
			delete(bs.held, id)
			return 0, true
		}
	case tellsFailure:
		switch {
		case !c.Instance.OwesPush() && c.Instance.Destination != url:
			// A retry that goes where the webhook went before.
		case b == nil:
			return bs.count(c, now, jitter), false
		case b.url == url && !claimed.Before(b.from):
			b.pause = min(2*b.pause, breakerMaxPause)
			b.open(now, jitter)
		}
	}
	return 0, false
}

// count adds a failure to its webhook's row and opens a breaker when it is one
// too many.
func (bs *breakers) count(c riposte.ClaimedInstance, now time.Time, jitter float64) (opened int) {
	id, url := c.Webhook.ID, c.Webhook.URL
	r := bs.rows[id]
	if r == nil || r.url != url || r.forgotten(now) {
		r = &row{url: url}
		bs.rows[id] = r
	}
	r.failures++
	r.last = now
	if len(r.instances) < breakerInstances && !slices.Contains(r.instances, c.Instance.ID) {
		r.instances = append(r.instances, c.Instance.ID)
	}
	if r.failures < breakerFailures || len(r.instances) < breakerInstances {
		return 0
	}
	delete(bs.rows, id)
	b := &breaker{url: url, pause: breakerMinPause}
	b.open(now, jitter)
	bs.held[id] = b
	return r.failures
}

func (r *row) forgotten(now time.Time) bool { return now.Sub(r.last) >= breakerMemory }

// open begins a pause. It is between half as long as it may be and that long,
// so that several nodes don't probe at once.
func (b *breaker) open(now time.Time, jitter float64) {
	b.bound = 0
	b.from = now.Add(b.pause/2 + time.Duration(jitter*float64(b.pause/2)))
}

// answered begins the ramp, or goes on in it, and says whether it is over.
// Each answer makes room for one more, so the bound doubles with each round.
func (b *breaker) answered(maxInFlight int, now time.Time) (over bool) {
	if b.bound == 0 {
		b.bound, b.from = 1, now
	}
	b.bound++
	return b.bound >= maxInFlight
}

// begun takes notice of a claim and says whether that closed a breaker: it was
// about a URL that the webhook has no longer.
func (bs *breakers) begun(w riposte.Webhook) (closed bool) {
	b := bs.held[w.ID]
	if b == nil || b.url == w.URL {
		return false
	}
	delete(bs.held, w.ID)
	return true
}

// bounds returns what may be in flight on each webhook that is held back, when
// the first pause ends (zero when there is none), and the webhooks whose
// breakers close because nothing failed for long.
func (bs *breakers) bounds(now time.Time) (bounds map[string]int, probe time.Time, forgotten []string) {
	bs.sweep(now)
	if len(bs.held) == 0 {
		return nil, time.Time{}, nil
	}
	bounds = make(map[string]int, len(bs.held))
	for id, b := range bs.held {
		switch {
		case now.Sub(b.from) >= breakerMemory:
			delete(bs.held, id)
			forgotten = append(forgotten, id)
		case now.Before(b.from):
			bounds[id] = 0
			if probe.IsZero() || b.from.Before(probe) {
				probe = b.from
			}
		default:
			bounds[id] = max(1, b.bound)
		}
	}
	return bounds, probe, forgotten
}

// sweep forgets old rows now and then, so that memory is for webhooks that fail
// now.
func (bs *breakers) sweep(now time.Time) {
	if now.Sub(bs.swept) < breakerMemory {
		return
	}
	bs.swept = now
	for id, r := range bs.rows {
		if r.forgotten(now) {
			delete(bs.rows, id)
		}
	}
}

// holds reports whether a webhook has a breaker, in whatever state.
func (bs *breakers) holds(webhookID string) bool { return bs.held[webhookID] != nil }

// open is how many breakers are open or half open.
func (bs *breakers) open() int {
	n := 0
	for _, b := range bs.held {
		if b.bound == 0 {
			n++
		}
	}
	return n
}

// webhooks are those whose breakers are open or half open, without lanes of pushes.
func (bs *breakers) webhooks() []string {
	var ids []string
	for id, b := range bs.held {
		if _, push := riposte.PushLane(id); b.bound == 0 && !push {
			ids = append(ids, id)
		}
	}
	return ids
}
