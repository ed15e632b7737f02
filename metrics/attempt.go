package metrics

import (
	"context"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/riposte-dev/riposte"
)

// Sender makes attempts, as the engine wants it.
type Sender interface {
	Send(ctx context.Context, c riposte.ClaimedInstance) riposte.Result
}

// Sender returns next, watched: each attempt, and each push, is counted when it has ended,
// whether its result can be saved or not.
func (m *Metrics) Sender(next Sender) Sender { return sender{next, m} }

type sender struct {
	next    Sender
	metrics *Metrics
}

func (s sender) Send(ctx context.Context, c riposte.ClaimedInstance) riposte.Result {
	r := s.next.Send(ctx, c)
	if c.Instance.OwesPush() {
		s.metrics.pushes.of(&r.Attempt).Inc()
		return r
	}
	s.metrics.attempts.of(&r.Attempt).Inc()
	s.metrics.attemptDuration.Observe(r.Attempt.Duration.Seconds())
	return r
}

// reasonTimeout is outbound's word for it.
const reasonTimeout = "TIMEOUT"

// phases are those that an attempt's error may name.
var phases = []riposte.Phase{riposte.PhasePrepare, riposte.PhaseDNS, riposte.PhaseConnect, riposte.PhaseTLS, riposte.PhaseRequest, riposte.PhaseResponse}

// results has a counter for each way that an attempt may end.
type results struct {
	classes        [6]prometheus.Counter // 1xx to 5xx, from 1
	phases         map[riposte.Phase]prometheus.Counter
	timeout, other prometheus.Counter
}

func newResults(v *prometheus.CounterVec) results {
	r := results{
		phases:  map[riposte.Phase]prometheus.Counter{},
		timeout: v.WithLabelValues(resultTimeout),
		other:   v.WithLabelValues(resultOther),
	}
	for class := 1; class < len(r.classes); class++ {
		r.classes[class] = v.WithLabelValues(fmt.Sprintf("%dxx", class))
	}
	for _, p := range phases {
		r.phases[p] = v.WithLabelValues(string(p))
	}
	return r
}

// of goes by the error first: a response that broke off is not a 200.
func (r *results) of(a *riposte.Attempt) prometheus.Counter {
	if a.Error != nil {
		if a.Error.Reason == reasonTimeout {
			return r.timeout
		}
		if c, ok := r.phases[a.Error.Phase]; ok {
			return c
		}
		return r.other
	}
	if class := a.StatusCode / 100; class >= 1 && class < len(r.classes) {
		return r.classes[class]
	}
	return r.other
}
