// Package database is the pool of connections to the service's own PostgreSQL: statements within their time, errors that tell an
// outage from a mistake, the schema and its migrations.
package database

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sys/unix"
)

const (
	// A server whose machine does not take a TCP connection for so long is away: that is the kernel's work, which goes on however
	// busy the server is.
	unreachable = 2 * time.Second
	// A connection unused for so long is closed: each costs its server some megabytes.
	idle = time.Minute
	// A server that acknowledges nothing for so long is gone.
	silence = 6 * time.Second
	// The longest wait for a connection, and for a statement or transaction. A database that makes one request wait longer is
	// not busy but stuck.
	longest = 10 * time.Second
	// What a healthy database may need in the ordinary course.
	shortest = 100 * time.Millisecond
	// Kept back of the caller's time to say that the database is busy.
	toAnswer = 100 * time.Millisecond
	// WithoutCaller is how long work waits that nobody waits for: for a connection, and then for a transaction.
	WithoutCaller = 3 * time.Second
)

// Querier takes statements: a connection or a transaction.
type Querier interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// DB is the pool.
type DB struct {
	pool *pgxpool.Pool

	mu sync.Mutex
	// Connections in a row that could not be made.
	failures int
	// Ends when the server has been found absent, so that nobody waits in line any longer.
	present context.Context
	absent  context.CancelFunc
}

// The parser's own words may repeat a part of the URL.
var errNoURL = errors.New("it is no URL like postgres://user:password@host:5432/database")

var errAbsent = errors.New("the server cannot be reached")

// Open makes a pool of at most so many connections. It does not connect yet.
func Open(url, service string, most int32) (*DB, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, errNoURL
	}
	if err := harden(config.ConnConfig); err != nil {
		return nil, err
	}
	config.ConnConfig.RuntimeParams["application_name"] = service
	config.ConnConfig.RuntimeParams["statement_timeout"] = fmt.Sprint(longest.Milliseconds())
	config.ConnConfig.RuntimeParams["idle_in_transaction_session_timeout"] = "10000"
	config.MaxConns = most
	config.MinConns = 0
	config.MaxConnIdleTime = idle
	config.HealthCheckPeriod = 10 * time.Second
	pool, err := pgxpool.NewWithConfig(context.Background(), config)
	if err != nil {
		return nil, err
	}
	db := &DB{pool: pool}
	db.present, db.absent = context.WithCancel(context.Background())
	return db, nil
}

// harden sets what every connection here has: no TLS, a password by SCRAM or not at all, and a server that is gone is noticed.
func harden(config *pgx.ConnConfig) error {
	if config.TLSConfig != nil && len(config.Fallbacks) == 0 {
		return errors.New("it asks for TLS (sslmode), which connections to the database do not have; leave it out")
	}
	config.TLSConfig, config.Fallbacks = nil, nil
	if config.RequireAuth == "" {
		config.RequireAuth = "scram-sha-256,none"
	}
	// A server that takes the connection and is slow to go on is busy.
	config.ConnectTimeout = longest
	dialer := &net.Dialer{
		Timeout:         unreachable,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 2 * time.Second, Count: 3},
		Control: func(_, _ string, raw syscall.RawConn) error {
			return raw.Control(func(fd uintptr) {
				_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(silence.Milliseconds()))
			})
		},
	}
	config.DialFunc = dialer.DialContext
	return nil
}

// Close ends all connections.
func (db *DB) Close() { db.pool.Close() }

// Usage is the connections in use and in all, for the metrics.
func (db *DB) Usage() (used, all int32) {
	stat := db.pool.Stat()
	return stat.AcquiredConns(), stat.TotalConns()
}

// Do calls fn with a connection. Its statements wait as long as the caller waits, 10 s at most, and without a caller's deadline for
// WithoutCaller in all.
func (db *DB) Do(ctx context.Context, fn func(context.Context, Querier) error) error {
	return db.with(ctx, func(ctx context.Context, conn *pgxpool.Conn) error { return fn(ctx, conn) })
}

// Tx calls fn within a transaction, which is committed if fn returns nil.
func (db *DB) Tx(ctx context.Context, fn func(context.Context, pgx.Tx) error) error {
	return db.with(ctx, func(ctx context.Context, conn *pgxpool.Conn) error {
		return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error { return fn(ctx, tx) })
	})
}

func (db *DB) with(ctx context.Context, fn func(context.Context, *pgxpool.Conn) error) error {
	conn, err := db.acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	bounded, cancel := context.WithTimeout(ctx, patience(ctx))
	defer cancel()
	// A statement that is broken off ends its connection: the pool gives its place to another one when the server has cancelled it,
	// and the caller does not wait for that.
	return classify(fn(bounded, conn))
}

// patience is how long whoever asks now can wait.
func patience(ctx context.Context) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return WithoutCaller
	}
	return min(max(time.Until(deadline)-toAnswer, shortest), longest)
}

// acquire gets a connection. A busy database is waited for as long as the caller waits, and so is one that has no connection left
// or is just starting. An absent one is told from it by connections that are refused, broken off, or not taken within two
// seconds, and then nobody waits any longer.
func (db *DB) acquire(ctx context.Context) (*pgxpool.Conn, error) {
	bounded, cancel := context.WithTimeout(ctx, patience(ctx))
	defer cancel()
	waiting, giveUp := context.WithCancelCause(bounded)
	defer giveUp(nil)
	defer context.AfterFunc(db.presence(), func() { giveUp(errAbsent) })()
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		conn, err := db.pool.Acquire(waiting)
		if err == nil {
			db.noteSuccess()
			return conn, nil
		}
		switch {
		case context.Cause(waiting) == errAbsent:
			return nil, &Unavailable{errAbsent.Error()}
		case waiting.Err() != nil:
			return nil, &Unavailable{"busy: no free connection in time"}
		case hasCode(err, "53300", "57P03"):
			// It is there and gives no connection now: others have all of them, or it is just starting.
		case isNetworkFailure(err) && !db.noteFailure():
		default:
			return nil, &Unavailable{err.Error()}
		}
		select {
		case <-waiting.Done():
		case <-time.After(pause/2 + rand.N(pause/2)):
		}
	}
}

func isNetworkFailure(err error) bool {
	_, answered := errors.AsType[*pgconn.PgError](err)
	return !answered && IsUnavailable(classify(err))
}

func (db *DB) presence() context.Context {
	db.mu.Lock()
	defer db.mu.Unlock()
	return db.present
}

func (db *DB) noteSuccess() {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.failures = 0
}

// noteFailure says whether the server is absent: nothing else is known of it than this failure, or it was so twice in a row. One
// failure beside connections that live may be an accident of the network.
func (db *DB) noteFailure() bool {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.failures++
	if db.failures < 2 && db.pool.Stat().TotalConns() > 0 {
		return false
	}
	db.absent()
	db.present, db.absent = context.WithCancel(context.Background())
	return true
}
