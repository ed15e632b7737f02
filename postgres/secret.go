package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/riposte-dev/riposte"
)

const (
	insertSecretSQL = `INSERT INTO secrets (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING`
	loadSecretSQL   = `SELECT value, version FROM secrets WHERE name = $1`
	updateSecretSQL = `UPDATE secrets SET value = $2, version = version + 1 WHERE name = $1 AND version = $3`
)

// Secret implements riposte.SecretStore. Of several nodes that create it the
// first one counts.
func (s *Store) Secret(ctx context.Context, name string, create func() ([]byte, error)) ([]byte, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	s.secretMu.Lock()
	defer s.secretMu.Unlock()
	secret, err := s.LoadSecret(ctx, name)
	if !errors.Is(err, riposte.ErrSecretNotFound) {
		return secret.Value, err
	}
	value, err := create()
	if err != nil {
		return nil, fmt.Errorf("creating the secret %s: %w", name, err)
	}
	if err := s.SaveSecret(ctx, name, value, 0); err != nil && !errors.Is(err, riposte.ErrConflict) {
		return nil, err
	}
	secret, err = s.LoadSecret(ctx, name)
	return secret.Value, err
}

// LoadSecret implements riposte.SecretStore.
func (s *Store) LoadSecret(ctx context.Context, name string) (riposte.Secret, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	var secret riposte.Secret
	err := s.pool.QueryRow(ctx, loadSecretSQL, name).Scan(&secret.Value, &secret.Version)
	if errors.Is(err, pgx.ErrNoRows) {
		return riposte.Secret{}, riposte.ErrSecretNotFound
	}
	if err != nil {
		return riposte.Secret{}, reading(ctx, "loading the secret "+name, err)
	}
	return secret, nil
}

// SaveSecret implements riposte.SecretStore.
func (s *Store) SaveSecret(ctx context.Context, name string, value []byte, version int64) error {
	query, args := insertSecretSQL, []any{name, value}
	if version > 0 {
		query, args = updateSecretSQL, append(args, version)
	}
	return s.change(ctx, "storing the secret "+name, func(ctx context.Context, t pgx.Tx) (bool, error) {
		saved, err := affects(ctx, t, query, args...)
		if err == nil && !saved {
			err = riposte.ErrConflict
		}
		return saved, err
	})
}
