package telemetry

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"slices"
)

// span is the W3C trace context of one piece of work.
type span struct {
	trace [16]byte
	id    [8]byte
	flags byte
}

func (s span) traceID() string { return hex.EncodeToString(s.trace[:]) }
func (s span) spanID() string  { return hex.EncodeToString(s.id[:]) }

type (
	spanKey       struct{}
	attributesKey struct{}
)

// Start begins a piece of work: within the trace of traceparent, or in one of its own where that is none.
func Start(ctx context.Context, traceparent string) context.Context {
	s, ok := parse(traceparent)
	if !ok {
		_, _ = rand.Read(s.trace[:])
		s.flags = 1
	}
	_, _ = rand.Read(s.id[:])
	return context.WithValue(ctx, spanKey{}, s)
}

// With adds attributes to every line that is logged with the context.
func With(ctx context.Context, more ...slog.Attr) context.Context {
	return context.WithValue(ctx, attributesKey{}, append(slices.Clip(attributes(ctx)), more...))
}

// TraceID is the id of the current trace in lower-case hex; empty outside of one.
func TraceID(ctx context.Context) string {
	if s, ok := spanOf(ctx); ok {
		return s.traceID()
	}
	return ""
}

// Traceparent is the current span, to be stored with an event or a mail; nil outside of one.
func Traceparent(ctx context.Context) *string {
	s, ok := spanOf(ctx)
	if !ok {
		return nil
	}
	text := fmt.Sprintf("00-%s-%s-%02x", s.traceID(), s.spanID(), s.flags)
	return &text
}

func spanOf(ctx context.Context) (span, bool) {
	s, ok := ctx.Value(spanKey{}).(span)
	return s, ok
}

func attributes(ctx context.Context) []slog.Attr {
	all, _ := ctx.Value(attributesKey{}).([]slog.Attr)
	return all
}

// parse reads a traceparent (W3C Trace Context): version, trace, parent and flags.
func parse(text string) (s span, ok bool) {
	if len(text) < 55 || text[2] != '-' || text[35] != '-' || text[52] != '-' || text[:2] == "ff" {
		return span{}, false
	}
	if len(text) > 55 && (text[:2] == "00" || text[55] != '-') {
		return span{}, false
	}
	var flags [1]byte
	for _, part := range []struct {
		to   []byte
		from string
	}{{s.trace[:], text[3:35]}, {s.id[:], text[36:52]}, {flags[:], text[53:55]}} {
		if _, err := hex.Decode(part.to, []byte(part.from)); err != nil {
			return span{}, false
		}
	}
	s.flags = flags[0] & 1
	return s, s.trace != [16]byte{} && s.id != [8]byte{}
}
