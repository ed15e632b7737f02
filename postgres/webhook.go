package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/riposte-dev/riposte"
)

const webhookColumns = `w.id, w.display_name, w.description, w.url, w.host, w.callback_timeout, w.retry_policy, w.max_in_flight, w.max_in_flight_total, w.outcome_url, w.request,
	w.created_at, w.updated_at, w.deleted_at, w.version`

const (
	insertWebhookSQL = `INSERT INTO webhooks (id, display_name, description, display_name_folded, description_folded, url, host,
		callback_timeout, retry_policy, max_in_flight, max_in_flight_total, outcome_url, request, created_at, updated_at, deleted_at, version)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, 1)`
	updateWebhookSQL = `UPDATE webhooks SET display_name = $2, description = $3, display_name_folded = $4, description_folded = $5, url = $6,
		host = $7, callback_timeout = $8, retry_policy = $9, max_in_flight = $10, max_in_flight_total = $11, outcome_url = $12, request = $13,
		created_at = $14, updated_at = $15, deleted_at = $16, version = version + 1 WHERE id = $1 AND version = $17`
	loadWebhookSQL   = `SELECT ` + webhookColumns + ` FROM webhooks w WHERE id = $1`
	webhookExistsSQL = `SELECT EXISTS (SELECT 1 FROM webhooks WHERE id = $1)`
)

// SaveWebhook implements riposte.WebhookStore.
func (s *Store) SaveWebhook(ctx context.Context, w riposte.Webhook) (riposte.Webhook, error) {
	values, err := webhookValues(w)
	if err != nil {
		return riposte.Webhook{}, fmt.Errorf("saving a webhook: %w", err)
	}
	kept := w.Clone()
	err = s.writer.do(ctx, 1, change{run: func(t *tx) error {
		if w.Version == 0 {
			return t.insertWebhook(kept, values)
		}
		return t.updateWebhook(kept, values)
	}})
	if err != nil {
		return riposte.Webhook{}, fmt.Errorf("saving a webhook: %w", err)
	}
	w.Version++
	return w, nil
}

func (t *tx) insertWebhook(w riposte.Webhook, values []any) error {
	t.write().Queue(insertWebhookSQL, values...)
	if err := t.send(); err != nil {
		return err
	}
	w.Version = 1
	l := t.Lanes.Add(0, w)
	t.Undo(func() { t.Lanes.Remove(l) })
	return nil
}

func (t *tx) updateWebhook(w riposte.Webhook, values []any) error {
	updated, exists := false, false
	t.write().Queue(updateWebhookSQL, append(slices.Clone(values), w.Version)...).Exec(func(tag pgconn.CommandTag) error {
		updated = tag.RowsAffected() > 0
		return nil
	})
	t.queue().Queue(webhookExistsSQL, w.ID).QueryRow(func(r pgx.Row) error { return r.Scan(&exists) })
	if err := t.send(); err != nil {
		return err
	}
	switch {
	case !exists:
		return riposte.ErrWebhookNotFound
	case !updated:
		return riposte.ErrConflict
	}
	l, err := t.lane(w.ID, 0)
	if err != nil {
		return err
	}
	before := l.Webhook
	before.Version = 0 // which has it loaded again
	t.Undo(func() { l.Webhook = before })
	w.Version++
	l.Webhook = w
	return nil
}

// webhookValues are the columns that insert and update share, in their order.
func webhookValues(w riposte.Webhook) ([]any, error) {
	request, err := requestColumn(w.Settings.Request)
	return []any{w.ID, w.DisplayName, w.Description, fold(w.DisplayName), fold(w.Description), w.URL, w.Host,
		int64(w.CallbackTimeout), string(w.Settings.RetryPolicy), w.Settings.MaxInFlight, w.Settings.MaxInFlightTotal, w.Settings.OutcomeURL, request,
		micros(w.CreatedAt), micros(w.UpdatedAt), micros(w.DeletedAt)}, err
}

// fold maps what differs only in case to the same string. By way of upper case,
// because some letters share one only there.
func fold(s string) string { return strings.ToLower(strings.ToUpper(s)) }

// LoadWebhook implements riposte.WebhookStore. It is asked for every instance
// that is created, and another node may have changed the webhook just now: so
// the database is asked each time, but once for all who ask meanwhile.
func (s *Store) LoadWebhook(ctx context.Context, id string) (riposte.Webhook, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	w, err := s.webhooks.wait(ctx, "loading a webhook", id, func() (riposte.Webhook, error) { return s.loadWebhook(id) })
	return w.Clone(), err
}

func (s *Store) loadWebhook(id string) (riposte.Webhook, error) {
	ctx, cancel := bounded(context.Background())
	defer cancel()
	w, err := scanWebhook(s.pool.QueryRow(ctx, loadWebhookSQL, id))
	switch {
	case notFound(err):
		return riposte.Webhook{}, riposte.ErrWebhookNotFound
	case err != nil:
		return riposte.Webhook{}, reading(ctx, "loading a webhook", err)
	}
	return w, nil
}

// ListWebhooks implements riposte.WebhookStore. It reads along the ids until
// the page is full; webhooks are few.
func (s *Store) ListWebhooks(ctx context.Context, f riposte.WebhookFilter) ([]riposte.Webhook, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	query := `SELECT ` + webhookColumns + ` FROM webhooks w WHERE w.deleted_at IS NULL`
	if f.Deleted {
		query = `SELECT ` + webhookColumns + ` FROM webhooks w WHERE w.deleted_at IS NOT NULL`
	}
	var args []any
	arg := func(v any) string {
		args = append(args, v)
		return fmt.Sprintf("$%d", len(args))
	}
	if f.Query != "" {
		// strpos, because nothing in its pattern is a wildcard.
		q := arg(fold(f.Query))
		query += ` AND (strpos(w.display_name_folded, ` + q + `) > 0 OR strpos(w.description_folded, ` + q + `) > 0)`
	}
	if f.IDs != nil {
		query += ` AND w.id = ANY(` + arg(f.IDs) + `)`
	}
	if f.Before != "" {
		query += ` AND w.id < ` + arg(f.Before)
	}
	rows, err := s.pool.Query(ctx, query+` ORDER BY w.id DESC LIMIT `+arg(max(f.Limit, 0)), args...)
	if err != nil {
		return nil, reading(ctx, "listing webhooks", err)
	}
	ws, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (riposte.Webhook, error) { return scanWebhook(r) })
	if notFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, reading(ctx, "listing webhooks", err)
	}
	return ws, nil
}

// scanWebhook reads webhookColumns after what before takes.
func scanWebhook(r row, before ...any) (riposte.Webhook, error) {
	var w riposte.Webhook
	var timeout, created, updated int64
	var deleted *int64
	var request string
	err := r.Scan(append(before, &w.ID, &w.DisplayName, &w.Description, &w.URL, &w.Host, &timeout, &w.Settings.RetryPolicy,
		&w.Settings.MaxInFlight, &w.Settings.MaxInFlightTotal, &w.Settings.OutcomeURL, &request, &created, &updated, &deleted, &w.Version)...)
	w.CallbackTimeout, w.CreatedAt, w.UpdatedAt, w.DeletedAt = time.Duration(timeout), moment(&created), moment(&updated), moment(deleted)
	if err == nil {
		err = scanRequest(request, &w.Settings.Request)
	}
	return w, err
}
