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

const (
	// keyPatience is for how long a key counts without another look: another node may
	// have deleted it.
	keyPatience = 5 * time.Second
	// keyGrace is for how long after its last good look a key counts while the database
	// can't be asked.
	keyGrace = time.Hour
	// keyWait bounds how long a look holds up who calls with such a key, and keyPause
	// is for how long nobody is held up after a look that came to nothing.
	keyWait  = time.Second
	keyPause = time.Second
)

// keyCache has keys that were loaded lately.
type keyCache struct {
	byHash sync.Map // knownKey
	loads  loads[riposte.Key]

	mu      sync.Mutex // held by who changes byHash
	forgets int        // how many times a key was deleted here
}

// knownKey is a key as it was when it was asked for. It counts without another look
// until then, and with one that can't be had as long as inGrace says.
type knownKey struct {
	riposte.Key
	asked, until time.Time
}

// counts and inGrace say no, too, after the clock was put back.
func (k knownKey) counts(now time.Time) bool { return !now.Before(k.asked) && now.Before(k.until) }

func (k knownKey) inGrace(now time.Time) bool {
	return !now.Before(k.asked) && now.Before(k.asked.Add(keyGrace))
}

func (c *keyCache) load(hash []byte) (knownKey, bool) {
	v, ok := c.byHash.Load(string(hash))
	if !ok {
		return knownKey{}, false
	}
	return v.(knownKey), true
}

// age tells what is read now from what was read before a key was deleted.
func (c *keyCache) age() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.forgets
}

// store keeps a key that was asked for at that age, unless it may be deleted since.
func (c *keyCache) store(k riposte.Key, asked time.Time, age int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if age == c.forgets {
		c.byHash.Store(string(k.Hash), knownKey{k, asked, asked.Add(keyPatience)})
	}
}

// excuse returns the key with this hash if it counts after a look that came to nothing,
// and puts off the next one.
func (c *keyCache) excuse(hash []byte, now time.Time) (riposte.Key, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k, ok := c.load(hash)
	if !ok || !k.inGrace(now) {
		return riposte.Key{}, false
	}
	if !k.counts(now) {
		k.until = now.Add(keyPause)
		c.byHash.Store(string(hash), k)
	}
	return k.Key, true
}

// drop forgets the key with this hash, which is no longer there.
func (c *keyCache) drop(hash []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.byHash.Delete(string(hash))
}

// forget forgets the key of this id, and has looks that are under way forgotten.
func (c *keyCache) forget(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forgets++
	c.byHash.Range(func(hash, k any) bool {
		if k.(knownKey).ID == id {
			c.byHash.Delete(hash)
		}
		return true
	})
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
// again share one look. While the database can't be asked, a key counts until an hour
// after it was last seen there: metrics are wanted just then. For a database that hangs
// nobody who has such a key waits longer than a second.
func (s *Store) LoadKey(ctx context.Context, hash []byte) (riposte.Key, error) {
	now := s.Now()
	known, ok := s.keys.load(hash)
	if ok && known.counts(now) {
		return known.Key, nil
	}
	patience := readTimeout
	if ok && known.inGrace(now) {
		patience = keyWait
	}
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errSlow)
	defer cancel()
	k, err := s.keys.loads.wait(ctx, "loading an API key", string(hash), func() (riposte.Key, error) { return s.loadKey(hash) })
	if errors.Is(err, riposte.ErrUnavailable) {
		if excused, ok := s.keys.excuse(hash, s.Now()); ok {
			return excused, nil
		}
	}
	return k, err
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
		s.keys.drop(hash)
		return riposte.Key{}, riposte.ErrKeyNotFound
	}
	if err != nil {
		return riposte.Key{}, reading(ctx, "loading an API key", err)
	}
	s.keys.store(k, asked, age)
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
	s.keys.forget(id)
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
