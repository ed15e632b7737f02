package engine

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/riposte-dev/riposte"
)

// attempt delivers a claimed instance and saves what came of it. A stop does
// not cut it short; the sender's own timeout bounds it.
func (e *Engine) attempt(c riposte.ClaimedInstance) {
	ctx := context.Background()
	result := e.Sender.Send(ctx, c)
	log := e.Logger.With("instance", c.Instance.ID, "webhook", c.Webhook.ID, "attempt", result.Attempt.Number)

	err := e.save(ctx, c, result)
	for lease := c.Instance.LeasedUntil; errors.Is(err, riposte.ErrUnavailable) && e.Store.Now().Before(lease); {
		log.Warn("saving an attempt's result: trying again", "error", err)
		time.Sleep(storeRetry)
		err = e.save(ctx, c, result)
	}
	if err != nil {
		// The lease will run out, and the attempt be made again.
		log.Error("saving an attempt's result", "error", err)
		return
	}
	log.Debug("attempt ended", "status", result.Attempt.StatusCode, "duration", result.Attempt.Duration)
}

// save applies the result to the instance as it was claimed. Where somebody
// else was faster (a callback, a cancellation, the expiry, another node), the
// result changes nothing any more, but the attempt was made and is recorded.
func (e *Engine) save(ctx context.Context, c riposte.ClaimedInstance, r riposte.Result) error {
	next, err := c.Instance.Advance(riposte.Attempted{
		Result: r,
		Policy: c.Webhook.Settings.RetryPolicy,
		Fast:   e.Fast,
		Jitter: rand.Float64(),
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
