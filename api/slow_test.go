package api_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/grpc/codes"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/api"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
	"github.com/riposte-dev/riposte/gen/riposte/v1/ripostev1connect"
)

// begin sends the head of a request and some of its body, and nothing more.
func (s *served) begin(rest string) net.Conn {
	s.t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(s.base, "http://"))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	contentType := "application/json"
	if strings.HasSuffix(rest, "/token") {
		contentType = "application/x-www-form-urlencoded"
	}
	fmt.Fprintf(c, "%s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: %s\r\nContent-Length: 100\r\n\r\n{", rest, adminKey, contentType)
	return c
}

// wantCome waits until n requests are in work, or were refused.
func (s *served) wantCome(n int64) {
	s.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; <-time.After(time.Millisecond) {
		came := int64(0)
		for _, all := range []map[string]int64{s.InFlight(), s.Shed()} {
			for _, n := range all {
				came += n
			}
		}
		if came == n {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%d of %d requests have come", came, n)
		}
	}
}

// TestFormsThatComeSlowlyLeaveCallsAlone: whoever asks for a token sends a body before
// anybody knows who that is.
func TestFormsThatComeSlowlyLeaveCallsAlone(t *testing.T) {
	a, _ := newAPI(t)
	s := serveAPI(t, a)
	most, _ := a.Take("call", 0, 0)
	for range most {
		s.begin("POST /auth/v1/token")
	}
	s.wantCome(most)
	w := httptest.NewRecorder()
	a.ServeHTTP(w, newRequest(t.Context(), "GET /api/v1/webhooks", ""))
	if w.Code != http.StatusOK {
		t.Errorf("a call while forms come: HTTP %d: %s", w.Code, w.Body)
	}
	form := askToken(t, a, "grant_type=client_credentials")
	if form.Code != http.StatusServiceUnavailable || form.Error != "temporarily_unavailable" || form.Header().Get("Retry-After") != "1" {
		t.Errorf("one more form: HTTP %d, %v: %s", form.Code, form.Header(), form.Body)
	}
}

// TestBodiesThatComeSlowlyTakeNoTurns from those that have come.
func TestBodiesThatComeSlowlyTakeNoTurns(t *testing.T) {
	t.Parallel()
	a, _ := newAPI(t)
	s := serveAPI(t, a)
	for range api.MaxWorked + 1 {
		s.begin("POST /api/v1/webhooks")
		s.begin("POST " + nobodysCallback(a))
	}
	s.wantCome(2 * (api.MaxWorked + 1))
	began := time.Now()
	serveOK(t, a, newRequest(t.Context(), "GET /api/v1/webhooks", ""))
	serveOK(t, a, newRequest(t.Context(), "POST /api/v1/webhooks", `{"displayName":"x","url":"https://a.example"}`))
	w := httptest.NewRecorder()
	a.ServeHTTP(w, newRequest(t.Context(), "POST "+nobodysCallback(a), "{}"))
	if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "INVALID_CALLBACK") {
		t.Errorf("a callback meanwhile: HTTP %d: %s", w.Code, w.Body)
	}
	if took := time.Since(began); took > 4*time.Second { // a turn is waited for 5 s
		t.Errorf("they took %s", took)
	}
}

// nobodysCallback is the path of a callback for an instance that is not there.
func nobodysCallback(a *api.Server) string {
	return "/api/v1/webhooks/callback/" + a.Tokens.Seal(riposte.NewID(time.Now()))
}

// TestOneCallbackURLTakesNotAllPlaces, however many are sent to it at once.
func TestOneCallbackURLTakesNotAllPlaces(t *testing.T) {
	t.Parallel()
	a, _ := newAPI(t)
	s := serveAPI(t, a)
	one := "POST " + nobodysCallback(a)
	var begun []net.Conn
	for range api.MaxOfOne {
		begun = append(begun, s.begin(one))
	}
	s.wantCome(api.MaxOfOne)
	for rest, want := range map[string]int{one: http.StatusServiceUnavailable, "POST " + nobodysCallback(a): http.StatusBadRequest} {
		w := httptest.NewRecorder()
		if a.ServeHTTP(w, newRequest(t.Context(), rest, "{}")); w.Code != want {
			t.Errorf("%s: HTTP %d, want %d: %s", rest, w.Code, want, w.Body)
		}
	}
	for _, c := range begun {
		c.Close()
	}
	s.wantNothingLeft()
	w := httptest.NewRecorder()
	if a.ServeHTTP(w, newRequest(t.Context(), one, "{}")); w.Code != http.StatusBadRequest {
		t.Errorf("afterwards: HTTP %d: %s", w.Code, w.Body)
	}
}

// TestBodyThatNeverComesIsEnded: whoever has no key, and whoever was asked once, can't
// hold a connection by it for longer than a body may take.
func TestBodyThatNeverComesIsEnded(t *testing.T) {
	t.Parallel()
	a, _ := newAPI(t)
	s := serveAPI(t, a)
	for rest, within := range map[string]string{"POST /auth/v1/token": "10 s", "POST " + nobodysCallback(a): "15 s"} {
		t.Run(within, func(t *testing.T) {
			t.Parallel()
			c := s.begin(rest)
			_ = c.SetReadDeadline(time.Now().Add(25 * time.Second))
			b, err := io.ReadAll(c)
			if err != nil || !strings.HasPrefix(string(b), "HTTP/1.1 400 ") || !strings.Contains(string(b), "must come within "+within) {
				t.Errorf("%v: %s", err, b)
			}
		})
	}
}

// TestWorkIsDoneInTurns, over each transport, with and without a body.
func TestWorkIsDoneInTurns(t *testing.T) {
	t.Parallel()
	a, _ := newAPI(t)
	s := serveAPI(t, a)
	t.Cleanup(a.Work("call"))
	t.Cleanup(a.Work("callback"))
	for _, rest := range []string{"GET /api/v1/webhooks", "POST /api/v1/webhooks", "POST " + nobodysCallback(a)} {
		t.Run(rest[:20], func(t *testing.T) {
			t.Parallel()
			w := httptest.NewRecorder()
			body := ""
			if strings.HasPrefix(rest, "POST") {
				body = `{"displayName":"x","url":"https://a.example"}`
			}
			a.ServeHTTP(w, newRequest(t.Context(), rest, body))
			if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") != "1" || !strings.Contains(w.Body.String(), "OVERLOADED") {
				t.Errorf("HTTP %d, %v: %s", w.Code, w.Header(), w.Body)
			}
		})
	}
	request := &ripostev1.InstancesServiceCreateRequest{WebhookId: "w", Source: approvalStep("T")}
	t.Run("gRPC", func(t *testing.T) {
		t.Parallel()
		_, err := s.grpc.Create(asAdmin(t), request)
		wantGRPC(t, err, codes.Unavailable, "OVERLOADED", time.Second)
	})
	t.Run("Connect", func(t *testing.T) {
		t.Parallel()
		_, err := ripostev1connect.NewInstancesServiceClient(http.DefaultClient, s.base).Create(withKey(t.Context()), request)
		if connect.CodeOf(err) != connect.CodeUnavailable {
			t.Errorf("%v", err)
		}
	})
}
