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

// listing is a query in the making.
type listing struct {
	conditions []string
	args       []any
}

// where adds a condition, in which each ? is an argument.
func (l *listing) where(condition string, args ...any) {
	for _, a := range args {
		l.args = append(l.args, a)
		condition = strings.Replace(condition, "?", fmt.Sprintf("$%d", len(l.args)), 1)
	}
	l.conditions = append(l.conditions, condition)
}

// ListInstances implements riposte.InstanceStore. It walks an index in the order
// of the ids, newest first, until the page is full.
func (s *Store) ListInstances(ctx context.Context, f riposte.InstanceFilter) (riposte.InstancePage, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	query, args := listQuery(f)
	if slices.ContainsFunc(args, hasNUL) {
		return riposte.InstancePage{}, nil
	}
	// Planned for what is asked for, each time: the filters decide which index is best.
	rows, err := s.pool.Query(ctx, query, append([]any{pgx.QueryExecModeSimpleProtocol}, args...)...)
	if err != nil {
		return riposte.InstancePage{}, reading(ctx, "listing instances", err)
	}
	instances, err := pgx.CollectRows(rows, scanInstance)
	if notFound(err) {
		return riposte.InstancePage{}, nil
	}
	if err != nil {
		return riposte.InstancePage{}, reading(ctx, "listing instances", err)
	}
	return riposte.InstancePage{Instances: instances}, nil
}

// hasNUL reports whether arg is a text that no row can have.
func hasNUL(arg any) bool {
	s, ok := arg.(string)
	return ok && strings.Contains(s, "\x00")
}

func listQuery(f riposte.InstanceFilter) (string, []any) {
	var l listing
	switch {
	case f.State.Closed():
		l.where(`r.state = ?`, string(f.State))
	case f.State != "":
		l.where(`o.state = ?`, string(f.State))
	}
	if f.TicketID != "" {
		l.where(`i.ticket_id = ? AND i.ticket_id <> ''`, f.TicketID)
	}
	if f.WebhookID != "" {
		l.where(`i.webhook = ?`, f.WebhookID)
	}
	if f.SourceKind != "" {
		l.where(`i.source_kind = ?`, string(f.SourceKind))
	}
	for _, key := range slices.Sorted(maps.Keys(f.Labels)) {
		l.where(`EXISTS (SELECT 1 FROM labels WHERE key = ? AND value = ? AND id = i.id)`, key, f.Labels[key])
	}
	l.between(`i.created_at`, f.Created)
	l.between(`i.expires_at`, f.Expires)
	if !f.Created.From.IsZero() {
		l.where(`i.id >= ?`, riposte.LeastID(f.Created.From))
	}
	if !f.Created.To.IsZero() {
		l.where(`i.id < ?`, riposte.LeastID(f.Created.To.Add(time.Millisecond)))
	}
	if f.Before != "" {
		l.where(`i.id < ?`, f.Before)
	}
	conditions := ""
	if len(l.conditions) > 0 {
		conditions = ` WHERE ` + strings.Join(l.conditions, ` AND `)
	}
	return fmt.Sprintf(`SELECT %s, %s FROM instances i LEFT JOIN open o USING (id) LEFT JOIN outcomes r USING (id)%s ORDER BY i.id DESC LIMIT %d`,
		instanceColumns, listedOutcome, conditions, max(f.Limit, 0)), l.args
}

func (l *listing) between(column string, r riposte.TimeRange) {
	if !r.From.IsZero() {
		l.where(column+` >= ?`, ceilMicro(r.From))
	}
	if !r.To.IsZero() {
		l.where(column+` < ?`, ceilMicro(r.To))
	}
}

// ceilMicro is t in microseconds, rounded up: what is kept has whole ones.
func ceilMicro(t time.Time) int64 { return t.Add(time.Microsecond - time.Nanosecond).UnixMicro() }

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
