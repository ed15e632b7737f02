package browser

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/riposte-dev/riposte"
	webhooksv1 "github.com/riposte-dev/riposte/gen/c1/api/webhooks/v1"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
	"github.com/riposte-dev/riposte/ripostetest"
)

// hostile are texts that somebody else chose: what a page makes of them must be
// text, and nothing but text.
var hostile = []struct{ name, text string }{
	{"a script", `</script><script>alert(1)</script>`},
	{"the end of everything", `</textarea></title></style></select></template><script>alert(1)</script>`},
	{"an image with a handler", `<img src=x onerror=alert(1)>`},
	{"a drawing with a handler", `<svg onload=alert(1)><animate onbegin=alert(1) attributeName=x>`},
	{"a frame", `<iframe srcdoc="<script>parent.alert(1)</script>"></iframe>`},
	{"the end of an attribute", `" autofocus onfocus="alert(1)`},
	{"the end of an attribute, single", `' autofocus onfocus='alert(1)`},
	{"the end of an attribute, unquoted", `x onmouseover=alert(1)//`},
	{"quotes without their pairs", `"'` + "`" + `"'''`},
	{"a style", `"><style>body{display:none}</style>`},
	{"a rule of a style", `red;}*{display:none} @import url(//127.0.0.1:1/x);`},
	{"a base and a refresh", `<base href="http://127.0.0.1:1/"><meta http-equiv="refresh" content="0;url=javascript:alert(1)">`},
	{"a form of somebody else's", `</form><form action="http://127.0.0.1:1/"><input name=key>`},
	{"a script's address", `javascript:alert(document.domain)//`},
	{"a script's address, disguised", "\tjava\nscript:alert(1)"},
	{"data's address", `data:text/html,<script>alert(1)</script>`},
	{"somebody else's address", `//127.0.0.1:1/\..\/x`},
	{"a template", `{{.}} {{template "layout" .}} ${alert(1)} <%= 7*7 %>`},
	{"entities", `&lt;b&gt; &amp;amp; &#60;script&#62; &nbsp;`},
	{"a comment", `<!-- --!> --> <![CDATA[ ]]>`},
	{"another direction", "safe\u202Egpj.exe\u202C \u2066isolated\u2069 \u200Fmark"},
	{"letters of the other direction", "שלום עולם مرحبا 123"},
	{"no width", "pay\u200Bpal \uFEFFzero \u00ADsoft"},
	{"other ends of lines", "one\u2028two\u2029three\u0085four\rfive"},
	{"a terminal's commands", "\x1b[2J\x1b[31mred\x1b]0;title\x07\x1b[0m"},
	{"control characters", "a\x01b\x08c\x0bd\x7fe\u0080f\u009Fg"},
	{"the character zero", "before\x00after"},
	{"no UTF-8", "one \xff two \xc3\x28 three"},
	{"emoji that are joined", "👩‍🚀 👨‍👩‍👧‍👦 🏳️‍🌈 e\u0301\u0301\u0301 ﷽"},
	{"a word without an end", strings.Repeat("W", 10_000)},
	{"deep JSON", strings.Repeat(`{"a":[`, 200) + strings.Repeat(`]}`, 200)},
	{"long JSON", `{"list":[` + strings.Repeat(`"<b>item</b>",`, 1000) + `null]}`},
	{"a query", `" OR 1=1; state = "PENDING" AND labels.x = "`},
	{"the way up", `../../../../etc/passwd?a=b&c=%3Cscript%3E#fragment`},
}

// forAPI is the text as the API takes it: valid UTF-8 without the character zero,
// and no longer than most characters.
func forAPI(text string, most int) string {
	text = strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "")
	if utf8.RuneCountInString(text) > most {
		text = string([]rune(text)[:most])
	}
	return text
}

// shown is how the console shows a text: what nobody would see, or would turn the
// direction of what is around it, by its picture or its number.
func shown(text string) string {
	var b strings.Builder
	for _, r := range strings.ToValidUTF8(text, "\uFFFD") {
		switch {
		case r == '\n', r == '\t', r == '\u200d':
			b.WriteRune(r)
		case r < ' ':
			b.WriteRune('␀' + r)
		case r == '\x7f':
			b.WriteRune('␡')
		case unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp):
			fmt.Fprintf(&b, "⟨U+%04X⟩", r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// guest is everything that one hostile text has come into.
type guest struct {
	text, webhook                string
	answered, refused, undecided string // instances
}

// receiveGuests answers with the text whose number is in the path: an approval with
// it as the comment, a workflow step with nothing else, anything else later.
func receiveGuests(d ripostetest.Delivery) ripostetest.Reply {
	n, err := strconv.Atoi(strings.Split(d.Path, "/")[1])
	if err != nil || n >= len(hostile) {
		return ripostetest.Reply{Status: http.StatusGone}
	}
	text := hostile[n].text
	r := ripostetest.Reply{Header: http.Header{"X-Request-Id": {forHeader(text)}, "Content-Type": {"text/html"}}}
	switch d.Envelope.Event {
	case "c1.webhooks.v1.PayloadPolicyApprovalStep":
		r.Body = fmt.Sprintf(`{"version":"v1","approve":{"comment":%s}}`, quote(forAPI(text, riposte.MaxCommentLength)))
	case "c1.webhooks.v1.PayloadWorkflowStep":
		r.Body = text
	default:
		r.Status, r.Body = http.StatusAccepted, text
	}
	return r
}

// forHeader leaves out what no header can carry.
func forHeader(text string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r == '\x7f' {
			return -1
		}
		return r
	}, forAPI(text, 1000)))
}

