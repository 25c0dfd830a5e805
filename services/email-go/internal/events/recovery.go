package events

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go/jetstream"

	"shopkeeper.dev/email/internal/database"
)

// Publishing again what the broker has acknowledged and lost: a power cut, a volume put back to an older state or replaced.
//
// A broker that loses events goes on counting where its remaining ones end. So each row of the outbox keeps the sequence that was
// acknowledged, and an event is there exactly if the message of that sequence still carries its id. What is lost is the end of
// what was published: the newest event is looked at, and if it is lost, the first lost one is searched for. That holds as long as
// nothing is noted as published between the loss and this look, so the relay looks on each new connection before it notes
// anything.

const (
	// One replica looks at a time, because they share the consumer by which they look.
	recoveryLock = 0x4f55_5442
	// Rows in one statement. A week of events in one would not end within its time.
	markBatch = 2000
	// For the look itself; it takes a handful of requests for each doubling of what was published.
	recoveryPatience = 10 * time.Second
)

// recoverLost looks whether the broker still has what it has acknowledged, and lets the relay publish again what it lost. It says
// how full the stream is.
func recoverLost(ctx context.Context, db *database.DB, broker *Broker, service string) (*jetstream.StreamInfo, error) {
	stream, err := broker.stream(ctx)
	if err != nil {
		return nil, fmt.Errorf("the broker does not answer: %w", err)
	}
	lost, err := firstLost(ctx, db, look{broker, service, stream.State.FirstSeq})
	if err != nil {
		return nil, err
	}
	marked, err := markUnpublished(ctx, db, "stream_sequence is null and published_at < $2", stream.Created)
	if err == nil && lost > 0 {
		var more int
		more, err = markUnpublished(ctx, db, "published_at is not null and stream_sequence >= $2", lost)
		marked += more
	}
	if marked > 0 {
		slog.Warn("the broker lost events; they are published again", "events", marked)
	}
	return stream, err
}

// published is a published event, and where the broker has put it.
type published struct {
	id       uuid.UUID
	sequence int64
}

// firstLost is the lowest acknowledged sequence whose event is lost; 0 where none is.
func firstLost(ctx context.Context, db *database.DB, look look) (lost int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, recoveryPatience)
	defer cancel()
	err = db.Tx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "select pg_advisory_xact_lock($1)", int64(recoveryLock)); err != nil {
			return err
		}
		lost, err = search(ctx, tx, look)
		return err
	})
	return lost, err
}

func search(ctx context.Context, tx pgx.Tx, look look) (int64, error) {
	newest, err := newestPublished(ctx, tx, 0, 1<<62)
	if err != nil || newest == nil {
		return 0, err
	}
	if isThere, err := look.isThere(ctx, *newest); err != nil || isThere {
		return 0, err
	}
	// Everything up to `there` is there, and `lost` is not.
	there, lost := int64(0), newest.sequence
	for lost-there > 1 {
		middle := there + (lost-there)/2
		event, err := newestPublished(ctx, tx, there, middle)
		if err != nil {
			return 0, err
		}
		isThere := event == nil
		if event != nil {
			if isThere, err = look.isThere(ctx, *event); err != nil {
				return 0, err
			}
		}
		if isThere {
			there = middle
		} else {
			lost = event.sequence
		}
	}
	return lost, nil
}

// newestPublished is the newest event with a sequence above after and not above upTo.
func newestPublished(ctx context.Context, tx pgx.Tx, after, upTo int64) (*published, error) {
	var p published
	err := tx.QueryRow(ctx, `select id, stream_sequence from outbox
where published_at is not null and stream_sequence > $1 and stream_sequence <= $2
order by stream_sequence desc limit 1`, after, upTo).Scan(&p.id, &p.sequence)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	return &p, err
}

// look looks at single messages of the stream. A service may not read messages of others, so it looks by a consumer of its own
// events.
type look struct {
	broker   *Broker
	service  string
	firstSeq uint64
}

// isThere says whether the broker has the event. One that the stream let go because of its limits counts as there: it was not lost.
func (l look) isThere(ctx context.Context, event published) (bool, error) {
	sequence := uint64(event.sequence)
	if sequence < l.firstSeq {
		return true, nil
	}
	name := l.service + "-outbox"
	err := l.broker.js.DeleteConsumer(ctx, streamName, name)
	if err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return false, fmt.Errorf("the broker does not show an event: %w", err)
	}
	consumer, err := l.broker.js.CreateConsumer(ctx, streamName, jetstream.ConsumerConfig{
		Name:              name,
		FilterSubject:     "shop." + l.service + ".>",
		DeliverPolicy:     jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:       sequence,
		AckPolicy:         jetstream.AckNonePolicy,
		HeadersOnly:       true,
		InactiveThreshold: 30 * time.Second,
	})
	if err != nil {
		return false, fmt.Errorf("the broker does not show an event: %w", err)
	}
	if consumer.CachedInfo().NumPending == 0 {
		return false, nil
	}
	batch, err := consumer.FetchNoWait(1)
	if err != nil {
		return false, fmt.Errorf("the broker does not show an event: %w", err)
	}
	message, ok := <-batch.Messages()
	if !ok {
		return false, fmt.Errorf("the broker does not show an event that it has (%v)", batch.Error())
	}
	meta, err := message.Metadata()
	if err != nil {
		return false, err
	}
	return meta.Sequence.Stream == sequence && message.Headers().Get(jetstream.MsgIDHeader) == event.id.String(), nil
}

// markUnpublished marks rows as not published, each once: those that the relay publishes again meanwhile have new sequences. The
// condition is one of ours, never input.
func markUnpublished(ctx context.Context, db *database.DB, condition string, from any) (marked int, err error) {
	sql := `update outbox set published_at = null where id in (
    select id from outbox where id > $1 and ` + condition + ` order by id limit $3 for update) returning id`
	after := uuid.Nil
	for {
		var ids []uuid.UUID
		err := db.Do(ctx, func(ctx context.Context, q database.Querier) error {
			rows, err := q.Query(ctx, sql, after, from, markBatch)
			if err != nil {
				return err
			}
			ids, err = pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
			return err
		})
		if err != nil || len(ids) == 0 {
			return marked, err
		}
		marked += len(ids)
		for _, id := range ids {
			if string(id[:]) > string(after[:]) {
				after = id
			}
		}
	}
}
