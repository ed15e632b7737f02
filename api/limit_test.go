package api_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/encoding/gzip" // a compressor of its clients
	"google.golang.org/grpc/metadata"
	grpcstatus "google.golang.org/grpc/status"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/api"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
	"github.com/riposte-dev/riposte/gen/riposte/v1/ripostev1connect"
)

// served is the API alone on a port.
type served struct {
	*api.Server
	t    *testing.T
	base string
	grpc ripostev1.InstancesServiceClient
}

func serveAPI(t *testing.T, s *api.Server) *served {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &http.Server{Handler: s, Protocols: new(http.Protocols)}
	h.Protocols.SetHTTP1(true)
	h.Protocols.SetUnencryptedHTTP2(true)
	go func() { _ = h.Serve(l) }()
	t.Cleanup(func() { _ = h.Close() })
	c, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &served{Server: s, t: t, base: "http://" + l.Addr().String(), grpc: ripostev1.NewInstancesServiceClient(c)}
}

// wantNothingLeft waits until no request is in work any more.
func (s *served) wantNothingLeft() {
	s.t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for time.Now().Before(deadline) {
		left := int64(0)
		for _, all := range []map[string]int64{s.InFlight(), s.HeldBytes()} {
			for _, n := range all {
				left += max(n, -n)
			}
		}
		if left == 0 {
			return
		}
		<-time.After(time.Millisecond)
	}
	s.t.Errorf("in work: %v, held: %v", s.InFlight(), s.HeldBytes())
}

// untouched is a body that nobody may read.
type untouched struct{ t *testing.T }

func (u untouched) Read([]byte) (int, error) {
	u.t.Error("the body was read")
	return 0, io.EOF
}

// TestOverloadIsSaidBeforeTheBodyIsRead in the form of each transport.
func TestOverloadIsSaidBeforeTheBodyIsRead(t *testing.T) {
	a, _ := newAPI(t)
	defer a.Fill("call")()
	for _, tt := range []struct{ name, rest, contentType string }{
		{"REST", "POST /api/v1/webhooks/w/instances", "application/json"},
		{"REST, GET", "GET /api/v1/webhooks", ""},
		{"Connect", "POST " + ripostev1connect.InstancesServiceCreateProcedure, "application/json"},
		{"what is nothing", "POST /nowhere", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			method, target, _ := strings.Cut(tt.rest, " ")
			r := httptest.NewRequestWithContext(t.Context(), method, target, untouched{t})
			r.Header.Set("Content-Type", tt.contentType)
			w := httptest.NewRecorder()
			a.ServeHTTP(w, r)
			if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") != "1" || !strings.Contains(w.Body.String(), "OVERLOADED") && tt.name != "Connect" {
				t.Errorf("HTTP %d, %v, %s", w.Code, w.Header(), w.Body)
			}
			if tt.name == "Connect" && !strings.Contains(w.Body.String(), `"code":"unavailable"`) {
				t.Errorf("%s", w.Body)
			}
			if strings.HasPrefix(tt.name, "REST") {
				wantRetryInfo(t, w.Body.Bytes(), "1s")
			}
		})
	}
	t.Run("gRPC", func(t *testing.T) {
		s := serveAPI(t, a)
		_, err := s.grpc.Create(asAdmin(t), &ripostev1.InstancesServiceCreateRequest{})
		wantGRPC(t, err, codes.Unavailable, "OVERLOADED", time.Second)
	})
	if got := a.Shed()["call"]; got != 5 {
		t.Errorf("%d are counted as refused, want 5", got)
	}
}

func asAdmin(t *testing.T) context.Context {
	return metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+adminKey)
}

func wantRetryInfo(t *testing.T, body []byte, delay string) {
	t.Helper()
	var s struct {
		Code    int
		Details []map[string]any
	}
	if err := json.Unmarshal(body, &s); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	if !slices.ContainsFunc(s.Details, func(d map[string]any) bool { return d["retryDelay"] == delay }) {
		t.Errorf("no RetryInfo of %s: %s", delay, body)
	}
}

