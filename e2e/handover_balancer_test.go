package e2e

import (
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"testing"
)

// balancer stands before nodes that come and go, and passes each connection on to
// one that is up. It closes one for which there is none.
type balancer struct {
	URL      string
	listener net.Listener
	passing  sync.WaitGroup

	mu     sync.Mutex
	up     []string // addresses
	open   map[net.Conn]bool
	closed bool
}

func newBalancer(t *testing.T) *balancer {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &balancer{URL: "http://" + listener.Addr().String(), listener: listener, open: map[net.Conn]bool{}}
	b.passing.Go(b.accept)
	t.Cleanup(b.close)
	return b
}

func (b *balancer) accept() {
	for {
		conn, err := b.listener.Accept()
		if err != nil {
			return
		}
		b.passing.Go(func() { b.pass(conn) })
	}
}

// pass copies between a caller and a node until either ends.
func (b *balancer) pass(caller net.Conn) {
	defer b.keep(caller)()
	node := b.dial()
	if node == nil {
		return
	}
	defer b.keep(node)()
	ended := make(chan struct{}, 2)
	for _, way := range [][2]net.Conn{{caller, node}, {node, caller}} {
		b.passing.Go(func() {
			_, _ = io.Copy(way[0], way[1])
			ended <- struct{}{}
		})
	}
	<-ended
}

// dial is nil where no node is up.
func (b *balancer) dial() net.Conn {
	b.mu.Lock()
	up := slices.Clone(b.up)
	b.mu.Unlock()
	rand.Shuffle(len(up), func(i, k int) { up[i], up[k] = up[k], up[i] })
	for _, address := range up {
		if conn, err := net.Dial("tcp", address); err == nil {
			return conn
		}
	}
	return nil
}

// keep closes a connection with the balancer, or before that by what it returns.
func (b *balancer) keep(c net.Conn) (drop func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.open[c] = true
	if b.closed {
		c.Close()
	}
	return func() {
		c.Close()
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.open, c)
	}
}

func (b *balancer) add(address string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.up = append(b.up, address)
}

func (b *balancer) remove(address string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.up = slices.DeleteFunc(b.up, func(other string) bool { return other == address })
}

func (b *balancer) close() {
	b.mu.Lock()
	b.closed = true
	for c := range b.open {
		c.Close()
	}
	b.mu.Unlock()
	b.listener.Close()
	b.passing.Wait()
}
