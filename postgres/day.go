package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/riposte-dev/riposte"
)

// daysAhead is how many days have their partitions before they come.
const daysAhead = 7

// dayTables are partitioned by the day that an id begins with. An instance's rows
// are all in the partitions of one day, or all in the default ones.
var dayTables = []string{"instances", "outcomes", "attempts", "labels"}

// day is the first moment of a day in UTC.
type day struct{ time.Time }

func dayOf(t time.Time) day { return day{t.UTC().Truncate(24 * time.Hour)} }

func (d day) next() day { return day{d.AddDate(0, 0, 1)} }

// first and end are a range of ids, end not included.
func (d day) first() string { return riposte.LeastID(d.Time) }
func (d day) end() string   { return riposte.LeastID(d.next().Time) }

func (d day) table(parent string) string { return parent + "_" + d.Format("20060102") }

const (
	// A lock that is not given at once is asked for again later: whoever comes
	// after it would wait, too. And who has it and freezes must lose it soon.
	shortLockSQL = `SET LOCAL lock_timeout = '300ms'; SET LOCAL idle_in_transaction_session_timeout = '2s'`
	// purgeLockSQL lets one node at a time purge by the day.
	purgeLockSQL   = `SELECT pg_try_advisory_lock(hashtextextended('riposte purge ' || current_schema(), 0))`
	purgeUnlockSQL = `SELECT pg_advisory_unlock(hashtextextended('riposte purge ' || current_schema(), 0))`
	// tidyLockSQL lets one node at a time change partitions.
	tidyLockSQL = `SELECT pg_advisory_xact_lock(hashtextextended('riposte days ' || current_schema(), 0))`
	daysSQL     = `SELECT right(c.relname, 8) FROM pg_inherits p JOIN pg_class c ON c.oid = p.inhrelid
		WHERE p.inhparent = 'instances'::regclass AND c.relname ~ '^instances_[0-9]{8}$' ORDER BY 1`
	strayedSQL  = `SELECT EXISTS (SELECT 1 FROM instances_default WHERE id >= $1 AND id < $2)`
	dayOpenSQL  = `SELECT EXISTS (SELECT 1 FROM open WHERE id >= $1 AND id < $2)`
	dayYoungSQL = `SELECT EXISTS (SELECT 1 FROM %[1]s WHERE expires_at >= $1 AND state IS NOT NULL
		UNION ALL SELECT 1 FROM %[1]s WHERE sequence > (` + ackedSQL + `))`
	dayCountSQL     = `SELECT state, count(*) FROM %s GROUP BY state`
	dayLastSQL      = `SELECT sequence FROM %s ORDER BY sequence DESC LIMIT 1`
	dropRequestsSQL = `DELETE FROM requests WHERE ctid IN (SELECT ctid FROM requests WHERE id >= $1 AND id < $2 LIMIT 5000)`
	leftRequestsSQL = `DELETE FROM requests WHERE id >= $1 AND id < $2`
	uncountSQL      = `INSERT INTO nodes (id, seen_at, success, fatal_error) VALUES ($1, ` + databaseTime + `, -$2::bigint, -$3::bigint)
		ON CONFLICT (id) DO UPDATE SET success = nodes.success + excluded.success, fatal_error = nodes.fatal_error + excluded.fatal_error`
)

// tidy runs f in a transaction of its own. It is not done where a lock takes too
// long to get, or a row is in the way: that is for another time.
func (s *Store) tidy(ctx context.Context, f func(pgx.Tx) error) (done bool, err error) {
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, shortLockSQL); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, tidyLockSQL); err != nil {
			return err
		}
		return f(tx)
	})
	if locked(err) || noPartition(err) {
		return false, nil
	}
	return err == nil, err
}

