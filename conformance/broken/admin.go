package main

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
)

// adminRoutes is the administration port.
func (s *service) adminRoutes() http.Handler {
	routes := http.NewServeMux()
	routes.HandleFunc("GET /livez", func(w http.ResponseWriter, r *http.Request) {
		if broken("probes.live") && !s.migrated.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		w.Write([]byte("ok"))
	})
	routes.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if missing := s.waitsFor(); missing != "" {
			w.WriteHeader(http.StatusServiceUnavailable)
			w.Write([]byte(missing))
			return
		}
		w.Write([]byte("ready"))
	})
	routes.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		w.Write([]byte(s.metrics.text(s.gauges(r.Context()))))
	})
	routes.HandleFunc("GET /dead-letters", s.listDead)
	routes.HandleFunc("GET /dead-letters/{id}", s.readDead)
	routes.HandleFunc("DELETE /dead-letters/{id}", s.discard)
	routes.HandleFunc("POST /dead-letters/{id}/retry", s.retry)
	routes.HandleFunc("GET /parked-events", func(w http.ResponseWriter, r *http.Request) {
		if broken("events.parked") {
			w.Write([]byte("{}"))
			return
		}
		w.Write([]byte("[]")) // it parks nothing
	})
	return routes
}

// gauges are looked up in the database, where it answers soon.
func (s *service) gauges(ctx context.Context) map[string]int64 {
	ctx, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	var unpublished, oldest, dead int64
	s.pool.QueryRow(ctx, `select count(*), (select count(*) from failed_events) from outbox where published_at is null`).Scan(&unpublished, &dead)
	stat := s.pool.Stat()
	gauges := map[string]int64{
		"outbox_unpublished": unpublished, "outbox_oldest_seconds": oldest, "events_parked": 0, "events_retried": 0, "events_dead": dead,
		"db_connections": int64(stat.TotalConns()), "db_connections_used": int64(stat.AcquiredConns()),
	}
	if broken("metrics.names") {
		delete(gauges, "events_parked")
	}
	return gauges
}

type letter struct {
	ID       string    `json:"id"`
	Subject  string    `json:"subject"`
	Payload  string    `json:"payload,omitempty"`
	Cause    string    `json:"cause"`
	Attempts int       `json:"attempts"`
	FirstAt  time.Time `json:"first_at"`
	DeadAt   time.Time `json:"dead_at"`
}

const columns = "select id, subject, payload, cause, attempts, first_at, dead_at from failed_events "

func (s *service) listDead(w http.ResponseWriter, r *http.Request) {
	limit := 100
	if text := r.URL.Query().Get("limit"); text != "" {
		limit, _ = strconv.Atoi(text)
	}
	if limit < 1 || limit > 1000 {
		problem(w, r, http.StatusUnprocessableEntity, "invalid", "limit is a number from 1 to 1000.")
		return
	}
	rows, err := s.pool.Query(r.Context(), columns+"where $1 = '' or id < $1 order by id desc limit $2", r.URL.Query().Get("after"), limit)
	letters := []letter{}
	if err == nil {
		letters, err = pgx.CollectRows(rows, pgx.RowToStructByPos[letter])
	}
	if err != nil {
		unavailable(w, r, err)
		return
	}
	for i := range letters {
		letters[i].Payload = ""
	}
	json.NewEncoder(w).Encode(letters)
}

// find answers by itself where there is no such letter.
func (s *service) find(w http.ResponseWriter, r *http.Request) (letter, bool) {
	rows, err := s.pool.Query(r.Context(), columns+"where id = $1", r.PathValue("id"))
	letters := []letter{}
	if err == nil {
		letters, err = pgx.CollectRows(rows, pgx.RowToStructByPos[letter])
	}
	if err != nil {
		unavailable(w, r, err)
		return letter{}, false
	}
	if len(letters) == 0 {
		problem(w, r, http.StatusNotFound, "not_found", "There is no dead letter of this id.")
		return letter{}, false
	}
	return letters[0], true
}

func (s *service) readDead(w http.ResponseWriter, r *http.Request) {
	if letter, ok := s.find(w, r); ok {
		json.NewEncoder(w).Encode(letter)
	}
}

// discard forgets the event for good: should it come again, it counts as applied.
func (s *service) discard(w http.ResponseWriter, r *http.Request) {
	letter, ok := s.find(w, r)
	if !ok {
		return
	}
	err := pgx.BeginFunc(r.Context(), s.pool, func(tx pgx.Tx) error {
		if !broken("events.letters") {
			if _, err := tx.Exec(r.Context(), "insert into inbox values ($1, true) on conflict do nothing", letter.ID); err != nil {
				return err
			}
		}
		_, err := tx.Exec(r.Context(), "delete from failed_events where id = $1", letter.ID)
		return err
	})
	if err != nil {
		unavailable(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// retry applies the event here and now.
func (s *service) retry(w http.ResponseWriter, r *http.Request) {
	letter, ok := s.find(w, r)
	if !ok {
		return
	}
	event, data, cause := parse(letter.Subject, []byte(letter.Payload))
	if cause != nil {
		problem(w, r, http.StatusConflict, "still_broken", cause.Error())
		return
	}
	_, err := s.apply(r.Context(), event, data)
	if err == nil {
		_, err = s.pool.Exec(r.Context(), "delete from failed_events where id = $1", letter.ID)
	}
	if err != nil {
		unavailable(w, r, err)
		return
	}
	json.NewEncoder(w).Encode(map[string]string{"applied": letter.ID})
}