func wantGRPC(t *testing.T, err error, code codes.Code, reason string, delay time.Duration) {
	t.Helper()
	st := grpcstatus.Convert(err)
	if st.Code() != code || len(st.Details()) != 2 {
		t.Fatalf("%v", err)
	}
	info, _ := st.Details()[0].(*errdetails.ErrorInfo)
	again, _ := st.Details()[1].(*errdetails.RetryInfo)
	if info.GetReason() != reason || again.GetRetryDelay().AsDuration() != delay {
		t.Errorf("%v", st.Details())
	}
}

// TestKindsOfRequestsLeaveEachOtherAlone and some are never refused.
func TestKindsOfRequestsLeaveEachOtherAlone(t *testing.T) {
	a, _ := newAPI(t)
	paths := map[string][]string{
		"call": {"GET /api/v1/webhooks", "POST /api/v1/instances:batchCreate", "POST " + instances + "Create", "GET /openapi.json", "POST /api/v1/consumers/c:ack",
			"GET /api/v1/instances"},
		"token":    {"POST /auth/v1/token", "GET /auth/v1/token"},
		"callback": {"POST /api/v1/webhooks/callback/x", "GET /api/v1/webhooks/callback/x"},
		"wait": {"GET /api/v1/instances/x:wait?timeout=0s", "GET /api/v1/instances/x%3Await?timeout=0s", "GET /api/v1/instances:watch?after=x", "POST /api/v1/consumers/c:pull",
			"POST " + instances + "Wait", "POST " + instances + "Watch", "POST " + ripostev1connect.ConsumersServicePullProcedure},
		"": {"GET /healthz", "GET /readyz", "GET /auth/v1/jwks", "GET /metrics", "GET /debug/pprof/"},
	}
	for _, full := range []string{"call", "callback", "wait", "page", "token"} {
		free := a.Fill(full)
		for kind, all := range paths {
			for _, rest := range all {
				w := httptest.NewRecorder()
				a.ServeHTTP(w, newRequest(t.Context(), rest, ""))
				if refused := w.Code == http.StatusServiceUnavailable; refused != (kind == full) {
					t.Errorf("no room for a %s: %s: HTTP %d", full, rest, w.Code)
				}
			}
		}
		free()
	}
	page := a.Pages(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.Inside().ServeHTTP(w, newRequest(r.Context(), "GET /api/v1/webhooks", ""))
	}))
	for full, want := range map[string]int{"call": http.StatusOK, "page": http.StatusServiceUnavailable} {
		free := a.Fill(full)
		w := httptest.NewRecorder()
		page.ServeHTTP(w, newRequest(t.Context(), "GET /", ""))
		if w.Code != want {
			t.Errorf("no room for a %s: a page: HTTP %d, want %d", full, w.Code, want)
		}
		free()
	}
}

// TestBodiesAreCountedBeforeTheyCome by what their head says, or else as they come.
func TestBodiesAreCountedBeforeTheyCome(t *testing.T) {
	a, _ := newAPI(t)
	_, most := a.Take("call", 0, 0)
	const free = 1000
	a.Take("call", 0, most-free)
	defer a.Take("call", 0, free-most)
	for _, tt := range []struct {
		name, encoding string
		length         int64
		refused        bool
	}{
		{"as much as there is", "", free, false},
		{"more", "", free + 1, true},
		{"compressed, and so perhaps more", "gzip", 2, true},
		{"compressed, of unknown length", "gzip", -1, true},
		{"compressed, as long as can be said", "gzip", math.MaxInt64, true},
		{"compressed, of 2^61 bytes", "gzip", 1 << 61, true},
		{"not compressed", "identity", free, false},
	} {
		body := io.Reader(untouched{t})
		if !tt.refused {
			body = strings.NewReader(strings.Repeat(" ", int(tt.length)))
		}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/api/v1/webhooks", body)
		r.Header.Set("Authorization", "Bearer "+adminKey)
		r.ContentLength = tt.length
		r.Header.Set("Content-Encoding", tt.encoding)
		w := httptest.NewRecorder()
		a.ServeHTTP(w, r)
		if (w.Code == http.StatusServiceUnavailable) != tt.refused {
			t.Errorf("%s: HTTP %d", tt.name, w.Code)
		}
		if got := w.Header().Get("Connection"); (got == "close") != (tt.length < 0 || tt.length > 4<<10) {
			t.Errorf("%s: Connection: %q", tt.name, got)
		}
	}
}

