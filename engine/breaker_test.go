package engine

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/outbound"
)

var (
	refused = riposte.Attempt{Error: &riposte.AttemptError{Phase: riposte.PhaseConnect, Reason: outbound.ReasonRefused}}
	blocked = riposte.Attempt{Error: &riposte.AttemptError{Phase: riposte.PhaseConnect, Reason: outbound.ReasonBlockedAddress}}
	status  = riposte.Attempt{StatusCode: 500}
)

// panel is the breakers with a clock and one webhook.
type panel struct {
	testing.TB
	breakers
	webhook riposte.Webhook
	now     time.Time
	jitter  float64
}

func newPanel(t testing.TB, maxInFlight int) *panel {
	w := riposte.Webhook{ID: "w", URL: "https://receiver.test/", Settings: riposte.WebhookSettings{MaxInFlight: maxInFlight}}
	return &panel{TB: t, breakers: newBreakers(), webhook: w, now: time.Unix(1_700_000_000, 0), jitter: .5}
}

func (p *panel) pass(d time.Duration) { p.now = p.now.Add(d) }

// ends is an attempt of the n-th instance that was claimed at claimed.
func (p *panel) ends(n int, a riposte.Attempt, claimed time.Time) (opened int, closed bool) {
	i := riposte.Instance{ID: fmt.Sprint(n), WebhookID: p.webhook.ID, Destination: p.webhook.URL}
	return p.ended(riposte.ClaimedInstance{Instance: i, Webhook: p.webhook}, &a, claimed, p.now, p.jitter)
}

// opens makes it fail as often as it takes.
func (p *panel) opens() {
	p.Helper()
	for n := range breakerFailures {
		p.ends(n, refused, p.now)
	}
	p.wantBound(0)
}

// bound is what the webhook may have in flight.
func (p *panel) bound() int {
	bounds, _, _ := p.bounds(p.now)
	if n, ok := bounds[p.webhook.ID]; ok {
		return n
	}
	return p.webhook.Settings.MaxInFlight
}

func (p *panel) wantBound(want int) {
	p.Helper()
	if got := p.bound(); got != want {
		p.Errorf("%d may be in flight, want %d", got, want)
	}
}

// toProbe lets the pause pass and returns how long it was.
func (p *panel) toProbe() time.Duration {
	p.Helper()
	_, probe, _ := p.bounds(p.now)
	if probe.IsZero() {
		p.Fatal("there is no pause")
	}
	d := probe.Sub(p.now)
	p.pass(d - 1)
	p.wantBound(0)
	p.pass(1)
	p.wantBound(1)
	return d
}

func TestBreakerOpensAfter20FailuresInARowOf10Instances(t *testing.T) {
	for _, tt := range []struct {
		name      string
		instances int
		failures  int
		opens     bool
	}{
		{"19 failures", 19, 19, false},
		{"20 failures", 20, 20, true},
		{"of 10 instances", 10, 20, true},
		{"of 9 instances", 9, 1000, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPanel(t, 64)
			for n := range tt.failures {
				opened, closed := p.ends(n%tt.instances, refused, p.now)
				if last := n == tt.failures-1; (opened > 0) != (last && tt.opens) || closed {
					t.Errorf("failure %d: it opened after %d, closed %t", n+1, opened, closed)
				}
			}
			if want := map[bool]int{true: 0, false: 64}[tt.opens]; p.bound() != want {
				t.Errorf("%d may be in flight, want %d", p.bound(), want)
			}
		})
	}
}

