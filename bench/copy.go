package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the drivers of copying
	_ "modernc.org/sqlite"

	"github.com/riposte-dev/riposte"
)

// copying is how a medium's rows are copied.
type copying struct {
	driver, source string
	begin          func(from, to time.Time) []string // what is done before, for rows of that time; may be nil
	columns        string                            // asks for those of a table
	tables         []table                           // that have rows of an instance
	finish         []string                          // what is done in the end
}

// table is one whose key is instances' ids or numbers.
type table struct{ name, key string }

// seedMany is seed for millions, which would take the store a quarter of an hour
// on a slow machine: it seeds first of them and copies their rows. n is a
// multiple of first.
func seedMany(ctx context.Context, m medium, store, to string, n, first int, k kind) error {
	// The first ones are made when the oldest copies should have been, by a clock
	// that does not leave copyStep, so that the last ones are of the past.
	oldest := time.Now().Add(-time.Duration(n/first) * copyStep).UnixMilli()
	clock := time.UnixMilli(oldest - oldest%copyStep.Milliseconds())
	var asked atomic.Int64
	now := func() time.Time { return clock.Add(time.Duration(asked.Add(1)) * time.Microsecond) }
	if err := seedAt(ctx, m, store, to, first, k, now); err != nil {
		return err
	}
	if err := m.copying(store).run(ctx, clock, n, first, k); err != nil {
		return fmt.Errorf("copying instances: %w", err)
	}
	return m.settle(ctx, store)
}

// run copies the rows of the first instances, which were made from clock on,
// until there are n.
func (c copying) run(ctx context.Context, clock time.Time, n, first int, k kind) (err error) {
	db, err := sql.Open(c.driver, c.source)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1)
	if c.begin != nil {
		for _, statement := range c.begin(clock, clock.Add(time.Duration(n/first)*copyStep)) {
			if _, err := db.ExecContext(ctx, statement); err != nil {
				return err
			}
		}
	}
	columns := map[table][]string{}
	for _, t := range c.tables {
		if columns[t], err = c.columnsOf(ctx, db, t); err != nil {
			return err
		}
	}
	p := progress{what: "copying " + k.name + " instances", of: n - first}
	for copied := 1; copied < n/first; copied++ {
		for _, t := range c.tables {
			if _, err := db.ExecContext(ctx, t.copySQL(columns[t], clock, first, copied)); err != nil {
				return err
			}
		}
		p.add(first)
	}
	for _, last := range c.finish {
		if _, err := db.ExecContext(ctx, last); err != nil {
			return err
		}
	}
	return nil
}

func (c copying) columnsOf(ctx context.Context, db *sql.DB, t table) (names []string, err error) {
	rows, err := db.QueryContext(ctx, c.columns, t.name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, rows.Err()
}

// copyStep is how much later each copy is made than the one before: ids that far
// apart differ in their first four digits alone. An id's time is in milliseconds
// and has 44 bits, of which four digits have 20.
const copyStep = (1 << 24) * time.Millisecond

// copySQL copies the rows of the first instances, which were made from clock on,
// with all that rises from copy to copy in life.
func (t table) copySQL(columns []string, clock time.Time, first, copied int) string {
	at := clock.Add(time.Duration(copied) * copyStep)
	values := make([]string, len(columns))
	for n, column := range columns {
		switch column {
		case "id":
			values[n] = fmt.Sprintf("'%s' || substr(id, 5)", riposte.LeastID(at)[:4])
		case t.key:
			values[n] = fmt.Sprintf("%s + %d", column, riposte.LeastIDNumber(at)-riposte.LeastIDNumber(clock))
		case "created_at", "updated_at", "last_attempted_at", "completed_at", "due_at", "expires_at", "started_at", "decided_at":
			values[n] = fmt.Sprintf("%s + %d", column, at.Sub(clock).Microseconds())
		case "sequence", "outcome":
			values[n] = fmt.Sprintf("%s + %d", column, copied*first)
		default:
			values[n] = column
		}
	}
	original := fmt.Sprintf("%s < %d", t.key, riposte.LeastIDNumber(clock.Add(copyStep)))
	if t.key == "id" {
		original = fmt.Sprintf("id < '%s'", riposte.LeastID(clock.Add(copyStep)))
	}
	return fmt.Sprintf("INSERT INTO %s (%s) SELECT %s FROM %s WHERE %s",
		t.name, strings.Join(columns, ", "), strings.Join(values, ", "), t.name, original)
}
