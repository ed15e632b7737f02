package sqlite

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/riposte-dev/riposte"
)

// listedOutcome is outcomeColumns without the document.
var listedOutcome = strings.Replace(outcomeColumns, "o.document", "NULL", 1)

// listing is a query in the making.
type listing struct {
	from       string
	index      string // the one to walk; "" for the numbers themselves
	conditions []string
	args       []any
}

func (l *listing) where(condition string, args ...any) {
	l.conditions = append(l.conditions, condition)
	l.args = append(l.args, args...)
}

// by is where for a condition that has an index in the order of the numbers. The
// first one leads; SQLite, which has no statistics, does not choose.
func (l *listing) by(index, condition string, args ...any) {
	if l.index == "" && l.from == "" {
		l.index = index
	}
	l.where(condition, args...)
}

// ListInstances implements riposte.InstanceStore. It walks the index of the
// most telling part of the filter in the order of the numbers, which is that of
// the ids, newest first, until the page is full.
func (s *Store) ListInstances(ctx context.Context, f riposte.InstanceFilter) (riposte.InstancePage, error) {
	query, args := listQuery(f)
	rows, err := s.readers.QueryContext(ctx, query, args...)
	if err != nil {
		return riposte.InstancePage{}, reading("listing instances", err)
	}
	instances, err := collect(rows, scanInstance)
	if err != nil {
		return riposte.InstancePage{}, reading("listing instances", err)
	}
	return riposte.InstancePage{Instances: instances}, nil
}

func listQuery(f riposte.InstanceFilter) (string, []any) {
	var l listing
	number := l.byLabels(f.Labels)
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
	l.during(number, f)
	if f.Before != "" {
		l.where(number+` < ?`, riposte.IDNumber(f.Before))
	}
	return l.sql(number), append(l.args, max(f.Limit, 0))
}

// byLabels leads with the first label and returns the column to sort by.
func (l *listing) byLabels(labels map[string]string) (number string) {
	number = "i.number"
	for n, key := range slices.Sorted(maps.Keys(labels)) {
		if n == 0 {
			number = "l.instance"
			l.from = `labels l CROSS JOIN instances i ON i.number = l.instance`
			l.where(`l.key = ? AND l.value = ?`, key, labels[key])
			continue
		}
		l.where(`EXISTS (SELECT 1 FROM labels WHERE key = ? AND value = ? AND instance = i.number)`, key, labels[key])
	}
	return number
}

// during restricts the times, and with them the numbers, which begin with the
// time of creation. What expires in a range was created within the bounds of
// callbackTimeout before it.
func (l *listing) during(number string, f riposte.InstanceFilter) {
	l.between(`i.created_at`, f.Created)
	l.between(`i.expires_at`, f.Expires)
	from := latest(f.Created.From, shift(f.Expires.From, -riposte.MaxCallbackTimeout))
	to := earliest(f.Created.To, shift(f.Expires.To, -riposte.MinCallbackTimeout))
	if !from.IsZero() {
		l.where(number+` >= ?`, riposte.LeastIDNumber(from))
	}
	if !to.IsZero() {
		// One more unit of what a number can tell.
		l.where(number+` < ?`, riposte.LeastIDNumber(to.Add(time.Millisecond)))
	}
}

func (l *listing) between(column string, r riposte.TimeRange) {
	if !r.From.IsZero() {
		l.where(column+` >= ?`, ceilMicro(r.From))
	}
	if !r.To.IsZero() {
		l.where(column+` < ?`, ceilMicro(r.To))
	}
}

func (l *listing) sql(number string) string {
	from := l.from
	if from == "" {
		from = `instances i`
		if l.index != "" {
			from += ` INDEXED BY ` + l.index
		}
	}
	conditions := ""
	if len(l.conditions) > 0 {
		conditions = ` WHERE ` + strings.Join(l.conditions, ` AND `)
	}
	return fmt.Sprintf(`SELECT %s, %s FROM %s%s%s ORDER BY %s DESC LIMIT ?`,
		instanceColumns, listedOutcome, from, instanceJoins, conditions, number)
}

// ceilMicro is t in microseconds, rounded up: what is kept has whole ones.
func ceilMicro(t time.Time) int64 { return t.Add(time.Microsecond - time.Nanosecond).UnixMicro() }

func shift(t time.Time, d time.Duration) time.Time {
	if t.IsZero() {
		return t
	}
	return t.Add(d)
}

// latest and earliest leave zero times out of account.
func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

var errNotYet = errors.New("not built yet")

// CountMatching implements riposte.InstanceStore.
func (s *Store) CountMatching(ctx context.Context, f riposte.InstanceFilter, atMost int) (n int, more bool, err error) {
	return 0, false, errNotYet
}

// OldestDue implements riposte.InstanceStore.
func (s *Store) OldestDue(ctx context.Context, limit int) ([]riposte.Instance, error) {
	return nil, errNotYet
}

// SoonestToExpire implements riposte.InstanceStore.
func (s *Store) SoonestToExpire(ctx context.Context, limit int) ([]riposte.Instance, error) {
	return nil, errNotYet
}
