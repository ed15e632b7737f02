package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/riposte-dev/riposte"
)

const (
	insertKeySQL = `INSERT INTO api_keys (hash, id, name, role, created_at) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (hash) DO NOTHING`
	loadKeySQL   = `SELECT hash, id, name, role, created_at FROM api_keys WHERE hash = $1`
)

// CreateKey implements riposte.SecretStore.
func (s *Store) CreateKey(ctx context.Context, k riposte.Key) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	if _, err := s.pool.Exec(ctx, insertKeySQL, k.Hash, k.ID, k.Name, string(k.Role), micros(k.CreatedAt)); err != nil {
		return reading(ctx, "creating an API key", err)
	}
	return nil
}

// LoadKey implements riposte.SecretStore.
func (s *Store) LoadKey(ctx context.Context, hash []byte) (riposte.Key, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	if known, ok := s.keys.Load(string(hash)); ok {
		return known.(riposte.Key), nil
	}
	var k riposte.Key
	var created int64
	err := s.pool.QueryRow(ctx, loadKeySQL, hash).Scan(&k.Hash, &k.ID, &k.Name, &k.Role, &created)
	if errors.Is(err, pgx.ErrNoRows) {
		return riposte.Key{}, riposte.ErrKeyNotFound
	}
	if err != nil {
		return riposte.Key{}, reading(ctx, "loading an API key", err)
	}
	k.CreatedAt = moment(&created)
	s.keys.Store(string(hash), k)
	return k, nil
}

// CountKeys implements riposte.SecretStore.
func (s *Store) CountKeys(ctx context.Context) (int, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	var n int
	if err := s.pool.QueryRow(ctx, `SELECT count(*) FROM api_keys`).Scan(&n); err != nil {
		return 0, reading(ctx, "counting API keys", err)
	}
	return n, nil
}

const (
	insertSecretSQL = `INSERT INTO secrets (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING`
	loadSecretSQL   = `SELECT value FROM secrets WHERE name = $1`
)

// Secret implements riposte.SecretStore. Of several nodes that create it the
// first one counts.
func (s *Store) Secret(ctx context.Context, name string, create func() ([]byte, error)) ([]byte, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	s.secretMu.Lock()
	defer s.secretMu.Unlock()
	value, err := s.loadSecret(ctx, name)
	if !errors.Is(err, pgx.ErrNoRows) {
		return value, err
	}
	if value, err = create(); err != nil {
		return nil, fmt.Errorf("creating the secret %s: %w", name, err)
	}
	if _, err := s.pool.Exec(ctx, insertSecretSQL, name, value); err != nil {
		return nil, reading(ctx, "storing the secret "+name, err)
	}
	return s.loadSecret(ctx, name)
}

func (s *Store) loadSecret(ctx context.Context, name string) ([]byte, error) {
	var value []byte
	if err := s.pool.QueryRow(ctx, loadSecretSQL, name).Scan(&value); err != nil {
		return nil, reading(ctx, "loading the secret "+name, err)
	}
	return value, nil
}