func TestAttemptTellsOfItsReceiver(t *testing.T) {
	failed := func(phase riposte.Phase, reason string, status int) riposte.Attempt {
		return riposte.Attempt{StatusCode: status, Error: &riposte.AttemptError{Phase: phase, Reason: reason}}
	}
	for _, tt := range []struct {
		a    riposte.Attempt
		want tale
	}{
		{riposte.Attempt{StatusCode: 200}, tellsAnswer},
		{riposte.Attempt{StatusCode: 503}, tellsAnswer},
		{failed(riposte.PhaseResponse, outbound.ReasonTimeout, 200), tellsAnswer},
		{failed(riposte.PhaseResponse, outbound.ReasonReset, 502), tellsAnswer},
		{failed(riposte.PhaseResponse, outbound.ReasonMalformed, 0), tellsAnswer},
		{failed(riposte.PhaseResponse, outbound.ReasonTooLargeHeaders, 0), tellsAnswer},
		{failed(riposte.PhaseDNS, outbound.ReasonNotFound, 0), tellsFailure},
		{failed(riposte.PhaseDNS, outbound.ReasonFailed, 0), tellsFailure},
		{failed(riposte.PhaseConnect, outbound.ReasonRefused, 0), tellsFailure},
		{failed(riposte.PhaseConnect, outbound.ReasonUnreachable, 0), tellsFailure},
		{failed(riposte.PhaseConnect, outbound.ReasonTimeout, 0), tellsFailure},
		{failed(riposte.PhaseTLS, outbound.ReasonCertificate, 0), tellsFailure},
		{failed(riposte.PhaseTLS, outbound.ReasonHandshake, 0), tellsFailure},
		{failed(riposte.PhaseTLS, outbound.ReasonUnknownAuthority, 0), tellsFailure},
		{failed(riposte.PhaseTLS, outbound.ReasonCertificateExpired, 0), tellsFailure},
		{failed(riposte.PhaseTLS, outbound.ReasonClientCertificateRequired, 0), tellsFailure},
		{failed(riposte.PhaseTLS, outbound.ReasonClientCertificateRefused, 0), tellsFailure},
		{failed(riposte.PhasePrepare, outbound.ReasonSecretUnreadable, 0), tellsNothing},
		{failed(riposte.PhaseRequest, outbound.ReasonReset, 0), tellsFailure},
		{failed(riposte.PhaseResponse, outbound.ReasonCutOff, 0), tellsFailure},
		{failed(riposte.PhaseResponse, outbound.ReasonTimeout, 0), tellsFailure},
		{failed(riposte.PhaseConnect, outbound.ReasonBadURL, 0), tellsNothing},
		{failed(riposte.PhaseConnect, outbound.ReasonBlockedAddress, 0), tellsNothing},
		{failed(riposte.PhaseResponse, outbound.ReasonCanceled, 0), tellsNothing},
		{riposte.Attempt{}, tellsNothing},
	} {
		if got := tells(&tt.a); got != tt.want {
			t.Errorf("status %d, %+v: %d, want %d", tt.a.StatusCode, tt.a.Error, got, tt.want)
		}
	}
}

func TestAnswerBeginsTheRowAgain(t *testing.T) {
	for name, tt := range map[string]struct {
		between riposte.Attempt
		want    int
	}{"a status": {status, 64}, "a blocked address, which is nothing": {blocked, 0}} {
		t.Run(name, func(t *testing.T) {
			p := newPanel(t, 64)
			for n := range 2*breakerFailures - 2 {
				if n == breakerFailures-1 {
					p.ends(n, tt.between, p.now)
				}
				p.ends(n, refused, p.now)
			}
			p.wantBound(tt.want)
		})
	}
}

func TestPausesDoubleUpTo30s(t *testing.T) {
	for jitter, want := range map[float64][]time.Duration{
		0:      {500, 1000, 2000, 4000, 8000, 15000, 15000},
		.5:     {750, 1500, 3000, 6000, 12000, 22500, 22500},
		.99999: {1000, 2000, 4000, 8000, 16000, 30000, 30000},
	} {
		p := newPanel(t, 64)
		p.jitter = jitter
		p.opens()
		for _, want := range want {
			if got := p.toProbe().Round(time.Millisecond); got != want*time.Millisecond {
				t.Errorf("jitter %v: a pause of %s, want %s", jitter, got, want*time.Millisecond)
			}
			p.ends(0, refused, p.now)
		}
	}
}

