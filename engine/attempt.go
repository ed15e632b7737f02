package engine

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/riposte-dev/riposte"
)

// attempt delivers an instance that was claimed as of asOf, or pushes its outcome,
// and saves what came of it. A stop does not cut it short; the sender's own timeout
// and the lease bound it.
func (e *Engine) attempt(c riposte.ClaimedInstance, asOf time.Time) {
	ctx := context.Background()
	if !e.Store.Now().Before(c.Instance.LeasedUntil) {
		e.log(slog.LevelWarn, "not attempted: its lease ran out before it began", c)
		return
	}
	result := e.Sender.Send(ctx, c)
	e.tellBreaker(c, &result.Attempt, asOf)
	if err := e.saveWithinLease(ctx, c, result); err != nil {
		// The lease will run out, and the attempt be made again.
		e.log(slog.LevelError, "saving an attempt's result", c, slog.Any("error", err))
		return
	}
	e.log(slog.LevelDebug, "attempt ended", c, slog.Int("status", result.Attempt.StatusCode), slog.Duration("duration", result.Attempt.Duration))
}

// log says something of an attempt.
func (e *Engine) log(level slog.Level, message string, c riposte.ClaimedInstance, more ...slog.Attr) {
	ctx := context.Background()
	if !e.Logger.Enabled(ctx, level) {
		return
	}
	number := slog.Int("attempt", c.Instance.Attempts)
	if c.Instance.OwesPush() {
		number = slog.Int("push", c.Instance.Push.Attempts)
	}
	e.Logger.LogAttrs(ctx, level, message, append(more,
		slog.String("instance", c.Instance.ID), slog.String("webhook", c.Instance.WebhookID), number)...)
}

// tellBreaker comes before the save: what the receiver did is true whatever the
// store says. The attempt's place becomes free after it, so the claim that this
// wakes knows.
func (e *Engine) tellBreaker(c riposte.ClaimedInstance, a *riposte.Attempt, asOf time.Time) {
	e.mu.Lock()
	failures, closed := e.breakers.ended(c, a, asOf, time.Now(), rand.Float64()) // #nosec G404 -- delays need not be unguessable
	e.mu.Unlock()
	switch {
	case failures > 0:
		e.Logger.Warn("breaker opened: the receiver can't be reached, so what is due there is held", "webhook", c.Webhook.ID, "failures", failures)
	case closed:
		e.Logger.Info("breaker closed: the receiver answers again", "webhook", c.Webhook.ID)
	}
}

// saveWithinLease tries until the store takes the result, as long as nobody
// else may claim the instance.
func (e *Engine) saveWithinLease(ctx context.Context, c riposte.ClaimedInstance, r riposte.Result) error {
	err := e.save(ctx, c, r)
	if mayWork(err) {
		e.log(slog.LevelWarn, "saving an attempt's result: trying again until its lease runs out", c, slog.Any("error", err))
	}
	for mayWork(err) && e.Store.Now().Add(storeRetry).Before(c.Instance.LeasedUntil) {
		pause(ctx, nil, storeRetry)
		err = e.save(ctx, c, r)
	}
	return err
}

// mayWork reports whether to save again: nothing was saved, or nobody knows
// whether it was, and then the second save does no harm.
func mayWork(err error) bool {
	return errors.Is(err, riposte.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded)
}

// save applies the result to the instance as it was claimed. Where somebody
// else was faster (a callback, a cancellation, the expiry, another node), the
// result changes nothing any more, but the attempt was made and is recorded.
func (e *Engine) save(ctx context.Context, c riposte.ClaimedInstance, r riposte.Result) error {
	if c.Instance.OwesPush() {
		return e.savePush(ctx, c, r)
	}
	next, err := c.Instance.Advance(riposte.Attempted{
		Result: r,
		Policy: c.Webhook.Settings.RetryPolicy,
		Fast:   e.Fast,
		Jitter: rand.Float64(), // #nosec G404 -- delays need not be unguessable
	}, e.Store.Now())
	if err != nil {
		return err
	}
	_, err = e.Store.SaveInstance(ctx, next, &r.Attempt)
	if errors.Is(err, riposte.ErrConflict) || errors.Is(err, riposte.ErrInstanceNotFound) {
		return e.Store.RecordAttempt(ctx, c.Instance.ID, r.Attempt)
	}
	return err
}

// savePush is save for a push. One that comes too late changes nothing: somebody
// else has pushed the outcome since, and will say what came of it.
func (e *Engine) savePush(ctx context.Context, c riposte.ClaimedInstance, r riposte.Result) error {
	next, err := c.Instance.Apply(riposte.Pushed{Result: r, Fast: e.Fast, Jitter: rand.Float64()}, e.Store.Now()) // #nosec G404 -- delays need not be unguessable
	if err != nil {
		return err
	}
	_, err = e.Store.SaveInstance(ctx, next, nil)
	switch {
	case errors.Is(err, riposte.ErrConflict), errors.Is(err, riposte.ErrInstanceNotFound):
		return nil
	case err == nil && !next.Push.GivenUpAt.IsZero():
		e.log(slog.LevelWarn, "outcome given up: it is pushed no more until somebody asks for it", c, slog.Int("status", r.Attempt.StatusCode))
	}
	return err
}
