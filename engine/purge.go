package engine

import (
	"context"
	"errors"
	"time"

	"github.com/riposte-dev/riposte"
)

const (
	purgeInterval = time.Minute
	purgeStep     = 200 // instances a commit
	purgePause    = 50 * time.Millisecond
	// purgeGrace is how much longer than Keep history stays, so that a caller
	// who polls now and then still finds what expired a moment ago.
	purgeGrace = time.Hour
)

// purge removes history that is older than Keep and its grace, in steps small enough for
// what else wants to commit.
func (e *Engine) purge(ctx context.Context) {
	for ctx.Err() == nil {
		n, err := e.Store.PurgeInstances(ctx, e.Store.Now().Add(-e.Keep-purgeGrace), purgeStep)
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, riposte.ErrUnavailable):
			e.Logger.Warn("removing old instances: trying again later", "error", err)
		case err != nil:
			e.Logger.Error("removing old instances", "error", err)
		}
		if err == nil && n == purgeStep {
			pause(ctx, nil, purgePause)
		} else {
			pause(ctx, nil, purgeInterval)
		}
	}
}
