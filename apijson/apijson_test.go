package apijson_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/riposte-dev/riposte/apijson"
	webhooksv1 "github.com/riposte-dev/riposte/gen/c1/api/webhooks/v1"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

func marshal(t testing.TB, m proto.Message) string {
	t.Helper()
	b, err := apijson.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := json.Compact(&out, b); err != nil {
		t.Fatalf("%s: %v", b, err)
	}
	return out.String()
}

func TestMarshalEmitsWhatIsUnpopulated(t *testing.T) {
	for want, m := range map[string]proto.Message{
		`{"id":"","displayName":"a\u003cb>","callbackTimeout":"691200s","createdAt":null,"updatedAt":null,"deletedAt":null}`: &webhooksv1.Webhook{
			DisplayName: new("a<b>"), CallbackTimeout: durationpb.New(691200e9)},
		`{"list":[],"nextPageToken":""}`: &webhooksv1.WebhooksServiceListResponse{},
		`{"workflowStep":{"workflowExecutionId":"9007199254740993","workflowStepId":""}}`: &webhooksv1.WebhookSource{
			Source: &webhooksv1.WebhookSource_WorkflowStep{WorkflowStep: &webhooksv1.WebhookSourceWorkflowStep{WorkflowExecutionId: 1<<53 + 1}}},
		`{}`: &webhooksv1.WebhookSource{},
		`{"number":0,"startedAt":null,"duration":null,"phases":null,"statusCode":0,"error":null,"responseHeaders":{"a":"b"},"responseBody":"","responseBodyCut":false,"remoteAddress":""}`: &ripostev1.Attempt{
			ResponseHeaders: map[string]string{"a": "b"}},
	} {
		// protojson leaves < as it is, encoding/json doesn't: either is JSON.
		if got := marshal(t, m); got != strings.ReplaceAll(want, `\u003c`, "<") {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

// raws are JSON values that no decoder leaves as they are.
var raws = []string{
	`{}`, `{ "b" : 1 , "a" : [ ] }`, `{"n":12345678901234567890,"f":1.00,"e":1E+2,"z":-0}`, `{"\u0061":"\u00e9é\/"}`, "{\n\t\"a\": null\r\n}",
	`{"a":{"b":[{"c":"}]\\\""}]}}`, `[1,2]`, `"text, \" and \\"`, `0`, `true`,
}

func TestRawFieldComesBackByteForByte(t *testing.T) {
	for _, raw := range raws {
		b := `{"webhookId":"w","payload":` + raw + `,"requestId":"r"}`
		var one ripostev1.InstancesServiceCreateRequest
		if err := apijson.Unmarshal([]byte(b), &one); err != nil {
			t.Errorf("%s: %v", b, err)
			continue
		}
		if string(one.GetPayload()) != raw || one.GetWebhookId() != "w" || one.GetRequestId() != "r" {
			t.Errorf("%s gave %v", b, &one)
		}
		out, err := apijson.Marshal(&ripostev1.InstancesServiceBatchCreateRequest{Requests: []*ripostev1.InstancesServiceCreateRequest{{}, &one, &one}})
		if err != nil {
			t.Fatal(err)
		}
		var list struct {
			Requests []struct{ Payload json.RawMessage }
		}
		if err := json.Unmarshal(out, &list); err != nil {
			t.Fatalf("%s: %v", out, err)
		}
		if string(list.Requests[0].Payload) != "null" || string(list.Requests[1].Payload) != raw || string(list.Requests[2].Payload) != raw {
			t.Errorf("%s came back as %s", raw, out)
		}
	}
}

func TestRawFieldInAListAndByItsOtherName(t *testing.T) {
	b := ` { "requests" : [ { "payload" : { "a" : 1 } } , {"p\u0061yload":[2], "webhook_id":"x"} , {"payload":null} , {} ] } `
	var got ripostev1.InstancesServiceBatchCreateRequest
	if err := apijson.Unmarshal([]byte(b), &got); err != nil {
		t.Fatal(err)
	}
	want := &ripostev1.InstancesServiceBatchCreateRequest{Requests: []*ripostev1.InstancesServiceCreateRequest{
		{Payload: []byte(`{ "a" : 1 }`)}, {Payload: []byte(`[2]`), WebhookId: "x"}, {}, {}}}
	if diff := cmp.Diff(want, &got, protocmp.Transform()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	var answer ripostev1.InstancesServiceAnswerRequest
	if err := apijson.Unmarshal([]byte(`{"document":{"version":"v1" }}`), &answer); err != nil || string(answer.GetDocument()) != `{"version":"v1" }` {
		t.Errorf("document %s, %v", answer.GetDocument(), err)
	}
}

func TestRawMembersBesideRawFieldsAreUntouched(t *testing.T) {
	// A payload may itself hold names that mean something in the message.
	raw := `{"payload":{"payload":"x"},"updateMask":"a_b","requests":[{"payload":1}]}`
	var got ripostev1.InstancesServiceCreateRequest
	if err := apijson.Unmarshal([]byte(`{"labels":{"payload":"p","updateMask":"a_b"},"payload":`+raw+`}`), &got); err != nil {
		t.Fatal(err)
	}
	if string(got.GetPayload()) != raw || got.GetLabels()["payload"] != "p" || got.GetLabels()["updateMask"] != "a_b" {
		t.Errorf("got %v", &got)
	}
}

func TestRawFieldIsNoPartOfTheInput(t *testing.T) {
	// Whoever reads requests may use the buffer again.
	b := []byte(`{"payload":{"a":1}}`)
	var got ripostev1.InstancesServiceCreateRequest
	if err := apijson.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	clear(b)
	if string(got.GetPayload()) != `{"a":1}` {
		t.Errorf("the payload became %q", got.GetPayload())
	}
}

func TestMaskTakesSnakeCaseAndCamelCase(t *testing.T) {
	for mask, want := range map[string][]string{
		`"displayName,callbackTimeout"`: {"display_name", "callback_timeout"}, `"display_name, url ,callback_timeout"`: {"display_name", "url", "callback_timeout"},
		`"display\u005fname"`: {"display_name"}, `"max_in_flight"`: {"max_in_flight"}, `"webhook.display_name"`: {"webhook.display_name"}, `""`: nil,
	} {
		var got webhooksv1.WebhooksServiceUpdateRequest
		if err := apijson.Unmarshal([]byte(`{"updateMask":`+mask+`,"webhook":{"displayName":"a_b"}}`), &got); err != nil {
			t.Errorf("%s: %v", mask, err)
			continue
		}
		if diff := cmp.Diff(want, got.GetUpdateMask().GetPaths()); diff != "" || got.GetWebhook().GetDisplayName() != "a_b" {
			t.Errorf("%s (-want +got):\n%s", mask, diff)
		}
	}
	var none webhooksv1.WebhooksServiceUpdateRequest
	if err := apijson.Unmarshal([]byte(`{"update_mask":null}`), &none); err != nil || none.UpdateMask != nil {
		t.Errorf("null gave %v, %v", none.UpdateMask, err)
	}
	for _, mask := range []string{`"_display_name"`, `"display__name"`, `"display_name_"`, `"display_Name"`, `"display name"`, `{"paths":["url"]}`, `["url"]`, `5`} {
		var got webhooksv1.WebhooksServiceUpdateRequest
		err := apijson.Unmarshal([]byte(`{"updateMask":`+mask+`}`), &got)
		if e, ok := errors.AsType[*apijson.Error](err); !ok || e.Field != "updateMask" {
			t.Errorf("%s gave %v, %v", mask, got.GetUpdateMask(), err)
		}
	}
}

func TestMaskMarshalsInCamelCase(t *testing.T) {
	got := marshal(t, &webhooksv1.WebhooksServiceUpdateRequest{UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"display_name", "url"}}})
	if want := `{"webhook":null,"updateMask":"displayName,url"}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestUnknownFieldsAreIgnoredOnC1sMessagesAlone(t *testing.T) {
	var c1 webhooksv1.WebhooksServiceUpdateRequest
	if err := apijson.Unmarshal([]byte(`{"color":[{"a":1}],"webhook":{"tags":{},"url":"u"}}`), &c1); err != nil || c1.GetWebhook().GetUrl() != "u" {
		t.Errorf("C1's: %v, %v", &c1, err)
	}
	for b, field := range map[string]string{
		`{"color":1}`:                                    "color",
		`{"x":1,"y":2}`:                                  "x",
		`{"source":{"test":{"deep":{}}}}`:                "source.test.deep",
		`{"source":{"a.b[0]\n":{}}}`:                     "source.a.b[0]\n",
		`{"WebhookId":"x"}`:                              "WebhookId",
		`{"webhook_ID":"x","payload":{"a":1}}`:           "webhook_ID",
		`{"[riposte.v1.raw_json]":true}`:                 "[riposte.v1.raw_json]",
		`{"callbackTimeout":{"seconds":1},"unknown":{}}`: "unknown",
		`{"":1}`: `""`,
	} {
		e := refusal(t, b, &ripostev1.InstancesServiceCreateRequest{})
		if e.Field != field || !strings.HasPrefix(e.Description, "is not a field of ") {
			t.Errorf("%s: %+v", b, e)
		}
	}
}

func TestUnknownFieldsOfAResponseAreIgnored(t *testing.T) {
	var got ripostev1.InstancesServiceGetResponse
	b := `{"instance":{"payload":{"a": 1},"color":"red","outcome":{"kind":"OUTCOME_KIND_NEWER","sequence":"7","more":[]}},"trace":{}}`
	if err := apijson.Unmarshal([]byte(b), &got); err != nil || string(got.GetInstance().GetPayload()) != `{"a": 1}` || got.GetInstance().GetOutcome().GetSequence() != 7 {
		t.Errorf("%v, %v", &got, err)
	}
}

func TestMarshalRefusesRawBytesThatAreNotOneValue(t *testing.T) {
	for _, raw := range []string{`{}, "webhookId":"other"`, `{`, `1 2`, ` `, `nul`} {
		_, err := apijson.Marshal(&ripostev1.InstancesServiceBatchCreateRequest{Requests: []*ripostev1.InstancesServiceCreateRequest{{Payload: []byte(raw)}}})
		if e, ok := errors.AsType[*apijson.Error](err); !ok || e.Field != "requests[0].payload" {
			t.Errorf("%q: %v", raw, err)
		}
	}
}

func refusal(t testing.TB, b string, m proto.Message) *apijson.Error {
	t.Helper()
	e, ok := errors.AsType[*apijson.Error](apijson.Unmarshal([]byte(b), m))
	if !ok {
		t.Fatalf("%s is taken: %v", b, m)
	}
	return e
}

func TestErrorNamesTheField(t *testing.T) {
	for b, want := range map[string]apijson.Error{
		`{"requestId":5}`: {Field: "requestId", Description: "5"},
		"{\n \"webhookId\":\"é€😀\",\"requestId\": [ ]}":                    {Field: "requestId", Description: "["},
		"{\"webhookId\":\"日本語\",\n\"labels\":{\"é\":\"ü\",\"k\":1}}":       {Field: "labels", Description: "1"},
		"{\"webhookId\":\"é\",\"requestId\":\"\xff\"}":                     {Field: "requestId", Description: "invalid UTF-8"},
		`{"payload":{"é":"long, and spliced out"},"callbackTimeout":"1h"}`: {Field: "callbackTimeout", Description: `invalid google.protobuf.Duration value "1h"`},
		`{"source":{"workflowStep":{"workflowExecutionId":"1.5"}}}`:        {Field: "source.workflowStep.workflowExecutionId", Description: "1.5"},
		`{"source":{"test":{},"approvalStep":{}}}`:                         {Field: "source", Description: "must be exactly one of test, "},
		`{"source":[]}`:                      {Field: "source", Description: "unexpected token ["},
		`{"requestId":"\ud800 and more"}`:    {Field: "requestId", Description: "invalid escape code"},
		`{"requestId":"\ud800"}`:             {Field: "", Description: "half of a surrogate pair"},
		`{"requestId":"a","request_id":"b"}`: {Field: "", Description: "duplicate field"},
		``:                                   {Description: "must be valid JSON: unexpected end of JSON input"},
		`{"a":}`:                             {Description: "must be valid JSON: invalid character '}'"},
		`{} x`:                               {Description: "must be valid JSON: invalid character 'x' after top-level value"},
		` [{}]`:                              {Description: "must be a JSON object"},
		`"{}"`:                               {Description: "must be a JSON object"},
		"null":                               {Description: "must be a JSON object"},
	} {
		e := refusal(t, b, &ripostev1.InstancesServiceCreateRequest{})
		if e.Field != want.Field || !strings.Contains(e.Description, want.Description) || strings.Contains(e.Description, "proto:") {
			t.Errorf("%s: %+v, want %+v", b, e, want)
		}
	}
	batch := `{"requests":[{},{"webhookId":"é"},{"source":{"approvalStep":{"ticketId":7}}}]}`
	if e := refusal(t, batch, &ripostev1.InstancesServiceBatchCreateRequest{}); e.Field != "requests[2].source.approvalStep.ticketId" {
		t.Errorf("%s: %+v", batch, e)
	}
	if got := (&apijson.Error{Field: "a.b", Description: "is wrong"}).Error(); got != "a.b: is wrong" {
		t.Errorf("Error() = %q", got)
	}
}

// TestErrorRepeatsNoSecret: who puts one where it doesn't belong finds it in no log.
func TestErrorRepeatsNoSecret(t *testing.T) {
	const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	for b, want := range map[string]apijson.Error{
		`{"settings":{"headers":["x-key: s3cret"]}}`:                {Field: "settings.headers", Description: "unexpected token ["},
		`{"settings":{"headers":"x-key: s3cret"}}`:                  {Field: "settings.headers", Description: "unexpected string"},
		`{"settings":{"headers":{"list":["x-key: s3cret"]}}}`:       {Field: "settings.headers.list", Description: "unexpected string"},
		`{"settings":{"maxInFlight":"` + secret + `"}}`:             {Field: "settings.maxInFlight", Description: "invalid value for int32 field maxInFlight"},
		`{"settings":{"maxInFlight":"many"}}`:                       {Field: "settings.maxInFlight", Description: `invalid value for int32 field maxInFlight: "many"`},
		`{"settings":{"retryPolicy":"` + secret + `"}}`:             {Field: "settings.retryPolicy", Description: "invalid value for enum field retryPolicy"},
		`{"settings":{"secrets":[{"createdAt":"` + secret + `"}]}}`: {Field: "settings.secrets[0].createdAt", Description: "invalid google.protobuf.Timestamp value"},
		`{"updateMask":["` + secret + `"]}`:                         {Field: "updateMask", Description: "must be a string of field names, separated by commas"},
	} {
		if e := refusal(t, b, &ripostev1.WebhookSettingsServiceUpdateRequest{}); *e != want {
			t.Errorf("%s: %+v, want %+v", b, e, want)
		}
	}
}

func TestCodecTakesAnEmptyBodyAndMessagesAlone(t *testing.T) {
	var c apijson.Codec
	m := &webhooksv1.WebhooksServiceDeleteRequest{Id: "x"}
	if err := c.Unmarshal(nil, m); err != nil || m.GetId() != "" {
		t.Errorf("an empty body gave %v, %v", m, err)
	}
	if err := c.Unmarshal([]byte(" "), m); err == nil {
		t.Error("a body of white space is taken")
	}
	if c.Name() != "json" {
		t.Errorf("Name() = %q", c.Name())
	}
	if _, err := c.Marshal("text"); err == nil {
		t.Error("Marshal takes a string")
	}
	if err := c.Unmarshal([]byte("{}"), new(string)); err == nil {
		t.Error("Unmarshal takes a string")
	}
	if _, err := c.Marshal(&webhooksv1.WebhookRef{Id: "\xff"}); err == nil || !strings.HasPrefix(err.Error(), "marshalling c1.api.webhooks.v1.WebhookRef: ") {
		t.Errorf("invalid UTF-8: %v", err)
	}
}

// FuzzUnmarshal checks that no input panics, and that what is taken comes back
// with its raw values as they were.
func FuzzUnmarshal(f *testing.F) {
	for _, raw := range raws {
		f.Add([]byte(`{"requests":[{"payload":` + raw + `,"labels":{"a":"b"}},{"source":{"test":{}}}]}`))
	}
	for _, b := range []string{``, `{`, `[]`, `{"requests":[[{}],null,"x",{"payload":null}]}`, `{"requests":{"payload":1}}`, `{"requests":[{"callbackTimeout":"1h"}]}`,
		`{"requests":[{"payload":{},"x":1}]}`, "{\"requests\":[{\"requestId\":\"\xff\"}]}", `{"requests":[{"webhookId":"\ud800"}]}`} {
		f.Add([]byte(b))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var got ripostev1.InstancesServiceBatchCreateRequest
		if err := apijson.Unmarshal(b, &got); err != nil {
			if _, ok := errors.AsType[*apijson.Error](err); !ok {
				t.Errorf("%q: a %T", b, err)
			}
			return
		}
		for i, want := range rawPayloads(t, b) {
			if payload := got.GetRequests()[i].GetPayload(); !bytes.Equal(payload, want) {
				t.Errorf("%q: payload %d is %q, want %q", b, i, payload, want)
			}
		}
		checkRoundTrip(t, &got)
	})
}

// rawPayloads reads b by another way: encoding/json. A null counts as absent.
func rawPayloads(t *testing.T, b []byte) map[int]json.RawMessage {
	var top map[string]json.RawMessage
	var list []map[string]json.RawMessage
	if err := json.Unmarshal(b, &top); err != nil {
		t.Fatal(err)
	}
	if top["requests"] != nil {
		if err := json.Unmarshal(top["requests"], &list); err != nil {
			t.Fatal(err)
		}
	}
	payloads := map[int]json.RawMessage{}
	for i, request := range list {
		if p := request["payload"]; string(p) != "null" {
			payloads[i] = p
		}
	}
	return payloads
}

func checkRoundTrip(t *testing.T, m *ripostev1.InstancesServiceBatchCreateRequest) {
	out, err := apijson.Marshal(m)
	if err != nil {
		t.Fatalf("%v: %v", m, err)
	}
	var again ripostev1.InstancesServiceBatchCreateRequest
	if err := apijson.Unmarshal(out, &again); err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	if !proto.Equal(m, &again) {
		t.Errorf("%v came back as %v", m, &again)
	}
}

func benchmarkMessage() *ripostev1.InstancesServiceCreateRequest {
	return &ripostev1.InstancesServiceCreateRequest{
		WebhookId:       "0123456789abcdefghijklmn",
		Source:          &webhooksv1.WebhookSource{Source: &webhooksv1.WebhookSource_ApprovalStep{ApprovalStep: &webhooksv1.WebhookSourceApprovalStep{TicketId: "ticket-1"}}},
		Payload:         []byte(`{"taskView":{"task":{"id":"1","displayName":"Access to production","numericId":"12345678901234567890"}},"expanded":[{"a":1.0},{"b":[1,2,3]}]}`),
		RequestId:       "request-1",
		CallbackTimeout: durationpb.New(86400e9),
		Labels:          map[string]string{"team": "red", "env": "prod"},
	}
}

// benchmarkResponse is what a create answers: nothing raw in it, nearly.
func benchmarkResponse() *ripostev1.InstancesServiceCreateResponse {
	at := timestamppb.New(time.Unix(1_700_000_000, 123_000_000))
	return &ripostev1.InstancesServiceCreateResponse{Instance: &ripostev1.Instance{
		WebhookInstance: &webhooksv1.WebhookInstance{
			Id:        "0123456789abcdefghijklmnopq",
			WebhookId: "0123456789abcdefghijklmnopq",
			Source:    &webhooksv1.WebhookSource{Source: &webhooksv1.WebhookSource_ApprovalStep{ApprovalStep: &webhooksv1.WebhookSourceApprovalStep{TicketId: "ticket-1"}}},
			Spec:      &webhooksv1.WebhookSpec{Destination: "https://receiver.example/hook"},
			State:     webhooksv1.WebhookState_WEBHOOK_STATE_PENDING,
			CreatedAt: at, UpdatedAt: at, ExpiresAt: at,
		},
		EventType:     "c1.webhooks.v1.PayloadApprovalStep",
		NextAttemptAt: at,
	}}
}

func BenchmarkMarshalResponse(b *testing.B) {
	m := benchmarkResponse()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := apijson.Marshal(m); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMarshal(b *testing.B) {
	m := benchmarkMessage()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := apijson.Marshal(m); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkUnmarshal(b *testing.B) {
	small, large := benchmarkMessage(), benchmarkMessage()
	large.Payload = []byte(`{"text":"` + strings.Repeat("x", 1<<10) + `"}`)
	for name, m := range map[string]proto.Message{"small": small, "1KiB": large} {
		b.Run(name, func(b *testing.B) {
			body, err := apijson.Marshal(m)
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				var m ripostev1.InstancesServiceCreateRequest
				if err := apijson.Unmarshal(body, &m); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
