package vault

import (
	"bytes"
	"context"
	"crypto/cipher"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/riposte-dev/riposte"
)

// secretName is under which the store keeps the data keys. They are wrapped, so it is the
// one secret that is not sealed.
const secretName = "data-keys"

// ErrMaster is the error of who has none of the master keys that wrap a data key.
var ErrMaster = errors.New("no master key that was given opens this store")

// dataKey is a data key as it is kept, and what was unwrapped of it.
type dataKey struct {
	ID        string    `json:"id"`
	CreatedAt time.Time `json:"createdAt"`
	RetiredAt time.Time `json:"retiredAt,omitzero"`
	Empty     bool      `json:"empty,omitempty"`
	Master    string    `json:"master"`  // the id of the master key that wraps it
	Wrapped   []byte    `json:"wrapped"` // for "riposte data key " and the id

	id   []byte
	key  []byte
	aead cipher.AEAD
}

func newDataKey(now time.Time) (dataKey, error) {
	k := dataKey{CreatedAt: now, id: make([]byte, idSize), key: make([]byte, keySize)}
	rand.Read(k.id)
	rand.Read(k.key)
	k.ID = hex.EncodeToString(k.id)
	var err error
	k.aead, err = newAEAD(k.key)
	return k, err
}

func (k *dataKey) purpose() []byte { return []byte("riposte data key " + k.ID) }

func (k *dataKey) wrap(m Master) {
	k.Master, k.Wrapped = m.id, m.aead.Seal(nil, nil, k.key, k.purpose())
}

func (k *dataKey) unwrap(masters Masters) (err error) {
	m, ok := masters.find(k.Master)
	if !ok {
		return fmt.Errorf("%w: the data key %s wants the one with the id %s", ErrMaster, k.ID, k.Master)
	}
	if k.id, err = hex.DecodeString(k.ID); err != nil || len(k.id) != idSize {
		return fmt.Errorf("reading the data keys: %q is no id of one", k.ID)
	}
	if k.key, err = m.aead.Open(nil, nil, k.Wrapped, k.purpose()); err != nil {
		return fmt.Errorf("%w: the data key %s has changed since it was wrapped", ErrMaster, k.ID)
	}
	k.aead, err = newAEAD(k.key)
	return err
}

// keySet is the data keys, the current one last.
type keySet struct {
	keys    []dataKey
	version int64 // of the secret that it was read from
}

func (s *keySet) clone() *keySet { return &keySet{slices.Clone(s.keys), s.version} }

func (s *keySet) current() dataKey { return s.keys[len(s.keys)-1] }

func (s *keySet) find(id []byte) (dataKey, bool) {
	for _, k := range s.keys {
		if bytes.Equal(k.id, id) {
			return k, true
		}
	}
	return dataKey{}, false
}

// rotate adds a data key and wraps all of them with the first master key.
func (s *keySet) rotate(masters Masters, now time.Time) error {
	if len(masters) == 0 {
		return ErrMaster
	}
	k, err := newDataKey(now)
	if err != nil {
		return err
	}
	if len(s.keys) > 0 {
		s.keys[len(s.keys)-1].RetiredAt = now
	}
	s.keys = append(s.keys, k)
	for k := range s.keys {
		s.keys[k].wrap(masters[0])
	}
	return nil
}

func parseKeySet(b []byte, masters Masters) (*keySet, error) {
	s := &keySet{}
	if err := json.Unmarshal(b, &s.keys); err != nil || len(s.keys) == 0 {
		return nil, fmt.Errorf("reading the data keys: %s has none: %w", secretName, err)
	}
	for k := range s.keys {
		if err := s.keys[k].unwrap(masters); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// load takes the store's data keys into use, if they are others than it has, and returns
// a copy. Without a change nobody is asked for the master keys.
func (v *Vault) load(ctx context.Context) (*keySet, error) {
	secret, err := v.store.LoadSecret(ctx, secretName)
	if err != nil {
		return nil, fmt.Errorf("loading the data keys: %w", err)
	}
	if have := v.keys.Load(); secret.Version == have.version {
		return have.clone(), nil
	}
	masters, err := v.masters()
	if err != nil {
		return nil, err
	}
	set, err := parseKeySet(secret.Value, masters)
	if err != nil {
		return nil, err
	}
	set.version = secret.Version
	v.use(set)
	return set.clone(), nil
}

// use keeps an older set from taking the place of a newer one.
func (v *Vault) use(set *keySet) {
	for {
		have := v.keys.Load()
		if have.version > set.version || v.keys.CompareAndSwap(have, set) {
			return
		}
	}
}

// save stores what load returned, changed, and takes it into use when it is on disk.
func (v *Vault) save(ctx context.Context, set *keySet) error {
	b, err := json.Marshal(set.keys)
	if err != nil {
		return fmt.Errorf("storing the data keys: %w", err)
	}
	if err := v.store.SaveSecret(ctx, secretName, b, set.version); err != nil {
		return fmt.Errorf("storing the data keys: %w", err)
	}
	set.version++
	v.use(set)
	return nil
}

// change loads, changes and saves the data keys, again where another node was faster.
func (v *Vault) change(ctx context.Context, f func(*keySet) error) error {
	for {
		set, err := v.load(ctx)
		if err != nil {
			return err
		}
		if err := f(set); err != nil {
			return err
		}
		if err = v.save(ctx, set); !errors.Is(err, riposte.ErrConflict) {
			return err
		}
	}
}

// Made reports whether a store has data keys, and so needs the master key that wraps
// them.
func Made(ctx context.Context, store riposte.SecretStore) (bool, error) {
	_, err := store.LoadSecret(ctx, secretName)
	if errors.Is(err, riposte.ErrSecretNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("loading the data keys: %w", err)
	}
	return true, nil
}
