package sqlite

import (
	"database/sql"
	"time"

	"github.com/riposte-dev/riposte"
)

const outcomeColumns = `o.sequence, o.kind, o.via, o.comment, o.failure_reason, o.failure_message, o.decided_at, o.document`

const (
	insertOutcomeSQL = `INSERT INTO outcomes (sequence, instance, kind, via, comment, failure_reason, failure_message, decided_at, document)
	VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`

	lastSequenceSQL = `SELECT max(coalesce((SELECT max(sequence) FROM outcomes), 0), coalesce((SELECT sequence FROM purged), 0))`
)

// number gives an outcome the next sequence.
func (t *tx) number(o riposte.Outcome) *riposte.Outcome {
	*t.sequence++
	t.Undo(func() { *t.sequence-- })
	o.Sequence = *t.sequence
	return &o
}

// storeOutcome stores an instance's only outcome.
func (t *tx) storeOutcome(instance int64, o *riposte.Outcome) error {
	var reason, message any
	if o.Failure != nil {
		reason, message = string(o.Failure.Reason), o.Failure.Message
	}
	_, err := t.exec(t.insertOutcome, o.Sequence, instance, string(o.Kind), string(o.Via), o.Comment, reason, message,
		micros(o.DecidedAt), o.Document)
	return err
}

// outcomeRow is outcomeColumns of an instance that may have none.
type outcomeRow struct {
	sequence                   sql.NullInt64
	kind, via, comment         sql.NullString
	failureReason, failureText sql.NullString
	decidedAt                  time.Time
	document                   []byte
}

func (o *outcomeRow) columns() []any {
	return []any{&o.sequence, &o.kind, &o.via, &o.comment, &o.failureReason, &o.failureText, moment{&o.decidedAt}, &o.document}
}

func (o *outcomeRow) outcome() *riposte.Outcome {
	if !o.sequence.Valid {
		return nil
	}
	loaded := &riposte.Outcome{
		Kind:      riposte.OutcomeKind(o.kind.String),
		Via:       riposte.Via(o.via.String),
		Document:  o.document,
		Comment:   o.comment.String,
		DecidedAt: o.decidedAt,
		Sequence:  o.sequence.Int64,
	}
	if o.failureReason.Valid {
		loaded.Failure = &riposte.Failure{Reason: riposte.FailureReason(o.failureReason.String), Message: o.failureText.String}
	}
	return loaded
}
