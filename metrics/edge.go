package metrics

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// Door is what requests pass. It is asked at each scrape, and answers by their kind but
// for the last.
type Door interface {
	InFlight() map[string]int64  // in work
	HeldBytes() map[string]int64 // bytes of their bodies that are held
	Shed() map[string]int64      // refused because there was no room
	RateLimited() int64          // refused because their caller calls too often
}

// Listener is asked at each scrape.
type Listener interface {
	Connections() int64
	Refused() int64 // closed at once because there were too many
}

// edge collects what is known where requests come in.
type edge struct {
	door      atomic.Pointer[Door]
	listeners []namedListener // complete before the first scrape

	requests, bodyBytes, refused, rateLimited, connections, refusedConnections *prometheus.Desc
}

type namedListener struct {
	name string
	Listener
}

func newEdge() *edge {
	return &edge{requests: requests.desc(), bodyBytes: bodyBytes.desc(), refused: refused.desc(), rateLimited: rateLimited.desc(),
		connections: connections.desc(), refusedConnections: refusedConnections.desc()}
}

// WatchDoor shows what passes d. It is called once.
func (m *Metrics) WatchDoor(d Door) { m.edge.door.Store(&d) }

// WatchListener shows the connections of l. It is called before there is a scrape.
func (m *Metrics) WatchListener(name string, l Listener) {
	m.edge.listeners = append(m.edge.listeners, namedListener{name, l})
}

// Describe implements prometheus.Collector.
func (e *edge) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{e.requests, e.bodyBytes, e.refused, e.rateLimited, e.connections, e.refusedConnections} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (e *edge) Collect(to chan<- prometheus.Metric) {
	show := func(d *prometheus.Desc, kind prometheus.ValueType, value int64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, kind, float64(value), labels...)
	}
	for _, l := range e.listeners {
		show(e.connections, prometheus.GaugeValue, l.Connections(), l.name)
		show(e.refusedConnections, prometheus.CounterValue, l.Refused(), l.name)
	}
	door := e.door.Load()
	if door == nil {
		return
	}
	for kind, n := range (*door).InFlight() {
		show(e.requests, prometheus.GaugeValue, n, kind)
	}
	for kind, n := range (*door).HeldBytes() {
		show(e.bodyBytes, prometheus.GaugeValue, n, kind)
	}
	for kind, n := range (*door).Shed() {
		show(e.refused, prometheus.CounterValue, n, kind)
	}
	show(e.rateLimited, prometheus.CounterValue, (*door).RateLimited())
}
