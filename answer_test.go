package riposte_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/riposte-dev/riposte"
)

const (
	approvalStep     = riposte.SourceApprovalStep
	provisionStep    = riposte.SourceProvisionStep
	workflowStep     = riposte.SourceWorkflowStep
	policyPostAction = riposte.SourcePolicyPostAction
	testSource       = riposte.SourceTest
)

// TestAnswerTaken has the documents that PROTOCOL.md section 4 takes.
func TestAnswerTaken(t *testing.T) {
	for _, tt := range []struct {
		name     string
		source   riposte.SourceKind
		document string
		kind     riposte.OutcomeKind
		comment  string
	}{
		{"approve", approvalStep, `{"version":"v1","approve":{}}`, riposte.OutcomeApproved, ""},
		{"approve with a comment", approvalStep, `{"version":"v1","approve":{"comment":"fine"}}`, riposte.OutcomeApproved, "fine"},
		{"deny", approvalStep, `{"version":"v1","deny":{"comment":"no"}}`, riposte.OutcomeDenied, "no"},
		{"reassign", approvalStep, `{"version":"v1","reassign":{"comment":"you","newStepUserIds":["u1"]}}`, riposte.OutcomeReassigned, "you"},
		{"replacePolicy", approvalStep, `{"version":"v1","replacePolicy":{"comment":"so","policySteps":[{"approval":{}}]}}`, riposte.OutcomePolicyReplaced, "so"},
		{"complete", provisionStep, `{"version":"v1","complete":{"comment":"done"}}`, riposte.OutcomeCompleted, "done"},
		{"errored", provisionStep, `{"version":"v1","errored":{"comment":"broke"}}`, riposte.OutcomeErrored, "broke"},
		{"context", workflowStep, `{"version":"v1","context":{"a":[1,{"b":null}]}}`, riposte.OutcomeContext, ""},
		{"empty context", workflowStep, `{"version":"v1","context":{}}`, riposte.OutcomeContext, ""},
		{"test takes version alone", testSource, `{"version":"v1"}`, riposte.OutcomeDelivered, ""},
		{"policyPostAction takes version alone", policyPostAction, `{"version":"v1"}`, riposte.OutcomeDelivered, ""},

		{"snake_case replace_policy and policy_steps", approvalStep, `{"version":"v1","replace_policy":{"policy_steps":[{}]}}`, riposte.OutcomePolicyReplaced, ""},
		{"snake_case new_step_user_ids", approvalStep, `{"version":"v1","reassign":{"new_step_user_ids":["u1"]}}`, riposte.OutcomeReassigned, ""},
		{"the other choices null", approvalStep, `{"version":"v1","approve":{},"deny":null,"reassign":null,"replacePolicy":null}`, riposte.OutcomeApproved, ""},
		{"a null with white space around it", approvalStep, `{"version":"v1","approve":{},"deny" : null }`, riposte.OutcomeApproved, ""},
		{"camelCase set, snake_case null", approvalStep, `{"version":"v1","replacePolicy":{"policySteps":[{}]},"replace_policy":null}`, riposte.OutcomePolicyReplaced, ""},
		{"comment null", approvalStep, `{"version":"v1","approve":{"comment":null}}`, riposte.OutcomeApproved, ""},
		{"comment with escapes", approvalStep, `{"version":"v1","approve":{"comment":"\u00e4\n\"x\""}}`, riposte.OutcomeApproved, "ä\n\"x\""},
		{"names and version by escapes", approvalStep, `{"\u0076ersion":"\u0076\u0031","\u0061pprove":{}}`, riposte.OutcomeApproved, ""},

		{"unknown fields are ignored", approvalStep, `{"version":"v1","approve":{"comment":"c","new":[1]},"new":{"deny":1},"complete":{}}`, riposte.OutcomeApproved, "c"},
		{"an unknown field differs by its case", approvalStep, `{"version":"v1","approve":{},"Deny":{},"VERSION":"v2"}`, riposte.OutcomeApproved, ""},
		{"unknown fields by both names", approvalStep, `{"version":"v1","approve":{"policySteps":1,"policy_steps":2}}`, riposte.OutcomeApproved, ""},
		{"a context is any object, by whatever names", workflowStep, `{"version":"v1","context":{"policySteps":1,"policy_steps":2}}`, riposte.OutcomeContext, ""},
		{"a policy step is any object, by whatever names", approvalStep, `{"version":"v1","replacePolicy":{"policySteps":[{"policySteps":1,"policy_steps":2}]}}`, riposte.OutcomePolicyReplaced, ""},
		{"numbers that no float64 holds", workflowStep, `{"version":"v1","context":{"a":12345678901234567890,"b":1.0e400}}`, riposte.OutcomeContext, ""},
		{"white space around it", approvalStep, " \t\r\n" + `{"version":"v1","approve":{}}` + "\n", riposte.OutcomeApproved, ""},

		{"comment of 1024 characters", approvalStep, comment(strings.Repeat("x", 1024)), riposte.OutcomeApproved, strings.Repeat("x", 1024)},
		{"comment of 1024 characters of 4 bytes", approvalStep, comment(strings.Repeat("😀", 1024)), riposte.OutcomeApproved, strings.Repeat("😀", 1024)},
		{"32 ids", approvalStep, reassign(32), riposte.OutcomeReassigned, ""},
		{"depth 64", workflowStep, nested(64), riposte.OutcomeContext, ""},
		{"256,000 bytes", workflowStep, padded(256_000), riposte.OutcomeContext, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := riposte.ParseAnswer(tt.source, []byte(tt.document))
			if err != nil {
				t.Fatal(err)
			}
			want := riposte.Answer{Kind: tt.kind, Comment: tt.comment, Document: []byte(tt.document)}
			if diff := cmp.Diff(want, got, cmp.Comparer(bytes.Equal)); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

// TestAnswerRefused has what PROTOCOL.md section 4 makes a bad document. Each
// error must say what is wrong and where.
func TestAnswerRefused(t *testing.T) {
	for _, tt := range []struct {
		name     string
		source   riposte.SourceKind
		document string
		says     string
	}{
		{"empty body", approvalStep, "", "it is empty"},
		{"white space alone", approvalStep, " \r\n\t", "it is empty"},
		{"256,001 bytes", workflowStep, padded(256_001), "larger than 256000 bytes"},
		{"no JSON", approvalStep, "OK", "not valid JSON at byte 1"},
		{"cut off", approvalStep, `{"version":"v1","approve":{}`, "not valid JSON at byte 28"},
		{"trailing data", approvalStep, `{"version":"v1","approve":{}}{}`, "not valid JSON at byte 30"},
		{"an array", approvalStep, `[{"version":"v1","approve":{}}]`, "the document must be an object"},
		{"a string", approvalStep, `"v1"`, "the document must be an object"},
		{"null", approvalStep, `null`, "the document must be an object"},
		{"byte order mark", approvalStep, "\ufeff" + `{"version":"v1","approve":{}}`, "not valid JSON at byte 1"},
		{"invalid UTF-8", approvalStep, comment("a\xffb"), "invalid UTF-8 at byte 40"},
		{"UTF-8 of a surrogate", approvalStep, comment("\xed\xa0\x80"), "invalid UTF-8 at byte 39"},
		{"depth 65", workflowStep, nested(65), "nested deeper than 64"},

		{"duplicate key", approvalStep, `{"version":"v1","approve":{},"approve":{}}`, `duplicate key "approve"`},
		{"duplicate key, nested", approvalStep, `{"version":"v1","approve":{"comment":"a","comment":"b"}}`, `duplicate key "approve.comment"`},
		{"duplicate key in an unknown field", approvalStep, `{"version":"v1","approve":{},"x":[{"y":{"z":1,"z":1}}]}`, `duplicate key "x.y.z"`},
		{"duplicate key by an escape", approvalStep, `{"version":"v1","approve":{},"\u0061pprove":{}}`, `duplicate key "approve"`},
		{"duplicate key, both null", approvalStep, `{"version":"v1","approve":{},"deny":null,"deny":null}`, `duplicate key "deny"`},

		{"version missing", approvalStep, `{"approve":{}}`, `version must be "v1"`},
		{"version null", approvalStep, `{"version":null,"approve":{}}`, `version must be "v1"`},
		{"version wrong", approvalStep, `{"version":"v2","approve":{}}`, `version must be "v1"`},
		{"version in upper case", approvalStep, `{"version":"V1","approve":{}}`, `version must be "v1"`},
		{"version a number", approvalStep, `{"version":1,"approve":{}}`, "version must be a string"},
		{"version in the wrong case alone", testSource, `{"Version":"v1"}`, `version must be "v1"`},
		{"test without version", testSource, `{}`, `version must be "v1"`},
		{"policyPostAction without version", policyPostAction, `{}`, `version must be "v1"`},

		{"approvalStep, none", approvalStep, `{"version":"v1"}`, "exactly one of approve, deny, reassign, replacePolicy, has 0"},
		{"approvalStep, null alone", approvalStep, `{"version":"v1","approve":null}`, "has 0"},
		{"approvalStep, two", approvalStep, `{"version":"v1","approve":{},"deny":{}}`, "has 2"},
		{"approvalStep, two, one by its snake_case name", approvalStep, `{"version":"v1","approve":{},"replace_policy":{"policySteps":[{}]}}`, "has 2"},
		{"approvalStep, all four", approvalStep, `{"version":"v1","approve":{},"deny":{},"reassign":{},"replacePolicy":{}}`, "has 4"},
		{"approvalStep, another source's choice", approvalStep, `{"version":"v1","complete":{}}`, "has 0"},
		{"approvalStep, a choice in the wrong case", approvalStep, `{"version":"v1","Approve":{}}`, "has 0"},
		{"approvalStep, both names of one choice", approvalStep, `{"version":"v1","replacePolicy":{},"replace_policy":{}}`, "the document has both replacePolicy and replace_policy"},
		{"provisionStep, none", provisionStep, `{"version":"v1"}`, "exactly one of complete, errored, has 0"},
		{"provisionStep, two", provisionStep, `{"version":"v1","complete":{},"errored":{}}`, "has 2"},
		{"provisionStep, another source's choice", provisionStep, `{"version":"v1","approve":{}}`, "has 0"},
		{"workflowStep, none", workflowStep, `{"version":"v1"}`, "context must be set to an object"},
		{"workflowStep, null", workflowStep, `{"version":"v1","context":null}`, "context must be set to an object"},
		{"workflowStep, an array", workflowStep, `{"version":"v1","context":[]}`, "context must be an object"},
		{"workflowStep, a string", workflowStep, `{"version":"v1","context":"{}"}`, "context must be an object"},

		{"a choice that is true", approvalStep, `{"version":"v1","approve":true}`, "approve must be an object"},
		{"a choice that is an array", approvalStep, `{"version":"v1","deny":[]}`, "deny must be an object"},
		{"comment a number", approvalStep, `{"version":"v1","approve":{"comment":1}}`, "approve.comment must be a string"},
		{"comment of 1025 characters", approvalStep, comment(strings.Repeat("x", 1025)), "approve.comment must have at most 1024 characters, has 1025"},
		{"comment of 1025 characters of 4 bytes", approvalStep, comment(strings.Repeat("😀", 1025)), "has 1025"},
		{"comment of another choice too long", provisionStep, `{"version":"v1","errored":{"comment":"` + strings.Repeat("x", 1025) + `"}}`, "errored.comment must have"},

		{"reassign without ids", approvalStep, `{"version":"v1","reassign":{}}`, "reassign.newStepUserIds must have 1 to 32 ids, has 0"},
		{"reassign, ids null", approvalStep, `{"version":"v1","reassign":{"newStepUserIds":null}}`, "has 0"},
		{"reassign, 0 ids", approvalStep, reassign(0), "has 0"},
		{"reassign, 33 ids", approvalStep, reassign(33), "has 33"},
		{"reassign, ids a string", approvalStep, `{"version":"v1","reassign":{"newStepUserIds":"u1"}}`, "reassign.newStepUserIds must be an array of strings"},
		{"reassign, an id a number", approvalStep, `{"version":"v1","reassign":{"newStepUserIds":["u1",2]}}`, "reassign.newStepUserIds must be an array of strings"},
		{"reassign, an id empty", approvalStep, `{"version":"v1","reassign":{"newStepUserIds":["u1",""]}}`, "reassign.newStepUserIds[1] must not be empty"},
		{"reassign, an id null", approvalStep, `{"version":"v1","reassign":{"newStepUserIds":[null]}}`, "reassign.newStepUserIds[0] must not be empty"},
		{"reassign, ids by both names", approvalStep, `{"version":"v1","reassign":{"newStepUserIds":["u1"],"new_step_user_ids":["u2"]}}`, "reassign has both newStepUserIds and new_step_user_ids"},
		{"replacePolicy without steps", approvalStep, `{"version":"v1","replacePolicy":{}}`, "replacePolicy.policySteps must have at least one step"},
		{"replacePolicy, no step", approvalStep, `{"version":"v1","replacePolicy":{"policySteps":[]}}`, "must have at least one step"},
		{"replacePolicy, steps an object", approvalStep, `{"version":"v1","replacePolicy":{"policySteps":{}}}`, "replacePolicy.policySteps must be an array"},
		{"replacePolicy, a step null", approvalStep, `{"version":"v1","replacePolicy":{"policySteps":[{},null]}}`, "replacePolicy.policySteps[1] must be an object"},
		{"replacePolicy, steps by both names", approvalStep, `{"version":"v1","replacePolicy":{"policySteps":[{}],"policy_steps":[{}]}}`, "replacePolicy has both policySteps and policy_steps"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := riposte.ParseAnswer(tt.source, []byte(tt.document))
			if !errors.Is(err, riposte.ErrBadDocument) {
				t.Fatalf("got %+v, %v, want a bad document", got, err)
			}
			if !strings.HasPrefix(err.Error(), "bad response document: ") || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("the error is %q, want it to say %q", err, tt.says)
			}
			if fields := violatedFields(t, err); !slices.Equal(fields, []string{"document"}) {
				t.Errorf("the error names the fields %q, want the document", fields)
			}
			if diff := cmp.Diff(riposte.Answer{}, got); diff != "" {
				t.Errorf("an answer came with the error: %s", diff)
			}
		})
	}
}

func TestAnswerErrorStaysSmallWhateverTheDocumentSays(t *testing.T) {
	key := strings.Repeat("ä", 50_000)
	_, err := riposte.ParseAnswer(workflowStep, []byte(`{"version":"v1","context":{"`+key+`":1,"`+key+`":2}}`))
	if !errors.Is(err, riposte.ErrBadDocument) {
		t.Fatalf("got %v, want a bad document", err)
	}
	if n := len(err.Error()); n > 1000 || !utf8.ValidString(err.Error()) {
		t.Errorf("the error has %d bytes: %.60q…", n, err)
	}
}

func TestAnswerKeepsTheDocumentsExactBytes(t *testing.T) {
	document := []byte("\n {\"context\" : {\"b\":1.50,\"a\":\"\\u003c\"},\t\"version\":\"v1\"}\r\n")
	want := bytes.Clone(document)
	a, err := riposte.ParseAnswer(workflowStep, document)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a.Document, want) {
		t.Errorf("kept %q, came %q", a.Document, want)
	}
}

