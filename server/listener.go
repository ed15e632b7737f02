package server

import (
	"net"
	"sync/atomic"
	"syscall"
	"time"
)

// Bounds of connections.
const (
	// maxConnections is of a server with as many files as it likes: those who wait, each
	// on a connection of its own, and a quarter more.
	maxConnections = 20_480
	// otherFiles are left to attempts, which are 2,048 at most, to the connections that
	// are kept for later ones, which are 1,024, and to the store.
	otherFiles = 3_200
	// callbackShare is the part of the connections that callbacks have for themselves
	// where they have a listener of their own.
	callbackShare = 4
)

// connectionLimit is how many connections a process may hold that may have so many
// files open. Where they are few, attempts and callers get a half each.
func connectionLimit(files uint64) int64 {
	n := max(int64(min(files, 1<<30))-otherFiles, int64(min(files, 1<<30))/2)
	return min(n, maxConnections)
}

// openFiles is how many files this process may open: Go raises the limit at the start as
// far as it may.
func openFiles() uint64 {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 1024 // what POSIX systems give at least
	}
	return limit.Cur
}

// boundedListener closes at once what comes when there are as many connections as there
// may be: whoever connects then learns it, and whoever is connected already is served.
type boundedListener struct {
	net.Listener
	most          int64
	open, refused atomic.Int64
	crowd         *crowd
}

func newBoundedListener(l net.Listener, most int64) *boundedListener {
	return &boundedListener{Listener: l, most: most, crowd: newCrowd()}
}

// Accept implements net.Listener.
func (l *boundedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		tcp := c.(*net.TCPConn) // Open listens on nothing else
		if l.open.Add(1) <= l.most {
			return &boundedConn{TCPConn: tcp, of: l, used: time.Now().Add(calmBurst - calmStart)}, nil
		}
		l.open.Add(-1)
		l.refused.Add(1)
		_ = tcp.SetLinger(0) // a reset, which leaves nothing behind here
		tcp.Close()
	}
}

// boundedConn has all that net/http looks for on a TCP connection.
type boundedConn struct {
	*net.TCPConn
	of     *boundedListener
	closed atomic.Bool
	used   time.Time // how far its reads have used up what a calm one has
}

func (c *boundedConn) Close() error {
	err := c.TCPConn.Close()
	if c.closed.CompareAndSwap(false, true) {
		c.of.open.Add(-1)
	}
	return err
}

// Connections is how many connections there are.
func (l *boundedListener) Connections() int64 { return l.open.Load() }

// Refused is how many connections were closed at once because there were as many as
// there may be.
func (l *boundedListener) Refused() int64 { return l.refused.Load() }
