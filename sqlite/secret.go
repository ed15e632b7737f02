package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

const (
	insertSecretSQL = `INSERT INTO secrets (name, value) VALUES (?, ?) ON CONFLICT (name) DO NOTHING`
	loadSecretSQL   = `SELECT value FROM secrets WHERE name = ?`
)

// Secret implements riposte.SecretStore. create runs at most once at a time,
// outside of the writer, because making a key may take a second.
func (s *Store) Secret(ctx context.Context, name string, create func() ([]byte, error)) ([]byte, error) {
	s.secretMu.Lock()
	defer s.secretMu.Unlock()
	value, err := s.loadSecret(ctx, name)
	if !errors.Is(err, sql.ErrNoRows) {
		return value, err
	}
	if value, err = create(); err != nil {
		return nil, fmt.Errorf("creating the secret %s: %w", name, err)
	}
	err = s.writer.do(ctx, 1, func(t *tx) error {
		_, err := t.exec(t.insertSecret, name, value)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("storing the secret %s: %w", name, err)
	}
	return s.loadSecret(ctx, name)
}

func (s *Store) loadSecret(ctx context.Context, name string) ([]byte, error) {
	var value []byte
	if err := s.queries.loadSecret.QueryRowContext(ctx, name).Scan(&value); err != nil {
		return nil, reading("loading the secret "+name, err)
	}
	return value, nil
}
