package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/jackc/pgx/v5"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/lane"
)

// instanceColumns are those of an instance i with what is open of it, o, or what
// became of it, r.
const instanceColumns = `i.id, i.webhook, i.source_kind, i.ticket_id, i.workflow_execution_id, i.workflow_step_id, i.destination,
	coalesce(o.state, r.state), coalesce(o.attempts, r.attempts), i.created_at, coalesce(o.updated_at, r.updated_at),
	coalesce(o.last_attempted_at, r.last_attempted_at), r.completed_at, i.expires_at, i.labels, i.request_id, i.fingerprint,
	i.recreated_from, i.created_by, i.outcome_url, coalesce(o.push, r.push), nullif(o.due_at, 9223372036854775807), o.leased_until, coalesce(o.version, r.version)`

const (
	insertInstancesSQL = `INSERT INTO instances (id, webhook, source_kind, ticket_id, workflow_execution_id, workflow_step_id, destination,
		created_at, expires_at, labels, request_id, fingerprint, recreated_from, created_by, outcome_url, payload_at, body)
		SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::text[], $8::bigint[], $9::bigint[],
		$10::text[], $11::text[], $12::bytea[], $13::text[], $14::text[], $15::text[], $16::integer[], $17::bytea[])`
	insertOpenSQL = `INSERT INTO open (id, webhook, state, attempts, version, due_at, leased_until, updated_at, last_attempted_at, expires_at)
		SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[],
		$9::bigint[], $10::bigint[])`
	insertLabelsSQL   = `INSERT INTO labels (key, value, id) SELECT * FROM unnest($1::text[], $2::text[], $3::text[])`
	insertRequestsSQL = `INSERT INTO requests (webhook, request_id, id, fingerprint)
		SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[])`

	liveWebhooksSQL = `SELECT id, version FROM webhooks WHERE id = ANY($1) AND deleted_at IS NULL`
	requestedSQL    = `SELECT webhook, request_id, id, fingerprint, coalesce((SELECT i.created_by FROM instances i WHERE i.id = requests.id), '') FROM requests
		JOIN unnest($1::text[], $2::text[]) AS asked (webhook, request_id) USING (webhook, request_id)
		WHERE webhook = ANY($3) AND request_id = ANY($2)`

	// Each query by many ids says of every table which ones, and between which
	// they lie: so no plan can go through a table for them, whatever the planner
	// took it for, and one plan does for all ids, which looks at their days alone.
	loadInstancesSQL = `SELECT ` + instanceColumns + `, ` + outcomeColumns + `, CASE WHEN o.push IS NULL THEN i.body END, i.payload_at FROM instances i
		LEFT JOIN open o ON o.id = i.id AND o.id = ANY($1) LEFT JOIN outcomes r ON r.id = i.id AND r.id = ANY($1) AND r.id BETWEEN $2 AND $3
		WHERE i.id = ANY($1) AND i.id BETWEEN $2 AND $3`
	loadInstanceSQL = `SELECT ` + instanceColumns + `, ` + outcomeColumns + ` FROM instances i LEFT JOIN open o USING (id)
		LEFT JOIN outcomes r USING (id) WHERE i.id = $1`
	loadEnvelopeSQL = `SELECT body, payload_at FROM instances WHERE id = $1`

	// The fence: both write only over the version that an instance was made from.
	keepOpenSQL = `WITH s AS (SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
		$8::bigint[], $9::text[], $10::text[], $11::bigint[]) AS s (id, version, state, attempts, updated_at, last_attempted_at, due_at,
		leased_until, lane, push, expires_at))
		UPDATE open o SET state = s.state, attempts = s.attempts, updated_at = s.updated_at, last_attempted_at = s.last_attempted_at,
		due_at = s.due_at, leased_until = s.leased_until, webhook = s.lane, push = s.push, expires_at = s.expires_at, version = o.version + 1
		FROM s WHERE o.id = s.id AND o.version = s.version AND o.id = ANY($1) RETURNING o.id`
	closeSQL = `DELETE FROM open o USING unnest($1::text[], $2::bigint[]) AS s (id, version)
		WHERE o.id = s.id AND o.version = s.version AND o.id = ANY($1) RETURNING o.id`
	insertPushLaneSQL = `INSERT INTO push_lanes (id) VALUES ($1) ON CONFLICT DO NOTHING`
	existSQL          = `SELECT id FROM instances WHERE id = ANY($1) AND id BETWEEN $2 AND $3`
)

