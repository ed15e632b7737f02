package api_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/apijson"
	webhooksv1 "github.com/riposte-dev/riposte/gen/c1/api/webhooks/v1"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

// payload must come back as it is: the white space, the order, a number that
// no float64 holds, and the escape.
const payload = `{ "z":1, "n":12345678901234567890, "f":1.0, "a":[ 1e2, "\u00e9é" ] }`

// operation is one call, in the words of each transport. {names} are those that
// earlier calls' replies gave.
type operation struct {
	name      string // of the golden file, testdata/operations/NAME.json
	procedure string // of gRPC and Connect
	message   string // the request's JSON
	rest      string // REST's method and path
	body      string // REST's; message when empty, nothing for GET
	as        string // the names of the ids in the reply, in their order
	then      riposte.State
}

const (
	webhooks  = "/c1.api.webhooks.v1.WebhooksService/"
	search    = "/c1.api.webhooks.v1.WebhooksSearch/"
	instances = "/riposte.v1.InstancesService/"
	settings  = "/riposte.v1.WebhookSettingsService/"
	consumers = "/riposte.v1.ConsumersService/"
	keys      = "/riposte.v1.KeysService/"
	clients   = "/riposte.v1.ClientsService/"
	verify    = "/riposte.v1.VerificationService/"
	figures   = "/riposte.v1.StatisticsService/"
	auditLog  = "/riposte.v1.AuditService/"
	ownKeys   = "/riposte.v1.ServerKeysService/"
)

