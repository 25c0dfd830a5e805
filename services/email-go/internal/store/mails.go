package store

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"shopkeeper.dev/email/internal/database"
	"shopkeeper.dev/email/internal/mail"
	"shopkeeper.dev/email/internal/telemetry"
)

// NewMail is a mail that is about to be queued.
type NewMail struct {
	Kind mail.Kind
	To   Recipient
	// What the mail is about: there is one of a kind for each.
	Reference uuid.UUID
	OrderID   *uuid.UUID
	Content   mail.Rendered
}

// Queue queues a mail and returns its id; nil when there is one for the same thing already.
func Queue(ctx context.Context, q database.Querier, m NewMail) (*uuid.UUID, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return nil, err
	}
	tag, err := q.Exec(ctx, `insert into mails
    (id, kind, reference, user_id, order_id, to_address, subject, text_body, html_body, traceparent)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) on conflict on constraint mails_once do nothing`,
		id, m.Kind, m.Reference, m.To.UserID, m.OrderID, m.To.Address, m.Content.Subject, m.Content.Text, m.Content.HTML,
		telemetry.Traceparent(ctx))
	if err != nil || tag.RowsAffected() == 0 {
		return nil, err
	}
	return &id, nil
}

// Mail is a mail without its content, as the API shows it.
type Mail struct {
	ID        uuid.UUID   `json:"id"`
	Kind      mail.Kind   `json:"kind"`
	To        string      `json:"to"`
	Subject   string      `json:"subject"`
	Status    mail.Status `json:"status"`
	UserID    uuid.UUID   `json:"user_id"`
	OrderID   *uuid.UUID  `json:"order_id,omitempty"`
	CreatedAt time.Time   `json:"created_at"`
	// When the mail server took it.
	SentAt *time.Time `json:"sent_at,omitempty"`
}

const mailColumns = "id, kind, to_address, subject, status, user_id, order_id, created_at, sent_at"

// Whole is a mail with what its reader sees.
type Whole struct {
	Mail
	Text string `json:"text"`
	HTML string `json:"html"`
	// How often a sender has had it in hand.
	Attempts int `json:"attempts"`
	// Why the latest attempt did not succeed.
	LastError *string `json:"last_error,omitempty"`
}

// Filter is which mails to list; nil leaves a condition out.
type Filter struct {
	OrderID, UserID *uuid.UUID
	Kind, Status    *string
	// Only mails older than this one.
	Before *uuid.UUID
}

// List lists mails, newest first.
func List(ctx context.Context, q database.Querier, f Filter, limit int) ([]Mail, error) {
	rows, err := q.Query(ctx, "select "+mailColumns+` from mails
where ($1::uuid is null or order_id = $1) and ($2::uuid is null or user_id = $2)
  and ($3::text is null or kind = $3) and ($4::text is null or status = $4) and ($5::uuid is null or id < $5)
order by id desc limit $6`, f.OrderID, f.UserID, f.Kind, f.Status, f.Before, limit)
	if err != nil {
		return nil, err
	}
	return pgx.AppendRows([]Mail{}, rows, pgx.RowToStructByPos[Mail])
}

// Find finds one mail; nil when there is none.
func Find(ctx context.Context, q database.Querier, id uuid.UUID) (*Whole, error) {
	return one[Whole](ctx, q, "select "+mailColumns+", text_body, html_body, attempts, last_error from mails where id = $1", id)
}

// Retry queues a mail again that has failed or was kept; nil when there is no such mail. An earlier version, which may run beside
// this one, did not count how often a journey ended.
func Retry(ctx context.Context, q database.Querier, id uuid.UUID) (*Mail, error) {
	return one[Mail](ctx, q, `update mails set status = 'queued', due_at = now(), queued_at = now(), refused_at = null,
    endings = greatest(endings, 1)
where id = $1 and status in ('failed', 'kept') returning `+mailColumns, id)
}

func one[T any](ctx context.Context, q database.Querier, sql string, args ...any) (*T, error) {
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	found, err := pgx.CollectOneRow(rows, pgx.RowToAddrOfStructByPos[T])
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	return found, err
}

// Waiting says how many mails wait to go out, of all replicas, and when the oldest of them was queued.
func Waiting(ctx context.Context, q database.Querier) (count int64, oldest *time.Time, err error) {
	err = q.QueryRow(ctx, `select count(*), min(coalesce(queued_at, created_at)) from mails
where status in ('queued', 'sending')`).Scan(&count, &oldest)
	return count, oldest, err
}

// RemoveOld removes at most so many mails that were sent or kept, or have failed, longer ago than is said. The time of a mail that
// was queued again counts from then. It returns how many.
func RemoveOld(ctx context.Context, q database.Querier, keepSent, keepFailed time.Duration, most int) (int64, error) {
	tag, err := q.Exec(ctx, `delete from mails where id in (
    select id from mails
    where created_at < now() - make_interval(secs => $1) and (
        status in ('sent', 'kept') and coalesce(queued_at, created_at) < now() - make_interval(secs => $1)
        or status = 'failed' and coalesce(queued_at, created_at) < now() - make_interval(secs => $2))
    limit $3)`, keepSent.Seconds(), keepFailed.Seconds(), most)
	return tag.RowsAffected(), err
}
