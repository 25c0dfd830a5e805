package database

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"

	"github.com/jackc/pgx/v5/pgconn"
)

// Unavailable says that the database is away, overloaded or busy: the same may succeed later.
type Unavailable struct{ Cause string }

func (e *Unavailable) Error() string { return "the database is not available: " + e.Cause }

// IsUnavailable tells an outage from a mistake.
func IsUnavailable(err error) bool {
	_, ok := errors.AsType[*Unavailable](err)
	return ok
}

// IsRetryable says whether the whole transaction may simply be run again: a serialization failure or a deadlock.
func IsRetryable(err error) bool { return hasCode(err, "40001", "40P01") }

// NamesWhatIsMissing says whether the statement names a table, column or schema that is not there, or not for this role: a
// mistake of ours, or a database whose schema is behind or belongs to somebody else.
func NamesWhatIsMissing(err error) bool { return hasCode(err, "42P01", "42703", "3F000", "42501") }

func hasCode(err error, codes ...string) bool {
	refused, ok := errors.AsType[*pgconn.PgError](err)
	return ok && slices.Contains(codes, refused.Code)
}

// classify makes Unavailable of what says nothing of the statement; everything else stays as it is.
func classify(err error) error {
	if err == nil || IsUnavailable(err) {
		return err
	}
	if refused, ok := errors.AsType[*pgconn.PgError](err); ok {
		if isPassing(refused.Code) {
			return &Unavailable{refused.Message + " (" + refused.Code + ")"}
		}
		return err
	}
	_, isNetwork := errors.AsType[net.Error](err)
	_, isConnect := errors.AsType[*pgconn.ConnectError](err)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return &Unavailable{"busy: no result in time"}
	case isNetwork, isConnect, errors.Is(err, context.Canceled), errors.Is(err, io.EOF),
		errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, pgconn.ErrConnClosed):
		return &Unavailable{err.Error()}
	}
	return err
}

// isPassing says whether it is the server's condition and not the statement: by class, connection lost, resources short,
// operator's doing or cancelled, system error (PostgreSQL, appendix A).
func isPassing(code string) bool {
	classes := []string{"08", "53", "57", "58"}
	return len(code) == 5 && slices.Contains(classes, code[:2]) ||
		slices.Contains([]string{"55P03", "25006", "25P03"}, code)
}
