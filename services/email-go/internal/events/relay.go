package events

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"shopkeeper.dev/email/internal/database"
	"shopkeeper.dev/email/internal/health"
)

const (
	// Rows in one transaction.
	relayBatch = 200
	// The longest time between two looks when nobody wakes the relay: another replica may have died with its rows.
	relayPoll = 500 * time.Millisecond
	// How long events wait on a subject that the broker refuses to this login. Each try costs the time of an acknowledgement that does
	// not come, for which those of all other subjects wait as well.
	asideTime = 60 * time.Second
	// For one transaction: the database's part and the broker's.
	relayPatience = database.WithoutCaller + brokerPatience
)

// A wake-up comes before the commit it is about: so many short looks follow it.
var looks = []time.Duration{1 * time.Millisecond, 5 * time.Millisecond, 15 * time.Millisecond, 40 * time.Millisecond,
	100 * time.Millisecond}

// Relay takes unpublished rows, publishes them, waits for the acknowledgement, marks them. Rows are found by "not yet published"
// and never by "id greater than the last one seen": ids are not committed in their order. Several replicas share the work by
// `skip locked`. What could not be marked is published again under the same Nats-Msg-Id.
type Relay struct {
	Outbox    *Outbox
	DB        *database.DB
	Broker    *Broker
	Metrics   *Metrics
	Connected *health.Condition
	// Subjects that the broker refuses, and until when they wait.
	aside map[string]time.Time
}

// Run publishes until stop, and then what is left.
func (r *Relay) Run(stop context.Context) error {
	err := r.run(stop)
	if err != nil {
		// Before the first success it says what a process waits for, afterwards nobody asks.
		r.Connected.NotYet(err.Error())
	}
	return err
}

func (r *Relay) run(stop context.Context) error {
	ctx := context.WithoutCancel(stop)
	var on connection
	var err error
	r.Connected.NotYet("no connection yet")
	for stop.Err() == nil {
		r.Broker.await(stop)
		if on, err = r.recovered(ctx, on); err != nil {
			return err
		}
		r.Connected.Met()
		select {
		case <-stop.Done():
		case <-r.Outbox.added:
			err = r.publishSoon(ctx, on)
		case <-time.After(relayPoll):
			_, err = r.publishAll(ctx, on)
		}
		if err != nil {
			return err
		}
	}
	if on, err = r.recovered(ctx, on); err == nil {
		_, err = r.publishAll(ctx, on)
	}
	return err
}

// recovered is the connection on which it may go on: a new one after what the broker lost is marked, else the known one.
func (r *Relay) recovered(ctx context.Context, known connection) (connection, error) {
	// Taken before the look: a connection that breaks meanwhile is looked at once more.
	now := r.Broker.connection()
	if known.stands && (now == known || !now.stands) {
		return known, nil
	}
	_, err := recoverLost(ctx, r.DB, r.Broker, r.Outbox.service)
	return now, err
}

func (r *Relay) publishSoon(ctx context.Context, on connection) error {
	for _, pause := range looks {
		time.Sleep(pause)
		if count, err := r.publishAll(ctx, on); err != nil || count > 0 {
			return err
		}
	}
	return nil
}

func (r *Relay) publishAll(ctx context.Context, on connection) (taken int, err error) {
	for {
		count, err := r.publishBatch(ctx, on)
		taken += count
		if err != nil || count < relayBatch {
			return taken, err
		}
	}
}

// An event that is published again is kept no longer than if the broker had never lost it.
const publishedSQL = `
update outbox o set published_at = case when o.stream_sequence is null then now() else o.created_at end,
    stream_sequence = a.sequence
from unnest($1::uuid[], $2::bigint[]) as a (id, sequence) where o.id = a.id`

var errNewConnection = errors.New("the connection to the broker is another one")

