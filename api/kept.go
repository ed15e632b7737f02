package api

import (
	"context"
	"time"
)

const (
	// keptCost is how many times longer than it took to read an answer is kept: so it
	// is read for a tenth of the time at most, however many ask.
	keptCost = 10
	// maxKept bounds that, because a read that the machine held up says little.
	maxKept = time.Minute
)

// kept keeps an answer that is the same for all who ask. It is read once for all who
// ask at the same time, and again when it is too old.
type kept[T any] struct {
	read  func(context.Context) (T, error)
	least time.Duration // for how long an answer is kept that cost nothing, and an error
	turn  chan struct{} // has room for the one whose turn it is

	// These belong to whoever has the turn.
	last  T // shared, so never changed
	err   error
	until time.Time // when last and err are too old; zero before the first
}

func newKept[T any](least time.Duration, read func(context.Context) (T, error)) *kept[T] {
	return &kept[T]{read: read, least: least, turn: make(chan struct{}, 1)}
}

// get returns what was read last, or the error of that: else all who waited for it
// would fail one after the other.
func (k *kept[T]) get(ctx context.Context) (T, error) {
	var none T
	select {
	case k.turn <- struct{}{}:
		defer func() { <-k.turn }()
	case <-ctx.Done():
		return none, ctx.Err()
	}
	began := time.Now()
	if began.Before(k.until) {
		return k.last, k.err
	}
	last, err := k.read(ctx)
	if err != nil && ctx.Err() != nil {
		return none, err // which is this caller's alone
	}
	age := k.least
	if err == nil {
		age = max(age, min(keptCost*time.Since(began), maxKept))
	}
	k.last, k.err, k.until = last, err, time.Now().Add(age)
	return last, err
}
