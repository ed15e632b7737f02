package riposte

import (
	"context"
	"time"
)

// KeepAudit is for how long entries of the audit log are kept.
const KeepAudit = 400 * 24 * time.Hour

// AuditEntry says that somebody changed something: who, from where, what and when. A
// store gives it its ID and CreatedAt.
type AuditEntry struct {
	ID            string
	CreatedAt     time.Time
	Actor         string // the id of a key or client, or ActorCommandLine
	ActorName     string
	Role          Role   // "" for the command line
	RemoteAddress string // without a port
	Operation     string // such as WebhooksService.Update
	Target        string // the id of what was changed
	Detail        string // what of it, for people; never a secret
}

// ActorCommandLine is who changes a store beside its server.
const ActorCommandLine = "command line"

type auditKey struct{}

// WithAudit has a store write e into the audit log with whatever it changes under the
// context, in the same transaction, once for each of its methods that changes something.
// It is the one thing that a context carries to a store, because an argument of every
// method would be there for the few calls that people make.
func WithAudit(ctx context.Context, e AuditEntry) context.Context {
	return context.WithValue(ctx, auditKey{}, e)
}

// AuditOf returns the entry to be written with a change under ctx, and false where
// there is none.
func AuditOf(ctx context.Context) (AuditEntry, bool) {
	e, ok := ctx.Value(auditKey{}).(AuditEntry)
	return e, ok
}

// AuditFilter selects entries; its parts combine with AND, and a zero part selects all.
type AuditFilter struct {
	Actor     string
	Operation string
	Target    string
	Created   TimeRange
	Before    string // the last id of the page before; "" for the first
	Limit     int
}
