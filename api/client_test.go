package api_test

import (
	"bufio"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	grpcstatus "google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/riposte-dev/riposte"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
	"github.com/riposte-dev/riposte/ripostetest"
)

// client makes one.
func (n *node) client(name string, role ripostev1.Role) (c *ripostev1.Client, secret string) {
	n.t.Helper()
	res, err := n.Clients.Create(n.t.Context(), &ripostev1.ClientsServiceCreateRequest{Name: name, Role: role})
	if err != nil {
		n.t.Fatal(err)
	}
	return res.GetClient(), res.GetClientSecret()
}

// token gets one by a client's secret.
func (n *node) token(c *ripostev1.Client, secret string) string {
	n.t.Helper()
	return n.tokenOf(n.send(http.MethodPost, "/auth/v1/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {c.GetClientId()}, "client_secret": {secret}}.Encode(),
		"Authorization", "", "Content-Type", "application/x-www-form-urlencoded").body)
}

func (n *node) tokenOf(body []byte) string {
	n.t.Helper()
	var g struct {
		AccessToken string `json:"access_token"`
		TokenType   string `json:"token_type"`
		ExpiresIn   int    `json:"expires_in"`
	}
	if err := json.Unmarshal(body, &g); err != nil || g.AccessToken == "" || g.TokenType != "Bearer" || g.ExpiresIn != 600 {
		n.t.Fatalf("no token: %v, %s", err, body)
	}
	return g.AccessToken
}

// c1Requests are the requests for a token that C1's clients send, byte by byte but for
// the host, the length, the client and what is signed: their Go SDK's own token source,
// the one that its generator made, and their TypeScript SDK's.
var c1Requests = map[string]struct{ header, claims, request, body string }{
	"Go, assertion": {
		`{"alg":"EdDSA","nonce":"5f1d7b2a9c3e4f60718293a4b5c6d7e8"}`,
		`{"iss":"{id}","sub":"{id}","aud":["{host}"],"exp":{exp},"nbf":{nbf},"iat":{iat}}`,
		"POST /auth/v1/token HTTP/1.1\r\nHost: {address}\r\nUser-Agent: conductorone-sdk-go\r\nContent-Length: {length}\r\nContent-Type: application/x-www-form-urlencoded\r\nAccept-Encoding: gzip\r\n\r\n",
		"client_assertion={assertion}&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_id={form id}&grant_type=client_credentials",
	},
	"Go, secret": {
		request: "POST /auth/v1/token HTTP/1.1\r\nHost: {address}\r\nUser-Agent: Go-http-client/1.1\r\nContent-Length: {length}\r\nContent-Type: application/x-www-form-urlencoded\r\nAccept-Encoding: gzip\r\n\r\n",
		body:    "client_id={form id}&client_secret={form secret}&grant_type=client_credentials",
	},
	"TypeScript, assertion": {
		`{"alg":"EdDSA","nonce":"00112233445566778899aabbccddeeff"}`,
		`{"iss":"{id}","sub":"{id}","aud":["{host}"],"exp":{exp},"iat":{iat},"nbf":{nbf}}`,
		"POST /auth/v1/token HTTP/1.1\r\nAccept: application/json, text/plain, */*\r\nContent-Type: application/x-www-form-urlencoded\r\nUser-Agent: axios/1.7.9\r\nContent-Length: {length}\r\nAccept-Encoding: gzip, compress, deflate, br\r\nHost: {address}\r\nConnection: keep-alive\r\n\r\n",
		"client_id={form id}&grant_type=client_credentials&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_assertion={assertion}",
	},
}

// TestC1sClientsGetTokensThatCallAllOfC1sOperations.
func TestC1sClientsGetTokensThatCallAllOfC1sOperations(t *testing.T) {
	for name, c := range c1Requests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := startNode(t)
			admin, secret := n.client("outstanding-dragon-75366", ripostev1.Role_ROLE_ADMIN)
			key, err := riposte.ParseClientSecret(secret)
			if err != nil {
				t.Fatal(err)
			}
			host, _, _ := net.SplitHostPort(n.Addr().String())
			now := time.Now()
			fill := func(s string) string {
				return strings.NewReplacer("{id}", admin.GetClientId(), "{host}", host, "{address}", n.Addr().String(),
					"{exp}", fmt.Sprint(now.Unix()+120), "{nbf}", fmt.Sprint(now.Unix()-120), "{iat}", fmt.Sprint(now.Unix()),
					"{form id}", url.QueryEscape(admin.GetClientId()), "{form secret}", url.QueryEscape(secret)).Replace(s)
			}
			enc := base64.RawURLEncoding
			assertion := enc.EncodeToString([]byte(fill(c.header))) + "." + enc.EncodeToString([]byte(fill(c.claims)))
			assertion += "." + enc.EncodeToString(ed25519.Sign(key, []byte(assertion)))
			body := strings.ReplaceAll(fill(c.body), "{assertion}", assertion)
			request := strings.ReplaceAll(fill(c.request), "{length}", fmt.Sprint(len(body)))

			n.APIKey = n.tokenOf(n.exchange(request + body))
			n.callC1()
		})
	}
}

