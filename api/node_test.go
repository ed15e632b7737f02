package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"github.com/riposte-dev/riposte"
	webhooksv1 "github.com/riposte-dev/riposte/gen/c1/api/webhooks/v1"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
	"github.com/riposte-dev/riposte/ripostetest"
	"github.com/riposte-dev/riposte/server"
)

var update = flag.Bool("update", false, "write the golden files instead of comparing with them")

// node is a whole server with a receiver that answers by its path, and a
// client for each way in.
type node struct {
	*ripostetest.Server
	t        testing.TB
	receiver *ripostetest.Receiver
	grpc     *grpc.ClientConn
	http     *http.Client
}

// answers is the receiver's script: what is not here gets an empty 200.
var answers = map[string]ripostetest.Reply{
	"/approve": {Body: `{"version":"v1","approve":{"comment":"fine"}}`},
	"/later":   {Status: http.StatusAccepted},
	"/down":    {Status: http.StatusServiceUnavailable},
}

func startNode(t testing.TB, changes ...func(*server.Config)) *node {
	t.Helper()
	receiver, err := ripostetest.NewReceiver(func(d ripostetest.Delivery) ripostetest.Reply { return answers[d.Path] })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(receiver.Close)
	n := &node{t: t, receiver: receiver, http: &http.Client{
		Transport:     &http.Transport{},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	t.Cleanup(n.http.CloseIdleConnections)
	n.Server = ripostetest.Start(t, append(changes, func(c *server.Config) {
		// What is in ERROR stays there, so that replies are foreseeable.
		c.RetryMinDelay, c.RetryMaxDelay = time.Hour, time.Hour
	})...)
	n.grpc, err = grpc.NewClient(n.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.grpc.Close() })
	return n
}

// reply is what came back over HTTP.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// status is the part of a google.rpc.Status that callers read.
type status struct {
	Code    int
	Message string
	Details []struct {
		Type            string `json:"@type"`
		Reason          string
		Domain          string
		Metadata        map[string]string
		FieldViolations []struct{ Field, Description string }
	}
}

func (r reply) error(t testing.TB) status {
	t.Helper()
	var s status
	if err := json.Unmarshal(r.body, &s); err != nil {
		t.Fatalf("HTTP %d with a body that is no google.rpc.Status: %q", r.status, r.body)
	}
	return s
}

// reason is the ErrorInfo's.
func (s status) reason() string {
	for _, d := range s.Details {
		if d.Type == "type.googleapis.com/google.rpc.ErrorInfo" && d.Domain == "riposte" {
			return d.Reason
		}
	}
	return ""
}

// fields are those of the BadRequest, each with its rule.
func (s status) fields() map[string]string {
	fields := map[string]string{}
	for _, d := range s.Details {
		for _, v := range d.FieldViolations {
			fields[v.Field] = v.Description
		}
	}
	return fields
}

// send makes an HTTP request as the admin. header has names and values in turn;
// it may take the place of what is sent by default, and "" leaves that out.
func (n *node) send(method, path, body string, header ...string) reply {
	n.t.Helper()
	r, err := http.NewRequestWithContext(n.t.Context(), method, n.BaseURL()+path, strings.NewReader(body))
	if err != nil {
		n.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+n.APIKey)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Del(header[i])
		if header[i+1] != "" {
			r.Header.Set(header[i], header[i+1])
		}
	}
	res, err := n.http.Do(r)
	if err != nil {
		n.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		n.t.Fatal(err)
	}
	return reply{res.StatusCode, res.Header, b}
}

// asAdmin is the context of a gRPC call.
func (n *node) asAdmin() context.Context {
	return metadata.AppendToOutgoingContext(n.t.Context(), "authorization", "Bearer "+n.APIKey)
}

// webhook makes one that asks the receiver at path.
func (n *node) webhook(path string) string {
	n.t.Helper()
	res, err := n.Webhooks.Create(n.t.Context(), &webhooksv1.WebhooksServiceCreateRequest{DisplayName: path, Url: n.receiver.URL + path})
	if err != nil {
		n.t.Fatal(err)
	}
	return res.GetWebhook().GetId()
}

// approval asks for one and returns the instance's id once it is in state.
func (n *node) approval(webhook string, state riposte.State) string {
	n.t.Helper()
	res, err := n.Instances.Create(n.t.Context(), &ripostev1.InstancesServiceCreateRequest{WebhookId: webhook, Source: approvalStep("ticket-1")})
	if err != nil {
		n.t.Fatal(err)
	}
	id := res.GetInstance().GetWebhookInstance().GetId()
	n.await(id, state)
	return id
}

func approvalStep(ticket string) *webhooksv1.WebhookSource {
	return &webhooksv1.WebhookSource{Source: &webhooksv1.WebhookSource_ApprovalStep{
		ApprovalStep: &webhooksv1.WebhookSourceApprovalStep{TicketId: ticket}}}
}

// await returns once the instance is in state.
func (n *node) await(id string, state riposte.State) {
	n.t.Helper()
	changed := make(chan struct{}, 1)
	defer n.Subscribe(func(riposte.Instance) {
		select {
		case changed <- struct{}{}:
		default:
		}
	})()
	for {
		res, err := n.Instances.Get(n.t.Context(), &ripostev1.InstancesServiceGetRequest{Id: id})
		if err != nil {
			n.t.Fatal(err)
		}
		if res.GetInstance().GetWebhookInstance().GetState().String() == "WEBHOOK_STATE_"+string(state) {
			return
		}
		select {
		case <-changed:
		case <-time.After(10 * time.Second):
			n.t.Fatalf("instance %s is in %s, want %s", id, res.GetInstance().GetWebhookInstance().GetState(), state)
		}
	}
}

func compact(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := json.Compact(&out, b); err != nil {
		t.Fatalf("compacting %q: %v", b, err)
	}
	return out.Bytes()
}
