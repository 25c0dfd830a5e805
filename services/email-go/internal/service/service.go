// Package service is the process from its start to its stop. The start waits for nothing; the stop loses nothing.
package service

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"shopkeeper.dev/email/internal/api"
	"shopkeeper.dev/email/internal/auth"
	"shopkeeper.dev/email/internal/database"
	"shopkeeper.dev/email/internal/delivery"
	"shopkeeper.dev/email/internal/events"
	"shopkeeper.dev/email/internal/health"
	"shopkeeper.dev/email/internal/mail"
	"shopkeeper.dev/email/internal/settings"
	"shopkeeper.dev/email/internal/smtp"
	"shopkeeper.dev/email/internal/subscriptions"
	"shopkeeper.dev/email/internal/web"
)

// Name is that by which others know it: subjects, durable consumers, logs.
const Name = "email"

// Within a grace period of 30 s less 5 s of preStop: clients move on; requests and the work beside them end, side by side; then the
// relay.
const (
	leaveTime     = 2 * time.Second
	stopWorkTime  = 14 * time.Second
	stopRelayTime = 7 * time.Second
)

// Running is a service that has started.
type Running struct {
	db         *database.DB
	broker     *events.Broker
	readiness  *health.Readiness
	api, admin *web.Server
	// The relay ends last, once nobody can publish an event any more.
	work, relay *workers
	// From here on each answer asks its client to take another connection.
	leaving  chan struct{}
	outdated chan *database.Behind
}

// Start returns as soon as both ports listen.
func Start(s settings.Settings) (*Running, error) {
	registry := prometheus.NewRegistry()
	r := &Running{
		readiness: &health.Readiness{}, work: newWorkers(), relay: newWorkers(),
		leaving: make(chan struct{}), outdated: make(chan *database.Behind, 1),
	}
	var err error
	if r.db, err = database.Open(s.DatabaseURL, Name, s.MaxConnections); err != nil {
		return nil, settings.Wrong("DATABASE_URL", err)
	}
	if r.broker, err = events.Connect(Name, s.BrokerURL); err != nil {
		return nil, settings.Wrong("NATS_URL", "the client does not take it")
	}
	schema, err := database.NewSchema(r.db)
	if err != nil {
		return nil, err
	}
	renderer, err := mail.NewRenderer(s.Mail.ShopName())
	if err != nil {
		return nil, err
	}
	metrics, measured := web.NewMetrics(registry), events.NewMetrics(registry)
	r.measureConnections(registry)
	if r.api, err = web.Listen(s.API, "HTTP_ADDR", s.Proxies, metrics); err != nil {
		return nil, err
	}
	if r.admin, err = web.Listen(s.Admin, "ADMIN_ADDR", nil, metrics); err != nil {
		return nil, err
	}
	verifier, server := auth.NewVerifier(s.UsersURL), delivery.NewServer(registry)
	processor := events.NewProcessor(r.db, schema, measured, subscriptions.All(renderer)...)
	migrated, connected := r.readiness.Condition("database"), r.readiness.Condition("broker")

	routes := web.NewRoutes(schema)
	(&api.API{DB: r.db, Server: server, Sends: s.Mail.Server != nil}).AddRoutes(routes, verifier)
	r.api.Serve(web.Edge(routes, s.Origins, metrics, r.leaving))
	r.admin.Serve(r.adminRoutes(schema, registry, processor))
	go func() {
		if behind := schema.Watch(r.work.stop, migrated); behind != nil {
			r.outdated <- behind
		}
	}()
	outbox := events.NewOutbox(Name)
	r.handleEvents(migrated, connected, outbox, processor, measured)
	r.work.start(migrated.Done(), "jwks", verifier.KeepFresh)
	r.work.start(migrated.Done(), "retention", delivery.Retention(r.db))
	r.work.start(migrated.Done(), "sender", sender(s.Mail, &delivery.Delivery{
		DB: r.db, Outbox: outbox, Metrics: delivery.NewMetrics(registry), Server: server, From: s.Mail.From,
	}).Run)
	return r, nil
}

