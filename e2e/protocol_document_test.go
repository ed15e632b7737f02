package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/riposte-dev/riposte/ripostetest"
)

// maxDocument is PROTOCOL.md's 250 KB.
const maxDocument = 256_000

// ids is a JSON array of n ids.
func ids(n int) string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("%q", fmt.Sprint("user-", i))
	}
	return "[" + strings.Join(list, ",") + "]"
}

// nested is a JSON value of the given depth.
func nested(depth int) string {
	return strings.Repeat(`[`, depth) + strings.Repeat(`]`, depth)
}

// padded fills a document up to a size.
func padded(document string, size int) string {
	head := strings.TrimSuffix(document, "}") + `,"x":"`
	return head + strings.Repeat("x", size-len(head)-len(`"}`)) + `"}`
}

// goodDocuments are accepted alike at once and by callback.
var goodDocuments = []struct {
	name, source, document string
	kind, comment          string
}{
	{"approve", "approvalStep", `{"version":"v1","approve":{}}`, "APPROVED", ""},
	{"approve with a comment", "approvalStep", `{"version":"v1","approve":{"comment":"yes, \u00fc & <b>"}}`, "APPROVED", "yes, ü & <b>"},
	{"approve without any comment", "approvalStep", `{"version":"v1","approve":{"comment":null}}`, "APPROVED", ""},
	{"deny", "approvalStep", `{"version":"v1","deny":{"comment":"no"}}`, "DENIED", "no"},
	{"reassign to 1", "approvalStep", `{"version":"v1","reassign":{"comment":"you","newStepUserIds":` + ids(1) + `}}`, "REASSIGNED", "you"},
	{"reassign to 32", "approvalStep", `{"version":"v1","reassign":{"newStepUserIds":` + ids(32) + `}}`, "REASSIGNED", ""},
	{"replacePolicy", "approvalStep", `{"version":"v1","replacePolicy":{"comment":"c","policySteps":[{"approval":{}}]}}`, "POLICY_REPLACED", "c"},
	{"complete", "provisionStep", `{"version":"v1","complete":{"comment":"done"}}`, "COMPLETED", "done"},
	{"errored", "provisionStep", `{"version":"v1","errored":{"comment":"broke"}}`, "ERRORED", "broke"},
	{"context", "workflowStep", `{"version":"v1","context":{"a":{"b":[1,2.50,"\u00e9"]}}}`, "CONTEXT", ""},
	{"empty context", "workflowStep", `{"version":"v1","context":{}}`, "CONTEXT", ""},
	{"version alone for test", "test", `{"version":"v1"}`, "DELIVERED", ""},
	{"version alone for policyPostAction", "policyPostAction", `{"version":"v1"}`, "DELIVERED", ""},

	{"comment of 1024 characters", "approvalStep", `{"version":"v1","deny":{"comment":"` + strings.Repeat("ü", 1024) + `"}}`, "DENIED", strings.Repeat("ü", 1024)},
	{"unknown fields are ignored", "approvalStep", `{"version":"v1","approve":{"comment":"c","later":{"approve":1}},"newer":[{}]}`, "APPROVED", "c"},
	{"white space", "approvalStep", " \t\r\n{ \"version\" : \"v1\" ,\n\"approve\" : { } }\n", "APPROVED", ""},
	{"depth 64", "workflowStep", `{"version":"v1","context":{"a":` + nested(62) + `}}`, "CONTEXT", ""},
	{"250 KB", "approvalStep", padded(`{"version":"v1","approve":{}}`, maxDocument), "APPROVED", ""},
	{"the same key in different objects", "workflowStep", `{"version":"v1","context":{"a":{"a":1},"b":[{"a":1},{"a":1}]}}`, "CONTEXT", ""},
}

func TestResponseDocument(t *testing.T) {
	s := atOnce.use(t)
	t.Parallel()
	for _, tt := range goodDocuments {
		source := sourceNamed(tt.source).message
		t.Run(tt.source+"/"+tt.name+"/at once", func(t *testing.T) {
			t.Parallel()
			i := closed(t, s, askAt(t, s, newReceiver(t, always(ripostetest.Reply{Body: tt.document})), source))
			wantAnswer(t, i, tt.kind, "SYNC", tt.document)
			if got := i.GetOutcome().GetComment(); got != tt.comment {
				t.Errorf("comment is %q, want %q", got, tt.comment)
			}
		})
		t.Run(tt.source+"/"+tt.name+"/by callback", func(t *testing.T) {
			t.Parallel()
			id, url := waiting(t, s, tt.source)
			callBack(t, url, tt.document).ok(t)
			i := get(t, s, id)
			wantAnswer(t, i, tt.kind, "CALLBACK", tt.document)
			if got := i.GetOutcome().GetComment(); got != tt.comment {
				t.Errorf("comment is %q, want %q", got, tt.comment)
			}
		})
	}
}

