package events

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"shopkeeper.dev/email/internal/database"
	"shopkeeper.dev/email/internal/web"
)

// unapplied is an event that was not applied, as the administration port shows it.
type unapplied struct {
	ID       uuid.UUID  `json:"id"`
	Subject  string     `json:"subject"`
	Attempts int        `json:"attempts"`
	Cause    string     `json:"cause"`
	FirstAt  time.Time  `json:"first_at"`
	DeadAt   *time.Time `json:"dead_at,omitempty"`
	// Of parked ones: what for, and until when.
	WaitsFor  *string    `json:"waits_for,omitempty"`
	ExpiresAt *time.Time `json:"expires_at,omitempty"`
	Payload   string     `json:"payload,omitempty"`
}

const unappliedColumns = "select id, subject, attempts, cause, first_at, dead_at, waits_for, expires_at"

// AddRoutes adds /dead-letters and /parked-events.
func (p *Processor) AddRoutes(routes *web.Routes) {
	routes.Add("GET", "/dead-letters", p.list("dead_at is not null"))
	routes.Add("GET", "/dead-letters/{id}", p.read)
	routes.Add("DELETE", "/dead-letters/{id}", p.discard)
	routes.Add("POST", "/dead-letters/{id}/retry", p.retry)
	routes.Add("GET", "/parked-events", p.list("dead_at is null and waits_for is not null"))
}

// list lists in the order of the ids: the next page begins at its place also when what stood there is gone.
func (p *Processor) list(which string) web.Handler {
	sql := unappliedColumns + ", '' as payload from failed_events where " + which +
		" and ($1::uuid is null or id < $1) order by id desc limit $2"
	return func(w http.ResponseWriter, r *http.Request) error {
		query := web.QueryOf(r)
		after, limit := query.UUID("after"), query.Number("limit", 100, 1, 1000)
		if err := query.Err(); err != nil {
			return err
		}
		found := []unapplied{}
		err := p.db.Do(r.Context(), func(ctx context.Context, q database.Querier) error {
			rows, err := q.Query(ctx, sql, after, limit)
			if err != nil {
				return err
			}
			found, err = pgx.AppendRows(found, rows, pgx.RowToStructByPos[unapplied])
			return err
		})
		if err != nil {
			return err
		}
		return web.WriteJSON(w, found)
	}
}

func (p *Processor) read(w http.ResponseWriter, r *http.Request) error {
	letter, err := p.find(r)
	if err != nil {
		return err
	}
	return web.WriteJSON(w, letter)
}

// discard forgets the event for good: should the broker deliver it again, it counts as applied.
func (p *Processor) discard(w http.ResponseWriter, r *http.Request) error {
	id, err := web.PathID(r)
	if err != nil {
		return err
	}
	err = p.db.Tx(r.Context(), func(ctx context.Context, tx pgx.Tx) error {
		// In the order in which whoever applies it takes both.
		if _, err := enter(ctx, tx, id); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, "delete from failed_events where id = $1 and dead_at is not null", id)
		if err == nil && tag.RowsAffected() == 0 {
			return noSuchLetter()
		}
		return err
	})
	if err != nil {
		return err
	}
	slog.WarnContext(r.Context(), "a dead letter was discarded", "event_id", id)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// retry applies the event here and now, past the broker, and removes it when that succeeds.
func (p *Processor) retry(w http.ResponseWriter, r *http.Request) error {
	letter, err := p.find(r)
	if err != nil {
		return err
	}
	event, err := parse(letter.Subject, []byte(letter.Payload))
	if err == nil {
		_, err = p.attempt(p.span(r.Context(), event), event)
	}
	switch {
	case database.IsUnavailable(err):
		return err
	case err != nil:
		return web.NewProblem(http.StatusConflict, "still_broken", err.Error())
	}
	return web.WriteJSON(w, map[string]uuid.UUID{"applied": letter.ID})
}

func (p *Processor) find(r *http.Request) (letter unapplied, err error) {
	id, err := web.PathID(r)
	if err != nil {
		return letter, err
	}
	err = p.db.Do(r.Context(), func(ctx context.Context, q database.Querier) error {
		rows, err := q.Query(ctx, unappliedColumns+", payload from failed_events where id = $1 and dead_at is not null", id)
		if err != nil {
			return err
		}
		letter, err = pgx.CollectOneRow(rows, pgx.RowToStructByPos[unapplied])
		return err
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return letter, noSuchLetter()
	}
	return letter, err
}

func noSuchLetter() error { return web.NotFound("There is no dead letter of this id.") }
