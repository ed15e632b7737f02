package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/lane"
)

// What another node has locked is its own: it is skipped.
const (
	expiredSQL = `WITH o AS (SELECT * FROM open WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED)
		SELECT ` + instanceColumns + `, ` + outcomeColumns + ` FROM o JOIN instances i USING (id) LEFT JOIN outcomes r USING (id)`
	dueSQL = `WITH o AS (SELECT due.* FROM unnest($1::text[], $2::bigint[]) AS l (webhook, take) CROSS JOIN LATERAL
		(SELECT * FROM open WHERE webhook = l.webhook AND due_at <= $3 ORDER BY due_at LIMIT l.take FOR UPDATE SKIP LOCKED) due)
		SELECT ` + instanceColumns + `, ` + outcomeColumns + `, i.body, i.payload_at FROM o JOIN instances i USING (id) LEFT JOIN outcomes r USING (id)`
	firstDueSQL    = `SELECT min(due_at) FROM open WHERE webhook = $1`
	firstExpirySQL = `SELECT min(expires_at) FROM open`
)

// Claim implements riposte.InstanceStore.
func (s *Store) Claim(ctx context.Context, r riposte.ClaimRequest) (riposte.Claim, error) {
	var taken riposte.Claim
	err := s.writer.do(ctx, &op{weight: max(r.Limit, 1), run: func(t *tx) (err error) {
		taken, err = t.lanes.Claim(&openRows{tx: t, envelopes: map[string]riposte.Envelope{}}, r, s.Now())
		return err
	}})
	if err != nil {
		return riposte.Claim{}, fmt.Errorf("claiming instances: %w", err)
	}
	return taken, nil
}

// openRows is lane.Rows.
type openRows struct {
	*tx
	envelopes map[string]riposte.Envelope // of what was due
}

func (r *openRows) Expired(now int64, limit int) ([]riposte.Instance, error) {
	rows, err := r.pg.Query(r.ctx, expiredSQL, now, limit)
	if err != nil {
		return nil, err
	}
	return r.known(pgx.CollectRows(rows, scanInstance))
}

func (r *openRows) Due(now int64, takes []lane.Take) ([]riposte.Instance, error) {
	var webhooks []string
	var limits []int64
	for _, t := range takes {
		webhooks, limits = append(webhooks, t.Lane.Webhook.ID), append(limits, int64(t.Limit))
	}
	rows, err := r.pg.Query(r.ctx, dueSQL, webhooks, limits, now)
	if err != nil {
		return nil, err
	}
	return r.known(pgx.CollectRows(rows, func(row pgx.CollectableRow) (riposte.Instance, error) {
		var body []byte
		var payloadAt int
		i, err := scanInstanceAnd(row, &body, &payloadAt)
		r.envelopes[i.ID] = riposte.LoadEnvelope(body, payloadAt)
		return i, err
	}))
}

// known sees to it that there are lanes for what was found.
func (r *openRows) known(found []riposte.Instance, err error) ([]riposte.Instance, error) {
	for _, i := range found {
		if err == nil {
			_, err = r.lane(i.WebhookID)
		}
	}
	return found, err
}

func (r *openRows) FirstDue(l *lane.Lane) (int64, error) { return r.first(firstDueSQL, l.Webhook.ID) }

func (r *openRows) FirstExpiry() (int64, error) { return r.first(firstExpirySQL) }

func (r *openRows) first(query string, args ...any) (int64, error) {
	var at *int64
	err := r.pg.QueryRow(r.ctx, query, args...).Scan(&at)
	if at == nil {
		return lane.Never, err
	}
	return *at, err
}

func (r *openRows) Save(changes []lane.Change) ([]riposte.Instance, error) {
	savings := make([]*saving, len(changes))
	for n, c := range changes {
		savings[n] = &saving{instance: c.Instance, attempt: c.Lost}
	}
	errs, err := r.save(savings)
	if err = errors.Join(append(errs, err)...); err != nil {
		return nil, err
	}
	saved := make([]riposte.Instance, len(savings))
	for n, v := range savings {
		saved[n] = v.saved
	}
	return saved, nil
}

func (r *openRows) Envelopes(claimed []riposte.Instance) ([]riposte.Envelope, error) {
	envelopes := make([]riposte.Envelope, len(claimed))
	for n, i := range claimed {
		envelopes[n] = r.envelopes[i.ID]
	}
	return envelopes, nil
}