// creation is what CreateInstances asks for.
type creation struct {
	records []riposte.NewInstanceRecord
	labels  []*string
	created []riposte.Instance
}

// CreateInstances implements riposte.InstanceStore.
func (s *Store) CreateInstances(ctx context.Context, records []riposte.NewInstanceRecord) ([]riposte.Instance, error) {
	c := &creation{records: records, labels: make([]*string, len(records))}
	for n, r := range records {
		var err error
		if c.labels[n], err = object(r.Instance.Labels); err != nil {
			return nil, fmt.Errorf("creating instances: %w", err)
		}
	}
	if err := s.writer.do(ctx, len(records), change{create: c}); err != nil {
		return nil, fmt.Errorf("creating instances: %w", err)
	}
	return c.created, nil
}

// requestKey is what is unique of a request.
type requestKey struct{ webhook, id string }

// requested is the instance that a request has made.
type requested struct {
	id          string
	fingerprint []byte
	createdBy   string
	created     *riposte.Instance // nil for one that was there before
}

// creating is a batch of creations.
type creating struct {
	*tx
	live     map[string]int64 // the versions of webhooks that take new instances; 0 for others
	requests map[requestKey]requested
	rows     []riposte.Instance
	records  []riposte.NewInstanceRecord
	labels   []*string
	repeated []repetition
}

// repetition is a place in an answer that an instance of before has.
type repetition struct {
	at *riposte.Instance
	id string
}

// look asks for what the creations depend on.
func (c *creating) look(batch []*op) {
	var webhooks, asked, of []string
	for _, o := range batch {
		if o.What.create == nil {
			continue
		}
		for _, r := range o.What.create.records {
			if _, known := c.live[r.Instance.WebhookID]; !known {
				c.live[r.Instance.WebhookID] = 0
				webhooks = append(webhooks, r.Instance.WebhookID)
			}
			if r.Instance.RequestID != "" {
				of, asked = append(of, r.Instance.WebhookID), append(asked, r.Instance.RequestID)
			}
		}
	}
	if len(webhooks) > 0 {
		c.queue().Queue(liveWebhooksSQL, webhooks).Query(func(rows pgx.Rows) error {
			var id string
			var version int64
			_, err := pgx.ForEachRow(rows, []any{&id, &version}, func() error { c.live[id] = version; return nil })
			return err
		})
	}
	if len(asked) > 0 {
		c.queue().Queue(requestedSQL, of, asked, webhooks).Query(func(rows pgx.Rows) error {
			var key requestKey
			var r requested
			_, err := pgx.ForEachRow(rows, []any{&key.webhook, &key.id, &r.id, &r.fingerprint, &r.createdBy}, func() error {
				c.requests[key] = r
				r.fingerprint = nil
				return nil
			})
			return err
		})
	}
}

// create decides about the creations and queues what they store.
func (c *creating) create(batch []*op) error {
	for _, o := range batch {
		if o.What.create != nil {
			o.Err = c.plan(o.What.create)
		}
	}
	if err := c.answerRepeated(); err != nil {
		return err
	}
	c.insert()
	return nil
}

// plan decides about all of one creation or refuses it.
func (c *creating) plan(o *creation) error {
	rows, repeated, mark := len(c.rows), len(c.repeated), c.Mark()
	var keys []requestKey
	o.created = make([]riposte.Instance, len(o.records))
	for n, r := range o.records {
		key, err := c.planOne(r, o.labels[n], &o.created[n])
		if err != nil {
			for _, key := range keys {
				delete(c.requests, key)
			}
			c.rows, c.records, c.labels = c.rows[:rows], c.records[:rows], c.labels[:rows]
			c.repeated = c.repeated[:repeated]
			c.Forget(mark)
			return atIndex(err, n)
		}
		if key.id != "" {
			keys = append(keys, key)
		}
	}
	return nil
}