// handleEvents starts what every service has for its events, and a consumer for each kind.
func (r *Running) handleEvents(
	migrated, connected *health.Condition, outbox *events.Outbox, processor *events.Processor, metrics *events.Metrics,
) {
	housekeeping := &events.Housekeeping{Service: Name, DB: r.db, Broker: r.broker, Metrics: metrics}
	r.work.start(migrated.Done(), "housekeeping", housekeeping.Run)
	r.work.start(migrated.Done(), "retries", processor.Retry)
	places := events.NewPlaces()
	for _, kind := range processor.Kinds() {
		consumer := &events.Consumer{Service: Name, Kind: kind, Broker: r.broker, Processor: processor, Places: places}
		r.work.start(migrated.Done(), kind, consumer.Run)
	}
	relay := &events.Relay{Outbox: outbox, DB: r.db, Broker: r.broker, Metrics: metrics, Connected: connected}
	r.relay.start(migrated.Done(), "relay", relay.Run)
}

func sender(s settings.Mail, d *delivery.Delivery) *delivery.Sender {
	if s.Server == nil {
		slog.Info("no SMTP_HOST is set: mails are kept and not sent")
		return &delivery.Sender{Delivery: d}
	}
	slog.Info("mails are sent", "host", s.Server.Host, "port", s.Server.Port, "tls", s.Server.TLS)
	return &delivery.Sender{Delivery: d, Connect: func() *smtp.Client { return smtp.NewClient(*s.Server, s.Domain()) }}
}

func (r *Running) measureConnections(registry prometheus.Registerer) {
	gauge := func(name, help string, value func() int32) {
		registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help},
			func() float64 { return float64(value()) }))
	}
	gauge("db_connections_used", "Connections in use", func() int32 { used, _ := r.db.Usage(); return used })
	gauge("db_connections", "Connections in the pool", func() int32 { _, all := r.db.Usage(); return all })
}

// adminRoutes are health, metrics, and events that were not applied. Never exposed outside the cluster.
func (r *Running) adminRoutes(schema *database.Schema, registry *prometheus.Registry, processor *events.Processor) http.Handler {
	routes := web.NewRoutes(schema)
	routes.Add("GET", "/livez", func(w http.ResponseWriter, _ *http.Request) error {
		_, err := fmt.Fprint(w, "ok")
		return err
	})
	routes.Add("GET", "/readyz", func(w http.ResponseWriter, _ *http.Request) error {
		text := "ready"
		if missing := r.readiness.Missing(); missing != nil {
			text = "waiting for: " + strings.Join(missing, ", ")
		} else if trouble := schema.Trouble(); trouble != "" {
			text = trouble // It was current before, so its condition stays met.
		}
		if text != "ready" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_, err := fmt.Fprint(w, text)
		return err
	})
	metrics := promhttp.HandlerFor(registry, promhttp.HandlerOpts{EnableOpenMetrics: true})
	routes.Add("GET", "/metrics", func(w http.ResponseWriter, req *http.Request) error {
		metrics.ServeHTTP(w, req)
		return nil
	})
	processor.AddRoutes(routes)
	return routes
}

// API and Admin are where it listens.
func (r *Running) API() net.Addr   { return r.api.Addr() }
func (r *Running) Admin() net.Addr { return r.admin.Addr() }

// Outdated gives what is wrong with the schema when it is behind for good.
func (r *Running) Outdated() <-chan *database.Behind { return r.outdated }

// Leave gives clients that hold a connection the time to take another one, at another replica: requests are still answered, and each
// answer says that its connection ends.
func (r *Running) Leave() {
	r.readiness.Stop()
	close(r.leaving)
	time.Sleep(leaveTime)
}

// Stop takes no new request; requests, events and workers finish, the outbox is published.
func (r *Running) Stop() {
	r.readiness.Stop()
	var both sync.WaitGroup
	both.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), stopWorkTime)
		defer cancel()
		if r.api.Stop(ctx) != nil {
			cut("requests", stopWorkTime)
		}
	})
	both.Go(func() {
		if !r.work.end(stopWorkTime) {
			cut("workers", stopWorkTime)
		}
	})
	both.Wait()
	if !r.relay.end(stopRelayTime) {
		cut("relay", stopRelayTime)
	}
	now, cancel := context.WithCancel(context.Background())
	cancel()
	_ = r.admin.Stop(now) // Whoever looks at it is told nothing new any more.
	r.broker.Close()
	slog.Info("stopped")
}

func cut(what string, limit time.Duration) {
	slog.Warn("did not end in time and is cut", "what", what, "limit_s", limit.Seconds())
}
