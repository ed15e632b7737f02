package riposte_test

import (
	"testing"
	"time"

	"github.com/riposte-dev/riposte"
)

// The transition table has four dimensions: the situation that an instance is
// in, its source, the event, and the moment. This file lists them;
// transition_test.go walks through all combinations.

// situation is a state that an instance can be in, told apart further where
// the state machine does.
type situation struct {
	state  riposte.State
	detail string
	// likeIts names a situation whose rows the
	// table does not repeat for this one.
	likeIts string
	push    bool // the instance has an outcome URL
	events  func(kind riposte.SourceKind) []timed
}

// timed is an event at a moment after start.
type timed struct {
	event riposte.Event
	at    time.Duration
}

// untilExpiry is the callback timeout of every instance here, the default.
const untilExpiry = riposte.DefaultCallbackTimeout

var situations = []situation{
	{state: riposte.StatePending, events: after()},
	{state: riposte.StateRunning, events: after(claimed)},
	{state: riposte.StateRunning, detail: "50th attempt", likeIts: "RUNNING", events: func(riposte.SourceKind) []timed {
		return attempts(riposte.FastAttempts)
	}},
	{state: riposte.StateError, events: after(claimed, timed{failed(riposte.RetryFastThenSlow), time.Second})},
	{state: riposte.StateWaitingCallback, events: after(claimed, timed{attempted(202, ""), time.Second})},
	{state: riposte.StateProcessResponse, events: answered()},
	{state: riposte.StateProcessResponse, detail: "bad document", likeIts: "PROCESS_RESPONSE", events: badlyAnswered()},
	{state: riposte.StatePending, detail: "outcome URL", likeIts: "PENDING", push: true, events: after()},
	{state: riposte.StateRunning, detail: "outcome URL", likeIts: "RUNNING", push: true, events: after(claimed)},
	{state: riposte.StateRunning, detail: "outcome URL, 50th attempt", likeIts: "RUNNING (50th attempt)", push: true, events: func(riposte.SourceKind) []timed {
		return attempts(riposte.FastAttempts)
	}},
	{state: riposte.StateError, detail: "outcome URL", likeIts: "ERROR", push: true,
		events: after(claimed, timed{failed(riposte.RetryFastThenSlow), time.Second})},
	{state: riposte.StateWaitingCallback, detail: "outcome URL", likeIts: "WAITING_CALLBACK", push: true,
		events: after(claimed, timed{attempted(202, ""), time.Second})},
	{state: riposte.StateProcessResponse, detail: "to be pushed", likeIts: "PROCESS_RESPONSE", push: true, events: answered()},
	{state: riposte.StateProcessResponse, detail: "a failure to be pushed", likeIts: "PROCESS_RESPONSE", push: true, events: after(timed{riposte.Canceled{}, time.Second})},
	{state: riposte.StateProcessResponse, detail: "push in flight", likeIts: "PROCESS_RESPONSE", push: true, events: answered(pushClaimed)},
	{state: riposte.StateProcessResponse, detail: "a failure's push in flight", likeIts: "PROCESS_RESPONSE", push: true,
		events: after(timed{riposte.Canceled{}, time.Second}, pushClaimed)},
	{state: riposte.StateProcessResponse, detail: "push given up", likeIts: "PROCESS_RESPONSE", push: true, events: answered(pushClaimed, timed{pushed(410), 3 * time.Second})},
	{state: riposte.StateSuccess, events: answered(handedOver)},
	{state: riposte.StateFatalError, detail: "GONE", events: after(claimed, timed{attempted(410, ""), time.Second})},
	{state: riposte.StateFatalError, detail: "ATTEMPTS_EXHAUSTED", events: func(riposte.SourceKind) []timed {
		all := attempts(riposte.FastAttempts)
		return append(all, timed{failed(riposte.RetryFast), all[len(all)-1].at + time.Second})
	}},
	{state: riposte.StateFatalError, detail: "BAD_RESPONSE", events: badlyAnswered(handedOver)},
	{state: riposte.StateFatalError, detail: "CANCELED", events: after(timed{riposte.Canceled{}, time.Second})},
	{state: riposte.StateFatalError, detail: "WEBHOOK_DELETED", events: after(timed{riposte.WebhookDeleted{}, 0})},
	{state: riposte.StateFatalError, detail: "EXPIRED", events: after(timed{riposte.Expired{}, untilExpiry})},
}

var (
	claimed    = timed{riposte.Claimed{}, 0}
	handedOver = timed{riposte.HandedOver{}, 2 * time.Second}

	pushClaimed = timed{riposte.PushClaimed{}, 2 * time.Second}
)

func after(events ...timed) func(riposte.SourceKind) []timed {
	return func(riposte.SourceKind) []timed { return events }
}

func answered(then ...timed) func(riposte.SourceKind) []timed {
	return func(kind riposte.SourceKind) []timed {
		return append([]timed{claimed, {attempted(200, goodDocuments[kind]), time.Second}}, then...)
	}
}

