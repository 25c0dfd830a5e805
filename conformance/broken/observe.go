package main

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// logger writes one JSON object a line.
func logger() *slog.Logger {
	level := slog.LevelInfo
	if os.Getenv("LOG") == "debug" {
		level = slog.LevelDebug
	}
	names := map[string]string{slog.TimeKey: "timestamp", slog.MessageKey: "message"}
	handler := slog.NewJSONHandler(os.Stdout, &slog.HandlerOptions{Level: level, ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if other, ok := names[a.Key]; ok && len(groups) == 0 {
			a.Key = other
		}
		if a.Key == "trace_id" && a.Value.String() == "" {
			return slog.Attr{}
		}
		return a
	}})
	return slog.New(handler).With("service.name", name)
}

var traceParent = regexp.MustCompile("^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}$")

func traceOf(traceparent string) string {
	if found := traceParent.FindStringSubmatch(traceparent); found != nil {
		return found[1]
	}
	return ""
}

func newUUID() string {
	bytes := make([]byte, 16)
	rand.Read(bytes)
	return uuid(bytes)
}

// uuid makes one of sixteen bytes, by RFC 9562 of its own kind (version 8).
func uuid(bytes []byte) string {
	bytes[6], bytes[8] = bytes[6]&0x0f|0x80, bytes[8]&0x3f|0x80
	text := hex.EncodeToString(bytes[:16])
	return text[:8] + "-" + text[8:12] + "-" + text[12:16] + "-" + text[16:20] + "-" + text[20:]
}

type metrics struct {
	mutex     sync.Mutex
	events    map[string]int
	durations map[string]*duration
	active    atomic.Int64
	published atomic.Int64
	failed    atomic.Bool
}

// failOnce is true the first time.
func (m *metrics) failOnce() bool { return m.failed.CompareAndSwap(false, true) }

type duration struct {
	count int
	sum   float64
	below map[float64]int
}

var bounds = []float64{0.005, 0.025, 0.1, 0.5, 1, 2.5, 10}

func (m *metrics) count(subject, outcome string) {
	if subject != subscribed {
		subject = "other"
	}
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if m.events == nil {
		m.events = map[string]int{}
	}
	m.events[fmt.Sprintf(`subject=%q,outcome=%q`, subject, outcome)]++
}

func (m *metrics) observe(method, route string, status int, took time.Duration) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	labels := fmt.Sprintf(`method=%q,route=%q,status="%d"`, method, route, status)
	if broken("metrics.names/labels") {
		labels = fmt.Sprintf(`method=%q,route=%q`, method, route)
	}
	if m.durations == nil {
		m.durations = map[string]*duration{}
	}
	d := m.durations[labels]
	if d == nil {
		d = &duration{below: map[float64]int{}}
		m.durations[labels] = d
	}
	d.count++
	d.sum += took.Seconds()
	for _, bound := range bounds {
		if took.Seconds() <= bound {
			d.below[bound]++
		}
	}
}

// text is Prometheus' format 0.0.4. The gauges are looked up when they are asked for.
func (m *metrics) text(gauges map[string]int64) string {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	var text strings.Builder
	text.WriteString("# TYPE http_server_request_duration_seconds histogram\n")
	for labels, d := range m.durations {
		for _, bound := range bounds {
			fmt.Fprintf(&text, "http_server_request_duration_seconds_bucket{%s,le=\"%g\"} %d\n", labels, bound, d.below[bound])
		}
		fmt.Fprintf(&text, "http_server_request_duration_seconds_bucket{%s,le=\"+Inf\"} %d\n", labels, d.count)
		fmt.Fprintf(&text, "http_server_request_duration_seconds_sum{%s} %g\n", labels, d.sum)
		fmt.Fprintf(&text, "http_server_request_duration_seconds_count{%s} %d\n", labels, d.count)
	}
	text.WriteString("# TYPE events_processed_total counter\n")
	for labels, count := range m.events {
		fmt.Fprintf(&text, "events_processed_total{%s} %d\n", labels, count)
	}
	fmt.Fprintf(&text, "# TYPE events_published_total counter\nevents_published_total %d\n", m.published.Load())
	gauges["http_server_active_requests"] = m.active.Load()
	names := make([]string, 0, len(gauges))
	for name := range gauges {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		fmt.Fprintf(&text, "# TYPE %s gauge\n%s %d\n", name, name, gauges[name])
	}
	if broken("metrics.format") {
		text.WriteString("this is no sample\n")
	}
	return text.String()
}
