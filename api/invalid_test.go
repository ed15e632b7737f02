package api_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/riposte-dev/riposte"
	webhooksv1 "github.com/riposte-dev/riposte/gen/c1/api/webhooks/v1"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

// refusal is a request that must be refused and change nothing.
type refusal struct {
	name string
	rest string // method and path; {names} are the fixture's
	body string
	// fields are the violations, each with a part of the rule's text.
	fields map[string]string
	status int    // 400 when zero
	reason string // INVALID_ARGUMENT when empty
	header []string
	says   string // part of the message, where no field is to blame
}

const (
	createWebhook  = "POST /api/v1/webhooks"
	updateWebhook  = "POST /api/v1/webhooks/{webhook}"
	createInstance = "POST /api/v1/webhooks/{webhook}/instances"
	batchCreate    = "POST /api/v1/instances:batchCreate"
	updateSettings = "PATCH /api/v1/webhooks/{webhook}/settings"
	rotateSecret   = "POST /api/v1/webhooks/{webhook}/settings:rotateSecret"
	answer         = "POST /api/v1/instances/{waiting}:answer"
	createKey      = "POST /api/v1/keys"
	batchCancel    = "POST /api/v1/instances:batchCancel"
	batchRecreate  = "POST /api/v1/instances:batchRecreate"
	verifyDelivery = "POST /api/v1/verify/delivery"
	verifyDocument = "POST /api/v1/verify/document"
)

func field(name, rule string) map[string]string { return map[string]string{name: rule} }

// withURL is a webhook that is right but for its URL.
func withURL(url string) string {
	b, _ := json.Marshal(map[string]string{"displayName": "x", "url": url})
	return string(b)
}

// asking is an instance that is right but for the members given.
func asking(members string) string {
	return `{"source":{"approvalStep":{"ticketId":"t"}},` + members + `}`
}

func text(n int) string { return `"` + strings.Repeat("é", n) + `"` }