// badlyAnswered has no path for the sources that take any document.
func badlyAnswered(then ...timed) func(riposte.SourceKind) []timed {
	return func(kind riposte.SourceKind) []timed {
		if takesAny(kind) {
			return nil
		}
		return append([]timed{claimed, {attempted(200, "not JSON"), time.Second}}, then...)
	}
}

// attempts claims n times; all attempts but the last have failed.
func attempts(n int) []timed {
	const gap = 2 * time.Hour // longer than any delay
	events := []timed{claimed}
	for k := 1; k < n; k++ {
		at := time.Duration(k) * gap
		events = append(events, timed{failed(riposte.RetryFastThenSlow), at - gap + time.Second}, timed{riposte.Claimed{}, at})
	}
	return events
}

// in returns an instance in the situation, and false where a source does not
// come into it.
func (s situation) in(t *testing.T, kind riposte.SourceKind) (riposte.Instance, bool) {
	t.Helper()
	events := s.events(kind)
	r := riposte.InstanceRequest{Source: sources[kind], CallbackTimeout: untilExpiry}
	if s.push {
		r.OutcomeURL = outcomeURL
	}
	i := newInstance(t, r)
	for _, e := range events {
		var err error
		if i, err = i.Apply(e.event, start.Add(e.at)); err != nil {
			t.Fatalf("%s: %T at %s: %v", s.name(), e.event, e.at, err)
		}
	}
	if events == nil && s.state != riposte.StatePending {
		return riposte.Instance{}, false
	}
	if i.State != s.state {
		t.Fatalf("%s: the instance is in %s", s.name(), i.State)
	}
	return i.Stored(1), true
}

func (s situation) name() string {
	if s.detail == "" {
		return string(s.state)
	}
	return string(s.state) + " (" + s.detail + ")"
}

// moments are when an event can happen, as far as the state machine can tell:
// before the instance is due, when due, at expiresAt and after it. A zero time
// stands for a moment that the instance does not have.
func moments(i riposte.Instance) [4]time.Time {
	m := [4]time.Time{2: i.ExpiresAt, 3: i.ExpiresAt.Add(time.Hour)}
	switch {
	case i.DueAt.IsZero():
		m[0] = i.ExpiresAt.Add(-time.Microsecond)
	case i.DueAt.Equal(i.ExpiresAt):
		m[0] = i.DueAt.Add(-time.Microsecond)
	default:
		m[0], m[1] = i.DueAt.Add(-time.Microsecond), i.DueAt
	}
	return m
}

// class is what an event means to the table in DESIGN.md.
type class string

const (
	good      class = "good document"
	bad       class = "bad document"
	later     class = "202"
	gone      class = "410"
	failure   class = "failed"
	lastTry   class = "failed, and the policy has no further attempt after the 50th"
	taken     class = "taken"
	notByHTTP class = ""
)

// variant is one form of an event.
type variant struct {
	event  string // as DESIGN.md calls it
	detail string
	class  func(kind riposte.SourceKind) class
	make   func(kind riposte.SourceKind) riposte.Event
}

var variants = []variant{
	plain("claimed", "", riposte.Claimed{}),

	{"attempted", "200 with a good document", always(good), func(kind riposte.SourceKind) riposte.Event {
		return attempted(200, goodDocuments[kind])
	}},
	{"attempted", "299 with a good document", always(good), func(kind riposte.SourceKind) riposte.Event {
		return attempted(299, goodDocuments[kind])
	}},
	response("200 with a bad document", unlessTakesAny(bad), attempted(200, `{"version":"v2"}`)),
	response("204 without a body", unlessTakesAny(bad), attempted(204, "")),
	response("200 with more than 256,000 bytes", unlessTakesAny(bad), tooLong(200)),
	response("200 with a body that broke off", unlessTakesAny(failure), brokenOff(200)),
	response("202", always(later), attempted(202, "")),
	response("202 with a body that broke off", always(later), brokenOff(202)),
	response("410", always(gone), attempted(410, "")),
	response("410 with a body that broke off", always(gone), brokenOff(410)),
	response("no response within 30 s", always(failure), unreachable(riposte.PhaseResponse, "TIMEOUT")),
	response("connection refused", always(failure), unreachable(riposte.PhaseConnect, "REFUSED")),
	response("101", always(failure), attempted(101, "")),
	response("301", always(failure), attempted(301, "")),
	response("308", always(failure), attempted(308, "")),
	response("400", always(failure), attempted(400, "")),
	response("404", always(failure), attempted(404, "")),
	response("429", always(failure), attempted(429, "")),
	response("500", always(failure), attempted(500, "")),
	response("503 with a body that broke off", always(failure), brokenOff(503)),
	response("429 with Retry-After: 10", always(failure), retryAfter(429, 10*time.Second)),
	response("503 with Retry-After: 86400", always(failure), retryAfter(503, 24*time.Hour)),
	response("500, policy FAST", always(lastTry), failed(riposte.RetryFast)),

	{"lease ran out", "", always(failure), constant(riposte.LeaseRanOut{Policy: riposte.RetryFastThenSlow})},
	{"lease ran out", "policy FAST", always(lastTry), constant(riposte.LeaseRanOut{Policy: riposte.RetryFast})},

	{"answered", "by callback", always(good), answeredVia(riposte.ViaCallback)},
	{"answered", "by an operator", always(good), answeredVia(riposte.ViaOperator)},
	plain("expired", "", riposte.Expired{}),
	plain("canceled", "", riposte.Canceled{Message: "no longer needed"}),
	plain("webhook deleted", "", riposte.WebhookDeleted{}),
	plain("retry requested", "", riposte.RetryRequested{}),
	plain("retry requested", "with an outcome URL", riposte.RetryRequested{OutcomeURL: "https://other.example/"}),
	plain("handed over", "", riposte.HandedOver{}),

	plain("push claimed", "", riposte.PushClaimed{}),
	push("200", taken, pushed(200)),
	push("202", taken, pushed(202)),
	push("299 with a body that broke off", taken, riposte.Pushed(withoutPolicy(brokenOff(299)))),
	push("410", gone, pushed(410)),
	push("301", failure, pushed(301)),
	push("404", failure, pushed(404)),
	push("500", failure, pushed(500)),
	push("connection refused", failure, riposte.Pushed(withoutPolicy(unreachable(riposte.PhaseConnect, "REFUSED")))),
	push("429 with Retry-After: 10", failure, riposte.Pushed(withoutPolicy(retryAfter(429, 10*time.Second)))),
}

