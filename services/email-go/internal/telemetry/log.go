// Package telemetry writes logs that belong to traces: JSON lines with the trace's ids at the top level.
package telemetry

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"time"
)

// NewHandler writes one JSON object a line to w. The attributes that With has put into a context are at the top level too; the
// line's own win over them.
func NewHandler(w io.Writer, service string, level slog.Level) slog.Handler {
	lines := slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level, ReplaceAttr: rename})
	return &handler{lines, service}
}

type handler struct {
	slog.Handler
	service string
}

func rename(groups []string, a slog.Attr) slog.Attr {
	if len(groups) > 0 {
		return a
	}
	switch a.Key {
	case slog.TimeKey:
		return slog.String("timestamp", a.Value.Time().UTC().Format(time.RFC3339Nano))
	case slog.MessageKey:
		a.Key = "message"
	}
	return a
}

// Handle implements slog.Handler.
func (h *handler) Handle(ctx context.Context, record slog.Record) error {
	line := slog.NewRecord(record.Time, record.Level, record.Message, 0)
	line.AddAttrs(slog.String("service.name", h.service), slog.String("target", target(record.PC)))
	own := map[string]bool{}
	record.Attrs(func(a slog.Attr) bool { own[a.Key] = true; return true })
	for _, a := range attributes(ctx) {
		if !own[a.Key] {
			line.AddAttrs(a)
		}
	}
	if span, ok := spanOf(ctx); ok {
		line.AddAttrs(slog.String("trace_id", span.traceID()), slog.String("span_id", span.spanID()), slog.String("trace_flags", fmt.Sprintf("%02x", span.flags)))
	}
	record.Attrs(func(a slog.Attr) bool { line.AddAttrs(a); return true })
	return h.Handler.Handle(ctx, line)
}

// target is the package that writes the line, such as email/internal/events.
func target(pc uintptr) string {
	frame, _ := runtime.CallersFrames([]uintptr{pc}).Next()
	name := strings.TrimPrefix(frame.Function, "shopkeeper.dev/")
	folder := strings.LastIndexByte(name, '/') + 1
	name, _, _ = strings.Cut(name[folder:], ".")
	return strings.TrimPrefix(frame.Function, "shopkeeper.dev/")[:folder] + name
}

// LogLimit decides for one place in the code whether to write its line now: lines that would come a thousand times a second come
// once in a while.
type LogLimit struct {
	mu      sync.Mutex
	last    time.Time
	leftOut int
}

const pause = 10 * time.Second

// Due says whether the line is due, and how many were left out since the one before.
func (l *LogLimit) Due(now time.Time) (leftOut int, due bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.last.IsZero() && now.Sub(l.last) < pause {
		l.leftOut++
		return 0, false
	}
	leftOut, l.last, l.leftOut = l.leftOut, now, 0
	return leftOut, true
}