var webhookRefusals = []refusal{
	{name: "nothing", rest: createWebhook, body: `{}`, fields: map[string]string{"displayName": "must be set", "url": "must be set"}},
	{name: "no body", rest: createWebhook, fields: map[string]string{"displayName": "must be set", "url": "must be set"}},
	{name: "long name", rest: createWebhook, body: `{"url":"https://a.example","displayName":` + text(257) + `}`, fields: field("displayName", "at most 256 characters, has 257")},
	{name: "long description", rest: createWebhook, body: `{"url":"https://a.example","displayName":"x","description":` + text(2049) + `}`, fields: field("description", "at most 2048")},
	{name: "name of a wrong type", rest: createWebhook, body: `{"displayName":5}`, fields: field("displayName", "invalid value for string field displayName: 5")},
	{name: "name is a lone surrogate", rest: createWebhook, body: `{"displayName":"\ud800"}`, says: "half of a surrogate pair"},
	{name: "name has a lone surrogate", rest: createWebhook, body: `{"displayName":"\ud800 and more"}`, fields: field("displayName", "invalid escape code")},
	{name: "name of invalid UTF-8", rest: createWebhook, body: "{\"displayName\":\"\xff\"}", fields: field("displayName", "invalid UTF-8")},
	{name: "name twice", rest: createWebhook, body: `{"displayName":"a","display_name":"b"}`, says: "duplicate field"},
	{name: "URL relative", rest: createWebhook, body: withURL("/hook"), fields: field("url", "absolute URL")},
	{name: "URL of another scheme", rest: createWebhook, body: withURL("ftp://a.example"), fields: field("url", "must begin with https://")},
	{name: "URL with user info", rest: createWebhook, body: withURL("https://u:p@a.example"), fields: field("url", "user name or password")},
	{name: "URL with a fragment", rest: createWebhook, body: withURL("https://a.example/#x"), fields: field("url", "fragment")},
	{name: "URL with a space", rest: createWebhook, body: withURL("https://a.example/a b"), fields: field("url", "without spaces")},
	{name: "URL without a host", rest: createWebhook, body: withURL("https:///x"), fields: field("url", "must have a host")},
	{name: "URL with a private address", rest: createWebhook, body: withURL("https://10.0.0.1/"), fields: field("url", "private, local or reserved")},
	{name: "URL with an odd address", rest: createWebhook, body: withURL("https://0x7f.1/"), fields: field("url", "usual form")},
	{name: "URL too long", rest: createWebhook, body: withURL("https://a.example/" + strings.Repeat("x", 2040)), fields: field("url", "at most 2040 characters")},
	{name: "timeout too short", rest: createWebhook, body: `{"displayName":"x","url":"https://a.example","callbackTimeout":"86399.999999s"}`, fields: field("callbackTimeout", "from 86400s to 2592000s (1 to 30 days), is 86399.999999s")},
	{name: "timeout too long", rest: createWebhook, body: `{"displayName":"x","url":"https://a.example","callbackTimeout":"2592001s"}`, fields: field("callbackTimeout", "is 2592001s")},
	{name: "timeout zero", rest: createWebhook, body: `{"displayName":"x","url":"https://a.example","callbackTimeout":"0s"}`, fields: field("callbackTimeout", "from 86400s")},
	{name: "timeout in Go's syntax", rest: createWebhook, body: `{"displayName":"x","url":"https://a.example","callbackTimeout":"24h"}`, fields: field("callbackTimeout", `invalid google.protobuf.Duration value "24h"`)},
	{name: "timeout a number", rest: createWebhook, body: `{"callbackTimeout":691200}`, fields: field("callbackTimeout", "691200")},
	{name: "timeout overflows a duration", rest: createWebhook, body: `{"callbackTimeout":"99999999999999999999s"}`, fields: field("callbackTimeout", "Duration")},
	{name: "timeout overflows Go's duration", rest: createWebhook, body: `{"displayName":"x","url":"https://a.example","callbackTimeout":"315576000000s"}`, fields: field("callbackTimeout", "from 86400s")},
	{name: "invalid JSON", rest: createWebhook, body: `{"displayName":}`, says: "must be valid JSON: invalid character '}'"},
	{name: "cut JSON", rest: createWebhook, body: `{"displayName":"x"`, says: "unexpected end of JSON input"},
	{name: "two documents", rest: createWebhook, body: `{}{}`, says: "after top-level value"},
	{name: "an array", rest: createWebhook, body: `[]`, says: "must be a JSON object"},
	{name: "null", rest: createWebhook, body: `null`, says: "must be a JSON object"},
	{name: "a form", rest: createWebhook, body: `displayName=x`, header: []string{"Content-Type", "application/x-www-form-urlencoded"}, fields: field("Content-Type", "must be application/json")},
	{name: "no content type", rest: createWebhook, body: `{}`, header: []string{"Content-Type", ""}, fields: field("Content-Type", "must be application/json")},
	{name: "a body too large", rest: createWebhook, body: strings.Repeat(" ", 2<<20+1), fields: field("body", "at most 2097152 bytes")},

	{name: "update clears the name", rest: updateWebhook, body: `{"webhook":{},"updateMask":"displayName"}`, fields: field("webhook.displayName", "must be set")},
	{name: "update clears the URL", rest: updateWebhook, body: `{"updateMask":"url"}`, fields: field("webhook.url", "must be set")},
	{name: "update empties the name", rest: updateWebhook, body: `{"webhook":{"displayName":""}}`, fields: field("webhook.displayName", "must be set")},
	{name: "update with a bad URL", rest: updateWebhook, body: `{"webhook":{"url":"https://a.example/#"}}`, fields: field("webhook.url", "fragment")},
	{name: "update with a bad timeout", rest: updateWebhook, body: `{"webhook":{"callbackTimeout":"0s"}}`, fields: field("webhook.callbackTimeout", "from 86400s")},
	{name: "update with Go's syntax", rest: updateWebhook, body: `{"webhook":{"callbackTimeout":"1h"}}`, fields: field("webhook.callbackTimeout", "1h")},
	{name: "unknown mask path", rest: updateWebhook, body: `{"webhook":{"displayName":"y"},"updateMask":"displayName,color"}`, fields: field("updateMask", `not "color"`)},
	{name: "read-only mask path", rest: updateWebhook, body: `{"webhook":{"displayName":"y"},"updateMask":"displayName,created_at"}`, fields: field("updateMask", `not "created_at"`)},
	{name: "mask path that is neither case", rest: updateWebhook, body: `{"webhook":{"displayName":"y"},"updateMask":"display__name"}`, fields: field("updateMask", "must be a string of field names, separated by commas")},
	{name: "mask that is no string", rest: updateWebhook, body: `{"updateMask":["displayName"]}`, fields: field("updateMask", "")},
	{name: "test of an unknown webhook", rest: "POST /api/v1/webhooks/{unknown}/test", status: 404, reason: "WEBHOOK_NOT_FOUND"},
	{name: "search with a bad ref", rest: "POST /api/v1/search/webhooks", body: `{"refs":[{"id":5}]}`, fields: field("refs[0].id", "5")},
	{name: "search with too many refs", rest: "POST /api/v1/search/webhooks", body: `{"refs":[` + strings.Repeat(`{"id":"x"},`, 1000) + `{}]}`, fields: field("refs", "at most 1000")},

	{name: "settings out of range", rest: updateSettings, body: `{"settings":{"maxInFlight":0}}`, fields: field("settings.maxInFlight", "from 1 to 1024, is 0")},
	{name: "settings too large", rest: updateSettings, body: `{"settings":{"maxInFlight":1025}}`, fields: field("settings.maxInFlight", "is 1025")},
	{name: "settings with an outcome URL that is none", rest: updateSettings, body: `{"settings":{"outcomeUrl":"ftp://x"}}`, fields: field("settings.outcomeUrl", "https")},
	{name: "settings with a total out of range", rest: updateSettings, body: `{"settings":{"maxInFlightTotal":-1}}`, fields: field("settings.maxInFlightTotal", "from 0 (no bound) to 16384, is -1")},
	{name: "settings unspecified", rest: updateSettings, body: `{"settings":{"retryPolicy":"RETRY_POLICY_UNSPECIFIED"}}`, fields: field("settings.retryPolicy", "RETRY_POLICY_FAST")},
	{name: "settings of an unknown enum value", rest: updateSettings, body: `{"settings":{"retryPolicy":"SLOW"}}`, fields: field("settings.retryPolicy", "SLOW")},
	{name: "settings with an unknown number", rest: updateSettings, body: `{"settings":{"retryPolicy":9}}`, fields: field("settings.retryPolicy", "must be")},
	{name: "settings with an unknown field", rest: updateSettings, body: `{"settings":{"color":1}}`, fields: field("settings.color", "is not a field of WebhookSettings")},
	{name: "settings with a bad mask", rest: updateSettings, body: `{"settings":{},"updateMask":"webhookId"}`, fields: field("updateMask", "webhook_id")},
	{name: "settings with a mask that names secrets", rest: updateSettings, body: `{"settings":{},"updateMask":"secrets"}`, fields: field("updateMask", `not "secrets"`)},
	{name: "settings with a mask that goes deeper", rest: updateSettings, body: `{"settings":{},"updateMask":"headers.list"}`, fields: field("updateMask", `not "headers.list"`)},
	{name: "settings with a reserved header", rest: updateSettings, body: `{"settings":{"headers":{"list":[{"name":"a","value":"b"},{"name":"X_Forwarded_For","value":"b"}]}}}`,
		fields: field("settings.headers.list[1].name", "reserved")},
	{name: "settings with a header whose value isn't there", rest: updateSettings, body: `{"settings":{"headers":{"list":[{"name":"a"}]}}}`, fields: field("settings.headers.list[0].value", "could stay")},
	{name: "settings with several faults", rest: updateSettings, body: `{"settings":{"headers":{"list":[{"name":"a","value":"\r\n"}]},"caPem":"x","clientCertificate":{"certificatePem":"x"}}}`,
		fields: map[string]string{"settings.headers.list[0].value": "printable", "settings.caPem": "in PEM", "settings.clientCertificate.certificatePem": "in PEM"}},
	{name: "secret of an unknown scheme", rest: rotateSecret, body: `{"scheme":7}`, fields: field("scheme", "WEBHOOK_SECRET_SCHEME_V1A")},
	{name: "secret that is short", rest: rotateSecret, body: `{"secret":"whsec_AAAA"}`, fields: field("secret", "from 24 to 64 bytes")},
	{name: "secret that is none", rest: rotateSecret, body: `{"secret":"hunter2"}`, fields: field("secret", "whsec_")},
	{name: "secret given for another scheme", rest: rotateSecret, body: `{"scheme":"WEBHOOK_SECRET_SCHEME_V1A","secret":"whsk_x"}`, fields: field("secret", "made here")},
	{name: "secret kept too long", rest: rotateSecret, body: `{"keepFor":"2592001s"}`, fields: field("keepFor", "from 0s to 2592000s")},
	{name: "secret kept negatively", rest: rotateSecret, body: `{"keepFor":"-1s"}`, fields: field("keepFor", "from 0s")},
	{name: "secret with an unknown field", rest: rotateSecret, body: `{"color":1}`, fields: field("color", "is not a field")},
	{name: "key without a role", rest: createKey, body: `{"name":"x"}`, fields: field("role", "admin")},
	{name: "key with a NUL in its name", rest: createKey, body: `{"role":"ROLE_ADMIN","name":"\u0000"}`, fields: field("name", "U+0000")},
	{name: "key with a long name", rest: createKey, body: `{"role":"ROLE_ADMIN","name":` + text(101) + `}`, fields: field("name", "at most 100")},
	{name: "key that has ended", rest: createKey, body: `{"role":"ROLE_ADMIN","expiresAt":"2001-01-01T00:00:00Z"}`, fields: field("expiresAt", "must be later than now")},
	{name: "key that ends in the year 1", rest: createKey, body: `{"role":"ROLE_ADMIN","expiresAt":"0001-01-01T00:00:00Z"}`, fields: field("expiresAt", "must be later than now")},
	{name: "key whose end is no time", rest: createKey, body: `{"role":"ROLE_ADMIN","expiresAt":"tomorrow"}`, fields: field("expiresAt", "tomorrow")},
	{name: "key with a negative bound", rest: createKey, body: `{"role":"ROLE_ADMIN","rateLimit":-1}`, fields: field("rateLimit", "must be 0, for no bound, to 100000, is -1")},
	{name: "key with all wrong", rest: createKey, body: `{"expiresAt":"2001-01-01T00:00:00Z","rateLimit":100001,"name":"\u0000"}`,
		fields: map[string]string{"role": "admin", "expiresAt": "later", "rateLimit": "100001", "name": "U+0000"}},
	{name: "key with an unknown role", rest: createKey, body: `{"role":"ROLE_KING"}`, fields: field("role", "ROLE_KING")},
}

