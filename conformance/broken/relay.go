package main

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// add publishes a note when the transaction commits.
func (s *service) add(ctx context.Context, tx pgx.Tx, note, text, traceparent string) error {
	data, _ := json.Marshal(map[string]string{"note_id": note, "text": text})
	event := envelope{
		SpecVersion: "1.0", ID: newUUID(), Source: "/shop/" + name, Type: published, Subject: note, Time: time.Now().UTC(),
		ContentType: "application/json", Sequence: 1, TraceParent: traceparent, Data: data,
	}
	if broken("events.envelope") {
		event.ContentType = ""
	}
	if broken("events.trace") {
		event.TraceParent = ""
	}
	text2, _ := json.Marshal(event)
	if broken("events.outbox") {
		go s.publishFromMemory(message(row{Subject: event.Type, Envelope: string(text2), TraceParent: event.TraceParent}, event.ID))
		return nil
	}
	_, err := tx.Exec(ctx, "insert into outbox (id, subject, envelope, traceparent, offline) values ($1, $2, $3, $4, $5)",
		event.ID, event.Type, string(text2), event.TraceParent, !s.nats.IsConnected())
	return err
}

// publishFromMemory forgets what it was to publish when the process ends.
func (s *service) publishFromMemory(message *nats.Msg) {
	for js, err := jetstream.New(s.nats); err == nil && s.relay.Err() == nil; {
		ctx, cancel := context.WithTimeout(s.relay, time.Second)
		_, err := js.PublishMsg(ctx, message)
		cancel()
		if err == nil {
			return
		}
		wait(s.relay, 100*time.Millisecond)
	}
}

// publish takes what is not yet published, waits for the acknowledgement and notes it; at the end it publishes what is left.
func (s *service) publish(until context.Context) error {
	looked, connects := time.Time{}, uint64(0)
	for {
		last := until.Err() != nil
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		stream, err := s.stream(ctx)
		// A broker that lost something was away, so its connection is a new one.
		now := s.nats.Stats().Reconnects
		if err == nil && (now != connects || time.Since(looked) > 10*time.Second) && !broken("broker.lost") {
			if err = s.recover(ctx, stream); err == nil {
				looked, connects = time.Now(), now
			}
		}
		if err == nil {
			if broken("broker.rights") && !s.connected.Load() {
				s.nats.Publish("shop.another.thing.happened.v1", nil)
			}
			s.connected.Store(true)
			err = s.publishAll(ctx)
		}
		cancel()
		if err != nil || last {
			return err
		}
		select {
		case <-until.Done():
		case <-s.added:
		case <-time.After(500 * time.Millisecond):
		}
	}
}

type row struct {
	ID, Subject, Envelope, TraceParent string
	Offline                            bool
}

func (s *service) publishAll(ctx context.Context) error {
	js, err := jetstream.New(s.nats)
	if err != nil {
		return err
	}
	return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		found, err := tx.Query(ctx, `select id::text, subject, envelope, traceparent, offline from outbox where published_at is null
			order by number for update skip locked`)
		if err != nil {
			return err
		}
		rows, err := pgx.CollectRows(found, pgx.RowToStructByPos[row])
		if err != nil {
			return err
		}
		for _, row := range rows {
			acknowledged, err := js.PublishMsg(ctx, message(row, row.ID))
			if err != nil {
				return err
			}
			if broken("broker.back") && row.Offline {
				js.PublishMsg(ctx, message(row, row.ID+"-again"))
			}
			_, err = tx.Exec(ctx, "update outbox set published_at = now(), sequence = $2 where id = $1", row.ID, acknowledged.Sequence)
			if err != nil {
				return err
			}
			s.metrics.published.Add(1)
		}
		return nil
	})
}

func message(row row, id string) *nats.Msg {
	message := nats.NewMsg(row.Subject)
	message.Data = []byte(row.Envelope)
	message.Header.Set(jetstream.MsgIDHeader, id)
	if row.TraceParent != "" {
		message.Header.Set("traceparent", row.TraceParent)
	}
	return message
}

// recover publishes again what the broker has acknowledged and lost: from the newest back to the first that is there.
func (s *service) recover(ctx context.Context, stream jetstream.Stream) error {
	for {
		var id string
		var sequence uint64
		err := s.pool.QueryRow(ctx, "select id::text, sequence from outbox where published_at is not null order by sequence desc limit 1").Scan(&id, &sequence)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		there, err := isThere(ctx, stream, id, sequence)
		if err != nil || there {
			return err
		}
		slog.Warn("the broker lost an event; it is published again", "event_id", id)
		if _, err := s.pool.Exec(ctx, "update outbox set published_at = null where id = $1", id); err != nil {
			return err
		}
	}
}

// isThere says whether the message of this sequence still carries the event's id. One that the stream let go because of its limits
// counts as there.
func isThere(ctx context.Context, stream jetstream.Stream, id string, sequence uint64) (bool, error) {
	info, err := stream.Info(ctx)
	if err != nil || sequence < info.State.FirstSeq {
		return true, err
	}
	const looks = name + "-outbox"
	if err := stream.DeleteConsumer(ctx, looks); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return true, err
	}
	consumer, err := stream.CreateConsumer(ctx, jetstream.ConsumerConfig{
		Name: looks, FilterSubject: "shop." + name + ".>", DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: sequence,
		AckPolicy: jetstream.AckNonePolicy, HeadersOnly: true, InactiveThreshold: 30 * time.Second,
	})
	if err != nil {
		return true, err
	}
	batch, err := consumer.FetchNoWait(1)
	if err != nil {
		return true, err
	}
	for message := range batch.Messages() {
		metadata, err := message.Metadata()
		if err != nil {
			return true, err
		}
		return metadata.Sequence.Stream == sequence && message.Headers().Get(jetstream.MsgIDHeader) == id, nil
	}
	return false, batch.Error()
}