// operations is a story: each call builds on those before it.
var operations = []operation{
	{name: "webhook_create", procedure: webhooks + "Create", as: "webhook", rest: "POST /api/v1/webhooks",
		message: `{"displayName":"Approvals","url":"{receiver}/approve?a=1&b=<2>","description":"asks"}`},
	{name: "webhook_create_later", procedure: webhooks + "Create", as: "later", rest: "POST /api/v1/webhooks",
		message: `{"display_name":"Later","url":"{receiver}/later","callback_timeout":"86400s"}`},
	{name: "webhook_create_down", procedure: webhooks + "Create", as: "down", rest: "POST /api/v1/webhooks",
		message: `{"displayName":"Down","url":"{receiver}/down","callbackTimeout":null}`},
	{name: "webhook_get", procedure: webhooks + "Get", message: `{"id":"{webhook}"}`, rest: "GET /api/v1/webhooks/{webhook}"},
	{name: "webhook_list", procedure: webhooks + "List", message: `{"pageSize":10}`, rest: "GET /api/v1/webhooks?page_size=10"},
	{name: "webhook_update", procedure: webhooks + "Update", rest: "POST /api/v1/webhooks/{webhook}",
		message: `{"webhook":{"id":"{webhook}","displayName":"Renamed","url":"https://ignored.example"},"updateMask":"display_name,description"}`,
		body:    `{"webhook":{"displayName":"Renamed","url":"https://ignored.example"},"updateMask":"display_name,description"}`},
	{name: "webhook_patch", procedure: webhooks + "Update", rest: "PATCH /api/v1/webhooks/{webhook}",
		message: `{"webhook":{"id":"{webhook}","callbackTimeout":"2592000s","description":null}}`},
	{name: "webhook_search", procedure: search + "Search", rest: "POST /api/v1/search/webhooks",
		message: `{"query":"RENAMED","refs":[{"id":"{webhook}"},{"id":"{later}"}],"pageSize":10}`},
	{name: "setting_get", procedure: settings + "Get", message: `{"webhookId":"{webhook}"}`, rest: "GET /api/v1/webhooks/{webhook}/settings"},
	{name: "setting_update", procedure: settings + "Update", rest: "PATCH /api/v1/webhooks/{webhook}/settings",
		message: `{"webhookId":"{webhook}","settings":{"retryPolicy":"RETRY_POLICY_FAST"},"updateMask":"retryPolicy,max_in_flight"}`},
	{name: "setting_update_request", procedure: settings + "Update", rest: "PATCH /api/v1/webhooks/{webhook}/settings",
		message: `{"webhookId":"{webhook}","settings":{"headers":{"list":[{"name":"X-Api-Key","value":"s3cret"},{"name":"x-team","value":"red"}]}}}`},
	{name: "setting_update_kept", procedure: settings + "Update", rest: "PATCH /api/v1/webhooks/{webhook}/settings",
		message: `{"webhookId":"{webhook}","settings":{"headers":{"list":[{"name":"x-team","value":"blue"},{"name":"x-api-key"}]}},"updateMask":"headers,caPem,client_certificate"}`},
	{name: "setting_rotate_secret", procedure: settings + "RotateSecret", rest: "POST /api/v1/webhooks/{webhook}/settings:rotateSecret",
		message: `{"webhookId":"{webhook}","secret":"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}`, as: "old_secret"},
	{name: "setting_rotate_secret_again", procedure: settings + "RotateSecret", rest: "POST /api/v1/webhooks/{webhook}/settings:rotateSecret",
		message: `{"webhookId":"{webhook}","scheme":"WEBHOOK_SECRET_SCHEME_V1A","keepFor":"3600s"}`, as: "new_secret"},
	{name: "setting_get_secrets", procedure: settings + "Get", message: `{"webhookId":"{webhook}"}`, rest: "GET /api/v1/webhooks/{webhook}/settings"},
	{name: "setting_remove_secret", procedure: settings + "RemoveSecret", rest: "POST /api/v1/webhooks/{webhook}/settings:removeSecret",
		message: `{"webhookId":"{webhook}","secretId":"{old_secret}"}`},
	{name: "webhook_test", procedure: webhooks + "Test", message: `{"id":"{webhook}"}`, rest: "POST /api/v1/webhooks/{webhook}/test",
		body: `{}`, as: "test", then: riposte.StateSuccess},

	{name: "instance_create", procedure: instances + "Create", rest: "POST /api/v1/webhooks/{webhook}/instances", as: "approval", then: riposte.StateSuccess,
		message: `{"webhookId":"{webhook}","source":{"approvalStep":{"ticketId":"ticket-1"}},"payload":` + payload +
			`,"requestId":"request-1","callbackTimeout":"86400s","labels":{"team":"red","env":"prod"}}`,
		body: `{"source":{"approvalStep":{"ticketId":"ticket-1"}},"payload":` + payload +
			`,"requestId":"request-1","callbackTimeout":"86400s","labels":{"team":"red","env":"prod"}}`},
	{name: "instance_create_again", procedure: instances + "Create", rest: "POST /api/v1/webhooks/{webhook}/instances",
		message: `{"webhookId":"{webhook}","source":{"approvalStep":{"ticketId":"ticket-1"}},"payload":` + payload +
			`,"requestId":"request-1","callbackTimeout":"86400s","labels":{"env":"prod","team":"red"}}`},
	{name: "instance_get_basic", procedure: instances + "Get", message: `{"id":"{approval}"}`, rest: "GET /api/v1/instances/{approval}?view=BASIC"},
	{name: "instance_get_full", procedure: instances + "Get", message: `{"id":"{approval}","view":"INSTANCE_VIEW_FULL"}`, rest: "GET /api/v1/instances/{approval}?view=FULL"},
	{name: "instance_list", procedure: instances + "List", message: `{"filter":"ticketId = ticket-1 AND labels.team=red","pageSize":1000}`,
		rest: "GET /api/v1/instances?filter=ticketId+%3D+ticket-1+AND+labels.team%3Dred&pageSize=1000"},
	{name: "instance_count", procedure: instances + "Count", message: `{"filter":"source = approvalStep"}`, rest: "GET /api/v1/instances:count?filter=source+%3D+approvalStep"},
	{name: "instance_delivery", procedure: instances + "GetDelivery", message: `{"id":"{approval}"}`, rest: "GET /api/v1/instances/{approval}/delivery"},
	{name: "instance_wait", procedure: instances + "Wait", message: `{"id":"{approval}"}`, rest: "GET /api/v1/instances/{approval}:wait"},
	{name: "instance_batch_create", procedure: instances + "BatchCreate", rest: "POST /api/v1/instances:batchCreate", as: "workflow,provision", then: riposte.StateWaitingCallback,
		message: `{"requests":[{"webhookId":"{later}","source":{"workflowStep":{"workflowExecutionId":"9007199254740993","workflowStepId":"step-1"}}},
			{"webhookId":"{later}","source":{"provisionStep":{"ticketId":"ticket-2"}},"payload":{}}]}`},
	{name: "instance_wait_open", procedure: instances + "Wait", message: `{"id":"{workflow}","timeout":"0s"}`, rest: "GET /api/v1/instances/{workflow}:wait?timeout=0s"},
	{name: "instance_answer", procedure: instances + "Answer", rest: "POST /api/v1/instances/{provision}:answer",
		message: `{"id":"{provision}","document":{"version":"v1", "complete":{"comment":"by hand"}}}`,
		body:    `{"document":{"version":"v1", "complete":{"comment":"by hand"}}}`},
	{name: "instance_cancel", procedure: instances + "Cancel", message: `{"id":"{workflow}"}`, rest: "POST /api/v1/instances/{workflow}:cancel", body: `{}`},
	{name: "instance_recreate", procedure: instances + "Recreate", message: `{"id":"{workflow}"}`, rest: "POST /api/v1/instances/{workflow}:recreate", body: `{}`,
		as: "again", then: riposte.StateWaitingCallback},
	{name: "instance_create_down", procedure: instances + "Create", rest: "POST /api/v1/webhooks/{down}/instances", as: "failing", then: riposte.StateError,
		message: `{"webhookId":"{down}","source":{"policyPostAction":{"ticketId":"ticket-3"}}}`},

	// Statistics come where nothing is under way, so that they are foreseeable.
	{name: "statistics_get", procedure: figures + "Get", message: `{}`, rest: "GET /api/v1/statistics"},
	{name: "statistics_get_webhook", procedure: figures + "GetWebhook", message: `{"webhookId":"{down}"}`, rest: "GET /api/v1/statistics/webhooks/{down}"},
	{name: "statistics_list_webhooks", procedure: figures + "ListWebhooks", message: `{"query":"renamed","pageSize":10}`,
		rest: "GET /api/v1/statistics/webhooks?query=renamed&page_size=10"},

	{name: "instance_retry", procedure: instances + "RetryNow", message: `{"id":"{failing}"}`, rest: "POST /api/v1/instances/{failing}:retry", body: `{}`},

	{name: "consumer_create", procedure: consumers + "Create", rest: "POST /api/v1/consumers",
		message: `{"name":"tickets","filter":"ticketId = ticket-2 AND source = provisionStep","after":"0"}`},
	{name: "consumer_pull", procedure: consumers + "Pull", rest: "POST /api/v1/consumers/tickets:pull", as: "lease",
		message: `{"name":"tickets","maxOutcomes":2,"lease":"60s","wait":"0s"}`, body: `{"maxOutcomes":2,"lease":"60s","wait":"0s"}`},
	{name: "consumer_get", procedure: consumers + "Get", message: `{"name":"tickets"}`, rest: "GET /api/v1/consumers/tickets"},
	{name: "consumer_ack", procedure: consumers + "Ack", rest: "POST /api/v1/consumers/tickets:ack",
		message: `{"name":"tickets","leaseId":"{lease}"}`, body: `{"leaseId":"{lease}"}`},
	{name: "consumer_list", procedure: consumers + "List", message: `{}`, rest: "GET /api/v1/consumers"},
	{name: "consumer_delete", procedure: consumers + "Delete", message: `{"name":"tickets"}`, rest: "DELETE /api/v1/consumers/tickets", body: " "},

	{name: "instance_batch_recreate", procedure: instances + "BatchRecreate", rest: "POST /api/v1/instances:batchRecreate",
		message: `{"filter":"ticketId = ticket-2","requestId":"friday","pageSize":10}`},
	{name: "instance_batch_recreate_again", procedure: instances + "BatchRecreate", rest: "POST /api/v1/instances:batchRecreate",
		message: `{"filter":"ticketId = ticket-2","requestId":"friday","pageSize":1}`},
	{name: "instance_batch_cancel", procedure: instances + "BatchCancel", rest: "POST /api/v1/instances:batchCancel",
		message: `{"filter":"ticketId = ticket-2","pageSize":10}`},

	{name: "verify_delivery", procedure: verify + "VerifyDelivery", rest: "POST /api/v1/verify/delivery", message: recordedDelivery()},
	{name: "verify_document", procedure: verify + "VerifyDocument", rest: "POST /api/v1/verify/document",
		message: `{"source":"approvalStep","document":"{\"version\":\"v1\",\"deny\":{\"comment\":\"not now\"}}"}`},

	{name: "key_create", procedure: keys + "Create", as: "key", rest: "POST /api/v1/keys",
		message: `{"name":"console","role":"ROLE_VIEWER","expiresAt":"2125-01-02T03:04:05Z","rateLimit":50}`},
	{name: "key_list", procedure: keys + "List", message: `{}`, rest: "GET /api/v1/keys"},
	{name: "key_current", procedure: keys + "Current", message: `{}`, rest: "GET /api/v1/keys/current"},
	{name: "key_revoke", procedure: keys + "Revoke", message: `{"id":"{key}"}`, rest: "DELETE /api/v1/keys/{key}", body: " "},
	{name: "audit_list", procedure: auditLog + "List", message: `{"filter":"target = {key}","pageSize":1000}`, rest: "GET /api/v1/audit?filter=target+%3D+{key}&page_size=1000"},
	{name: "key_list_after_revoke", procedure: keys + "List", message: `{}`, rest: "GET /api/v1/keys"},
	{name: "server_key_rotate", procedure: ownKeys + "Rotate", message: `{"use":"SERVER_KEY_USE_SIGNING","algorithm":"ES256","publishFor":"3600s"}`, rest: "POST /api/v1/serverKeys:rotate"},
	{name: "server_key_rotate_data", procedure: ownKeys + "Rotate", message: `{"use":"SERVER_KEY_USE_DATA"}`, rest: "POST /api/v1/serverKeys:rotate"},
	{name: "server_key_list", procedure: ownKeys + "List", message: `{}`, rest: "GET /api/v1/serverKeys"},
	{name: "client_create", procedure: clients + "Create", as: "client", rest: "POST /api/v1/clients",
		message: `{"name":"billing","role":"ROLE_SENDER","expiresAt":"2999-12-31T00:00:00Z","rateLimit":100}`},
	{name: "client_list", procedure: clients + "List", message: `{}`, rest: "GET /api/v1/clients"},
	{name: "client_revoke", procedure: clients + "Revoke", message: `{"id":"{client}"}`, rest: "DELETE /api/v1/clients/{client}", body: " "},
	{name: "webhook_delete", procedure: webhooks + "Delete", message: `{"id":"{down}"}`, rest: "DELETE /api/v1/webhooks/{down}", body: " "},
	{name: "webhook_list_after_delete", procedure: webhooks + "List", message: `{}`, rest: "GET /api/v1/webhooks"},
}