var instanceRefusals = []refusal{
	{name: "no source", rest: createInstance, body: `{}`, fields: field("source", "exactly one of test,")},
	{name: "an empty source", rest: createInstance, body: `{"source":{}}`, fields: field("source", "exactly one of")},
	{name: "two sources", rest: createInstance, body: `{"source":{"test":{},"approvalStep":{"ticketId":"x"}}}`, fields: field("source", "must be exactly one of test, ")},
	{name: "an unknown source", rest: createInstance, body: `{"source":{"magic":{}}}`, fields: field("source.magic", "is not a field of WebhookSource")},
	{name: "no ticket", rest: createInstance, body: `{"source":{"approvalStep":{}}}`, fields: field("source.approvalStep.ticketId", "must be set")},
	{name: "no ticket to provision", rest: createInstance, body: `{"source":{"provisionStep":{"ticketId":""}}}`, fields: field("source.provisionStep.ticketId", "must be set")},
	{name: "no ticket after a policy", rest: createInstance, body: `{"source":{"policyPostAction":{}}}`, fields: field("source.policyPostAction.ticketId", "must be set")},
	{name: "a long ticket", rest: createInstance, body: `{"source":{"approvalStep":{"ticketId":` + text(257) + `}}}`, fields: field("source.approvalStep.ticketId", "at most 256")},
	{name: "no workflow", rest: createInstance, body: `{"source":{"workflowStep":{}}}`,
		fields: map[string]string{"source.workflowStep.workflowExecutionId": "not 0", "source.workflowStep.workflowStepId": "must be set"}},
	{name: "a workflow of a wrong type", rest: createInstance, body: `{"source":{"workflowStep":{"workflowExecutionId":"9223372036854775808"}}}`,
		fields: field("source.workflowStep.workflowExecutionId", "9223372036854775808")},
	{name: "an outcome URL with a private address", rest: createInstance, body: asking(`"outcomeUrl":"https://10.0.0.1/"`), fields: field("outcomeUrl", "private, local or reserved")},
	{name: "a retry with an outcome URL that is none", rest: "POST /api/v1/instances/{unknown}:retry", body: `{"outcomeUrl":"x"}`, fields: field("outcomeUrl", "absolute URL")},
	{name: "payload an array", rest: createInstance, body: asking(`"payload":[]`), fields: field("payload", "must be a JSON object")},
	{name: "payload a string", rest: createInstance, body: asking(`"payload":"{}"`), fields: field("payload", "must be a JSON object")},
	{name: "payload a number", rest: createInstance, body: asking(`"payload":1`), fields: field("payload", "must be a JSON object")},
	{name: "payload over 1 MiB", rest: createInstance, body: asking(`"payload":{"x":"` + strings.Repeat("x", 1<<20) + `"}`), fields: field("payload", "at most 1048576 bytes")},
	{name: "payload with a key twice", rest: createInstance, body: asking(`"payload":{"a":[{"b":1,"\u0062":2}]}`), fields: field("payload", `duplicate key "a.b"`)},
	{name: "payload of invalid UTF-8", rest: createInstance, body: asking("\"payload\":{\"a\":\"\xff\"}"), fields: field("payload", "invalid UTF-8 at byte 7")},
	{name: "payload with a type", rest: createInstance, body: asking(`"payload":{"\u0040type":"x"}`), fields: field("payload", "must not have the member @type")},
	{name: "payload too deep", rest: createInstance, body: asking(`"payload":{"a":` + strings.Repeat("[", 64) + strings.Repeat("]", 64) + `}`), fields: field("payload", "nested deeper than 64")},
	{name: "payload twice", rest: createInstance, body: asking(`"payload":{},"payload":{}`), says: "duplicate field"},
	{name: "payload for a test", rest: createInstance, body: `{"source":{"test":{}},"payload":{"a":1}}`, fields: field("payload", "must be empty")},
	{name: "payload with a workflow's name", rest: createInstance, body: `{"source":{"workflowStep":{"workflowExecutionId":1,"workflowStepId":"s"}},"payload":{"workflowExecutionId":1}}`,
		fields: field("payload", "must not have the member workflowExecutionId")},
	{name: "what PostgreSQL can't keep", rest: createInstance, body: asking(`"requestId":"\u0000","labels":{"k":"\u0000"}`),
		fields: map[string]string{"requestId": "U+0000", "labels.k": "U+0000"}},
	{name: "a long request id", rest: createInstance, body: asking(`"requestId":` + text(256)), fields: field("requestId", "at most 255 characters, has 256")},
	{name: "timeout too short", rest: createInstance, body: asking(`"callbackTimeout":"1s"`), fields: field("callbackTimeout", "is 1s")},
	{name: "timeout zero", rest: createInstance, body: asking(`"callbackTimeout":"0s"`), fields: field("callbackTimeout", "from 86400s")},
	{name: "timeout negative", rest: createInstance, body: asking(`"callbackTimeout":"-86400s"`), fields: field("callbackTimeout", "is -86400s")},
	{name: "timeout in Go's syntax", rest: createInstance, body: asking(`"callbackTimeout":"1h"`), fields: field("callbackTimeout", "1h")},
	{name: "33 labels", rest: createInstance, body: asking(`"labels":` + labels(33)), fields: field("labels", "at most 32, are 33")},
	{name: "a label's long key", rest: createInstance, body: asking(`"labels":{` + text(64) + `:"v"}`), fields: field("labels", "at most 63 characters; one has 64")},
	{name: "a label's empty key", rest: createInstance, body: asking(`"labels":{"":"v"}`), fields: field("labels", "empty key")},
	{name: "a label's long value", rest: createInstance, body: asking(`"labels":{"k":` + text(256) + `}`), fields: field("labels.k", "at most 255 characters, has 256")},
	{name: "a label of a wrong type", rest: createInstance, body: asking(`"labels":{"k":1}`), fields: field("labels", "1")},
	{name: "all at once", rest: createInstance, body: `{"payload":[],"labels":{"":""},"requestId":` + text(256) + `}`,
		fields: map[string]string{"source": "exactly one", "labels": "empty key", "requestId": "at most 255"}},
	{name: "an unknown field", rest: createInstance, body: asking(`"color":"red"`), fields: field("color", "is not a field of InstancesServiceCreateRequest")},
	{name: "an unknown field deep down", rest: createInstance, body: `{"source":{"approvalStep":{"ticketId":"t","x":1}}}`, fields: field("source.approvalStep.x", "is not a field")},
	{name: "an unknown field with an odd name", rest: createInstance, body: asking(`"a b: c\u0000":1`), fields: field("a b: c\x00", "is not a field")},
	{name: "a webhook that is not there", rest: "POST /api/v1/webhooks/{unknown}/instances", body: asking(`"labels":{}`), status: 404, reason: "WEBHOOK_NOT_FOUND"},
	{name: "a webhook id of another shape", rest: "POST /api/v1/webhooks/2aEpLC4cSgFzFrO5QbVJgTc0LJh/instances", body: asking(`"labels":{}`), status: 404, reason: "WEBHOOK_NOT_FOUND"},
	{name: "a body too large", rest: createInstance, body: asking(`"payload":{"x":"` + strings.Repeat("x", 2<<20) + `"}`), fields: field("body", "at most 2097152 bytes")},
	{name: "the request id of another", rest: createInstance, body: asking(`"requestId":"taken"`), status: 409, reason: "REQUEST_ID_REUSED"},

	{name: "a batch of none", rest: batchCreate, body: `{"requests":[]}`, fields: field("requests", "1 to 1000, are 0")},
	{name: "a batch of 1001", rest: batchCreate, body: `{"requests":[` + strings.Repeat(`{},`, 1000) + `{}]}`, fields: field("requests", "are 1001")},
	{name: "a batch with one bad ticket", rest: batchCreate, body: batch(`{"webhookId":"{webhook}","source":{"approvalStep":{}},"labels":{"":""}}`),
		fields: map[string]string{"requests[3].source.approvalStep.ticketId": "must be set", "requests[3].labels": "empty key"}},
	{name: "a batch with one bad timeout", rest: batchCreate, body: batch(`{"callbackTimeout":"0s"}`), fields: field("requests[3].callbackTimeout", "from 86400s")},
	{name: "a batch with one unreadable timeout", rest: batchCreate, body: batch(`{"callbackTimeout":"1d"}`), fields: field("requests[3].callbackTimeout", "1d")},
	{name: "a batch with one unknown field", rest: batchCreate, body: batch(`{"webhookID":"x"}`), fields: field("requests[3].webhookID", "is not a field")},
	{name: "a batch with one bad payload", rest: batchCreate, body: batch(`{"webhookId":"{webhook}","source":{"approvalStep":{"ticketId":"x"}},"payload":[]}`), fields: field("requests[3].payload", "object")},
	{name: "a batch with one unknown webhook", rest: batchCreate, body: batch(`{"webhookId":"{unknown}","source":{"test":{}}}`), status: 404, reason: "WEBHOOK_NOT_FOUND", says: "requests[3]: there is no webhook"},
	{name: "a batch with a request id of another", rest: batchCreate, body: batch(`{"webhookId":"{webhook}","source":{"test":{}},"requestId":"taken"}`), status: 409, reason: "REQUEST_ID_REUSED", says: "requests[3]: "},
	{name: "a batch too large", rest: batchCreate, body: strings.Repeat(" ", 32<<20+1), fields: field("body", "at most 33554432 bytes")},
}

