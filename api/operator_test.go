package api_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/api"
)

// TestMetricsAreForWhoMayRead: the answers are those of any other read.
func TestMetricsAreForWhoMayRead(t *testing.T) {
	n := startNode(t)
	for role, secret := range n.keys() {
		r := n.send(http.MethodGet, "/metrics", "", "Authorization", "Bearer "+secret)
		if r.status != http.StatusOK || !strings.HasPrefix(r.header.Get("Content-Type"), "text/plain; version=0.0.4") ||
			!strings.Contains(string(r.body), "\nriposte_attempts_in_flight 0\n") {
			t.Errorf("a %s gets HTTP %d, %v", role, r.status, r.header)
		}
	}
	for authorization, reason := range map[string]string{"": "NO_CREDENTIALS", "Bearer nobody's": "BAD_CREDENTIALS"} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			r := n.send(method, "/metrics", "", "Authorization", authorization, "Content-Type", "application/json")
			if s := r.error(t); r.status != http.StatusUnauthorized || codes.Code(s.Code) != codes.Unauthenticated || s.reason() != reason ||
				r.header.Get("WWW-Authenticate") == "" {
				t.Errorf("%s with %q: HTTP %d, %v, %s", method, authorization, r.status, r.header, r.body)
			}
		}
	}
	if r := n.send(http.MethodDelete, "/metrics", ""); r.error(t).reason() != "METHOD_NOT_ALLOWED" {
		t.Errorf("DELETE: HTTP %d: %s", r.status, r.body)
	}
	if r := n.send(http.MethodGet, "/metrics/x", ""); r.status != http.StatusNotFound {
		t.Errorf("/metrics/x: HTTP %d", r.status)
	}
}

// TestMetricsAreNotForARoleBelowAViewer, should there ever be one.
func TestMetricsAreNotForARoleBelowAViewer(t *testing.T) {
	_, store := newAPI(t)
	s := api.New(api.Options{Store: store, Logger: slog.New(slog.DiscardHandler), Metrics: http.NotFoundHandler(),
		Keys: []riposte.Key{{ID: "k", Role: "nobody", Hash: riposte.HashKey("secret")}}})
	defer s.Close()
	r, w := httptest.NewRequest(http.MethodGet, "/metrics", nil), httptest.NewRecorder()
	r.Header.Set("Authorization", "Bearer secret")
	s.ServeHTTP(w, r)
	if w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), "ROLE_TOO_LOW") {
		t.Errorf("HTTP %d: %s", w.Code, w.Body)
	}
}

// TestProfilesAreForAdmins: a heap has secrets in it.
func TestProfilesAreForAdmins(t *testing.T) {
	n := startNode(t)
	for role, secret := range n.keys() {
		for path, want := range map[string]int{"/debug/pprof/": 200, "/debug/pprof/heap": 200, "/debug/pprof/profile?seconds=1": 200, "/debug/pprof/cmdline": 404} {
			if role != riposte.RoleAdmin {
				want = http.StatusForbidden
			}
			if r := n.send(http.MethodGet, path, "", "Authorization", "Bearer "+secret); r.status != want {
				t.Errorf("%s for a %s: HTTP %d, want %d", path, role, r.status, want)
			}
		}
	}
	if r := n.send(http.MethodGet, "/debug/pprof/heap", "", "Authorization", ""); r.status != http.StatusUnauthorized {
		t.Errorf("without a key: HTTP %d", r.status)
	}
}

// TestPanicIsLogged: with its stack, without the path, which may have a token.
func TestPanicIsLogged(t *testing.T) {
	_, store := newAPI(t)
	var log bytes.Buffer
	s := api.New(api.Options{Store: store, Logger: slog.New(slog.NewTextHandler(&log, nil)),
		Metrics: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("planted") }),
		Keys:    []riposte.Key{{ID: "k", Role: riposte.RoleViewer, Hash: riposte.HashKey("secret")}}})
	defer s.Close()
	r := httptest.NewRequest(http.MethodGet, "/metrics?canary", nil)
	r.Header.Set("Authorization", "Bearer secret")
	func() {
		defer func() {
			if p := recover(); p != http.ErrAbortHandler {
				t.Errorf("net/http gets the panic %v", p)
			}
		}()
		s.ServeHTTP(httptest.NewRecorder(), r)
	}()
	for _, want := range []string{"level=ERROR", "planted", "TestPanicIsLogged"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log has no %s: %s", want, &log)
		}
	}
	if strings.Contains(log.String(), "canary") {
		t.Errorf("the log has the path: %s", &log)
	}
}
