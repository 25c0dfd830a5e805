package events

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// Events of all kinds worked on at once.
	concurrency = 8
	// Events of one kind pulled at once. Those that have to wait for a place are handed back when the process stops.
	pullBatch = 16
	// How long a request for events that are to come stands: after it, one that was lost with the broker is made again.
	askAgain = 5 * time.Second
	// After so long without an answer the broker sends an event again.
	ackWait = 30 * time.Second
	// Before an event is sent again while the database is away.
	awayPause = time.Second
	// The same while it refuses to keep what was not applied, which takes somebody to mend.
	refusedPause = 10 * time.Second
	// Before an event that is handed back is sent to somebody else: by then the broker knows that this process takes no more.
	handBack = 200 * time.Millisecond
)

// Places bounds the events that a process works on at once.
type Places chan struct{}

// NewPlaces are all free.
func NewPlaces() Places { return make(Places, concurrency) }

// Consumer subscribes to one kind of event, by a durable pull consumer of its own: a kind that does not get on holds up no other.
type Consumer struct {
	Service   string
	Kind      string
	Broker    *Broker
	Processor *Processor
	Places    Places
}

// Run handles events until stop: those begun are finished, those pulled and not begun are handed back. An error: the broker is
// away, or the consumer is gone; to be run again, which makes it anew.
func (c *Consumer) Run(stop context.Context) error {
	c.Broker.await(stop)
	durable, err := c.durable(stop)
	if err != nil {
		if stop.Err() != nil {
			return nil
		}
		return err
	}
	var begun sync.WaitGroup
	for err == nil && stop.Err() == nil {
		err = c.ask(stop, durable, &begun)
		c.Broker.await(stop)
	}
	begun.Wait()
	_ = c.Broker.conn.FlushTimeout(time.Second) // What does not reach the broker comes again, and the inbox knows it.
	return err
}

// durable makes the consumer at the beginning of the stream: what was published before is handled too, and the inbox knows what
// was handled. So it may be made anew at any time, also beside one that has it already.
func (c *Consumer) durable(ctx context.Context) (jetstream.Consumer, error) {
	if _, err := c.Broker.stream(ctx); err != nil {
		return nil, fmt.Errorf("the broker does not answer: %w", err)
	}
	durable, err := c.Broker.js.CreateOrUpdateConsumer(ctx, streamName, jetstream.ConsumerConfig{
		Durable:           durableName(c.Service, c.Kind),
		FilterSubject:     c.Kind,
		AckPolicy:         jetstream.AckExplicitPolicy,
		AckWait:           ackWait,
		MaxAckPending:     256,
		InactiveThreshold: keepEvents,
	})
	if err != nil {
		return nil, fmt.Errorf("the broker does not take the consumer: %w", err)
	}
	return durable, nil
}

// durableName has no dots, which the broker does not take.
func durableName(service, kind string) string {
	return service + "-" + strings.ReplaceAll(kind, ".", "-")
}

// ask makes one request for events. All that come have a place before the next are asked for.
func (c *Consumer) ask(stop context.Context, durable jetstream.Consumer, begun *sync.WaitGroup) error {
	connected, release := c.Broker.whileConnected(stop)
	defer release()
	// The client waits a little longer than the broker.
	asking, cancel := context.WithTimeout(connected, askAgain*11/10)
	defer cancel()
	batch, err := durable.Fetch(pullBatch, jetstream.FetchContext(asking))
	if err != nil {
		if connected.Err() != nil {
			return nil
		}
		return fmt.Errorf("the broker gives no events: %w", err)
	}
	for message := range batch.Messages() {
		// When both are ready, one is taken by chance.
		if stop.Err() != nil {
			answer(message.NakWithDelay(handBack))
			continue
		}
		select {
		case c.Places <- struct{}{}:
			begun.Go(func() {
				defer func() { <-c.Places }()
				c.handle(context.WithoutCancel(stop), message)
			})
		case <-stop.Done():
			answer(message.NakWithDelay(handBack))
		}
	}
	if err := batch.Error(); err != nil && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("the events broke off: %w", err)
	}
	return nil
}

// handle takes one message to its end. What goes wrong is answered to the broker.
func (c *Consumer) handle(ctx context.Context, message jetstream.Msg) {
	switch c.Processor.process(ctx, message.Subject(), message.Data()) {
	case waiting:
		answer(message.NakWithDelay(awayPause))
	case refused:
		// Only the broker has it. Those behind it go on meanwhile.
		answer(message.NakWithDelay(refusedPause))
	default:
		answer(message.Ack())
	}
}

func answer(err error) {
	if err != nil {
		// The event comes again and the inbox knows it.
		slog.Debug("an acknowledgement did not reach the broker", "error", err)
	}
}
