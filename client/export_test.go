package client

import "time"

// WithSilence is a client that takes a stream for dead sooner.
func (c Client) WithSilence(d time.Duration) *Client {
	c.silence = d
	return &c
}

// Curable is curable.
var Curable = curable

// RetryAfter is retryAfter.
var RetryAfter = retryAfter

// Delays are so many pauses of a backoff.
func Delays(tries int, atLeast time.Duration) (delays []time.Duration) {
	var b backoff
	for range tries {
		delays = append(delays, b.next(atLeast))
	}
	return delays
}
