package ripostetest

import (
	"sync/atomic"
	"time"
)

// Clock is a clock for server.Config's Now that a test can move forward;
// otherwise it runs as any other. The zero value shows the right time.
type Clock struct{ ahead atomic.Int64 }

// Now is the time on the clock.
func (c *Clock) Now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

// Advance moves the clock. A server with nothing to do looks at it within 30 s,
// or at once when any instance changes.
func (c *Clock) Advance(d time.Duration) { c.ahead.Add(int64(d)) }
