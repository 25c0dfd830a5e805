package delivery

import (
	"context"
	"log/slog"
	"time"

	"shopkeeper.dev/email/internal/database"
	"shopkeeper.dev/email/internal/smtp"
	"shopkeeper.dev/email/internal/store"
	"shopkeeper.dev/email/internal/telemetry"
)

const (
	// Longer than connecting and sending may take together.
	lease = 6 * time.Minute
	// Pause between two looks for new mails when there are none.
	poll = 500 * time.Millisecond
	// Mails on their way at once, each over a connection of its own. The mail of a server that answers after minutes takes one of
	// the places; mail servers let one client have about ten connections.
	places = 4
	// Between two looks for a database that is away, and the rest after it came back: in this time all replicas mark what they have
	// sent, and no mail whose lease has run out meanwhile is taken for one whose sender died.
	afterOutage = 2 * time.Second
)

// Sender takes queued mails and has them delivered, several at once, so that one slow mail holds nobody up. Several replicas may
// run it at once: a mail is claimed for the time of a lease. A crash between the server's "taken" and the mark in the database
// sends the mail once more after the lease, with the same Message-ID.
type Sender struct {
	Delivery *Delivery
	// Connect makes a way to the mail server; nil keeps mails.
	Connect func() *smtp.Client
}

// sending is one run of the worker.
type sending struct {
	*Sender
	// Ways that are free, the one used last at the end.
	free []*smtp.Client
	// Ways come back when their mail ended.
	ended    chan *smtp.Client
	underWay int
	// No mail is claimed before.
	restsUntil time.Time
	// The database did not answer the last time.
	databaseAway bool
	// The failure of the mail server that was rested for last.
	restedFor *Stopped
}

// Run works until stop; mails under way are finished first.
func (s *Sender) Run(stop context.Context) error {
	run := &sending{Sender: s, ended: make(chan *smtp.Client, places)}
	for stop.Err() == nil {
		if pause := run.step(context.WithoutCancel(stop)); pause > 0 {
			run.wait(stop, pause)
		}
	}
	for run.underWay > 0 {
		run.back(<-run.ended)
	}
	for _, client := range run.free {
		if client != nil {
			client.Close()
		}
	}
	return nil
}

// step sends one mail on its way, if there is one and it may go. It says how long to wait before the next step, if nothing else
// happens meanwhile.
func (r *sending) step(ctx context.Context) time.Duration {
	stopped := r.Delivery.Server.Stopped()
	if r.underWay >= places || stopped != nil && r.underWay >= 1 {
		// One where the mail server takes none: a single mail tells whether it does again.
		return poll
	}
	if stopped != r.restedFor {
		if stopped != nil {
			r.restsUntil = time.Now().Add(serverPause(stopped.failures, chance()))
		}
		r.restedFor = stopped
	}
	if left := time.Until(r.restsUntil); left > 0 {
		return left
	}
	if r.Delivery.Metrics.unmarked.Load() > 0 {
		// Its lease may run out before it can be marked; it must not be taken for the mail of a sender that died.
		return poll
	}
	mail, err := r.claim(ctx)
	switch {
	case err != nil:
		if !r.databaseAway {
			slog.Warn("no mails can be taken from the queue; they wait", "error", err)
		}
		r.databaseAway = true
		return afterOutage
	case mail == nil:
		return poll
	}
	r.send(ctx, mail)
	return 0
}

func (r *sending) claim(ctx context.Context) (mail *store.Claimed, err error) {
	err = r.Delivery.DB.Do(ctx, func(ctx context.Context, q database.Querier) error {
		if r.databaseAway {
			if _, err := q.Exec(ctx, "select 1"); err != nil {
				return err
			}
			r.databaseAway, r.restsUntil = false, time.Now().Add(afterOutage)
			return nil
		}
		mail, err = store.Claim(ctx, q, lease)
		return err
	})
	return mail, err
}

func (r *sending) send(ctx context.Context, mail *store.Claimed) {
	traceparent := ""
	if mail.Traceparent != nil {
		traceparent = *mail.Traceparent
	}
	ctx = telemetry.With(telemetry.Start(ctx, traceparent),
		slog.String("mail_id", mail.ID.String()), slog.String("kind", string(mail.Kind)))
	if mail.OrderID != nil {
		ctx = telemetry.With(ctx, slog.String("order_id", mail.OrderID.String()))
	}
	client := r.way()
	r.underWay++
	go func() {
		// A mail whose delivery panics is due again when its lease ends; the next one gets another way.
		defer func() {
			if words := recover(); words != nil {
				slog.ErrorContext(ctx, "the delivery of a mail panicked", "error", words)
				client = nil
			}
			r.ended <- client
		}()
		r.Delivery.deliver(ctx, mail, client)
	}()
}

// way is a way that is free, or a new one.
func (r *sending) way() *smtp.Client {
	if last := len(r.free) - 1; last >= 0 {
		client := r.free[last]
		r.free = r.free[:last]
		return client
	}
	if r.Connect == nil {
		return nil
	}
	return r.Connect()
}

func (r *sending) back(client *smtp.Client) {
	r.underWay--
	if client != nil {
		r.free = append(r.free, client)
	}
}

// wait waits for the pause, for a mail that ends, or for stop.
func (r *sending) wait(stop context.Context, pause time.Duration) {
	select {
	case <-stop.Done():
	case <-time.After(pause):
	case client := <-r.ended:
		r.back(client)
	}
}
