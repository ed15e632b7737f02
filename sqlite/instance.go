package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/lane"
)

const instanceColumns = `i.id, w.id, i.source_kind, i.ticket_id, i.workflow_execution_id, i.workflow_step_id, i.destination, i.state,
	i.attempts, i.created_at, i.updated_at, i.last_attempted_at, i.completed_at, i.expires_at, i.labels, i.request_id, i.fingerprint,
	i.recreated_from, i.created_by, i.outcome_url, i.push, iif(i.push_lane IS NULL, i.due_at, i.push_due_at),
	iif(i.push_lane IS NULL, i.leased_until, i.push_leased_until), i.version`

// instanceJoins is what instanceColumns and outcomeColumns need beside i, which
// leads: CROSS JOIN keeps SQLite from going by the webhooks.
const instanceJoins = ` CROSS JOIN webhooks w ON w.number = i.webhook LEFT JOIN outcomes o ON o.sequence = i.outcome`

const (
	insertInstanceSQL = `INSERT INTO instances (number, id, webhook, source_kind, ticket_id, workflow_execution_id, workflow_step_id,
		destination, state, attempts, created_at, updated_at, last_attempted_at, completed_at, expires_at, labels, request_id,
		fingerprint, recreated_from, created_by, outcome_url, due_at, leased_until, version)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (webhook, request_id) WHERE request_id <> '' DO NOTHING`
	insertEnvelopeSQL = `INSERT INTO envelopes (instance, payload_at, body) VALUES (?, ?, ?)`
	insertLabelSQL    = `INSERT INTO labels (key, value, instance) VALUES (?, ?, ?)`

	requestedBeforeSQL = `SELECT ` + instanceColumns + `, ` + outcomeColumns + ` FROM instances i` + instanceJoins + `
		WHERE i.webhook = ? AND i.request_id = ? AND i.request_id <> ''`

	// Three ways to write a change, because one that leaves the instance without
	// an outcome must stay out of the indexes by expiry. None finds a closed one,
	// or one with another outcome.
	keepOpenSQL = `UPDATE instances SET state = ?3, attempts = ?4, updated_at = ?5, last_attempted_at = ?6, due_at = ?7,
		leased_until = ?8, version = version + 1
		WHERE number = ?1 AND version = ?2 AND outcome IS NULL`
	handOverSQL = `UPDATE instances SET state = ?4, attempts = ?5, updated_at = ?6, last_attempted_at = ?7, outcome = ?3, due_at = ?8,
		leased_until = NULL, push = ?9, push_lane = ?10, push_due_at = ?11, push_leased_until = ?12, version = version + 1
		WHERE number = ?1 AND version = ?2 AND completed_at IS NULL AND (outcome IS NULL OR outcome = ?3)`
	closeInstanceSQL = `UPDATE instances SET state = ?4, attempts = ?5, updated_at = ?6, last_attempted_at = ?7, outcome = ?3, due_at = NULL,
		leased_until = NULL, push = ?8, push_due_at = NULL, push_leased_until = NULL, completed_at = ?9, version = version + 1
		WHERE number = ?1 AND version = ?2 AND completed_at IS NULL AND (outcome IS NULL OR outcome = ?3)`
	instanceExistsSQL = `SELECT number FROM instances WHERE number = ?`

	loadInstanceSQL = `SELECT ` + instanceColumns + `, ` + outcomeColumns + ` FROM instances i` + instanceJoins + `
		WHERE i.number = ? AND i.id = ?`
	loadEnvelopeSQL = `SELECT body, payload_at FROM envelopes WHERE instance = ?`
)

