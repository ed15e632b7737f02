package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/lane"
)

// lockedPause is when to look again for rows that another node is busy with.
const lockedPause = 50 * time.Millisecond

// What another node has locked is its own: it is skipped. Each look begins where
// nothing earlier is known to be: as long as somebody holds a snapshot, the rows
// that were there stay in the index, dead, and would be gone through every time.
// What another node writes below that, a poll finds (watcher.go).
const (
	expiredSQL = `WITH o AS (SELECT id, webhook FROM open WHERE expires_at >= $1 AND expires_at <= $2 ORDER BY expires_at LIMIT $3 FOR UPDATE SKIP LOCKED)
		SELECT o.id, o.webhook, coalesce(w.version, 0) FROM o LEFT JOIN webhooks w ON w.id = o.webhook`
	dueSQL = `WITH o AS (SELECT due.* FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS l (webhook, since, take) CROSS JOIN LATERAL
		(SELECT id, webhook FROM open WHERE webhook = l.webhook AND due_at >= l.since AND due_at <= $4 ORDER BY due_at LIMIT l.take FOR UPDATE SKIP LOCKED) due)
		SELECT o.id, o.webhook, coalesce(w.version, 0) FROM o LEFT JOIN webhooks w ON w.id = o.webhook`
	// inFlightSQL comes after a lock that lasts until the transaction ends.
	lockWebhookSQL = `SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || ' ' || $1, 0))`
	inFlightSQL    = `SELECT count(*) FROM open WHERE webhook = $1 AND due_at > $2 AND due_at <= $3 AND state = 'RUNNING'`
	firstDueSQL    = `SELECT min(due_at) FROM open WHERE webhook = $1 AND due_at >= $2`
	firstExpirySQL = `SELECT min(expires_at) FROM open WHERE expires_at >= $1`
)

// Claim implements riposte.InstanceStore.
func (s *Store) Claim(ctx context.Context, r riposte.ClaimRequest) (riposte.Claim, error) {
	var taken riposte.Claim
	err := s.writer.do(ctx, max(r.Limit, 1), change{run: func(t *tx) (err error) {
		rows := &openRows{tx: t, now: s.Now(), envelopes: map[string]riposte.Envelope{}, short: map[*lane.Lane]bool{}}
		taken, err = t.Lanes.Claim(rows, r, rows.now)
		if rows.locked && !taken.Next.After(rows.now) {
			taken.Next = rows.now.Add(lockedPause)
		}
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
	now       time.Time
	envelopes map[string]riposte.Envelope // of what was found
	short     map[*lane.Lane]bool         // lanes that had less than was wanted; nil stands for the expiries
	locked    bool                        // there was less because another node is busy with some
}

// Expired leaves the bound in doubt, as a look at a lane does: what it was known
// by may be gone, by another node's doing.
func (r *openRows) Expired(now int64, limit int) ([]riposte.Instance, error) {
	since := r.Lanes.Expiry.At
	r.Lanes.Expiry.Exact = false
	found, err := r.find(expiredSQL, since, now, limit)
	r.short[nil] = len(found) < limit
	return found, err
}

func (r *openRows) Due(now int64, takes []lane.Take) ([]riposte.Instance, error) {
	var webhooks []string
	var since, limits []int64
	for _, t := range takes {
		webhooks, since, limits = append(webhooks, t.Lane.Webhook.ID), append(since, t.Lane.Due.At), append(limits, int64(t.Limit))
	}
	found, err := r.find(dueSQL, webhooks, since, limits, now)
	of := map[string]int{}
	for _, i := range found {
		of[i.Lane()]++
	}
	for _, t := range takes {
		r.short[t.Lane] = of[t.Lane.Webhook.ID] < t.Limit
	}
	return found, err
}

// find returns what a query finds, and sees to it that there are lanes for it,
// with the webhooks as they are now. It loads by the ids, in a second query,
// because only then does the planner know in which days to look.
func (r *openRows) find(query string, args ...any) ([]riposte.Instance, error) {
	var ids []string
	versions := map[string]int64{}
	r.queue().Queue(query, args...).Query(func(rows pgx.Rows) error {
		var id, webhook string
		var version int64
		_, err := pgx.ForEachRow(rows, []any{&id, &webhook, &version}, func() error {
			ids = append(ids, id)
			versions[webhook] = version
			return nil
		})
		return err
	})
	if err := r.send(); err != nil || len(ids) == 0 {
		return nil, err
	}
	for id, version := range versions {
		if _, err := r.lane(id, version); err != nil {
			return nil, err
		}
	}
	loaded, err := r.load(ids)
	found := make([]riposte.Instance, 0, len(ids))
	for _, id := range ids {
		if record, ok := loaded[id]; ok {
			found = append(found, record.Instance)
			r.envelopes[id] = record.Envelope
		}
	}
	return found, err
}

func (r *openRows) InFlight(l *lane.Lane, now int64) (n int, err error) {
	r.queue().Queue(lockWebhookSQL, l.Webhook.ID)
	// Another node's clock may be ahead by a little.
	r.queue().Queue(inFlightSQL, l.Webhook.ID, now, now+2*riposte.LeaseDuration.Microseconds()).
		QueryRow(func(row pgx.Row) error { return row.Scan(&n) })
	return n, r.send()
}

func (r *openRows) FirstDue(l *lane.Lane) (int64, error) {
	return r.first(l, firstDueSQL, l.Webhook.ID, l.Due.At)
}

func (r *openRows) FirstExpiry() (int64, error) {
	return r.first(nil, firstExpirySQL, r.Lanes.Expiry.At)
}

func (r *openRows) first(l *lane.Lane, query string, args ...any) (int64, error) {
	at := new(int64)
	r.queue().Queue(query, args...).QueryRow(func(row pgx.Row) error { return row.Scan(&at) })
	err := r.send()
	if at == nil {
		return lane.Never, err
	}
	r.locked = r.locked || r.short[l] && *at <= r.now.UnixMicro()
	return *at, err
}

func (r *openRows) Save(changes []lane.Change) ([]riposte.Instance, error) {
	saves := &round{}
	for _, c := range changes {
		saves.savings = append(saves.savings, &saving{instance: c.Instance, attempt: c.Lost})
	}
	saves.swap(r.tx)
	if err := r.send(); err != nil {
		return nil, err
	}
	if err := saves.settle(r.tx); err != nil {
		return nil, err
	}
	saved := make([]riposte.Instance, len(changes))
	for n, v := range saves.savings {
		saved[n] = v.saved
		r.short[r.Lanes.ByID[v.saved.Lane()]] = false // what is due there may be this one
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