// GoString is what rapid shows of a variant that it drew.
func (v variant) GoString() string { return v.event + " " + v.detail }

func plain(event, detail string, e riposte.Event) variant {
	return variant{event, detail, always(notByHTTP), constant(e)}
}

func response(detail string, c func(riposte.SourceKind) class, e riposte.Event) variant {
	return variant{"attempted", detail, c, constant(e)}
}

func push(detail string, c class, e riposte.Event) variant {
	return variant{"pushed", detail, always(c), constant(e)}
}

func constant(e riposte.Event) func(riposte.SourceKind) riposte.Event {
	return func(riposte.SourceKind) riposte.Event { return e }
}

func always(c class) func(riposte.SourceKind) class {
	return func(riposte.SourceKind) class { return c }
}

// unlessTakesAny is for what only the sources that need a document mind.
func unlessTakesAny(c class) func(riposte.SourceKind) class {
	return func(kind riposte.SourceKind) class {
		if takesAny(kind) {
			return good
		}
		return c
	}
}

func takesAny(kind riposte.SourceKind) bool {
	return kind == riposte.SourceTest || kind == riposte.SourcePolicyPostAction
}

func answeredVia(via riposte.Via) func(riposte.SourceKind) riposte.Event {
	return func(kind riposte.SourceKind) riposte.Event {
		a, err := riposte.ParseAnswer(kind, []byte(goodDocuments[kind]))
		if err != nil {
			panic(err)
		}
		return riposte.Answered{Via: via, Answer: a}
	}
}

// attempted is a response that was read whole. Its jitter is 0, so that a
// retry is due after the shortest delay.
func attempted(status int, body string) riposte.Attempted {
	return riposte.Attempted{
		Result: riposte.Result{Attempt: riposte.Attempt{StatusCode: status}, Document: []byte(body)},
		Policy: riposte.RetryFastThenSlow,
		Fast:   riposte.DefaultFastDelay,
	}
}

// pushed is what came of a push.
func pushed(status int) riposte.Pushed { return riposte.Pushed(withoutPolicy(attempted(status, ""))) }

// withoutPolicy leaves what a push has of an attempt: there is one policy.
func withoutPolicy(a riposte.Attempted) (p struct {
	Result riposte.Result
	Fast   riposte.FastDelay
	Jitter float64
}) {
	p.Result, p.Fast, p.Jitter = a.Result, a.Fast, a.Jitter
	return p
}

func failed(p riposte.RetryPolicy) riposte.Attempted {
	e := attempted(500, "")
	e.Policy = p
	return e
}

func retryAfter(status int, d time.Duration) riposte.Attempted {
	e := attempted(status, "")
	e.Result.RetryAfter = d
	return e
}

// tooLong is a response whose body went on past MaxDocumentSize. What was read
// of it is a good document for no source.
func tooLong(status int) riposte.Attempted {
	e := attempted(status, `{"version":"v1","approve":{}`)
	e.Result.Cut = true
	return e
}

// brokenOff is a response whose status came, but not its whole body. What came
// looks whole, and must not be taken for an answer all the same.
func brokenOff(status int) riposte.Attempted {
	e := attempted(status, `{"version":"v1","approve":{},"complete":{},"context":{}}`)
	e.Result.Attempt.Error = &riposte.AttemptError{Phase: riposte.PhaseResponse, Reason: "RESET"}
	return e
}

func unreachable(phase riposte.Phase, why string) riposte.Attempted {
	e := attempted(0, "")
	e.Result.Attempt.Error = &riposte.AttemptError{Phase: phase, Reason: why}
	return e
}
