package postgres

import (
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/riposte-dev/riposte"
)

const outcomeColumns = `r.sequence, r.kind, r.via, r.comment, r.failure_reason, r.failure_message, r.decided_at, r.document`

const (
	insertOutcomesSQL = `INSERT INTO outcomes (id, sequence, kind, via, comment, failure_reason, failure_message, decided_at, document,
		state, attempts, version, updated_at, last_attempted_at, completed_at, expires_at)
		SELECT s.id, nextval('outcome_sequence'), s.kind, s.via, s.comment, s.failure_reason, s.failure_message, s.decided_at, s.document,
		s.state, s.attempts, s.version, s.updated_at, s.last_attempted_at, s.completed_at, s.expires_at
		FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::text[], $6::bytea[], $7::bigint[], $8::bytea[], $9::text[],
		$10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[], $15::bigint[])
		AS s (id, kind, via, comment, failure_reason, failure_message, decided_at, document, state, attempts, version, updated_at,
		last_attempted_at, completed_at, expires_at)
		RETURNING id, sequence`
	closeOutcomesSQL = `UPDATE outcomes r SET state = s.state, attempts = s.attempts, version = s.version, updated_at = s.updated_at,
		last_attempted_at = s.last_attempted_at, completed_at = s.completed_at, expires_at = s.expires_at, push = s.push
		FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::text[])
		AS s (id, state, attempts, version, updated_at, last_attempted_at, completed_at, expires_at, push)
		WHERE r.id = s.id AND r.id = ANY($1) AND r.id BETWEEN $10 AND $11`
)

// ends are the columns of what an instance is at its end, NULL while it is open.
type ends struct {
	states                                                      []*string
	attempts, versions, updated, attempted, completed, expiries []*int64
}

func (e *ends) add(i riposte.Instance) {
	if !i.State.Closed() {
		i = riposte.Instance{}
		e.states, e.attempts, e.versions = append(e.states, nil), append(e.attempts, nil), append(e.versions, nil)
	} else {
		state, attempts, version := string(i.State), int64(i.Attempts), i.Version+1
		e.states, e.attempts, e.versions = append(e.states, &state), append(e.attempts, &attempts), append(e.versions, &version)
	}
	e.updated, e.attempted = append(e.updated, micros(i.UpdatedAt)), append(e.attempted, micros(i.LastAttemptedAt))
	e.completed, e.expiries = append(e.completed, micros(i.CompletedAt)), append(e.expiries, micros(i.ExpiresAt))
}

// queueOutcomes stores each new outcome, which gets its sequence once this has
// been sent, and each last state.
func queueOutcomes(b *pgx.Batch, won []*saving) {
	queueNewOutcomes(b, won)
	var ids []string
	var pushes []*string // only what stood before it was closed was pushed
	var e ends
	for _, v := range won {
		if i := v.instance; i.State.Closed() && i.Outcome.Sequence > 0 {
			ids, pushes = append(ids, i.ID), append(pushes, pushColumn(i.Push))
			e.add(i)
		}
	}
	if len(ids) > 0 {
		b.Queue(closeOutcomesSQL, ids, e.states, e.attempts, e.versions, e.updated, e.attempted, e.completed, e.expiries, pushes, slices.Min(ids), slices.Max(ids))
	}
}

func queueNewOutcomes(b *pgx.Batch, won []*saving) {
	var ids, kinds, vias []string
	var comments, messages, documents [][]byte
	var reasons []*string
	var decided []int64
	var e ends
	numbered := map[string]*riposte.Outcome{}
	for _, v := range won {
		o := v.instance.Outcome
		if o == nil || o.Sequence > 0 {
			continue
		}
		var reason *string
		var message []byte
		if o.Failure != nil {
			name := string(o.Failure.Reason)
			reason, message = &name, []byte(o.Failure.Message)
		}
		ids, kinds, vias = append(ids, v.instance.ID), append(kinds, string(o.Kind)), append(vias, string(o.Via))
		comments, reasons, messages = append(comments, []byte(o.Comment)), append(reasons, reason), append(messages, message)
		decided, documents = append(decided, o.DecidedAt.UnixMicro()), append(documents, o.Document)
		e.add(v.instance)
		stored := *o // the caller's stays as it is
		v.saved.Outcome, numbered[v.instance.ID] = &stored, &stored
	}
	if len(ids) == 0 {
		return
	}
	b.Queue(insertOutcomesSQL, ids, kinds, vias, comments, reasons, messages, decided, documents,
		e.states, e.attempts, e.versions, e.updated, e.attempted, e.completed, e.expiries).Query(func(rows pgx.Rows) error {
		var id string
		var sequence int64
		_, err := pgx.ForEachRow(rows, []any{&id, &sequence}, func() error { numbered[id].Sequence = sequence; return nil })
		return err
	})
}

// outcomeRow is outcomeColumns of an instance that may have none.
type outcomeRow struct {
	sequence                   *int64
	kind, via, reason          *string
	comment, message, document []byte
	decidedAt                  *int64
}

func (o *outcomeRow) columns() []any {
	return []any{&o.sequence, &o.kind, &o.via, &o.comment, &o.reason, &o.message, &o.decidedAt, &o.document}
}

func (o *outcomeRow) outcome() *riposte.Outcome {
	if o.sequence == nil {
		return nil
	}
	loaded := &riposte.Outcome{
		Kind:      riposte.OutcomeKind(*o.kind),
		Via:       riposte.Via(*o.via),
		Document:  o.document,
		Comment:   string(o.comment),
		DecidedAt: moment(o.decidedAt),
		Sequence:  *o.sequence,
	}
	if o.reason != nil {
		loaded.Failure = &riposte.Failure{Reason: riposte.FailureReason(*o.reason), Message: string(o.message)}
	}
	return loaded
}