// planOne returns the key of a request that is new.
func (c *creating) planOne(r riposte.NewInstanceRecord, labels *string, created *riposte.Instance) (requestKey, error) {
	i := r.Instance
	key := requestKey{i.WebhookID, i.RequestID}
	if before, ok := c.requests[key]; ok && key.id != "" {
		switch {
		case !i.Repeats(before.fingerprint, before.createdBy):
			return requestKey{}, riposte.ErrRequestIDReused
		case before.created != nil:
			*created = *before.created
		default:
			c.repeated = append(c.repeated, repetition{created, before.id})
		}
		return requestKey{}, nil
	}
	version := c.live[i.WebhookID]
	if version == 0 {
		return requestKey{}, riposte.ErrWebhookNotFound
	}
	l, err := c.lane(i.WebhookID, version)
	if err != nil {
		return requestKey{}, err
	}
	i.Version = 1
	row, err := c.Take(l, i, r.Envelope, c.store.Now())
	if err != nil {
		return requestKey{}, err
	}
	*created = i.Stored(1)
	c.rows, c.records, c.labels = append(c.rows, row), append(c.records, r), append(c.labels, labels)
	c.Written(row, true)
	c.Created(i, row)
	c.count("", row.State)
	if key.id != "" {
		c.requests[key] = requested{i.ID, i.Fingerprint, i.CreatedBy, created}
	}
	return key, nil
}

// answerRepeated loads the instances of before.
func (c *creating) answerRepeated() error {
	if len(c.repeated) == 0 {
		return nil
	}
	ids := make([]string, len(c.repeated))
	for n, r := range c.repeated {
		ids[n] = r.id
	}
	loaded, err := c.load(ids)
	if err != nil {
		return err
	}
	for _, r := range c.repeated {
		before, ok := loaded[r.id]
		if !ok {
			return errOvertaken // it was purged just now
		}
		*r.at = before.Instance
	}
	return nil
}

// load returns instances by their ids, with what is sent for them, but for those
// that are pushed: a body may have a megabyte.
func (t *tx) load(ids []string) (map[string]riposte.NewInstanceRecord, error) {
	byID := make(map[string]riposte.NewInstanceRecord, len(ids))
	t.queue().Queue(loadInstancesSQL, ids, slices.Min(ids), slices.Max(ids)).Query(func(rows pgx.Rows) error {
		_, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (struct{}, error) {
			var body []byte
			var payloadAt int
			i, err := scanInstanceAnd(row, &body, &payloadAt)
			byID[i.ID] = riposte.NewInstanceRecord{Instance: i, Envelope: riposte.LoadEnvelope(body, payloadAt)}
			return struct{}{}, err
		})
		return err
	})
	return byID, t.send()
}

func (c *creating) insert() {
	if len(c.rows) == 0 {
		return
	}
	b := c.write()
	c.queueRequests(b)
	c.queueInstances(b)
	c.queueOpen(b)
	c.queueLabels(b)
}

// queueRequests inserts none that another node was faster with: the unique index
// then fails the batch, which runs again.
func (c *creating) queueRequests(b *pgx.Batch) {
	var webhooks, requests, ids []string
	var fingerprints [][]byte
	for _, i := range c.rows {
		if i.RequestID != "" {
			webhooks, requests, ids = append(webhooks, i.WebhookID), append(requests, i.RequestID), append(ids, i.ID)
			fingerprints = append(fingerprints, i.Fingerprint)
		}
	}
	if len(ids) > 0 {
		b.Queue(insertRequestsSQL, webhooks, requests, ids, fingerprints)
	}
}

