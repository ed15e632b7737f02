package api

import (
	"maps"
	"strconv"
	"sync"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/time/rate"

	"github.com/riposte-dev/riposte"
)

// maxBuckets bounds how many callers' calls are counted. Only keys and clients with a
// bound of their own have a bucket.
const maxBuckets = 10_000

// buckets bound how often each caller calls this node: once a second's worth at once,
// and then as many a second as its key or client may.
type buckets struct {
	mu       sync.Mutex
	byCaller map[string]*rate.Limiter // by Caller.KeyID
	refused  int64
}

// take counts a call, and returns when the caller may try again; zero for go on.
func (b *buckets) take(caller riposte.Caller, now time.Time) time.Duration {
	if caller.RateLimit <= 0 {
		return 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	next := b.of(caller, now).ReserveN(now, 1)
	delay := next.DelayFrom(now)
	if delay > 0 {
		next.CancelAt(now)
		b.refused++
	}
	return delay
}

// of makes room by forgetting full buckets, which say nothing, or else any one: that
// caller then has a second's worth more.
func (b *buckets) of(caller riposte.Caller, now time.Time) *rate.Limiter {
	limit := rate.Limit(caller.RateLimit)
	if l := b.byCaller[caller.KeyID]; l != nil && l.Limit() == limit {
		return l
	}
	if len(b.byCaller) >= maxBuckets {
		maps.DeleteFunc(b.byCaller, func(_ string, l *rate.Limiter) bool { return l.TokensAt(now) >= float64(l.Burst()) })
	}
	for id := range b.byCaller {
		if len(b.byCaller) < maxBuckets {
			break
		}
		delete(b.byCaller, id)
	}
	l := rate.NewLimiter(limit, caller.RateLimit)
	b.byCaller[caller.KeyID] = l
	return l
}

// rateLimited is the refusal of a caller who may call again after a delay.
func rateLimited(caller riposte.Caller, after time.Duration) *connect.Error {
	e := &riposte.Error{Code: riposte.CodeResourceExhausted, Reason: "RATE_LIMITED", Message: "the key or client calls more often than it may"}
	return tryAgain(e.With("callsPerSecond", strconv.Itoa(caller.RateLimit)), after)
}

// RateLimited is how many calls were refused because their caller calls too often; for
// metrics.
func (s *Server) RateLimited() int64 {
	s.buckets.mu.Lock()
	defer s.buckets.mu.Unlock()
	return s.buckets.refused
}
