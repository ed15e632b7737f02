package server_test

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"

	webhooksv1 "github.com/riposte-dev/riposte/gen/c1/api/webhooks/v1"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
	"github.com/riposte-dev/riposte/ripostetest"
	"github.com/riposte-dev/riposte/server"
)

const approval = `{"version":"v1","approve":{"comment":"fine"}}`

// ask asks a question whose answer comes by callback, and returns its outcome.
func ask(t *testing.T, s *ripostetest.Server, r *ripostetest.Receiver) *ripostev1.Instance {
	t.Helper()
	w, err := s.Webhooks.Create(t.Context(), &webhooksv1.WebhooksServiceCreateRequest{DisplayName: "w", Url: r.URL})
	if err != nil {
		t.Fatal(err)
	}
	i, err := s.Instances.Create(t.Context(), &ripostev1.InstancesServiceCreateRequest{WebhookId: w.GetWebhook().GetId(), Source: &webhooksv1.WebhookSource{
		Source: &webhooksv1.WebhookSource_ApprovalStep{ApprovalStep: &webhooksv1.WebhookSourceApprovalStep{TicketId: "T"}}}})
	if err != nil {
		t.Fatal(err)
	}
	done, err := s.WaitFor(t.Context(), i.GetInstance().GetWebhookInstance().GetId(), func(i *ripostev1.Instance) bool { return i.GetOutcome() != nil })
	if err != nil {
		t.Fatal(err)
	}
	return done
}

func newCallingReceiver(t *testing.T) *ripostetest.Receiver {
	t.Helper()
	r, err := ripostetest.NewReceiver(func(ripostetest.Delivery) ripostetest.Reply {
		return ripostetest.Reply{Status: http.StatusAccepted, Callback: approval}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// TestTLSCarriesEveryTransport: REST, HTTP/2, gRPC, and a callback.
func TestTLSCarriesEveryTransport(t *testing.T) {
	s := ripostetest.Start(t, ripostetest.WithTLS)
	if !strings.HasPrefix(s.URL(), "https://127.0.0.1:") {
		t.Errorf("the public URL is %s", s.URL())
	}
	r := newCallingReceiver(t)
	r.Trust(s.Roots)
	if i := ask(t, s, r); i.GetOutcome().GetVia() != ripostev1.OutcomeVia_OUTCOME_VIA_CALLBACK {
		t.Errorf("%v", i)
	}
	for _, h2 := range []bool{false, true} {
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.Roots}, ForceAttemptHTTP2: h2}
		res, err := (&http.Client{Transport: transport}).Get(s.BaseURL() + "/healthz")
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if got := res.ProtoMajor == 2; got != h2 || res.TLS.Version < tls.VersionTLS12 {
			t.Errorf("HTTP/2: %t, want %t; TLS %x", got, h2, res.TLS.Version)
		}
		transport.CloseIdleConnections()
	}
	c, err := grpc.NewClient(s.Addr().String(), grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: s.Roots})))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+s.APIKey)
	if _, err := ripostev1.NewInstancesServiceClient(c).List(ctx, &ripostev1.InstancesServiceListRequest{}); err != nil {
		t.Errorf("gRPC: %v", err)
	}
	old := &tls.Config{RootCAs: s.Roots, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
	if c, err := tls.Dial("tcp", s.Addr().String(), old); err == nil {
		c.Close()
		t.Error("it takes TLS 1.1")
	}
}

// TestCallbacksComeInAtTheirOwnListenerAlone.
func TestCallbacksComeInAtTheirOwnListenerAlone(t *testing.T) {
	s := ripostetest.Start(t, func(c *server.Config) { c.CallbackListen = "127.0.0.1:0" })
	if want := "http://" + s.CallbackAddr().String(); s.URL() != want || s.Addr().String() == s.CallbackAddr().String() {
		t.Errorf("the public URL is %s, want %s", s.URL(), want)
	}
	r := newCallingReceiver(t)
	if i := ask(t, s, r); i.GetOutcome().GetVia() != ripostev1.OutcomeVia_OUTCOME_VIA_CALLBACK {
		t.Errorf("%v", i)
	}
	token := strings.TrimPrefix(r.Deliveries("")[0].Envelope.CallbackURL, s.URL())
	status := func(base, method, path string) int {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, base+path, strings.NewReader(approval))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+s.APIKey)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		return res.StatusCode
	}
	for _, rest := range []string{"GET /", "GET /healthz", "GET /readyz", "GET /metrics", "GET /debug/pprof/", "GET /openapi.json", "GET /api/v1/webhooks", "GET /sign-in",
		"POST /riposte.v1.InstancesService/List", "POST /api/v1/webhooks/callback/", "POST /api/v1/webhooks/callback/a/b"} {
		method, path, _ := strings.Cut(rest, " ")
		if got := status(s.URL(), method, path); got != http.StatusNotFound {
			t.Errorf("%s of the callbacks' listener: HTTP %d", rest, got)
		}
	}
	for rest, want := range map[string]int{"GET /auth/v1/jwks": http.StatusOK, "POST " + token: http.StatusBadRequest, "GET " + token: http.StatusMethodNotAllowed} {
		method, path, _ := strings.Cut(rest, " ")
		if got := status(s.URL(), method, path); got != want {
			t.Errorf("%s of the callbacks' listener: HTTP %d, want %d", method, got, want)
		}
	}
	if got := status(s.BaseURL(), http.MethodPost, token); got != http.StatusNotFound {
		t.Errorf("a callback at the main listener: HTTP %d", got)
	}
}

