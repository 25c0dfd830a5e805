package delivery

import (
	"context"
	"log/slog"
	"time"

	"shopkeeper.dev/email/internal/database"
	"shopkeeper.dev/email/internal/store"
)

const (
	// How long a mail that was sent or kept can be read. Not less than the inbox remembers events: an event that comes again must
	// find its mail.
	keepSent = 14 * 24 * time.Hour
	// How long a mail that has failed can be read and sent again.
	keepFailed = 90 * 24 * time.Hour
	// Mails removed in one statement.
	removeBatch = 1000
)

// Retention removes old mails, at once and then every hour, until stop.
func Retention(db *database.DB) func(context.Context) error {
	return func(stop context.Context) error {
		for {
			removed, err := removeOld(stop, db)
			if err != nil {
				return err
			}
			if removed > 0 {
				slog.Info("old mails removed", "removed", removed)
			}
			select {
			case <-stop.Done():
				return nil
			case <-time.After(time.Hour):
			}
		}
	}
}

func removeOld(stop context.Context, db *database.DB) (removed int64, err error) {
	for stop.Err() == nil {
		var count int64
		err := db.Do(context.WithoutCancel(stop), func(ctx context.Context, q database.Querier) (err error) {
			count, err = store.RemoveOld(ctx, q, keepSent, keepFailed, removeBatch)
			return err
		})
		removed += count
		if err != nil || count == 0 {
			return removed, err
		}
	}
	return removed, nil
}