// exchange sends bytes and returns the body of what comes back.
func (n *node) exchange(request string) []byte {
	n.t.Helper()
	conn, err := net.Dial("tcp", n.Addr().String())
	if err != nil {
		n.t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(request)); err != nil {
		n.t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		n.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		n.t.Fatal(err)
	}
	return body
}

// callC1 makes each of C1's calls.
func (n *node) callC1() {
	n.t.Helper()
	names := map[string]string{"receiver": n.receiver.URL}
	var called []string
	for _, o := range operations {
		if !strings.HasPrefix(o.procedure, "/c1.api.webhooks.v1.") {
			continue
		}
		got := overREST(n, o, func(s string) string { return fill(s, names) })
		for i, id := range ids(got, o.as) {
			names[strings.Split(o.as, ",")[i]] = id
		}
		called = append(called, o.procedure)
	}
	for _, m := range methods() {
		if strings.HasPrefix(m.procedure, "/c1.api.webhooks.v1.") && !slices.Contains(called, m.procedure) {
			n.t.Errorf("%s was not called", m.procedure)
		}
	}
}

// TestTokenCallsByEveryWay: REST, gRPC and Connect.
func TestTokenCallsByEveryWay(t *testing.T) {
	n := startNode(t)
	token := n.token(n.client("", ripostev1.Role_ROLE_ADMIN))
	for _, m := range methods() {
		n.call(m, "Bearer "+token, `{}`, func(way string, code codes.Code, _ string) {
			if code == codes.Unauthenticated || code == codes.PermissionDenied {
				t.Errorf("%s by %s: %s", m.procedure, way, code)
			}
		})
	}
}

// TestNoDeliverysJWTCalls: a receiver has one in its hands.
func TestNoDeliverysJWTCalls(t *testing.T) {
	n := startNode(t)
	id := n.approval(n.webhook("/approve"), riposte.StateSuccess)
	_, jwt, _ := strings.Cut(n.receiver.Deliveries(id)[0].Header.Get("Authorization"), " ")
	r := n.send(http.MethodGet, "/api/v1/webhooks", "", "Authorization", "Bearer "+jwt)
	if s := r.error(t); r.status != http.StatusUnauthorized || s.reason() != "BAD_CREDENTIALS" || !strings.Contains(r.header.Get("WWW-Authenticate"), `error="invalid_token"`) {
		t.Errorf("HTTP %d, %v, %s", r.status, r.header, r.body)
	}
}

func TestClientsAreListedTheNewestFirst(t *testing.T) {
	n := startNode(t)
	older, _ := n.client("older", ripostev1.Role_ROLE_SENDER)
	newer, _ := n.client("newer", ripostev1.Role_ROLE_ADMIN)
	res, err := n.Clients.List(t.Context(), &ripostev1.ClientsServiceListRequest{})
	if err != nil {
		t.Fatal(err)
	}
	list := res.GetList()
	if len(list) != 2 || list[0].GetClientId() != newer.GetClientId() || list[1].String() != older.String() {
		t.Errorf("the clients are %v, want %v and %v", list, newer, older)
	}
	if want := "older@" + n.Addr().String() + "/pcc"; older.GetClientId() != want {
		t.Errorf("it is called %s, want %s", older.GetClientId(), want)
	}
}

