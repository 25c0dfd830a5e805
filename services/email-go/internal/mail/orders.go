package mail

import (
	"errors"

	"github.com/google/uuid"
)

// What is read of the events of orders, and the letters that become of them.

// Order is which order an event is about, and whose.
type Order struct {
	OrderID uuid.UUID `json:"order_id"`
	// What people call the order by. Missing in events of older versions of orders.
	Number  *string   `json:"number"`
	BuyerID uuid.UUID `json:"buyer_id"`
}

// Of is the order itself, for what is read of whatever event of it.
func (o Order) Of() Order { return o }

func (o Order) number() string {
	if o.Number != nil {
		return OneLine(*o.Number)
	}
	return orderNumber(o.OrderID)
}

// OrderEvent is an event about an order whose buyer is told of it.
type OrderEvent interface {
	Of() Order
	// Letter is what the buyer is told. An error: an amount cannot be written.
	Letter() (Letter, error)
}

// Confirmed is what is read of order.confirmed.
type Confirmed struct {
	Order
	Items []item `json:"items"`
	Total Money  `json:"total"`
}

type item struct {
	Title     string `json:"title"`
	Quantity  uint32 `json:"quantity"`
	UnitPrice Money  `json:"unit_price"`
}

// Letter implements OrderEvent.
func (c Confirmed) Letter() (Letter, error) {
	items := []map[string]any{}
	for _, item := range c.Items {
		price, err := item.UnitPrice.Times(item.Quantity)
		if err != nil {
			return Letter{}, err
		}
		text, err := price.Text()
		if err != nil {
			return Letter{}, err
		}
		items = append(items, map[string]any{
			"title": OneLine(item.Title), "quantity": item.Quantity, "line_total": text,
		})
	}
	total, err := c.Total.Text()
	return Letter{OrderConfirmed, map[string]any{"number": c.number(), "items": items, "total": total}}, err
}

// Cancelled is what is read of order.cancelled.
type Cancelled struct {
	Order
	Reason reason `json:"reason"`
	Total  Money  `json:"total"`
}

// reason is why an order was cancelled.
type reason string

// The reasons that a mail says differently.
var reasons = map[reason]string{
	"payment_declined": "Your payment was declined, so no money was taken. You can order again and pay in another way.",
	"payment_refused":  "Your payment could not be made, so no money was taken. You can order again and pay in another way.",
	"timed_out": "Your payment could not be completed in time. If an amount was reserved on your account, it is released. " +
		"You can order again.",
}

// inWords is the reason in plain words, in general ones for one of a later version.
func (r reason) inWords() string {
	if words, known := reasons[r]; known {
		return words
	}
	return "We could not complete it. If an amount was reserved on your account, it is released. You can order again."
}

// Letter implements OrderEvent.
func (c Cancelled) Letter() (Letter, error) {
	total, err := c.Total.Text()
	return Letter{OrderCancelled, map[string]any{
		"number": c.number(), "reason": c.Reason.inWords(), "total": total,
	}}, err
}

// Refunded is what is read of order.refunded.
type Refunded struct {
	Order
	// Given back this time.
	Amount Money `json:"amount"`
	// Given back so far, this time included.
	Refunded Money `json:"refunded"`
	// What the order cost.
	Total Money `json:"total"`
}

// Letter implements OrderEvent.
func (r Refunded) Letter() (Letter, error) {
	amount, err1 := r.Amount.Text()
	refunded, err2 := r.Refunded.Text()
	total, err3 := r.Total.Text()
	return Letter{OrderRefunded, map[string]any{
		"number": r.number(), "amount": amount, "refunded": refunded, "total": total,
	}}, errors.Join(err1, err2, err3)
}

// Registered is what is read of user.registered. Not the name: whoever registers chooses it, and the address may be somebody
// else's, who must get nothing to read that a stranger wrote.
type Registered struct {
	UserID uuid.UUID `json:"user_id"`
	Email  string    `json:"email"`
}
