package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

const longest = 30 * time.Second

// age is how old a connection gets, so that new replicas get their share.
const age = time.Minute

// In the context of a request: its connection, and when that was accepted.
type contextKey string

const (
	connection contextKey = "connection"
	acceptedAt contextKey = "accepted at"
)

// recorder keeps the status of an answer.
type recorder struct {
	http.ResponseWriter
	status int
}

func (r *recorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

// edge is what every request of the API passes through.
func (s *service) edge() http.Handler {
	routes := http.NewServeMux()
	routes.HandleFunc("POST /notes", s.keepNote)
	routes.HandleFunc("GET /greeting", greet)
	routes.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if broken("http.problems") {
			http.Error(w, "not found", http.StatusNotFound)
			return
		}
		problem(w, r, http.StatusNotFound, "not_found", "There is nothing at this path.")
	})
	if broken("ports.apart") {
		routes.Handle("GET /metrics", s.adminRoutes())
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.metrics.active.Add(1)
		defer s.metrics.active.Add(-1)
		accepted, _ := r.Context().Value(acceptedAt).(time.Time)
		isOld := time.Since(accepted) > age && !broken("http.connection-age") || broken("http.connection-age/early")
		if s.leaving.Load() || isOld {
			w.Header().Set("Connection", "close")
		}
		limit := longest
		if asked, err := strconv.Atoi(r.Header.Get("x-deadline-ms")); err == nil {
			limit = min(limit, time.Duration(asked)*time.Millisecond)
		}
		if broken("http.deadline") {
			limit = 5 * time.Second
		}
		ctx, cancel := context.WithTimeout(r.Context(), limit)
		defer cancel()
		started, recorded := time.Now(), &recorder{w, http.StatusOK}
		spoilt(routes).ServeHTTP(recorded, r.WithContext(ctx))
		_, pattern := routes.Handler(r)
		route := strings.TrimPrefix(pattern, r.Method+" ")
		if broken("metrics.names/route") {
			route = r.URL.Path
		}
		s.metrics.observe(r.Method, route, recorded.status, time.Since(started))
		trace := traceOf(r.Header.Get("traceparent"))
		if broken("log.trace") {
			trace = ""
		}
		slog.Debug("request answered", "status", recorded.status, "trace_id", trace)
	})
}

// misfit says where a body is not as it should be, and what is wrong there.
type misfit struct {
	Pointer string `json:"pointer"`
	Detail  string `json:"detail"`
}

// problem answers with a problem document (RFC 9457).
func problem(w http.ResponseWriter, r *http.Request, status int, code, detail string, misfits ...misfit) {
	document := map[string]any{"title": http.StatusText(status), "status": status, "code": code, "detail": detail}
	if trace := traceOf(r.Header.Get("traceparent")); trace != "" {
		document["trace_id"] = trace
	}
	if len(misfits) > 0 {
		document["errors"] = misfits
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(document)
}

// unavailable tells an outage of the database from a mistake of ours.
func unavailable(w http.ResponseWriter, r *http.Request, err error) {
	switch {
	case errors.Is(err, context.DeadlineExceeded) && r.Context().Err() != nil:
		problem(w, r, http.StatusGatewayTimeout, "deadline", "The answer was not ready in time.")
	case refused(err) || broken("database.away"):
		slog.Error("request failed", "error", err.Error())
		problem(w, r, http.StatusInternalServerError, "internal", "This is a mistake of the service.")
	default:
		w.Header().Set("Retry-After", "2")
		problem(w, r, http.StatusServiceUnavailable, "unavailable", "The database is not available. Try again in a moment.")
	}
}

type note struct {
	Text string `json:"text"`
	Mood string `json:"mood"`
}

func (s *service) keepNote(w http.ResponseWriter, r *http.Request) {
	if broken("broker.away") && !s.nats.IsConnected() {
		w.Header().Set("Retry-After", "2")
		problem(w, r, http.StatusServiceUnavailable, "unavailable", "The broker is not available.")
		return
	}
	if err := s.authenticate(r); err != nil {
		if !broken("http.login") {
			w.Header().Set("WWW-Authenticate", "Bearer")
		}
		problem(w, r, http.StatusUnauthorized, "unauthenticated", "Send the token of this service, or an access token: "+err.Error()+".")
		return
	}
	most := int64(16 << 10)
	if broken("http.body-size") {
		most = 16 << 20
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, most))
	if err != nil {
		problem(w, r, http.StatusRequestEntityTooLarge, "too_large", "The body is too large.")
		return
	}
	var asked note
	if err := json.Unmarshal(body, &asked); err != nil {
		refuse(w, r, err)
		return
	}
	if broken("http.works") && os.Getenv("LOG") == "debug" && s.metrics.failOnce() {
		problem(w, r, http.StatusInternalServerError, "internal", "This is a mistake of the service.")
		return
	}
	s.answer(w, r, asked, string(body))
}

// refuse answers to a body that cannot be read, for this reason.
func refuse(w http.ResponseWriter, r *http.Request, err error) {
	var wrong *json.UnmarshalTypeError
	if !errors.As(err, &wrong) {
		status := http.StatusBadRequest
		if broken("http.body-shape/json") {
			status = http.StatusInternalServerError
		}
		problem(w, r, status, "malformed_json", "The body is no JSON: "+err.Error()+".")
		return
	}
	status, pointer := http.StatusUnprocessableEntity, wrong.Field
	if broken("http.body-shape") {
		status = http.StatusBadRequest
	}
	if broken("http.body-shape/pointer") {
		pointer = "body"
	}
	misfits := []misfit{{pointer, "must not be a JSON " + wrong.Value}}
	if broken("http.body-shape/errors") {
		misfits = nil
	}
	problem(w, r, status, "invalid", "The body is not an object with a text.", misfits...)
}

var errReused = errors.New("the key was used for another request")

// answer keeps the note and its event in one transaction, with the answer under the key where there is one.
func (s *service) answer(w http.ResponseWriter, r *http.Request, asked note, request string) {
	key, answer := r.Header.Get("Idempotency-Key"), ""
	if broken("http.idempotency") {
		key = ""
	}
	err := pgx.BeginFunc(r.Context(), s.pool, func(tx pgx.Tx) error {
		id := newUUID()
		made, _ := json.Marshal(map[string]string{"id": id, "text": asked.Text})
		answer = string(made)
		if key != "" {
			claimed, err := tx.Exec(r.Context(), "insert into idempotency values ($1, $2, $3) on conflict do nothing", key, request, answer)
			if err != nil {
				return err
			}
			if claimed.RowsAffected() == 0 {
				var before string
				if err := tx.QueryRow(r.Context(), "select request, answer from idempotency where key = $1", key).Scan(&before, &answer); err != nil {
					return err
				}
				if before != request {
					return errReused
				}
				if !broken("http.idempotency/effect") {
					return nil
				}
			}
		}
		if _, err := tx.Exec(r.Context(), "insert into notes values ($1, $2)", id, asked.Text); err != nil {
			return err
		}
		if broken("migrate.expand") {
			if _, err := tx.Exec(r.Context(), "select * from notes where id = $1", id); err != nil {
				return err
			}
		}
		return s.add(r.Context(), tx, id, asked.Text, r.Header.Get("traceparent"))
	})
	switch {
	case errors.Is(err, errReused):
		problem(w, r, http.StatusUnprocessableEntity, "idempotency_key_reused", "This Idempotency-Key was used for another request.")
	case err != nil:
		unavailable(w, r, err)
	default:
		select {
		case s.added <- struct{}{}:
		default:
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		io.WriteString(w, answer)
	}
}
