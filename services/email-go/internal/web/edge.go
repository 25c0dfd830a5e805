package web

import (
	"context"
	"log/slog"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"shopkeeper.dev/email/internal/database"
	"shopkeeper.dev/email/internal/telemetry"
)

const (
	// Requests worked on at once; the next one is answered 503 rather than queued.
	requestsAtOnce = 512
	// The longest a request may take, and what it gets when the caller names no deadline.
	longest = 30 * time.Second
)

// Handler answers a request, or returns why it does not: a *Problem, or any other error.
type Handler func(w http.ResponseWriter, r *http.Request) error

// Routes are the paths of a port.
type Routes struct {
	mux    *http.ServeMux
	schema *database.Schema
	// The methods of each path.
	methods map[string][]string
}

// NewRoutes has no path yet. The schema is asked when a statement names what is missing.
func NewRoutes(schema *database.Schema) *Routes {
	routes := &Routes{http.NewServeMux(), schema, map[string][]string{}}
	routes.mux.Handle("/", routes.answer(func(http.ResponseWriter, *http.Request) error {
		return NotFound("There is nothing at this path.")
	}))
	return routes
}

// Add adds a method of a path.
func (s *Routes) Add(method, pattern string, handler Handler) {
	s.mux.Handle(method+" "+pattern, s.answer(handler))
	known := s.methods[pattern]
	s.methods[pattern] = append(known, method)
	if known != nil {
		return
	}
	s.mux.Handle(pattern, s.answer(func(w http.ResponseWriter, _ *http.Request) error {
		allowed := strings.Join(s.methods[pattern], ",")
		w.Header().Set("Allow", strings.Replace(allowed, "GET", "GET,HEAD", 1))
		return NewProblem(http.StatusMethodNotAllowed, "method_not_allowed",
			"This resource does not take this method.")
	}))
}

// answer writes what a handler returns as a problem, and that it panicked.
func (s *Routes) answer(handler Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if words := recover(); words != nil {
				writeProblem(w, r, internal(r.Context(), words))
			}
		}()
		if err := handler(w, r); err != nil {
			writeProblem(w, r, problemOf(r.Context(), s.schema, err))
		}
	})
}

// ServeHTTP implements http.Handler. A path that is not in its plain form is none, where the mux would redirect.
func (s *Routes) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if path.Clean(r.URL.Path) != r.URL.Path {
		writeProblem(w, r, NotFound("There is nothing at this path."))
		return
	}
	s.mux.ServeHTTP(w, r)
}

// route is the pattern of a request's path, never the path: labels are few.
func (s *Routes) route(r *http.Request) string {
	_, pattern := s.mux.Handler(r)
	pattern = pattern[strings.IndexByte(pattern, ' ')+1:]
	if pattern == "/" || pattern == "" || path.Clean(r.URL.Path) != r.URL.Path {
		return "none"
	}
	return pattern
}

// Edge is what every request to the public port passes through. From leaving on, each answer asks its client to take another
// connection.
func Edge(routes *Routes, origins []string, metrics *Metrics, leaving <-chan struct{}) http.Handler {
	handler := limitLoad(keepDeadline(refuseEncoded(routes)))
	return observe(routes, metrics, announceClose(leaving, cors(origins, handler)))
}

func refuseEncoded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, encoding := range r.Header.Values("Content-Encoding") {
			if !strings.EqualFold(encoding, "identity") {
				w.Header().Set("Accept-Encoding", "identity")
				writeProblem(w, r, NewProblem(http.StatusUnsupportedMediaType, "encoding_not_supported",
					"Send the body as it is, without Content-Encoding."))
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// keepDeadline gives the request the caller's time (x-deadline-ms). Whatever takes longer ends with it.
func keepDeadline(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		limit := longest
		asked, err := strconv.ParseUint(r.Header.Get("X-Deadline-Ms"), 10, 64)
		if err == nil && asked < uint64(longest.Milliseconds()) {
			limit = time.Duration(asked) * time.Millisecond
		}
		ctx, cancel := context.WithTimeout(r.Context(), limit)
		defer cancel()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

func limitLoad(next http.Handler) http.Handler {
	places := make(chan struct{}, requestsAtOnce)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case places <- struct{}{}:
			defer func() { <-places }()
			next.ServeHTTP(w, r)
		default:
			writeProblem(w, r, overloaded())
		}
	})
}

// Metrics are measurements of the HTTP edge.
type Metrics struct {
	duration *prometheus.HistogramVec
	active   prometheus.Gauge
	refused  prometheus.Counter
}

// NewMetrics registers them. The bounds are those of the HTTP semantic conventions, in seconds.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	m := &Metrics{
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "http_server_request_duration_seconds", Help: "Time from the request's arrival to its answer",
			Buckets: []float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10},
		}, []string{"method", "route", "status"}),
		active: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "http_server_active_requests", Help: "Requests being worked on",
		}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "http_server_connections_refused_total",
			Help: "Connections closed at once because their client had too many",
		}),
	}
	registry.MustRegister(m.duration, m.active, m.refused)
	return m
}

// recorder remembers the status.
type recorder struct {
	http.ResponseWriter
	status int
}

func (w *recorder) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

var refusedRequests telemetry.LogLimit

// observe makes one span, one line and one measurement of a request.
func observe(routes *Routes, metrics *Metrics, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		started := time.Now()
		method, route := boundedMethod(r.Method), routes.route(r)
		ctx := telemetry.With(telemetry.Start(r.Context(), r.Header.Get("Traceparent")),
			slog.String("http.request.method", method),
			slog.String("http.route", route),
			slog.String("url.path", r.URL.Path))
		recorded := &recorder{w, http.StatusOK}
		metrics.active.Inc()
		defer metrics.active.Dec()
		next.ServeHTTP(recorded, r.WithContext(ctx))
		elapsed := time.Since(started)
		metrics.duration.WithLabelValues(method, route, strconv.Itoa(recorded.status)).Observe(elapsed.Seconds())
		logRequest(telemetry.With(ctx, slog.Int("http.response.status_code", recorded.status)), recorded.status, elapsed)
	})
}

// logRequest: a replica that is overloaded, or without its database, refuses thousands a second; they are counted in the metrics
// and told once in a while.
func logRequest(ctx context.Context, status int, elapsed time.Duration) {
	duration := slog.Float64("duration_ms", float64(elapsed.Microseconds())/1000)
	switch {
	case status == http.StatusServiceUnavailable:
		if leftOut, due := refusedRequests.Due(time.Now()); due {
			slog.WarnContext(ctx, "request refused for now", duration, "left_out", leftOut)
		}
	case status >= 500:
		slog.WarnContext(ctx, "request answered", duration)
	default:
		slog.DebugContext(ctx, "request answered", duration)
	}
}

// boundedMethod is a label: a client may invent methods.
func boundedMethod(method string) string {
	switch method {
	case "GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS":
		return method
	}
	return "_OTHER"
}
