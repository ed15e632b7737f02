package riposte_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/riposte-dev/riposte"
)

// TestEnvelopeBody has the exact bytes that a receiver gets for each source.
func TestEnvelopeBody(t *testing.T) {
	const url = "https://riposte.example/api/v1/webhooks/callback/AbC-_9"
	for kind, tt := range map[riposte.SourceKind]struct{ payload, want string }{
		testSource: {``,
			`{"version":"v1","webhookId":"i-1","callbackUrl":"` + url + `","event":"c1.webhooks.v1.PayloadTest",` +
				`"payload":{"@type":"type.googleapis.com/c1.webhooks.v1.PayloadTest"}}`},
		policyPostAction: {`{"b":1,"a":2}`,
			`{"version":"v1","webhookId":"i-1","callbackUrl":"` + url + `","event":"c1.webhooks.v1.PayloadPolicyPostAction",` +
				`"payload":{"@type":"type.googleapis.com/c1.webhooks.v1.PayloadPolicyPostAction","b":1,"a":2}}`},
		approvalStep: {`{"taskView":{},"expanded":[]}`,
			`{"version":"v1","webhookId":"i-1","callbackUrl":"` + url + `","event":"c1.webhooks.v1.PayloadPolicyApprovalStep",` +
				`"payload":{"@type":"type.googleapis.com/c1.webhooks.v1.PayloadPolicyApprovalStep","taskView":{},"expanded":[]}}`},
		provisionStep: {`{"taskView":{}}`,
			`{"version":"v1","webhookId":"i-1","callbackUrl":"` + url + `","event":"c1.webhooks.v1.PayloadProvisionStep",` +
				`"payload":{"@type":"type.googleapis.com/c1.webhooks.v1.PayloadProvisionStep","taskView":{}}}`},
		workflowStep: {`{"workflowId":"w","context":{"k":1}}`,
			`{"version":"v1","webhookId":"i-1","callbackUrl":"` + url + `","event":"c1.webhooks.v1.PayloadWorkflowStep",` +
				`"payload":{"@type":"type.googleapis.com/c1.webhooks.v1.PayloadWorkflowStep",` +
				`"workflowExecutionId":"42","workflowExecutionStepId":"step-1","workflowId":"w","context":{"k":1}}}`},
	} {
		t.Run(string(kind), func(t *testing.T) {
			e := riposte.NewEnvelope("i-1", url, sources[kind], []byte(tt.payload))
			if diff := cmp.Diff(tt.want, string(e.Body)); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
			checkFiveFields(t, e.Body)
		})
	}
}

// checkFiveFields: PROTOCOL.md section 2, exactly these.
func checkFiveFields(t testing.TB, body []byte) {
	t.Helper()
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	want := []string{"callbackUrl", "event", "payload", "version", "webhookId"}
	if got := slices.Sorted(maps.Keys(fields)); !slices.Equal(got, want) {
		t.Errorf("the body has the fields %q, want %q", got, want)
	}
}

func TestPayloadReachesTheReceiverAsItWasWritten(t *testing.T) {
	for _, payload := range []string{
		`{"n":12345678901234567890,"e":1.0e400,"z":-0.0,"f":1.50}`,
		`{"z":1,"a":{"y":2,"b":3},"m":[3,2,1]}`,
		`{ "a" :	1 ,` + "\r\n" + ` "b" : [ ] }`,
		`{"s":"\u003c\u00e4<ä&\/ \ud83d\ude00😀 "}`,
		`{"a":{"@type":"x","workflowExecutionId":1}}`,
		`{"A":1,"a":2}`,
		`{ }`,
		`{"deep":` + strings.Repeat("[", 63) + strings.Repeat("]", 63) + `}`,
	} {
		for _, kind := range []riposte.SourceKind{policyPostAction, approvalStep, provisionStep, workflowStep} {
			if err := riposte.CheckPayload(kind, []byte(payload)); err != nil {
				t.Errorf("%s of a %s: %v", payload, kind, err)
				continue
			}
			e := riposte.NewEnvelope("i-1", "https://r.example/c", sources[kind], []byte(payload))
			if !json.Valid(e.Body) {
				t.Errorf("the body is no JSON: %s", e.Body)
			}
			members := strings.TrimSuffix(strings.TrimPrefix(payload, "{"), "}")
			if !strings.HasSuffix(string(e.Body), members+"}}") {
				t.Errorf("the body of a %s is %s, want it to end in %s", kind, e.Body, members)
			}
			if got := string(e.Payload()); got != payload {
				t.Errorf("Payload() gives %s, came %s", got, payload)
			}
		}
	}
}

func TestPayloadGivesBackWhatCame(t *testing.T) {
	for came, want := range map[string]string{
		"":                        "{}",
		"{}":                      "{}",
		" \n{\"a\": 1}\t":         `{"a": 1}`,
		`{"a":"}}","b":"\"}}"}`:   `{"a":"}}","b":"\"}}"}`,
		`{"payload":{"@type":1}}`: `{"payload":{"@type":1}}`,
	} {
		e := riposte.NewEnvelope("i-1", "https://r.example/c", sources[workflowStep], []byte(came))
		loaded := riposte.LoadEnvelope(bytes.Clone(e.Body), e.PayloadAt())
		for name, got := range map[string]riposte.Envelope{"built": e, "loaded": loaded} {
			if p := string(got.Payload()); p != want {
				t.Errorf("%s from %q: Payload() gives %q, want %q", name, came, p, want)
			}
			checkFiveFields(t, got.Body)
		}
	}
}