// transport makes one call and returns its reply's JSON.
type transport func(n *node, o operation, fill func(string) string) []byte

var transports = map[string]transport{
	"REST":         overREST,
	"Connect JSON": overConnectJSON,
	"Connect":      overConnect,
	"gRPC":         overGRPC,
}

func TestEveryTransportGivesTheSameReplies(t *testing.T) {
	for name, transport := range transports {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := startNode(t, inTheMiddleOfAQuarter)
			names := map[string]string{"receiver": n.receiver.URL}
			for _, o := range operations {
				t.Run(o.name, func(t *testing.T) {
					n.t = t
					if err := n.Told(t.Context()); err != nil { // so that what was done is counted
						t.Fatal(err)
					}
					got := transport(n, o, func(s string) string { return fill(s, names) })
					for i, id := range ids(got, o.as) {
						names[strings.Split(o.as, ",")[i]] = id
						if o.then != "" {
							n.await(id, o.then)
						}
					}
					if o.name == "instance_get_full" && !bytes.Contains(got, []byte(payload)) {
						t.Errorf("the payload is not as it was sent:\n got %s\nwant %s", got, payload)
					}
					compareGolden(t, name == "REST", filepath.Join("testdata", "operations", o.name+".json"), masked(t, got))
				})
			}
		})
	}
}