func (c *creating) queueInstances(b *pgx.Batch) {
	n := len(c.rows)
	ids, webhooks, kinds, tickets := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	executions, steps, destinations := make([]int64, n), make([]string, n), make([]string, n)
	created, expires, requests, fingerprints := make([]int64, n), make([]int64, n), make([]string, n), make([][]byte, n)
	recreated, owners, pushes := make([]string, n), make([]string, n), make([]string, n)
	payloads, bodies := make([]int32, n), make([][]byte, n)
	for k, i := range c.rows {
		ids[k], webhooks[k], kinds[k], tickets[k] = i.ID, i.WebhookID, string(i.Source.Kind), i.Source.TicketID
		executions[k], steps[k], destinations[k] = int64(i.Source.WorkflowExecutionID), i.Source.WorkflowStepID, i.Destination
		created[k], expires[k], requests[k], fingerprints[k] = i.CreatedAt.UnixMicro(), i.ExpiresAt.UnixMicro(), i.RequestID, i.Fingerprint
		recreated[k], owners[k], pushes[k] = i.RecreatedFrom, i.CreatedBy, i.OutcomeURL
		payloads[k], bodies[k] = int32(c.records[k].Envelope.PayloadAt()), c.records[k].Envelope.Body
	}
	b.Queue(insertInstancesSQL, ids, webhooks, kinds, tickets, executions, steps, destinations, created, expires, c.labels, requests,
		fingerprints, recreated, owners, pushes, payloads, bodies)
}

func (c *creating) queueOpen(b *pgx.Batch) {
	n := len(c.rows)
	ids, webhooks, states := make([]string, n), make([]string, n), make([]string, n)
	attempts, versions, due, leased := make([]int64, n), make([]int64, n), make([]int64, n), make([]*int64, n)
	updated, attempted, expires := make([]int64, n), make([]*int64, n), make([]int64, n)
	for k, i := range c.rows {
		ids[k], webhooks[k], states[k] = i.ID, i.WebhookID, string(i.State)
		attempts[k], versions[k], due[k], leased[k] = int64(i.Attempts), i.Version, i.DueAt.UnixMicro(), micros(i.LeasedUntil)
		updated[k], attempted[k], expires[k] = i.UpdatedAt.UnixMicro(), micros(i.LastAttemptedAt), i.ExpiresAt.UnixMicro()
	}
	b.Queue(insertOpenSQL, ids, webhooks, states, attempts, versions, due, leased, updated, attempted, expires)
}

func (c *creating) queueLabels(b *pgx.Batch) {
	var keys, values, ids []string
	for _, i := range c.rows {
		for key, value := range i.Labels {
			keys, values, ids = append(keys, key), append(values, value), append(ids, i.ID)
		}
	}
	if len(ids) > 0 {
		b.Queue(insertLabelsSQL, keys, values, ids)
	}
}

// atIndex says which record of a batch was refused.
func atIndex(err error, n int) error {
	if e, ok := err.(*riposte.Error); ok {
		return e.With("index", strconv.Itoa(n))
	}
	return err
}

// saving is what SaveInstance asks for.
type saving struct {
	instance riposte.Instance
	attempt  *riposte.Attempt
	saved    riposte.Instance
}

// SaveInstance implements riposte.InstanceStore.
func (s *Store) SaveInstance(ctx context.Context, i riposte.Instance, attempt *riposte.Attempt) (riposte.Instance, error) {
	v := &saving{instance: i, attempt: attempt}
	if err := s.writer.do(ctx, 1, change{save: v}); err != nil {
		return riposte.Instance{}, fmt.Errorf("saving an instance: %w", err)
	}
	return v.saved, nil
}

// round is a part of the saves of a batch, with each instance once: a statement
// changes a row once, and of several saves of one instance each has its turn, as
// the first may be one that comes too late.
type round struct {
	savings []*saving
	ops     []*op // of the savings, if they have any
	swapped map[string]bool
}

func saveRounds(batch []*op) []*round {
	var rounds []*round
	turns := map[string]int{}
	for _, o := range batch {
		if o.What.save == nil {
			continue
		}
		n := turns[o.What.save.instance.ID]
		turns[o.What.save.instance.ID]++
		if n == len(rounds) {
			rounds = append(rounds, &round{})
		}
		rounds[n].savings, rounds[n].ops = append(rounds[n].savings, o.What.save), append(rounds[n].ops, o)
	}
	return rounds
}