var actRefusals = []refusal{
	{name: "get an unknown instance", rest: "GET /api/v1/instances/{unknown}", status: 404, reason: "INSTANCE_NOT_FOUND"},
	{name: "get an id of another shape", rest: "GET /api/v1/instances/nope", status: 404, reason: "INSTANCE_NOT_FOUND"},
	{name: "wait for an unknown instance", rest: "GET /api/v1/instances/{unknown}:wait", status: 404, reason: "INSTANCE_NOT_FOUND"},
	{name: "cancel an unknown instance", rest: "POST /api/v1/instances/{unknown}:cancel", status: 404, reason: "INSTANCE_NOT_FOUND"},
	{name: "retry an unknown instance", rest: "POST /api/v1/instances/{unknown}:retry", status: 404, reason: "INSTANCE_NOT_FOUND"},
	{name: "recreate an unknown instance", rest: "POST /api/v1/instances/{unknown}:recreate", status: 404, reason: "INSTANCE_NOT_FOUND"},
	{name: "answer an unknown instance", rest: "POST /api/v1/instances/{unknown}:answer", body: `{"document":{}}`, status: 404, reason: "INSTANCE_NOT_FOUND"},
	{name: "the delivery of an unknown instance", rest: "GET /api/v1/instances/{unknown}/delivery", status: 404, reason: "INSTANCE_NOT_FOUND"},
	{name: "the delivery of an id of another shape", rest: "GET /api/v1/instances/nope/delivery", status: 404, reason: "INSTANCE_NOT_FOUND"},
	{name: "revoke an unknown key", rest: "DELETE /api/v1/keys/{unknown}", status: 404, reason: "KEY_NOT_FOUND"},
	{name: "revoke an id of another shape", rest: "DELETE /api/v1/keys/nope", status: 404, reason: "KEY_NOT_FOUND"},
	{name: "revoke the configured key", rest: "DELETE /api/v1/keys/configured", reason: "KEY_CONFIGURED", says: "change RIPOSTE_API_KEY and restart the server"},
	{name: "get an unknown webhook", rest: "GET /api/v1/webhooks/{unknown}", status: 404, reason: "WEBHOOK_NOT_FOUND"},
	{name: "update an unknown webhook", rest: "POST /api/v1/webhooks/{unknown}", body: `{}`, status: 404, reason: "WEBHOOK_NOT_FOUND"},
	{name: "delete an unknown webhook", rest: "DELETE /api/v1/webhooks/{unknown}", status: 404, reason: "WEBHOOK_NOT_FOUND"},
	{name: "settings of an unknown webhook", rest: "GET /api/v1/webhooks/{unknown}/settings", status: 404, reason: "WEBHOOK_NOT_FOUND"},
	{name: "rotate the secret of an unknown webhook", rest: "POST /api/v1/webhooks/{unknown}/settings:rotateSecret", body: `{}`, status: 404, reason: "WEBHOOK_NOT_FOUND"},
	{name: "remove an unknown secret", rest: "POST /api/v1/webhooks/{webhook}/settings:removeSecret", body: `{"secretId":"x"}`, status: 404, reason: "WEBHOOK_SECRET_NOT_FOUND"},
	{name: "get a deleted webhook", rest: "GET /api/v1/webhooks/{deleted}", status: 404, reason: "WEBHOOK_NOT_FOUND"},
	{name: "delete a deleted webhook", rest: "DELETE /api/v1/webhooks/{deleted}", body: `{}`, status: 404, reason: "WEBHOOK_NOT_FOUND"},
	{name: "test a deleted webhook", rest: "POST /api/v1/webhooks/{deleted}/test", status: 404, reason: "WEBHOOK_NOT_FOUND"},
	{name: "update a deleted webhook", rest: "PATCH /api/v1/webhooks/{deleted}", body: `{"webhook":{"displayName":"y"}}`, status: 404, reason: "WEBHOOK_NOT_FOUND"},
	{name: "ask a deleted webhook", rest: "POST /api/v1/webhooks/{deleted}/instances", body: asking(`"labels":{}`), status: 404, reason: "WEBHOOK_NOT_FOUND"},

	{name: "wait negatively", rest: "GET /api/v1/instances/{waiting}:wait?timeout=-1s", fields: field("timeout", "negative")},
	{name: "wait for junk", rest: "GET /api/v1/instances/{waiting}:wait?timeout=1h", fields: field("timeout", `"1h"`)},
	{name: "retry what waits", rest: "POST /api/v1/instances/{waiting}:retry", reason: "INSTANCE_NOT_IN_ERROR"},
	{name: "retry what is closed", rest: "POST /api/v1/instances/{answered}:retry", reason: "INSTANCE_CLOSED"},
	{name: "cancel what is closed", rest: "POST /api/v1/instances/{answered}:cancel", reason: "INSTANCE_CLOSED"},
	{name: "answer what is answered", rest: "POST /api/v1/instances/{answered}:answer", body: `{"document":"bad"}`, reason: "CALLBACK_ALREADY_USED"},
	{name: "cancel with an unknown field", rest: "POST /api/v1/instances/{waiting}:cancel", body: `{"why":"x"}`, fields: field("why", "is not a field")},

	{name: "answer nothing", rest: answer, body: `{}`, reason: "BAD_DOCUMENT", fields: field("document", "it is empty")},
	{name: "answer null", rest: answer, body: `{"document":null}`, reason: "BAD_DOCUMENT", fields: field("document", "it is empty")},
	{name: "answer an array", rest: answer, body: `{"document":[]}`, reason: "BAD_DOCUMENT", fields: field("document", "must be an object")},
	{name: "answer another version", rest: answer, body: `{"document":{"version":"v2"}}`, reason: "BAD_DOCUMENT", fields: field("document", `version must be "v1"`)},
	{name: "answer without a choice", rest: answer, body: `{"document":{"version":"v1"}}`, reason: "BAD_DOCUMENT", fields: field("document", "exactly one of approve, deny")},
	{name: "answer two choices", rest: answer, body: `{"document":{"version":"v1","approve":{},"deny":{}}}`, reason: "BAD_DOCUMENT", fields: field("document", "has 2")},
	{name: "answer a key twice", rest: answer, body: `{"document":{"version":"v1","approve":{"comment":"a","comment":"b"}}}`, reason: "BAD_DOCUMENT", fields: field("document", `duplicate key "approve.comment"`)},
	{name: "answer a long comment", rest: answer, body: `{"document":{"version":"v1","approve":{"comment":` + text(1025) + `}}}`, reason: "BAD_DOCUMENT", fields: field("document", "approve.comment must have at most 1024")},
	{name: "answer too much", rest: answer, body: `{"document":{"version":"v1","approve":{},"x":"` + strings.Repeat("x", 256_000) + `"}}`, reason: "BAD_DOCUMENT", fields: field("document", "256000 bytes")},
}

