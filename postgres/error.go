package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/riposte-dev/riposte"
)

// sqlState is the server's code for an error, "" for one that is not its own.
func sqlState(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	return ""
}

func violatesUnique(err error) bool { return sqlState(err) == "23505" }

// notFound also says so of what no text can be: PostgreSQL refuses a NUL and whatever
// is not UTF-8 before it looks.
func notFound(err error) bool { return errors.Is(err, pgx.ErrNoRows) || sqlState(err) == "22021" }

// again reports whether the same transaction may succeed at once: another one
// was in its way, or faster with a request.
func again(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	switch {
	case !ok:
		return errors.Is(err, errOvertaken)
	case e.Code == "40001", e.Code == "40P01": // serialization failure, deadlock
		return true
	}
	// The second: a day's partition was made just now.
	return e.Code == "23505" && e.ConstraintName == "requests_pkey" || noPartition(err)
}

// noPartition reports whether a row is in the way of a partition, or a partition
// in that of a row: a partition's own constraint has no name.
func noPartition(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && e.Code == "23514" && (e.ConstraintName == "" || e.ConstraintName == vouched)
}

// down reports whether the server can't be asked now.
func down(err error) bool {
	state := sqlState(err)
	if _, noConnection := errors.AsType[*pgconn.ConnectError](err); noConnection {
		return true // whatever the server had against it
	}
	switch {
	case state == "":
		_, isNet := errors.AsType[net.Error](err)
		return isNet || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
			pgconn.SafeToRetry(err) || strings.Contains(err.Error(), "conn closed")
	case strings.HasPrefix(state, "08"), strings.HasPrefix(state, "53"), strings.HasPrefix(state, "57"), strings.HasPrefix(state, "58"):
		return true // connection, resources, operator, system
	case state == "25006": // read-only: a standby, or a primary that was one
		return true
	}
	return false
}

// locked reports whether somebody else has locked what is wanted, for too long.
func locked(err error) bool { return sqlState(err) == "55P03" }

// errSlow ends what takes too long.
var errSlow = errors.New("the database takes too long")

// readTimeout bounds what is only read, so that a database that hangs is told
// from one that answers.
const readTimeout = 8 * time.Second

func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, readTimeout, errSlow)
}

// unavailable says that nothing was committed, and keeps the cause for logs.
func unavailable(cause error) error {
	return fmt.Errorf("%w: %w", riposte.ErrUnavailable, cause)
}

// reading names what a reader was doing and says that trying again may help
// where it may.
func reading(ctx context.Context, what string, err error) error {
	if err == nil {
		return nil
	}
	slow := context.Cause(ctx) == errSlow
	if ctx.Err() != nil && !slow {
		return ctx.Err()
	}
	if slow || down(err) || again(err) || locked(err) {
		err = unavailable(err)
	}
	return fmt.Errorf("%s: %w", what, err)
}
