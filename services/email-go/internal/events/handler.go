package events

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// Handler applies one kind of event.
type Handler interface {
	// Kind is the event's type and subject: shop.orders.order.confirmed.v1.
	Kind() string
	// Handle applies the event within the transaction. An error rolls back: Park and Dead say what becomes of the event; an outage
	// is waited out, and anything else is tried ten times within about four minutes.
	Handle(ctx context.Context, tx pgx.Tx, event *Envelope) error
}

type parked struct {
	waitsFor string
	atMost   time.Duration
	cause    string
}

func (p *parked) Error() string { return p.cause }

// Park lets the event wait for a name of the service's own choice (user:<id>). It is tried again when Release names the same, and
// from time to time without that. After atMost it is dead.
func Park(waitsFor string, atMost time.Duration, cause string) error {
	return &parked{waitsFor, atMost, cause}
}

type dead struct{ cause string }

func (d *dead) Error() string { return d.cause }

// Dead says that the event can never be applied: it goes to the dead letters.
func Dead(cause string) error { return &dead{cause} }

// Release makes due what waits for a name: call it in the transaction that makes it known.
func Release(ctx context.Context, tx pgx.Tx, waitsFor string) error {
	_, err := tx.Exec(ctx,
		"update failed_events set due_at = now() where waits_for = $1 and dead_at is null", waitsFor)
	return err
}
