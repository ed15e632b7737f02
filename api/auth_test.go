package api_test

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	grpcstatus "google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/riposte-dev/riposte"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

var pathVariable = regexp.MustCompile(`\{[^}]*\}`)

// call makes a method's call by each way in, with a request that names nothing
// that is there, and gives what each answered to check. rest has the HTTP
// answers in the form of a google.rpc.Status.
func (n *node) call(m method, authorization, body string, check func(way string, code codes.Code, reason string)) {
	n.t.Helper()
	if m.stream {
		n.callStream(m, authorization, check)
		return
	}
	for _, b := range m.rest {
		path := pathVariable.ReplaceAllString(b.path, "000000000000000000000000")
		r := n.send(b.method, path, body, "Authorization", authorization)
		s := r.error(n.t)
		check("REST "+b.method, codes.Code(s.Code), s.reason())
	}
	code, reason := n.invoke(m.procedure, authorization)
	check("gRPC", code, reason)
	code, reason = n.connect(m.procedure, authorization)
	check("Connect", code, reason)
	r := n.send(http.MethodPost, m.procedure, body, "Authorization", authorization)
	check("Connect JSON", connectCode(n.t, r), "")
}

// callStream is call for a stream, with a request that is refused to all, so that
// it ends.
func (n *node) callStream(m method, authorization string, check func(way string, code codes.Code, reason string)) {
	n.t.Helper()
	s := n.send(http.MethodGet, m.rest[0].path+"?after=x", "", "Authorization", authorization).error(n.t)
	check("REST", codes.Code(s.Code), s.reason())

	request := &ripostev1.InstancesServiceWatchRequest{After: "x"}
	ctx := metadata.AppendToOutgoingContext(n.t.Context(), "authorization", authorization)
	code, reason := grpcError(n.grpc.Invoke(ctx, m.procedure, request, &emptypb.Empty{}))
	check("gRPC", code, reason)

	client := connect.NewClient[ripostev1.InstancesServiceWatchRequest, emptypb.Empty](n.http, n.BaseURL()+m.procedure)
	req := connect.NewRequest(request)
	req.Header().Set("Authorization", authorization)
	stream, err := client.CallServerStream(n.t.Context(), req)
	if err == nil {
		stream.Receive()
		err = stream.Err()
		stream.Close()
	}
	code, reason = n.connectError(err)
	check("Connect", code, reason)
}

// invoke calls by gRPC with an empty message.
func (n *node) invoke(procedure, authorization string) (codes.Code, string) {
	n.t.Helper()
	ctx := metadata.AppendToOutgoingContext(n.t.Context(), "authorization", authorization)
	return grpcError(n.grpc.Invoke(ctx, procedure, &emptypb.Empty{}, &emptypb.Empty{}))
}

func grpcError(err error) (codes.Code, string) {
	st := grpcstatus.Convert(err)
	for _, d := range st.Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok {
			return st.Code(), info.GetReason()
		}
	}
	return st.Code(), ""
}

// connect calls by Connect with an empty message.
func (n *node) connect(procedure, authorization string) (codes.Code, string) {
	n.t.Helper()
	client := connect.NewClient[emptypb.Empty, emptypb.Empty](n.http, n.BaseURL()+procedure)
	req := connect.NewRequest(&emptypb.Empty{})
	req.Header().Set("Authorization", authorization)
	_, err := client.CallUnary(n.t.Context(), req)
	return n.connectError(err)
}

func (n *node) connectError(err error) (codes.Code, string) {
	n.t.Helper()
	if err == nil {
		return codes.OK, ""
	}
	e, ok := errors.AsType[*connect.Error](err)
	if !ok {
		n.t.Fatal(err)
	}
	for _, d := range e.Details() {
		if m, err := d.Value(); err == nil {
			if info, ok := m.(*errdetails.ErrorInfo); ok {
				return codes.Code(e.Code()), info.GetReason()
			}
		}
	}
	return codes.Code(e.Code()), ""
}

