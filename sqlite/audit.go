package sqlite

import (
	"context"
	"errors"

	"github.com/riposte-dev/riposte"
)

// ListAudit implements riposte.AuditStore.
func (s *Store) ListAudit(context.Context, riposte.AuditFilter) ([]riposte.AuditEntry, error) {
	return nil, errors.New("not built yet")
}
