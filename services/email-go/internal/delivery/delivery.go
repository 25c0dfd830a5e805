package delivery

import (
	"context"
	"log/slog"
	netmail "net/mail"
	"time"

	"github.com/jackc/pgx/v5"

	"shopkeeper.dev/email/internal/database"
	"shopkeeper.dev/email/internal/events"
	"shopkeeper.dev/email/internal/mail"
	"shopkeeper.dev/email/internal/smtp"
	"shopkeeper.dev/email/internal/store"
	"shopkeeper.dev/email/internal/telemetry"
)

// Between two tries to write down how a mail ended. Shorter than what a sender rests after an outage of the database.
const (
	markPauseMin = 100 * time.Millisecond
	markPauseMax = time.Second
)

// Delivery delivers claimed mails.
type Delivery struct {
	DB      *database.DB
	Outbox  *events.Outbox
	Metrics *Metrics
	Server  *Server
	From    netmail.Address
}

// deliver makes one attempt and marks what became of it. Without a client the mail is kept. What the server says may repeat the
// address: it goes to the database, the log has the code alone.
func (d *Delivery) deliver(ctx context.Context, m *store.Claimed, client *smtp.Client) {
	var err error
	if client == nil {
		var ended bool
		if ended, err = d.end(ctx, m, ending{status: mail.Kept}); ended {
			slog.InfoContext(ctx, "mail kept: no mail server is configured (SMTP_HOST)")
		}
	} else {
		err = d.send(ctx, m, client)
	}
	if err != nil {
		// Its lease ends, and it is due again.
		slog.WarnContext(ctx, "what became of a mail could not be written down", "error", err)
	}
}

func (d *Delivery) send(ctx context.Context, m *store.Claimed, client *smtp.Client) error {
	message, err := smtp.Message{
		ID: m.ID, TraceID: telemetry.TraceID(ctx), From: d.From, To: m.To, Subject: m.Subject, Text: m.Text, HTML: m.HTML, Date: m.CreatedAt,
	}.Bytes()
	if err != nil {
		return d.fail(ctx, m, mail.Refused, 0, err.Error())
	}
	attempt := client.Send(d.From.Address, m.To, message)
	switch attempt.Outcome {
	case smtp.Taken:
		ended, err := d.end(ctx, m, ending{status: mail.Sent})
		if ended {
			slog.InfoContext(ctx, "mail sent")
		}
		return d.works(ctx, err)
	case smtp.Refused:
		return d.works(ctx, d.fail(ctx, m, mail.Refused, attempt.Code, attempt.Cause))
	case smtp.RefusedUnclear:
		return d.refused(ctx, m, attempt)
	case smtp.Deferred:
		return d.deferred(ctx, m, attempt)
	case smtp.SenderRefused:
		return d.putBack(ctx, m, attempt, SenderRefused)
	case smtp.LogInRefused:
		return d.putBack(ctx, m, attempt, LogInRefused)
	}
	return d.putBack(ctx, m, attempt, Unreachable)
}

// works notes that the server takes mails, once what it said of this one is marked.
func (d *Delivery) works(ctx context.Context, err error) error {
	if err != nil || !d.Server.works() {
		return err
	}
	if err := d.DB.Do(ctx, store.ReleaseRefused); err != nil {
		slog.WarnContext(ctx, "mails that were refused wait until their pause is over", "error", err)
	}
	return nil
}

// refused: the server refuses the sender or this mail. It was this mail if the server has taken another one since it was first
// refused. Otherwise it is put off, so that the next attempt is made with another mail, and all wait as if it were the sender.
func (d *Delivery) refused(ctx context.Context, m *store.Claimed, attempt smtp.Attempt) error {
	othersPass := false
	if m.RefusedAt != nil {
		err := d.DB.Do(ctx, func(ctx context.Context, q database.Querier) (err error) {
			othersPass, err = store.AnySentSince(ctx, q, *m.RefusedAt)
			return err
		})
		if err != nil {
			return err
		}
	}
	if othersPass {
		return d.works(ctx, d.fail(ctx, m, mail.Refused, attempt.Code, attempt.Cause))
	}
	err := d.postpone(ctx, m, mailPause(m.Age, chance()), attempt.Cause, true)
	d.count(m, string(SenderRefused))
	d.Server.fails(SenderRefused, attempt.Code)
	return err
}

