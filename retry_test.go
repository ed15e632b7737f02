package riposte_test

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/riposte-dev/riposte"
)

// almostOne is the largest jitter that [0, 1) has.
var almostOne = math.Nextafter(1, 0)

func TestRetryDelayRangeByAttempt(t *testing.T) {
	const both = riposte.RetryFastThenSlow
	for _, tt := range []struct {
		policy   riposte.RetryPolicy
		attempts int
		lo, hi   time.Duration
	}{
		{both, 1, 3 * time.Second, 15 * time.Second},
		{both, 49, 3 * time.Second, 15 * time.Second},
		{both, 50, time.Minute, 2 * time.Minute},
		{both, 51, time.Minute, 4 * time.Minute},
		{both, 52, time.Minute, 8 * time.Minute},
		{both, 53, time.Minute, 16 * time.Minute},
		{both, 54, time.Minute, 32 * time.Minute},
		{both, 55, time.Minute, time.Hour},
		{both, 56, time.Minute, time.Hour},
		{both, 1_000_000, time.Minute, time.Hour},
		{riposte.RetryFast, 1, 3 * time.Second, 15 * time.Second},
		{riposte.RetryFast, 49, 3 * time.Second, 15 * time.Second},
	} {
		for jitter, want := range map[float64]time.Duration{0: tt.lo, 0.5: (tt.lo + tt.hi) / 2, almostOne: tt.hi} {
			got, again := tt.policy.Delay(tt.attempts, riposte.DefaultFastDelay, 0, jitter)
			if !again || (got-want).Abs() > time.Microsecond {
				t.Errorf("%s after attempt %d with jitter %g: %s, %t, want %s", tt.policy, tt.attempts, jitter, got, again, want)
			}
		}
	}
}

func TestPolicyFastEndsAfterTheFiftiethAttempt(t *testing.T) {
	for attempts, want := range map[int]bool{1: true, 49: true, 50: false, 51: false, 1000: false} {
		delay, again := riposte.RetryFast.Delay(attempts, riposte.DefaultFastDelay, time.Hour, 0.5)
		if again != want {
			t.Errorf("after attempt %d: another one is %t, want %t", attempts, again, want)
		}
		if !again && delay != 0 {
			t.Errorf("after attempt %d: no further one, in %s", attempts, delay)
		}
	}
}

func TestRetryAfterIsALowerBoundUpToThePhasesLongestDelay(t *testing.T) {
	for _, tt := range []struct {
		name       string
		attempts   int
		retryAfter time.Duration
		want       time.Duration // with jitter 0
	}{
		{"fast, shorter than drawn", 1, time.Second, 3 * time.Second},
		{"fast, longer than drawn", 1, 10 * time.Second, 10 * time.Second},
		{"fast, the longest", 49, 15 * time.Second, 15 * time.Second},
		{"fast, over the longest", 49, time.Hour, 15 * time.Second},
		{"slow, shorter than drawn", 50, 10 * time.Second, time.Minute},
		{"slow, over this attempt's range", 50, 30 * time.Minute, 30 * time.Minute},
		{"slow, the longest", 60, time.Hour, time.Hour},
		{"slow, over the longest", 50, 48 * time.Hour, time.Hour},
		{"none", 1, 0, 3 * time.Second},
		{"in the past", 1, -time.Hour, 3 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, again := riposte.RetryFastThenSlow.Delay(tt.attempts, riposte.DefaultFastDelay, tt.retryAfter, 0)
			if !again || got != tt.want {
				t.Errorf("got %s, %t, want %s", got, again, tt.want)
			}
		})
	}
	t.Run("shorter than what jitter gives", func(t *testing.T) {
		got, _ := riposte.RetryFastThenSlow.Delay(1, riposte.DefaultFastDelay, 5*time.Second, 0.5)
		if got != 9*time.Second {
			t.Errorf("got %s, want the drawn 9s", got)
		}
	})
}

func TestFastDelayIsTheOneGiven(t *testing.T) {
	fast := riposte.FastDelay{Min: time.Millisecond, Max: 5 * time.Millisecond}
	if got, _ := riposte.RetryFast.Delay(1, fast, time.Hour, 0); got != 5*time.Millisecond {
		t.Errorf("Retry-After gave %s, want the range's end 5ms", got)
	}
	if got, _ := riposte.RetryFast.Delay(1, fast, 0, 0); got != time.Millisecond {
		t.Errorf("jitter 0 gave %s, want the range's beginning 1ms", got)
	}
}

func TestAnyRetryDelayIsWithinItsPhase(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		attempts := rapid.IntRange(1, 2000).Draw(rt, "attempts")
		retryAfter := time.Duration(rapid.Int64().Draw(rt, "Retry-After"))
		jitter := rapid.Float64Range(0, almostOne).Draw(rt, "jitter")
		got, again := riposte.RetryFastThenSlow.Delay(attempts, riposte.DefaultFastDelay, retryAfter, jitter)
		lo, hi := 3*time.Second, 15*time.Second
		if attempts >= 50 {
			lo, hi = time.Minute, time.Hour
		}
		lo = max(lo, min(hi, retryAfter))
		if !again || got < lo || got > hi {
			rt.Fatalf("got %s, %t, want %s to %s", got, again, lo, hi)
		}
	})
}
