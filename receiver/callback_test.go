package receiver_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/riposte-dev/riposte/receiver"
	"github.com/riposte-dev/riposte/ripostetest"
	"github.com/riposte-dev/riposte/server"
)

// later asks an instance whose receiver answers 202, and returns its callback
// URL.
func later(t *testing.T, s *ripostetest.Server) (id, callbackURL string) {
	t.Helper()
	got := make(chan receiver.Delivery, 1)
	var v *receiver.Verifier
	own := endpoint(t, func(w http.ResponseWriter, r *http.Request) {
		d, err := v.Verify(r)
		if err != nil {
			t.Errorf("verifying: %v", err)
		}
		receiver.Later(w)
		got <- d
	})
	v = must(receiver.NewVerifier(s.BaseURL(), own))
	id = ask(t, s, own)
	return id, (<-got).CallbackURL
}

func reason(err error) string {
	refused, _ := errors.AsType[*receiver.CallBackError](err)
	if refused == nil {
		return ""
	}
	return refused.Reason
}

func TestCallsBackOnce(t *testing.T) {
	s := ripostetest.Start(t)
	id, callbackURL := later(t, s)
	bad := receiver.Complete("an approval step takes none")
	if err := receiver.CallBack(t.Context(), callbackURL, bad); reason(err) != receiver.ReasonBadDocument {
		t.Errorf("a document for another source: %v", err)
	}
	good := receiver.Deny("no")
	for n := range 2 {
		if err := receiver.CallBack(t.Context(), callbackURL, good); err != nil {
			t.Errorf("call %d: %v", n+1, err)
		}
	}
	if o := outcome(t, s, id); o.GetComment() != "no" {
		t.Errorf("the outcome is %v", o)
	}
	if err := receiver.CallBack(t.Context(), callbackURL, receiver.Approve("yes")); reason(err) != receiver.ReasonAlreadyUsed {
		t.Errorf("another document: %v", err)
	}
	if err := receiver.CallBack(t.Context(), callbackURL[:len(callbackURL)-2], good); reason(err) != receiver.ReasonInvalidCallback {
		t.Errorf("another URL: %v", err)
	}
	for _, junk := range []string{"", "callback", "file:///etc/passwd"} {
		if err := receiver.CallBack(t.Context(), junk, good); err == nil {
			t.Errorf("%q was called back", junk)
		}
	}
	if err := receiver.CallBack(t.Context(), callbackURL, receiver.Reassign("")); err == nil {
		t.Error("a document that there isn't was posted")
	}
}

// TestReplyThatGetsLost has a proxy that breaks off once the server has
// answered, and one that is away at first.
func TestReplyThatGetsLost(t *testing.T) {
	var calls atomic.Int32
	var front *httputil.ReverseProxy
	proxy := endpoint(t, func(w http.ResponseWriter, r *http.Request) {
		switch calls.Add(1) {
		case 1:
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(http.StatusServiceUnavailable)
		case 2:
			front.ServeHTTP(discard{http.Header{}}, r)
			panic(http.ErrAbortHandler)
		default:
			front.ServeHTTP(w, r)
		}
	})
	s := ripostetest.Start(t, func(c *server.Config) { c.PublicURL = proxy })
	front = httputil.NewSingleHostReverseProxy(must(url.Parse(s.BaseURL())))
	id, callbackURL := later(t, s)
	if !strings.HasPrefix(callbackURL, proxy) {
		t.Fatalf("the callback URL is %s", callbackURL)
	}
	if err := receiver.CallBack(t.Context(), callbackURL, receiver.Approve("fine")); err != nil {
		t.Error(err)
	}
	if n := calls.Load(); n != 3 {
		t.Errorf("%d calls, want 3", n)
	}
	if o := outcome(t, s, id); o.GetComment() != "fine" {
		t.Errorf("the outcome is %v", o)
	}
}

// discard is a response that nobody gets.
type discard struct{ header http.Header }

func (d discard) Header() http.Header       { return d.header }
func (discard) Write(b []byte) (int, error) { return len(b), nil }
func (discard) WriteHeader(int)             {}

func TestCallBackEnds(t *testing.T) {
	for name, tt := range map[string]struct {
		status int
		body   string
		calls  int32
	}{
		"a 404 of somebody else's":   {404, "<html>", 1},
		"a redirect":                 {307, "", 1},
		"too large":                  {413, `{"message":"too large","details":[{"reason":"DOCUMENT_TOO_LARGE"}]}`, 1},
		"sameDocument of no 400":     {403, `{"details":[{"reason":"CALLBACK_ALREADY_USED","metadata":{"sameDocument":"true"}}]}`, 1},
		"sameDocument of no use":     {400, `{"details":[{"reason":"INSTANCE_CLOSED","metadata":{"sameDocument":"true"}}]}`, 1},
		"away, until the time is up": {500, "", 2},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		var calls atomic.Int32
		url := endpoint(t, func(w http.ResponseWriter, r *http.Request) {
			if calls.Add(1) == 2 {
				defer cancel()
			}
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(tt.status)
			_, _ = io.WriteString(w, tt.body)
		})
		if err := receiver.CallBack(ctx, url, receiver.VersionAlone()); err == nil {
			t.Errorf("%s is taken for success", name)
		}
		if calls.Load() != tt.calls {
			t.Errorf("%s: %d calls, want %d", name, calls.Load(), tt.calls)
		}
		cancel()
	}
}
