// Package web is the HTTP edge: connections, limits, problems, strict input.
package web

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"shopkeeper.dev/email/internal/database"
	"shopkeeper.dev/email/internal/telemetry"
)

// Problem is an error as a problem document (RFC 9457). `type` is left out, which means about:blank: the code says more.
type Problem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	// A stable word to program against.
	Code string `json:"code"`
	// What happened, to what, and what to do, for people.
	Detail  string       `json:"detail"`
	Errors  []FieldError `json:"errors,omitempty"`
	TraceID string       `json:"trace_id,omitempty"`
	// Seconds.
	retryAfter int
}

// FieldError is one wrong field or parameter.
type FieldError struct {
	Pointer string `json:"pointer"`
	Detail  string `json:"detail"`
}

func (p *Problem) Error() string { return p.Code + ": " + p.Detail }

// NewProblem is a problem with a code of its own.
func NewProblem(status int, code, detail string) *Problem {
	return &Problem{Title: http.StatusText(status), Status: status, Code: code, Detail: detail}
}

// NotFound is 404.
func NotFound(detail string) *Problem { return NewProblem(http.StatusNotFound, "not_found", detail) }

// Unauthenticated is 401: no token, or one that is not valid.
func Unauthenticated() *Problem {
	return NewProblem(http.StatusUnauthorized, "unauthenticated",
		"Send a valid access token: Authorization: Bearer <token>. It may have expired.")
}

// Unavailable is 503: a dependency is away; the same request may succeed in a moment.
func Unavailable(detail string) *Problem {
	p := NewProblem(http.StatusServiceUnavailable, "unavailable", detail)
	p.retryAfter = 2
	return p
}

func overloaded() *Problem {
	p := NewProblem(http.StatusServiceUnavailable, "overloaded",
		"This replica has as many requests at work as it takes.")
	p.retryAfter = 1
	return p
}

func pastDeadline() *Problem {
	p := NewProblem(http.StatusGatewayTimeout, "deadline",
		"The answer was not ready within the time the caller gave.")
	p.retryAfter = 1
	return p
}

func invalid(errors ...FieldError) *Problem {
	p := NewProblem(http.StatusUnprocessableEntity, "invalid", "Some fields are wrong; see errors.")
	p.Errors = errors
	return p
}

// internal is our own mistake. The cause goes to the log, not to the client.
func internal(ctx context.Context, cause any) *Problem {
	slog.ErrorContext(ctx, "request failed by a mistake of this service", "error", cause)
	return NewProblem(http.StatusInternalServerError, "internal",
		"This is a mistake of the service, not of the request. Its log has the cause under the trace_id.")
}

var awayLines, behindLines telemetry.LogLimit

// problemOf makes a problem of whatever a handler returns.
func problemOf(ctx context.Context, schema *database.Schema, err error) *Problem {
	if problem, ok := err.(*Problem); ok {
		return problem
	}
	switch {
	case ctx.Err() != nil:
		return pastDeadline()
	case database.IsUnavailable(err):
		if leftOut, due := awayLines.Due(time.Now()); due {
			slog.WarnContext(ctx, "database not available", "cause", err, "left_out", leftOut)
		}
		return Unavailable("The database of this service is not available. Try again in a moment.")
	case database.IsRetryable(err):
		return Unavailable("The request collided with another one. Try again.")
	case database.NamesWhatIsMissing(err):
		if behind := schema.IsToBlame(ctx); behind != nil {
			return schemaBehind(ctx, behind)
		}
	}
	return internal(ctx, err)
}

// schemaBehind: the database was replaced by an older one; whoever runs the service must migrate it again.
func schemaBehind(ctx context.Context, behind error) *Problem {
	if leftOut, due := behindLines.Due(time.Now()); due {
		slog.WarnContext(ctx, behind.Error(), "left_out", leftOut)
	}
	p := NewProblem(http.StatusServiceUnavailable, "schema_behind",
		"The database of this service must be migrated: "+behind.Error()+".")
	p.retryAfter = 5
	return p
}

func writeProblem(w http.ResponseWriter, r *http.Request, problem *Problem) {
	p := *problem
	p.TraceID = telemetry.TraceID(r.Context())
	header := w.Header()
	if p.retryAfter > 0 {
		header.Set("Retry-After", strconv.Itoa(p.retryAfter))
	}
	if p.Status == http.StatusUnauthorized {
		header.Set("WWW-Authenticate", "Bearer")
	}
	writeJSON(w, p.Status, "application/problem+json", p)
}

// WriteJSON answers 200.
func WriteJSON(w http.ResponseWriter, value any) error {
	writeJSON(w, http.StatusOK, "application/json", value)
	return nil
}

func writeJSON(w http.ResponseWriter, status int, contentType string, value any) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(value) // The client has gone.
}
