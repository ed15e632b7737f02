package outbound

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"sync/atomic"
)

// errUnasked is a response that was there before its request.
var errUnasked = errors.New("the response came before the request")

// watchedConn is a connection that knows whether anything was read from it since the
// request under way began to be written.
//
// HTTP/1.1 has nothing that ties a response to its request but their order. A receiver
// that answers once and then goes on, because its text was made to contain a second
// response, would have that taken for the answer to the next question on the
// connection: net/http closes a connection on which more comes than was asked for,
// but it offers the connection to the next request a moment earlier.
type watchedConn struct {
	net.Conn
	mu    sync.Mutex
	fresh bool // a request is to be written, and nothing of it has been yet
	read  bool // something was read since
}

func (c *watchedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.read = c.read || n > 0 && !c.fresh
	return n, err
}

func (c *watchedConn) Write(b []byte) (int, error) {
	c.mu.Lock()
	c.fresh = false
	c.mu.Unlock()
	return c.Conn.Write(b)
}

// begin says that a request is about to be written.
func (c *watchedConn) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fresh, c.read = true, false
}

// unasked reports whether what has been read so far was read before the request.
func (c *watchedConn) unasked() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.read
}

// watched makes connections of dial watched ones.
func watched(dial dialFunc) dialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &watchedConn{Conn: conn}, nil
	}
}

// countedConn is counted while it is open.
type countedConn struct {
	net.Conn
	open   *atomic.Int64
	closed atomic.Bool
}

func (c *countedConn) Close() error {
	if c.closed.CompareAndSwap(false, true) {
		c.open.Add(-1)
	}
	return c.Conn.Close()
}

type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

// watchedIn finds the watched connection under TLS; nil when there is none.
func watchedIn(conn net.Conn) *watchedConn {
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	watched, _ := conn.(*watchedConn)
	return watched
}