// connectCode reads {"code":"permission_denied", …}.
func connectCode(t testing.TB, r reply) codes.Code {
	t.Helper()
	if r.status == http.StatusOK {
		return codes.OK
	}
	m := regexp.MustCompile(`^\{"code":"(\w+)","message":"[^"]`).FindSubmatch(r.body)
	if m == nil {
		t.Fatalf("HTTP %d with a body that is no Connect error: %q", r.status, r.body)
	}
	var code connect.Code
	if err := code.UnmarshalText(m[1]); err != nil {
		t.Fatal(err)
	}
	return codes.Code(code)
}

func TestEveryOperationNeedsItsRole(t *testing.T) {
	n := startNode(t)
	secrets, needs := n.keys(), documentedRoles(t)
	for _, m := range methods() {
		needed, ok := needs[operationName(m.procedure)]
		if !ok {
			t.Errorf("docs/roles.md has no %s", m.procedure)
		}
		for role, secret := range secrets {
			// A body that can't be read shows that the role comes first.
			n.call(m, "Bearer "+secret, `{"id":[]}`, func(way string, code codes.Code, reason string) {
				denied := code == codes.PermissionDenied
				if denied == role.Covers(needed) || code == codes.Unauthenticated {
					t.Errorf("%s as %s by %s: %s (%s), needs %s", m.procedure, role, way, code, reason, needed)
				}
				if denied && way != "Connect JSON" && reason != "ROLE_TOO_LOW" {
					t.Errorf("%s as %s by %s: reason %q", m.procedure, role, way, reason)
				}
			})
		}
	}
}

// keys makes a key of each role.
func (n *node) keys() map[riposte.Role]string {
	n.t.Helper()
	secrets := map[riposte.Role]string{}
	for role, message := range map[riposte.Role]ripostev1.Role{
		riposte.RoleViewer: ripostev1.Role_ROLE_VIEWER, riposte.RoleSender: ripostev1.Role_ROLE_SENDER, riposte.RoleAdmin: ripostev1.Role_ROLE_ADMIN,
	} {
		res, err := n.Keys.Create(n.t.Context(), &ripostev1.KeysServiceCreateRequest{Name: string(role), Role: message})
		if err != nil {
			n.t.Fatal(err)
		}
		secrets[role] = res.GetSecret()
	}
	return secrets
}

func TestEveryOperationNeedsCredentials(t *testing.T) {
	n := startNode(t)
	before := n.everything()
	for authorization, want := range map[string]string{
		"":                              "NO_CREDENTIALS",
		"Bearer ":                       "NO_CREDENTIALS",
		"Basic " + n.APIKey:             "NO_CREDENTIALS",
		n.APIKey:                        "NO_CREDENTIALS",
		"Bearer riposte_unknown":        "BAD_CREDENTIALS",
		"Bearer " + n.APIKey + "x":      "BAD_CREDENTIALS",
		"Bearer " + n.APIKey[1:]:        "BAD_CREDENTIALS",
		"Bearer " + n.APIKey + ", more": "BAD_CREDENTIALS",
	} {
		for _, m := range methods() {
			n.call(m, authorization, "not even JSON", func(way string, code codes.Code, reason string) {
				if code != codes.Unauthenticated || way != "Connect JSON" && reason != want {
					t.Errorf("%s by %s with %q: %s (%s), want %s", m.procedure, way, authorization, code, reason, want)
				}
			})
		}
	}
	if after := n.everything(); strings.Join(before, "\n") != strings.Join(after, "\n") {
		t.Errorf("something changed: %v, before %v", after, before)
	}
}

