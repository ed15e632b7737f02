package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/riposte-dev/riposte"
)

// listedOutcome is outcomeColumns without the document.
var listedOutcome = strings.Replace(outcomeColumns, "r.document", "NULL::bytea", 1)

// maxSearched is how many rows a list looks at for one page, and maxCounted how many
// a count does, where it takes the rows themselves to tell which are wanted.
const (
	maxSearched = 500
	maxCounted  = 20_000
)

// listing is a query in the making: it walks an index of one table in the order of the
// ids, and checks in the rows of all what that index doesn't tell.
type listing struct {
	lead   string     // the table that is walked, by its letter
	walk   conditions // what the index tells
	rest   conditions
	checks map[string]bool // the tables that rest is about, by their letters
	sparse bool            // rest may refuse any number of rows
}

// conditions combine with AND. Each ? is an argument.
type conditions struct {
	sql  []string
	args []any
}

func (c *conditions) add(condition string, args ...any) {
	c.sql = append(c.sql, condition)
	c.args = append(c.args, args...)
}

func (c conditions) where() string {
	if len(c.sql) == 0 {
		return ""
	}
	return ` WHERE ` + strings.Join(c.sql, ` AND `)
}

// tables are those that a listing is made of, by the letters that their columns have in
// instanceColumns and outcomeColumns.
var tables = map[string]string{"i": "instances", "o": "open", "r": "outcomes", "l": "labels"}

// by adds a condition on a table that has an index for it, in the order of the ids. The
// first one leads: the planner may take another index, but not begin elsewhere.
func (l *listing) by(table, condition string, args ...any) {
	if l.lead == "" {
		l.lead = table
		l.walk.add(condition, args...)
		return
	}
	l.check(table, condition, args...)
}

// check adds a condition that no index tells.
func (l *listing) check(table, condition string, args ...any) {
	l.rest.add(condition, args...)
	l.checks[table] = true
	l.sparse = true
}

// ListInstances implements riposte.InstanceStore. It walks an index in the order
// of the ids, newest first, until the page is full. Where other parts of the filter may
// refuse any number of rows, it looks at no more than maxSearched.
func (s *Store) ListInstances(ctx context.Context, f riposte.InstanceFilter) (riposte.InstancePage, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	page, err := s.list(ctx, listingOf(f), max(f.Limit, 0))
	if notFound(err) {
		return riposte.InstancePage{}, nil
	}
	if err != nil {
		return riposte.InstancePage{}, reading(ctx, "listing instances", err)
	}
	return page, nil
}

func (s *Store) list(ctx context.Context, l listing, limit int) (page riposte.InstancePage, err error) {
	var searched string
	if l.sparse {
		// Before the page, so that whatever comes to be in the index meanwhile is looked
		// at as well.
		if searched, err = s.idAfter(ctx, l, s.maxSearched-1); err != nil {
			return page, err
		}
		l.walk.add(l.lead+`.id >= ?`, searched)
	}
	rows, err := s.ask(ctx, l.page(limit))
	if err != nil {
		return page, err
	}
	if page.Instances, err = pgx.CollectRows(rows, scanInstance); err == nil && len(page.Instances) < limit {
		page.Searched = searched
	}
	return page, err
}

// CountMatching implements riposte.InstanceStore, as ListInstances goes about it. It
// looks at no more than maxCounted.
func (s *Store) CountMatching(ctx context.Context, f riposte.InstanceFilter, atMost int) (n int, more bool, err error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	n, more, err = s.count(ctx, listingOf(f), min(max(atMost, 0), s.maxCounted))
	if notFound(err) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, reading(ctx, "counting instances", err)
	}
	return n, more, nil
}

func (s *Store) count(ctx context.Context, l listing, atMost int) (n int, more bool, err error) {
	if l.sparse {
		next, err := s.idAfter(ctx, l, s.maxCounted)
		if err != nil {
			return 0, false, err
		}
		more = next != ""
		l.walk.add(l.lead+`.id > ?`, next)
	}
	rows, err := s.ask(ctx, l.count(atMost+1))
	if err != nil {
		return 0, false, err
	}
	if n, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[int]); err != nil {
		return 0, false, err
	}
	return min(n, atMost), more || n > atMost, nil
}