// TestNoListenerOfItsOwnIsDeliveredTo: it would be called from inside.
func TestNoListenerOfItsOwnIsDeliveredTo(t *testing.T) {
	s := ripostetest.Start(t, func(c *server.Config) { c.CallbackListen = "127.0.0.1:0" })
	for _, addr := range []net.Addr{s.Addr(), s.CallbackAddr()} {
		w, err := s.Webhooks.Create(t.Context(), &webhooksv1.WebhooksServiceCreateRequest{DisplayName: "w", Url: "http://" + addr.String() + "/"})
		if err != nil {
			t.Fatal(err)
		}
		i, err := s.Webhooks.Test(t.Context(), &webhooksv1.WebhooksServiceTestRequest{Id: w.GetWebhook().GetId()})
		if err != nil {
			t.Fatal(err)
		}
		id := i.GetWebhook().GetId()
		done, err := s.WaitFor(t.Context(), id, func(i *ripostev1.Instance) bool { return len(i.GetAttempts()) > 0 })
		if err != nil || !strings.Contains(fmt.Sprint(done.GetAttempts()[0]), "BLOCKED_ADDRESS") {
			t.Errorf("%s: %v, %v", addr, done.GetAttempts(), err)
		}
	}
}

// converse sends what a client of HTTP/1.1 says, and reads until the server hangs up.
func converse(t *testing.T, addr net.Addr, says string) string {
	t.Helper()
	c, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	go func() { _, _ = io.WriteString(c, says) }()
	b, err := io.ReadAll(c)
	if nerr, ok := errors.AsType[net.Error](err); ok && nerr.Timeout() {
		t.Errorf("it does not hang up: %q", b)
	}
	return string(b)
}

// TestOddHTTPIsAnsweredAndEnded.
func TestOddHTTPIsAnsweredAndEnded(t *testing.T) {
	s := ripostetest.Start(t)
	head := func(first string, more ...string) string {
		return first + " HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer " + s.APIKey + "\r\n" + strings.Join(more, "\r\n") + "\r\n\r\n"
	}
	for _, tt := range []struct{ name, says, want string }{
		{"a flood of headers", head("GET /healthz", "X: "+strings.Repeat("x", 200<<10)), "431 "},
		{"many small headers", head("GET /healthz", strings.Repeat("X: y\r\n", 50_000)+"X: y"), "431 "},
		{"an unknown method", head("BREW /api/v1/webhooks"), "405 "},
		{"an unknown method of a callback", head("BREW /api/v1/webhooks/callback/x"), "405 "},
		{"two lengths", head("POST /api/v1/webhooks", "Content-Length: 3", "Content-Length: 4"), "400 "},
		{"a length and chunks", head("POST /api/v1/webhooks", "Content-Length: 3", "Transfer-Encoding: chunked") + "0\r\n\r\n", "400 "},
		{"chunks that are none", head("POST /api/v1/webhooks", "Content-Type: application/json", "Transfer-Encoding: chunked") + "zz\r\n", "400 "},
		{"chunks with endless extensions", head("POST /api/v1/webhooks", "Content-Type: application/json", "Transfer-Encoding: chunked") + "1;" + strings.Repeat("x", 200<<10), "400 "},
		{"another expectation", head("POST /api/v1/webhooks", "Expect: a-miracle", "Content-Length: 2"), "417 "},
		{"it need not send what is too large", head("POST /api/v1/webhooks/callback/x", "Expect: 100-continue", "Content-Length: 1000000000"), "400 "},
		{"nor what nobody may", "POST /api/v1/webhooks HTTP/1.1\r\nHost: a\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: 1000000\r\n\r\n", "401 "},
	} {
		if got := converse(t, s.Addr(), tt.says); !strings.HasPrefix(got, "HTTP/1.1 "+tt.want) {
			t.Errorf("%s: %.200q, want %s", tt.name, got, tt.want)
		}
	}
	got := converse(t, s.Addr(), head("POST /api/v1/webhooks", "Expect: 100-continue", "Content-Type: application/json", "Content-Length: 2")+"{}")
	if !strings.HasPrefix(got, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 400 ") {
		t.Errorf("whoever asks whether to go on is told: %.200q", got)
	}
}

// TestEndlessHeadersOfHTTP2EndTheConnection, as a chain of CONTINUATION frames is.
func TestEndlessHeadersOfHTTP2EndTheConnection(t *testing.T) {
	s := ripostetest.Start(t)
	c, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	_, _ = io.WriteString(c, http2.ClientPreface)
	f := http2.NewFramer(c, bufio.NewReader(c))
	_ = f.WriteSettings()
	var block strings.Builder
	e := hpack.NewEncoder(&block)
	for range 400 {
		_ = e.WriteField(hpack.HeaderField{Name: "x", Value: strings.Repeat("y", 30), Sensitive: true})
	}
	_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte(block.String())})
	sent := 0
	for ; sent < 100_000; sent++ {
		if f.WriteContinuation(1, false, []byte(block.String())) != nil {
			break
		}
	}
	if sent == 100_000 {
		t.Error("the server has taken them all")
	}
}

// TestDocumentsOfStrangersAreNotRead: their token is looked at first.
func TestDocumentsOfStrangersAreNotRead(t *testing.T) {
	s := ripostetest.Start(t)
	got := converse(t, s.Addr(), "POST /api/v1/webhooks/callback/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 100000\r\n\r\n")
	if !strings.HasPrefix(got, "HTTP/1.1 400 ") || !strings.Contains(got, "INVALID_CALLBACK") {
		t.Errorf("%.300q", got)
	}
}
