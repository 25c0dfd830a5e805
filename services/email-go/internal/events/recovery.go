package events

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
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
	// The consumer has one name, so one replica looks at a time; the number itself means nothing.
	recoveryLock = 0x4f55_5442
	// How long a replica waits for its turn.
	turn = 5 * time.Second
	// For the look itself; it takes a handful of requests for each doubling of what was published.
	lookPatience = 10 * time.Second
	// The broker removes the consumer of a look that broke off.
	lookEnded = 30 * time.Second
	// Rows in one statement. A week of events in one would not end within its time.
	markBatch = 2000
)

// recoverLost looks whether the broker still has what it has acknowledged, and lets the relay publish again what it lost. It says
// how full the stream is.
func recoverLost(ctx context.Context, db *database.DB, broker *Broker, service string) (*jetstream.StreamInfo, error) {
	stream, err := broker.stream(ctx)
	if err != nil {
		return nil, fmt.Errorf("the broker does not answer: %w", err)
	}
	lost, err := firstLost(ctx, db, ownEvents{broker, service})
	if err != nil {
		return nil, err
	}
	marked := 0
	if lost > 0 {
		if marked, err = markUnpublished(ctx, db, "published_at is not null and stream_sequence >= $2", lost); err != nil {
			return nil, err
		}
	}
	// What the previous version, which kept no sequence, has published before the stream was made.
	more, err := markUnpublished(ctx, db, "stream_sequence is null and published_at < $2", stream.Created)
	if marked += more; marked > 0 {
		slog.Warn("the broker lost events; they are published again", "events", marked)
	}
	return stream, err
}

var errOthersTurn = errors.New("another replica looks for what the broker lost, and does not come to an end")

// firstLost is the lowest acknowledged sequence whose event is lost; 0 where none is. It waits for another replica that looks, and
// holds no connection meanwhile.
func firstLost(ctx context.Context, db *database.DB, own ownEvents) (int64, error) {
	until := time.Now().Add(turn)
	for {
		lost, err := look(ctx, db, own)
		if !errors.Is(err, errOthersTurn) || time.Now().After(until) {
			return lost, err
		}
		time.Sleep(turn / 100)
	}
}

// look fails with errOthersTurn while another replica is at it. The commit fails where the transaction has ended meanwhile, and with
// it the lock: then another may have used the consumer.
func look(ctx context.Context, db *database.DB, own ownEvents) (lost int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, lookPatience)
	defer cancel()
	err = db.Tx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		var locked bool
		err := tx.QueryRow(ctx, "select pg_try_advisory_xact_lock($1)", int64(recoveryLock)).Scan(&locked)
		if err != nil {
			return err
		}
		if !locked {
			return errOthersTurn
		}
		lost, err = search(ctx, tx, own)
		return err
	})
	if err != nil {
		return 0, err
	}
	return lost, nil
}

func search(ctx context.Context, tx pgx.Tx, own ownEvents) (int64, error) {
	newest, err := newestPublished(ctx, tx, 0, math.MaxInt64)
	if err != nil || newest == nil {
		return 0, err
	}
	if has, err := own.has(ctx, newest); err != nil || has {
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
		has := event == nil
		if event != nil {
			if has, err = own.has(ctx, event); err != nil {
				return 0, err
			}
		}
		if has {
			there = middle
		} else {
			lost = event.sequence
		}
	}
	return lost, nil
}

// published is a published event, and where the broker has put it.
type published struct {
	id       uuid.UUID
	sequence int64
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

// ownEvents are the service's own events in the stream. It may not read messages of others, so it looks by a consumer of these alone.
type ownEvents struct {
	broker  *Broker
	service string
}

// has says whether the broker has the event. One that the stream let go because of its limits counts as there: it was not lost. An
// error: the broker does not answer, or gives what was not asked for. Only what it shows says that an event is lost.
func (o ownEvents) has(ctx context.Context, event *published) (bool, error) {
	sequence := uint64(event.sequence)
	consumer, err := o.startingAt(ctx, sequence)
	if err != nil {
		return false, err
	}
	if consumer.CachedInfo().NumPending == 0 {
		return o.wasLetGo(ctx, sequence)
	}
	message, err := first(ctx, consumer)
	if err != nil {
		return false, err
	}
	found, err := message.Metadata()
	if err != nil {
		return false, err
	}
	if found.Sequence.Consumer != 1 || found.Sequence.Stream < sequence {
		return false, errors.New("somebody else uses the consumer of the look")
	}
	if found.Sequence.Stream > sequence {
		return o.wasLetGo(ctx, sequence)
	}
	return message.Headers().Get(jetstream.MsgIDHeader) == event.id.String(), nil
}

// first is the first message that a consumer gives. A request that is lost with its connection is answered by nobody.
func first(ctx context.Context, consumer jetstream.Consumer) (jetstream.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, brokerPatience)
	defer cancel()
	batch, err := consumer.Fetch(1, jetstream.FetchContext(ctx))
	if err != nil {
		return nil, fmt.Errorf("the broker does not show an event: %w", err)
	}
	select {
	case message, ok := <-batch.Messages():
		if !ok {
			return nil, fmt.Errorf("the broker does not show an event that it has (%v)", batch.Error())
		}
		return message, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("the broker does not show an event that it has: %w", ctx.Err())
	}
}

func (o ownEvents) wasLetGo(ctx context.Context, sequence uint64) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, brokerPatience)
	defer cancel()
	stream, err := o.broker.js.Stream(ctx, streamName)
	if err != nil {
		return false, fmt.Errorf("the broker does not say where its events begin: %w", err)
	}
	return sequence < stream.CachedInfo().State.FirstSeq, nil
}

// startingAt makes the consumer anew, because it cannot be moved.
func (o ownEvents) startingAt(ctx context.Context, sequence uint64) (jetstream.Consumer, error) {
	ctx, cancel := context.WithTimeout(ctx, brokerPatience)
	defer cancel()
	name := o.service + "-outbox"
	err := o.broker.js.DeleteConsumer(ctx, streamName, name)
	if err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return nil, fmt.Errorf("the broker keeps the consumer of an older look: %w", err)
	}
	consumer, err := o.broker.js.CreateConsumer(ctx, streamName, jetstream.ConsumerConfig{
		Name:              name,
		FilterSubject:     "shop." + o.service + ".>",
		DeliverPolicy:     jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:       sequence,
		AckPolicy:         jetstream.AckNonePolicy,
		HeadersOnly:       true,
		InactiveThreshold: lookEnded,
	})
	if err != nil {
		return nil, fmt.Errorf("the broker does not take the consumer of a look: %w", err)
	}
	return consumer, nil
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