// waiting returns an instance that waits for its callback.
func waiting(t *testing.T, s *ripostetest.Server, source string) (id, url string) {
	t.Helper()
	r := newReceiver(t, always(ripostetest.Reply{Status: 202}))
	id = askAt(t, s, r, sourceNamed(source).message)
	url = delivered(t, r, id, 1).Envelope.CallbackURL
	inState(t, s, id, "WAITING_CALLBACK")
	return id, url
}

// badDocuments are refused alike at once and by callback; says is what the
// error must say, namely what is wrong and where.
var badDocuments = []struct{ name, source, document, says string }{
	{"empty", "approvalStep", ``, "empty"},
	{"white space alone", "approvalStep", " \n", "empty"},
	{"no JSON", "approvalStep", `OK`, "byte 1"},
	{"broken off", "approvalStep", `{"version":"v1","approve":{}`, "JSON"},
	{"an array", "approvalStep", `[]`, "object"},
	{"a string", "approvalStep", `"approve"`, "object"},
	{"null", "approvalStep", `null`, "object"},
	{"no version", "approvalStep", `{"approve":{}}`, "version"},
	{"another version", "approvalStep", `{"version":"v2","approve":{}}`, "version"},
	{"version in another case", "approvalStep", `{"Version":"v1","approve":{}}`, "version"},
	{"version of another type", "approvalStep", `{"version":1,"approve":{}}`, "version"},

	{"none of the four", "approvalStep", `{"version":"v1"}`, "exactly one of approve, deny, reassign, replacePolicy"},
	{"two of the four", "approvalStep", `{"version":"v1","approve":{},"deny":{}}`, "exactly one of approve, deny, reassign, replacePolicy"},
	{"in another case", "approvalStep", `{"version":"v1","Approve":{}}`, "exactly one of approve"},
	{"null", "approvalStep", `{"version":"v1","approve":null}`, "exactly one of approve"},
	{"no object", "approvalStep", `{"version":"v1","approve":true}`, "approve"},
	{"comment of another type", "approvalStep", `{"version":"v1","approve":{"comment":1}}`, "approve.comment"},
	{"comment of 1025 characters", "approvalStep", `{"version":"v1","deny":{"comment":"` + strings.Repeat("ü", 1025) + `"}}`, "deny.comment"},
	{"reassign to nobody", "approvalStep", `{"version":"v1","reassign":{"newStepUserIds":[]}}`, "reassign.newStepUserIds"},
	{"reassign without ids", "approvalStep", `{"version":"v1","reassign":{"comment":"c"}}`, "reassign.newStepUserIds"},
	{"reassign to 33", "approvalStep", `{"version":"v1","reassign":{"newStepUserIds":` + ids(33) + `}}`, "reassign.newStepUserIds"},
	{"reassign to a number", "approvalStep", `{"version":"v1","reassign":{"newStepUserIds":[1]}}`, "reassign.newStepUserIds"},
	{"reassign with a long comment", "approvalStep", `{"version":"v1","reassign":{"newStepUserIds":["a"],"comment":"` + strings.Repeat("x", 1025) + `"}}`, "reassign.comment"},
	{"replacePolicy by nothing", "approvalStep", `{"version":"v1","replacePolicy":{"policySteps":[]}}`, "replacePolicy.policySteps"},
	{"replacePolicy without steps", "approvalStep", `{"version":"v1","replacePolicy":{}}`, "replacePolicy.policySteps"},

	{"neither complete nor errored", "provisionStep", `{"version":"v1"}`, "exactly one of complete, errored"},
	{"complete and errored", "provisionStep", `{"version":"v1","complete":{},"errored":{}}`, "exactly one of complete, errored"},
	{"comment of 1025 characters", "provisionStep", `{"version":"v1","errored":{"comment":"` + strings.Repeat("x", 1025) + `"}}`, "errored.comment"},

	{"no context", "workflowStep", `{"version":"v1"}`, "context"},
	{"context is null", "workflowStep", `{"version":"v1","context":null}`, "context"},
	{"context is an array", "workflowStep", `{"version":"v1","context":[]}`, "context"},

	{"approval's for a provision", "provisionStep", approve, "complete, errored"},
	{"provision's for an approval", "approvalStep", complete, "approve, deny"},
	{"approval's for a workflow", "workflowStep", approve, "context"},
	{"workflow's for an approval", "approvalStep", context1, "approve, deny"},

	{"duplicate key at the top", "approvalStep", `{"version":"v1","approve":{},"approve":{}}`, `"approve"`},
	{"duplicate key, once escaped", "approvalStep", `{"version":"v1","approve":{},"\u0061pprove":{}}`, `"approve"`},
	{"duplicate key in an object", "approvalStep", `{"version":"v1","approve":{"comment":"a","comment":"b"}}`, "approve.comment"},
	{"duplicate key in the context", "workflowStep", `{"version":"v1","context":{"a":[{"b":{"c":1,"c":1}}]}}`, "context.a.b.c"},
	{"duplicate key in an unknown field", "approvalStep", `{"version":"v1","approve":{},"x":[{"y":1,"y":1}]}`, "x.y"},
	{"invalid UTF-8", "approvalStep", "{\"version\":\"v1\",\"approve\":{\"comment\":\"\xff\"}}", "UTF-8 at byte 39"},
	{"invalid UTF-8 in an unknown field", "approvalStep", "{\"version\":\"v1\",\"approve\":{},\"x\":\"\xc3\x28\"}", "UTF-8"},
	{"depth 65", "workflowStep", `{"version":"v1","context":{"a":` + nested(63) + `}}`, "64"},
	{"depth 100,000", "workflowStep", `{"version":"v1","context":{"a":` + nested(100_000) + `}}`, "64"},
	{"trailing data", "approvalStep", approve + `{}`, "byte"},
	{"trailing comma", "approvalStep", `{"version":"v1","approve":{},}`, "byte"},
	{"compressed", "approvalStep", "\x1f\x8b\x08\x00\x00\x00\x00\x00", "UTF-8 at byte 2"},
}