// makeDays makes the partitions of today and so many days to come, where they are
// missing. A day of which instances are there already stays in the default
// partitions.
func (s *Store) makeDays(ctx context.Context, now time.Time, ahead int) error {
	today, last := dayOf(now), day{dayOf(now).AddDate(0, 0, ahead)}
	if !s.lastDay.Before(last.Time) {
		return nil
	}
	if ahead > 0 {
		if ok, err := s.vouch(ctx, today.next(), last); err != nil || !ok {
			return err
		}
	}
	missing, err := missingDays(ctx, s.pool, today, last)
	if err != nil {
		return err
	}
	for n, d := range missing {
		// Each by itself, for it locks out everybody until it is committed.
		done, err := s.tidy(ctx, func(tx pgx.Tx) error {
			if err := makeDay(ctx, tx, d); err != nil || n < len(missing)-1 {
				return err
			}
			return unvouch(ctx, tx)
		})
		if err != nil || !done {
			return err
		}
	}
	s.lastDay = last
	return nil
}

// vouched is the constraint by which the server knows of a default partition that
// it has nothing of days to come. Without that it goes through all of it, with
// everybody locked out, whenever one of them is attached.
const vouched = "vouched"

// vouch sees to it that days can be attached at once. It is false where they
// can't be now.
func (s *Store) vouch(ctx context.Context, first, last day) (ok bool, err error) {
	needed := false
	ok, err = s.tidy(ctx, func(tx pgx.Tx) error {
		missing, err := missingDays(ctx, tx, first, last)
		if err != nil || len(missing) == 0 {
			return err
		}
		if err := tx.QueryRow(ctx, strayedSQL, "", last.end()).Scan(&needed); err != nil || !needed {
			return err
		}
		return onDefaults(ctx, tx, fmt.Sprintf(`DROP CONSTRAINT IF EXISTS %[1]s, ADD CONSTRAINT %[1]s CHECK (id < '%[2]s' OR id >= '%[3]s') NOT VALID`,
			vouched, missing[0].first(), last.end()))
	})
	if err != nil || !ok || !needed {
		return ok, err
	}
	// This goes through all of it, too, but nobody has to wait.
	err = onDefaults(ctx, s.pool, `VALIDATE CONSTRAINT `+vouched)
	if err == nil {
		return true, nil
	}
	if locked(err) || noPartition(err) {
		err = nil // another time
	}
	_, undone := s.tidy(ctx, func(tx pgx.Tx) error { return unvouch(ctx, tx) })
	return false, errors.Join(err, undone)
}

func unvouch(ctx context.Context, tx pgx.Tx) error {
	return onDefaults(ctx, tx, `DROP CONSTRAINT IF EXISTS `+vouched)
}

// onDefaults changes the default partition of each table.
func onDefaults(ctx context.Context, db interface {
	Exec(context.Context, string, ...any) (pgconn.CommandTag, error)
}, change string) error {
	for _, parent := range dayTables {
		if _, err := db.Exec(ctx, fmt.Sprintf(`ALTER TABLE %s_default %s`, parent, change)); err != nil {
			return err
		}
	}
	return nil
}

// missingDays returns those from first to last that have no partitions.
func missingDays(ctx context.Context, db lister, first, last day) (missing []day, err error) {
	there, err := days(ctx, db)
	if err != nil {
		return nil, err
	}
	for d := first; !d.After(last.Time); d = d.next() {
		if !slices.Contains(there, d) {
			missing = append(missing, d)
		}
	}
	return missing, nil
}

func days(ctx context.Context, db lister) ([]day, error) {
	rows, err := db.Query(ctx, daysSQL)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (day, error) {
		var name string
		if err := r.Scan(&name); err != nil {
			return day{}, err
		}
		t, err := time.Parse("20060102", name)
		return day{t}, err
	})
}

// makeDay attaches tables of its own, because a partition that is created as one
// locks out everybody who reads the others; and all of them at the end, because
// attaching locks out everybody who looks for what may be in the default
// partitions.
func makeDay(ctx context.Context, tx pgx.Tx, d day) error {
	if missing, err := missingDays(ctx, tx, d, d); err != nil || len(missing) == 0 {
		return err // another node was faster
	}
	var strayed bool
	if err := tx.QueryRow(ctx, strayedSQL, d.first(), d.end()).Scan(&strayed); err != nil || strayed {
		return err
	}
	for _, query := range []string{
		`CREATE TABLE %[2]s (LIKE %[1]s INCLUDING ALL)`,
		`ALTER TABLE %[1]s ATTACH PARTITION %[2]s FOR VALUES FROM ('%[3]s') TO ('%[4]s')`,
	} {
		for _, parent := range dayTables {
			if _, err := tx.Exec(ctx, fmt.Sprintf(query, parent, d.table(parent), d.first(), d.end())); err != nil {
				return fmt.Errorf("making the partition %s: %w", d.table(parent), err)
			}
		}
	}
	return nil
}

