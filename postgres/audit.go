package postgres

import (
	"cmp"
	"context"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/riposte-dev/riposte"
)

const (
	auditColumns = `id, created_at, actor, actor_name, role, remote_address, operation, target, detail`

	insertAuditSQL = `INSERT INTO audit (` + auditColumns + `) SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[],
		$6::text[], $7::text[], $8::text[], $9::text[])`
	// Of what is too old more goes than comes, and no more than is soon done.
	forgetAuditSQL    = `DELETE FROM audit WHERE id IN (SELECT id FROM audit WHERE id < $1 ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED)`
	minAuditForgotten = 10
)

// audit queues the entries of a batch: one for each instance that is created, one for
// each that is saved, and those of what else has changed something, ran.
func (t *tx) audit(batch []*op, ran map[*op]bool) {
	var entries []riposte.AuditEntry
	for _, o := range batch {
		if o.What.audit == nil || o.Err != nil {
			continue
		}
		e := *o.What.audit
		switch c := o.What; {
		case c.create != nil:
			for n, i := range c.create.created {
				if i.ID == c.create.records[n].Instance.ID { // and not of one that was there already
					entries = append(entries, about(e, i.ID))
				}
			}
		case c.save != nil:
			entries = append(entries, about(e, c.save.instance.ID))
		case ran[o]:
			entries = append(entries, e)
		}
	}
	if len(entries) > 0 {
		queueAudit(t.write(), entries, t.store.Now())
	}
}

// about is e, about target unless it names another.
func about(e riposte.AuditEntry, target string) riposte.AuditEntry {
	e.Target = cmp.Or(e.Target, target)
	return e
}

// queueAudit stores entries and forgets what is too old.
func queueAudit(b *pgx.Batch, entries []riposte.AuditEntry, now time.Time) {
	n := len(entries)
	ids, created := make([]string, n), make([]int64, n)
	texts := make([][]string, 7)
	for k, e := range entries {
		ids[k], created[k] = riposte.NewID(now), now.UnixMicro()
		for c, text := range []string{e.Actor, e.ActorName, string(e.Role), e.RemoteAddress, e.Operation, e.Target, e.Detail} {
			texts[c] = append(texts[c], readable(text))
		}
	}
	b.Queue(insertAuditSQL, ids, created, texts[0], texts[1], texts[2], texts[3], texts[4], texts[5], texts[6])
	b.Queue(forgetAuditSQL, riposte.LeastID(now.Add(-riposte.KeepAudit)), minAuditForgotten+2*n)
}

// readable is s without what PostgreSQL takes for no text: no change must fail for
// what is said of it.
func readable(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// change runs a transaction of its own, for what people change now and then, with the
// entry of the audit log that ctx has. run says whether it has changed anything.
func (s *Store) change(ctx context.Context, what string, run func(context.Context, pgx.Tx) (changed bool, err error)) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	// Who waited for a lock must see what became of the row.
	err := pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(t pgx.Tx) error {
		changed, err := run(ctx, t)
		e, ok := riposte.AuditOf(ctx)
		if err != nil || !changed || !ok {
			return err
		}
		b := &pgx.Batch{}
		queueAudit(b, []riposte.AuditEntry{e}, s.Now())
		return t.SendBatch(ctx, b).Close()
	})
	return reading(ctx, what, err)
}

// affects runs a statement and says whether it has changed anything.
func affects(ctx context.Context, t pgx.Tx, query string, args ...any) (bool, error) {
	tag, err := t.Exec(ctx, query, args...)
	return tag.RowsAffected() > 0, err
}

// ListAudit implements riposte.AuditStore. It is planned for what is asked for, as a
// list of instances is, and walks an index in the order of the ids, newest first.
func (s *Store) ListAudit(ctx context.Context, f riposte.AuditFilter) ([]riposte.AuditEntry, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	rows, err := s.ask(ctx, auditQuestion(f))
	var entries []riposte.AuditEntry
	if err == nil {
		entries, err = pgx.CollectRows(rows, scanAudit)
	}
	if notFound(err) {
		return nil, nil
	}
	return entries, reading(ctx, "listing the audit log", err)
}

func auditQuestion(f riposte.AuditFilter) question {
	var c conditions
	for _, each := range []struct{ column, value string }{{"target", f.Target}, {"actor", f.Actor}, {"operation", f.Operation}} {
		if each.value != "" {
			c.add(each.column+` = ?`, each.value)
		}
	}
	if from := f.Created.From; !from.IsZero() {
		c.add(`created_at >= ?`, ceilMicro(from))
		c.add(`id >= ?`, riposte.LeastID(from))
	}
	if to := f.Created.To; !to.IsZero() {
		c.add(`created_at < ?`, ceilMicro(to))
		c.add(`id < ?`, riposte.LeastID(to.Add(time.Millisecond)))
	}
	if f.Before != "" {
		c.add(`id < ?`, f.Before)
	}
	return question{`SELECT ` + auditColumns + ` FROM audit` + c.where() + ` ORDER BY id DESC LIMIT ?`, append(c.args, max(f.Limit, 0))}
}

func scanAudit(r pgx.CollectableRow) (riposte.AuditEntry, error) {
	var e riposte.AuditEntry
	var created int64
	err := r.Scan(&e.ID, &created, &e.Actor, &e.ActorName, &e.Role, &e.RemoteAddress, &e.Operation, &e.Target, &e.Detail)
	e.CreatedAt = moment(&created)
	return e, err
}