// TestEveryOperationIsInTheStory keeps the table whole. Streams have tests of
// their own.
func TestEveryOperationIsInTheStory(t *testing.T) {
	var told []string
	for _, o := range operations {
		told = append(told, o.procedure)
	}
	for _, m := range methods() {
		if !m.stream && !slices.Contains(told, m.procedure) {
			t.Errorf("operations has no %s", m.procedure)
		}
	}
}

func overREST(n *node, o operation, fill func(string) string) []byte {
	n.t.Helper()
	method, path, _ := strings.Cut(fill(o.rest), " ")
	body := strings.TrimSpace(fill(cmp.Or(o.body, o.message)))
	if method == http.MethodGet {
		body = ""
	}
	return okJSON(n.t, n.send(method, path, body))
}

func overConnectJSON(n *node, o operation, fill func(string) string) []byte {
	n.t.Helper()
	return okJSON(n.t, n.send(http.MethodPost, o.procedure, fill(o.message)))
}

func okJSON(t testing.TB, r reply) []byte {
	t.Helper()
	if r.status != http.StatusOK || r.header.Get("Content-Type") != "application/json" {
		t.Fatalf("HTTP %d, %s: %s", r.status, r.header.Get("Content-Type"), r.body)
	}
	return r.body
}

func overConnect(n *node, o operation, fill func(string) string) []byte {
	n.t.Helper()
	call := map[string]rpc{
		webhooks + "Create":       unary(n.Webhooks.Create),
		webhooks + "Get":          unary(n.Webhooks.Get),
		webhooks + "List":         unary(n.Webhooks.List),
		webhooks + "Update":       unary(n.Webhooks.Update),
		webhooks + "Delete":       unary(n.Webhooks.Delete),
		webhooks + "Test":         unary(n.Webhooks.Test),
		search + "Search":         unary(n.Search.Search),
		instances + "Create":      unary(n.Instances.Create),
		instances + "BatchCreate": unary(n.Instances.BatchCreate),
		instances + "Get":         unary(n.Instances.Get),
		instances + "List":        unary(n.Instances.List),
		instances + "Wait":        unary(n.Instances.Wait),
		instances + "Cancel":      unary(n.Instances.Cancel),
		instances + "RetryNow":    unary(n.Instances.RetryNow),
		instances + "Recreate":    unary(n.Instances.Recreate),
		instances + "Answer":      unary(n.Instances.Answer),
		settings + "Get":          unary(n.Settings.Get),
		settings + "Update":       unary(n.Settings.Update),
		settings + "RotateSecret": unary(n.Settings.RotateSecret),
		settings + "RemoveSecret": unary(n.Settings.RemoveSecret),
		consumers + "Create":      unary(n.Consumers.Create),
		consumers + "Get":         unary(n.Consumers.Get),
		consumers + "List":        unary(n.Consumers.List),
		consumers + "Delete":      unary(n.Consumers.Delete),
		consumers + "Pull":        unary(n.Consumers.Pull),
		consumers + "Ack":         unary(n.Consumers.Ack),
		keys + "Create":           unary(n.Keys.Create),

		auditLog + "List":           unary(n.Audit.List),
		keys + "List":               unary(n.Keys.List),
		keys + "Revoke":             unary(n.Keys.Revoke),
		keys + "Current":            unary(n.Keys.Current),
		clients + "Create":          unary(n.Clients.Create),
		clients + "List":            unary(n.Clients.List),
		clients + "Revoke":          unary(n.Clients.Revoke),
		instances + "GetDelivery":   unary(n.Instances.GetDelivery),
		instances + "Count":         unary(n.Instances.Count),
		instances + "BatchCancel":   unary(n.Instances.BatchCancel),
		instances + "BatchRecreate": unary(n.Instances.BatchRecreate),
		verify + "VerifyDelivery":   unary(n.Verification.VerifyDelivery),
		verify + "VerifyDocument":   unary(n.Verification.VerifyDocument),
		ownKeys + "Rotate":          unary(n.ServerKeys.Rotate),
		ownKeys + "List":            unary(n.ServerKeys.List),
		figures + "Get":             unary(n.Statistics.Get),
		figures + "GetWebhook":      unary(n.Statistics.GetWebhook),
		figures + "ListWebhooks":    unary(n.Statistics.ListWebhooks),
	}[o.procedure]
	return call(n.t, n.t.Context(), fill(o.message))
}

