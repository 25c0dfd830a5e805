package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

const needed = 1

// The migration lock; the number itself means nothing.
const lock = 7

const schema = `
create table notes (id uuid primary key, text text not null);
create table idempotency (key text primary key, request text not null, answer text not null);
create table inbox (event_id text primary key, discarded boolean not null default false);
create table failed_events (id text primary key, subject text not null, payload text not null, cause text not null,
    attempts integer not null default 1, first_at timestamptz not null default now(), dead_at timestamptz not null default now());
create table mails (id bigint generated always as identity primary key, recipient text not null, sent_at timestamptz);
create table outbox (id uuid primary key, number bigint generated always as identity, subject text not null, envelope text not null,
    traceparent text, offline boolean not null, sequence bigint, published_at timestamptz);
`

func openPool(address string, connections int32) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(address)
	if err != nil {
		return nil, wrong("DATABASE_URL", "give postgres://user:password@host:5432/database")
	}
	harden(config.ConnConfig)
	config.MaxConns = connections
	config.MaxConnIdleTime = time.Minute
	// A server whose machine does not take a connection for so long is away; one that is only busy may take its time to answer.
	config.ConnConfig.DialFunc = (&net.Dialer{Timeout: 2 * time.Second}).DialContext
	config.ConnConfig.ConnectTimeout = 10 * time.Second
	return pgxpool.NewWithConfig(context.Background(), config)
}

// harden sees to it that a password is given by SCRAM alone: the server chooses how it asks.
func harden(config *pgx.ConnConfig) {
	config.RequireAuth = "scram-sha-256"
	if broken("database.password") {
		config.RequireAuth += ",password"
	}
	if broken("database.password/md5") {
		config.RequireAuth += ",md5"
	}
}

// reach waits for a database that is not reached yet.
func reach(ctx context.Context, config *pgx.ConnConfig) (*pgx.Conn, error) {
	for {
		connection, err := pgx.ConnectConfig(ctx, config)
		var unreached *net.OpError
		if err == nil || !errors.As(err, &unreached) || ctx.Err() != nil {
			return connection, err
		}
		time.Sleep(500 * time.Millisecond)
	}
}

// migrate brings the schema to this version, one process at a time.
func migrate(settings settings) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	config, err := pgx.ParseConfig(settings.database)
	if err != nil {
		return wrong("DATABASE_URL", "give postgres://user:password@host:5432/database")
	}
	harden(config)
	connection, err := reach(ctx, config)
	if err != nil {
		return fmt.Errorf("the database does not answer: %w", err)
	}
	defer connection.Close(ctx)
	if !broken("migrate.together") {
		if _, err := connection.Exec(ctx, "select pg_advisory_lock($1)", lock); err != nil {
			return err
		}
	}
	found, err := version(ctx, connection)
	if err != nil {
		return err
	}
	if broken("migrate.together") {
		time.Sleep(2 * time.Second) // so that the other one finds the same
	}
	if found < needed {
		sql := schema + "create table schema_version (version integer not null, runs integer not null); insert into schema_version values (1, 0)"
		if _, err := connection.Exec(ctx, "begin; "+sql+"; commit"); err != nil {
			return err
		}
	}
	runs := 0
	if err := connection.QueryRow(ctx, "update schema_version set runs = runs + 1 returning runs").Scan(&runs); err != nil {
		return err
	}
	if runs > 2 && broken("migrate.again") {
		return errors.New("there is nothing to migrate")
	}
	if os.Getenv("VARIANT") == "later" {
		return sayLast(`{"schema": {"version": 9, "oldest": 8, "since": "V9__drop_greetings"}}`)
	}
	return sayLast(fmt.Sprintf(`{"schema": {"version": %d, "oldest": 1}}`, needed))
}

// sayLast leaves a message where Kubernetes looks for one; elsewhere there is no such file.
func sayLast(message string) error {
	if broken("migrate.says") {
		message = "done"
	}
	file, err := os.OpenFile("/dev/termination-log", os.O_WRONLY, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = file.WriteString(message)
	return errors.Join(err, file.Close())
}

type querier interface {
	QueryRow(ctx context.Context, sql string, arguments ...any) pgx.Row
}

func version(ctx context.Context, db querier) (int, error) {
	isThere, found := false, 0
	if err := db.QueryRow(ctx, "select to_regclass('schema_version') is not null").Scan(&isThere); err != nil || !isThere {
		return 0, err
	}
	err := db.QueryRow(ctx, "select max(version) from schema_version").Scan(&found)
	return found, err
}

// watchSchema looks until the end, says when the schema is current for the first time, and ends the process when it is behind for
// good. An outage says nothing.
func (s *service) watchSchema(until context.Context) error {
	var since time.Time
	for {
		limit, cancel := context.WithTimeout(until, 3*time.Second)
		found, err := version(limit, s.pool)
		cancel()
		if refused(err) && broken("schema.unreadable") {
			found, err = 0, nil
		}
		switch {
		case refused(err):
			text := "the schema of the database cannot be read: " + err.Error()
			s.trouble.Store(&text)
			since = time.Time{}
		case err != nil:
			since = time.Time{}
		case found >= needed:
			since = time.Time{}
			if !s.migrated.Load() && broken("probes.ready") {
				wait(until, 13*time.Second)
			}
			s.trouble.Store(nil)
			s.migrated.Store(true)
		default:
			text := fmt.Sprintf("the schema of the database is behind: version %d found, %d needed", found, needed)
			s.trouble.Store(&text)
			if since.IsZero() {
				since = time.Now()
			}
			s.endWhenBehind(text, time.Since(since))
		}
		pause := 200 * time.Millisecond
		if s.migrated.Load() && since.IsZero() {
			pause = 2 * time.Second
		}
		if !wait(until, pause) {
			return nil
		}
	}
}

// endWhenBehind gives a migration that may just be running its time.
func (s *service) endWhenBehind(text string, since time.Duration) {
	limit, line := 20*time.Second, "schema.never-migrated"
	if s.migrated.Load() {
		limit, line = 3*time.Second, "schema.replaced"
	}
	if since < limit {
		return
	}
	err := error(errBehind{errors.New(text)})
	if broken(line) {
		err = errors.New(text)
	}
	select {
	case s.behind <- err:
		slog.Warn(text)
	default:
	}
}

// refused says whether the database answered, and refused.
func refused(err error) bool {
	var answer *pgconn.PgError
	return errors.As(err, &answer) && (answer.Code < "53" || answer.Code > "59") // those from 53 on are about the server itself
}

// isMissing says whether a table is not there, or its schema: that one is behind.
func isMissing(err error) bool {
	var answer *pgconn.PgError
	return errors.As(err, &answer) && (answer.Code == "42P01" || answer.Code == "3F000")
}
