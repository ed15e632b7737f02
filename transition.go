package riposte

import (
	"fmt"
	"time"
)

// LeaseDuration is how long a claimed instance belongs to its claimer. It
// outlasts AttemptTimeout, so nothing renews it.
const LeaseDuration = 35 * time.Second

// Event is what can happen to an instance. The set is closed.
type Event interface {
	// event names the event as the transition table does.
	event() string
}

// Claimed begins an attempt.
type Claimed struct{}

// Attempted is an attempt's result, decided by PROTOCOL.md section 3.
type Attempted struct {
	Result Result
	Policy RetryPolicy
	Fast   FastDelay
	Jitter float64 // from [0, 1)
}

// LeaseRanOut says that whoever claimed the instance did not report in time.
type LeaseRanOut struct {
	Policy RetryPolicy
}

// Answered is an answer that did not come with an attempt: by callback or by
// an operator.
type Answered struct {
	Via    Via
	Answer Answer
}

// Expired says that expiresAt was reached.
type Expired struct{}

// Canceled is an operator's or a caller's wish to stop: to ask, or to push an outcome
// that was given up.
type Canceled struct{ Message string }

// WebhookDeleted says that the webhook was found deleted when the instance
// was due.
type WebhookDeleted struct{}

// RetryRequested makes an instance in ERROR due at once, or an outcome that
// nobody has taken yet, given up or not.
type RetryRequested struct {
	OutcomeURL string // where the outcome is pushed from now on; "" leaves that as it is
}

// HandedOver says that nothing has to take the outcome.
type HandedOver struct{}

// PushClaimed begins a push of the outcome.
type PushClaimed struct{}

// Pushed is a push's result. Any 2xx takes the outcome.
type Pushed struct {
	Result Result
	Fast   FastDelay
	Jitter float64 // from [0, 1)
}

func (Claimed) event() string        { return "claimed" }
func (Attempted) event() string      { return "attempted" }
func (LeaseRanOut) event() string    { return "lease ran out" }
func (Answered) event() string       { return "answered" }
func (Expired) event() string        { return "expired" }
func (Canceled) event() string       { return "canceled" }
func (WebhookDeleted) event() string { return "webhook deleted" }
func (RetryRequested) event() string { return "retry requested" }
func (HandedOver) event() string     { return "handed over" }
func (PushClaimed) event() string    { return "push claimed" }
func (Pushed) event() string         { return "pushed" }

// whenDue returns the event that a due instance takes at now; see Due.
func (i Instance) whenDue(w Webhook, now time.Time) (Event, error) {
	expired := i.Outcome == nil && !now.Before(i.ExpiresAt)
	switch {
	case i.DueAt.IsZero() || now.Before(i.DueAt) && !expired:
		return nil, fmt.Errorf("instance %s in %s is not due", i.ID, i.State)
	case i.OwesPush():
		return PushClaimed{}, nil
	case i.State == StateProcessResponse:
		return HandedOver{}, nil
	case expired:
		return Expired{}, nil
	case i.State == StateRunning:
		return LeaseRanOut{Policy: w.Settings.RetryPolicy}, nil
	case w.Deleted():
		return WebhookDeleted{}, nil
	default:
		return Claimed{}, nil
	}
}

// Due is what a store's Claim applies to an instance that is due: the next
// state and, where it was RUNNING, the record of the attempt in flight.
func (i Instance) Due(w Webhook, now time.Time) (Instance, *Attempt, error) {
	e, err := i.whenDue(w, now)
	if err != nil {
		return Instance{}, nil, err
	}
	next, err := i.Advance(e, now)
	if err != nil {
		return Instance{}, nil, err
	}
	return next, i.InFlight(next), nil
}

