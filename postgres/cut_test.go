package postgres_test

import (
	"bytes"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/postgres"
	"github.com/riposte-dev/riposte/postgres/postgrestest"
)

// TestCommitWithoutAnAnswerIsSettled cuts the connection between a COMMIT and its
// answer: the instance is there, and its caller is told so.
func TestCommitWithoutAnAnswerIsSettled(t *testing.T) {
	t.Parallel()
	cutter := newCutter(t, postgrestest.URL(t))
	s, err := postgres.Open(t.Context(), cutter.url, postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	w := newWebhook(t, s)
	record := newRecord(t, s, w)
	cutter.armed.Store(true)
	created, err := s.CreateInstances(t.Context(), []riposte.NewInstanceRecord{record})
	if err != nil || created[0].ID != record.Instance.ID {
		t.Errorf("created %v, %v", created, err)
	}
	if cutter.armed.Load() {
		t.Fatal("no connection was cut")
	}
	if got, err := s.LoadInstance(t.Context(), record.Instance.ID); err != nil || got.State != riposte.StatePending {
		t.Errorf("loaded %v, %v", got, err)
	}
}

// TestCommitThatNeverCameIsNotTakenForOne cuts the connection before the COMMIT
// arrives, and then the answer to the question what became of it.
func TestCommitThatNeverCameIsNotTakenForOne(t *testing.T) {
	t.Parallel()
	where := postgrestest.URL(t)
	cutter := newCutter(t, where)
	s, err := postgres.Open(t.Context(), cutter.url, postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	w := newWebhook(t, s)
	var node string
	if err := postgrestest.Connect(t, where).QueryRow(t.Context(), `SELECT id FROM nodes`).Scan(&node); err != nil {
		t.Fatal(err)
	}
	cutter.node.Store(&node)
	record := newRecord(t, s, w)
	cutter.step.Store(cutCommit)
	created, err := s.CreateInstances(t.Context(), []riposte.NewInstanceRecord{record})
	if cutter.step.Load() != cutDone {
		t.Fatalf("the connections were not cut: %d", cutter.step.Load())
	}
	_, loadErr := s.LoadInstance(t.Context(), record.Instance.ID)
	if (err == nil) != (loadErr == nil) {
		t.Errorf("answered %v, %v; loading it: %v", created, err, loadErr)
	}
}

// What is cut next of the writer's connections.
const (
	cutNothing int32 = iota
	cutCommit        // before a transaction's last statements arrive
	cutAnswer        // to the question that follows
	cutDone
)

// cutter stands between a store and its database.
type cutter struct {
	url   string
	to    string
	armed atomic.Bool // the next COMMIT gets no answer
	node  atomic.Pointer[string]
	step  atomic.Int32
	away  atomic.Bool  // each connection ends when something is said
	hangs sync.RWMutex // locked while nothing is handed on
}

func newCutter(t *testing.T, where string) *cutter {
	t.Helper()
	u, err := url.Parse(where)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	c := &cutter{to: u.Host}
	u.Host = l.Addr().String()
	c.url = u.String()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go c.serve(conn)
		}
	}()
	return c
}

func (c *cutter) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", c.to)
	if err != nil {
		return
	}
	defer server.Close()
	var deaf atomic.Bool // the client hears no more
	go c.forward(client, server, &deaf)
	b := make([]byte, 64<<10)
	for {
		n, err := server.Read(b)
		if err != nil || deaf.Load() {
			return
		}
		// The server's answer to a COMMIT.
		if bytes.Contains(b[:n], []byte("COMMIT\x00")) && c.armed.CompareAndSwap(true, false) {
			return
		}
		c.hangs.RLock()
		_, err = client.Write(b[:n])
		c.hangs.RUnlock()
		if err != nil {
			return
		}
	}
}

// forward hands on what the client says, until the cutter cuts it. A message that
// names the node ends a transaction, or asks what became of it.
func (c *cutter) forward(client, server net.Conn, deaf *atomic.Bool) {
	defer server.Close()
	b := make([]byte, 64<<10)
	writer := false
	for {
		n, err := client.Read(b)
		if err != nil || c.away.Load() {
			return
		}
		writer = writer || bytes.Contains(b[:n], []byte("idle_in_transaction_session_timeout"))
		if node := c.node.Load(); node != nil && writer && bytes.Contains(b[:n], []byte(*node)) {
			switch {
			case c.step.CompareAndSwap(cutCommit, cutAnswer):
				return
			case c.step.CompareAndSwap(cutAnswer, cutDone):
				deaf.Store(true)
			}
		}
		if _, err := server.Write(b[:n]); err != nil {
			return
		}
	}
}
