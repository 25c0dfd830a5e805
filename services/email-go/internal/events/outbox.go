package events

import (
	"context"
	"encoding/json"

	"github.com/jackc/pgx/v5"
)

// Outbox publishes events of one service: rows in the transaction that makes them true. The relay takes them from there.
type Outbox struct {
	service string
	// Wakes the relay of this process.
	added chan struct{}
}

// NewOutbox is the outbox of a service.
func NewOutbox(service string) *Outbox {
	return &Outbox{service, make(chan struct{}, 1)}
}

// Add publishes an event about aggregate when the transaction commits. The sequence counts up per aggregate.
func (o *Outbox) Add(ctx context.Context, tx pgx.Tx, aggregate string, sequence int64, event Event) error {
	envelope, err := newEnvelope(ctx, o.service, aggregate, sequence, event)
	if err != nil {
		return err
	}
	text, err := json.Marshal(envelope)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, "insert into outbox (id, subject, envelope, traceparent) values ($1, $2, $3, $4)",
		envelope.ID, envelope.Type, string(text), envelope.Traceparent)
	select {
	case o.added <- struct{}{}:
	default:
	}
	return err
}
