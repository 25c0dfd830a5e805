package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/smtp"
	"time"

	"github.com/jackc/pgx/v5"
)

type mailSettings struct{ address, from string }

// sendMails sends what is queued, one mail after the other. A server that is away is tried again with growing pauses.
func (s *service) sendMails(until context.Context) error {
	pause := time.Duration(0)
	failed := false
	for until.Err() == nil {
		sent, err := s.sendOne(failed)
		failed = failed && !sent
		switch {
		case err != nil:
			failed = true
			pause = min(max(2*pause, 500*time.Millisecond), 30*time.Second)
			if broken("mail.retries") {
				pause = 500 * time.Millisecond
			}
			slog.Info("the mail server does not take a mail", "error", err.Error(), "pause_ms", pause.Milliseconds())
			wait(until, pause)
		case sent:
			pause = 0
		default:
			wait(until, 100*time.Millisecond)
		}
	}
	return nil
}

// sendOne sends the oldest mail. It holds its row until the server has taken it, so that nobody else sends it.
func (s *service) sendOne(failedBefore bool) (bool, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	sent := false
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		var id int64
		var recipient string
		err := tx.QueryRow(ctx, "select id, recipient from mails where sent_at is null order by id limit 1 for update skip locked").Scan(&id, &recipient)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := s.hand(recipient); err != nil {
			return err
		}
		if failedBefore && broken("mail.delivered") {
			s.hand(recipient)
		}
		sent = true
		_, err = tx.Exec(ctx, "update mails set sent_at = now() where id = $1", id)
		return err
	})
	return sent, err
}

func (s *service) hand(recipient string) error {
	connection, err := net.DialTimeout("tcp", s.settings.mail.address, 5*time.Second)
	if err != nil {
		return err
	}
	defer connection.Close()
	connection.SetDeadline(time.Now().Add(10 * time.Second))
	client, err := smtp.NewClient(connection, "sink")
	if err != nil {
		return err
	}
	if err := errors.Join(client.Mail(s.settings.mail.from), client.Rcpt(recipient)); err != nil {
		return err
	}
	data, err := client.Data()
	if err != nil {
		return err
	}
	if _, err := data.Write([]byte("Subject: Welcome\r\n\r\nWelcome.\r\n")); err != nil {
		return err
	}
	if err := data.Close(); err != nil {
		return err
	}
	client.Quit()
	return nil
}