// Apply is the state machine: the only way to a new state. It is pure; i is not
// changed. Its error is an Error that says why the state refuses the event.
func (i Instance) Apply(e Event, now time.Time) (Instance, error) {
	now = Time(now)
	if err := i.refuses(e, now); err != nil {
		return Instance{}, err
	}
	i.UpdatedAt = now
	switch e := e.(type) {
	case Claimed:
		i.Attempts++
		i.LastAttemptedAt = now
		i.LeasedUntil = now.Add(LeaseDuration)
		i.moveTo(StateRunning, i.LeasedUntil)
	case Attempted:
		i.attempted(e, now)
	case LeaseRanOut:
		// The lease has been delay enough: the next attempt is due at once.
		if e.Policy == RetryFast && i.Attempts >= FastAttempts {
			i.exhausted(now)
		} else {
			i.moveTo(StateError, now)
		}
	case Answered:
		i.decide(Outcome{Kind: e.Answer.Kind, Via: e.Via, Document: e.Answer.Document, Comment: e.Answer.Comment}, now)
	case Expired:
		i.fail(FailureExpired, "no answer came before expiresAt", now)
	case Canceled:
		i.cancel(e, now)
	case WebhookDeleted:
		i.fail(FailureWebhookDeleted, "the webhook was deleted before an answer came", now)
	case RetryRequested:
		i.retry(e, now)
	case HandedOver:
		i.close(now)
	case PushClaimed:
		i.beginPush(now)
	case Pushed:
		i.pushed(e, now)
	}
	return i, nil
}

// Advance applies e and, where nothing has to take an outcome but the store
// itself, hands a fresh outcome over in the same step.
func (i Instance) Advance(e Event, now time.Time) (Instance, error) {
	next, err := i.Apply(e, now)
	if err == nil && next.State == StateProcessResponse && !next.OwesPush() {
		return next.Apply(HandedOver{}, now)
	}
	return next, err
}

// refuses holds the state machine's guards.
func (i Instance) refuses(e Event, now time.Time) error {
	if i.State.Closed() || i.State == StateProcessResponse && !i.handsOver(e) {
		if _, ok := e.(Answered); ok {
			return i.closedError()
		}
		return ErrInstanceClosed
	}
	due, expired := !now.Before(i.DueAt), !now.Before(i.ExpiresAt)
	switch e := e.(type) {
	case Claimed, WebhookDeleted:
		if i.State != StatePending && i.State != StateError || !due {
			return i.refused(e)
		}
		if expired {
			return ErrAnswerExpired
		}
	case Attempted:
		if i.State != StateRunning {
			return i.refused(e)
		}
	case LeaseRanOut:
		if i.State != StateRunning || !due {
			return i.refused(e)
		}
		if expired {
			return ErrAnswerExpired
		}
	case Answered:
		if i.Attempts == 0 {
			return ErrNotAttempted
		}
		if expired {
			return ErrAnswerExpired
		}
	case Canceled:
		if expired && i.Outcome == nil {
			return ErrAnswerExpired
		}
	case Expired:
		if !expired {
			return i.refused(e)
		}
	case RetryRequested:
		if i.OwesPush() {
			if !i.LeasedUntil.IsZero() && e.OutcomeURL == "" {
				return ErrPushInFlight
			}
			return nil
		}
		if i.State != StateError {
			return ErrNotRetryable
		}
		if e.OutcomeURL != "" {
			return ErrNoPush
		}
		if expired {
			return ErrAnswerExpired
		}
	case HandedOver:
		if i.State != StateProcessResponse || i.OwesPush() {
			return i.refused(e)
		}
	case PushClaimed:
		if !i.OwesPush() || i.DueAt.IsZero() || !due {
			return i.refused(e)
		}
	case Pushed:
		if !i.OwesPush() || i.LeasedUntil.IsZero() {
			return i.refused(e)
		}
	default:
		// A pointer to an event is an Event too, but none that Apply knows.
		return i.refused(e)
	}
	return nil
}

// handsOver reports whether e is about an outcome that stands. Whoever cancels what
// was given up says that it is handed over.
func (i Instance) handsOver(e Event) bool {
	switch e.(type) {
	case HandedOver, PushClaimed, Pushed, RetryRequested:
		return true
	case Canceled:
		return i.givenUp()
	}
	return false
}

func (i Instance) refused(e Event) error {
	r := *ErrTransitionRefused
	r.Message = fmt.Sprintf("an instance in %s does not take the event %q now", i.State, e.event())
	return &r
}

// closedError says in the callback's terms how the instance was closed
// (PROTOCOL.md section 5).
func (i Instance) closedError() error {
	switch {
	case i.Outcome == nil:
		return ErrInstanceClosed
	case i.Outcome.Failure == nil:
		return ErrAlreadyAnswered
	case i.Outcome.Failure.Reason == FailureExpired:
		return ErrAnswerExpired
	}
	return ErrInstanceClosed
}

