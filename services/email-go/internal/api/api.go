// Package api is the HTTP API: what was sent, to whoever it was sent to and to administrators; whether mails go out.
package api

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/google/uuid"

	"shopkeeper.dev/email/internal/auth"
	"shopkeeper.dev/email/internal/database"
	"shopkeeper.dev/email/internal/delivery"
	"shopkeeper.dev/email/internal/mail"
	"shopkeeper.dev/email/internal/store"
	"shopkeeper.dev/email/internal/web"
)

// API is what the handlers of requests share.
type API struct {
	DB     *database.DB
	Server *delivery.Server
	// Whether a mail server is configured.
	Sends bool
}

// AddRoutes adds the paths of contracts/openapi/email.json.
func (a *API) AddRoutes(routes *web.Routes, verifier *auth.Verifier) {
	routes.Add("GET", "/mails", verifier.Authenticated(a.list))
	routes.Add("GET", "/mails/{id}", verifier.Authenticated(a.read))
	routes.Add("GET", "/mails/{id}/preview", verifier.Authenticated(a.preview))
	routes.Add("POST", "/mails/{id}/retry", verifier.Require(admin, a.retry))
	routes.Add("GET", "/delivery", verifier.Require(admin, a.delivery))
}

// Who sees the mails of all.
const admin = "admin"

// mailList is mails, newest first.
type mailList struct {
	Items []store.Mail `json:"items"`
	// Give it as cursor to read on; missing at the end.
	NextCursor *uuid.UUID `json:"next_cursor,omitempty"`
}

func (a *API) list(who auth.Principal, w http.ResponseWriter, r *http.Request) error {
	query := web.QueryOf(r)
	filter := store.Filter{
		Before:  query.UUID("cursor"),
		Kind:    query.Word("kind", mail.Kinds),
		OrderID: query.UUID("order_id"),
		Status:  query.Word("status", mail.Statuses),
		UserID:  query.UUID("user_id"),
	}
	limit := query.Number("limit", 20, 1, 100)
	if err := query.Err(); err != nil {
		return err
	}
	if !who.Has(admin) {
		if filter.UserID != nil && *filter.UserID != who.ID {
			return web.NewProblem(http.StatusForbidden, "forbidden", "Mails of another user are for administrators.")
		}
		filter.UserID = &who.ID
	}
	var answer mailList
	err := a.DB.Do(r.Context(), func(ctx context.Context, q database.Querier) (err error) {
		// One more than asked for tells whether there is a next page.
		answer.Items, err = store.List(ctx, q, filter, limit+1)
		return err
	})
	if err != nil {
		return err
	}
	if len(answer.Items) > limit {
		answer.Items = answer.Items[:limit]
		answer.NextCursor = &answer.Items[limit-1].ID
	}
	return web.WriteJSON(w, answer)
}

func (a *API) read(who auth.Principal, w http.ResponseWriter, r *http.Request) error {
	found, err := a.findFor(who, r)
	if err != nil {
		return err
	}
	if !who.Has(admin) {
		found.LastError = nil
	}
	return web.WriteJSON(w, found)
}

// preview shows a mail as its reader sees it. The page is ours and escaped; should something slip through, it still cannot run,
// fetch or be framed.
func (a *API) preview(who auth.Principal, w http.ResponseWriter, r *http.Request) error {
	found, err := a.findFor(who, r)
	if err != nil {
		return err
	}
	header := w.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "+
		"frame-ancestors 'none'; sandbox")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	_, _ = io.WriteString(w, found.HTML) // The client has gone.
	return nil
}

// retry sends a mail again that has failed, or that was kept. It keeps its Message-ID, and may fail again.
func (a *API) retry(w http.ResponseWriter, r *http.Request) error {
	id, err := web.PathID(r)
	if err != nil {
		return err
	}
	var queued *store.Mail
	err = a.DB.Do(r.Context(), func(ctx context.Context, q database.Querier) (err error) {
		queued, err = store.Retry(ctx, q, id)
		return err
	})
	if err != nil {
		return err
	}
	if queued != nil {
		slog.InfoContext(r.Context(), "mail queued again", "mail_id", id, "kind", queued.Kind)
		return web.WriteJSON(w, queued)
	}
	found, err := a.find(r)
	if err != nil {
		return err
	}
	return web.NewProblem(http.StatusConflict, "not_failed",
		fmt.Sprintf("The mail %s is %s; only one that has failed or was kept is sent again.", id, found.Status))
}

// findFor finds a mail that whoever asks may read; one of somebody else is none to them.
func (a *API) findFor(who auth.Principal, r *http.Request) (*store.Whole, error) {
	found, err := a.find(r)
	if err == nil && found.UserID != who.ID && !who.Has(admin) {
		return nil, noMail(found.ID)
	}
	return found, err
}

func noMail(id uuid.UUID) error { return web.NotFound(fmt.Sprintf("There is no mail %s.", id)) }

func (a *API) find(r *http.Request) (found *store.Whole, err error) {
	id, err := web.PathID(r)
	if err != nil {
		return nil, err
	}
	err = a.DB.Do(r.Context(), func(ctx context.Context, q database.Querier) (err error) {
		found, err = store.Find(ctx, q, id)
		return err
	})
	if err == nil && found == nil {
		return nil, noMail(id)
	}
	return found, err
}

// deliveryState is whether mails go out, as the replica that answers sees the mail server.
type deliveryState struct {
	State  string           `json:"state"`
	Reason delivery.Trouble `json:"reason,omitempty"`
	// The mail server's reply code, where it gave one.
	SMTPCode int `json:"smtp_code,omitempty"`
	// Since when none goes out.
	Since *time.Time `json:"since,omitempty"`
	// Mails that wait to go out, of all replicas.
	Waiting int64 `json:"waiting"`
	// When the oldest of them was queued.
	Oldest *time.Time `json:"oldest,omitempty"`
}

func (a *API) delivery(w http.ResponseWriter, r *http.Request) error {
	answer := deliveryState{State: "working"}
	err := a.DB.Do(r.Context(), func(ctx context.Context, q database.Querier) (err error) {
		answer.Waiting, answer.Oldest, err = store.Waiting(ctx, q)
		return err
	})
	if err != nil {
		return err
	}
	if stopped := a.Server.Stopped(); stopped != nil {
		answer.State, answer.Reason = "stopped", stopped.Trouble
		answer.SMTPCode, answer.Since = stopped.Code, &stopped.Since
	}
	if !a.Sends {
		answer.State = "keeping"
	}
	return web.WriteJSON(w, answer)
}
