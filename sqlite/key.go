package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"

	"github.com/riposte-dev/riposte"
)

const (
	insertKeySQL = `INSERT INTO api_keys (hash, id, name, role, created_at) VALUES (?, ?, ?, ?, ?) ON CONFLICT (hash) DO NOTHING`
	loadKeySQL   = `SELECT ` + keyColumns + ` FROM api_keys WHERE hash = ?`
	listKeysSQL  = `SELECT ` + keyColumns + ` FROM api_keys ORDER BY id DESC`
	deleteKeySQL = `DELETE FROM api_keys WHERE id = ?`
	lastAdminSQL = `SELECT group_concat(id) = ? FROM api_keys WHERE role = 'admin'`

	keyColumns = `hash, id, name, role, created_at`
)

// keyCache has keys that were loaded. They never change, but one may be deleted.
type keyCache struct {
	byHash sync.Map // riposte.Key

	mu      sync.Mutex
	forgets int // how many times all were forgotten
}

func (c *keyCache) load(hash []byte) (riposte.Key, bool) {
	k, ok := c.byHash.Load(string(hash))
	if !ok {
		return riposte.Key{}, false
	}
	return k.(riposte.Key), true
}

// age tells what is read now from what was read before keys were forgotten.
func (c *keyCache) age() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.forgets
}

// store keeps a key that was read at that age, unless it may be deleted since.
func (c *keyCache) store(k riposte.Key, age int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if age == c.forgets {
		c.byHash.Store(string(k.Hash), k)
	}
}

func (c *keyCache) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forgets++
	c.byHash.Clear()
}

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
	cache := &s.writer.keys
	if k, ok := cache.load(hash); ok {
		return k, nil
	}
	age := cache.age()
	k, err := scanKey(s.queries.loadKey.QueryRowContext(ctx, hash))
	if errors.Is(err, sql.ErrNoRows) {
		return riposte.Key{}, riposte.ErrKeyNotFound
	}
	if err != nil {
		return riposte.Key{}, reading("loading an API key", err)
	}
	cache.store(k, age)
	return k, nil
}

func scanKey(r row) (riposte.Key, error) {
	var k riposte.Key
	return k, r.Scan(&k.Hash, &k.ID, &k.Name, &k.Role, moment{&k.CreatedAt})
}

// ListKeys implements riposte.SecretStore. Keys are few.
func (s *Store) ListKeys(ctx context.Context) ([]riposte.Key, error) {
	rows, err := s.readers.QueryContext(ctx, listKeysSQL)
	if err != nil {
		return nil, reading("listing API keys", err)
	}
	all, err := collect(rows, scanKey)
	if err != nil {
		return nil, reading("listing API keys", err)
	}
	return all, nil
}

// DeleteKey implements riposte.SecretStore. The writer has all loaded keys forgotten
// when it is committed, also where ctx ends before that.
func (s *Store) DeleteKey(ctx context.Context, id string, keepAdmin bool) error {
	err := s.writer.do(ctx, 1, func(t *tx) error {
		if keepAdmin {
			if err := t.otherAdmin(id); err != nil {
				return err
			}
		}
		found, err := t.affects(t.deleteKey, id)
		if err == nil && !found {
			return riposte.ErrKeyNotFound
		}
		t.revoked = true
		return err
	})
	if err != nil {
		return fmt.Errorf("deleting an API key: %w", err)
	}
	return nil
}

// otherAdmin returns riposte.ErrLastAdmin if the key of this id is the only one of
// an admin.
func (t *tx) otherAdmin(id string) error {
	var last sql.NullBool // null where there is no admin
	if err := t.lastAdmin.QueryRowContext(context.Background(), id).Scan(&last); err != nil {
		return err
	}
	if last.Bool {
		return riposte.ErrLastAdmin
	}
	return nil
}
