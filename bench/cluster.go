package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// cluster is a system that runs: its nodes, which share a store.
type cluster struct {
	system
	store string
	nodes []*node
	turns atomic.Uint64
}

// start runs s on a store and returns when each node takes calls.
func (b *bench) start(ctx context.Context, s system, store string) (*cluster, error) {
	c := &cluster{system: s, store: store}
	for range max(s.nodes, 1) {
		n, err := newNode(s.name)
		if err != nil {
			return nil, err
		}
		c.nodes = append(c.nodes, n)
	}
	for k, n := range c.nodes {
		n.next = c.nodes[(k+1)%len(c.nodes)]
	}
	err := c.each(func(n *node) error {
		args := []string{b.path(s.pkg)}
		if s.args != nil {
			args = append(args, s.args(n)...)
		}
		return n.start(ctx, b.dir, append(args, "--listen", n.address, s.medium.flag(), store))
	})
	if err == nil && s.prepared != nil {
		err = s.prepared(ctx, store)
	}
	if err != nil {
		c.kill()
		return nil, err
	}
	return c, nil
}

// each does something to all nodes at the same time.
func (c *cluster) each(do func(*node) error) error {
	errs := make([]error, len(c.nodes))
	var doing sync.WaitGroup
	for k, n := range c.nodes {
		doing.Go(func() { errs[k] = do(n) })
	}
	doing.Wait()
	return errors.Join(errs...)
}

// turn is the node whose turn it is, as a load balancer goes round.
func (c *cluster) turn() *node {
	return c.nodes[(c.turns.Add(1)-1)%uint64(len(c.nodes))]
}

// stop ends the nodes as an operator would.
func (c *cluster) stop() error { return c.each((*node).stop) }

// kill ends nodes that have nothing more to say.
func (c *cluster) kill() {
	_ = c.each(func(n *node) error { n.kill(); return nil })
}

// said is the end of the nodes' logs.
func (c *cluster) said() (text string) {
	for _, n := range c.nodes {
		text += n.said()
	}
	return text
}

// newWebhook makes a webhook for a URL and returns its id.
func (c *cluster) newWebhook(ctx context.Context, url string) (string, error) {
	b, err := c.turn().post(ctx, "/api/v1/webhooks", fmt.Appendf(nil, `{"displayName":"benchmark","url":%q}`, url))
	if err != nil {
		return "", fmt.Errorf("creating a webhook: %w", err)
	}
	return firstID(b)
}

// counter is the sum of the nodes' counters of that name.
func (c *cluster) counter(ctx context.Context, name string) (sum int64, err error) {
	for _, n := range c.nodes {
		v, err := n.counter(ctx, name)
		if err != nil {
			return 0, err
		}
		sum += v
	}
	return sum, nil
}

// awaitClosed returns when so many instances have been closed.
func (c *cluster) awaitClosed(ctx context.Context, want int64) error {
	for deadline := time.Now().Add(patience); ; time.Sleep(2 * time.Millisecond) {
		got, err := c.counter(ctx, c.closed)
		switch {
		case err != nil:
			return err
		case got == want:
			return nil
		case got > want:
			return fmt.Errorf("%s closed %d instances, %d were created", c.name, got, want)
		case time.Now().After(deadline):
			return fmt.Errorf("%s has closed %d instances of %d after %s", c.name, got, want, patience)
		}
	}
}

// awaitCounted returns when Riposte has counted what it found at its start,
// which would otherwise be measured with what comes then.
func (c *cluster) awaitCounted(ctx context.Context) error {
	for deadline := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		_, err := c.counter(ctx, "riposte_instances")
		if err == nil || ctx.Err() != nil || time.Now().After(deadline) {
			return err
		}
	}
}

// settle has the medium do now what it would do later.
func (c *cluster) settle(ctx context.Context) error { return c.medium.settle(ctx, c.store) }

// usage is the nodes' and the medium's.
func (c *cluster) usage(ctx context.Context) (usage, error) {
	u, err := c.medium.usage(ctx)
	if err != nil {
		return u, err
	}
	if c.fsyncs != "" {
		if u.fsyncs, err = c.counter(ctx, c.fsyncs); err != nil {
			return u, err
		}
	}
	for _, n := range c.nodes {
		used, err := usageOf(n.cmd.Process.Pid)
		if err != nil {
			return u, fmt.Errorf("reading what %s uses: %w", c.name, err)
		}
		u.add(used)
		u.peak = max(u.peak, used.peak)
	}
	return u, nil
}
