package postgres

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/riposte-dev/riposte"
)

const (
	insertSecretSQL = `INSERT INTO secrets (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING`
	loadSecretSQL   = `SELECT value, version FROM secrets WHERE name = $1`
	updateSecretSQL = `UPDATE secrets SET value = $2, version = version + 1 WHERE name = $1 AND version = $3`
)

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
