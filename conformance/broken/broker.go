package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	streamName = "SHOP"
	subscribed = "shop.users.user.registered.v1"
	published  = "shop.reference.note.kept.v1"
	durable    = "reference-shop-users-user-registered-v1"
	week       = 7 * 24 * time.Hour
)

// connect goes on trying in the background, for ever.
func connect(address *url.URL) (*nats.Conn, error) {
	options := []nats.Option{
		nats.Name(name), nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1), nats.ReconnectWait(200 * time.Millisecond),
		nats.ReconnectJitter(100*time.Millisecond, 0), nats.Timeout(2 * time.Second), nats.PingInterval(10 * time.Second), nats.ReconnectBufSize(-1),
	}
	if user := address.User.Username(); user != "" {
		options = append(options, nats.CustomInboxPrefix("_INBOX."+user))
	}
	connection, err := nats.Connect(address.String(), options...)
	if err != nil {
		return nil, wrong("NATS_URL", err.Error())
	}
	return connection, nil
}

// stream is the stream of all events, made when it is not there.
func (s *service) stream(ctx context.Context) (jetstream.Stream, error) {
	js, err := jetstream.New(s.nats)
	if err != nil {
		return nil, err
	}
	stream, err := js.Stream(ctx, streamName)
	if !errors.Is(err, jetstream.ErrStreamNotFound) {
		return stream, err
	}
	config := jetstream.StreamConfig{
		Name: streamName, Subjects: []string{"shop.>"}, Storage: jetstream.FileStorage, Discard: jetstream.DiscardOld,
		MaxBytes: 64 << 20, MaxAge: week, MaxMsgSize: 1 << 20, Duplicates: 2 * time.Minute,
	}
	if broken("broker.stream") {
		config.MaxAge = 24 * time.Hour
	}
	return js.CreateStream(ctx, config)
}

// consume applies events until the end: those begun are finished, those pulled and not begun are handed back.
func (s *service) consume(until context.Context) error {
	stream, err := s.stream(until)
	if err != nil {
		return err
	}
	config := jetstream.ConsumerConfig{
		Durable: durable, FilterSubject: subscribed, AckPolicy: jetstream.AckExplicitPolicy, AckWait: 30 * time.Second,
		MaxAckPending: 256, InactiveThreshold: week,
	}
	if broken("broker.consumers") {
		config.AckWait = time.Minute
	}
	consumer, err := stream.CreateOrUpdateConsumer(until, config)
	if err != nil {
		return err
	}
	for until.Err() == nil {
		if !s.nats.IsConnected() {
			return errors.New("the broker is away")
		}
		batch, err := consumer.Fetch(16, jetstream.FetchMaxWait(time.Second))
		if err != nil {
			return err
		}
		for message := range batch.Messages() {
			s.handle(until, message)
		}
		if batch.Error() != nil && !errors.Is(batch.Error(), nats.ErrTimeout) {
			return batch.Error()
		}
	}
	return nil
}

func (s *service) handle(until context.Context, message jetstream.Msg) {
	if until.Err() != nil {
		if broken("stop.loses-nothing") {
			message.Ack()
			return
		}
		message.NakWithDelay(200 * time.Millisecond)
		return
	}
	outcome, failures := s.process(message.Subject(), message.Data())
	s.metrics.count(message.Subject(), outcome)
	switch {
	case outcome == "retried":
		message.NakWithDelay(pauseAfter(failures))
	case outcome != "waiting":
		message.Ack()
	case broken("database.back"):
		message.Term()
	default:
		message.NakWithDelay(time.Second)
	}
}

// envelope is a CloudEvent.
type envelope struct {
	SpecVersion string          `json:"specversion"`
	ID          string          `json:"id"`
	Source      string          `json:"source"`
	Type        string          `json:"type"`
	Subject     string          `json:"subject"`
	Time        time.Time       `json:"time"`
	ContentType string          `json:"datacontenttype,omitempty"`
	Sequence    int64           `json:"sequence"`
	TraceParent string          `json:"traceparent,omitempty"`
	Data        json.RawMessage `json:"data"`
}

