package sqlite

import (
	"database/sql"
	"time"

	"github.com/riposte-dev/riposte"
)

const outcomeColumns = `o.sequence, o.kind, o.via, o.comment, o.failure_reason, o.failure_message, o.decided_at, o.document`

const insertOutcomeSQL = `INSERT INTO outcomes (instance, kind, via, comment, failure_reason, failure_message, decided_at, document)
	VALUES ((SELECT number FROM instances WHERE id = ?), ?, ?, ?, ?, ?, ?, ?)`

// storeOutcome stores an instance's only outcome and returns it with its
// sequence.
func (t *tx) storeOutcome(instanceID string, o riposte.Outcome) (*riposte.Outcome, error) {
	var reason, message any
	if o.Failure != nil {
		reason, message = string(o.Failure.Reason), o.Failure.Message
	}
	r, err := t.exec(t.insertOutcome, instanceID, string(o.Kind), string(o.Via), o.Comment, reason, message, micros(o.DecidedAt), o.Document)
	if violatesUnique(err) {
		return nil, riposte.ErrConflict
	}
	if err != nil {
		return nil, err
	}
	o.Sequence, err = r.LastInsertId()
	return &o, err
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