// CreateInstances implements riposte.InstanceStore.
func (s *Store) CreateInstances(ctx context.Context, records []riposte.NewInstanceRecord) ([]riposte.Instance, error) {
	labels := make([]any, len(records))
	for n, r := range records {
		var err error
		if labels[n], err = object(r.Instance.Labels); err != nil {
			return nil, fmt.Errorf("creating instances: %w", err)
		}
	}
	created := make([]riposte.Instance, len(records))
	err := s.writer.do(ctx, len(records), func(t *tx) error {
		for n, r := range records {
			var err error
			if created[n], err = t.create(r, labels[n]); err != nil {
				return atIndex(err, n)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("creating instances: %w", err)
	}
	return created, nil
}

// atIndex says which record of a batch was refused.
func atIndex(err error, n int) error {
	if e, ok := err.(*riposte.Error); ok {
		return e.With("index", strconv.Itoa(n))
	}
	return err
}

func (t *tx) create(r riposte.NewInstanceRecord, labels any) (riposte.Instance, error) {
	i := r.Instance
	l, ok := t.Lanes.ByID[i.WebhookID]
	switch {
	case !ok || l.Pushes():
		return riposte.Instance{}, riposte.ErrWebhookNotFound
	case l.Webhook.Deleted():
		// What was asked before stays answered: only what is new is refused.
		before, err := t.createdBefore(l, i)
		if errors.Is(err, sql.ErrNoRows) {
			err = riposte.ErrWebhookNotFound
		}
		return before, err
	}
	i.Version = 1
	row, err := t.Take(l, i, r.Envelope, t.now())
	if err != nil {
		return riposte.Instance{}, err
	}
	number := riposte.IDNumber(row.ID)
	inserted, err := t.affects(t.insertInstance, number, row.ID, l.Number, string(row.Source.Kind), row.Source.TicketID, row.Source.WorkflowExecutionID,
		row.Source.WorkflowStepID, row.Destination, string(row.State), row.Attempts, micros(row.CreatedAt), micros(row.UpdatedAt),
		micros(row.LastAttemptedAt), micros(row.CompletedAt), micros(row.ExpiresAt), labels, row.RequestID, row.Fingerprint, row.RecreatedFrom, row.CreatedBy, row.OutcomeURL,
		micros(row.DueAt), micros(row.LeasedUntil), row.Version)
	if violatesUnique(err) {
		return riposte.Instance{}, riposte.ErrConflict // the id is taken
	}
	if err != nil {
		return riposte.Instance{}, err
	}
	if !inserted {
		t.GiveBack(row)
		return t.createdBefore(l, i)
	}
	if err := t.createParts(number, r); err != nil {
		return riposte.Instance{}, err
	}
	t.Written(row, true)
	t.Created(i, row)
	t.concerns(row.ID)
	return i.Stored(1), nil
}

// createdBefore returns the instance that a repeated request made.
func (t *tx) createdBefore(l *lane.Lane, repeated riposte.Instance) (riposte.Instance, error) {
	i, err := scanInstance(t.requestedBefore.QueryRowContext(context.Background(), l.Number, repeated.RequestID))
	if err != nil {
		return riposte.Instance{}, err
	}
	if !repeated.Repeats(i.Fingerprint, i.CreatedBy) {
		return riposte.Instance{}, riposte.ErrRequestIDReused
	}
	return i, nil
}

// createParts stores what belongs to a new instance.
func (t *tx) createParts(number int64, r riposte.NewInstanceRecord) error {
	if _, err := t.exec(t.insertEnvelope, number, r.Envelope.PayloadAt(), r.Envelope.Body); err != nil {
		return err
	}
	for key, value := range r.Instance.Labels {
		if _, err := t.exec(t.insertLabel, key, value, number); err != nil {
			return err
		}
	}
	return nil
}

// SaveInstance implements riposte.InstanceStore.
func (s *Store) SaveInstance(ctx context.Context, i riposte.Instance, attempt *riposte.Attempt) (riposte.Instance, error) {
	values, err := attemptValues(attempt)
	if err != nil {
		return riposte.Instance{}, fmt.Errorf("saving an instance: %w", err)
	}
	var saved riposte.Instance
	err = s.writer.do(ctx, 1, func(t *tx) (err error) {
		saved, err = t.save(i, values)
		t.concerns(i.ID)
		return err
	})
	if err != nil {
		return riposte.Instance{}, fmt.Errorf("saving an instance: %w", err)
	}
	return saved, nil
}

// save swaps the row that i was made from for i, and adds to it what is new.
func (t *tx) save(i riposte.Instance, attempt []any) (riposte.Instance, error) {
	number := riposte.IDNumber(i.ID)
	decided := i.Outcome != nil && i.Outcome.Sequence == 0
	if decided {
		i.Outcome = t.number(*i.Outcome)
	}
	if err := t.swap(number, i); err != nil {
		return riposte.Instance{}, err
	}
	if attempt != nil {
		if _, err := t.exec(t.insertAttempt, append(attempt, number)...); err != nil {
			return riposte.Instance{}, err
		}
	}
	if decided {
		if err := t.storeOutcome(number, i.Outcome); err != nil {
			return riposte.Instance{}, err
		}
	}
	i.Version++
	t.Written(i, false)
	t.Changed = append(t.Changed, i)
	return i.Stored(i.Version), nil
}

// swap is the fence: it writes only over the version that i was made from.
func (t *tx) swap(number int64, i riposte.Instance) error {
	var found bool
	push, err := pushColumn(i.Push)
	switch {
	case err != nil:
		return err
	case i.Outcome == nil:
		found, err = t.affects(t.keepOpen, number, i.Version, string(i.State), i.Attempts, micros(i.UpdatedAt),
			micros(i.LastAttemptedAt), micros(i.DueAt), micros(i.LeasedUntil))
	case i.State.Closed():
		found, err = t.affects(t.closeInstance, number, i.Version, i.Outcome.Sequence, string(i.State), i.Attempts, micros(i.UpdatedAt),
			micros(i.LastAttemptedAt), push, micros(i.CompletedAt))
	default:
		found, err = t.saveHandOver(number, i, push)
	}
	if err != nil || found {
		return err
	}
	exists, err := t.numbers(t.instanceExists, number)
	switch {
	case err != nil:
		return err
	case len(exists) == 0:
		return riposte.ErrInstanceNotFound
	}
	return riposte.ErrConflict
}

// saveHandOver writes an instance that has its outcome and is still open.
func (t *tx) saveHandOver(number int64, i riposte.Instance, push any) (bool, error) {
	l, err := t.lane(i)
	if err != nil {
		return false, err
	}
	due, pushing := micros(i.DueAt), []any{nil, nil, nil}
	if l.Pushes() {
		due, pushing = micros(i.ExpiresAt), []any{-l.Number, micros(i.DueAt), micros(i.LeasedUntil)}
	}
	return t.affects(t.handOver, append([]any{number, i.Version, i.Outcome.Sequence, string(i.State), i.Attempts, micros(i.UpdatedAt),
		micros(i.LastAttemptedAt), due, push}, pushing...)...)
}

// Subscribe implements riposte.InstanceStore.
func (s *Store) Subscribe(f func(riposte.Instance)) (cancel func()) {
	return s.writer.publisher.Subscribe(f)
}

// Told implements riposte.InstanceStore.
func (s *Store) Told(ctx context.Context) error { return s.writer.publisher.Told(ctx) }

// LoadInstance implements riposte.InstanceStore.
func (s *Store) LoadInstance(ctx context.Context, id string) (riposte.Instance, error) {
	i, err := scanInstance(s.queries.loadInstance.QueryRowContext(ctx, riposte.IDNumber(id), id))
	if errors.Is(err, sql.ErrNoRows) {
		return riposte.Instance{}, riposte.ErrInstanceNotFound
	}
	if err != nil {
		return riposte.Instance{}, reading("loading an instance", err)
	}
	return i, nil
}

// LoadEnvelope implements riposte.InstanceStore.
func (s *Store) LoadEnvelope(ctx context.Context, id string) (riposte.Envelope, error) {
	var body []byte
	var payloadAt int
	err := s.queries.loadEnvelope.QueryRowContext(ctx, riposte.IDNumber(id)).Scan(&body, &payloadAt)
	if errors.Is(err, sql.ErrNoRows) {
		return riposte.Envelope{}, riposte.ErrInstanceNotFound
	}
	if err != nil {
		return riposte.Envelope{}, reading("loading an envelope", err)
	}
	return riposte.LoadEnvelope(body, payloadAt), nil
}

// scanInstance reads instanceColumns and outcomeColumns.
func scanInstance(r row) (riposte.Instance, error) {
	var i riposte.Instance
	var o outcomeRow
	err := r.Scan(append([]any{&i.ID, &i.WebhookID, &i.Source.Kind, &i.Source.TicketID, &i.Source.WorkflowExecutionID,
		&i.Source.WorkflowStepID, &i.Destination, &i.State, &i.Attempts, moment{&i.CreatedAt}, moment{&i.UpdatedAt},
		moment{&i.LastAttemptedAt}, moment{&i.CompletedAt}, moment{&i.ExpiresAt}, members[map[string]string, string]{&i.Labels},
		&i.RequestID, &i.Fingerprint, &i.RecreatedFrom, &i.CreatedBy, &i.OutcomeURL, pushScan{&i.Push}, moment{&i.DueAt}, moment{&i.LeasedUntil}, &i.Version}, o.columns()...)...)
	i.Outcome = o.outcome()
	return i, err
}
