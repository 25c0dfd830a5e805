package events

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"shopkeeper.dev/email/internal/telemetry"
)

const (
	streamName = "SHOP"
	// How long the broker keeps events. Outboxes keep theirs as long, so that what the broker lost can be published again.
	keepEvents = 7 * 24 * time.Hour
	// A stream that is made here; the operator's size comes to it by the service that is given it.
	streamBytes = 64 << 20
	// The longest wait for an answer of the broker.
	brokerPatience = 3 * time.Second
)

// Broker is the way to NATS JetStream: it connects in the background and for ever.
type Broker struct {
	conn *nats.Conn
	js   jetstream.JetStream

	mu sync.Mutex
	// Subjects on which the broker has refused something since it was asked for last.
	refused map[string]bool
	// Ends with the present connection: what was asked for on it is not answered any more.
	present context.Context
	end     context.CancelFunc
}

// connection is which of the connections that followed each other. A broker that lost something was away, so its connection is
// a new one.
type connection struct {
	number uint64
	stands bool
}

var refusals telemetry.LogLimit

// Connect does not wait for the broker. A login may hear nothing but the inbox of its user.
func Connect(service string, address *url.URL) (*Broker, error) {
	b := &Broker{refused: map[string]bool{}}
	b.present, b.end = context.WithCancel(context.Background())
	options := []nats.Option{
		nats.DisconnectErrHandler(func(*nats.Conn, error) { b.ended() }),
		nats.Name(service),
		nats.RetryOnFailedConnect(true),
		nats.MaxReconnects(-1),
		nats.CustomReconnectDelay(func(attempts int) time.Duration {
			return min(max(time.Duration(attempts)*100*time.Millisecond, 50*time.Millisecond), 2*time.Second)
		}),
		// A login that is not there yet, or not right any more, comes.
		nats.IgnoreAuthErrorAbort(),
		nats.Timeout(2 * time.Second),
		nats.PingInterval(10 * time.Second),
		// What cannot be sent now is known here and sent again.
		nats.ReconnectBufSize(-1),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			if subject, ok := refusedSubject(err); ok {
				b.noteRefusal(subject)
			}
			if leftOut, due := refusals.Due(time.Now()); due {
				slog.Warn("the broker has refused something", "error", err, "left_out", leftOut)
			}
		}),
	}
	if user := address.User.Username(); user != "" {
		options = append(options, nats.CustomInboxPrefix("_INBOX."+user))
	}
	conn, err := nats.Connect(address.String(), options...)
	if err != nil {
		return nil, err
	}
	b.conn = conn
	b.js, err = jetstream.New(conn, jetstream.WithDefaultTimeout(brokerPatience),
		jetstream.WithPublishAsyncMaxPending(1024), jetstream.WithPublishAsyncTimeout(brokerPatience))
	return b, err
}

func (b *Broker) ended() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.end()
	b.present, b.end = context.WithCancel(context.Background())
}

// refusedSubject is the one in `Permissions Violation for Publish to "shop.email.email.read.v1"`.
func refusedSubject(err error) (string, bool) {
	if !errors.Is(err, nats.ErrPermissionViolation) {
		return "", false
	}
	_, quoted, _ := strings.Cut(err.Error(), `Publish to "`)
	subject, _, ok := strings.Cut(quoted, `"`)
	return subject, ok
}

func (b *Broker) noteRefusal(subject string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refused[subject] = true
}

// hasRefused says whether the broker has said that it takes nothing on the subject from this login. Asked once, it is forgotten.
func (b *Broker) hasRefused(subject string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	defer delete(b.refused, subject)
	return b.refused[subject]
}

// whileConnected is a context that ends with the present connection, too.
func (b *Broker) whileConnected(ctx context.Context) (context.Context, context.CancelFunc) {
	b.mu.Lock()
	defer b.mu.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	release := context.AfterFunc(b.present, cancel)
	return ctx, func() { release(); cancel() }
}

// await waits until there is a connection, or for stop.
func (b *Broker) await(stop context.Context) {
	for !b.conn.IsConnected() && stop.Err() == nil {
		select {
		case <-stop.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// Close ends the connection.
func (b *Broker) Close() { b.conn.Close() }

// connection is the present one.
func (b *Broker) connection() connection {
	return connection{b.conn.Stats().Reconnects, b.conn.IsConnected()}
}

// stream is the stream of all events, made when it is not there.
func (b *Broker) stream(ctx context.Context) (*jetstream.StreamInfo, error) {
	stream, err := b.js.Stream(ctx, streamName)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		stream, err = b.js.CreateStream(ctx, jetstream.StreamConfig{
			Name:       streamName,
			Subjects:   []string{"shop.>"},
			Storage:    jetstream.FileStorage,
			Retention:  jetstream.LimitsPolicy,
			Discard:    jetstream.DiscardOld,
			Duplicates: 2 * time.Minute,
			MaxBytes:   streamBytes,
			MaxAge:     keepEvents,
			MaxMsgSize: 1 << 20,
		})
	}
	if err != nil {
		return nil, err
	}
	return stream.CachedInfo(), nil
}
