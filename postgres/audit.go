package postgres

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/riposte-dev/riposte"
)

// change runs a transaction of its own for what people change now and then. run says
// whether it has changed anything.
func (s *Store) change(ctx context.Context, what string, run func(context.Context, pgx.Tx) (changed bool, err error)) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	// Who waited for a lock must see what became of the row.
	err := pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(t pgx.Tx) error {
		_, err := run(ctx, t)
		return err
	})
	return reading(ctx, what, err)
}

// affects runs a statement and says whether it has changed anything.
func affects(ctx context.Context, t pgx.Tx, query string, args ...any) (bool, error) {
	tag, err := t.Exec(ctx, query, args...)
	return tag.RowsAffected() > 0, err
}

// ListAudit implements riposte.AuditStore.
func (s *Store) ListAudit(context.Context, riposte.AuditFilter) ([]riposte.AuditEntry, error) {
	return nil, errors.New("not built yet")
}
