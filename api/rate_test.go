package api_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/api"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

// newLimitedAPI has one key, which may call so often.
func newLimitedAPI(t *testing.T, callsPerSecond int) *api.Server {
	t.Helper()
	store := newStore(t)
	key, err := riposte.NewKeyWithSecret("test", riposte.RoleAdmin, adminKey, store.Now())
	if err != nil {
		t.Fatal(err)
	}
	key.RateLimit = callsPerSecond
	s := api.New(api.Options{Store: store, Keys: []riposte.Key{key}, Tokens: newTokens(t), Logger: slog.New(slog.DiscardHandler)})
	t.Cleanup(s.Close)
	return s
}

func TestWhoCallsTooOftenIsToldWhenToComeAgain(t *testing.T) {
	s := newLimitedAPI(t, 2)
	synctest.Test(t, func(t *testing.T) {
		get := func() *httptest.ResponseRecorder {
			w := httptest.NewRecorder()
			s.ServeHTTP(w, newRequest(t.Context(), "GET /api/v1/nothing", ""))
			return w
		}
		want := func(status int) {
			t.Helper()
			if w := get(); w.Code != status {
				t.Fatalf("HTTP %d, want %d: %s", w.Code, status, w.Body)
			}
		}
		want(http.StatusNotFound) // a second's worth at once
		want(http.StatusNotFound)
		w := get()
		if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") != "1" {
			t.Errorf("HTTP %d, %v", w.Code, w.Header())
		}
		r := reply{status: w.Code, body: w.Body.Bytes()}
		if e := r.error(t); e.Code != 8 || e.reason() != "RATE_LIMITED" {
			t.Errorf("%s", w.Body)
		}
		wantRetryInfo(t, w.Body.Bytes(), "0.500s")
		want(http.StatusTooManyRequests) // who was refused has used up nothing, and gained nothing
		time.Sleep(500 * time.Millisecond)
		want(http.StatusNotFound)
		want(http.StatusTooManyRequests)
		time.Sleep(time.Hour)
		want(http.StatusNotFound)
		want(http.StatusNotFound)
		want(http.StatusTooManyRequests)
	})
	if got := s.RateLimited(); got != 4 {
		t.Errorf("%d are counted, want 4", got)
	}
}

func TestRateIsSaidByGRPC(t *testing.T) {
	s := serveAPI(t, newLimitedAPI(t, 1))
	w := httptest.NewRecorder()
	s.ServeHTTP(w, newRequest(t.Context(), "GET /api/v1/nothing", ""))
	_, err := s.grpc.Get(asAdmin(t), &ripostev1.InstancesServiceGetRequest{})
	st := wantLimited(t, err)
	if st <= 0 || st > time.Second {
		t.Errorf("again after %s", st)
	}
}

// TestBucketsAreBounded, and a caller without a bound has none.
func TestBucketsAreBounded(t *testing.T) {
	b, now := api.NewBuckets(), time.Now()
	for range 10 {
		if d := b.Call("free", 0, now); d != 0 || b.Len() != 0 {
			t.Fatalf("%s, %d buckets", d, b.Len())
		}
	}
	for n := range api.MaxBuckets + 100 {
		b.Call(strconv.Itoa(n), 1, now)
	}
	if b.Len() != api.MaxBuckets {
		t.Errorf("%d buckets", b.Len())
	}
	// A second later all are full, which is as good as none.
	b.Call("another", 1, now.Add(time.Second))
	if b.Len() != 1 {
		t.Errorf("%d buckets", b.Len())
	}
	if d := b.Call("another", 1, now.Add(time.Second)); d != time.Second {
		t.Errorf("%s", d)
	}
	if d := b.Call("another", 100, now.Add(time.Second)); d != 0 { // it may call more often now
		t.Errorf("%s", d)
	}
}
