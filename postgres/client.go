package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/riposte-dev/riposte"
)

const (
	insertClientSQL = `INSERT INTO clients (client_id, id, name, role, public_key, created_at, expires_at, rate_limit)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (client_id) DO NOTHING`
	loadClientSQL   = `SELECT ` + clientColumns + `, NULL::bigint FROM clients WHERE client_id = $1`
	listClientsSQL  = `SELECT ` + clientColumns + `, last_used_at FROM clients ORDER BY id DESC`
	deleteClientSQL = `DELETE FROM clients WHERE id = $1`

	clientColumns = `client_id, id, name, role, public_key, created_at, expires_at, rate_limit`
)

const (
	useAssertionSQL = `INSERT INTO assertions (id, until) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING`
	// Of what has passed more goes than comes, and no more than is soon done.
	forgetAssertionsSQL = `DELETE FROM assertions WHERE id IN (SELECT id FROM assertions WHERE until <= $1 ORDER BY until LIMIT 100 FOR UPDATE SKIP LOCKED)`
	// assertionGrace is for how much longer one is remembered, for a node whose clock is
	// behind.
	assertionGrace = time.Minute
)

// CreateClient implements riposte.ClientStore.
func (s *Store) CreateClient(ctx context.Context, c riposte.Client) error {
	return s.change(ctx, "creating a client", func(ctx context.Context, t pgx.Tx) (bool, error) {
		created, err := affects(ctx, t, insertClientSQL, c.ClientID, c.ID, c.Name, string(c.Role), []byte(c.PublicKey), micros(c.CreatedAt), micros(c.ExpiresAt), c.RateLimit)
		if err == nil && !created {
			err = riposte.ErrClientExists
		}
		return created, err
	})
}

// LoadClient implements riposte.ClientStore.
func (s *Store) LoadClient(ctx context.Context, clientID string) (riposte.Client, error) {
	return s.clients.get(ctx, clientID, s.Now)
}

// newClients returns what remembers the clients that were loaded.
func (s *Store) newClients() *credentials[riposte.Client] {
	return &credentials[riposte.Client]{
		what: "loading a client",
		look: func(ctx context.Context, clientID string) (riposte.Client, error) {
			return scanClient(s.pool.QueryRow(ctx, loadClientSQL, clientID))
		},
		missing: riposte.ErrClientNotFound,
		id:      func(c riposte.Client) string { return c.ID },
	}
}

// scanClient reads clientColumns and when the client was last used.
func scanClient(r row) (riposte.Client, error) {
	var c riposte.Client
	var created int64
	var expires, used *int64
	err := r.Scan(&c.ClientID, &c.ID, &c.Name, &c.Role, (*[]byte)(&c.PublicKey), &created, &expires, &c.RateLimit, &used)
	c.CreatedAt, c.ExpiresAt, c.LastUsedAt = moment(&created), moment(expires), moment(used)
	return c, err
}

// ListClients implements riposte.ClientStore. Clients are few.
func (s *Store) ListClients(ctx context.Context) ([]riposte.Client, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, listClientsSQL)
	if err != nil {
		return nil, reading(ctx, "listing clients", err)
	}
	all, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (riposte.Client, error) { return scanClient(r) })
	if err != nil {
		return nil, reading(ctx, "listing clients", err)
	}
	return all, nil
}

// DeleteClient implements riposte.ClientStore, as DeleteKey goes about it.
func (s *Store) DeleteClient(ctx context.Context, id string) error {
	err := s.change(ctx, "deleting a client", func(ctx context.Context, t pgx.Tx) (bool, error) {
		deleted, err := affects(ctx, t, deleteClientSQL, id)
		if notFound(err) || err == nil && !deleted {
			err = riposte.ErrClientNotFound
		}
		return deleted, err
	})
	s.clients.forget(id)
	return err
}

// UseAssertion implements riposte.ClientStore. What has passed is forgotten by the use
// of the next.
func (s *Store) UseAssertion(ctx context.Context, id string, until time.Time) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	err := pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(t pgx.Tx) error {
		used, err := affects(ctx, t, useAssertionSQL, []byte(id), micros(until))
		if err != nil {
			return err
		}
		if !used {
			return riposte.ErrReplayed
		}
		_, err = affects(ctx, t, forgetAssertionsSQL, micros(s.Now().Add(-assertionGrace)))
		return err
	})
	return reading(ctx, "using an assertion", err)
}
