package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/riposte-dev/riposte"
)

const (
	insertKeySQL = `INSERT INTO api_keys (hash, id, name, role, created_at, expires_at, rate_limit) VALUES (?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (hash) DO NOTHING`
	loadKeySQL   = `SELECT ` + keyColumns + `, NULL FROM api_keys WHERE hash = ?`
	listKeysSQL  = `SELECT ` + keyColumns + `, last_used_at FROM api_keys ORDER BY id DESC`
	deleteKeySQL = `DELETE FROM api_keys WHERE id = ?`
	// One that expires is none to rely on.
	lastAdminSQL = `SELECT group_concat(id) = ? FROM api_keys WHERE role = 'admin' AND expires_at IS NULL`

	keyUsedSQL    = `UPDATE api_keys SET last_used_at = ?2 WHERE id = ?1 AND (last_used_at IS NULL OR last_used_at < ?2)`
	clientUsedSQL = `UPDATE clients SET last_used_at = ?2 WHERE id = ?1 AND (last_used_at IS NULL OR last_used_at < ?2)`

	keyColumns = `hash, id, name, role, created_at, expires_at, rate_limit`
)

// CreateKey implements riposte.KeyStore.
func (s *Store) CreateKey(ctx context.Context, k riposte.Key) error {
	err := s.writer.do(ctx, 1, func(t *tx) error {
		_, err := t.affects(t.insertKey, k.Hash, k.ID, k.Name, string(k.Role), micros(k.CreatedAt), micros(k.ExpiresAt), k.RateLimit)
		return err
	})
	if err != nil {
		return fmt.Errorf("creating an API key: %w", err)
	}
	return nil
}

// LoadKey implements riposte.KeyStore.
func (s *Store) LoadKey(ctx context.Context, hash []byte) (riposte.Key, error) {
	return s.writer.keys.get(string(hash), riposte.ErrKeyNotFound, "loading an API key", func() (riposte.Key, error) {
		return scanKey(s.queries.loadKey.QueryRowContext(ctx, hash))
	})
}

// scanKey reads keyColumns and when the key was last used.
func scanKey(r row) (riposte.Key, error) {
	var k riposte.Key
	return k, r.Scan(&k.Hash, &k.ID, &k.Name, &k.Role, moment{&k.CreatedAt}, moment{&k.ExpiresAt}, &k.RateLimit, moment{&k.LastUsedAt})
}

// ListKeys implements riposte.KeyStore. Keys are few.
func (s *Store) ListKeys(ctx context.Context) ([]riposte.Key, error) {
	rows, err := s.readers.QueryContext(ctx, listKeysSQL)
	if err != nil {
		return nil, reading("listing API keys", err)
	}
	all, err := collect(rows, scanKey)
	if err != nil {
		return nil, reading("listing API keys", err)
	}
	return all, nil
}

// DeleteKey implements riposte.KeyStore. The writer has all loaded keys and clients
// forgotten when it is committed, also where ctx ends before that.
func (s *Store) DeleteKey(ctx context.Context, id string, keepAdmin bool) error {
	err := s.writer.do(ctx, 1, func(t *tx) error {
		if keepAdmin {
			if err := t.otherAdmin(id); err != nil {
				return err
			}
		}
		found, err := t.affects(t.deleteKey, id)
		if err == nil && !found {
			return riposte.ErrKeyNotFound
		}
		t.revoked = true
		return err
	})
	if err != nil {
		return fmt.Errorf("deleting an API key: %w", err)
	}
	return nil
}

// otherAdmin returns riposte.ErrLastAdmin if the key of this id is the only one of
// an admin.
func (t *tx) otherAdmin(id string) error {
	var last sql.NullBool // null where there is no admin
	if err := t.lastAdmin.QueryRowContext(context.Background(), id).Scan(&last); err != nil {
		return err
	}
	if last.Bool {
		return riposte.ErrLastAdmin
	}
	return nil
}

// SaveLastUses implements riposte.KeyStore.
func (s *Store) SaveLastUses(ctx context.Context, uses map[string]time.Time) error {
	err := s.writer.unaudited(ctx, max(len(uses), 1), func(t *tx) error {
		for id, used := range uses {
			for _, each := range []*sql.Stmt{t.keyUsed, t.clientUsed} {
				if _, err := t.affects(each, id, micros(used)); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("saving when keys were used: %w", err)
	}
	return nil
}