// dropDays drops the days of which all has expired before t and is closed, and
// returns how many instances they had.
func (s *Store) dropDays(ctx context.Context, t time.Time) (int, error) {
	old, err := days(ctx, s.pool)
	total := 0
	for _, d := range old {
		if err != nil || !d.next().Before(t) {
			break
		}
		var n int
		n, err = s.dropDay(ctx, d, t)
		total += n
	}
	return total, err
}

func (s *Store) dropDay(ctx context.Context, d day, t time.Time) (int, error) {
	ended, err := dayEnded(ctx, s.pool, d, t)
	if err != nil || !ended {
		return 0, err
	}
	success, failed, err := s.countDay(ctx, d)
	if err != nil {
		return 0, err
	}
	// They have a table of their own, because a day can't say whether a requestId
	// was used on another.
	for deleted := int64(5000); deleted == 5000; {
		tag, err := s.pool.Exec(ctx, dropRequestsSQL, d.first(), d.end())
		if err != nil {
			return 0, err
		}
		deleted = tag.RowsAffected()
	}
	dropped, err := s.tidy(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, leftRequestsSQL, d.first(), d.end()); err != nil {
			return err
		}
		for _, parent := range dayTables {
			if _, err := tx.Exec(ctx, fmt.Sprintf(`ALTER TABLE %s DETACH PARTITION %s`, parent, d.table(parent))); err != nil {
				return err
			}
		}
		// Now that nobody can write to it any more.
		ended, err := dayEnded(ctx, tx, d, t)
		if err != nil {
			return err
		}
		if !ended {
			return errStillOpen
		}
		if err := notePurgedDay(ctx, tx, d); err != nil {
			return err
		}
		for _, parent := range dayTables {
			if _, err := tx.Exec(ctx, `DROP TABLE `+d.table(parent)); err != nil {
				return err
			}
		}
		_, err = tx.Exec(ctx, uncountSQL, s.node, success, failed)
		return err
	})
	switch {
	case errors.Is(err, errStillOpen):
		return 0, nil
	case err != nil || !dropped:
		return 0, err
	}
	s.logger.Info("dropped a day's history", "day", d.Format(time.DateOnly), "instances", success+failed)
	return success + failed, nil
}

// notePurgedDay takes notice of the last outcome that goes with a day.
func notePurgedDay(ctx context.Context, tx pgx.Tx, d day) error {
	var last int64
	err := tx.QueryRow(ctx, fmt.Sprintf(dayLastSQL, d.table("outcomes"))).Scan(&last)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err == nil {
		_, err = tx.Exec(ctx, notePurgedSQL, last)
	}
	return err
}

var errStillOpen = errors.New("something in it is open")

// dayEnded reports whether all of a day's instances are closed, have expired
// before t, and have been acked by every consumer.
func dayEnded(ctx context.Context, db queryer, d day, t time.Time) (bool, error) {
	var open, young bool
	if err := db.QueryRow(ctx, dayOpenSQL, d.first(), d.end()).Scan(&open); err != nil || open {
		return false, err
	}
	err := db.QueryRow(ctx, fmt.Sprintf(dayYoungSQL, d.table("outcomes")), t.UnixMicro()).Scan(&young)
	return err == nil && !young, err
}

func (s *Store) countDay(ctx context.Context, d day) (success, failed int, err error) {
	rows, err := s.pool.Query(ctx, fmt.Sprintf(dayCountSQL, d.table("outcomes")))
	if err != nil {
		return 0, 0, err
	}
	var state riposte.State
	var n int
	_, err = pgx.ForEachRow(rows, []any{&state, &n}, func() error {
		if state == riposte.StateSuccess {
			success = n
		} else {
			failed = n
		}
		return nil
	})
	return success, failed, err
}

// queryer is a pool, a connection or a transaction.
type queryer interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// lister is a pool or a transaction.
type lister interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}
