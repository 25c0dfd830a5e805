package events

import "github.com/prometheus/client_golang/prometheus"

// Metrics are those that every service has of its events.
type Metrics struct {
	published                                         prometheus.Counter
	processed                                         *prometheus.CounterVec
	parked, retried, dead, unpublished, oldestSeconds prometheus.Gauge
	streamBytes, streamMaxBytes                       prometheus.Gauge
}

// NewMetrics registers them.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	gauge := func(name, help string) prometheus.Gauge {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
		registry.MustRegister(g)
		return g
	}
	m := &Metrics{
		published: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "events_published_total", Help: "Events the broker has acknowledged",
		}),
		processed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "events_processed_total", Help: "Tries to apply an event, by what became of it",
		}, []string{"subject", "outcome"}),
		parked:         gauge("events_parked", "Events that wait for something that is not known here yet"),
		retried:        gauge("events_retried", "Events that failed and will be tried again"),
		dead:           gauge("events_dead", "Events in the dead-letter table"),
		unpublished:    gauge("outbox_unpublished", "Events that wait for the broker"),
		oldestSeconds:  gauge("outbox_oldest_seconds", "Age of the oldest event that waits for the broker"),
		streamBytes:    gauge("events_stream_bytes", "Bytes of events that the broker holds"),
		streamMaxBytes: gauge("events_stream_max_bytes", "Bytes of events that the broker holds at most; the oldest go first"),
	}
	registry.MustRegister(m.published, m.processed)
	return m
}