var batchRefusals = []refusal{
	{name: "cancel without a filter", rest: batchCancel, body: `{}`, fields: field("filter", "must be set")},
	{name: "cancel with an empty filter", rest: batchCancel, body: `{"filter":" \t"}`, fields: field("filter", "must be set")},
	{name: "cancel with a bad filter", rest: batchCancel, body: `{"filter":"state = HAPPY"}`, fields: field("filter", `no state "HAPPY"`)},
	{name: "cancel less than nothing", rest: batchCancel, body: `{"filter":"state = PENDING","pageSize":-1}`, fields: field("pageSize", "negative")},
	{name: "cancel with a junk token", rest: batchCancel, body: `{"filter":"state = PENDING","pageToken":"junk"}`, fields: field("pageToken", "this very list")},
	{name: "cancel with a list's token", rest: batchCancel, body: `{"filter":"webhookId = {webhook}","pageToken":"{instancesToken}"}`, fields: field("pageToken", "this very list")},
	{name: "recreate with nothing", rest: batchRecreate, body: `{}`, fields: map[string]string{"filter": "must be set", "requestId": "must be set"}},
	{name: "recreate without an id", rest: batchRecreate, body: `{"filter":"webhookId = {webhook}"}`, fields: field("requestId", "must be set")},
	{name: "recreate with a long id", rest: batchRecreate, body: `{"filter":"webhookId = {webhook}","requestId":` + text(201) + `}`, fields: field("requestId", "at most 200 characters, has 201")},
	{name: "recreate with what PostgreSQL can't keep", rest: batchRecreate, body: `{"filter":"webhookId = {webhook}","requestId":"\u0000"}`, fields: field("requestId", "U+0000")},
	{name: "recreate with a bad filter", rest: batchRecreate, body: `{"filter":"state != PENDING","requestId":"x"}`, fields: field("filter", "only = for state")},
	{name: "count with a bad filter", rest: "GET /api/v1/instances:count?filter=state+%3D+HAPPY", fields: field("filter", `no state "HAPPY"`)},
}