func TestPayloadIsACopyThatCannotSpoilTheBody(t *testing.T) {
	e := riposte.NewEnvelope("i-1", "https://r.example/c", sources[approvalStep], []byte(`{"a":1}`))
	before := bytes.Clone(e.Body)
	_ = append(e.Payload()[:1], "spoilt"...)
	if !bytes.Equal(e.Body, before) {
		t.Errorf("the body became %s", e.Body)
	}
}

func TestCallbackURLComesBackFromTheBody(t *testing.T) {
	for _, url := range []string{
		"https://riposte.example/api/v1/webhooks/callback/AbC-_9",
		"http://127.0.0.1:8080/api/v1/webhooks/callback/x",
		`https://r.example/?a=1&b=<2>"\` + "\u2028ä",
	} {
		e := riposte.NewEnvelope("i-1", url, sources[approvalStep], []byte(`{"callbackUrl":"https://evil.example"}`))
		if got := e.CallbackURL(); got != url {
			t.Errorf("got %q, want %q", got, url)
		}
	}
}

// TestURLsAreNotEscapedForHTML: receivers compare and log what they see.
func TestURLsAreNotEscapedForHTML(t *testing.T) {
	source := riposte.Source{Kind: workflowStep, WorkflowExecutionID: -1, WorkflowStepID: "a<b>&c"}
	body := string(riposte.NewEnvelope("i-1", "https://r.example/c?a=1&b=2", source, nil).Body)
	for _, want := range []string{`"callbackUrl":"https://r.example/c?a=1&b=2",`, `"workflowExecutionId":"-1","workflowExecutionStepId":"a<b>&c"}}`} {
		if !strings.Contains(body, want) {
			t.Errorf("the body is %s, want %s in it", body, want)
		}
	}
}

func TestAnyTakenPayloadMakesABodyWithTheSamePayload(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		source := sources[rapid.SampledFrom(riposte.SourceKinds[1:]).Draw(rt, "source")]
		values := rapid.MapOf(rapid.String(), rapid.OneOf(rapid.Int64().AsAny(), rapid.String().AsAny(), rapid.Bool().AsAny())).Draw(rt, "payload")
		payload, err := json.Marshal(values)
		if err != nil || riposte.CheckPayload(source.Kind, payload) != nil {
			rt.Skip("reserved name")
		}
		source.WorkflowStepID = rapid.String().Draw(rt, "step id")
		e := riposte.NewEnvelope("i-1", rapid.String().Draw(rt, "callback URL"), source, payload)
		if err := riposte.CheckJSON(e.Body); err != nil {
			rt.Fatalf("%v in %s", err, e.Body)
		}
		if !bytes.Equal(e.Payload(), payload) {
			rt.Fatalf("Payload() gives %s, came %s", e.Payload(), payload)
		}
	})
}

func TestPayloadRefused(t *testing.T) {
	for _, tt := range []struct {
		name    string
		kind    riposte.SourceKind
		payload string
		says    string
	}{
		{"its own @type", approvalStep, `{"@type":"x"}`, "must not have the member @type"},
		{"its own @type by an escape", policyPostAction, `{"\u0040type":"x"}`, "must not have the member @type"},
		{"its own @type null", provisionStep, `{"@type":null}`, "must not have the member @type"},
		{"workflowStep, workflowExecutionId", workflowStep, `{"workflowExecutionId":"42"}`, "must not have the member workflowExecutionId"},
		{"workflowStep, workflowExecutionStepId", workflowStep, `{"workflowExecutionStepId":"s"}`, "must not have the member workflowExecutionStepId"},
		{"test with a member", testSource, `{"a":1}`, "must be empty for the source test"},
		{"an array", approvalStep, `[]`, "must be a JSON object"},
		{"a string", approvalStep, `"{}"`, "must be a JSON object"},
		{"null", approvalStep, `null`, "must be a JSON object"},
		{"white space", approvalStep, ` `, "not valid JSON"},
		{"two objects", approvalStep, `{}{}`, "not valid JSON"},
		{"a duplicate key", approvalStep, `{"a":{"b":1,"b":2}}`, `duplicate key "a.b"`},
		{"invalid UTF-8", approvalStep, "{\"a\":\"\xff\"}", "invalid UTF-8"},
		{"depth 65", approvalStep, `{"a":` + strings.Repeat("[", 64) + strings.Repeat("]", 64) + `}`, "nested deeper than 64"},
		{"1 MiB and a byte", approvalStep, payloadOf(1<<20 + 1), "must have at most 1048576 bytes, has 1048577"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := riposte.CheckPayload(tt.kind, []byte(tt.payload))
			if got := violatedFields(t, err); !slices.Equal(got, []string{"payload"}) {
				t.Fatalf("got %v, want an error about the payload", err)
			}
			if !strings.Contains(err.Error(), tt.says) {
				t.Errorf("the error is %q, want it to say %q", err, tt.says)
			}
		})
	}
}

func TestPayloadTaken(t *testing.T) {
	for name, tt := range map[string]struct {
		kind    riposte.SourceKind
		payload string
	}{
		"none":                             {approvalStep, ``},
		"test, an empty object":            {testSource, ` { } `},
		"1 MiB":                            {approvalStep, payloadOf(1 << 20)},
		"a workflow's name in an approval": {approvalStep, `{"workflowExecutionId":1}`},
	} {
		if err := riposte.CheckPayload(tt.kind, []byte(tt.payload)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// payloadOf is an object of that many bytes.
func payloadOf(size int) string {
	return `{"a":"` + strings.Repeat("x", size-len(`{"a":""}`)) + `"}`
}