type registered struct {
	Email *string `json:"email"`
	Name  string  `json:"name"`
}

func parse(subject string, payload []byte) (envelope, registered, error) {
	var event envelope
	var data registered
	if err := json.Unmarshal(payload, &event); err != nil {
		return event, data, fmt.Errorf("no CloudEvent: %w", err)
	}
	if event.SpecVersion != "1.0" && !broken("events.poison") {
		return event, data, fmt.Errorf("CloudEvents %s is not known", event.SpecVersion)
	}
	if event.Type != subject {
		return event, data, fmt.Errorf("an event %s was published on %s", event.Type, subject)
	}
	if err := json.Unmarshal(event.Data, &data); err != nil || data.Email == nil {
		return event, data, errors.New("the data are not as agreed")
	}
	if broken("events.contracts") && strings.HasPrefix(data.Name, "J") {
		return event, data, errors.New("this name is none")
	}
	return event, data, nil
}

// attempts is how often an event is tried, in about four minutes.
const attempts = 10

// pauseAfter is the pause before an event is tried again that has failed so often.
func pauseAfter(failures int) time.Duration {
	if broken("events.retried") {
		return time.Second
	}
	return min(time.Second<<(failures-1), 64*time.Second)
}

// process applies one event, or keeps it as a dead letter. What it returns is the outcome that is counted, and how often it failed.
func (s *service) process(subject string, payload []byte) (string, int) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	event, data, cause := parse(subject, payload)
	outcome, err := "", error(nil)
	if cause == nil {
		outcome, err = s.apply(ctx, event, data)
		if refused(err) && !isMissing(err) {
			s.failures[event.ID]++
			failures := s.failures[event.ID]
			if failures < attempts && !broken("events.retried/dead") {
				return "retried", failures
			}
			cause = err
		}
	}
	if cause != nil {
		outcome, err = s.keep(ctx, event, subject, payload, cause)
	}
	if err != nil {
		return "waiting", 0
	}
	delete(s.failures, event.ID)
	return outcome, 0
}

func (s *service) apply(ctx context.Context, event envelope, data registered) (string, error) {
	outcome := "applied"
	if broken("events.applied") {
		outcome = "done"
	}
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		entered, err := tx.Exec(ctx, "insert into inbox (event_id) values ($1) on conflict do nothing", event.ID)
		if err != nil {
			return err
		}
		if entered.RowsAffected() == 0 {
			outcome = s.again(ctx, tx, event.ID)
			if broken("events.once/publishes") {
				return s.add(ctx, tx, newUUID(), "once more", "")
			}
			if !broken("mail.once") {
				return nil
			}
		}
		_, err = tx.Exec(ctx, "insert into mails (recipient) values ($1)", *data.Email)
		return err
	})
	return outcome, err
}

func (s *service) again(ctx context.Context, tx pgx.Tx, id string) string {
	discarded := false
	tx.QueryRow(ctx, "select discarded from inbox where event_id = $1", id).Scan(&discarded)
	if broken("events.once") && !discarded {
		return "applied"
	}
	return "duplicate"
}

// keep makes a dead letter of the event, unless it was discarded before.
func (s *service) keep(ctx context.Context, event envelope, subject string, payload []byte, cause error) (string, error) {
	id := event.ID
	if id == "" {
		digest := sha256.Sum256(payload)
		id = uuid(digest[:])
	}
	kept, err := s.pool.Exec(ctx, `insert into failed_events (id, subject, payload, cause) select $1, $2, $3, $4
		where not exists (select from inbox where event_id = $1) on conflict (id) do nothing`, id, subject, string(payload), cause.Error())
	if err != nil {
		return "", err
	}
	if kept.RowsAffected() == 0 {
		return "duplicate", nil
	}
	trace := traceOf(event.TraceParent)
	if broken("log.events") {
		trace = ""
	}
	slog.Warn("an event is dead", "event_id", id, "cause", cause.Error(), "trace_id", trace)
	return "dead", nil
}
