package metrics

import (
	"context"
	"math"
	"sync/atomic"
	"time"

	"github.com/riposte-dev/riposte"
)

// Store returns s for the engine to claim from, watched for how late claims
// are.
func (m *Metrics) Store(s riposte.Store) riposte.Store { return claimed{s, &m.scraped.lateness} }

type claimed struct {
	riposte.Store
	lateness *lateness
}

func (c claimed) Claim(ctx context.Context, r riposte.ClaimRequest) (riposte.Claim, error) {
	c.lateness.begin(c.Now())
	claim, err := c.Store.Claim(ctx, r)
	if err == nil {
		c.lateness.end(claim.Oldest)
	}
	return claim, err
}

// lateness is since when something waits to be claimed, in microseconds.
//
// It is what the last claim left behind. While a claim hangs, or one after the
// other fails, nobody knows what else has become due; then it counts from the
// first of these on.
type lateness struct {
	oldest   atomic.Int64 // may be in the future
	claiming atomic.Int64 // since when a claim is under way
}

const never = math.MaxInt64

// reset says that nothing waits.
func (l *lateness) reset() { l.end(time.Time{}) }

func (l *lateness) begin(now time.Time) { l.claiming.CompareAndSwap(never, now.UnixMicro()) }

func (l *lateness) end(oldest time.Time) {
	at := int64(never)
	if !oldest.IsZero() {
		at = oldest.UnixMicro()
	}
	l.oldest.Store(at)
	l.claiming.Store(never)
}

// at is how late claims are now, 0 when they are not.
func (l *lateness) at(now time.Time) time.Duration {
	since := min(l.oldest.Load(), l.claiming.Load())
	return time.Duration(max(0, now.UnixMicro()-since)) * time.Microsecond
}