var verificationRefusals = []refusal{
	{name: "no URL", rest: verifyDelivery, body: `{}`, fields: field("url", "must be an http or https URL with a host")},
	{name: "a relative URL", rest: verifyDelivery, body: `{"url":"/hook"}`, fields: field("url", `URL with a host, not "/hook"`)},
	{name: "a URL of another scheme", rest: verifyDelivery, body: `{"url":"ftp://a.example"}`, fields: field("url", "http or https")},
	{name: "a URL with user info", rest: verifyDelivery, body: `{"url":"https://u:p@a.example"}`, fields: field("url", "must have no user info")},
	{name: "keys that are no JSON", rest: verifyDelivery, body: `{"url":"https://a.example","keySet":"https://a.example/jwks"}`, fields: field("keySet", "must be a JSON Web Key Set")},
	{name: "keys that are none", rest: verifyDelivery, body: `{"url":"https://a.example","keySet":"{\"keys\":[]}"}`, fields: field("keySet", "with a key in it")},
	{name: "a key alone", rest: verifyDelivery, body: `{"url":"https://a.example","keySet":"{\"kty\":\"OKP\"}"}`, fields: field("keySet", "with a key in it")},
	{name: "a key of an unknown kind", rest: verifyDelivery, body: `{"url":"https://a.example","keySet":"{\"keys\":[{\"kty\":\"x\"}]}"}`, fields: field("keySet", "must be a JSON Web Key Set")},
	{name: "101 headers", rest: verifyDelivery, body: `{"url":"https://a.example","headers":[` + strings.Repeat(`{"name":"x"},`, 100) + `{}]}`, fields: field("headers", "at most 100, are 101")},
	{name: "a header without a name", rest: verifyDelivery, body: `{"url":"https://a.example","headers":[{"name":"x"},{"value":"x"}]}`, fields: field("headers[1].name", "must be set")},
	{name: "a time that is none", rest: verifyDelivery, body: `{"url":"https://a.example","receivedAt":"today"}`, fields: field("receivedAt", "today")},
	{name: "all at once", rest: verifyDelivery, body: `{"keySet":"x","headers":[{}]}`, fields: map[string]string{"url": "must be", "keySet": "must be", "headers[0].name": "must be set"}},
	{name: "a delivery too large", rest: verifyDelivery, body: strings.Repeat(" ", 4<<20+1), fields: field("body", "at most 4194304 bytes")},
	{name: "no source", rest: verifyDocument, body: `{"document":"{}"}`, fields: field("source", "must be test, policyPostAction, approvalStep, provisionStep or workflowStep")},
	{name: "an unknown source", rest: verifyDocument, body: `{"source":"approval_step"}`, fields: field("source", "must be test,")},
}

