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

// TestTextOfOthersIsText shows each hostile text in every place of an instance that
// shows any, on a phone.
func TestTextOfOthersIsText(t *testing.T) {
	t.Parallel()
	r, err := ripostetest.NewReceiver(receiveGuests)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	s := ripostetest.Start(t)
	guests := invite(t, s, r)
	tab := chromium.Open(t, s.BaseURL())
	tab.Resize(Phone)
	tab.SignIn(s.APIKey)
	for n, g := range guests {
		t.Run(hostile[n].name, func(t *testing.T) {
			tab := tab.in(t)
			tab.showsInstance(s, g.answered)
			tab.showsInstance(s, g.refused)
			tab.takesBack(g)
			tab.showsInstance(s, g.undecided)
		})
	}
	for _, path := range []string{"/instances", "/instances?size=100"} {
		tab.Goto(path)
		tab.isInert()
		tab.CheckFits()
	}
}

// in returns the tab for a test inside the one that opened it. Its faults so far
// are that test's.
func (t *Tab) in(tb testing.TB) *Tab {
	sub := *t
	sub.tb = tb
	tb.Cleanup(func() {
		sub.reportFaults()
		t.watch.forgive("")
	})
	return &sub
}

// showsInstance visits an instance and looks for all that the API says of it.
func (t *Tab) showsInstance(s *ripostetest.Server, id string) {
	t.tb.Helper()
	res, err := s.Instances.Get(t.ctx, &ripostev1.InstancesServiceGetRequest{Id: id, View: ripostev1.InstanceView_INSTANCE_VIEW_FULL})
	if err != nil {
		t.tb.Fatalf("getting an instance: %v", err)
	}
	i := res.GetInstance()
	t.Goto("/instances/" + id)
	Eval[bool](t, `[...document.querySelectorAll('details')].every(d => d.open = true)`)
	source := i.GetWebhookInstance().GetSource()
	texts := []string{
		source.GetApprovalStep().GetTicketId(), source.GetProvisionStep().GetTicketId(), source.GetWorkflowStep().GetWorkflowStepId(),
		i.GetWebhookInstance().GetSpec().GetDestination(), string(i.GetPayload()), i.GetOutcome().GetComment(), i.GetOutcome().GetDocumentJson(),
		i.GetOutcome().GetFailure().GetMessage()[min(1, len(i.GetOutcome().GetFailure().GetMessage())):], // it begins a sentence
	}
	for key, value := range i.GetLabels() {
		texts = append(texts, key, value)
	}
	for _, a := range i.GetAttempts() {
		texts = append(texts, a.GetResponseBody())
		for _, value := range a.GetResponseHeaders() {
			texts = append(texts, value)
		}
	}
	w, err := s.Webhooks.Get(t.ctx, &webhooksv1.WebhooksServiceGetRequest{Id: i.GetWebhookInstance().GetWebhookId()})
	if err != nil {
		t.tb.Fatalf("getting a webhook: %v", err)
	}
	t.shows(append(texts, w.GetWebhook().GetDisplayName())...)
	t.isInert()
	t.fits(Phone)
}

// takesBack fills the text in wherever a person can, and looks at what comes back.
func (t *Tab) takesBack(g guest) {
	t.tb.Helper()
	text := forField(g.text)
	query := url.Values{}
	for _, name := range []string{"state", "source", "webhook", "ticket", "labels", "since", "from", "to", "size", "page", "attempts", "next"} {
		query.Set(name, g.text[:min(len(g.text), 200)])
	}
	t.Goto("/instances?" + query.Encode())
	t.isInert()
	t.Goto("/instances")
	t.Fill("Ticket", text)
	t.Follow("button", "Filter")
	if got := t.Value("Ticket"); got != text {
		t.tb.Errorf("the filter's field came back as %q", got)
	}
	t.isInert()
	t.Goto("/instances/" + g.undecided)
	t.Fill("Comment", forAPI(g.text, riposte.MaxCommentLength))
	t.Follow("button", "Give this answer")
	t.shows(forAPI(g.text, riposte.MaxCommentLength))
	t.isInert()
}

// forField is what stays of a text in a field of one line, and blanks around it are
// none that a person means.
func forField(text string) string {
	return strings.TrimSpace(strings.NewReplacer("\n", "", "\r", "").Replace(forAPI(text, 200)))
}

// shows fails the test for each text that the page has nowhere.
func (t *Tab) shows(texts ...string) {
	t.tb.Helper()
	page := words(t.Text())
	for _, text := range texts {
		if !strings.Contains(page, words(shown(text))) {
			t.tb.Errorf("%.100s does not show %.300q, but %.1000q", t.Path(), words(shown(text)), page)
		}
	}
}

// words makes all blanks alike, as pages do.
func words(text string) string { return strings.Join(strings.Fields(text), " ") }

// isInert fails the test when the page has elements or attributes that only a text
// can have made; what it did is among the tab's faults.
func (t *Tab) isInert() {
	t.tb.Helper()
	made := Eval[[]string](t, `[...document.querySelectorAll('*')].filter(e =>
		['IFRAME', 'OBJECT', 'EMBED', 'BASE', 'STYLE', 'ANIMATE', 'MARQUEE', 'TEMPLATE'].includes(e.tagName.toUpperCase()) ||
		e.matches('script:not([src^="/static/"]), img:not([src^="/static/"]), link:not([href^="/static/"]), meta[http-equiv], b') ||
		[...e.attributes].some(a => a.name.startsWith('on') || a.name === 'style') ||
		['href', 'action', 'formaction', 'src', 'data', 'xlink:href'].some(n => e.hasAttribute(n) && !/^[\/?#](?!\/)/.test(e.getAttribute(n)))
	).map(e => e.outerHTML.slice(0, 200))`)
	for _, html := range made {
		t.tb.Errorf("%.100s has an element that nobody made: %s", t.Path(), html)
	}
}
