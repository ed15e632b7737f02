package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/riposte-dev/riposte"
)

const (
	insertKeySQL = `INSERT INTO api_keys (hash, id, name, role, created_at) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (hash) DO NOTHING`
	loadKeySQL   = `SELECT ` + keyColumns + ` FROM api_keys WHERE hash = $1`
	listKeysSQL  = `SELECT ` + keyColumns + ` FROM api_keys ORDER BY id COLLATE "C" DESC`
	deleteKeySQL = `DELETE FROM api_keys WHERE id = $1`
	// In this order, so that two who lock them don't wait for each other.
	lockAdminsSQL = `SELECT id FROM api_keys WHERE role = 'admin' ORDER BY id COLLATE "C" FOR UPDATE`

	keyColumns = `hash, id, name, role, created_at`
)

// keyPatience is for how long a key counts without another look: another node may have
// deleted it.
const keyPatience = 5 * time.Second

// keyCache has keys that were loaded lately.
type keyCache struct {
	byHash sync.Map // knownKey
	loads  loads[riposte.Key]

	mu      sync.Mutex
	forgets int // how many times all were forgotten
}

// knownKey is a key as it was when it was asked for.
type knownKey struct {
	riposte.Key
	asked time.Time
}

func (c *keyCache) load(hash []byte, now time.Time) (riposte.Key, bool) {
	v, ok := c.byHash.Load(string(hash))
	if !ok {
		return riposte.Key{}, false
	}
	k := v.(knownKey)
	return k.Key, !now.Before(k.asked) && now.Before(k.asked.Add(keyPatience))
}

// age tells what is read now from what was read before keys were forgotten.
func (c *keyCache) age() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.forgets
}

// store keeps a key that was asked for at that age, unless it may be deleted since.
func (c *keyCache) store(k knownKey, age int) {
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
	ctx, cancel := bounded(ctx)
	defer cancel()
	if _, err := s.pool.Exec(ctx, insertKeySQL, k.Hash, k.ID, k.Name, string(k.Role), micros(k.CreatedAt)); err != nil {
		return reading(ctx, "creating an API key", err)
	}
	return nil
}

// LoadKey implements riposte.SecretStore. All who ask when a key must be looked at
// again share one look.
func (s *Store) LoadKey(ctx context.Context, hash []byte) (riposte.Key, error) {
	if k, ok := s.keys.load(hash, s.Now()); ok {
		return k, nil
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	return s.keys.loads.wait(ctx, "loading an API key", string(hash), func() (riposte.Key, error) { return s.loadKey(hash) })
}

func (s *Store) loadKey(hash []byte) (riposte.Key, error) {
	ctx, cancel := bounded(context.Background())
	defer cancel()
	age, asked := s.keys.age(), s.Now()
	rows, err := s.pool.Query(ctx, loadKeySQL, hash)
	if err != nil {
		return riposte.Key{}, reading(ctx, "loading an API key", err)
	}
	k, err := pgx.CollectExactlyOneRow(rows, scanKey)
	if errors.Is(err, pgx.ErrNoRows) {
		return riposte.Key{}, riposte.ErrKeyNotFound
	}
	if err != nil {
		return riposte.Key{}, reading(ctx, "loading an API key", err)
	}
	s.keys.store(knownKey{k, asked}, age)
	return k, nil
}

func scanKey(r pgx.CollectableRow) (riposte.Key, error) {
	var k riposte.Key
	var created int64
	err := r.Scan(&k.Hash, &k.ID, &k.Name, &k.Role, &created)
	k.CreatedAt = moment(&created)
	return k, err
}

// ListKeys implements riposte.SecretStore. Keys are few.
func (s *Store) ListKeys(ctx context.Context) ([]riposte.Key, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, listKeysSQL)
	if err != nil {
		return nil, reading(ctx, "listing API keys", err)
	}
	all, err := pgx.CollectRows(rows, scanKey)
	if err != nil {
		return nil, reading(ctx, "listing API keys", err)
	}
	return all, nil
}

// DeleteKey implements riposte.SecretStore. What was loaded is forgotten also where
// nobody knows whether the key is deleted.
func (s *Store) DeleteKey(ctx context.Context, id string, keepAdmin bool) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	// Who waited for a lock must see what became of the row.
	err := pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(t pgx.Tx) error {
		if keepAdmin {
			if err := otherAdmin(ctx, t, id); err != nil {
				return err
			}
		}
		tag, err := t.Exec(ctx, deleteKeySQL, id)
		if notFound(err) || err == nil && tag.RowsAffected() == 0 {
			return riposte.ErrKeyNotFound
		}
		return err
	})
	s.keys.forget()
	return reading(ctx, "deleting an API key", err)
}

// otherAdmin returns riposte.ErrLastAdmin if the key of this id is the only one of
// an admin. Until t ends no other transaction finds that out or deletes one.
func otherAdmin(ctx context.Context, t pgx.Tx, id string) error {
	rows, err := t.Query(ctx, lockAdminsSQL)
	if err != nil {
		return err
	}
	admins, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err == nil && slices.Equal(admins, []string{id}) {
		err = riposte.ErrLastAdmin
	}
	return err
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
