// Package vault keeps secrets unreadable at rest: it seals what the store is given and
// opens it again.
//
// Two keys stand between a secret and who reads the store. A data key seals the secret;
// the store keeps the data keys, wrapped by a master key, which only the server's
// configuration has. So the master key changes without a look at the secrets, and the
// data key while all nodes serve: each sealed secret names its data key.
package vault

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/riposte-dev/riposte"
)

// ErrSealed is the error of Open for what it can't open: it was sealed with another key
// or for another purpose, or changed since.
var ErrSealed = errors.New("the secret can't be opened with the keys that are there")

const (
	// mark leads whatever is sealed, so that it can be told from what older versions
	// kept in the clear: 32 random bytes, or JSON.
	mark   = "Rv1"
	idSize = 8 // bytes of a data key's id, which follow the mark

	rereadPause   = time.Second // between two looks for a data key that is not known
	rereadTimeout = 2 * time.Second
)

// Vault seals secrets. It may be used by several goroutines at once.
type Vault struct {
	store   riposte.SecretStore
	masters func() (Masters, error)
	now     func() time.Time
	keys    atomic.Pointer[keySet]

	reading sync.Mutex
	read    time.Time // when the last look for a data key that is not known began, or failed
}

// Open returns the vault of a store. It makes the first data key where there is none.
// masters is asked whenever data keys are wrapped, or can't be unwrapped: it may read a
// file that has changed. ErrMaster, and then nothing in the store was changed.
func Open(ctx context.Context, store riposte.SecretStore, masters func() (Masters, error), now func() time.Time) (*Vault, error) {
	v := &Vault{store: store, masters: masters, now: now}
	v.keys.Store(&keySet{})
	err := v.Refresh(ctx)
	if errors.Is(err, riposte.ErrSecretNotFound) {
		err = v.create(ctx)
	}
	if err != nil {
		return nil, err
	}
	return v, nil
}

// create stores the first data key, or takes that of a node that was faster.
func (v *Vault) create(ctx context.Context) error {
	masters, err := v.masters()
	if err != nil {
		return err
	}
	set := &keySet{}
	if err := set.rotate(masters, riposte.Time(v.now())); err != nil {
		return err
	}
	err = v.save(ctx, set)
	if errors.Is(err, riposte.ErrConflict) {
		return v.Refresh(ctx)
	}
	return err
}

// errBehind is for who can go to another node, or to this one when it has the master key.
var errBehind = &riposte.Error{Code: riposte.CodeUnavailable, Reason: "MASTER_KEY_MISSING",
	Message: "this node can't seal secrets: it doesn't have the master key that another one has taken into use"}

// Sealer returns Seal, once it has looked that no other node has rotated the data key so
// that this one can't open it: what the one before seals is lost when that is removed.
// Otherwise the error is a riposte.Error with the code CodeUnavailable, or the store's.
func (v *Vault) Sealer(ctx context.Context) (riposte.Sealer, error) {
	err := v.Refresh(ctx)
	if errors.Is(err, ErrMaster) {
		err = fmt.Errorf("%w: %w", errBehind, err)
	}
	return v.Seal, err
}

// Seal returns secret encrypted, to be opened for the same purpose alone.
func (v *Vault) Seal(purpose string, secret []byte) riposte.Sealed {
	k := v.keys.Load().current()
	head := append([]byte(mark), k.id...)
	return k.aead.Seal(head, nil, secret, append(bytes.Clone(head), purpose...))
}

// Open returns what Seal was given. It looks in the store for a data key that it doesn't
// know, at most once a second. ErrSealed.
func (v *Vault) Open(purpose string, sealed riposte.Sealed) ([]byte, error) {
	if !IsSealed(sealed) {
		return nil, ErrSealed
	}
	k, ok := v.keys.Load().find(keyID(sealed))
	if !ok {
		if k, ok = v.look(keyID(sealed)); !ok {
			return nil, ErrSealed
		}
	}
	head := len(mark) + idSize
	secret, err := k.aead.Open(nil, nil, sealed[head:], append(bytes.Clone(sealed[:head]), purpose...))
	if err != nil {
		return nil, ErrSealed
	}
	return secret, nil
}

// look reads the data keys again: another node may have made this one. Where they can't
// be read, those that are there go on.
func (v *Vault) look(id []byte) (dataKey, bool) {
	v.reading.Lock()
	defer v.reading.Unlock()
	if k, ok := v.keys.Load().find(id); ok || time.Since(v.read) < rereadPause {
		return k, ok
	}
	v.read = time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), rereadTimeout)
	defer cancel()
	if err := v.Refresh(ctx); err != nil {
		v.read = time.Now() // those who waited meanwhile needn't try, too
		return dataKey{}, false
	}
	return v.keys.Load().find(id)
}

// IsSealed tells what Seal returned from what older versions kept in the clear.
func IsSealed(b []byte) bool {
	return bytes.HasPrefix(b, []byte(mark)) && len(b) > len(mark)+idSize
}

// Stale reports whether sealed has another key than Seal would take now.
func (v *Vault) Stale(sealed riposte.Sealed) bool {
	return IsSealed(sealed) && !bytes.Equal(keyID(sealed), v.keys.Load().current().id)
}

func keyID(sealed []byte) []byte { return sealed[len(mark) : len(mark)+idSize] }

// Key is a data key as it may be shown.
type Key struct {
	ID        string // 16 hexadecimal digits
	CreatedAt time.Time
	RetiredAt time.Time // when a later one took its place; zero for the current one
	Empty     bool      // whether nothing was left that it had sealed when somebody looked
}

// Keys lists the data keys, the current one first.
func (v *Vault) Keys() []Key {
	set := v.keys.Load()
	var list []Key
	for _, k := range slices.Backward(set.keys) {
		list = append(list, Key{ID: hex.EncodeToString(k.id), CreatedAt: k.CreatedAt, RetiredAt: k.RetiredAt, Empty: k.Empty})
	}
	return list
}

// MasterIDs are the ids of the master keys that wrap a data key.
func (v *Vault) MasterIDs() []string {
	var ids []string
	for _, k := range v.keys.Load().keys {
		if !slices.Contains(ids, k.Master) {
			ids = append(ids, k.Master)
		}
	}
	return ids
}

// Refresh reads the data keys again. On an error those stay that are there. ErrMaster.
func (v *Vault) Refresh(ctx context.Context) error {
	_, err := v.load(ctx)
	return err
}

// Rotate makes a new data key, with which everything is sealed from now on, and wraps
// all of them with the first master key.
func (v *Vault) Rotate(ctx context.Context) (Key, error) {
	masters, err := v.masters()
	if err == nil {
		err = v.change(ctx, func(set *keySet) error { return set.rotate(masters, riposte.Time(v.now())) })
	}
	if err != nil {
		return Key{}, fmt.Errorf("rotating the data key: %w", err)
	}
	return v.Keys()[0], nil
}

// SetEmpty notes that nothing is left that these data keys have sealed.
func (v *Vault) SetEmpty(ctx context.Context, ids []string) error {
	return v.change(ctx, func(set *keySet) error {
		for k := range set.keys {
			set.keys[k].Empty = set.keys[k].Empty || slices.Contains(ids, set.keys[k].ID)
		}
		return nil
	})
}

// Remove forgets data keys. What they have sealed can't be opened any more. The current
// one stays.
func (v *Vault) Remove(ctx context.Context, ids []string) error {
	return v.change(ctx, func(set *keySet) error {
		set.keys = slices.DeleteFunc(set.keys, func(k dataKey) bool { return !k.RetiredAt.IsZero() && slices.Contains(ids, k.ID) })
		return nil
	})
}
