package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/riposte-dev/riposte"
)

const (
	insertSecretSQL = `INSERT INTO secrets (name, value) VALUES (?, ?) ON CONFLICT (name) DO NOTHING`
	loadSecretSQL   = `SELECT value, version FROM secrets WHERE name = ?`
	updateSecretSQL = `UPDATE secrets SET value = ?2, version = version + 1 WHERE name = ?1 AND version = ?3`
)

// LoadSecret implements riposte.SecretStore.
func (s *Store) LoadSecret(ctx context.Context, name string) (riposte.Secret, error) {
	var secret riposte.Secret
	err := s.queries.loadSecret.QueryRowContext(ctx, name).Scan(&secret.Value, &secret.Version)
	if errors.Is(err, sql.ErrNoRows) {
		return riposte.Secret{}, riposte.ErrSecretNotFound
	}
	if err != nil {
		return riposte.Secret{}, reading("loading the secret "+name, err)
	}
	return secret, nil
}

// SaveSecret implements riposte.SecretStore.
func (s *Store) SaveSecret(ctx context.Context, name string, value []byte, version int64) error {
	err := s.writer.do(ctx, 1, func(t *tx) (err error) {
		saved := false
		if version == 0 {
			saved, err = t.affects(t.insertSecret, name, value)
		} else {
			saved, err = t.affects(t.updateSecret, name, value, version)
		}
		if err == nil && !saved {
			err = riposte.ErrConflict
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("storing the secret %s: %w", name, err)
	}
	return nil
}
