package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/riposte-dev/riposte"
)

const consumerColumns = `name, filter, created_at, position, leases, version`

const (
	insertConsumerSQL = `INSERT INTO consumers (name, filter, created_at, position, acked, leases, version) VALUES ($1, $2, $3, $4, $5, $6, 1)
		ON CONFLICT (name) DO NOTHING`
	updateConsumerSQL = `UPDATE consumers SET filter = $2, created_at = $3, position = $4, acked = $5, leases = $6, version = version + 1
		WHERE name = $1 AND version = $7`
	consumerExistsSQL = `SELECT EXISTS (SELECT 1 FROM consumers WHERE name = $1)`
	deleteConsumerSQL = `DELETE FROM consumers WHERE name = $1`
	loadConsumerSQL   = `SELECT ` + consumerColumns + ` FROM consumers WHERE name = $1`
	// ackedSQL is up to where all consumers have acked.
	ackedSQL         = `SELECT coalesce(min(acked), 9223372036854775807) FROM consumers`
	listConsumersSQL = `SELECT ` + consumerColumns + ` FROM consumers ORDER BY name`
)

// SaveConsumer implements riposte.ConsumerStore.
func (s *Store) SaveConsumer(ctx context.Context, c riposte.Consumer) (riposte.Consumer, error) {
	values, err := consumerValues(c)
	if err == nil {
		err = s.writer.do(ctx, 1, change{run: func(t *tx) error { return t.saveConsumer(c, values) }})
	}
	if err != nil {
		return riposte.Consumer{}, fmt.Errorf("saving a consumer: %w", err)
	}
	c.Version++
	return c, nil
}

func (t *tx) saveConsumer(c riposte.Consumer, values []any) error {
	query, refusal := insertConsumerSQL, error(riposte.ErrConsumerExists)
	if c.Version > 0 {
		query, refusal, values = updateConsumerSQL, riposte.ErrConflict, append(values, c.Version)
	}
	saved, exists := false, false
	// Not a write before it is known to be one: conflicts are frequent.
	t.queue().Queue(query, values...).Exec(func(tag pgconn.CommandTag) error {
		saved = tag.RowsAffected() > 0
		return nil
	})
	t.queue().Queue(consumerExistsSQL, c.Name).QueryRow(func(r pgx.Row) error { return r.Scan(&exists) })
	if err := t.send(); err != nil {
		return err
	}
	switch {
	case saved:
		t.writes++
		return nil
	case !exists:
		return riposte.ErrConsumerNotFound
	}
	return refusal
}

// consumerValues are the columns that insert and update share, in their order.
func consumerValues(c riposte.Consumer) ([]any, error) {
	filter, err := json.Marshal(c.Filter)
	if err != nil {
		return nil, err
	}
	leases, err := json.Marshal(c.Leases)
	return []any{c.Name, string(filter), micros(c.CreatedAt), c.Position, c.Acked(), string(leases)}, err
}

// LoadConsumer implements riposte.ConsumerStore.
func (s *Store) LoadConsumer(ctx context.Context, name string) (riposte.Consumer, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, loadConsumerSQL, name)
	if err != nil {
		return riposte.Consumer{}, reading(ctx, "loading a consumer", err)
	}
	c, err := pgx.CollectExactlyOneRow(rows, scanConsumer)
	if notFound(err) {
		return riposte.Consumer{}, riposte.ErrConsumerNotFound
	}
	return c, reading(ctx, "loading a consumer", err)
}

// ListConsumers implements riposte.ConsumerStore.
func (s *Store) ListConsumers(ctx context.Context) ([]riposte.Consumer, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, listConsumersSQL)
	if err != nil {
		return nil, reading(ctx, "listing consumers", err)
	}
	all, err := pgx.CollectRows(rows, scanConsumer)
	return all, reading(ctx, "listing consumers", err)
}

// DeleteConsumer implements riposte.ConsumerStore.
func (s *Store) DeleteConsumer(ctx context.Context, name string) error {
	err := s.writer.do(ctx, 1, change{run: func(t *tx) error {
		deleted := false
		t.queue().Queue(deleteConsumerSQL, name).Exec(func(tag pgconn.CommandTag) error {
			deleted = tag.RowsAffected() > 0
			return nil
		})
		err := t.send()
		switch {
		case err != nil:
			return err
		case !deleted:
			return riposte.ErrConsumerNotFound
		}
		t.writes++
		return nil
	}})
	if err != nil {
		return fmt.Errorf("deleting a consumer: %w", err)
	}
	return nil
}

func scanConsumer(r pgx.CollectableRow) (riposte.Consumer, error) {
	var c riposte.Consumer
	var filter, leases []byte
	var created int64
	err := r.Scan(&c.Name, &filter, &created, &c.Position, &leases, &c.Version)
	c.CreatedAt = moment(&created)
	if err == nil {
		err = errors.Join(json.Unmarshal(filter, &c.Filter), json.Unmarshal(leases, &c.Leases))
	}
	return c, err
}
