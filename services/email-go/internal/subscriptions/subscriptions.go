// Package subscriptions makes queued mails of accounts and orders.
package subscriptions

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"shopkeeper.dev/email/internal/events"
	"shopkeeper.dev/email/internal/mail"
	"shopkeeper.dev/email/internal/smtp"
	"shopkeeper.dev/email/internal/store"
)

// How long an order waits for its buyer. A confirmation that comes a day late is still better than none.
const longestWait = 24 * time.Hour

// All is what email subscribes to.
func All(renderer *mail.Renderer) []events.Handler {
	q := queue{renderer}
	return []events.Handler{
		registered{q},
		orders[mail.Confirmed]{q, "shop.orders.order.confirmed.v1", false},
		orders[mail.Cancelled]{q, "shop.orders.order.cancelled.v1", false},
		// An order can be refunded in parts, and each is told of.
		orders[mail.Refunded]{q, "shop.orders.order.refunded.v1", true},
	}
}

// registered keeps the recipient, welcomes, and lets go on what waits for this user.
type registered struct{ queue }

func (registered) Kind() string { return "shop.users.user.registered.v1" }

func (h registered) Handle(ctx context.Context, tx pgx.Tx, event *events.Envelope) error {
	user, err := events.Read[mail.Registered](event)
	if err != nil {
		return err
	}
	if !smtp.IsAddress(user.Email) {
		return events.Dead(fmt.Sprintf("the address of user %s is none", user.UserID))
	}
	to := store.Recipient{UserID: user.UserID, Address: user.Email}
	if err := store.KeepRecipient(ctx, tx, to); err != nil {
		return err
	}
	if err := events.Release(ctx, tx, userKey(user.UserID)); err != nil {
		return err
	}
	return h.add(ctx, tx, store.NewMail{To: to, Reference: user.UserID}, mail.Letter{Kind: mail.Welcome})
}

// orders queues a mail for an event about an order.
type orders[E mail.OrderEvent] struct {
	queue
	kind string
	// There is a mail for each event, and not for each order.
	ofEach bool
}

func (h orders[E]) Kind() string { return h.kind }

func (h orders[E]) Handle(ctx context.Context, tx pgx.Tx, event *events.Envelope) error {
	data, err := events.Read[E](event)
	if err != nil {
		return err
	}
	order := data.Of()
	to, err := store.FindRecipient(ctx, tx, order.BuyerID)
	if err != nil {
		return err
	}
	if to == nil {
		return events.Park(userKey(order.BuyerID), longestWait,
			fmt.Sprintf("user %s is not known here yet: user.registered has not arrived", order.BuyerID))
	}
	letter, err := data.Letter()
	if err != nil {
		return events.Dead(fmt.Sprintf("order %s: %v", order.OrderID, err))
	}
	reference := order.OrderID
	if h.ofEach {
		reference = event.ID
	}
	return h.add(ctx, tx, store.NewMail{To: *to, Reference: reference, OrderID: &order.OrderID}, letter)
}

// userKey is the name of a user under which events wait.
func userKey(id uuid.UUID) string { return "user:" + id.String() }

// queue is mails on their way to the sender.
type queue struct{ renderer *mail.Renderer }

// add queues a mail in the event's transaction.
func (q queue) add(ctx context.Context, tx pgx.Tx, m store.NewMail, letter mail.Letter) error {
	content, err := q.renderer.Render(letter)
	if err != nil {
		return events.Dead(fmt.Sprintf("the mail %s cannot be rendered: %v", letter.Kind, err))
	}
	m.Kind, m.Content = letter.Kind, content
	id, err := store.Queue(ctx, tx, m)
	if err != nil {
		return err
	}
	fields := []any{"kind", m.Kind, "user_id", m.To.UserID}
	if m.OrderID != nil {
		fields = append(fields, "order_id", *m.OrderID)
	}
	if id == nil {
		slog.DebugContext(ctx, "this mail exists already", fields...)
	} else {
		slog.InfoContext(ctx, "mail queued", append(fields, "mail_id", *id)...)
	}
	return nil
}
