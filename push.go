package riposte

import (
	"cmp"
	"errors"
	"net"
	"net/url"
	"strings"
	"time"
)

// PushPeriod is for how long an outcome is pushed to somebody who doesn't take
// it: as long as a receiver has for its answer by default. Then it is given up
// until somebody asks for another try.
const PushPeriod = DefaultCallbackTimeout

// PushEvent is the event type of a pushed outcome.
const PushEvent = "riposte.v1.PayloadOutcome"

// Push is how an outcome is on its way to whoever must take it. The outcome stands
// all the while: nothing that happens to the push changes it. Stores keep it as JSON.
type Push struct {
	URL             string        `json:"url"`                      // the OutcomeURL, unless a retry named another
	Attempts        int           `json:"attempts,omitzero"`        // begun
	Tries           int           `json:"tries,omitzero"`           // of these, since Since
	LastAttemptedAt time.Time     `json:"lastAttemptedAt,omitzero"` // zero before the first
	StatusCode      int           `json:"statusCode,omitzero"`      // of the last one that ended; 0 when no status line came
	Error           *AttemptError `json:"error,omitzero"`           // of the last one that ended; nil when its response was read whole
	Since           time.Time     `json:"since"`                    // the start of PushPeriod: the decision, or a retry that was asked for
	GivenUpAt       time.Time     `json:"givenUpAt,omitzero"`       // zero unless nobody looks after it any more
}

// OutcomeID names the outcome of an instance, the same on each push: whoever
// takes pushes acts on it once. It is no instance's id, so that a receiver that
// gets deliveries and outcomes tells them apart.
func (i Instance) OutcomeID() string { return "outcome_" + i.ID }

// CheckOutcomeURL checks where outcomes are to be pushed, by the rules of a
// webhook's URL; "" is nowhere. Its error has violations of the field
// "outcomeUrl".
func CheckOutcomeURL(url string, check DestinationCheck) error {
	if url == "" {
		return nil
	}
	var v violations
	_, err := check(url)
	if e, ok := errors.AsType[*Error](err); ok && len(e.Violations) > 0 {
		for _, each := range e.Violations {
			v.addf("outcomeUrl", "%s", each.Description)
		}
	} else if err != nil {
		v.addf("outcomeUrl", "%s", err)
	}
	return v.err()
}

// OwesPush reports whether somebody has yet to take the outcome.
func (i Instance) OwesPush() bool { return i.State == StateProcessResponse && i.Push != nil }

// givenUp reports whether the outcome is pushed no more.
func (i Instance) givenUp() bool { return i.OwesPush() && !i.Push.GivenUpAt.IsZero() }

// pushed decides by what the one that takes outcomes answered.
func (i *Instance) pushed(e Pushed, now time.Time) {
	a, p := e.Result.Attempt, *i.Push
	p.StatusCode, p.Error = a.StatusCode, a.Error
	delay, _ := RetryFastThenSlow.Delay(p.Tries, e.Fast, e.Result.RetryAfter, e.Jitter)
	due := Time(now.Add(delay))
	switch {
	case a.StatusCode >= 200 && a.StatusCode <= 299:
		i.Push = &p
		i.close(now)
		return
	case a.StatusCode == 410, due.After(p.Since.Add(PushPeriod)):
		p.GivenUpAt, due = now, time.Time{}
	}
	i.keepPushing(p, due)
}

// beginPush is for a push that was claimed. One that was in flight all the same
// has not said what came of it.
func (i *Instance) beginPush(now time.Time) {
	p := *i.Push
	if !i.LeasedUntil.IsZero() {
		p.StatusCode = 0
		p.Error = &AttemptError{Phase: PhaseUnknown, Reason: "LEASE_RAN_OUT", Message: "the server stopped before it could record what came of this attempt"}
	}
	p.Attempts++
	p.Tries++
	p.LastAttemptedAt = now
	i.keepPushing(p, now.Add(LeaseDuration))
	i.LeasedUntil = i.DueAt
}

// retryPush starts the push anew, and elsewhere if a URL is given.
func (i *Instance) retryPush(url string, now time.Time) {
	p := *i.Push
	if url != "" {
		p.URL = url
	}
	p.Tries, p.Since, p.GivenUpAt = 0, now, time.Time{}
	i.keepPushing(p, now)
}

// keepPushing stays in PROCESS_RESPONSE: what is due then has no expiry.
func (i *Instance) keepPushing(p Push, due time.Time) {
	i.Push = &p
	i.LeasedUntil = time.Time{}
	i.DueAt = due
	i.enter(StateProcessResponse)
}

// pushLanePrefix begins the name of a lane that is no webhook's: no id has a
// colon.
const pushLanePrefix = "push:"

// defaultPorts are those that a URL may leave out.
var defaultPorts = map[string]string{"http": "80", "https": "443"}

// Lane names what the instance's next request shares its bound, its turn and its
// breaker with: the requests on its webhook or, from the moment that its outcome
// is to be pushed, the pushes to the same host and port. So one who doesn't take
// outcomes holds up no question, and a receiver that hangs no outcome.
func (i Instance) Lane() string {
	if i.Push == nil {
		return i.WebhookID
	}
	u, err := url.Parse(i.Push.URL)
	if err != nil {
		return pushLanePrefix
	}
	host := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	return pushLanePrefix + net.JoinHostPort(host, cmp.Or(u.Port(), defaultPorts[strings.ToLower(u.Scheme)]))
}

// PushLane returns what a lane of pushes has in the place of a webhook, and false
// for the lane of a webhook.
func PushLane(lane string) (Webhook, bool) {
	if !strings.HasPrefix(lane, pushLanePrefix) {
		return Webhook{}, false
	}
	return Webhook{ID: lane, Settings: WebhookSettings{RetryPolicy: RetryFastThenSlow, MaxInFlight: DefaultMaxInFlight}}, true
}