func TestUnauthenticatedAnswersHaveTheProtocolsShape(t *testing.T) {
	n := startNode(t)
	rest := n.send(http.MethodGet, "/api/v1/webhooks", "", "Authorization", "")
	rpc := n.send(http.MethodPost, webhooks+"List", "{}", "Authorization", "")
	for way, r := range map[string]reply{"REST": rest, "Connect": rpc} {
		if r.status != http.StatusUnauthorized || r.header.Get("WWW-Authenticate") != `Bearer realm="riposte"` || r.header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: HTTP %d, %v", way, r.status, r.header)
		}
	}
	if s := rest.error(t); s.Code != 16 || s.reason() != "NO_CREDENTIALS" {
		t.Errorf("REST: %+v", s)
	}
	if !strings.HasPrefix(string(rpc.body), `{"code":"unauthenticated","message":"`) {
		t.Errorf("Connect: %s", rpc.body)
	}
	// A path of an RPC with a request of no RPC protocol.
	other := n.send(http.MethodPost, webhooks+"List", "x", "Authorization", "", "Content-Type", "text/plain")
	if s := other.error(t); other.status != http.StatusUnauthorized || s.Code != 16 {
		t.Errorf("text/plain: HTTP %d, %s", other.status, other.body)
	}
}

// unread fails the test when it is read.
type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) {
	u.t.Error("the body was read before the caller was known")
	return 0, io.EOF
}

func TestUnknownCallersBodyIsNotRead(t *testing.T) {
	handler, _ := newAPI(t)
	for _, path := range []string{"/api/v1/webhooks", "/api/v1/instances:batchCreate", webhooks + "Create", instances + "BatchCreate"} {
		for _, contentType := range []string{"application/json", "application/proto", "application/grpc", "application/grpc-web+json"} {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, unread{t})
			r.Header.Set("Content-Type", contentType)
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			res := w.Result()
			status := cmp.Or(res.Trailer.Get("Grpc-Status"), res.Header.Get("Grpc-Status"))
			if w.Code != http.StatusUnauthorized && status != "16" {
				t.Errorf("%s, %s: HTTP %d, %v, %s", path, contentType, w.Code, w.Header(), w.Body)
			}
		}
	}
}

// TestNoPathLeadsAroundAuthentication sends what a mux, a gateway or a proxy may
// read as one of the open paths or as a path below them.
func TestNoPathLeadsAroundAuthentication(t *testing.T) {
	handler, store := newAPI(t)
	for _, target := range []string{
		"/api/v1/webhooks", "/api/v1/webhooks/", "//api/v1/webhooks", "/api//v1/webhooks", "/%61pi/v1/webhooks", "/API/v1/webhooks",
		"/api%2Fv1/webhooks", "/api/v1%2Fwebhooks", "/api/./v1/webhooks", "/healthz/../api/v1/webhooks", "/healthz%2F..%2Fapi/v1/webhooks",
		"/api/v1/webhooks/callback/../../webhooks", "/api/v1/webhooks/callback/..", "/api/v1/webhooks/callback/%2e%2e", "/api/v1/webhooks/callback/%2e%2e%2f%2e%2e%2fwebhooks",
		"/api/v1/webhooks/callback", "/api/v1/webhooks/callback/", "/api/v1/webhooks/callback%2Fx", "/api/v1/webhooks/callback;x", "/api/v1/webhooks?/auth/v1/jwks",
		"/auth/v1/jwks/../../../api/v1/keys", "/openapi.json/api/v1/keys", "/api/v1/keys#/healthz", "http://other.example/api/v1/keys",
		keys + "Create", "/" + keys + "Create", strings.ToUpper(keys) + "Create", keys + "create", keys + "Create/", "/x/.." + keys + "Create",
	} {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "get", "post"} {
			r := httptest.NewRequestWithContext(t.Context(), method, "/", strings.NewReader(`{"displayName":"x","name":"x","role":"ROLE_ADMIN","url":"https://a.example"}`))
			u, err := r.URL.Parse(target)
			if err != nil {
				t.Fatal(err)
			}
			if raw := strings.TrimPrefix(target, "http://other.example"); strings.Contains(raw, "..") {
				u.Path, u.RawPath = unescape(raw), raw // Parse has resolved it
			}
			r.URL = u
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("X-Http-Method-Override", "POST")
			r.Header.Set("X-Original-Url", "/healthz")
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			if w.Code < 300 || w.Code >= 500 {
				t.Errorf("%s %s: HTTP %d, %s", method, target, w.Code, w.Body)
			}
		}
	}
	hooks, err := store.ListWebhooks(t.Context(), riposte.WebhookFilter{Limit: 1})
	if made, err2 := store.ListKeys(t.Context()); err != nil || err2 != nil || len(made) != 0 || len(hooks) != 0 {
		t.Errorf("%d keys and %d webhooks were made (%v, %v)", len(made), len(hooks), err, err2)
	}
}

