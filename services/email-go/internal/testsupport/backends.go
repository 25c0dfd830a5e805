package testsupport

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Broker accounts that dev/backends.sh makes: t0 to t255.
const accounts = 256

// Backends are one test's database and broker account.
type Backends struct {
	DatabaseURL, BrokerURL string
	t                      testing.TB
	conn                   *nats.Conn
	js                     jetstream.JetStream
}

// NewBackends needs TEST_DATABASE_URL and TEST_NATS_URL: eval "$(dev/backends.sh up)" starts and names them.
func NewBackends(t testing.TB) *Backends {
	t.Helper()
	database, broker := parsed(t, "TEST_DATABASE_URL"), parsed(t, "TEST_NATS_URL")
	ctx := t.Context()
	admin, err := pgx.Connect(ctx, database.String())
	if err != nil {
		t.Fatal(err)
	}
	// Two tests that make it at once collide; then it is there. Tests of other programs count on with it.
	_, _ = admin.Exec(ctx, "create sequence if not exists broker_accounts")
	var account int
	if err := admin.QueryRow(ctx, "select nextval('broker_accounts')").Scan(&account); err != nil {
		t.Fatal(err)
	}
	name := "t_" + strings.ReplaceAll(uuid.NewString(), "-", "")
	if _, err := admin.Exec(ctx, "create database "+name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, _ = admin.Exec(context.Background(), "drop database "+name+" with (force)")
		_ = admin.Close(context.Background())
	})
	database.Path = name
	broker.User = url.UserPassword(fmt.Sprintf("t%d", account%accounts), "t")
	b := &Backends{DatabaseURL: database.String(), BrokerURL: broker.String(), t: t}
	if b.conn, err = nats.Connect(b.BrokerURL); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.conn.Close)
	if b.js, err = jetstream.New(b.conn); err != nil {
		t.Fatal(err)
	}
	// An account that was used before must not bring its old events, nor keep its place on the broker.
	_ = b.js.DeleteStream(ctx, "SHOP")
	t.Cleanup(func() { _ = b.js.DeleteStream(context.Background(), "SHOP") })
	b.MakeStream()
	return b
}

func parsed(t testing.TB, name string) *url.URL {
	t.Helper()
	address, err := url.Parse(os.Getenv(name))
	if err != nil || address.Host == "" {
		t.Fatalf(`%s is not set: eval "$(dev/backends.sh up)"`, name)
	}
	return address
}

// MakeStream makes the stream as any service does.
func (b *Backends) MakeStream() {
	b.t.Helper()
	_, err := b.js.CreateStream(b.t.Context(), jetstream.StreamConfig{
		Name: "SHOP", Subjects: []string{"shop.>"}, Duplicates: 2 * time.Minute, MaxBytes: 64 << 20,
		Discard: jetstream.DiscardOld, MaxAge: 7 * 24 * time.Hour, MaxMsgSize: 1 << 20,
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

// LoseStream takes all events from the broker, as a volume that was replaced does.
func (b *Backends) LoseStream() {
	b.t.Helper()
	if err := b.js.DeleteStream(b.t.Context(), "SHOP"); err != nil {
		b.t.Fatal(err)
	}
	b.MakeStream()
}

// LoseEnd takes all events but the first from the broker, as a volume that was put back to an older state does.
func (b *Backends) LoseEnd(keep int) {
	b.t.Helper()
	ctx := b.t.Context()
	stream, err := b.js.Stream(ctx, "SHOP")
	if err != nil {
		b.t.Fatal(err)
	}
	kept := make([]*nats.Msg, keep)
	for i := range kept {
		message, err := stream.GetMsg(ctx, uint64(i+1))
		if err != nil {
			b.t.Fatal(err)
		}
		kept[i] = &nats.Msg{Subject: message.Subject, Header: message.Header, Data: message.Data}
	}
	b.LoseStream()
	for _, message := range kept {
		if _, err := b.js.PublishMsg(ctx, message); err != nil {
			b.t.Fatal(err)
		}
	}
}

// LetGo empties the stream as its limits do.
func (b *Backends) LetGo() {
	b.t.Helper()
	stream, err := b.js.Stream(b.t.Context(), "SHOP")
	if err == nil {
		err = stream.Purge(b.t.Context())
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// Swallow hears what is published on a subject outside of the stream, and says nothing.
func (b *Backends) Swallow(subject string) {
	b.t.Helper()
	if _, err := b.conn.Subscribe(subject, func(*nats.Msg) {}); err != nil {
		b.t.Fatal(err)
	}
}

// Publish publishes an event of another service under an id of its own, and returns that.
func (b *Backends) Publish(kind string, data any) uuid.UUID {
	b.t.Helper()
	id := uuid.Must(uuid.NewV7())
	b.PublishAs(id, kind, data)
	return id
}

// PublishAs publishes an event with this id; the broker does not know it again.
func (b *Backends) PublishAs(id uuid.UUID, kind string, data any) {
	b.t.Helper()
	b.PublishRaw(kind, map[string]any{
		"specversion": "1.0", "id": id, "source": "/shop/test", "type": kind, "subject": "test",
		"time": time.Now().UTC(), "datacontenttype": "application/json", "sequence": 1, "data": data,
		"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	})
}

// PublishRaw publishes whatever value as JSON.
func (b *Backends) PublishRaw(kind string, value any) {
	b.t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.js.Publish(b.t.Context(), kind, text); err != nil {
		b.t.Fatal(err)
	}
}

// Published are the envelopes on a subject, in their order.
func (b *Backends) Published(subject string) (all []map[string]any) {
	b.t.Helper()
	ctx := b.t.Context()
	consumer, err := b.js.CreateConsumer(ctx, "SHOP", jetstream.ConsumerConfig{
		FilterSubject: subject, AckPolicy: jetstream.AckNonePolicy,
	})
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = b.js.DeleteConsumer(ctx, "SHOP", consumer.CachedInfo().Name) }()
	batch, err := consumer.FetchNoWait(1000)
	if err != nil {
		b.t.Fatal(err)
	}
	for message := range batch.Messages() {
		var envelope map[string]any
		if err := json.Unmarshal(message.Data(), &envelope); err != nil {
			b.t.Fatal(err)
		}
		if id := message.Headers().Get("Nats-Msg-Id"); id != envelope["id"] {
			b.t.Errorf("the event %v has the Nats-Msg-Id %s", envelope["id"], id)
		}
		all = append(all, envelope)
	}
	return all
}

// Query is one value of the database.
func Query[T any](b *Backends, sql string, args ...any) (value T) {
	b.t.Helper()
	conn, err := pgx.Connect(b.t.Context(), b.DatabaseURL)
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	if err := conn.QueryRow(b.t.Context(), sql, args...).Scan(&value); err != nil {
		b.t.Fatal(err)
	}
	return value
}

// Execute runs a statement.
func (b *Backends) Execute(sql string, args ...any) {
	b.t.Helper()
	conn, err := pgx.Connect(b.t.Context(), b.DatabaseURL)
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	if _, err := conn.Exec(b.t.Context(), sql, args...); err != nil {
		b.t.Fatal(err)
	}
}

// Eventually waits until the condition holds, for a minute at most.
func Eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	// A look at the broker that is cut in the middle takes 18 s, and comes again after 10.
	const patience = 60 * time.Second
	deadline := time.Now().Add(patience)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", patience, what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
