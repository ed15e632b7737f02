package sqlite

import (
	"cmp"
	"context"
	"time"

	"github.com/riposte-dev/riposte"
)

const (
	auditColumns = `id, created_at, actor, actor_name, role, remote_address, operation, target, detail`

	insertAuditSQL = `INSERT INTO audit (` + auditColumns + `) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`
	// Of what is too old more goes than comes, and no more than is soon done.
	forgetAuditSQL    = `DELETE FROM audit WHERE id IN (SELECT id FROM audit WHERE id < ? ORDER BY id LIMIT ?)`
	minAuditForgotten = 10
)

// audited is run with the entry e if it changes something: one for each id that it says
// it concerns, or one that tells of what e names.
func audited(e riposte.AuditEntry, run func(*tx) error) func(*tx) error {
	return func(t *tx) error {
		var targets []string
		t.targets = &targets
		defer func() { t.targets = nil }()
		writes := t.writes
		if err := run(t); err != nil || t.writes == writes {
			return err
		}
		if len(targets) == 0 {
			targets = []string{""}
		}
		return t.audit(e, targets)
	}
}

// concerns says what the op under way has made or changed.
func (t *tx) concerns(id string) {
	if t.targets != nil {
		*t.targets = append(*t.targets, id)
	}
}

// audit stores e, once about each target unless it names another, and forgets what is
// too old.
func (t *tx) audit(e riposte.AuditEntry, targets []string) error {
	now := riposte.Time(t.now())
	for _, target := range targets {
		_, err := t.exec(t.insertAudit, riposte.NewID(now), micros(now), e.Actor, e.ActorName, string(e.Role), e.RemoteAddress, e.Operation,
			cmp.Or(e.Target, target), e.Detail)
		if err != nil {
			return err
		}
	}
	_, err := t.affects(t.forgetAudit, riposte.LeastID(now.Add(-riposte.KeepAudit)), minAuditForgotten+2*len(targets))
	return err
}

// ListAudit implements riposte.AuditStore. It walks the index of the most telling part
// of the filter in the order of the ids, newest first.
func (s *Store) ListAudit(ctx context.Context, f riposte.AuditFilter) ([]riposte.AuditEntry, error) {
	query, args := auditQuery(f)
	rows, err := s.readers.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, reading("listing the audit log", err)
	}
	entries, err := collect(rows, scanAudit)
	if err != nil {
		return nil, reading("listing the audit log", err)
	}
	return entries, nil
}

func auditQuery(f riposte.AuditFilter) (string, []any) {
	var c conditions
	for _, each := range []struct{ column, value string }{{"target", f.Target}, {"actor", f.Actor}, {"operation", f.Operation}} {
		switch {
		case each.value == "":
		case len(c.sql) == 0:
			c.add(each.column+` = ?`, each.value)
		default:
			c.add(`+`+each.column+` = ?`, each.value) // not by its index
		}
	}
	// One bound for each end, as in a list of instances.
	between(f.Created, `created_at`, c.add)
	from, to := "", f.Before
	if !f.Created.From.IsZero() {
		from = riposte.LeastID(f.Created.From)
	}
	if !f.Created.To.IsZero() {
		if end := riposte.LeastID(f.Created.To.Add(time.Millisecond)); to == "" || end < to {
			to = end
		}
	}
	c.add(`id >= ?`, from)
	if to != "" {
		c.add(`id < ?`, to)
	}
	return `SELECT ` + auditColumns + ` FROM audit` + c.where() + ` ORDER BY id DESC LIMIT ?`, append(c.args, max(f.Limit, 0))
}

func scanAudit(r row) (riposte.AuditEntry, error) {
	var e riposte.AuditEntry
	return e, r.Scan(&e.ID, moment{&e.CreatedAt}, &e.Actor, &e.ActorName, &e.Role, &e.RemoteAddress, &e.Operation, &e.Target, &e.Detail)
}
