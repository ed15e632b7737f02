package keyring

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/vault"
)

const (
	// lookEvery is how often each node looks what others have rotated.
	lookEvery = 30 * time.Second
	// rereadPause is the least time between two reads that others cause by asking for a
	// key that this node doesn't know: anybody can make up the name of one. It is shorter
	// than Lead, so that whatever a key in use has made is known by the time it comes.
	rereadPause   = time.Second
	rereadTimeout = 2 * time.Second
)

// Use says how the keys of one use are made, kept and used.
type Use struct {
	Name       riposte.ServerKeyUse
	Secret     string // under which the store keeps the ring
	Rules      Rules
	Algorithms []string // that a rotation may choose, the default first
	// New makes a key of one of Algorithms, with its ID, Algorithm and Secret alone.
	// others are those that there are.
	New func(algorithm string, others []Key) (Key, error)
	// Adopt reads the one key that older versions kept under Secret, in the clear.
	Adopt func(clear []byte) (Key, error)
	// Apply takes the keys into use that are left, in their order. When each is used is
	// for UsedFrom and the store's clock to say. It may come again with the same ones.
	Apply func(keys []Key) error
}

// Options is what a Keeper needs.
type Options struct {
	Store  riposte.Store
	Vault  *vault.Vault
	Logger *slog.Logger
	Uses   []Use
	// Secrets names what Sealer keeps beside the rings, to be sealed anew with them.
	Secrets []string
	// Master is told of a rotation of the data key: nil where the configuration gives
	// the master keys, and so renews them.
	Master MasterFile
}

// MasterFile is a file of master keys that the server made itself.
type MasterFile interface {
	// Renew puts a new master key first.
	Renew() error
	// Keep drops those that wrap nothing any more; ids are the others'.
	Keep(ids []string) error
}

// Keeper has the server's own keys: it reads them from the store, sees what other nodes
// have rotated, and rotates.
type Keeper struct {
	Options
	sealer Sealer
	rings  map[riposte.ServerKeyUse]*kept
	wake   chan struct{} // the data key was rotated

	rotating sync.Mutex // held by who rotates the data key: the steps of two must not mix
}

// kept is one ring as this node knows it.
type kept struct {
	Use
	turn chan struct{} // has the one whose turn it is to read or change the rest

	ring Ring
	read time.Time // when the last read began, or failed
	err  error     // of that
}

func (r *kept) take() { r.turn <- struct{}{} }
func (r *kept) give() { <-r.turn }

// takeWithin is take for who doesn't wait for long.
func (r *kept) takeWithin(d time.Duration) error {
	patience := time.NewTimer(d)
	defer patience.Stop()
	select {
	case r.turn <- struct{}{}:
		return nil
	case <-patience.C:
		return fmt.Errorf("reading the %s keys: others have waited for %s", r.Name, d)
	}
}

// Open reads all rings, makes those that are not there yet, and takes them into use.
func Open(ctx context.Context, o Options) (*Keeper, error) {
	k := &Keeper{Options: o, sealer: Sealer{o.Store, o.Vault}, rings: map[riposte.ServerKeyUse]*kept{}, wake: make(chan struct{}, 1)}
	for _, use := range o.Uses {
		r := &kept{Use: use, turn: make(chan struct{}, 1)}
		k.rings[use.Name] = r
		r.take()
		err := k.read(ctx, r)
		r.give()
		if err != nil {
			return nil, fmt.Errorf("reading the %s keys: %w", use.Name, err)
		}
	}
	return k, nil
}

// Run looks what other nodes have rotated, and removes what has had its time, until ctx
// ends. What can't be read stays as it is.
func (k *Keeper) Run(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-k.wake:
		}
		if err := k.look(ctx); err != nil && ctx.Err() == nil {
			k.Logger.Warn("the server's keys could not be looked after; those that are there stay in use", "error", err)
		}
	}
}

func (k *Keeper) look(ctx context.Context) error {
	err := k.Vault.Refresh(ctx)
	for _, use := range k.Uses {
		err = errors.Join(err, k.lookAt(ctx, k.rings[use.Name]))
	}
	return errors.Join(err, k.lookAfterData(ctx))
}

func (k *Keeper) lookAt(ctx context.Context, r *kept) error {
	r.take()
	defer r.give()
	if err := k.read(ctx, r); err != nil {
		return err
	}
	if left := r.ring.Left(r.Rules, k.Store.Now()); len(left.Keys) == len(r.ring.Keys) {
		return nil
	}
	return k.change(ctx, r, func(ring Ring) (Ring, error) { return ring.Left(r.Rules, k.Store.Now()), nil })
}

// Reread reads a ring again, because something names a key that this node doesn't know,
// at most once a second. Its error says that the ring could not be read, so that nobody
// knows whether there is such a key. While the store hangs nobody waits for longer than
// one who waits for a read and then for his own.
func (k *Keeper) Reread(ctx context.Context, use riposte.ServerKeyUse) error {
	r, ok := k.rings[use]
	if !ok {
		return nil
	}
	if err := r.takeWithin(rereadTimeout); err != nil {
		return err
	}
	defer r.give()
	if time.Since(r.read) < rereadPause {
		return r.err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rereadTimeout)
	defer cancel()
	return k.read(ctx, r)
}

