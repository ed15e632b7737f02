package postgres

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/riposte-dev/riposte"
)

const (
	insertKeySQL = `INSERT INTO api_keys (hash, id, name, role, created_at, expires_at, rate_limit) VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (hash) DO NOTHING`
	loadKeySQL   = `SELECT ` + keyColumns + `, NULL::bigint FROM api_keys WHERE hash = $1`
	listKeysSQL  = `SELECT ` + keyColumns + `, last_used_at FROM api_keys ORDER BY id COLLATE "C" DESC`
	deleteKeySQL = `DELETE FROM api_keys WHERE id = $1`
	// In this order, so that two who lock them don't wait for each other. One that
	// expires is none to rely on.
	lockAdminsSQL = `SELECT id FROM api_keys WHERE role = 'admin' AND expires_at IS NULL ORDER BY id COLLATE "C" FOR UPDATE`

	keysUsedSQL = `WITH locked AS (SELECT id FROM api_keys WHERE id = ANY($1) ORDER BY id COLLATE "C" FOR NO KEY UPDATE)
		UPDATE api_keys k SET last_used_at = u.used_at FROM locked JOIN unnest($1::text[], $2::bigint[]) AS u (id, used_at) USING (id)
		WHERE k.id = locked.id AND (k.last_used_at IS NULL OR k.last_used_at < u.used_at)`
	clientsUsedSQL = `WITH locked AS (SELECT id FROM clients WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE)
		UPDATE clients c SET last_used_at = u.used_at FROM locked JOIN unnest($1::text[], $2::bigint[]) AS u (id, used_at) USING (id)
		WHERE c.id = locked.id AND (c.last_used_at IS NULL OR c.last_used_at < u.used_at)`

	keyColumns = `hash, id, name, role, created_at, expires_at, rate_limit`
)

// CreateKey implements riposte.KeyStore.
func (s *Store) CreateKey(ctx context.Context, k riposte.Key) error {
	return s.change(ctx, "creating an API key", func(ctx context.Context, t pgx.Tx) (bool, error) {
		return affects(ctx, t, insertKeySQL, k.Hash, k.ID, k.Name, string(k.Role), micros(k.CreatedAt), micros(k.ExpiresAt), k.RateLimit)
	})
}

// LoadKey implements riposte.KeyStore.
func (s *Store) LoadKey(ctx context.Context, hash []byte) (riposte.Key, error) {
	return s.keys.get(ctx, string(hash), s.Now)
}

// newKeys returns what remembers the keys that were loaded.
func (s *Store) newKeys() *credentials[riposte.Key] {
	return &credentials[riposte.Key]{
		what: "loading an API key",
		look: func(ctx context.Context, hash string) (riposte.Key, error) {
			return scanKey(s.pool.QueryRow(ctx, loadKeySQL, []byte(hash)))
		},
		missing: riposte.ErrKeyNotFound,
		id:      func(k riposte.Key) string { return k.ID },
	}
}

// scanKey reads keyColumns and when the key was last used.
func scanKey(r row) (riposte.Key, error) {
	var k riposte.Key
	var created int64
	var expires, used *int64
	err := r.Scan(&k.Hash, &k.ID, &k.Name, &k.Role, &created, &expires, &k.RateLimit, &used)
	k.CreatedAt, k.ExpiresAt, k.LastUsedAt = moment(&created), moment(expires), moment(used)
	return k, err
}

// ListKeys implements riposte.KeyStore. Keys are few.
func (s *Store) ListKeys(ctx context.Context) ([]riposte.Key, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, listKeysSQL)
	if err != nil {
		return nil, reading(ctx, "listing API keys", err)
	}
	all, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (riposte.Key, error) { return scanKey(r) })
	if err != nil {
		return nil, reading(ctx, "listing API keys", err)
	}
	return all, nil
}

// DeleteKey implements riposte.KeyStore. What was loaded is forgotten also where
// nobody knows whether the key is deleted.
func (s *Store) DeleteKey(ctx context.Context, id string, keepAdmin bool) error {
	err := s.change(ctx, "deleting an API key", func(ctx context.Context, t pgx.Tx) (bool, error) {
		if keepAdmin {
			if err := otherAdmin(ctx, t, id); err != nil {
				return false, err
			}
		}
		deleted, err := affects(ctx, t, deleteKeySQL, id)
		if notFound(err) || err == nil && !deleted {
			err = riposte.ErrKeyNotFound
		}
		return deleted, err
	})
	s.keys.forget(id)
	return err
}

// otherAdmin returns riposte.ErrLastAdmin if the key of this id is the only one of
// an admin. Until t ends no other transaction finds that out or deletes one.
func otherAdmin(ctx context.Context, t pgx.Tx, id string) error {
	rows, err := t.Query(ctx, lockAdminsSQL)
	if err != nil {
		return err
	}
	admins, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err == nil && slices.Equal(admins, []string{id}) {
		err = riposte.ErrLastAdmin
	}
	return err
}

// SaveLastUses implements riposte.KeyStore. Rows are locked in one order, so that two
// nodes don't wait for each other.
func (s *Store) SaveLastUses(ctx context.Context, uses map[string]time.Time) error {
	var ids []string
	var times []int64
	for id, used := range uses {
		ids, times = append(ids, id), append(times, used.UnixMicro())
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	b := &pgx.Batch{}
	b.Queue(keysUsedSQL, ids, times)
	b.Queue(clientsUsedSQL, ids, times)
	err := pgx.BeginFunc(ctx, s.pool, func(t pgx.Tx) error { return t.SendBatch(ctx, b).Close() })
	return reading(ctx, "saving when keys were used", err)
}
