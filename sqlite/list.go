package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/riposte-dev/riposte"
)

// listedOutcome is outcomeColumns without the document.
var listedOutcome = strings.Replace(outcomeColumns, "o.document", "NULL", 1)

// maxSearched is how many rows a list looks at for one page, and maxCounted how many
// a count does, where it takes the rows themselves to tell which are wanted.
const (
	maxSearched = 500
	maxCounted  = 20_000
)

// listing is a query in the making: it walks an index in the order of the numbers,
// and checks in the rows what the index doesn't tell.
type listing struct {
	number string     // the column that is walked along
	index  string     // the one to walk; "" for the numbers themselves, or for labels
	walk   conditions // what the index tells
	// The numbers that are walked: from from to to, to not included. One bound for
	// each end, because SQLite would look for one of several and check the others.
	from, to int64
	rest     conditions
	sparse   bool // rest may refuse any number of rows
}

// conditions combine with AND.
type conditions struct {
	sql  []string
	args []any
}

func (c *conditions) add(condition string, args ...any) {
	c.sql = append(c.sql, condition)
	c.args = append(c.args, args...)
}

// by adds a condition that has an index in the order of the numbers. The first one
// leads; SQLite, which has no statistics, does not choose.
func (l *listing) by(index, condition string, args ...any) {
	if l.index == "" && !l.byLabel() {
		l.index = index
		l.walk.add(condition, args...)
		return
	}
	l.check(condition, args...)
}

// check adds a condition that no index tells.
func (l *listing) check(condition string, args ...any) {
	l.rest.add(condition, args...)
	l.sparse = true
}

func (l *listing) byLabel() bool { return l.number == "l.instance" }

// ListInstances implements riposte.InstanceStore. It walks the index of the
// most telling part of the filter in the order of the numbers, which is that of
// the ids, newest first, until the page is full. Where other parts of the filter may
// refuse any number of rows, it looks at no more than maxSearched.
func (s *Store) ListInstances(ctx context.Context, f riposte.InstanceFilter) (riposte.InstancePage, error) {
	page, err := s.list(ctx, listingOf(f), max(f.Limit, 0))
	if err != nil {
		return riposte.InstancePage{}, reading("listing instances", err)
	}
	return page, nil
}

func (s *Store) list(ctx context.Context, l listing, limit int) (page riposte.InstancePage, err error) {
	var searched string
	if l.sparse {
		// Before the page, so that whatever comes to be in the index meanwhile is looked
		// at as well.
		var last int64
		if last, searched, err = s.rowAfter(ctx, l, s.maxSearched-1); err != nil {
			return page, err
		}
		l.from = max(l.from, last)
	}
	query, args := l.page(limit)
	rows, err := s.readers.QueryContext(ctx, query, args...)
	if err != nil {
		return page, err
	}
	if page.Instances, err = collect(rows, scanInstance); err == nil && len(page.Instances) < limit {
		page.Searched = searched
	}
	return page, err
}

// CountMatching implements riposte.InstanceStore, as ListInstances goes about it. It
// looks at no more than maxCounted.
func (s *Store) CountMatching(ctx context.Context, f riposte.InstanceFilter, atMost int) (n int, more bool, err error) {
	n, more, err = s.count(ctx, listingOf(f), min(max(atMost, 0), s.maxCounted))
	if err != nil {
		return 0, false, reading("counting instances", err)
	}
	return n, more, nil
}

func (s *Store) count(ctx context.Context, l listing, atMost int) (n int, more bool, err error) {
	if l.sparse {
		next, id, err := s.rowAfter(ctx, l, s.maxCounted)
		if err != nil {
			return 0, false, err
		}
		more = id != ""
		l.from = max(l.from, next+1)
	}
	query, args := l.count(atMost + 1)
	if err := s.readers.QueryRowContext(ctx, query, args...).Scan(&n); err != nil {
		return 0, false, err
	}
	return min(n, atMost), more || n > atMost, nil
}