func TestRampGoesByOneForEachAnswer(t *testing.T) {
	p := newPanel(t, 5)
	p.opens()
	p.toProbe()
	if ids := p.webhooks(); !slices.Equal(ids, []string{"w"}) {
		t.Errorf("half open, it holds %v", ids)
	}
	for want := 2; want < 5; want++ {
		if _, closed := p.ends(0, status, p.now); closed {
			t.Errorf("it closed at %d of 5", want)
		}
		p.wantBound(want)
	}
	if p.open() != 0 || len(p.webhooks()) != 0 {
		t.Error("it counts as open in its ramp")
	}
	if _, closed := p.ends(0, status, p.now); !closed || len(p.held) != 0 {
		t.Errorf("it closed: %t, %d entries are left", closed, len(p.held))
	}
}

func TestWebhookWithOnePlaceHasNoRamp(t *testing.T) {
	p := newPanel(t, 1)
	p.opens()
	p.toProbe()
	if _, closed := p.ends(0, status, p.now); !closed {
		t.Error("it is not closed")
	}
}

func TestFailureInTheRampOpensAgain(t *testing.T) {
	p := newPanel(t, 64)
	p.opens()
	p.toProbe()
	p.ends(0, status, p.now)
	p.pass(time.Second)
	inRamp := p.now
	p.ends(0, refused, inRamp)
	p.wantBound(0)
	// The other one of the ramp fails, too, which is no further news.
	p.pass(10 * time.Millisecond)
	p.ends(1, refused, inRamp)
	if got := p.toProbe(); got != 1490*time.Millisecond {
		t.Errorf("after %s there is a probe, want twice the first pause", got)
	}
}

func TestLateFailuresChangeNothing(t *testing.T) {
	p := newPanel(t, 64)
	before := p.now
	p.opens()
	p.pass(100 * time.Millisecond)
	for n := range 44 {
		p.ends(n, refused, before)
	}
	if got := p.toProbe(); got != 650*time.Millisecond {
		t.Errorf("the pause has %s to go, want what is left of the first one", got)
	}
	p.ends(0, refused, before)
	p.wantBound(1)
	p.ends(0, status, p.now)
	p.pass(time.Millisecond)
	p.ends(0, refused, before)
	p.wantBound(2)
}

func TestLateAnswerBeginsTheRamp(t *testing.T) {
	p := newPanel(t, 64)
	before := p.now
	p.opens()
	p.ends(0, status, before)
	p.wantBound(2)
}

func TestBreakerIsAboutTheURLThatTheWebhookHas(t *testing.T) {
	p := newPanel(t, 64)
	old := p.webhook
	p.opens()
	p.webhook.URL = "https://elsewhere.test/"
	if !p.begun(p.webhook) || p.begun(p.webhook) {
		t.Error("the claim that has the new url did not close it, once")
	}
	p.wantBound(64)
	for n := range 100 {
		i := riposte.Instance{ID: fmt.Sprint(n), Destination: old.URL}
		p.ended(riposte.ClaimedInstance{Instance: i, Webhook: p.webhook}, &refused, p.now, p.now, 0)
	}
	p.wantBound(64) // those were retries that go where they always went
	p.opens()
	if p.begun(p.webhook) {
		t.Error("a claim with the same url closed it")
	}
}

func TestWhatIsOldIsForgotten(t *testing.T) {
	p := newPanel(t, 64)
	for n := range breakerFailures - 1 {
		p.ends(n, refused, p.now)
	}
	p.pass(breakerMemory)
	p.ends(0, refused, p.now)
	p.wantBound(64)
	p.pass(breakerMemory)
	p.bounds(p.now)
	if len(p.rows) != 0 {
		t.Errorf("%d rows are left", len(p.rows))
	}
	p.opens()
	p.toProbe()
	p.pass(breakerMemory - 1)
	p.wantBound(1)
	p.pass(1)
	if _, _, forgotten := p.bounds(p.now); len(forgotten) != 1 || len(p.held) != 0 {
		t.Errorf("forgot %v", forgotten)
	}
}