// TestBodyOfUnknownLengthIsCountedAsItComes over each transport.
func TestBodyOfUnknownLengthIsCountedAsItComes(t *testing.T) {
	a, _ := newAPI(t)
	s := serveAPI(t, a)
	_, most := a.Take("call", 0, 0)
	a.Take("call", 0, most-10_000)
	payload := fmt.Appendf(nil, `{"x":"%s"}`, strings.Repeat("x", 20_000))
	request := &ripostev1.InstancesServiceCreateRequest{WebhookId: "w", Source: approvalStep("T"), Payload: payload}

	_, err := s.grpc.Create(asAdmin(t), request)
	wantGRPC(t, err, codes.Unavailable, "OVERLOADED", time.Second)

	_, err = ripostev1connect.NewInstancesServiceClient(chunking(), s.base).Create(withKey(t.Context()), request)
	if e, ok := errors.AsType[*connect.Error](err); !ok || e.Code() != connect.CodeUnavailable || e.Meta().Get("Retry-After") != "1" {
		t.Errorf("Connect: %v", err)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.base+"/api/v1/webhooks/w/instances", io.NopCloser(strings.NewReader(`{"payload":`+string(payload)+`}`)))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+adminKey)
	r.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusServiceUnavailable || !bytes.Contains(body, []byte("OVERLOADED")) {
		t.Errorf("REST: HTTP %d, %v, %s", res.StatusCode, err, body)
	}
	if got := a.Shed()["call"]; got != 3 {
		t.Errorf("%d are counted as refused, want 3", got)
	}
	a.Take("call", 0, 10_000-most)
	s.wantNothingLeft()
}

func withKey(ctx context.Context) context.Context {
	ctx, call := connect.NewClientContext(ctx)
	call.RequestHeader().Set("Authorization", "Bearer "+adminKey)
	return ctx
}

// chunking sends bodies without their length.
func chunking() *http.Client { return &http.Client{Transport: chunked{}} }

type chunked struct{}

func (chunked) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.ContentLength, r.GetBody = -1, nil
	return http.DefaultTransport.RoundTrip(r)
}

// TestCompressedBodyCountsForWhatItMayBecome and is taken where there is room.
func TestCompressedBodyCountsForWhatItMayBecome(t *testing.T) {
	a, store := newAPI(t)
	s := serveAPI(t, a)
	webhook := newWebhookIn(t, store)
	body := `{"webhookId":"` + webhook + `","source":{"approvalStep":{"ticketId":"T"}},"payload":{"x":"` + strings.Repeat("x", 100_000) + `"}}`
	var small bytes.Buffer
	z := gzip.NewWriter(&small)
	if _, err := z.Write([]byte(body)); err != nil || z.Close() != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.base+ripostev1connect.InstancesServiceCreateProcedure, &small)
	if err != nil {
		t.Fatal(err)
	}
	r.Header = http.Header{"Authorization": {"Bearer " + adminKey}, "Content-Type": {"application/json"}, "Content-Encoding": {"gzip"}}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(res.Body)
		t.Errorf("HTTP %d: %s", res.StatusCode, b)
	}
	s.wantNothingLeft()
}