// publishBatch says how many rows it took. It publishes nothing, or counts it as not published, once the connection is not the one to
// the broker any more: what the broker lost must be looked for first.
func (r *Relay) publishBatch(ctx context.Context, on connection) (int, error) {
	isStill := func() bool { return on.stands && on == r.Broker.connection() }
	if !isStill() {
		return 0, nil
	}
	ctx, cancel := context.WithTimeout(ctx, relayPatience)
	defer cancel()
	var sent acknowledged
	taken := 0
	err := r.DB.Tx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		rows, err := unpublished(ctx, tx, r.waiting(time.Now()))
		if err != nil || len(rows) == 0 {
			return err
		}
		taken, sent = len(rows), r.send(ctx, rows)
		if !isStill() {
			return errNewConnection
		}
		_, err = tx.Exec(ctx, publishedSQL, sent.ids, sent.sequences)
		return err
	})
	if errors.Is(err, errNewConnection) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	if len(sent.ids) > 0 && !isStill() {
		// Another replica may have looked before the commit, and seen nothing of it. The time for the batch may be over.
		return 0, r.DB.Do(context.WithoutCancel(ctx), func(ctx context.Context, q database.Querier) error {
			_, err := q.Exec(ctx, "update outbox set published_at = null where id = any($1::uuid[])", sent.ids)
			return err
		})
	}
	r.Metrics.published.Add(float64(len(sent.ids)))
	if sent.failure != nil {
		return 0, fmt.Errorf("the broker did not acknowledge all events: %w", sent.failure)
	}
	return taken, nil
}

type row struct {
	id          uuid.UUID
	subject     string
	envelope    string
	traceparent *string
}

// waiting are the subjects that are not tried now.
func (r *Relay) waiting(now time.Time) []string {
	if r.aside == nil {
		r.aside = map[string]time.Time{}
	}
	maps.DeleteFunc(r.aside, func(_ string, until time.Time) bool { return until.Before(now) })
	return slices.AppendSeq([]string{}, maps.Keys(r.aside))
}

// isAside says whether the broker refuses the subject; then its events wait by themselves.
func (r *Relay) isAside(subject string, now time.Time) bool {
	if r.Broker.hasRefused(subject) {
		slog.Warn("the broker refuses this kind of event; it must stand under `publishes` in the service's document", "subject", subject)
		r.aside[subject] = now.Add(asideTime)
	}
	return r.aside[subject].After(now)
}

func unpublished(ctx context.Context, tx pgx.Tx, without []string) ([]row, error) {
	rows, err := tx.Query(ctx, `select id, subject, envelope, traceparent from outbox
where published_at is null and subject <> all($2) order by id limit $1 for update skip locked`, relayBatch, without)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(found pgx.CollectableRow) (r row, err error) {
		err = found.Scan(&r.id, &r.subject, &r.envelope, &r.traceparent)
		return r, err
	})
}

// acknowledged is what the broker has acknowledged, and the last failure among the rest.
type acknowledged struct {
	ids       []string
	sequences []int64
	failure   error
}

func (r *Relay) send(ctx context.Context, rows []row) (sent acknowledged) {
	futures := make([]jetstream.PubAckFuture, 0, len(rows))
	for _, row := range rows {
		message := nats.NewMsg(row.subject)
		message.Data = []byte(row.envelope)
		message.Header.Set(jetstream.MsgIDHeader, row.id.String())
		if row.traceparent != nil {
			message.Header.Set("traceparent", *row.traceparent)
		}
		future, err := r.Broker.js.PublishMsgAsync(message)
		if err != nil {
			sent.failure = err
			break
		}
		futures = append(futures, future)
	}
	for i, future := range futures {
		select {
		case ack := <-future.Ok():
			sent.ids = append(sent.ids, rows[i].id.String())
			sent.sequences = append(sent.sequences, int64(ack.Sequence))
		case err := <-future.Err():
			if !r.isAside(rows[i].subject, time.Now()) {
				sent.failure = err
			}
		case <-ctx.Done():
			sent.failure = ctx.Err()
		}
	}
	return sent
}
