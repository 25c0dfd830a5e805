// Package store is what the service keeps in its database: recipients, and mails with how far they got.
package store

import (
	"context"
	"errors"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"shopkeeper.dev/email/internal/database"
)

// Recipient is somebody with an account.
type Recipient struct {
	UserID  uuid.UUID
	Address string
}

// KeepRecipient keeps a recipient; a known one is brought up to date.
func KeepRecipient(ctx context.Context, q database.Querier, r Recipient) error {
	_, err := q.Exec(ctx, `insert into recipients (user_id, address) values ($1, $2)
on conflict (user_id) do update set address = excluded.address`, r.UserID, r.Address)
	return err
}

// FindRecipient finds the recipient with this id; nil before user.registered has arrived.
func FindRecipient(ctx context.Context, q database.Querier, id uuid.UUID) (*Recipient, error) {
	r := Recipient{UserID: id}
	err := q.QueryRow(ctx, "select address from recipients where user_id = $1", id).Scan(&r.Address)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	return &r, err
}