func newWebhookIn(t *testing.T, store riposte.Store) string {
	t.Helper()
	w, err := riposte.NewWebhook("w", "", "https://receiver.example/", 0, func(string) (string, error) { return "receiver.example", nil }, store.Now())
	if err == nil {
		w, err = store.SaveWebhook(t.Context(), w)
	}
	if err != nil {
		t.Fatal(err)
	}
	return w.ID
}

// TestPanicGivesItsPlaceBack.
func TestPanicGivesItsPlaceBack(t *testing.T) {
	a, _ := newAPI(t)
	h := a.Pages(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	func() {
		defer func() { _ = recover() }()
		h.ServeHTTP(httptest.NewRecorder(), newRequest(t.Context(), "POST /", strings.Repeat("x", 100)))
	}()
	if a.InFlight()["page"] != 0 || a.HeldBytes()["page"] != 0 {
		t.Errorf("%v, %v", a.InFlight(), a.HeldBytes())
	}
}

// wantLimited returns after how long the caller may come again.
func wantLimited(t *testing.T, err error) time.Duration {
	t.Helper()
	st := grpcstatus.Convert(err)
	if st.Code() != codes.ResourceExhausted || len(st.Details()) != 2 {
		t.Fatalf("%v", err)
	}
	if info, _ := st.Details()[0].(*errdetails.ErrorInfo); info.GetReason() != "RATE_LIMITED" {
		t.Errorf("%v", st.Details())
	}
	again, _ := st.Details()[1].(*errdetails.RetryInfo)
	return again.GetRetryDelay().AsDuration()
}

// TestManyCallersAreNotTooMany: each of them asks one question after the other, as programs
// do that have hundreds of workers.
func TestManyCallersAreNotTooMany(t *testing.T) {
	const callers, questions = 500, 10
	a, store := newAPI(t)
	s := serveAPI(t, a)
	path := s.base + "/api/v1/webhooks/" + newWebhookIn(t, store) + "/instances"
	c := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: callers}}
	defer c.CloseIdleConnections()
	var refused atomic.Int64
	var asking sync.WaitGroup
	for range callers {
		asking.Go(func() {
			for range questions {
				r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader(`{"source":{"approvalStep":{"ticketId":"T"}},"payload":{}}`))
				if err != nil {
					t.Error(err)
					return
				}
				r.Header = http.Header{"Authorization": {"Bearer " + adminKey}, "Content-Type": {"application/json"}}
				res, err := c.Do(r)
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, res.Body)
				res.Body.Close()
				if res.StatusCode != http.StatusOK {
					refused.Add(1)
				}
			}
		})
	}
	asking.Wait()
	if n := refused.Load(); n > 0 {
		t.Errorf("%d of %d questions were refused", n, callers*questions)
	}
}

// TestWaitsOfWhoCompressesHaveTheirPlaces: gRPC says nothing of a body's length, and of a
// compressed one nobody knows what it becomes.
func TestWaitsOfWhoCompressesHaveTheirPlaces(t *testing.T) {
	const waiting = 200 // on one connection
	a, store := newAPI(t)
	s := serveAPI(t, a)
	webhook := newWebhookIn(t, store)
	created, err := s.grpc.Create(asAdmin(t), &ripostev1.InstancesServiceCreateRequest{WebhookId: webhook, Source: approvalStep("T"), Payload: []byte(`{}`)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(asAdmin(t))
	defer cancel()
	refused := make(chan error, waiting)
	for range waiting {
		go func() {
			_, err := s.grpc.Wait(ctx, &ripostev1.InstancesServiceWaitRequest{Id: created.GetInstance().GetWebhookInstance().GetId()}, grpc.UseCompressor("gzip"))
			refused <- err
		}()
	}
	for deadline := time.Now().Add(10 * time.Second); a.InFlight()["wait"] < waiting; <-time.After(time.Millisecond) {
		if len(refused) > 0 {
			t.Fatalf("with %d who wait: %v", a.InFlight()["wait"], <-refused)
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d wait", a.InFlight()["wait"])
		}
	}
}