// idAfter returns the id that comes after so many in the walk, or "" where the walk
// ends before.
func (s *Store) idAfter(ctx context.Context, l listing, rows int) (string, error) {
	found, err := s.ask(ctx, l.id(rows))
	if err != nil {
		return "", err
	}
	id, err := pgx.CollectExactlyOneRow(found, pgx.RowTo[string])
	if errors.Is(err, pgx.ErrNoRows) {
		return "", nil
	}
	return id, err
}

// question is a query with its arguments.
type question struct {
	sql  string
	args []any
}

// ask has a query planned for what is asked for, each time: that decides in which days
// to look.
func (s *Store) ask(ctx context.Context, q question) (pgx.Rows, error) {
	if slices.ContainsFunc(q.args, hasNUL) {
		return nil, pgx.ErrNoRows
	}
	query := q.sql
	for n := range q.args {
		query = strings.Replace(query, "?", fmt.Sprintf("$%d", n+1), 1)
	}
	return s.pool.Query(ctx, query, append([]any{pgx.QueryExecModeSimpleProtocol}, q.args...)...)
}

// hasNUL reports whether arg is a text that no row can have.
func hasNUL(arg any) bool {
	s, ok := arg.(string)
	return ok && strings.Contains(s, "\x00")
}

func listingOf(f riposte.InstanceFilter) listing {
	l := listing{checks: map[string]bool{}}
	l.byLabels(f.Labels)
	if f.TicketID != "" {
		l.by("i", `i.ticket_id = ? AND i.ticket_id <> ''`, f.TicketID)
	}
	if f.State != "" && f.State != riposte.StateSuccess {
		l.byState(f.State)
	}
	if f.WebhookID != "" {
		l.by("i", `i.webhook = ?`, f.WebhookID)
	}
	if f.SourceKind != "" {
		l.by("i", `i.source_kind = ?`, string(f.SourceKind))
	}
	if f.State == riposte.StateSuccess {
		// The least telling of all, hence last.
		l.byState(f.State)
	}
	if l.lead == "" {
		l.lead = "i"
	}
	if f.CreatedBy != "" {
		l.check("i", `i.created_by = ?`, f.CreatedBy)
	}
	l.during(f)
	if f.Before != "" {
		l.walk.add(l.lead+`.id < ?`, f.Before)
	}
	return l
}

// byLabels leads with the first label.
func (l *listing) byLabels(labels map[string]string) {
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		if l.lead == "" {
			l.by("l", `l.key = ? AND l.value = ?`, key, labels[key])
			continue
		}
		// Not EXISTS, which might be joined with all that have the label.
		l.check("l", `(SELECT true FROM labels WHERE key = ? AND value = ? AND id = l.id LIMIT 1)`, key, labels[key])
	}
}

func (l *listing) byState(s riposte.State) {
	if s.Closed() {
		l.by("r", `r.state = ?`, string(s))
	} else {
		l.by("o", `o.state = ?`, string(s))
	}
}

// during restricts the times, and with them the ids, which begin with the time of
// creation, and so leave little to check about that.
func (l *listing) during(f riposte.InstanceFilter) {
	sparse := l.sparse
	l.between(f.Created, `i.created_at`)
	l.sparse = sparse
	l.between(f.Expires, `i.expires_at`)
	made := f.Made()
	if !made.From.IsZero() {
		l.walk.add(l.lead+`.id >= ?`, riposte.LeastID(made.From))
	}
	if !made.To.IsZero() {
		l.walk.add(l.lead+`.id < ?`, riposte.LeastID(made.To.Add(time.Millisecond)))
	}
}

func (l *listing) between(r riposte.TimeRange, column string) {
	if !r.From.IsZero() {
		l.check("i", column+` >= ?`, ceilMicro(r.From))
	}
	if !r.To.IsZero() {
		l.check("i", column+` < ?`, ceilMicro(r.To))
	}
}

// page is the query for at most limit instances.
func (l listing) page(limit int) question {
	q := l.matching(instanceColumns+`, `+listedOutcome, "i", "o", "r")
	return question{q.sql + fmt.Sprintf(` ORDER BY %s.id DESC LIMIT %d`, l.lead, limit), q.args}
}

// count is the query for how many there are, limit at most.
func (l listing) count(limit int) question {
	q := l.matching(`1`, slices.Sorted(maps.Keys(l.checks))...)
	return question{fmt.Sprintf(`SELECT count(*) FROM (%s LIMIT %d) m`, q.sql, limit), q.args}
}