func overGRPC(n *node, op operation, fill func(string) string) []byte {
	n.t.Helper()
	var (
		w = webhooksv1.NewWebhooksServiceClient(n.grpc)
		s = webhooksv1.NewWebhooksSearchClient(n.grpc)
		i = ripostev1.NewInstancesServiceClient(n.grpc)
		b = ripostev1.NewWebhookSettingsServiceClient(n.grpc)
		c = ripostev1.NewConsumersServiceClient(n.grpc)
		k = ripostev1.NewKeysServiceClient(n.grpc)
		l = ripostev1.NewClientsServiceClient(n.grpc)
		v = ripostev1.NewVerificationServiceClient(n.grpc)
		f = ripostev1.NewStatisticsServiceClient(n.grpc)
		a = ripostev1.NewAuditServiceClient(n.grpc)
		o = ripostev1.NewServerKeysServiceClient(n.grpc)
	)
	call := map[string]rpc{
		webhooks + "Create":       unaryGRPC(w.Create),
		webhooks + "Get":          unaryGRPC(w.Get),
		webhooks + "List":         unaryGRPC(w.List),
		webhooks + "Update":       unaryGRPC(w.Update),
		webhooks + "Delete":       unaryGRPC(w.Delete),
		webhooks + "Test":         unaryGRPC(w.Test),
		search + "Search":         unaryGRPC(s.Search),
		instances + "Create":      unaryGRPC(i.Create),
		instances + "BatchCreate": unaryGRPC(i.BatchCreate),
		instances + "Get":         unaryGRPC(i.Get),
		instances + "List":        unaryGRPC(i.List),
		instances + "Wait":        unaryGRPC(i.Wait),
		instances + "Cancel":      unaryGRPC(i.Cancel),
		instances + "RetryNow":    unaryGRPC(i.RetryNow),
		instances + "Recreate":    unaryGRPC(i.Recreate),
		instances + "Answer":      unaryGRPC(i.Answer),
		settings + "Get":          unaryGRPC(b.Get),
		settings + "Update":       unaryGRPC(b.Update),
		settings + "RotateSecret": unaryGRPC(b.RotateSecret),
		settings + "RemoveSecret": unaryGRPC(b.RemoveSecret),
		consumers + "Create":      unaryGRPC(c.Create),
		consumers + "Get":         unaryGRPC(c.Get),
		consumers + "List":        unaryGRPC(c.List),
		consumers + "Delete":      unaryGRPC(c.Delete),
		consumers + "Pull":        unaryGRPC(c.Pull),
		consumers + "Ack":         unaryGRPC(c.Ack),
		keys + "Create":           unaryGRPC(k.Create),

		auditLog + "List":           unaryGRPC(a.List),
		keys + "List":               unaryGRPC(k.List),
		keys + "Revoke":             unaryGRPC(k.Revoke),
		keys + "Current":            unaryGRPC(k.Current),
		clients + "Create":          unaryGRPC(l.Create),
		clients + "List":            unaryGRPC(l.List),
		clients + "Revoke":          unaryGRPC(l.Revoke),
		instances + "GetDelivery":   unaryGRPC(i.GetDelivery),
		instances + "Count":         unaryGRPC(i.Count),
		instances + "BatchCancel":   unaryGRPC(i.BatchCancel),
		instances + "BatchRecreate": unaryGRPC(i.BatchRecreate),
		verify + "VerifyDelivery":   unaryGRPC(v.VerifyDelivery),
		verify + "VerifyDocument":   unaryGRPC(v.VerifyDocument),
		ownKeys + "Rotate":          unaryGRPC(o.Rotate),
		ownKeys + "List":            unaryGRPC(o.List),
		figures + "Get":             unaryGRPC(f.Get),
		figures + "GetWebhook":      unaryGRPC(f.GetWebhook),
		figures + "ListWebhooks":    unaryGRPC(f.ListWebhooks),
	}[op.procedure]
	return call(n.t, n.asAdmin(), fill(op.message))
}