func TestBadResponseDocument(t *testing.T) {
	s := atOnce.use(t)
	t.Parallel()
	for _, tt := range badDocuments {
		source := sourceNamed(tt.source)
		t.Run(tt.source+"/"+tt.name+"/at once: BAD_RESPONSE, and not redelivered", func(t *testing.T) {
			t.Parallel()
			r := newReceiver(t, always(ripostetest.Reply{Body: tt.document}))
			i := closed(t, s, askAt(t, s, r, source.message))
			wantFailure(t, i, "BAD_RESPONSE")
			if message := i.GetOutcome().GetFailure().GetMessage(); !strings.Contains(message, tt.says) {
				t.Errorf("the failure's message is %q, want one with %q", message, tt.says)
			}
			wantAttempts(t, i, 1)
			if n := len(r.Deliveries("")); n != 1 {
				t.Errorf("there were %d deliveries, want 1", n)
			}
		})
		t.Run(tt.source+"/"+tt.name+"/by callback: 400, and the URL is not used up", func(t *testing.T) {
			t.Parallel()
			wantNotUsedUp(t, s, source, tt.document, tt.says)
		})
	}

	// At once these two take whatever comes.
	for _, name := range []string{"test", "policyPostAction"} {
		for document, says := range map[string]string{``: "empty", `{}`: "version", `[]`: "object", `{"version":"v1"}x`: "byte"} {
			t.Run(name+"/"+document+"/by callback: 400, and the URL is not used up", func(t *testing.T) {
				t.Parallel()
				wantNotUsedUp(t, s, sourceNamed(name), document, says)
			})
		}
	}

	t.Run("over 250 KB/at once: BAD_RESPONSE, and not redelivered", func(t *testing.T) {
		t.Parallel()
		r := newReceiver(t, always(ripostetest.Reply{Body: padded(approve, maxDocument+1)}))
		i := closed(t, s, askAt(t, s, r, sourceApprovalStep))
		wantFailure(t, i, "BAD_RESPONSE")
		wantAttempts(t, i, 1)
		if message := i.GetOutcome().GetFailure().GetMessage(); !strings.Contains(message, "256000") {
			t.Errorf("the failure's message is %q", message)
		}
	})
	t.Run("over 250 KB/by callback: 413, and the URL is not used up", func(t *testing.T) {
		t.Parallel()
		id, url := waiting(t, s, "approvalStep")
		callBack(t, url, padded(approve, maxDocument+1)).refused(t, 413, "DOCUMENT_TOO_LARGE")
		wantOpen(t, get(t, s, id), "WAITING_CALLBACK")
		callBack(t, url, approve).ok(t)
		wantAnswer(t, get(t, s, id), "APPROVED", "CALLBACK", approve)
	})
}

// wantNotUsedUp checks that a callback with a bad document says what is wrong
// and changes nothing, and that a good one is accepted after it.
func wantNotUsedUp(t *testing.T, s *ripostetest.Server, source source, document, says string) {
	t.Helper()
	id, url := waiting(t, s, source.name)
	before := get(t, s, id)
	st := callBack(t, url, document).refused(t, 400, "BAD_DOCUMENT")
	if !strings.Contains(st.Message, says) || !strings.Contains(st.field("document"), says) {
		t.Errorf("the error is %+v, want one with %q", st, says)
	}
	after := get(t, s, id)
	wantOpen(t, after, "WAITING_CALLBACK")
	if !after.GetWebhookInstance().GetUpdatedAt().AsTime().Equal(before.GetWebhookInstance().GetUpdatedAt().AsTime()) {
		t.Error("the refused callback changed updatedAt")
	}
	callBack(t, url, source.document).ok(t)
	wantAnswer(t, get(t, s, id), source.kind, "CALLBACK", source.document)
}
