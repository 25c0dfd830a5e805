package telemetry

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"
)

const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

func TestALineHasTheTraceAndTheContextsFieldsAtTheTopLevel(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(NewHandler(&out, "email", slog.LevelInfo))
	ctx := With(Start(context.Background(), traceparent), slog.String("order_id", "7"), slog.String("kind", "outer"))
	log.DebugContext(ctx, "not told")
	log.InfoContext(ctx, "mail sent", "kind", "inner", slog.Attr{})
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatalf("%s: %v", out.String(), err)
	}
	for name, expected := range map[string]string{
		"level": "INFO", "message": "mail sent", "service.name": "email", "target": "email/internal/telemetry",
		"trace_id": "0af7651916cd43dd8448eb211c80319c", "trace_flags": "01", "order_id": "7", "kind": "inner",
	} {
		if line[name] != expected {
			t.Errorf("%s: %v", name, line[name])
		}
	}
	if id, _ := line["span_id"].(string); len(id) != 16 || id == "b7ad6b7169203331" {
		t.Error(id)
	}
	if _, err := time.Parse(time.RFC3339Nano, line["timestamp"].(string)); err != nil || len(line) != 10 {
		t.Error(line, err)
	}
}

func TestATraceIsGoneOnWithAndWhatIsNoneBeginsAnother(t *testing.T) {
	if next := *Traceparent(Start(context.Background(), traceparent)); !strings.HasPrefix(next, traceparent[:36]) || next == traceparent {
		t.Error(next)
	}
	for _, wrong := range []string{
		"", "x", strings.Replace(traceparent, "0af", "0AG", 1), "ff" + traceparent[2:], traceparent + "-x",
		"00-00000000000000000000000000000000-b7ad6b7169203331-01", traceparent[:36] + "0000000000000000-01",
	} {
		next := *Traceparent(Start(context.Background(), wrong))
		if len(next) != 55 || strings.Contains(next, "0af7651916cd43dd8448eb211c80319c") {
			t.Errorf("%q became %s", wrong, next)
		}
	}
	if Traceparent(context.Background()) != nil || TraceID(context.Background()) != "" {
		t.Error("there is no trace outside of one")
	}
}

func TestTheFirstLineComesAtOnceAndTheNextSaysWhatWasLeftOut(t *testing.T) {
	var limit LogLimit
	start := time.Unix(1_700_000_000, 0)
	for _, test := range []struct {
		after   time.Duration
		leftOut int
		due     bool
	}{{0, 0, true}, {time.Second, 0, false}, {5 * time.Second, 0, false}, {pause, 2, true}, {2 * pause, 0, true}} {
		if leftOut, due := limit.Due(start.Add(test.after)); leftOut != test.leftOut || due != test.due {
			t.Error(test, leftOut, due)
		}
	}
}