func TestClientCreateNamesWhatIsWrong(t *testing.T) {
	n := startNode(t)
	n.client("billing", ripostev1.Role_ROLE_VIEWER)
	for body, want := range map[string]string{
		`{"name":"Billing","role":"ROLE_VIEWER"}`: "name",
		`{"name":"a"}`: "role",
		`{"name":"a","role":"ROLE_VIEWER","rateLimit":-1}`:                          "rateLimit",
		`{"name":"a","role":"ROLE_VIEWER","rateLimit":100001}`:                      "rateLimit",
		`{"name":"a","role":"ROLE_VIEWER","expiresAt":"2020-01-01T00:00:00Z"}`:      "expiresAt",
		`{"name":"a","role":"ROLE_VIEWER","expiresAt":"0001-01-01T00:00:00Z"}`:      "expiresAt",
		`{"name":"A","role":"ROLE_UNSPECIFIED","expiresAt":"2020-01-01T00:00:00Z"}`: "name role expiresAt",
	} {
		r := n.send(http.MethodPost, "/api/v1/clients", body)
		var fields []string
		for _, d := range r.error(t).Details {
			for _, v := range d.FieldViolations {
				fields = append(fields, v.Field)
			}
		}
		if r.status != http.StatusBadRequest || strings.Join(fields, " ") != want {
			t.Errorf("%s: HTTP %d, %s", body, r.status, r.body)
		}
	}
	r := n.send(http.MethodPost, "/api/v1/clients", `{"name":"billing","role":"ROLE_ADMIN"}`)
	if s := r.error(t); r.status != http.StatusConflict || s.reason() != "CLIENT_EXISTS" {
		t.Errorf("the same name: HTTP %d, %s", r.status, r.body)
	}
	_, err := n.Clients.Create(t.Context(), &ripostev1.ClientsServiceCreateRequest{Role: ripostev1.Role_ROLE_VIEWER, ExpiresAt: &timestamppb.Timestamp{Nanos: -1}})
	if connect.CodeOf(err) != connect.CodeInvalidArgument {
		t.Errorf("a time that is none: %v", err)
	}
}

func TestRevokedClientIsNoClientAtOnce(t *testing.T) {
	n := startNode(t)
	c, secret := n.client("billing", ripostev1.Role_ROLE_ADMIN)
	authorization := "Bearer " + n.token(c, secret)
	okJSON(t, n.send(http.MethodDelete, "/api/v1/clients/"+c.GetId(), "", "Authorization", authorization))
	if r := n.send(http.MethodGet, "/api/v1/webhooks", "", "Authorization", authorization); r.status != http.StatusUnauthorized {
		t.Errorf("HTTP %d, %s", r.status, r.body)
	}
	for _, id := range []string{c.GetId(), "x"} {
		r := n.send(http.MethodDelete, "/api/v1/clients/"+id, "")
		if s := r.error(t); r.status != http.StatusNotFound || s.reason() != "CLIENT_NOT_FOUND" {
			t.Errorf("%s revoked again: HTTP %d, %s", id, r.status, r.body)
		}
	}
}

// TestRevokedClientIsSentNoOutcome, by Connect and by gRPC.
func TestRevokedClientIsSentNoOutcome(t *testing.T) {
	n := startNode(t)
	hook := n.webhook("/approve")
	client, secret := n.client("watcher", ripostev1.Role_ROLE_VIEWER)
	token := n.token(client, secret)
	c := ripostetest.NewClient(n.BaseURL(), token)
	t.Cleanup(c.CloseIdleConnections)
	byConnect, err := c.Instances.Watch(t.Context(), &ripostev1.InstancesServiceWatchRequest{})
	if err != nil {
		t.Fatal(err)
	}
	defer byConnect.Close()
	byGRPC, err := ripostev1.NewInstancesServiceClient(n.grpc).Watch(
		metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+token), &ripostev1.InstancesServiceWatchRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if !byConnect.Receive() {
		t.Fatal(byConnect.Err())
	}
	if _, err := byGRPC.Recv(); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Clients.Revoke(t.Context(), &ripostev1.ClientsServiceRevokeRequest{Id: client.GetId()}); err != nil {
		t.Fatal(err)
	}
	n.client("watcher", ripostev1.Role_ROLE_VIEWER) // of the same name
	n.approval(hook, riposte.StateSuccess)
	if byConnect.Receive() || connect.CodeOf(byConnect.Err()) != connect.CodeUnauthenticated {
		t.Errorf("Connect: %v, %v", byConnect.Msg(), byConnect.Err())
	}
	if got, err := byGRPC.Recv(); grpcstatus.Code(err) != codes.Unauthenticated {
		t.Errorf("gRPC: %v, %v", got, err)
	}
}