// swap queues what replaces the rows that the instances were made from.
func (r *round) swap(t *tx) {
	r.swapped = make(map[string]bool, len(r.savings))
	note := func(rows pgx.Rows) error {
		var id string
		_, err := pgx.ForEachRow(rows, []any{&id}, func() error { r.swapped[id] = true; return nil })
		return err
	}
	var open, closed []riposte.Instance
	for _, v := range r.savings {
		if v.instance.State.Closed() {
			closed = append(closed, v.instance)
		} else {
			open = append(open, v.instance)
		}
	}
	if n := len(open); n > 0 {
		ids, versions, states, attempts := make([]string, n), make([]int64, n), make([]string, n), make([]int64, n)
		updated, attempted, due, leased := make([]int64, n), make([]*int64, n), make([]int64, n), make([]*int64, n)
		lanes, pushes, expires := make([]string, n), make([]*string, n), make([]int64, n)
		for k, i := range open {
			ids[k], versions[k], states[k], attempts[k] = i.ID, i.Version, string(i.State), int64(i.Attempts)
			updated[k], attempted[k], due[k], leased[k] = i.UpdatedAt.UnixMicro(), micros(i.LastAttemptedAt), orNever(i.DueAt), micros(i.LeasedUntil)
			lanes[k], pushes[k], expires[k] = i.Lane(), pushColumn(i.Push), i.ExpiresAt.UnixMicro()
			if i.Push != nil {
				expires[k] = lane.Never
			}
		}
		t.write().Queue(keepOpenSQL, ids, versions, states, attempts, updated, attempted, due, leased, lanes, pushes, expires).Query(note)
	}
	if n := len(closed); n > 0 {
		ids, versions := make([]string, n), make([]int64, n)
		for k, i := range closed {
			ids[k], versions[k] = i.ID, i.Version
		}
		t.write().Queue(closeSQL, ids, versions).Query(note)
	}
}

// settle takes notice of what was swapped and queues what belongs to it.
func (r *round) settle(t *tx) error {
	errs := make([]error, len(r.savings))
	var won []*saving
	var lost []string
	for n, v := range r.savings {
		if r.swapped[v.instance.ID] {
			v.saved = v.instance // which stays as it is, because a batch may run twice
			won = append(won, v)
		} else {
			errs[n] = riposte.ErrConflict
			lost = append(lost, v.instance.ID)
		}
	}
	if len(lost) > 0 {
		if err := t.explain(r.savings, errs, lost); err != nil {
			return err
		}
	}
	if err := t.saveParts(won); err != nil {
		return err
	}
	for _, v := range won {
		i := v.saved
		i.Version++
		if _, err := t.lane(i.Lane(), 0); err != nil {
			return err
		}
		t.Written(i, false)
		t.count(i.Steps()[0], i.State)
		t.Changed = append(t.Changed, i)
		v.saved = i.Stored(i.Version)
	}
	for n, o := range r.ops {
		o.Err = errs[n]
	}
	if r.ops == nil {
		return errors.Join(errs...)
	}
	return nil
}

// explain says of those who lost which are not there at all.
func (t *tx) explain(savings []*saving, errs []error, lost []string) error {
	known := map[string]bool{}
	t.queue().Queue(existSQL, lost, slices.Min(lost), slices.Max(lost)).Query(func(rows pgx.Rows) error {
		var id string
		_, err := pgx.ForEachRow(rows, []any{&id}, func() error { known[id] = true; return nil })
		return err
	})
	if err := t.send(); err != nil {
		return err
	}
	for n, v := range savings {
		if errs[n] != nil && !known[v.instance.ID] {
			errs[n] = riposte.ErrInstanceNotFound
		}
	}
	return nil
}

// saveParts queues the attempts and the outcomes of what was swapped.
func (t *tx) saveParts(won []*saving) error {
	if len(won) == 0 {
		return nil
	}
	if err := queueAttempts(t.queue(), insertAttemptsSQL, won); err != nil {
		return err
	}
	queueOutcomes(t.queue(), won)
	return nil
}

