package sqlite

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/riposte-dev/riposte"
)

// minForgotten is how many rows of a span one save may forget, and twice as many as
// it stores: a backlog shrinks, and a commit stays short.
const minForgotten = 1_000

const (
	saveStatisticsSQL = `INSERT INTO statistics (webhook, span, start, process, counts) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (webhook, span, start, process) DO UPDATE SET counts = excluded.counts`
	// saveLastAttemptSQL takes nothing of a webhook that was purged, and of all together.
	// What ended after now, by a clock that was wrong, gives way to any.
	saveLastAttemptSQL = `INSERT INTO last_attempts (webhook, ended_at, attempt) SELECT id, ?2, ?3 FROM webhooks WHERE id = ?1
		ON CONFLICT (webhook) DO UPDATE SET ended_at = excluded.ended_at, attempt = excluded.attempt WHERE excluded.ended_at >= ended_at OR ended_at > ?4`
	forgetStatisticsSQL = `DELETE FROM statistics WHERE (webhook, span, start, process) IN
		(SELECT webhook, span, start, process FROM statistics INDEXED BY statistics_by_start WHERE span = ? AND start < ? ORDER BY start LIMIT ?)`
	purgeStatisticsSQL = `DELETE FROM statistics WHERE webhook = ?`

	loadStatisticsSQL    = `SELECT s.webhook, s.span, s.start, s.process, s.counts FROM `
	loadAllStatisticsSQL = loadStatisticsSQL + `statistics s INDEXED BY statistics_by_start WHERE s.span = ? AND s.start >= ? AND s.webhook <> ''`
	loadStatisticsOfSQL  = loadStatisticsSQL + `json_each(?3) n CROSS JOIN statistics s ON s.webhook = n.value AND s.span = ?1 AND s.start >= ?2`
	lastAttemptsSQL      = `SELECT l.webhook, l.attempt FROM json_each(?) n CROSS JOIN last_attempts l ON l.webhook = n.value`
)

// statisticsValues are the parameters that store a row: of the row itself, and of its
// last attempt, nil where it has none.
type statisticsValues struct{ row, last []any }

// SaveStatistics implements riposte.StatisticsStore.
func (s *Store) SaveStatistics(ctx context.Context, rows []riposte.StatisticsRow) error {
	values := make([]statisticsValues, len(rows))
	for n, r := range rows {
		counts, err := json.Marshal(r.Statistics)
		if err != nil {
			return fmt.Errorf("saving statistics: %w", err)
		}
		values[n].row = []any{r.WebhookID, int64(r.Span), micros(r.Start), r.Process, string(counts)}
		if r.Last == nil {
			continue
		}
		last, err := json.Marshal(r.Last)
		if err != nil {
			return fmt.Errorf("saving statistics: %w", err)
		}
		values[n].last = []any{r.WebhookID, micros(r.Last.EndedAt), string(last)}
	}
	if err := s.writer.do(ctx, max(len(rows), 1), func(t *tx) error { return t.saveStatisticsRows(values) }); err != nil {
		return fmt.Errorf("saving statistics: %w", err)
	}
	return nil
}

func (t *tx) saveStatisticsRows(rows []statisticsValues) error {
	now := riposte.Time(t.now())
	for _, r := range rows {
		if _, err := t.exec(t.saveStatistics, r.row...); err != nil {
			return err
		}
		if r.last == nil {
			continue
		}
		if _, err := t.exec(t.saveLastAttempt, append(r.last, micros(now))...); err != nil {
			return err
		}
	}
	for _, each := range []struct{ span, keep time.Duration }{
		{riposte.StatisticsMinute, riposte.KeepStatisticsMinutes},
		{riposte.StatisticsQuarter, riposte.KeepStatisticsQuarters},
	} {
		if _, err := t.affects(t.forgetStatistics, int64(each.span), micros(now.Add(-each.keep)), minForgotten+2*len(rows)); err != nil {
			return err
		}
	}
	return nil
}

// LoadStatistics implements riposte.StatisticsStore.
func (s *Store) LoadStatistics(ctx context.Context, f riposte.StatisticsFilter) ([]riposte.StatisticsRow, error) {
	query, args := loadAllStatisticsSQL, []any{int64(f.Span), ceilMicro(f.From)}
	if f.WebhookIDs != nil {
		ids, err := distinctJSON(f.WebhookIDs)
		if err != nil {
			return nil, fmt.Errorf("loading statistics: %w", err)
		}
		query, args = loadStatisticsOfSQL, append(args, ids)
	}
	found, err := s.readers.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, reading("loading statistics", err)
	}
	rows, err := collect(found, scanStatistics)
	if err != nil {
		return nil, reading("loading statistics", err)
	}
	slices.SortFunc(rows, func(a, b riposte.StatisticsRow) int {
		return cmp.Or(a.Start.Compare(b.Start), cmp.Compare(a.WebhookID, b.WebhookID), cmp.Compare(a.Process, b.Process))
	})
	return rows, nil
}

func scanStatistics(r row) (riposte.StatisticsRow, error) {
	var s riposte.StatisticsRow
	var span int64
	var counts []byte
	if err := r.Scan(&s.WebhookID, &span, moment{&s.Start}, &s.Process, &counts); err != nil {
		return s, err
	}
	s.Span = time.Duration(span)
	return s, json.Unmarshal(counts, &s.Statistics)
}

// LastAttempts implements riposte.StatisticsStore.
func (s *Store) LastAttempts(ctx context.Context, webhookIDs []string) (map[string]riposte.LastAttempt, error) {
	ids, err := distinctJSON(webhookIDs)
	if err != nil {
		return nil, fmt.Errorf("loading last attempts: %w", err)
	}
	rows, err := s.readers.QueryContext(ctx, lastAttemptsSQL, ids)
	if err != nil {
		return nil, reading("loading last attempts", err)
	}
	defer rows.Close()
	last := make(map[string]riposte.LastAttempt)
	for rows.Next() {
		var id string
		var stored []byte
		if err := rows.Scan(&id, &stored); err != nil {
			return nil, reading("loading last attempts", err)
		}
		var a riposte.LastAttempt
		if err := json.Unmarshal(stored, &a); err != nil {
			return nil, reading("loading last attempts", err)
		}
		last[id] = a
	}
	if err := rows.Err(); err != nil {
		return nil, reading("loading last attempts", err)
	}
	return last, nil
}

// distinctJSON writes ids for json_each, each once.
func distinctJSON(ids []string) (string, error) {
	b, err := json.Marshal(slices.Compact(slices.Sorted(slices.Values(ids))))
	return string(b), err
}