// TestBreakerHoldsOnlyWhatFails goes through any history of one webhook, with
// attempts in flight that end in any order, and compares with what must hold.
func TestBreakerHoldsOnlyWhatFails(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := newPanel(nil, rapid.IntRange(1, 70).Draw(t, "maxInFlight"))
		var inFlight []time.Time // when they were claimed
		inARow, instances := 0, map[int]bool{}
		opened, answered := false, false // answered: the last that told something had a status
		check := func(*rapid.T) {
			bound := p.bound()
			switch {
			case bound < 0 || bound > p.webhook.Settings.MaxInFlight:
				t.Fatalf("%d may be in flight of %d", bound, p.webhook.Settings.MaxInFlight)
			case bound == 0 && answered:
				t.Fatal("it holds a webhook whose receiver has just answered")
			case bound < p.webhook.Settings.MaxInFlight && !opened:
				t.Fatal("it holds what it has not opened for")
			case bound == 0:
				_, probe, _ := p.bounds(p.now)
				if d := probe.Sub(p.now); d <= 0 || d > breakerMaxPause {
					t.Fatalf("the next probe is in %s", d)
				}
			}
			if len(p.rows)+len(p.held) > 1 {
				t.Fatalf("%d rows and %d breakers", len(p.rows), len(p.held))
			}
		}
		claim := func(t *rapid.T) {
			for range max(0, p.bound()-len(inFlight)) {
				inFlight = append(inFlight, p.now)
			}
		}
		end := func(t *rapid.T, a riposte.Attempt, tale tale) {
			if len(inFlight) == 0 {
				return
			}
			at := rapid.IntRange(0, len(inFlight)-1).Draw(t, "which")
			claimed := inFlight[at]
			inFlight = append(inFlight[:at], inFlight[at+1:]...)
			p.jitter = rapid.Float64Range(0, .999).Draw(t, "jitter")
			n := rapid.IntRange(0, 15).Draw(t, "instance")
			if tale == tellsFailure {
				inARow, instances[n] = inARow+1, true
			}
			failures, closed := p.ends(n, a, claimed)
			if failures > 0 {
				if failures > inARow || failures < 20 || len(instances) < 10 {
					t.Fatalf("it opened after %d, %d of them in a row, of %d instances", failures, inARow, len(instances))
				}
				opened = true
			}
			opened = opened && !closed
			switch tale {
			case tellsAnswer:
				answered, inARow, instances = true, 0, map[int]bool{}
				if len(p.rows) > 0 {
					t.Fatal("it remembers failures before an answer")
				}
			case tellsFailure:
				answered = false
			}
		}
		many := func(t *rapid.T, step func(*rapid.T)) {
			for range rapid.IntRange(1, 40).Draw(t, "n") {
				step(t)
				check(t)
			}
		}
		fail := func(t *rapid.T) { end(t, refused, tellsFailure) }
		answer := func(t *rapid.T) { end(t, status, tellsAnswer) }
		t.Repeat(map[string]func(*rapid.T){
			"":             check,
			"claim":        claim,
			"fail":         fail,
			"fail many":    func(t *rapid.T) { many(t, fail) },
			"answer":       answer,
			"answer many":  func(t *rapid.T) { many(t, func(t *rapid.T) { claim(t); answer(t) }) },
			"tell nothing": func(t *rapid.T) { end(t, blocked, tellsNothing) },
			"let time pass": func(t *rapid.T) {
				p.pass(time.Duration(rapid.Int64Range(1, int64(time.Minute)).Draw(t, "d")))
			},
			"wait and fail": func(t *rapid.T) {
				many(t, func(t *rapid.T) { p.pass(breakerMaxPause); claim(t); fail(t) })
			},
		})
	})
}