// lane returns a webhook's, with the webhook at a version or a later one: another
// node may have made it, or changed it. Or it returns a lane of pushes.
func (t *tx) lane(webhookID string, version int64) (*lane.Lane, error) {
	l, ok := t.Lanes.ByID[webhookID]
	if ok && l.Webhook.Version >= version {
		return l, nil
	}
	if w, isPush := riposte.PushLane(webhookID); isPush {
		return t.pushLane(w), nil
	}
	var w riposte.Webhook
	t.queue().Queue(loadWebhookSQL, webhookID).QueryRow(func(r pgx.Row) (err error) {
		w, err = scanWebhook(r)
		return err
	})
	if err := t.send(); err != nil {
		return nil, err
	}
	if ok {
		l.Webhook = w
		return l, nil
	}
	l = t.Lanes.Add(0, w)
	t.Lanes.Forget(l)
	return l, nil
}

// pushLane makes a lane of pushes known here, and to the others.
func (t *tx) pushLane(w riposte.Webhook) *lane.Lane {
	t.write().Queue(insertPushLaneSQL, w.ID)
	l := t.Lanes.Add(0, w)
	t.Lanes.Forget(l)
	t.Undo(func() { t.Lanes.Remove(l) })
	return l
}

// LoadInstance implements riposte.InstanceStore.
func (s *Store) LoadInstance(ctx context.Context, id string) (riposte.Instance, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	i, err := scanInstanceAnd(s.pool.QueryRow(ctx, loadInstanceSQL, id))
	if notFound(err) {
		return riposte.Instance{}, riposte.ErrInstanceNotFound
	}
	if err != nil {
		return riposte.Instance{}, reading(ctx, "loading an instance", err)
	}
	return i, nil
}

// LoadEnvelope implements riposte.InstanceStore.
func (s *Store) LoadEnvelope(ctx context.Context, id string) (riposte.Envelope, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	var body []byte
	var payloadAt int
	err := s.pool.QueryRow(ctx, loadEnvelopeSQL, id).Scan(&body, &payloadAt)
	if notFound(err) {
		return riposte.Envelope{}, riposte.ErrInstanceNotFound
	}
	if err != nil {
		return riposte.Envelope{}, reading(ctx, "loading an envelope", err)
	}
	return riposte.LoadEnvelope(body, payloadAt), nil
}

// row is what a query gave: one of pgx.Row and pgx.CollectableRow.
type row interface{ Scan(dest ...any) error }

// scanInstance reads instanceColumns and outcomeColumns, and more where there is more.
func scanInstance(r pgx.CollectableRow) (riposte.Instance, error) { return scanInstanceAnd(r) }

func scanInstanceAnd(r row, more ...any) (riposte.Instance, error) {
	var i riposte.Instance
	var o outcomeRow
	var created, updated, expires int64
	var attempted, completed, due, leased *int64
	var labels, push *string
	err := r.Scan(append(append([]any{&i.ID, &i.WebhookID, &i.Source.Kind, &i.Source.TicketID, &i.Source.WorkflowExecutionID,
		&i.Source.WorkflowStepID, &i.Destination, &i.State, &i.Attempts, &created, &updated, &attempted, &completed, &expires, &labels,
		&i.RequestID, &i.Fingerprint, &i.RecreatedFrom, &i.CreatedBy, &i.OutcomeURL, &push, &due, &leased, &i.Version}, o.columns()...), more...)...)
	if err != nil {
		return i, err
	}
	i.CreatedAt, i.UpdatedAt, i.ExpiresAt = moment(&created), moment(&updated), moment(&expires)
	i.LastAttemptedAt, i.CompletedAt, i.DueAt, i.LeasedUntil = moment(attempted), moment(completed), moment(due), moment(leased)
	i.Outcome = o.outcome()
	return i, errors.Join(members(labels, &i.Labels), scanPush(push, &i.Push))
}

// Subscribe implements riposte.InstanceStore.
func (s *Store) Subscribe(f func(riposte.Instance)) (cancel func()) {
	return s.writer.publisher.Subscribe(f)
}

// Told implements riposte.InstanceStore.
func (s *Store) Told(ctx context.Context) error { return s.writer.publisher.Told(ctx) }
