package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/riposte-dev/riposte"
)

const (
	insertKeySQL = `INSERT INTO api_keys (hash, id, name, role, created_at) VALUES (?, ?, ?, ?, ?) ON CONFLICT (hash) DO NOTHING`
	loadKeySQL   = `SELECT hash, id, name, role, created_at FROM api_keys WHERE hash = ?`
)

// CreateKey implements riposte.SecretStore.
func (s *Store) CreateKey(ctx context.Context, k riposte.Key) error {
	err := s.writer.do(ctx, 1, func(t *tx) error {
		_, err := t.exec(t.insertKey, k.Hash, k.ID, k.Name, string(k.Role), micros(k.CreatedAt))
		return err
	})
	if err != nil {
		return fmt.Errorf("creating an API key: %w", err)
	}
	return nil
}

// LoadKey implements riposte.SecretStore.
func (s *Store) LoadKey(ctx context.Context, hash []byte) (riposte.Key, error) {
	if known, ok := s.keys.Load(string(hash)); ok {
		return known.(riposte.Key), nil
	}
	var k riposte.Key
	err := s.queries.loadKey.QueryRowContext(ctx, hash).Scan(&k.Hash, &k.ID, &k.Name, &k.Role, moment{&k.CreatedAt})
	if errors.Is(err, sql.ErrNoRows) {
		return riposte.Key{}, riposte.ErrKeyNotFound
	}
	if err != nil {
		return riposte.Key{}, reading("loading an API key", err)
	}
	s.keys.Store(string(hash), k)
	return k, nil
}

// CountKeys implements riposte.SecretStore.
func (s *Store) CountKeys(ctx context.Context) (int, error) {
	var n int
	if err := s.readers.QueryRowContext(ctx, `SELECT count(*) FROM api_keys`).Scan(&n); err != nil {
		return 0, reading("counting API keys", err)
	}
	return n, nil
}