var listRefusals = []refusal{
	{name: "webhooks, negative page size", rest: "GET /api/v1/webhooks?page_size=-1", fields: field("pageSize", "negative")},
	{name: "webhooks, junk page size", rest: "GET /api/v1/webhooks?page_size=ten", fields: field("pageSize", `"ten"`)},
	{name: "webhooks, page size in camelCase", rest: "GET /api/v1/webhooks?pageSize=1.5", fields: field("pageSize", `"1.5"`)},
	{name: "webhooks, two page sizes", rest: "GET /api/v1/webhooks?page_size=10&page_size=11", fields: field("pageSize", `"10,11"`)},
	{name: "webhooks, junk token", rest: "GET /api/v1/webhooks?page_token=junk", fields: field("pageToken", "this very list")},
	{name: "webhooks, another list's token", rest: "GET /api/v1/webhooks?page_token={instancesToken}", fields: field("pageToken", "this very list")},
	{name: "webhooks, a broken query", rest: "GET /api/v1/webhooks?page_token=%zz", says: "invalid URL escape"},
	{name: "search, negative page size", rest: "POST /api/v1/search/webhooks", body: `{"pageSize":-1}`, fields: field("pageSize", "negative")},
	{name: "search, junk page size", rest: "POST /api/v1/search/webhooks", body: `{"pageSize":"ten"}`, fields: field("pageSize", "ten")},
	{name: "search, the list's token", rest: "POST /api/v1/search/webhooks", body: `{"pageToken":"{webhooksToken}"}`, fields: field("pageToken", "this very list")},
	{name: "instances, negative page size", rest: "GET /api/v1/instances?page_size=-1", fields: field("pageSize", "negative")},
	{name: "instances, another filter's token", rest: "GET /api/v1/instances?filter=state%3DERROR&page_token={instancesToken}", fields: field("pageToken", "this very list")},
	{name: "instances, a changed token", rest: "GET /api/v1/instances?page_token={instancesToken}A", fields: field("pageToken", "this very list")},
	{name: "the audit log, a bad filter", rest: "GET /api/v1/audit?filter=role+%3D+admin", fields: field("filter", "it takes actor, operation, target and createdAt")},
	{name: "the audit log, another list's token", rest: "GET /api/v1/audit?page_token={instancesToken}", fields: field("pageToken", "this very list")},
	{name: "the audit log, a negative page", rest: "GET /api/v1/audit?page_size=-1", fields: field("pageSize", "negative")},
	{name: "instances, a bad filter", rest: "GET /api/v1/instances?filter=state+%3D+HAPPY", fields: field("filter", `no state "HAPPY"`)},
	{name: "instances, an unknown parameter", rest: "GET /api/v1/instances?sort=id", fields: field("sort", "is not a parameter")},
	{name: "instances, a parameter of invalid UTF-8", rest: "GET /api/v1/instances?%ff=1", fields: field("\uFFFD", "is not a parameter")},
	{name: "instance, an unknown parameter", rest: "GET /api/v1/instances/{waiting}?viewing=FULL", fields: field("viewing", "is not a parameter")},
	{name: "statistics, negative page size", rest: "GET /api/v1/statistics/webhooks?page_size=-1", fields: field("pageSize", "negative")},
	{name: "statistics, the token of the webhooks", rest: "GET /api/v1/statistics/webhooks?page_token={webhooksToken}", fields: field("pageToken", "this very list")},
	{name: "statistics, the token of another query", rest: "GET /api/v1/statistics/webhooks?query=x&page_token={statisticsToken}", fields: field("pageToken", "this very list")},
	{name: "statistics, the token of those that are there", rest: "GET /api/v1/statistics/webhooks?deleted=true&page_token={statisticsToken}", fields: field("pageToken", "this very list")},
	{name: "statistics, an unknown parameter", rest: "GET /api/v1/statistics/webhooks?since=1h", fields: field("since", "is not a parameter")},
	{name: "statistics of an unknown webhook", rest: "GET /api/v1/statistics/webhooks/{unknown}", status: 404, reason: "WEBHOOK_NOT_FOUND"},
	{name: "statistics of an id of another shape", rest: "GET /api/v1/statistics/webhooks/nope", status: 404, reason: "WEBHOOK_NOT_FOUND"},
	{name: "instance, an unknown view", rest: "GET /api/v1/instances/{waiting}?view=HALF", fields: field("view", `"HALF"`)},
}

