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
	maxReady = 256
	// crowdAge is for how long a count of them holds.
	crowdAge = time.Millisecond
	// restless is who reads again within that time of the last time.
	restless = 20 * time.Millisecond
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
	if began.Sub(c.last) < restless {
		for wait := shortestWait; c.of.crowd.isThere() && !c.closed.Load() && time.Since(began) < longestHold; wait = min(2*wait, longestWait) {
			time.Sleep(wait)
		}
	}
	c.last = time.Now()
	return c.TCPConn.Read(b)
}