// read takes the store's ring into use. It is the caller's turn.
func (k *Keeper) read(ctx context.Context, r *kept) error {
	r.read = time.Now()
	var b []byte
	if b, _, r.err = k.sealer.secret(ctx, r.Secret, r.first(k.Store), r.adopted); r.err == nil {
		r.err = k.apply(r, b)
	}
	if r.err != nil {
		r.read = time.Now() // those who waited meanwhile are told the same
	}
	return r.err
}

func (k *Keeper) apply(r *kept, b []byte) error {
	var ring Ring
	if err := json.Unmarshal(b, &ring); err != nil || len(ring.Keys) == 0 {
		return fmt.Errorf("reading the %s keys: there are none: %w", r.Name, err)
	}
	r.ring = ring
	return r.Apply(ring.Left(r.Rules, k.Store.Now()).Keys)
}

// first makes a ring of one new key, which is in use at once: nobody has anything yet
// that another one has made.
func (r *kept) first(store riposte.Store) func() ([]byte, error) {
	return func() ([]byte, error) {
		key, err := r.New(r.Algorithms[0], nil)
		if err != nil {
			return nil, err
		}
		key.CreatedAt = riposte.Time(store.Now())
		key.UsedFrom = key.CreatedAt
		return json.Marshal(Ring{[]Key{key}})
	}
}

// adopted is a ring of the one key that there was. Nobody has noted when it was made.
func (r *kept) adopted(clear []byte) ([]byte, error) {
	key, err := r.Adopt(clear)
	if err != nil {
		return nil, err
	}
	return json.Marshal(Ring{[]Key{key}})
}

// change loads, changes and saves a ring, again where another node was faster, and takes
// it into use. It is the caller's turn.
func (k *Keeper) change(ctx context.Context, r *kept, f func(Ring) (Ring, error)) error {
	for {
		b, version, err := k.sealer.secret(ctx, r.Secret, r.first(k.Store), r.adopted)
		if err != nil {
			return err
		}
		var ring Ring
		if err := json.Unmarshal(b, &ring); err != nil {
			return fmt.Errorf("reading the %s keys: %w", r.Name, err)
		}
		if ring, err = f(ring); err != nil {
			return err
		}
		if b, err = json.Marshal(ring); err != nil {
			return err
		}
		err = k.sealer.save(ctx, r.Secret, b, version)
		if err == nil {
			return k.apply(r, b)
		}
		if !errors.Is(err, riposte.ErrConflict) {
			return err
		}
	}
}

// Rotate makes the next key of a use. algorithm is "" for the default; publishFor is nil
// for as long as those take to learn of it who must. ErrNextWaiting, or a riposte.Error
// with violations.
func (k *Keeper) Rotate(ctx context.Context, use riposte.ServerKeyUse, algorithm string, publishFor *time.Duration) (riposte.ServerKey, error) {
	if use == riposte.ServerKeyData {
		return k.rotateData(ctx, algorithm, publishFor)
	}
	r, ok := k.rings[use]
	if !ok {
		return riposte.ServerKey{}, riposte.Invalid(riposte.Violation{Field: "use", Description: "must be a use that keys have"})
	}
	if algorithm == "" {
		algorithm = r.Algorithms[0]
	}
	if !slices.Contains(r.Algorithms, algorithm) {
		return riposte.ServerKey{}, riposte.Invalid(riposte.Violation{Field: "algorithm", Description: "must be one of " + strings.Join(r.Algorithms, ", ")})
	}
	r.take()
	defer r.give()
	err := k.change(ctx, r, func(ring Ring) (Ring, error) {
		now := k.Store.Now()
		ring = ring.Left(r.Rules, now)
		if _, err := ring.Rotated(Key{}, publishFor, r.Rules, now); err != nil {
			return ring, err // before a key is made, which may take a second
		}
		key, err := r.New(algorithm, ring.Keys)
		if err != nil {
			return ring, err
		}
		return ring.Rotated(key, publishFor, r.Rules, now)
	})
	if err != nil {
		return riposte.ServerKey{}, err
	}
	return r.list(k.Store.Now())[0], nil
}

// List returns the keys of all uses, of each the newest first.
func (k *Keeper) List(ctx context.Context) ([]riposte.ServerKey, error) {
	var list []riposte.ServerKey
	for _, use := range k.Uses {
		r := k.rings[use.Name]
		r.take()
		err := k.read(ctx, r)
		list = append(list, r.list(k.Store.Now())...)
		r.give()
		if err != nil {
			return nil, err
		}
	}
	if err := k.Vault.Refresh(ctx); err != nil {
		return nil, err
	}
	return append(list, k.dataKeys()...), nil
}

func (r *kept) list(now time.Time) []riposte.ServerKey {
	var list []riposte.ServerKey
	for n, key := range slices.Backward(r.ring.Keys) {
		after, _ := r.ring.RemovedAfter(n, r.Rules, now)
		list = append(list, riposte.ServerKey{ID: key.ID, Use: r.Name, State: r.ring.State(n, now), Algorithm: key.Algorithm,
			CreatedAt: key.CreatedAt, UsedFrom: key.UsedFrom, RemovedAfter: after})
	}
	return list
}