// deferred: the server does not take the mail now.
func (d *Delivery) deferred(ctx context.Context, m *store.Claimed, attempt smtp.Attempt) error {
	if m.Age >= lifetime {
		return d.fail(ctx, m, mail.Expired, attempt.Code, attempt.Cause)
	}
	pause := mailPause(m.Age, chance())
	if err := d.postpone(ctx, m, pause, attempt.Cause, false); err != nil {
		return err
	}
	d.count(m, "deferred")
	slog.InfoContext(ctx, "mail put off by the mail server", smtpCode(attempt.Code), slog.Int("pause_s", int(pause.Seconds())))
	return nil
}

// putBack gives the mail back to the queue at once: the senders wait, not the mail. They do also where that cannot be written down.
func (d *Delivery) putBack(ctx context.Context, m *store.Claimed, attempt smtp.Attempt, trouble Trouble) error {
	err := d.postpone(ctx, m, 0, attempt.Cause, false)
	d.count(m, string(trouble))
	code := 0
	if trouble == SenderRefused {
		code = attempt.Code
	}
	d.Server.fails(trouble, code)
	return err
}

func (d *Delivery) postpone(ctx context.Context, m *store.Claimed, pause time.Duration, cause string, unclear bool) error {
	return d.DB.Do(ctx, func(ctx context.Context, q database.Querier) error {
		return store.Postpone(ctx, q, m, pause, cause, unclear)
	})
}

func (d *Delivery) fail(ctx context.Context, m *store.Claimed, reason mail.BounceReason, code int, cause string) error {
	ended, err := d.end(ctx, m, ending{mail.Failed, reason, code, &cause})
	if ended {
		slog.WarnContext(ctx, "mail failed; GET /mails/{id} says why, POST /mails/{id}/retry sends it again",
			smtpCode(code), slog.Any("reason", reason))
	}
	return err
}

// ending is how a mail's journey ends.
type ending struct {
	status mail.Status
	reason mail.BounceReason
	// 0 where the server gave none.
	code int
	// What was said in words.
	cause *string
}

// end marks the end of a mail's journey; false where the lease was over. An outage of the database is waited out, however long: a
// mail that the server has and the database does not know of would be sent again.
func (d *Delivery) end(ctx context.Context, m *store.Claimed, e ending) (bool, error) {
	told := false
	for pause := markPauseMin; ; pause = min(2*pause, markPauseMax) {
		ended, err := d.mark(ctx, m, e)
		if err == nil || !database.IsUnavailable(err) && !database.IsRetryable(err) {
			return ended, err
		}
		if !told {
			told = true
			d.Metrics.unmarked.Add(1)
			defer d.Metrics.unmarked.Add(-1)
			slog.WarnContext(ctx, "the end of a mail's journey cannot be written down yet", "error", err)
		}
		time.Sleep(pause)
	}
}

// mark marks the end and publishes it to the others, in one transaction.
func (d *Delivery) mark(ctx context.Context, m *store.Claimed, e ending) (bool, error) {
	var endings int64
	err := d.DB.Tx(ctx, func(ctx context.Context, tx pgx.Tx) (err error) {
		endings, err = store.Finish(ctx, tx, m, e.status, e.cause)
		if err != nil || endings == 0 {
			return err
		}
		return d.Outbox.Add(ctx, tx, m.ID.String(), endings, event(m, e))
	})
	if err != nil {
		return false, err
	}
	if endings == 0 {
		slog.WarnContext(ctx, "this mail is marked already, or took longer than its lease")
		return false, nil
	}
	d.count(m, string(e.status))
	d.Metrics.age.Observe(m.Age.Seconds())
	return true, nil
}

func event(m *store.Claimed, e ending) events.Event {
	about := mail.About{MailID: m.ID, Kind: m.Kind, OrderID: m.OrderID, UserID: m.UserID}
	if e.status != mail.Failed {
		return mail.SentEvent{About: about, Status: e.status}
	}
	bounced := mail.BouncedEvent{About: about, Reason: e.reason}
	if e.code != 0 {
		bounced.SMTPCode = &e.code
	}
	return bounced
}

func (d *Delivery) count(m *store.Claimed, status string) {
	d.Metrics.attempts.WithLabelValues(string(m.Kind), status).Inc()
}