func FuzzParseAnswer(f *testing.F) {
	for n, kind := range riposte.SourceKinds {
		f.Add(byte(n), []byte(goodDocuments[kind]))
	}
	f.Add(byte(2), []byte(reassign(32)))
	f.Add(byte(2), []byte(`{"version":"v1","replace_policy":{"policy_steps":[{"a":null}]},"deny":null}`))
	f.Add(byte(4), []byte(nested(64)))
	f.Fuzz(func(t *testing.T, n byte, document []byte) {
		kind := riposte.SourceKinds[int(n)%len(riposte.SourceKinds)]
		before := bytes.Clone(document)
		a, err := riposte.ParseAnswer(kind, document)
		if !bytes.Equal(document, before) {
			t.Fatal("the document was changed")
		}
		if err != nil {
			if !errors.Is(err, riposte.ErrBadDocument) || len(err.Error()) > 2000 {
				t.Fatalf("refused with %v", err)
			}
			return
		}
		checkAnswer(t, kind, a, before)
	})
}

// checkAnswer reads an accepted document once more, by other means.
func checkAnswer(t *testing.T, kind riposte.SourceKind, a riposte.Answer, document []byte) {
	var top struct{ Version string }
	if json.Unmarshal(document, &top) != nil || !utf8.Valid(document) || len(document) > riposte.MaxDocumentSize {
		t.Fatalf("accepted %q", document)
	}
	if !bytes.Equal(a.Document, document) || utf8.RuneCountInString(a.Comment) > riposte.MaxCommentLength {
		t.Fatalf("read %q as %+v", document, a)
	}
	kinds := map[riposte.SourceKind][]riposte.OutcomeKind{
		testSource:       {riposte.OutcomeDelivered},
		policyPostAction: {riposte.OutcomeDelivered},
		approvalStep:     {riposte.OutcomeApproved, riposte.OutcomeDenied, riposte.OutcomeReassigned, riposte.OutcomePolicyReplaced},
		provisionStep:    {riposte.OutcomeCompleted, riposte.OutcomeErrored},
		workflowStep:     {riposte.OutcomeContext},
	}
	if !slices.Contains(kinds[kind], a.Kind) {
		t.Fatalf("%q came to %s for %s", document, a.Kind, kind)
	}
}

func comment(c string) string { return `{"version":"v1","approve":{"comment":"` + c + `"}}` }

func reassign(ids int) string {
	var quoted []string
	for n := range ids {
		quoted = append(quoted, fmt.Sprintf(`"u%d"`, n))
	}
	return `{"version":"v1","reassign":{"newStepUserIds":[` + strings.Join(quoted, ",") + `]}}`
}

// nested is a workflowStep's document of that depth, itself the first level
// and context the second.
func nested(depth int) string {
	return `{"version":"v1","context":{"a":` + strings.Repeat("[", depth-2) + strings.Repeat("]", depth-2) + `}}`
}

// padded is a workflowStep's document of that many bytes.
func padded(size int) string {
	const empty = `{"version":"v1","context":{"a":""}}`
	return strings.Replace(empty, `""`, `"`+strings.Repeat("x", size-len(empty))+`"`, 1)
}
