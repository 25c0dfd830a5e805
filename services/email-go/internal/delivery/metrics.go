package delivery

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are the service's own.
type Metrics struct {
	attempts *prometheus.CounterVec
	age      prometheus.Histogram
	// Mails whose end the database could not be told yet.
	unmarked atomic.Int64
}

// NewMetrics registers them.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	m := &Metrics{
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "shop_email_attempts_total", Help: "Attempts to deliver a mail, by kind and by what became of them",
		}, []string{"kind", "status"}),
		age: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "shop_email_delivery_seconds", Help: "Age of mails when they were sent, kept or given up",
			Buckets: []float64{0.1, 0.5, 1, 2, 5, 30, 300, 3600, 86400},
		}),
	}
	registry.MustRegister(m.attempts, m.age, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "shop_email_unmarked", Help: "Mails whose end the database could not be told yet",
	}, func() float64 { return float64(m.unmarked.Load()) }))
	return m
}
