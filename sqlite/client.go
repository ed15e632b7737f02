package sqlite

import (
	"context"
	"fmt"
	"time"

	"github.com/riposte-dev/riposte"
)

const (
	insertClientSQL = `INSERT INTO clients (client_id, id, name, role, public_key, created_at, expires_at, rate_limit)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (client_id) DO NOTHING`
	loadClientSQL   = `SELECT ` + clientColumns + `, NULL FROM clients WHERE client_id = ?`
	listClientsSQL  = `SELECT ` + clientColumns + `, last_used_at FROM clients ORDER BY id DESC`
	deleteClientSQL = `DELETE FROM clients WHERE id = ?`

	clientColumns = `client_id, id, name, role, public_key, created_at, expires_at, rate_limit`
)

const (
	useAssertionSQL = `INSERT INTO assertions (id, until) VALUES (?, ?) ON CONFLICT (id) DO NOTHING`
	// Of what has passed more goes than comes, and no more than is soon done.
	forgetAssertionsSQL = `DELETE FROM assertions WHERE id IN (SELECT id FROM assertions WHERE until <= ? ORDER BY until LIMIT 100)`
)

// CreateClient implements riposte.ClientStore.
func (s *Store) CreateClient(ctx context.Context, c riposte.Client) error {
	err := s.writer.do(ctx, 1, func(t *tx) error {
		created, err := t.affects(t.insertClient, c.ClientID, c.ID, c.Name, string(c.Role), []byte(c.PublicKey), micros(c.CreatedAt), micros(c.ExpiresAt), c.RateLimit)
		if err == nil && !created {
			err = riposte.ErrClientExists
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("creating a client: %w", err)
	}
	return nil
}

// LoadClient implements riposte.ClientStore.
func (s *Store) LoadClient(ctx context.Context, clientID string) (riposte.Client, error) {
	return s.writer.clients.get(clientID, riposte.ErrClientNotFound, "loading a client", func() (riposte.Client, error) {
		return scanClient(s.queries.loadClient.QueryRowContext(ctx, clientID))
	})
}

// scanClient reads clientColumns and when the client was last used.
func scanClient(r row) (riposte.Client, error) {
	var c riposte.Client
	return c, r.Scan(&c.ClientID, &c.ID, &c.Name, &c.Role, (*[]byte)(&c.PublicKey), moment{&c.CreatedAt}, moment{&c.ExpiresAt}, &c.RateLimit,
		moment{&c.LastUsedAt})
}

// ListClients implements riposte.ClientStore. Clients are few.
func (s *Store) ListClients(ctx context.Context) ([]riposte.Client, error) {
	rows, err := s.readers.QueryContext(ctx, listClientsSQL)
	if err != nil {
		return nil, reading("listing clients", err)
	}
	all, err := collect(rows, scanClient)
	if err != nil {
		return nil, reading("listing clients", err)
	}
	return all, nil
}

// DeleteClient implements riposte.ClientStore, as DeleteKey goes about it.
func (s *Store) DeleteClient(ctx context.Context, id string) error {
	err := s.writer.do(ctx, 1, func(t *tx) error {
		found, err := t.affects(t.deleteClient, id)
		if err == nil && !found {
			return riposte.ErrClientNotFound
		}
		t.revoked = true
		return err
	})
	if err != nil {
		return fmt.Errorf("deleting a client: %w", err)
	}
	return nil
}

// UseAssertion implements riposte.ClientStore. What has passed is forgotten by the use
// of the next.
func (s *Store) UseAssertion(ctx context.Context, id string, until time.Time) error {
	err := s.writer.unaudited(ctx, 1, func(t *tx) error {
		used, err := t.affects(t.useAssertion, id, micros(until))
		if err != nil {
			return err
		}
		if !used {
			return riposte.ErrReplayed
		}
		_, err = t.affects(t.forgetAssertions, micros(s.Now()))
		return err
	})
	if err != nil {
		return fmt.Errorf("using an assertion: %w", err)
	}
	return nil
}
