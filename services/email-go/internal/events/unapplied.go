package events

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"shopkeeper.dev/email/internal/database"
)

// Events that were not applied are rows of failed_events: parked, tried again after a failure, or dead. Once an event is there,
// the broker need not know of it any more.

const (
	// After so many failures an event is dead.
	maxAttempts = 10
	// Bounds of the pause before the next try, which is as long as the event has been here: it doubles from try to try.
	shortestPause = time.Second
	longestPause  = 10 * time.Minute
	// Longer than a try takes. After that another replica takes over what a dead one had taken.
	lease = time.Minute
)

const keepSQL = `
insert into failed_events as f
    (id, subject, payload, attempts, cause, waits_for, expires_at, due_at, dead_at)
select $1::uuid, $2::text, $3::text, $4::integer, $5::text, $6::text,
    now() + make_interval(secs => $7), now() + make_interval(secs => $8), case when $9 then now() end
where not exists (select from inbox where event_id = $1::uuid)
on conflict (id) do update set
    attempts = f.attempts + excluded.attempts,
    cause = excluded.cause,
    last_at = now(),
    waits_for = excluded.waits_for,
    expires_at = coalesce(f.expires_at, excluded.expires_at),
    due_at = least(
        now() + greatest(make_interval(secs => $8), least(now() - f.first_at, make_interval(secs => $10))),
        case when excluded.waits_for is not null then coalesce(f.expires_at, excluded.expires_at) end),
    dead_at = coalesce(f.dead_at, case when excluded.dead_at is not null
        or f.attempts + excluded.attempts >= $11
        or (excluded.waits_for is not null and coalesce(f.expires_at, excluded.expires_at) <= now())
        then now() end)
returning dead_at is not null, waits_for is not null`

// keep keeps the event with the reason why it was not applied, and says what became of it: a duplicate where it counts as applied
// by now, because it was discarded.
func keep(ctx context.Context, db *database.DB, id uuid.UUID, subject string, payload []byte, reason error) (outcome, error) {
	attempts, isDead := 1, false
	var waitsFor *string
	var atMost *float64
	if p, ok := errors.AsType[*parked](reason); ok {
		seconds := p.atMost.Seconds()
		attempts, waitsFor, atMost = 0, &p.waitsFor, &seconds
	} else if _, ok := errors.AsType[*dead](reason); ok {
		isDead = true
	}
	var becameDead, isParked bool
	err := db.Do(ctx, func(ctx context.Context, q database.Querier) error {
		return q.QueryRow(ctx, keepSQL, id, subject, asText(payload), attempts, asText([]byte(reason.Error())), waitsFor, atMost,
			shortestPause.Seconds(), isDead, longestPause.Seconds(), maxAttempts).Scan(&becameDead, &isParked)
	})
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return duplicate, nil
	case err != nil:
		return refused, err
	case becameDead:
		return deadLetter, nil
	case isParked:
		return parkedEvent, nil
	}
	return retried, nil
}

// forget forgets an event that was applied after all, within the transaction of its effect.
func forget(ctx context.Context, tx pgx.Tx, id uuid.UUID) error {
	_, err := tx.Exec(ctx, "delete from failed_events where id = $1", id)
	return err
}

// enter marks the event as applied; false when it was already.
func enter(ctx context.Context, tx pgx.Tx, id uuid.UUID) (bool, error) {
	tag, err := tx.Exec(ctx, "insert into inbox (event_id) values ($1) on conflict do nothing", id)
	return tag.RowsAffected() == 1, err
}

// due is an event whose next try is due.
type due struct {
	subject string
	payload string
}

// takeDue takes the event of these kinds that is due longest; nil when there is none.
func takeDue(ctx context.Context, db *database.DB, kinds []string) (*due, error) {
	var d due
	err := db.Do(ctx, func(ctx context.Context, q database.Querier) error {
		return q.QueryRow(ctx, `
update failed_events set due_at = now() + make_interval(secs => $2) where id = (
    select id from failed_events where dead_at is null and due_at <= now() and subject = any($1)
    order by due_at, id limit 1 for update skip locked)
returning subject, payload`, kinds, lease.Seconds()).Scan(&d.subject, &d.payload)
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	return &d, err
}
