package postgres_test

import (
	"bytes"
	"io"
	"net"
	"net/url"
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

// cutter stands between a store and its database.
type cutter struct {
	url   string
	to    string
	armed atomic.Bool // the next COMMIT gets no answer
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
	go io.Copy(server, client)
	b := make([]byte, 64<<10)
	for {
		n, err := server.Read(b)
		if err != nil {
			return
		}
		// The server's answer to a COMMIT.
		if bytes.Contains(b[:n], []byte("COMMIT\x00")) && c.armed.CompareAndSwap(true, false) {
			return
		}
		if _, err := client.Write(b[:n]); err != nil {
			return
		}
	}
}
