package events

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"shopkeeper.dev/email/internal/database"
)

const (
	housekeepingInterval = 10 * time.Second
	// Rows that are deleted of a table each time.
	deletePart = 2000
	// How long dead letters wait for a person, and what no version tries again waits for one that does.
	keepDead = 30 * 24 * time.Hour
)

// Housekeeping gives the tables of events what they need from time to time: figures, and an end to what is old.
type Housekeeping struct {
	Service string
	DB      *database.DB
	Broker  *Broker
	Metrics *Metrics
}

// Run works every ten seconds until stop: it measures, deletes what is old, and looks whether the broker lost events and how full
// it is (last, because that needs the broker, and the rest goes on without).
func (h *Housekeeping) Run(stop context.Context) error {
	ctx := context.WithoutCancel(stop)
	tick := time.NewTicker(housekeepingInterval)
	defer tick.Stop()
	for {
		if err := h.DB.Do(ctx, h.measure); err != nil {
			return err
		}
		if err := h.DB.Do(ctx, deleteOld); err != nil {
			return err
		}
		if err := h.look(ctx); err != nil {
			slog.Warn("it is not known whether the broker lost events; it is looked again", "error", err)
		}
		select {
		case <-stop.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (h *Housekeeping) look(ctx context.Context) error {
	stream, err := recoverLost(ctx, h.DB, h.Broker, h.Service)
	if err != nil {
		return err
	}
	h.Metrics.streamBytes.Set(float64(stream.State.Bytes))
	h.Metrics.streamMaxBytes.Set(float64(stream.Config.MaxBytes))
	return nil
}

func (h *Housekeeping) measure(ctx context.Context, q database.Querier) error {
	var unpublished, oldest, parked, retried, dead int64
	err := q.QueryRow(ctx, `select count(*), coalesce(extract(epoch from now() - min(created_at)), 0)::bigint
from outbox where published_at is null`).Scan(&unpublished, &oldest)
	if err != nil {
		return err
	}
	err = q.QueryRow(ctx, `select count(*) filter (where dead_at is null and waits_for is not null),
    count(*) filter (where dead_at is null and waits_for is null),
    count(*) filter (where dead_at is not null) from failed_events`).Scan(&parked, &retried, &dead)
	if err != nil {
		return err
	}
	h.Metrics.unpublished.Set(float64(unpublished))
	h.Metrics.oldestSeconds.Set(float64(oldest))
	h.Metrics.parked.Set(float64(parked))
	h.Metrics.retried.Set(float64(retried))
	h.Metrics.dead.Set(float64(dead))
	return nil
}

// deleteOld deletes one part of each table: a statement that has grown too long for its time would never get through.
func deleteOld(ctx context.Context, q database.Querier) error {
	for _, old := range []struct {
		table, isOld string
		age          time.Duration
	}{
		{"outbox", "published_at < now() - make_interval(secs => $1)", keepEvents},
		// Twice as long: what the broker still holds must find its row here, also when it was published again.
		{"inbox", "received_at < now() - make_interval(secs => $1)", 2 * keepEvents},
		{"failed_events", `dead_at < now() - make_interval(secs => $1)
    or (dead_at is null and due_at < now() - make_interval(secs => $1))`, keepDead},
	} {
		sql := fmt.Sprintf("delete from %[1]s where ctid = any(array(select ctid from %[1]s where %[2]s limit %[3]d))",
			old.table, old.isOld, deletePart)
		if _, err := q.Exec(ctx, sql, old.age.Seconds()); err != nil {
			return err
		}
	}
	return nil
}
