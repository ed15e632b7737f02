package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/riposte-dev/riposte"
)

const consumerColumns = `name, filter, created_at, position, leases, version`

const (
	insertConsumerSQL = `INSERT INTO consumers (name, filter, created_at, position, acked, leases, version) VALUES (?, ?, ?, ?, ?, ?, 1)`
	updateConsumerSQL = `UPDATE consumers SET filter = ?2, created_at = ?3, position = ?4, acked = ?5, leases = ?6, version = version + 1
		WHERE name = ?1 AND version = ?7`
	consumerExistsSQL = `SELECT EXISTS (SELECT 1 FROM consumers WHERE name = ?)`
	deleteConsumerSQL = `DELETE FROM consumers WHERE name = ?`
	loadConsumerSQL   = `SELECT ` + consumerColumns + ` FROM consumers WHERE name = ?`
	listConsumersSQL  = `SELECT ` + consumerColumns + ` FROM consumers ORDER BY name`
)

// SaveConsumer implements riposte.ConsumerStore.
func (s *Store) SaveConsumer(ctx context.Context, c riposte.Consumer) (riposte.Consumer, error) {
	values, err := consumerValues(c)
	if err == nil {
		err = s.writer.do(ctx, 1, func(t *tx) error { return t.saveConsumer(c, values) })
	}
	if err != nil {
		return riposte.Consumer{}, fmt.Errorf("saving a consumer: %w", err)
	}
	c.Version++
	return c, nil
}

func (t *tx) saveConsumer(c riposte.Consumer, values []any) error {
	if c.Version == 0 {
		_, err := t.exec(t.insertConsumer, values...)
		if violatesUnique(err) {
			return riposte.ErrConsumerExists
		}
		return err
	}
	found, err := t.affects(t.updateConsumer, append(values, c.Version)...)
	if err != nil || found {
		return err
	}
	var exists bool
	switch err := t.consumerExists.QueryRowContext(context.Background(), c.Name).Scan(&exists); {
	case err != nil:
		return err
	case !exists:
		return riposte.ErrConsumerNotFound
	}
	return riposte.ErrConflict
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
	c, err := scanConsumer(s.queries.loadConsumer.QueryRowContext(ctx, name))
	if errors.Is(err, sql.ErrNoRows) {
		return riposte.Consumer{}, riposte.ErrConsumerNotFound
	}
	if err != nil {
		return riposte.Consumer{}, reading("loading a consumer", err)
	}
	return c, nil
}

// ListConsumers implements riposte.ConsumerStore.
func (s *Store) ListConsumers(ctx context.Context) ([]riposte.Consumer, error) {
	rows, err := s.readers.QueryContext(ctx, listConsumersSQL)
	if err != nil {
		return nil, reading("listing consumers", err)
	}
	all, err := collect(rows, scanConsumer)
	if err != nil {
		return nil, reading("listing consumers", err)
	}
	return all, nil
}

// DeleteConsumer implements riposte.ConsumerStore.
func (s *Store) DeleteConsumer(ctx context.Context, name string) error {
	err := s.writer.do(ctx, 1, func(t *tx) error {
		found, err := t.affects(t.deleteConsumer, name)
		if err == nil && !found {
			err = riposte.ErrConsumerNotFound
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("deleting a consumer: %w", err)
	}
	return nil
}

func scanConsumer(r row) (riposte.Consumer, error) {
	var c riposte.Consumer
	var filter, leases []byte
	err := r.Scan(&c.Name, &filter, moment{&c.CreatedAt}, &c.Position, &leases, &c.Version)
	if err == nil {
		err = errors.Join(json.Unmarshal(filter, &c.Filter), json.Unmarshal(leases, &c.Leases))
	}
	return c, err
}
