package server

import (
	"runtime/metrics"
	"sync/atomic"
	"time"
)

const (
	// maxReady is from how many goroutines on that wait for a processor nobody is read
	// from who sends one thing after the other. Whatever else comes then, such as a look
	// whether the server lives, waits behind no more than these, which is some
	// milliseconds; what isn't read stays with the kernel, and so with its sender.
	maxReady = 128
	// crowdAge is for how long a count of them holds.
	crowdAge = time.Millisecond
	// A connection may be read from all the same that is read from no more often than
	// each calmPause, on average over calmBurst: who looks each 50 ms whether the server
	// lives is among those.
	calmPause = 15 * time.Millisecond
	calmBurst = 200 * time.Millisecond
	// calmStart is what a new connection has of that: enough for a TLS handshake and a
	// look whether the server lives, so that many new ones are no way in.
	calmStart = 4 * calmPause
	// longestHold is less than a head may take.
	longestHold  = 5 * time.Second
	shortestWait = time.Millisecond
	longestWait  = 32 * time.Millisecond
)

// crowd tells whether more goroutines wait for a processor than should.
type crowd struct {
	ready   atomic.Int64
	counted atomic.Int64 // when, in nanoseconds since began
	began   time.Time
}

func newCrowd() *crowd { return &crowd{began: time.Now()} }

const readyMetric = "/sched/goroutines/runnable:goroutines"

func (c *crowd) isThere() bool {
	now := int64(time.Since(c.began))
	if last := c.counted.Load(); now-last >= int64(crowdAge) && c.counted.CompareAndSwap(last, now) {
		sample := []metrics.Sample{{Name: readyMetric}}
		metrics.Read(sample)
		if sample[0].Value.Kind() == metrics.KindUint64 {
			c.ready.Store(int64(sample[0].Value.Uint64()))
		}
	}
	return c.ready.Load() > maxReady
}

// Read keeps whoever floods a connection from crowding out the others.
func (c *boundedConn) Read(b []byte) (int, error) {
	began := time.Now()
	if c.used.Before(began) {
		c.used = began
	}
	if c.used = c.used.Add(calmPause); c.used.Sub(began) > calmBurst {
		c.used = began.Add(calmBurst)
		for wait := shortestWait; c.of.crowd.isThere() && !c.closed.Load() && time.Since(began) < longestHold; wait = min(2*wait, longestWait) {
			time.Sleep(wait)
		}
	}
	return c.TCPConn.Read(b)
}