// rowAfter returns the number and the id of the row that comes after so many in the
// walk, or nothing where the walk ends before.
func (s *Store) rowAfter(ctx context.Context, l listing, rows int) (number int64, id string, err error) {
	query, args := l.row(rows)
	err = s.readers.QueryRowContext(ctx, query, args...).Scan(&number, &id)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, "", nil
	}
	return number, id, err
}

func listingOf(f riposte.InstanceFilter) listing {
	l := listing{number: "i.number", from: 1, to: math.MaxInt64}
	l.byLabels(f.Labels)
	if f.TicketID != "" {
		l.by("instances_by_ticket", `i.ticket_id = ? AND i.ticket_id <> ''`, f.TicketID)
	}
	if f.State != "" && f.State != riposte.StateSuccess {
		l.by("instances_by_state", `i.state = ?`, string(f.State))
	}
	if f.WebhookID != "" {
		l.by("instances_by_webhook", `i.webhook = (SELECT number FROM webhooks WHERE id = ?)`, f.WebhookID)
	}
	if f.SourceKind != "" {
		l.by("instances_by_source", `i.source_kind = ?`, string(f.SourceKind))
	}
	if f.State == riposte.StateSuccess {
		// The least telling of all, hence last.
		l.by("instances_by_state", `i.state = ?`, string(f.State))
	}
	if f.CreatedBy != "" {
		l.check(`i.created_by = ?`, f.CreatedBy)
	}
	l.during(f)
	if f.Before != "" {
		l.to = min(l.to, riposte.IDNumber(f.Before))
	}
	return l
}

// byLabels leads with the first label.
func (l *listing) byLabels(labels map[string]string) {
	for n, key := range slices.Sorted(maps.Keys(labels)) {
		if n == 0 {
			l.number = "l.instance"
			l.walk.add(`l.key = ? AND l.value = ?`, key, labels[key])
			continue
		}
		l.check(`EXISTS (SELECT 1 FROM labels WHERE key = ? AND value = ? AND instance = i.number)`, key, labels[key])
	}
}

// during restricts the times, and with them the numbers, which begin with the
// time of creation, and so leave little to check about that.
func (l *listing) during(f riposte.InstanceFilter) {
	between(f.Created, `i.created_at`, l.rest.add)
	between(f.Expires, `i.expires_at`, l.check)
	made := f.Made()
	if !made.From.IsZero() {
		l.from = max(l.from, riposte.LeastIDNumber(made.From))
	}
	if !made.To.IsZero() {
		// One more unit of what a number can tell.
		l.to = riposte.LeastIDNumber(made.To.Add(time.Millisecond))
	}
}

func between(r riposte.TimeRange, column string, add func(condition string, args ...any)) {
	if !r.From.IsZero() {
		add(column+` >= ?`, ceilMicro(r.From))
	}
	if !r.To.IsZero() {
		add(column+` < ?`, ceilMicro(r.To))
	}
}

// page is the query for at most limit instances.
func (l *listing) page(limit int) (string, []any) {
	query, args := l.matching(instanceColumns+`, `+listedOutcome, instanceJoins)
	return query + ` ORDER BY ` + l.number + ` DESC LIMIT ?`, append(args, limit)
}

// count is the query for how many there are, limit at most.
func (l *listing) count(limit int) (string, []any) {
	query, args := l.matching(`1`, ``)
	return `SELECT count(*) FROM (` + query + ` LIMIT ?)`, append(args, limit)
}

func (l *listing) matching(columns, joins string) (string, []any) {
	from := l.walkedTable()
	if l.byLabel() {
		from += ` CROSS JOIN instances i ON i.number = l.instance`
	}
	all := l.walked()
	all.sql, all.args = append(all.sql, l.rest.sql...), append(all.args, l.rest.args...)
	return `SELECT ` + columns + ` FROM ` + from + joins + all.where(), all.args
}