// attempted decides by the receiver's response (PROTOCOL.md section 3).
func (i *Instance) attempted(e Attempted, now time.Time) {
	a := e.Result.Attempt
	delivered := a.StatusCode >= 200 && a.StatusCode <= 299
	takesAny := i.Source.Kind == SourceTest || i.Source.Kind == SourcePolicyPostAction
	switch {
	case !now.Before(i.ExpiresAt):
		i.fail(FailureExpired, "no answer came before expiresAt", now)
	case a.StatusCode == 202:
		i.moveTo(StateWaitingCallback, i.ExpiresAt)
	case a.StatusCode == 410:
		i.fail(FailureGone, "the receiver answered 410 Gone", now)
	case delivered && takesAny:
		i.delivered(e.Result, now)
	case delivered && a.Error == nil:
		i.answeredAtOnce(e.Result, now)
	default:
		delay, again := e.Policy.Delay(i.Attempts, e.Fast, e.Result.RetryAfter, e.Jitter)
		if !again {
			i.exhausted(now)
			return
		}
		i.moveTo(StateError, Time(now.Add(delay)))
	}
}

// delivered is for the sources that take any 2xx. The body counts as a
// document only if it is one.
func (i *Instance) delivered(r Result, now time.Time) {
	o := Outcome{Kind: OutcomeDelivered, Via: ViaSync}
	if !r.Cut && r.Attempt.Error == nil {
		if answer, err := ParseAnswer(i.Source.Kind, r.Document); err == nil {
			o.Document = answer.Document
		}
	}
	i.decide(o, now)
}

func (i *Instance) answeredAtOnce(r Result, now time.Time) {
	bad := func(why string) {
		i.decide(Outcome{Kind: OutcomeFailed, Via: ViaSync, Failure: &Failure{Reason: FailureBadResponse, Message: why}}, now)
	}
	if r.Cut {
		bad(fmt.Sprintf("bad response document: it is larger than %d bytes", MaxDocumentSize))
		return
	}
	answer, err := ParseAnswer(i.Source.Kind, r.Document)
	if err != nil {
		bad(err.Error())
		return
	}
	i.decide(Outcome{Kind: answer.Kind, Via: ViaSync, Document: answer.Document, Comment: answer.Comment}, now)
}

func (i *Instance) exhausted(now time.Time) {
	i.fail(FailureAttemptsExhausted, fmt.Sprintf("all %d attempts failed", i.Attempts), now)
}

// moveTo enters an open state. due is never after ExpiresAt.
func (i *Instance) moveTo(s State, due time.Time) {
	if s != StateRunning {
		i.LeasedUntil = time.Time{}
	}
	if due.After(i.ExpiresAt) {
		due = i.ExpiresAt
	}
	i.DueAt = due
	i.enter(s)
}

// retry has somebody look at once.
func (i *Instance) retry(e RetryRequested, now time.Time) {
	if i.Push != nil {
		i.retryPush(e.OutcomeURL, now)
		return
	}
	i.moveTo(StateError, now)
}

// cancel decides, or closes what was given up: its outcome stands.
func (i *Instance) cancel(e Canceled, now time.Time) {
	if i.Outcome != nil {
		i.close(now)
		return
	}
	i.fail(FailureCanceled, e.Message, now)
}

// decide sets the outcome; its hand-over is due at once.
func (i *Instance) decide(o Outcome, now time.Time) {
	o.DecidedAt = now
	i.Outcome = &o
	if i.OutcomeURL != "" {
		i.Push = &Push{URL: i.OutcomeURL, Since: now}
	}
	i.LeasedUntil = time.Time{}
	i.DueAt = now
	i.enter(StateProcessResponse)
}

// fail decides and, unless somebody has to be told, closes: nobody has to
// process a response that never came.
func (i *Instance) fail(reason FailureReason, message string, now time.Time) {
	o := Outcome{Kind: OutcomeFailed, Via: ViaNone, DecidedAt: now, Failure: &Failure{Reason: reason, Message: message}}
	if i.OutcomeURL != "" {
		i.decide(o, now)
		return
	}
	i.Outcome = &o
	i.close(now)
}

func (i *Instance) close(now time.Time) {
	i.LeasedUntil = time.Time{}
	i.DueAt = time.Time{}
	i.CompletedAt = now
	if i.Outcome.Kind == OutcomeFailed {
		i.enter(StateFatalError)
	} else {
		i.enter(StateSuccess)
	}
}

func (i *Instance) enter(s State) {
	if len(i.steps) == 0 {
		i.steps = append(i.steps, i.State)
	}
	i.steps = append(i.steps[:len(i.steps):len(i.steps)], s)
	i.State = s
}