// rpc calls a generated client with a request in JSON.
type rpc func(t testing.TB, ctx context.Context, message string) []byte

func unary[Req, Res any](call func(context.Context, *Req) (*Res, error)) rpc {
	return func(t testing.TB, ctx context.Context, message string) []byte {
		t.Helper()
		req := new(Req)
		if err := apijson.Unmarshal([]byte(message), any(req).(proto.Message)); err != nil {
			t.Fatal(err)
		}
		res, err := call(ctx, req)
		if err != nil {
			t.Fatal(err)
		}
		b, err := apijson.Marshal(any(res).(proto.Message))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
}

func unaryGRPC[Req, Res any](call func(context.Context, *Req, ...grpc.CallOption) (*Res, error)) rpc {
	return unary(func(ctx context.Context, req *Req) (*Res, error) { return call(ctx, req) })
}

func fill(s string, names map[string]string) string {
	if !strings.Contains(s, "{") {
		return s // megabytes of nothing
	}
	for name, value := range names {
		s = strings.ReplaceAll(s, "{"+name+"}", value)
	}
	return s
}

var idMember = regexp.MustCompile(`"(?:id":\s*"([0-9a-v]{24})|leaseId":\s*"([^"]+))"`)

// ids finds as many as there are names.
func ids(reply []byte, names string) []string {
	if names == "" {
		return nil
	}
	var found []string
	for _, m := range idMember.FindAllSubmatch(reply, len(strings.Split(names, ","))) {
		found = append(found, string(m[1])+string(m[2]))
	}
	return found
}

// volatile is what differs from run to run. A phase that took no time is null.
var volatile = []struct {
	pattern *regexp.Regexp
	with    string
}{
	{regexp.MustCompile(`"(\w+At)":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z"`), `"$1":"TIME"`},
	{regexp.MustCompile(`"(usedFrom|removedAfter)":"[^"]+"`), `"$1":"TIME"`},
	{regexp.MustCompile(`"id":"(?:[\w-]{43}|[0-9a-f]{16})"`), `"id":"KEY"`},
	{regexp.MustCompile(`"(duration|dns|connect|tls|firstByte)":(?:null|"[\d.]+s")`), `"$1":"DURATION"`},
	{regexp.MustCompile(`"Date":"[^"]*"`), `"Date":"DATE"`},
	{regexp.MustCompile(`@127\.0\.0\.1:\d+/`), `@SERVER/`},
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), `RECEIVER`},
	{regexp.MustCompile(`secret-token:conductorone\.com:v1:[\w-]+`), `SECRET`},
	{regexp.MustCompile(`riposte_[0-9a-z]+`), `SECRET`},
	{regexp.MustCompile(`/callback/[\w-]+`), `/callback/TOKEN`},
	{regexp.MustCompile(`bearer eyJ[\w.-]+`), `bearer JWT`},
	{regexp.MustCompile(`sha-256=[\w+/=]+`), `sha-256=DIGEST`},
	{regexp.MustCompile(`"v1a?,[\w+/=]+`), `"SIGNATURE`},
	{regexp.MustCompile(`whpk_[\w+/=]+`), `PUBLIC KEY`},
	{regexp.MustCompile(`"Webhook-Timestamp":"\d+"`), `"Webhook-Timestamp":"TIMESTAMP"`},
	{regexp.MustCompile(`"leaseId":"\d+-\d+-[^"]+"`), `"leaseId":"LEASE"`},
	{regexp.MustCompile(`"leasedUntil":"[^"]+"`), `"leasedUntil":"TIME"`},
	{regexp.MustCompile(`"sequence":"\d+"`), `"sequence":"SEQUENCE"`},
	{regexp.MustCompile(`"asOf":"[^"]+"`), `"asOf":"TIME"`},
	{regexp.MustCompile(`"(answerTimeP\d+)":"[\d.]+s"`), `"$1":"DURATION"`},
	{regexp.MustCompile(`\{"startAt":"TIME","span":"(\d+s)","created":"0","answered":"0","failed":"0","attempts":"0","attemptsFailed":"0","answerTimeP50":null,"answerTimeP95":null\}`),
		`"NOTHING IN $1"`},
}

var anyID = regexp.MustCompile(`\b[0-9a-v]{24}\b`)

// masked is a reply compacted, with what is volatile masked and ids numbered,
// and then indented for those who read it.
func masked(t testing.TB, reply []byte) []byte {
	t.Helper()
	b := compact(t, reply)
	for _, v := range volatile {
		b = v.pattern.ReplaceAll(b, []byte(v.with))
	}
	var seen []string
	b = anyID.ReplaceAllFunc(b, func(id []byte) []byte {
		if !slices.Contains(seen, string(id)) {
			seen = append(seen, string(id))
		}
		return fmt.Appendf(nil, "ID%d", slices.Index(seen, string(id))+1)
	})
	var out bytes.Buffer
	if err := json.Indent(&out, b, "", "  "); err != nil {
		t.Fatal(err)
	}
	return append(out.Bytes(), '\n')
}

// compareGolden writes the file instead with -update, if may says so.
func compareGolden(t testing.TB, may bool, file string, got []byte) {
	t.Helper()
	if *update && may {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}