// row is the query for the row that comes after so many in the walk. It takes the
// index alone.
func (l *listing) row(after int) (string, []any) {
	walked := l.walked()
	return fmt.Sprintf(`SELECT number, id FROM instances WHERE number = (SELECT %[1]s FROM %[2]s%[3]s ORDER BY %[1]s DESC LIMIT 1 OFFSET ?)`,
		l.number, l.walkedTable(), walked.where()), append(walked.args, after)
}

func (l *listing) walked() conditions {
	c := conditions{slices.Clone(l.walk.sql), slices.Clone(l.walk.args)}
	c.add(l.number+` >= ? AND `+l.number+` < ?`, l.from, l.to)
	return c
}

func (l *listing) walkedTable() string {
	switch {
	case l.byLabel():
		return `labels l`
	case l.index == "":
		return `instances i`
	}
	return `instances i INDEXED BY ` + l.index
}

func (c conditions) where() string {
	return ` WHERE ` + strings.Join(c.sql, ` AND `)
}

// Both look into an index where it begins. oldestDueSQL goes from one webhook with
// open instances to the next, and looks further only into those whose first is due
// soonest: no others can have any of the rows that it wants.
var (
	oldestDueSQL = `WITH RECURSIVE lanes (webhook) AS (
		SELECT min(webhook) FROM instances WHERE push_lane IS NULL AND due_at IS NOT NULL
		UNION ALL SELECT (SELECT min(webhook) FROM instances WHERE webhook > lanes.webhook AND push_lane IS NULL AND due_at IS NOT NULL)
		FROM lanes WHERE webhook IS NOT NULL),
	firsts AS MATERIALIZED (SELECT webhook, (SELECT min(due_at) FROM instances WHERE webhook = lanes.webhook AND push_lane IS NULL AND due_at IS NOT NULL) AS due
		FROM lanes WHERE webhook IS NOT NULL),
	soonest AS (SELECT webhook FROM firsts WHERE due <= ?1 ORDER BY due LIMIT ?2)
	SELECT ` + instanceColumns + `, ` + listedOutcome + ` FROM soonest CROSS JOIN instances i ON i.number IN (SELECT number FROM instances
		WHERE webhook = soonest.webhook AND push_lane IS NULL AND due_at <= ?1 ORDER BY due_at LIMIT ?2)` + instanceJoins + `
		ORDER BY i.due_at, i.number LIMIT ?2`
	soonestToExpireSQL = `SELECT ` + instanceColumns + `, ` + listedOutcome + ` FROM instances i INDEXED BY instances_open_by_expiry` + instanceJoins + `
		WHERE i.outcome IS NULL ORDER BY i.expires_at, i.number LIMIT ?`
)

// OldestDue implements riposte.InstanceStore. What is RUNNING is due when its lease
// ends. It costs two look-ups for each webhook that has open instances.
func (s *Store) OldestDue(ctx context.Context, limit int) ([]riposte.Instance, error) {
	return s.loadListed(ctx, "looking for what is due", oldestDueSQL, micros(s.Now()), max(limit, 0))
}

// SoonestToExpire implements riposte.InstanceStore.
func (s *Store) SoonestToExpire(ctx context.Context, limit int) ([]riposte.Instance, error) {
	return s.loadListed(ctx, "looking for what expires", soonestToExpireSQL, max(limit, 0))
}

func (s *Store) loadListed(ctx context.Context, what, query string, args ...any) ([]riposte.Instance, error) {
	rows, err := s.readers.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, reading(what, err)
	}
	found, err := collect(rows, scanInstance)
	if err != nil {
		return nil, reading(what, err)
	}
	return found, nil
}

// ceilMicro is t in microseconds, rounded up: what is kept has whole ones.
func ceilMicro(t time.Time) int64 { return t.Add(time.Microsecond - time.Nanosecond).UnixMicro() }
