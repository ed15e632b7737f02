package server

import (
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"
)

func TestConnectionsFitTheOpenFiles(t *testing.T) {
	for files, want := range map[uint64]int64{1024: 512, 4096: 2048, 6000: 3000, 16_384: 13_184, 20_000: 16_800, 1 << 20: maxConnections, 1 << 63: maxConnections} {
		if got := connectionLimit(files); got != want {
			t.Errorf("%d files: %d connections, want %d", files, got, want)
		}
	}
}

// TestConnectionTooManyIsRefusedAtOnce, and there is room again when another one ends.
func TestConnectionTooManyIsRefusedAtOnce(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := newBoundedListener(inner, 2)
	defer l.Close()
	accepted := make(chan net.Conn, 3)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	dial := func() net.Conn {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	dial()
	first := <-accepted
	dial()
	second := <-accepted
	refused, err := net.Dial("tcp", l.Addr().String())
	if err == nil { // the reset may as well come while it is dialed
		defer refused.Close()
		_ = refused.SetReadDeadline(time.Now().Add(10 * time.Second))
		_, err = refused.Read(make([]byte, 1))
	}
	if !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, io.EOF) {
		t.Errorf("the third one: %v", err)
	}
	if l.Connections() != 2 || l.Refused() != 1 {
		t.Errorf("%d connections, %d refused", l.Connections(), l.Refused())
	}
	first.Close()
	first.Close() // as net/http does
	dial()
	third := <-accepted
	if l.Connections() != 2 {
		t.Errorf("%d connections", l.Connections())
	}
	second.Close()
	third.Close()
	if l.Connections() != 0 {
		t.Errorf("%d connections", l.Connections())
	}
}