func unescape(s string) string {
	return strings.NewReplacer("%2e", ".", "%2f", "/", "%2F", "/").Replace(s)
}

// TestNoCacheKeepsWhatACallerIsAnswered: deliveries and new keys have secrets.
func TestNoCacheKeepsWhatACallerIsAnswered(t *testing.T) {
	n := startNode(t)
	const procedure = keys + "Current"
	for _, call := range [][]string{
		{http.MethodGet, "/api/v1/keys/current", ""},
		{http.MethodPost, "/api/v1/keys", `{"role":"ROLE_VIEWER"}`},
		{http.MethodPost, "/api/v1/keys", `{"role":"ROLE_VIEWER"}`, "Authorization", ""},
		{http.MethodGet, "/api/v1/nothing", ""},
		{http.MethodHead, "/api/v1/instances:watch", ""},
		{http.MethodGet, "/metrics", ""},
		{http.MethodPost, procedure, "{}"},
		{http.MethodPost, procedure, "\x00\x00\x00\x00\x00", "Content-Type", "application/grpc-web+proto"},
		{http.MethodPost, procedure, "\x00\x00\x00\x00\x00", "Content-Type", "application/grpc-web+proto", "Authorization", ""},
	} {
		r := n.send(call[0], call[1], call[2], call[3:]...)
		if got := r.header.Values("Cache-Control"); !slices.Equal(got, []string{"no-store"}) {
			t.Errorf("%q: HTTP %d, Cache-Control %q", call, r.status, got)
		}
	}
}

func TestOpenPathsNeedNoCredentials(t *testing.T) {
	n := startNode(t)
	for path, contentType := range map[string]string{
		"/healthz": "text/plain; charset=utf-8", "/readyz": "text/plain; charset=utf-8",
		"/auth/v1/jwks": "application/json", "/openapi.json": "application/json",
	} {
		r := n.send(http.MethodGet, path, "", "Authorization", "")
		if r.status != http.StatusOK || r.header.Get("Content-Type") != contentType {
			t.Errorf("%s: HTTP %d, %s", path, r.status, r.header.Get("Content-Type"))
		}
	}
	if got := n.send(http.MethodGet, "/auth/v1/jwks", "", "Authorization", "").header.Get("Cache-Control"); got != "public, max-age=300" {
		t.Errorf("JWKS: Cache-Control %q", got)
	}
	r := n.send(http.MethodPost, "/api/v1/webhooks/callback/junk", "{}", "Authorization", "")
	if s := r.error(t); r.status != http.StatusBadRequest || s.reason() != "INVALID_CALLBACK" {
		t.Errorf("callback: HTTP %d, %s", r.status, r.body)
	}
}

// A context that ends while a key is looked up is the caller's, not a bad key.
func TestLookingUpAKeyEndsWithTheCaller(t *testing.T) {
	handler, _ := newAPI(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/api/v1/webhooks", nil)
	r.Header.Set("Authorization", "Bearer riposte_unknown")
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	if w.Code != 499 || strings.Contains(w.Body.String(), "BAD_CREDENTIALS") {
		t.Errorf("HTTP %d, %s", w.Code, w.Body)
	}
}