// id is the query for the one that comes after so many in the walk. It takes the index
// alone.
func (l listing) id(after int) question {
	return question{fmt.Sprintf(`SELECT %[1]s.id FROM %[2]s %[1]s%[3]s ORDER BY %[1]s.id DESC LIMIT 1 OFFSET %[4]d`,
		l.lead, tables[l.lead], l.walk.where(), after), l.walk.args}
}

func (l listing) matching(columns string, of ...string) question {
	from := tables[l.lead] + ` ` + l.lead
	for _, table := range of {
		if table != l.lead && table != "l" {
			from += rowOf(table, l.lead)
		}
	}
	all := conditions{slices.Concat(l.walk.sql, l.rest.sql), slices.Concat(l.walk.args, l.rest.args)}
	return question{`SELECT ` + columns + ` FROM ` + from + all.where(), all.args}
}

// rowOf joins the row of a table with the id that another has. The LIMIT leaves the
// planner no other way than to look it up, row by row and in its day alone: it can't
// know how few there will be.
func rowOf(table, other string) string {
	join := ` LEFT JOIN`
	if table == "i" {
		join = ` JOIN`
	}
	return fmt.Sprintf(`%s LATERAL (SELECT * FROM %s WHERE id = %s.id LIMIT 1) %s ON true`, join, tables[table], other, table)
}

// ceilMicro is t in microseconds, rounded up: what is kept has whole ones.
func ceilMicro(t time.Time) int64 { return t.Add(time.Microsecond - time.Nanosecond).UnixMicro() }

// Both look into an index where it begins. oldestDueSQL goes from one lane with open
// instances to the next, and looks further only into those whose first is due soonest:
// no others can have any of the rows that it wants. Lanes of pushes are no webhooks.
var (
	oldestDueSQL = `WITH RECURSIVE lanes AS ((SELECT webhook, due_at FROM open ORDER BY webhook, due_at LIMIT 1)
		UNION ALL SELECT o.webhook, o.due_at FROM lanes l CROSS JOIN LATERAL
		(SELECT webhook, due_at FROM open WHERE webhook > l.webhook ORDER BY webhook, due_at LIMIT 1) o),
	soonest AS (SELECT webhook FROM lanes WHERE due_at <= $1 AND (SELECT true FROM webhooks WHERE id = webhook LIMIT 1) ORDER BY due_at LIMIT $2)
	SELECT ` + instanceColumns + `, ` + listedOutcome + ` FROM (SELECT d.id, d.due_at FROM soonest s CROSS JOIN LATERAL
		(SELECT id, due_at FROM open WHERE webhook = s.webhook AND due_at <= $1 ORDER BY due_at LIMIT $2) d ORDER BY d.due_at, d.id LIMIT $2) d` +
		rowOf("i", "d") + rowOf("o", "d") + rowOf("r", "d") + ` ORDER BY d.due_at, d.id`
	soonestToExpireSQL = `SELECT ` + instanceColumns + `, ` + listedOutcome + ` FROM (SELECT id, expires_at FROM open
		WHERE expires_at < 9223372036854775807 AND state <> 'PROCESS_RESPONSE' ORDER BY expires_at LIMIT $1) d` +
		rowOf("i", "d") + rowOf("o", "d") + rowOf("r", "d") + ` ORDER BY d.expires_at, d.id`
)

// OldestDue implements riposte.InstanceStore. What is RUNNING is due when its lease
// ends. It costs one look-up for each webhook that has open instances.
func (s *Store) OldestDue(ctx context.Context, limit int) ([]riposte.Instance, error) {
	return s.loadListed(ctx, "looking for what is due", oldestDueSQL, s.Now().UnixMicro(), max(limit, 0))
}

// SoonestToExpire implements riposte.InstanceStore.
func (s *Store) SoonestToExpire(ctx context.Context, limit int) ([]riposte.Instance, error) {
	return s.loadListed(ctx, "looking for what expires", soonestToExpireSQL, max(limit, 0))
}

func (s *Store) loadListed(ctx context.Context, what, query string, args ...any) ([]riposte.Instance, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, query, args...)
	if err != nil {
		return nil, reading(ctx, what, err)
	}
	found, err := pgx.CollectRows(rows, scanInstance)
	if err != nil {
		return nil, reading(ctx, what, err)
	}
	return found, nil
}
