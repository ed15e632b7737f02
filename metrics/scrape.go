package metrics

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/riposte-dev/riposte"
)

// countPatience is how long a scrape waits for a store that is still counting
// what it found at its start. After that it does without, because a wrong
// figure is worse than none.
const countPatience = 100 * time.Millisecond

// scraped collects what is asked for at each scrape.
type scraped struct {
	lateness lateness
	sources  atomic.Pointer[sources] // nil before watch

	instances, dueLag, inFlight, webhookInFlight, breakersOpen, consumerLag *prometheus.Desc
}

type sources struct {
	store  riposte.Store
	engine Engine
}

func newScraped() *scraped {
	s := &scraped{instances: instances.desc(), dueLag: dueLag.desc(), inFlight: inFlight.desc(), webhookInFlight: webhookInFlight.desc(),
		breakersOpen: breakersOpen.desc(), consumerLag: consumerLag.desc()}
	s.lateness.reset()
	return s
}

func (d definition) desc() *prometheus.Desc { return prometheus.NewDesc(d.name, d.help, d.labels, nil) }

func (s *scraped) watch(store riposte.Store, e Engine) {
	s.sources.Store(&sources{store, e})
}

// Describe implements prometheus.Collector.
func (s *scraped) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{s.instances, s.dueLag, s.inFlight, s.webhookInFlight, s.breakersOpen, s.consumerLag} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (s *scraped) Collect(to chan<- prometheus.Metric) {
	from := s.sources.Load()
	if from == nil {
		return
	}
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	ctx, cancel := context.WithTimeout(context.Background(), countPatience)
	defer cancel()
	// The store logs why it can't count.
	counts, _ := from.store.CountInstances(ctx)
	for state, n := range counts {
		gauge(s.instances, float64(n), string(state))
	}
	gauge(s.dueLag, s.lateness.at(from.store.Now()).Seconds())
	byWebhook, total := from.engine.InFlightByWebhook(), 0
	for _, n := range byWebhook {
		total += n
	}
	gauge(s.inFlight, float64(total))
	for _, id := range busiest(byWebhook) {
		gauge(s.webhookInFlight, float64(byWebhook[id]), id)
	}
	gauge(s.breakersOpen, float64(from.engine.BreakersOpen()))
	consumers, err := from.store.ListConsumers(ctx)
	if err != nil || len(consumers) == 0 {
		return
	}
	if last, err := from.store.LastOutcome(ctx); err == nil {
		for _, c := range consumers {
			gauge(s.consumerLag, float64(c.Lag(last)), c.Name)
		}
	}
}

// busiest returns the maxWebhooks webhooks with most attempts in flight.
func busiest(byWebhook map[string]int) []string {
	ids := slices.SortedFunc(maps.Keys(byWebhook), func(a, b string) int {
		return cmp.Or(cmp.Compare(byWebhook[b], byWebhook[a]), cmp.Compare(a, b))
	})
	return ids[:min(len(ids), maxWebhooks)]
}
