// Package mail is what mails are about and what they say: kinds, letters, amounts, templates, and the events that become mails.
package mail

// Kind is what a mail is about. A folder of templates has the same name.
type Kind string

// Status is how far a mail got.
type Status string

// The texts stand in the database, in the API and in events.
const (
	Welcome        Kind = "welcome"
	OrderConfirmed Kind = "order_confirmed"
	OrderCancelled Kind = "order_cancelled"
	OrderRefunded  Kind = "order_refunded"

	// Queued waits for its first or next attempt.
	Queued Status = "queued"
	// Sending: a sender works on it.
	Sending Status = "sending"
	// Sent: the mail server has taken it.
	Sent Status = "sent"
	// Kept: no mail server is configured; it is kept for reading.
	Kept Status = "kept"
	// Failed: refused for good, or given up after days of trying.
	Failed Status = "failed"
)

// Kinds and Statuses are all that there are.
var (
	Kinds    = []string{string(Welcome), string(OrderConfirmed), string(OrderCancelled), string(OrderRefunded)}
	Statuses = []string{string(Queued), string(Sending), string(Sent), string(Kept), string(Failed)}
)