func labels(n int) string {
	m := map[string]string{}
	for i := range n {
		m[fmt.Sprint("k", i)] = "v"
	}
	b, _ := json.Marshal(m)
	return string(b)
}

// batch has the bad request at index 3.
func batch(bad string) string {
	good := `{"webhookId":"{webhook}","source":{"approvalStep":{"ticketId":"x"}}},`
	return `{"requests":[` + good + good + good + bad + `]}`
}

func TestBadInputIsRefusedByFieldAndStoresNothing(t *testing.T) {
	n := startNode(t)
	names := n.fixture()
	before := n.everything()
	for group, refusals := range map[string][]refusal{
		"webhooks": webhookRefusals, "instances": instanceRefusals, "acts": actRefusals, "lists": listRefusals,
		"batches": batchRefusals, "verification": verificationRefusals,
	} {
		for _, c := range refusals {
			t.Run(group+"/"+c.name, func(t *testing.T) {
				n.t = t
				method, path, _ := strings.Cut(fill(c.rest, names), " ")
				checkRefusal(t, c, n.send(method, path, fill(c.body, names), c.header...))
				after := n.everything()
				if diff := gocmp.Diff(before, after); diff != "" {
					t.Errorf("something changed (-before +after):\n%s", diff)
				}
				before = after
			})
		}
	}
}

func checkRefusal(t *testing.T, want refusal, r reply) {
	t.Helper()
	s := r.error(t)
	if r.status != cmp.Or(want.status, 400) || s.reason() != cmp.Or(want.reason, "INVALID_ARGUMENT") {
		t.Fatalf("HTTP %d, reason %q, want %d, %q: %s", r.status, s.reason(), cmp.Or(want.status, 400), cmp.Or(want.reason, "INVALID_ARGUMENT"), r.body)
	}
	if !strings.Contains(s.Message, want.says) {
		t.Errorf("message %q, want a part %q", s.Message, want.says)
	}
	fields := s.fields()
	if got, want := slices.Sorted(maps.Keys(fields)), slices.Sorted(maps.Keys(want.fields)); !slices.Equal(got, want) {
		t.Fatalf("fields %q, want %q: %s", got, want, r.body)
	}
	for name, rule := range want.fields {
		if !strings.Contains(fields[name], rule) {
			t.Errorf("%s %s, want a part %q", name, fields[name], rule)
		}
		if !strings.Contains(s.Message, fields[name]) {
			t.Errorf("message %q doesn't say that %s %s", s.Message, name, fields[name])
		}
	}
}

// fixture makes what the refused requests name. Nothing of it moves by itself.
func (n *node) fixture() map[string]string {
	n.t.Helper()
	names := map[string]string{"webhook": n.webhook("/later"), "deleted": n.webhook("/gone"), "unknown": "000000000000000000000000"}
	names["waiting"] = n.approval(names["webhook"], riposte.StateWaitingCallback)
	names["answered"] = n.approval(n.webhook("/approve"), riposte.StateSuccess)
	okJSON(n.t, n.send(http.MethodDelete, "/api/v1/webhooks/"+names["deleted"], ""))
	for i := range 10 {
		n.webhook(fmt.Sprint("/", i))
	}
	res, err := n.Instances.BatchCreate(n.t.Context(), &ripostev1.InstancesServiceBatchCreateRequest{Requests: n.elevenMore(names["webhook"])})
	if err != nil {
		n.t.Fatal(err)
	}
	for _, i := range res.GetInstances() {
		n.await(i.GetWebhookInstance().GetId(), riposte.StateWaitingCallback)
	}
	names["webhooksToken"] = n.nextPage("/api/v1/webhooks?page_size=10")
	names["instancesToken"] = n.nextPage("/api/v1/instances?page_size=10")
	names["statisticsToken"] = n.nextPage("/api/v1/statistics/webhooks?page_size=10")
	return names
}

// elevenMore is enough for a second page. The first has the request id "taken".
func (n *node) elevenMore(webhook string) []*ripostev1.InstancesServiceCreateRequest {
	var requests []*ripostev1.InstancesServiceCreateRequest
	for range 11 {
		requests = append(requests, &ripostev1.InstancesServiceCreateRequest{WebhookId: webhook, Source: approvalStep("taken")})
	}
	requests[0].RequestId = "taken"
	return requests
}

func (n *node) nextPage(path string) string {
	n.t.Helper()
	var page struct{ NextPageToken string }
	if err := json.Unmarshal(okJSON(n.t, n.send(http.MethodGet, path, "")), &page); err != nil {
		n.t.Fatal(err)
	}
	if page.NextPageToken == "" {
		n.t.Fatalf("%s has one page only", path)
	}
	return page.NextPageToken
}

// everything is all that callers can see, the audit log included: what is refused is
// not in it.
func (n *node) everything() []string {
	n.t.Helper()
	hooks, err := n.Webhooks.List(n.t.Context(), &webhooksv1.WebhooksServiceListRequest{PageSize: 100})
	if err != nil {
		n.t.Fatal(err)
	}
	asked, err := n.Instances.List(n.t.Context(), &ripostev1.InstancesServiceListRequest{PageSize: 1000})
	if err != nil {
		n.t.Fatal(err)
	}
	var all []string
	for _, w := range hooks.GetList() {
		all = append(all, w.GetId()+" "+w.GetDisplayName()+" "+w.GetUpdatedAt().AsTime().String())
	}
	for _, i := range asked.GetList() {
		w := i.GetWebhookInstance()
		all = append(all, w.GetId()+" "+w.GetState().String()+" "+w.GetUpdatedAt().AsTime().String())
	}
	for _, e := range n.audit("") {
		all = append(all, e.String())
	}
	return all
}
