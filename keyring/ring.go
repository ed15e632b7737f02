// Package keyring rotates the server's own keys without anybody noticing.
//
// The keys of one use form a ring:
//
//	          publishFor                              keep
//	made ───────────────▶ used ─────── … ───▶ retired ─────▶ removed
//	     NEXT: known to         CURRENT: what is new       RETIRED: what was made
//	     all who must open      is made with it            with it still opens
//
// Which key has which part follows from the clock alone, the store's, which all nodes
// have in common. So nothing is switched: a node only has to know the ring, and it may be
// some seconds behind, because a key is never used before all have had the time to learn
// of it.
//
// ring.go has the rules, which are pure. keeper.go keeps rings in the store, sealed, and
// changes them by compare-and-swap.
package keyring

import (
	"slices"
	"time"

	"github.com/riposte-dev/riposte"
)

// Lead is the least time between a key's making and its use: "at once". It is longer than
// what a node takes to learn of a key that it is asked for (see Keeper.Reread).
const Lead = 2 * time.Second

// MaxPublishFor is the longest time between a key's making and its use.
const MaxPublishFor = 7 * 24 * time.Hour

// Key is one key of a ring.
type Key struct {
	ID        string    `json:"id"`
	Algorithm string    `json:"algorithm"`
	CreatedAt time.Time `json:"createdAt"`
	UsedFrom  time.Time `json:"usedFrom"`
	Secret    []byte    `json:"secret"`
}

// String and GoString keep the secret out of logs.
func (k Key) String() string   { return "key " + k.ID }
func (k Key) GoString() string { return k.String() }

// Rules are the times of one use.
type Rules struct {
	// PublishFor is how long a key is known before it is used, if nobody says otherwise.
	PublishFor time.Duration
	// Keep is for how long what is made with a key may be shown to the server, or to
	// receivers, after the next one took its place.
	Keep time.Duration
}

// Ring is the keys of one use, in the order in which they are used. It has one at least.
type Ring struct {
	Keys []Key `json:"keys"`
}

// ErrNextWaiting is the error of a rotation while the one before has not come to its end.
var ErrNextWaiting = &riposte.Error{Code: riposte.CodeFailedPrecondition, Reason: "NEXT_KEY_WAITING",
	Message: "the next key is published and not yet used: rotate again when it is"}

// Rotated is r with one more key, which is published for publishFor before it is used;
// nil for as long as the rules say. ErrNextWaiting, or a riposte.Error with a violation.
func (r Ring) Rotated(k Key, publishFor *time.Duration, rules Rules, now time.Time) (Ring, error) {
	if _, waiting := r.next(now); waiting {
		return r, ErrNextWaiting
	}
	wait, err := rules.wait(publishFor)
	if err != nil {
		return r, err
	}
	k.CreatedAt = riposte.Time(now)
	// In whole seconds, because that is what tokens name their times in; upwards.
	k.UsedFrom = k.CreatedAt.Add(wait + time.Second - time.Microsecond).Truncate(time.Second)
	return Ring{append(slices.Clip(r.Keys), k)}, nil
}

func (rules Rules) wait(publishFor *time.Duration) (time.Duration, error) {
	switch {
	case publishFor == nil:
		return rules.PublishFor, nil
	case *publishFor == 0:
		return Lead, nil
	case *publishFor < rules.PublishFor || *publishFor > MaxPublishFor:
		return 0, riposte.Invalid(riposte.Violation{Field: "publishFor",
			Description: "must be 0, at once, or from " + rules.PublishFor.String() + " to " + MaxPublishFor.String()})
	}
	return *publishFor, nil
}

// Current is the key with which to make what is new.
func (r Ring) Current(now time.Time) Key { return r.Keys[r.current(now)] }

func (r Ring) current(now time.Time) int {
	for k := len(r.Keys) - 1; k > 0; k-- {
		if !r.Keys[k].UsedFrom.After(now) {
			return k
		}
	}
	return 0
}

func (r Ring) next(now time.Time) (Key, bool) {
	last := len(r.Keys) - 1
	return r.Keys[last], last > r.current(now)
}

// Left is r without the keys with which nothing was made that still counts.
func (r Ring) Left(rules Rules, now time.Time) Ring {
	for k := range r.Keys {
		if after, ok := r.RemovedAfter(k, rules, now); !ok || now.Before(after) {
			return Ring{r.Keys[k:]}
		}
	}
	return r
}

// RemovedAfter is from when on the k-th key may be removed, false while no later one is
// in use.
func (r Ring) RemovedAfter(k int, rules Rules, now time.Time) (time.Time, bool) {
	if k >= r.current(now) {
		return time.Time{}, false
	}
	return r.Keys[k+1].UsedFrom.Add(rules.Keep), true
}

// State says which part the k-th key has.
func (r Ring) State(k int, now time.Time) riposte.ServerKeyState {
	switch current := r.current(now); {
	case k < current:
		return riposte.ServerKeyRetired
	case k == current:
		return riposte.ServerKeyCurrent
	}
	return riposte.ServerKeyNext
}
