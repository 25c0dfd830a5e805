package events

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"shopkeeper.dev/email/internal/database"
	"shopkeeper.dev/email/internal/telemetry"
)

// outcome is what became of an event, as the metrics name it.
type outcome string

const (
	applied     outcome = "applied"
	duplicate   outcome = "duplicate"
	parkedEvent outcome = "parked"
	retried     outcome = "retried"
	deadLetter  outcome = "dead"
	// The database is away or its schema behind: nothing has happened.
	waiting outcome = "waiting"
	// It was not applied, and the database, which is there, does not take it as that either: something is wrong with it.
	refused outcome = "refused"
)

// Processor applies events with the handlers of a service.
type Processor struct {
	db       *database.DB
	schema   *database.Schema
	handlers map[string]Handler
	metrics  *Metrics
}

// NewProcessor has one handler for each kind.
func NewProcessor(db *database.DB, schema *database.Schema, metrics *Metrics, handlers ...Handler) *Processor {
	byKind := map[string]Handler{}
	for _, handler := range handlers {
		byKind[handler.Kind()] = handler
	}
	return &Processor{db, schema, byKind, metrics}
}

// Kinds are those that it handles.
func (p *Processor) Kinds() []string { return slices.Sorted(maps.Keys(p.handlers)) }

// process applies the event in a transaction of its own, or keeps it with the reason why not.
func (p *Processor) process(ctx context.Context, subject string, payload []byte) outcome {
	event, err := parse(subject, payload)
	var result outcome
	if err != nil {
		result = p.keep(ctx, payloadID(payload), subject, payload, Dead(err.Error()))
	} else {
		ctx = p.span(ctx, event)
		result = p.apply(ctx, event, payload)
	}
	// The subject is a label, so it must be one of few.
	if _, known := p.handlers[subject]; !known {
		subject = "other"
	}
	p.metrics.processed.WithLabelValues(subject, string(result)).Inc()
	return result
}

func (p *Processor) span(ctx context.Context, event *Envelope) context.Context {
	parent := ""
	if event.Traceparent != nil {
		parent = *event.Traceparent
	}
	return telemetry.With(telemetry.Start(ctx, parent),
		slog.String("messaging.system", "nats"),
		slog.String("messaging.operation.name", "process"),
		slog.String("messaging.destination.name", event.Type),
		slog.String("messaging.message.id", event.ID.String()))
}

func (p *Processor) apply(ctx context.Context, event *Envelope, payload []byte) outcome {
	isNew, err := p.attempt(ctx, event)
	switch {
	case err == nil && isNew:
		return applied
	case err == nil:
		return duplicate
	case database.IsUnavailable(err):
		slog.DebugContext(ctx, "the database is away or its schema behind; the event waits", "error", err)
		return waiting
	}
	return p.keep(ctx, event.ID, event.Type, payload, err)
}

// attempt is one try in a transaction of its own, which is committed if the event was applied. False: it was applied before. An
// error is an outage, or the reason why the event is kept.
func (p *Processor) attempt(ctx context.Context, event *Envelope) (isNew bool, err error) {
	handler, ok := p.handlers[event.Type]
	if !ok {
		return false, Dead(event.Type + " is not handled here")
	}
	err = p.db.Tx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		isNew, err = enter(ctx, tx, event.ID)
		if err != nil {
			return err
		}
		if isNew {
			if err := call(ctx, handler, tx, event); err != nil {
				return err
			}
		}
		return forget(ctx, tx, event.ID)
	})
	if database.NamesWhatIsMissing(err) {
		if behind := p.schema.IsToBlame(ctx); behind != nil {
			return false, &database.Unavailable{Cause: behind.Error()}
		}
	}
	return isNew, err
}

// call makes an error of a panic: what it leaves behind is the transaction, which is rolled back.
func call(ctx context.Context, handler Handler, tx pgx.Tx, event *Envelope) (err error) {
	defer func() {
		if words := recover(); words != nil {
			err = fmt.Errorf("the handler panicked: %v", words)
		}
	}()
	return handler.Handle(ctx, tx, event)
}

func (p *Processor) keep(ctx context.Context, id uuid.UUID, subject string, payload []byte, reason error) outcome {
	result, err := keep(ctx, p.db, id, subject, payload, reason)
	switch {
	case database.IsUnavailable(err), database.NamesWhatIsMissing(err):
		// A table that is missing here is one that all services have, so the schema is behind.
		return waiting
	case err != nil:
		slog.ErrorContext(ctx, "an event was not applied and the database refuses to keep it; it is delivered again until the database is mended",
			"event_id", id, "error", err)
		return refused
	}
	level, message := slog.LevelDebug, "event is parked"
	switch result {
	case retried:
		level, message = slog.LevelInfo, "event will be tried again"
	case deadLetter:
		level, message = slog.LevelWarn, "event is dead; see /dead-letters"
	case duplicate:
		return duplicate
	}
	slog.Log(ctx, level, message, "event_id", id, "subject", subject, "cause", reason.Error())
	return result
}

// Retry tries again what was parked or has failed, when it is due, until stop; the event at work is finished.
func (p *Processor) Retry(stop context.Context) error {
	ctx := context.WithoutCancel(stop)
	kinds := p.Kinds()
	for stop.Err() == nil {
		event, err := takeDue(ctx, p.db, kinds)
		if err != nil {
			return err
		}
		if event == nil {
			select {
			case <-stop.Done():
			case <-time.After(time.Second):
			}
			continue
		}
		if p.process(ctx, event.subject, []byte(event.payload)) == waiting {
			return errors.New("an event cannot be tried again: the database is away or its schema behind")
		}
	}
	return nil
}
