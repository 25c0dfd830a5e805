package mail

import "github.com/google/uuid"

// About is which mail an event is about.
type About struct {
	MailID uuid.UUID `json:"mail_id"`
	Kind   Kind      `json:"kind"`
	// Missing for a welcome.
	OrderID *uuid.UUID `json:"order_id,omitempty"`
	UserID  uuid.UUID  `json:"user_id"`
}

// SentEvent: a mail has left the house, or is kept where no mail server is configured.
type SentEvent struct {
	About
	Status Status `json:"status"`
}

// Name implements events.Event.
func (SentEvent) Name() string { return "email.sent" }

// BounceReason is why a mail has failed.
type BounceReason string

const (
	// Refused by the mail server for good.
	Refused BounceReason = "refused"
	// Expired: the mail server put it off for days, until it was given up.
	Expired BounceReason = "expired"
)

// BouncedEvent: a mail has failed. It may be sent again, when an administrator asks for it.
type BouncedEvent struct {
	About
	Reason BounceReason `json:"reason"`
	// The mail server's reply code, where it gave one.
	SMTPCode *int `json:"smtp_code,omitempty"`
}

// Name implements events.Event.
func (BouncedEvent) Name() string { return "email.bounced" }
