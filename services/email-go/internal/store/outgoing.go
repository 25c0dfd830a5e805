package store

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"shopkeeper.dev/email/internal/database"
	"shopkeeper.dev/email/internal/mail"
)

// Claimed is a mail in the hands of a sender.
type Claimed struct {
	ID                      uuid.UUID
	Kind                    mail.Kind
	UserID                  uuid.UUID
	OrderID                 *uuid.UUID
	To, Subject, Text, HTML string
	// How often it was claimed, this time included. Who holds another number has lost the mail to somebody else.
	Attempts  int
	CreatedAt time.Time
	// When it was first refused without it being clear whom that was about.
	RefusedAt *time.Time
	// The trace of the event that caused the mail.
	Traceparent *string
	// Since it was queued, or queued again by an administrator.
	Age time.Duration
}

// Claim takes the mail that is due longest, for a lease; nil when none is due. Two senders never hold the same mail within a lease,
// and one whose sender died is due again when it ends.
func Claim(ctx context.Context, q database.Querier, lease time.Duration) (*Claimed, error) {
	var c Claimed
	var age float64
	err := q.QueryRow(ctx, `
update mails set status = 'sending', attempts = attempts + 1, due_at = now() + make_interval(secs => $1)
where id = (
    select id from mails where status in ('queued', 'sending') and due_at <= now()
    order by due_at limit 1 for update skip locked)
returning id, kind, user_id, order_id, to_address, subject, text_body, html_body, attempts, created_at, refused_at, traceparent,
    greatest(extract(epoch from now() - coalesce(queued_at, created_at)), 0)::float8`, lease.Seconds()).
		Scan(&c.ID, &c.Kind, &c.UserID, &c.OrderID, &c.To, &c.Subject, &c.Text, &c.HTML, &c.Attempts, &c.CreatedAt, &c.RefusedAt,
			&c.Traceparent, &age)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	c.Age = time.Duration(age * float64(time.Second))
	return &c, err
}

// Finish ends a mail's journey, and returns how often it has ended by now: more than once only when an administrator had it sent
// again. 0: its lease was over and somebody else has it, or has ended it.
func Finish(ctx context.Context, q database.Querier, c *Claimed, status mail.Status, cause *string) (endings int64, err error) {
	err = q.QueryRow(ctx, `update mails set status = $3, last_error = $4, endings = endings + 1,
    sent_at = case when $3 = 'sent' then now() end
where id = $1 and status = 'sending' and attempts = $2 returning endings`, c.ID, c.Attempts, status, cause).Scan(&endings)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, nil
	}
	return endings, err
}

// Postpone puts a mail back for another attempt after a pause. Unclear: it was refused, and it is not clear whom that was about.
func Postpone(ctx context.Context, q database.Querier, c *Claimed, pause time.Duration, cause string, unclear bool) error {
	_, err := q.Exec(ctx, `update mails set status = 'queued', due_at = now() + make_interval(secs => $3), last_error = $4,
    refused_at = case when $5 then coalesce(refused_at, now()) else refused_at end
where id = $1 and status = 'sending' and attempts = $2`, c.ID, c.Attempts, pause.Seconds(), cause, unclear)
	return err
}

// AnySentSince says whether the mail server has taken any mail since then, from whichever replica.
func AnySentSince(ctx context.Context, q database.Querier, since time.Time) (any bool, err error) {
	err = q.QueryRow(ctx, "select exists (select from mails where sent_at > $1)", since).Scan(&any)
	return any, err
}

// ReleaseRefused lets mails go at once that wait because of an unclear refusal: the server takes mails again.
func ReleaseRefused(ctx context.Context, q database.Querier) error {
	_, err := q.Exec(ctx, `update mails set due_at = now()
where status = 'queued' and refused_at is not null and due_at > now()`)
	return err
}
