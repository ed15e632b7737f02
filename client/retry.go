package client

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

const (
	// callTimeout bounds a try of every call that doesn't wait.
	callTimeout = 30 * time.Second
	// longestWait is how long the server is asked to wait in one call: less than what
	// proxies give a call in which nothing moves.
	longestWait = 30 * time.Second
	// waitMargin is what such a call may take beyond that.
	waitMargin = 10 * time.Second

	firstDelay   = 100 * time.Millisecond
	longestDelay = 5 * time.Second
)

// backoff is exponential with full jitter, which spreads those who wait for the same
// server. The zero value begins with firstDelay.
type backoff struct{ tries int }

// next is how long to wait before the next try, never less than atLeast.
func (b *backoff) next(atLeast time.Duration) time.Duration {
	ceiling := min(firstDelay<<min(b.tries, 10), longestDelay)
	b.tries++
	return atLeast + rand.N(ceiling) // #nosec G404 -- delays need not be unguessable
}

func (b *backoff) reset() { b.tries = 0 }

// pause returns ctx's error when that ends first.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// retry makes a call until it succeeds, ctx ends, or there is an error that calling
// again doesn't cure. A try has a limited time.
func retry[Req, Res any](ctx context.Context, doing string, timeout time.Duration, call func(context.Context, *Req) (*Res, error), r *Req) (*Res, error) {
	var b backoff
	var last error
	for {
		res, err := try(ctx, timeout, call, r)
		switch {
		case err == nil:
			return res, nil
		case ctx.Err() != nil:
			return nil, ended(ctx, doing, last)
		case !curable(err):
			return nil, fmt.Errorf("%s: %w", doing, newError(err))
		}
		last = err
		if pause(ctx, b.next(retryAfter(err))) != nil {
			return nil, ended(ctx, doing, last)
		}
	}
}

func try[Req, Res any](ctx context.Context, timeout time.Duration, call func(context.Context, *Req) (*Res, error), r *Req) (*Res, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return call(ctx, r)
}
