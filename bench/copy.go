package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
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

// table is one whose key is instances' numbers, or their ids.
type table struct {
	name, key string
	byID      bool
}

// seedMany is seed for millions, which would take the store a quarter of an hour
// on a slow machine: it seeds first of them and copies their rows. n is a
// multiple of first. They are spread evenly over the time until now, which has a
// copyStep for each copy.
func seedMany(ctx context.Context, m medium, store, to string, n, first int, k kind) error {
	o := originals{kind: k, count: first}
	o.from = time.UnixMilli(time.Now().Add(-time.Duration(n/first) * copyStep).UnixMilli())
	made := func(n int) time.Time { return o.from.Add(time.Duration(n) * (copyStep / time.Duration(first))) }
	if err := seedAt(ctx, m, store, to, first, k, func() time.Time { return o.end() }, made); err != nil {
		return err
	}
	if n > first {
		if err := m.copying(store).run(ctx, o, n); err != nil {
			return fmt.Errorf("copying instances: %w", err)
		}
	}
	return m.settle(ctx, store)
}

// originals are the instances that are copied: those of a copyStep from from on.
type originals struct {
	kind  kind
	from  time.Time
	count int
}

func (o originals) end() time.Time { return o.from.Add(copyStep) }

// run copies the rows of the originals until there are n instances.
func (c copying) run(ctx context.Context, o originals, n int) (err error) {
	db, err := sql.Open(c.driver, c.source)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1)
	copies := n/o.count - 1
	if c.begin != nil {
		for _, statement := range c.begin(o.end(), o.end().Add(time.Duration(copies)*copyStep)) {
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
	p := progress{what: "copying " + o.kind.name + " instances", of: copies * o.count}
	for copied := 1; copied <= copies; copied++ {
		for _, t := range c.tables {
			if _, err := db.ExecContext(ctx, t.copySQL(columns[t], o, copied)); err != nil {
				return err
			}
		}
		p.add(o.count)
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

// copySQL copies the rows of the originals, with all that rises from copy to copy in
// life.
func (t table) copySQL(columns []string, o originals, copied int) string {
	later := time.Duration(copied) * copyStep
	values := make([]string, len(columns))
	for n, column := range columns {
		switch {
		case column == "id" || column == t.key && t.byID:
			values[n] = t.laterID(column, o, later)
		case column == t.key:
			values[n] = fmt.Sprintf("%s + %d", column, riposte.LeastIDNumber(o.from.Add(later))-riposte.LeastIDNumber(o.from))
		case slices.Contains(risingTimes, column):
			values[n] = fmt.Sprintf("%s + %d", column, later.Microseconds())
		case column == "sequence" || column == "outcome":
			values[n] = fmt.Sprintf("%s + %d", column, copied*(o.kind.before+o.count))
		default:
			values[n] = column
		}
	}
	return fmt.Sprintf("INSERT INTO %s (%s) SELECT %s FROM %s WHERE %s >= %s AND %[5]s < %[7]s",
		t.name, strings.Join(columns, ", "), strings.Join(values, ", "), t.name, t.key, t.least(o.from), t.least(o.end()))
}

var risingTimes = []string{"created_at", "updated_at", "last_attempted_at", "completed_at", "due_at", "expires_at", "started_at", "decided_at"}

// laterID is an id with other first digits. Those of the originals have one of two
// beginnings, because they are of one copyStep.
func (t table) laterID(column string, o originals, later time.Duration) string {
	second := time.UnixMilli(o.end().UnixMilli() / copyStep.Milliseconds() * copyStep.Milliseconds())
	return fmt.Sprintf("CASE WHEN %s < %s THEN '%s' ELSE '%s' END || substr(%s, 5)",
		t.key, t.least(second), riposte.LeastID(o.from.Add(later))[:4], riposte.LeastID(second.Add(later))[:4], column)
}

// least is the least key of what is made at a time or later.
func (t table) least(at time.Time) string {
	if t.byID {
		return "'" + riposte.LeastID(at) + "'"
	}
	return fmt.Sprint(riposte.LeastIDNumber(at))
}
