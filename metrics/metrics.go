// Package metrics counts what a node does and shows it to Prometheus;
// docs/metrics.md has the list, and table.go is where it comes from.
//
// Nothing is asked of the hot path but to be watched. Instances that were
// created and closed are counted from what the store publishes after a commit;
// attempts by a Sender around the client (attempt.go); how late claims are by a
// Store around the store (claim.go). Every child of a counter is made at the
// start, so that an event costs an atomic addition and a scrape stops nobody.
// What somebody else knows anyway, such as the states that the store counts, is
// asked when there is a scrape (scrape.go).
package metrics

import (
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/riposte-dev/riposte"
)

// Metrics are those of one node.
type Metrics struct {
	registry *prometheus.Registry

	created          map[riposte.SourceKind]prometheus.Counter
	closed           map[riposte.OutcomeKind]prometheus.Counter   // all but FAILED
	failed           map[riposte.FailureReason]prometheus.Counter // FAILED
	outcomeDuration  prometheus.Histogram
	attempts         results
	attemptDuration  prometheus.Histogram
	pushes           results
	pushesGivenUp    prometheus.Counter
	commitOperations prometheus.Histogram
	commitDuration   prometheus.Histogram
	scraped          *scraped
	edge             *edge
}

// New returns metrics that are all zero; nothing is shown yet of what must be
// asked for.
func New() *Metrics {
	m := &Metrics{
		registry:         prometheus.NewRegistry(),
		created:          map[riposte.SourceKind]prometheus.Counter{},
		closed:           map[riposte.OutcomeKind]prometheus.Counter{},
		failed:           map[riposte.FailureReason]prometheus.Counter{},
		outcomeDuration:  outcomeDuration.histogram(),
		attemptDuration:  attemptDuration.histogram(),
		commitOperations: commitOperations.histogram(),
		commitDuration:   commitDuration.histogram(),
		scraped:          newScraped(),
		edge:             newEdge(),
	}
	byResult, bySource, byOutcome := attempts.counters(), created.counters(), closed.counters()
	m.attempts = newResults(byResult)
	byPush := pushes.counters()
	m.pushes = newResults(byPush)
	m.pushesGivenUp = prometheus.NewCounter(prometheus.CounterOpts{Name: pushesGivenUp.name, Help: pushesGivenUp.help})
	for _, kind := range riposte.SourceKinds {
		m.created[kind] = bySource.WithLabelValues(string(kind))
	}
	for _, kind := range riposte.OutcomeKinds {
		if kind != riposte.OutcomeFailed {
			m.closed[kind] = byOutcome.WithLabelValues(string(kind), "")
		}
	}
	for _, reason := range riposte.FailureReasons {
		m.failed[reason] = byOutcome.WithLabelValues(string(riposte.OutcomeFailed), string(reason))
	}
	m.registry.MustRegister(bySource, byOutcome, m.outcomeDuration, byResult, m.attemptDuration, byPush, m.pushesGivenUp, m.commitOperations,
		m.commitDuration, m.scraped, m.edge, version(), collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Engine is asked at each scrape.
type Engine interface {
	// InFlightByWebhook is how many attempts are in flight on each webhook that
	// has any.
	InFlightByWebhook() map[string]int
	// BreakersOpen is how many webhooks have a breaker that is open or half
	// open.
	BreakersOpen() int
}

// Watch counts what the store s publishes and, at each scrape, asks it and the
// engine for what they know. It is called once.
func (m *Metrics) Watch(s riposte.Store, e Engine) (stop func()) {
	m.scraped.watch(s, e)
	return s.Subscribe(m.changed)
}

// Handler answers a scrape.
func (m *Metrics) Handler(log *slog.Logger) http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorLog:      slog.NewLogLogger(log.Handler(), slog.LevelError),
		ErrorHandling: promhttp.ContinueOnError, // what can be shown is
	})
}

// Committed is for a store to tell of a commit: how many operations shared it,
// and how long it took.
func (m *Metrics) Committed(ops int, took time.Duration) {
	m.commitOperations.Observe(float64(ops))
	m.commitDuration.Observe(took.Seconds())
}

// changed is subscribed to the store. A store tells of each creation and each
// closing once, because nothing changes a closed instance; of what other nodes
// did it tells neither version nor state, so each node counts its own.
func (m *Metrics) changed(i riposte.Instance) {
	if i.Version == 1 {
		m.created[i.Source.Kind].Inc()
	}
	if i.OwesPush() && i.DueAt.IsZero() {
		m.pushesGivenUp.Inc()
	}
	if !i.State.Closed() {
		return
	}
	if f := i.Outcome.Failure; f != nil {
		m.failed[f.Reason].Inc()
	} else {
		m.closed[i.Outcome.Kind].Inc()
	}
	m.outcomeDuration.Observe(i.Outcome.DecidedAt.Sub(i.CreatedAt).Seconds())
}

func (d definition) counters() *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: d.name, Help: d.help}, d.labels)
}

func (d definition) histogram() prometheus.Histogram {
	return prometheus.NewHistogram(prometheus.HistogramOpts{Name: d.name, Help: d.help, Buckets: d.buckets})
}

func version() prometheus.Collector {
	v := "unknown"
	if b, ok := debug.ReadBuildInfo(); ok && b.Main.Version != "" {
		v = strings.Trim(b.Main.Version, "()") // (devel)
	}
	g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: buildInfo.name, Help: buildInfo.help}, buildInfo.labels)
	g.WithLabelValues(v).Set(1)
	return g
}
