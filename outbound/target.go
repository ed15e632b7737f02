package outbound

import "sync"

// maxTargets bounds how many destinations a client remembers.
const maxTargets = 1024

// targets remembers what Destinations.target made of a URL, because nearly all
// attempts go to a few. That depends on the URL and the client's rules alone,
// which don't change; what a host resolves to is the guard's business at every
// connect, as ever.
type targets struct {
	mu    sync.Mutex
	known map[string]target
}

// target reads a destination. The result's URL must not be changed.
func (c *Client) target(raw string) (target, error) {
	c.targets.mu.Lock()
	defer c.targets.mu.Unlock()
	if t, ok := c.targets.known[raw]; ok {
		return t, nil
	}
	t, err := c.destinations.target(raw)
	if err != nil {
		return target{}, err
	}
	if c.targets.known == nil || len(c.targets.known) >= maxTargets {
		c.targets.known = map[string]target{} // those in use come back with their next attempts
	}
	c.targets.known[raw] = t
	return t, nil
}
