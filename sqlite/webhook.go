package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/riposte-dev/riposte"
)

const webhookColumns = `w.id, w.display_name, w.description, w.url, w.host, w.callback_timeout, w.retry_policy, w.max_in_flight, w.max_in_flight_total, w.outcome_url, w.request,
	w.created_at, w.updated_at, w.deleted_at, w.version`

const (
	insertWebhookSQL = `INSERT INTO webhooks (id, display_name, description, display_name_folded, description_folded, url, host,
		callback_timeout, retry_policy, max_in_flight, max_in_flight_total, outcome_url, request, created_at, updated_at, deleted_at, version)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1)`
	updateWebhookSQL = `UPDATE webhooks SET display_name = ?, description = ?, display_name_folded = ?, description_folded = ?, url = ?,
		host = ?, callback_timeout = ?, retry_policy = ?, max_in_flight = ?, max_in_flight_total = ?, outcome_url = ?, request = ?, created_at = ?, updated_at = ?, deleted_at = ?,
		version = version + 1 WHERE id = ? AND version = ?`
)

// SaveWebhook implements riposte.WebhookStore.
func (s *Store) SaveWebhook(ctx context.Context, w riposte.Webhook) (riposte.Webhook, error) {
	values, err := webhookValues(w)
	if err != nil {
		return riposte.Webhook{}, fmt.Errorf("saving a webhook: %w", err)
	}
	save := (*tx).updateWebhookRow
	if w.Version == 0 {
		save = (*tx).insertWebhookRow
	}
	kept := w.Clone()
	if err := s.writer.do(ctx, 1, func(t *tx) error { return save(t, kept, values) }); err != nil {
		return riposte.Webhook{}, fmt.Errorf("saving a webhook: %w", err)
	}
	w.Version++
	return w, nil
}

func (t *tx) insertWebhookRow(w riposte.Webhook, values []any) error {
	r, err := t.exec(t.insertWebhook, append([]any{w.ID}, values...)...)
	if violatesUnique(err) {
		return riposte.ErrConflict
	}
	if err != nil {
		return err
	}
	number, err := r.LastInsertId()
	if err != nil {
		return err
	}
	w.Version = 1
	l := t.Lanes.Add(number, w)
	t.touched = append(t.touched, w.ID)
	t.Undo(func() { t.Lanes.Remove(l) })
	return nil
}

func (t *tx) updateWebhookRow(w riposte.Webhook, values []any) error {
	l, ok := t.Lanes.ByID[w.ID]
	if !ok {
		return riposte.ErrWebhookNotFound
	}
	found, err := t.affects(t.updateWebhook, append(slices.Clone(values), w.ID, w.Version)...)
	if err != nil {
		return err
	}
	if !found {
		return riposte.ErrConflict
	}
	before := l.Webhook
	t.touched = append(t.touched, w.ID)
	t.Undo(func() { l.Webhook = before })
	w.Version++
	l.Webhook = w
	return nil
}

// webhookValues are the columns that insert and update share, in their order.
func webhookValues(w riposte.Webhook) ([]any, error) {
	request, err := requestColumn(w.Settings.Request)
	return []any{w.DisplayName, w.Description, fold(w.DisplayName), fold(w.Description), w.URL, w.Host,
		int64(w.CallbackTimeout), string(w.Settings.RetryPolicy), w.Settings.MaxInFlight, w.Settings.MaxInFlightTotal, w.Settings.OutcomeURL, request,
		micros(w.CreatedAt), micros(w.UpdatedAt), micros(w.DeletedAt)}, err
}

// fold maps what differs only in case to the same string. SQLite itself knows
// the case of ASCII letters alone. By way of upper case, because some letters
// share one only there.
func fold(s string) string { return strings.ToLower(strings.ToUpper(s)) }

// LoadWebhook implements riposte.WebhookStore, without asking the disk: each
// create needs one.
func (s *Store) LoadWebhook(_ context.Context, id string) (riposte.Webhook, error) {
	w, ok := s.writer.webhooks.Load(id)
	if !ok {
		return riposte.Webhook{}, riposte.ErrWebhookNotFound
	}
	return w.(riposte.Webhook).Clone(), nil
}

// publishWebhooks makes known what was committed of these webhooks.
func (w *writer) publishWebhooks(ids []string) {
	for _, id := range ids {
		if l, ok := w.lanes.ByID[id]; ok && !l.Pushes() {
			w.webhooks.Store(id, l.Webhook)
		} else {
			w.webhooks.Delete(id)
		}
	}
}

// ListWebhooks implements riposte.WebhookStore. It reads along the ids until
// the page is full; webhooks are few.
func (s *Store) ListWebhooks(ctx context.Context, f riposte.WebhookFilter) ([]riposte.Webhook, error) {
	query := `SELECT ` + webhookColumns + ` FROM webhooks w WHERE w.deleted_at IS NULL`
	if f.Deleted {
		query = `SELECT ` + webhookColumns + ` FROM webhooks w WHERE w.deleted_at IS NOT NULL`
	}
	var args []any
	add := func(condition string, values ...any) {
		query += " AND " + condition
		args = append(args, values...)
	}
	if f.Query != "" {
		// instr, because nothing in its pattern is a wildcard.
		add(`(instr(w.display_name_folded, ?) OR instr(w.description_folded, ?))`, fold(f.Query), fold(f.Query))
	}
	if f.IDs != nil {
		ids, err := json.Marshal(f.IDs)
		if err != nil {
			return nil, fmt.Errorf("listing webhooks: %w", err)
		}
		add(`w.id IN (SELECT value FROM json_each(?))`, string(ids))
	}
	if f.Before != "" {
		add(`w.id < ?`, f.Before)
	}
	rows, err := s.readers.QueryContext(ctx, query+` ORDER BY w.id DESC LIMIT ?`, append(args, max(f.Limit, 0))...)
	if err != nil {
		return nil, reading("listing webhooks", err)
	}
	ws, err := collect(rows, func(r row) (riposte.Webhook, error) { return scanWebhook(r) })
	if err != nil {
		return nil, reading("listing webhooks", err)
	}
	return ws, nil
}

// row is what a query gave: *sql.Row or *sql.Rows.
type row interface{ Scan(dest ...any) error }

// collect scans all rows and closes them.
func collect[T any](rows *sql.Rows, scan func(row) (T, error)) ([]T, error) {
	defer rows.Close()
	var all []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, rows.Err()
}

// scanWebhook reads webhookColumns after what before takes.
func scanWebhook(r row, before ...any) (riposte.Webhook, error) {
	var w riposte.Webhook
	var timeout int64
	err := r.Scan(append(before, &w.ID, &w.DisplayName, &w.Description, &w.URL, &w.Host, &timeout, &w.Settings.RetryPolicy,
		&w.Settings.MaxInFlight, &w.Settings.MaxInFlightTotal, &w.Settings.OutcomeURL, requestScan{&w.Settings.Request}, moment{&w.CreatedAt}, moment{&w.UpdatedAt}, moment{&w.DeletedAt}, &w.Version)...)
	w.CallbackTimeout = time.Duration(timeout)
	return w, err
}
