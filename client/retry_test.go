package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/riposte-dev/riposte/client"
)

func TestNewRefuses(t *testing.T) {
	for _, server := range []string{"", "riposte.example.com", "ftp://x", "http://", "http://:80", "https://me:secret@x", "https://x?a=b", "https://x#y", "http://%"} {
		if _, err := client.New(server); err == nil || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "URL") {
			t.Errorf("%q: %v", server, err)
		}
	}
	for _, server := range []string{"http://127.0.0.1:8080", " https://x/ ", "https://x/below/it/", "http://[::1]:1"} {
		if _, err := client.New(server, client.WithAPIKey(" key\n")); err != nil {
			t.Errorf("%q: %v", server, err)
		}
	}
	for name, option := range map[string]client.Option{
		"empty": client.WithAPIKey(" \n"), "characters": client.WithAPIKey("se cret"), "nil": client.WithHTTPClient(nil),
	} {
		if _, err := client.New("http://x", option); err == nil || strings.Contains(err.Error(), "se cret") || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestDelaysHaveFullJitter below a ceiling that doubles up to 5 s, and are never
// shorter than the server wants.
func TestDelaysHaveFullJitter(t *testing.T) {
	const rounds = 200
	var longest [12]time.Duration
	for range rounds {
		for n, d := range client.Delays(len(longest), 0) {
			longest[n] = max(longest[n], d)
			if ceiling := min(100*time.Millisecond<<n, 5*time.Second); d < 0 || d >= ceiling {
				t.Fatalf("delay %d is %s, of %s at most", n, d, ceiling)
			}
		}
		if d := client.Delays(1, time.Second)[0]; d < time.Second || d >= 1100*time.Millisecond {
			t.Fatalf("at least a second is %s", d)
		}
	}
	for n, d := range longest {
		if ceiling := min(100*time.Millisecond<<n, 5*time.Second); d < ceiling/2 {
			t.Errorf("delay %d was %s at most in %d rounds, of %s", n, d, rounds, ceiling)
		}
	}
	if d := client.Delays(1000, 0); slices.Max(d) >= 5*time.Second {
		t.Errorf("after 1000 tries: %s", slices.Max(d))
	}
}

func TestRetryAfter(t *testing.T) {
	in := func(header string, details ...time.Duration) error {
		e := connect.NewError(connect.CodeUnavailable, errors.New("busy"))
		e.Meta().Set("Retry-After", header)
		for _, d := range details {
			detail, err := connect.NewErrorDetail(&errdetails.RetryInfo{RetryDelay: durationpb.New(d)})
			if err != nil {
				t.Fatal(err)
			}
			e.AddDetail(detail)
		}
		return fmt.Errorf("calling: %w", e)
	}
	for _, tt := range []struct {
		err       error
		least, at time.Duration
	}{
		{errors.New("anything"), 0, 0}, {in(""), 0, 0}, {in("3"), 3 * time.Second, 3 * time.Second}, {in("-3"), 0, 0}, {in("soon"), 0, 0},
		{in("86400"), time.Minute, time.Minute}, {in("99999999999999"), time.Minute, time.Minute}, {in("", 2*time.Second), 2 * time.Second, 2 * time.Second},
		{in("1", 2*time.Second), 2 * time.Second, 2 * time.Second}, {in("", time.Hour), time.Minute, time.Minute},
		{in(time.Now().Add(20 * time.Second).UTC().Format(http.TimeFormat)), 15 * time.Second, 20 * time.Second},
		{in(time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat)), 0, 0},
	} {
		if got := client.RetryAfter(tt.err); got < tt.least || got > tt.at {
			t.Errorf("%v: %s, want %s to %s", tt.err, got, tt.least, tt.at)
		}
	}
}

func TestCurable(t *testing.T) {
	coded := func(c connect.Code) error { return connect.NewError(c, errors.New("x")) }
	wire := func(c connect.Code) error { return connect.NewWireError(c, errors.New("x")) }
	broken := connect.NewError(connect.CodeInternal, fmt.Errorf("protocol error: %w", io.ErrUnexpectedEOF))
	reset := connect.NewError(connect.CodeUnknown, fmt.Errorf("read message: %w", &net.OpError{Op: "read", Err: errors.New("reset")}))
	for _, err := range []error{wire(connect.CodeUnavailable), wire(connect.CodeDeadlineExceeded), wire(connect.CodeCanceled),
		coded(connect.CodeUnavailable), broken, reset, connect.NewError(connect.CodeDeadlineExceeded, context.DeadlineExceeded)} {
		if !client.Curable(err) {
			t.Errorf("%v is not cured by calling again", err)
		}
	}
	limited := connect.NewError(connect.CodeResourceExhausted, errors.New("too often"))
	if detail, err := connect.NewErrorDetail(&errdetails.ErrorInfo{Reason: "RATE_LIMITED", Domain: "riposte"}); err != nil {
		t.Fatal(err)
	} else if limited.AddDetail(detail); !client.Curable(limited) {
		t.Error("a call that came too soon is not cured by calling again")
	}
	for c := connect.CodeCanceled; c <= connect.CodeUnauthenticated; c++ {
		again := c == connect.CodeUnavailable || c == connect.CodeDeadlineExceeded || c == connect.CodeCanceled
		if client.Curable(wire(c)) != again || client.Curable(coded(c)) != again {
			t.Errorf("%s: %t", c, !again)
		}
	}
}
