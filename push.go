package riposte

import (
	"errors"
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

// Push is how an outcome is on its way to whoever must take it; zero before the
// outcome, and where there is no OutcomeURL. The outcome stands all the while:
// nothing that happens to the push changes it. Stores keep it as JSON.
type Push struct {
	URL             string        `json:"url,omitzero"`             // the OutcomeURL, unless a retry named another
	Attempts        int           `json:"attempts,omitzero"`        // begun
	LastAttemptedAt time.Time     `json:"lastAttemptedAt,omitzero"` // zero before the first
	StatusCode      int           `json:"statusCode,omitzero"`      // of the last one that ended; 0 when no status line came
	Error           *AttemptError `json:"error,omitzero"`           // of the last one that ended; nil when its response was read whole
	Since           time.Time     `json:"since,omitzero"`           // the start of PushPeriod: the decision, or a retry that was asked for
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
func (i Instance) OwesPush() bool { return i.State == StateProcessResponse && i.Push.URL != "" }

// pushed decides by what the one that takes outcomes answered.
func (i *Instance) pushed(e Pushed, now time.Time) {
	a := e.Result.Attempt
	i.Push.StatusCode, i.Push.Error = a.StatusCode, a.Error
	delay, again := RetryFastThenSlow.Delay(i.Push.Attempts, e.Fast, e.Result.RetryAfter, e.Jitter)
	due := Time(now.Add(delay))
	switch {
	case a.StatusCode >= 200 && a.StatusCode <= 299:
		i.close(now)
	case a.StatusCode == 410, !again, due.After(i.Push.Since.Add(PushPeriod)):
		i.Push.GivenUpAt = now
		i.keepPushing(time.Time{})
	default:
		i.keepPushing(due)
	}
}

// beginPush is for a push that was claimed. One that was in flight all the same
// has not said what came of it.
func (i *Instance) beginPush(now time.Time) {
	if !i.LeasedUntil.IsZero() {
		i.Push.StatusCode = 0
		i.Push.Error = &AttemptError{Phase: PhaseUnknown, Reason: "LEASE_RAN_OUT", Message: "the server stopped before it could record what came of this attempt"}
	}
	i.Push.Attempts++
	i.Push.LastAttemptedAt = now
	due := now.Add(LeaseDuration)
	i.keepPushing(due)
	i.LeasedUntil = due
}

// keepPushing stays in PROCESS_RESPONSE: what is due then has no expiry.
func (i *Instance) keepPushing(due time.Time) {
	i.LeasedUntil = time.Time{}
	i.DueAt = due
	i.enter(StateProcessResponse)
}

// pushLanePrefix begins the name of a lane that is no webhook's: no id has a
// colon.
const pushLanePrefix = "push:"

// Lane names what the instance's next request shares its bound, its turn and its
// breaker with: the requests on its webhook or, from the moment that its outcome
// is to be pushed, the pushes to the same host. So one who doesn't take outcomes
// holds up no question, and a receiver that hangs no outcome.
func (i Instance) Lane() string {
	if i.Push.URL == "" {
		return i.WebhookID
	}
	u, err := url.Parse(i.Push.URL)
	if err != nil {
		return pushLanePrefix
	}
	return pushLanePrefix + strings.ToLower(u.Host)
}

// PushLane returns what a lane of pushes has in the place of a webhook, and false
// for the lane of a webhook.
func PushLane(lane string) (Webhook, bool) {
	if !strings.HasPrefix(lane, pushLanePrefix) {
		return Webhook{}, false
	}
	return Webhook{ID: lane, Settings: WebhookSettings{RetryPolicy: RetryFastThenSlow, MaxInFlight: DefaultMaxInFlight}}, true
}
