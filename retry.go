package riposte

import "time"

// RetryPolicy is a webhook's choice of phases.
type RetryPolicy string

const (
	// RetryFast is C1 to the letter: the fast phase alone, then FATAL_ERROR.
	RetryFast RetryPolicy = "FAST"
	// RetryFastThenSlow goes on in the slow phase until expiresAt.
	RetryFastThenSlow RetryPolicy = "FAST_THEN_SLOW"
)

func (p RetryPolicy) known() bool { return p == RetryFast || p == RetryFastThenSlow }

// FastAttempts is how many attempts the fast phase has.
const FastAttempts = 50

// The slow phase's shortest and longest delay.
const (
	SlowMinDelay = time.Minute
	SlowMaxDelay = time.Hour
)

// FastDelay is the fast phase's range of delays; each is drawn uniformly.
type FastDelay struct{ Min, Max time.Duration }

// DefaultFastDelay is C1's.
var DefaultFastDelay = FastDelay{Min: 3 * time.Second, Max: 15 * time.Second}

// Delay returns how long to wait after the attempts-th failed attempt, and
// false when there is no further one (PROTOCOL.md section 3). jitter is drawn
// from [0, 1). retryAfter is a lower bound, itself capped by the phase's
// longest delay.
//
// The slow phase doubles its upper end from twice SlowMinDelay up to
// SlowMaxDelay and draws from the whole range (full jitter).
func (p RetryPolicy) Delay(attempts int, fast FastDelay, retryAfter time.Duration, jitter float64) (time.Duration, bool) {
	lo, hi := fast.Min, fast.Max
	if attempts >= FastAttempts {
		if p == RetryFast {
			return 0, false
		}
		lo, hi = SlowMinDelay, SlowMaxDelay
		if n := attempts - FastAttempts; n < 5 {
			hi = SlowMinDelay << (n + 1)
		}
		return max(draw(lo, hi, jitter), min(retryAfter, SlowMaxDelay)), true
	}
	return max(draw(lo, hi, jitter), min(retryAfter, hi)), true
}

func draw(lo, hi time.Duration, jitter float64) time.Duration {
	return lo + time.Duration(jitter*float64(hi-lo))
}
