package main

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"
)

// service is a running process: what it is made of, and how far it is.
type service struct {
	settings settings
	pool     *pgxpool.Pool
	nats     *nats.Conn
	metrics  metrics
	// Each was met once.
	migrated, connected atomic.Bool
	trouble             atomic.Pointer[string]
	leaving             atomic.Bool
	behind              chan error
	added               chan struct{}
	// How often each event was refused by the database; only who applies events looks.
	failures map[string]int
	servers  []*http.Server
	// Ends the work beside the requests, and then the relay.
	work, relay           context.Context
	endWork, endRelay     context.CancelFunc
	workers, relayWorkers sync.WaitGroup
}

func newService(settings settings) (*service, error) {
	s := &service{settings: settings, behind: make(chan error, 1), added: make(chan struct{}, 1), failures: map[string]int{}}
	s.work, s.endWork = context.WithCancel(context.Background())
	s.relay, s.endRelay = context.WithCancel(context.Background())
	var err error
	if s.pool, err = openPool(settings.database, settings.connections); err != nil {
		return nil, err
	}
	s.nats, err = connect(settings.broker)
	return s, err
}

func (s *service) start(api, admin, grpc net.Listener) {
	s.serveHTTP(api, s.edge())
	s.serveHTTP(admin, s.adminRoutes())
	s.serveHTTP(grpc, s.grpcRoutes())
	if broken("log.lines") {
		os.Stdout.WriteString("started\n")
	}
	if broken("log.secrets") {
		slog.Info("the database is " + s.settings.database)
	}
	if broken("resources.cpu") {
		for range 64 * runtime.NumCPU() {
			go func() { runtime.LockOSThread(); <-s.work.Done() }()
		}
	}
	if broken("resources.memory") && os.Getenv("LOG") == "debug" {
		hoard()
	}
	s.beside(&s.workers, s.work, s.watchSchema)
	for _, work := range []func(context.Context) error{s.consume, s.sendMails} {
		s.beside(&s.workers, s.work, s.afterMigration(work))
	}
	s.beside(&s.relayWorkers, s.relay, s.afterMigration(s.publish))
}

var hoarded []byte

func hoard() {
	hoarded = make([]byte, 150<<20)
	for i := range hoarded {
		hoarded[i] = 1 // else it is no memory yet
	}
}

func (s *service) serveHTTP(listener net.Listener, routes http.Handler) {
	bytes := 16 << 10
	if broken("http.head-size") {
		bytes = 1 << 20
	}
	head := 10 * time.Second
	if broken("http.limits/head") {
		head = 0
	}
	server := &http.Server{
		Handler: routes, MaxHeaderBytes: bytes, ReadHeaderTimeout: head,
		ErrorLog: slog.NewLogLogger(slog.Default().Handler(), slog.LevelDebug),
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			return context.WithValue(context.WithValue(ctx, connection, conn), acceptedAt, time.Now())
		},
	}
	// With HTTP/2 from the first byte on, which gRPC speaks.
	server.Protocols = new(http.Protocols)
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	s.servers = append(s.servers, server)
	go server.Serve(bound(listener))
}

// beside runs work until its end is wanted, again after each failure.
func (s *service) beside(group *sync.WaitGroup, until context.Context, work func(context.Context) error) {
	group.Go(func() {
		for until.Err() == nil {
			if err := work(until); err != nil && until.Err() == nil {
				slog.Debug("work failed and begins again", "error", err.Error())
				wait(until, 300*time.Millisecond)
			}
		}
	})
}

func (s *service) afterMigration(work func(context.Context) error) func(context.Context) error {
	return func(until context.Context) error {
		for !s.migrated.Load() {
			if !wait(until, 50*time.Millisecond) {
				return nil
			}
		}
		return work(until)
	}
}

// wait is false when the end came first.
func wait(until context.Context, pause time.Duration) bool {
	select {
	case <-until.Done():
		return false
	case <-time.After(pause):
		return true
	}
}

// stop lets clients move on, then ends requests and work, then publishes what is left.
func (s *service) stop(leave bool) {
	s.leaving.Store(true)
	slog.Info("told to stop")
	if broken("stop.leaves/exits") {
		time.Sleep(600 * time.Millisecond)
		os.Exit(0)
	}
	if leave && !broken("stop.leaves") {
		time.Sleep(2 * time.Second)
	}
	s.endWork()
	limit, cancel := context.WithTimeout(context.Background(), 14*time.Second)
	defer cancel()
	var requests sync.WaitGroup
	for i, line := range map[int]string{0: "stop.finishes", 2: "grpc.stop"} {
		requests.Go(func() {
			if broken(line) {
				s.servers[i].Close()
			} else {
				s.servers[i].Shutdown(limit)
			}
		})
	}
	requests.Wait()
	ended(&s.workers, 14*time.Second)
	s.endRelay()
	ended(&s.relayWorkers, 7*time.Second)
	s.nats.FlushTimeout(time.Second)
	slog.Info("stopped")
}

func ended(group *sync.WaitGroup, limit time.Duration) {
	done := make(chan struct{})
	go func() { group.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(limit):
		slog.Warn("did not end in time and is cut")
	}
}

// waitsFor says what is missing, or nothing.
func (s *service) waitsFor() string {
	if s.leaving.Load() {
		return "stopping"
	}
	if trouble := s.trouble.Load(); trouble != nil && s.migrated.Load() {
		return *trouble
	}
	var missing []string
	if !s.migrated.Load() {
		text := "database"
		hides := broken("schema.behind") || broken("schema.unreadable/why")
		if trouble := s.trouble.Load(); trouble != nil && !hides {
			text += " (" + *trouble + ")"
		}
		missing = append(missing, text)
	}
	if !s.connected.Load() {
		missing = append(missing, "broker")
	}
	if len(missing) == 0 {
		return ""
	}
	if broken("probes.waits") && s.trouble.Load() == nil {
		return "not yet"
	}
	return "waiting for: " + strings.Join(missing, ", ")
}
