package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/riposte-dev/riposte"
)

// minForgotten is how many rows of a span one save may forget, and twice as many as
// it stores: a backlog shrinks, and a commit stays short.
const minForgotten = 1_000

const (
	saveStatisticsSQL = `INSERT INTO statistics (webhook, span, start, process, counts)
		SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[], $5::text[])
		ON CONFLICT (webhook, span, start, process) DO UPDATE SET counts = excluded.counts`
	// saveLastAttemptsSQL takes nothing of a webhook that was purged, and of all together.
	// What ended after now, by a clock that was wrong, gives way to any.
	saveLastAttemptsSQL = `INSERT INTO last_attempts AS l (webhook, ended_at, attempt)
		SELECT w.id, s.ended_at, s.attempt FROM unnest($1::text[], $2::bigint[], $3::text[]) AS s (webhook, ended_at, attempt)
		JOIN webhooks w ON w.id = s.webhook ORDER BY w.id
		ON CONFLICT (webhook) DO UPDATE SET ended_at = excluded.ended_at, attempt = excluded.attempt WHERE excluded.ended_at >= l.ended_at OR l.ended_at > $4`
	forgetStatisticsSQL = `DELETE FROM statistics WHERE ctid = ANY(ARRAY(SELECT ctid FROM statistics
		WHERE span = $1 AND start < $2 ORDER BY start LIMIT $3 FOR UPDATE SKIP LOCKED))`
	purgeStatisticsSQL = `DELETE FROM statistics WHERE webhook = ANY($1)`

	loadAllStatisticsSQL = `SELECT webhook, span, start, process, counts FROM statistics
		WHERE span = $1 AND start >= $2 AND webhook <> '' ORDER BY start, webhook, process`
	loadStatisticsOfSQL = `SELECT webhook, span, start, process, counts FROM statistics
		WHERE webhook = ANY($3) AND span = $1 AND start >= $2 ORDER BY start, webhook, process`
	lastAttemptsSQL = `SELECT webhook, attempt FROM last_attempts WHERE webhook = ANY($1)`
)

// statisticsKey is what is unique of a row.
type statisticsKey struct {
	webhook     string
	span, start int64
	process     string
}

// SaveStatistics implements riposte.StatisticsStore, in a transaction of its own, beside
// the writer's. What nodes share, the last attempts, comes first and in the order of
// the ids, so that none waits for another that waits for it.
func (s *Store) SaveStatistics(ctx context.Context, rows []riposte.StatisticsRow) error {
	b, now := &pgx.Batch{}, s.Now()
	if err := errors.Join(queueLastAttempts(b, rows, now), queueStatistics(b, rows)); err != nil {
		return fmt.Errorf("saving statistics: %w", err)
	}
	b.Queue(forgetStatisticsSQL, int64(riposte.StatisticsMinute), now.Add(-riposte.KeepStatisticsMinutes).UnixMicro(), minForgotten+2*len(rows))
	b.Queue(forgetStatisticsSQL, int64(riposte.StatisticsQuarter), now.Add(-riposte.KeepStatisticsQuarters).UnixMicro(), minForgotten+2*len(rows))
	ctx, cancel := bounded(ctx)
	defer cancel()
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error { return tx.SendBatch(ctx, b).Close() })
	return reading(ctx, "saving statistics", err)
}

// queueLastAttempts queues that of each webhook once: a statement changes a row once.
func queueLastAttempts(b *pgx.Batch, rows []riposte.StatisticsRow, now time.Time) error {
	last := map[string]riposte.Statistics{}
	for _, r := range rows {
		if of := last[r.WebhookID]; r.Last != nil {
			of.Add(riposte.Statistics{Last: r.Last})
			last[r.WebhookID] = of
		}
	}
	var webhooks, attempts []string
	var ended []int64
	for id, of := range last {
		attempt, err := json.Marshal(of.Last)
		if err != nil {
			return err
		}
		webhooks, ended, attempts = append(webhooks, id), append(ended, of.Last.EndedAt.UnixMicro()), append(attempts, string(attempt))
	}
	if len(webhooks) > 0 {
		b.Queue(saveLastAttemptsSQL, webhooks, ended, attempts, now.UnixMicro())
	}
	return nil
}

func queueStatistics(b *pgx.Batch, rows []riposte.StatisticsRow) error {
	at := map[statisticsKey]int{}
	var webhooks, processes, counts []string
	var spans, starts []int64
	for _, r := range rows {
		stored, err := json.Marshal(r.Statistics)
		if err != nil {
			return err
		}
		key := statisticsKey{r.WebhookID, int64(r.Span), r.Start.UnixMicro(), r.Process}
		if n, ok := at[key]; ok {
			counts[n] = string(stored)
			continue
		}
		at[key] = len(webhooks)
		webhooks, spans, starts = append(webhooks, key.webhook), append(spans, key.span), append(starts, key.start)
		processes, counts = append(processes, key.process), append(counts, string(stored))
	}
	if len(webhooks) > 0 {
		b.Queue(saveStatisticsSQL, webhooks, spans, starts, processes, counts)
	}
	return nil
}

// LoadStatistics implements riposte.StatisticsStore.
func (s *Store) LoadStatistics(ctx context.Context, f riposte.StatisticsFilter) ([]riposte.StatisticsRow, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	query, args := loadAllStatisticsSQL, []any{int64(f.Span), ceilMicro(f.From)}
	if f.WebhookIDs != nil {
		query, args = loadStatisticsOfSQL, append(args, texts(f.WebhookIDs))
	}
	found, err := s.pool.Query(ctx, query, args...)
	if err != nil {
		return nil, reading(ctx, "loading statistics", err)
	}
	rows, err := pgx.CollectRows(found, scanStatistics)
	if err != nil {
		return nil, reading(ctx, "loading statistics", err)
	}
	return rows, nil
}

func scanStatistics(r pgx.CollectableRow) (riposte.StatisticsRow, error) {
	var s riposte.StatisticsRow
	var span, start int64
	var counts []byte
	if err := r.Scan(&s.WebhookID, &span, &start, &s.Process, &counts); err != nil {
		return s, err
	}
	s.Span, s.Start = time.Duration(span), moment(&start)
	return s, json.Unmarshal(counts, &s.Statistics)
}

// LastAttempts implements riposte.StatisticsStore.
func (s *Store) LastAttempts(ctx context.Context, webhookIDs []string) (map[string]riposte.LastAttempt, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	last := make(map[string]riposte.LastAttempt)
	rows, err := s.pool.Query(ctx, lastAttemptsSQL, texts(webhookIDs))
	if err != nil {
		return nil, reading(ctx, "loading last attempts", err)
	}
	var id string
	var stored []byte
	_, err = pgx.ForEachRow(rows, []any{&id, &stored}, func() error {
		var a riposte.LastAttempt
		err := json.Unmarshal(stored, &a)
		last[id] = a
		return err
	})
	if err != nil {
		return nil, reading(ctx, "loading last attempts", err)
	}
	return last, nil
}