// invite puts each hostile text wherever the API takes one.
func invite(t *testing.T, s *ripostetest.Server, r *ripostetest.Receiver) []guest {
	t.Helper()
	guests := make([]guest, len(hostile))
	for n, h := range hostile {
		g := guest{text: h.text, webhook: inviteWebhook(t, s, fmt.Sprintf("%s/%d/", r.URL, n), h.text)}
		ticket := forAPI(h.text, riposte.MaxSourceIDLength)
		ask := func(source *webhooksv1.WebhookSource) string {
			t.Helper()
			res, err := s.Instances.Create(t.Context(), &ripostev1.InstancesServiceCreateRequest{
				WebhookId: g.webhook, Source: source, Payload: []byte(fmt.Sprintf(`{"said":%s}`, quote(strings.ToValidUTF8(h.text, "\uFFFD")))),
				Labels: map[string]string{"said": forAPI(h.text, riposte.MaxLabelValueLength), forAPI(h.text, riposte.MaxLabelKeyLength): "key"},
			})
			if err != nil {
				t.Fatalf("asking with %s: %v", h.name, err)
			}
			return res.GetInstance().GetWebhookInstance().GetId()
		}
		g.answered = ask(&webhooksv1.WebhookSource{Source: &webhooksv1.WebhookSource_ApprovalStep{ApprovalStep: &webhooksv1.WebhookSourceApprovalStep{TicketId: ticket}}})
		g.refused = ask(&webhooksv1.WebhookSource{Source: &webhooksv1.WebhookSource_WorkflowStep{WorkflowStep: &webhooksv1.WebhookSourceWorkflowStep{WorkflowExecutionId: 1, WorkflowStepId: ticket}}})
		g.undecided = ask(&webhooksv1.WebhookSource{Source: &webhooksv1.WebhookSource_ProvisionStep{ProvisionStep: &webhooksv1.WebhookSourceProvisionStep{TicketId: ticket}}})
		if _, err := s.Keys.Create(t.Context(), &ripostev1.KeysServiceCreateRequest{Name: forAPI(h.text, 100), Role: ripostev1.Role_ROLE_VIEWER}); err != nil {
			t.Fatalf("making a key named by %s: %v", h.name, err)
		}
		guests[n] = g
	}
	for _, g := range guests {
		waitFor(t, s, g.answered, webhooksv1.WebhookState_WEBHOOK_STATE_SUCCESS)
		waitFor(t, s, g.refused, webhooksv1.WebhookState_WEBHOOK_STATE_FATAL_ERROR)
		waitFor(t, s, g.undecided, webhooksv1.WebhookState_WEBHOOK_STATE_WAITING_CALLBACK)
	}
	return guests
}

// inviteWebhook makes a webhook whose path is the text as it is, where that is a
// URL, and otherwise as URLs write it.
func inviteWebhook(t *testing.T, s *ripostetest.Server, base, text string) string {
	t.Helper()
	var err error
	for _, path := range []string{forAPI(text, 1900), url.PathEscape(forAPI(text, 600))} {
		var res *webhooksv1.WebhooksServiceCreateResponse
		res, err = s.Webhooks.Create(t.Context(), &webhooksv1.WebhooksServiceCreateRequest{
			DisplayName: forAPI(text, riposte.MaxDisplayNameLength), Description: forAPI(text, riposte.MaxDescriptionLength), Url: base + path,
		})
		if err == nil {
			return res.GetWebhook().GetId()
		}
	}
	t.Fatalf("making a webhook of %q: %v", text, err)
	return ""
}

// waitFor waits until an instance has come to a state, and fails the test when it
// comes to another end or makes a second attempt.
func waitFor(t *testing.T, s *ripostetest.Server, id string, state webhooksv1.WebhookState) {
	t.Helper()
	i, err := s.WaitFor(t.Context(), id, func(i *ripostev1.Instance) bool {
		return i.GetWebhookInstance().GetState() == state || i.GetOutcome() != nil || i.GetWebhookInstance().GetState() == webhooksv1.WebhookState_WEBHOOK_STATE_ERROR
	})
	if err != nil || i.GetWebhookInstance().GetState() != state {
		t.Fatalf("%v was waited for, and came %v, %v", state, i, err)
	}
}
