package console_test

import (
	"context"
	"html"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	webhooksv1 "github.com/riposte-dev/riposte/gen/c1/api/webhooks/v1"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
	"github.com/riposte-dev/riposte/ripostetest"
)

func approvalStep(ticket string) *webhooksv1.WebhookSource {
	return &webhooksv1.WebhookSource{Source: &webhooksv1.WebhookSource_ApprovalStep{ApprovalStep: &webhooksv1.WebhookSourceApprovalStep{TicketId: ticket}}}
}

func provisionStep(ticket string) *webhooksv1.WebhookSource {
	return &webhooksv1.WebhookSource{Source: &webhooksv1.WebhookSource_ProvisionStep{ProvisionStep: &webhooksv1.WebhookSourceProvisionStep{TicketId: ticket}}}
}

func workflowStep() *webhooksv1.WebhookSource {
	return &webhooksv1.WebhookSource{Source: &webhooksv1.WebhookSource_WorkflowStep{WorkflowStep: &webhooksv1.WebhookSourceWorkflowStep{WorkflowExecutionId: 7, WorkflowStepId: "s"}}}
}

// newWebhook makes a webhook whose receiver answers as reply says.
func (r *reader) newWebhook(reply ripostetest.Reply) string {
	r.t.Helper()
	receiver, err := ripostetest.NewReceiver(func(ripostetest.Delivery) ripostetest.Reply { return reply })
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(receiver.Close)
	res, err := r.server.Webhooks.Create(r.t.Context(), &webhooksv1.WebhooksServiceCreateRequest{DisplayName: "hook", Url: receiver.URL + "/in"})
	if err != nil {
		r.t.Fatal(err)
	}
	return res.GetWebhook().GetId()
}

// ask creates an instance and returns its id once it is in one of the states.
func (r *reader) ask(webhook string, source *webhooksv1.WebhookSource, until webhooksv1.WebhookState) string {
	r.t.Helper()
	request := &ripostev1.InstancesServiceCreateRequest{WebhookId: webhook, Source: source}
	if source.GetTest() == nil {
		request.Payload = []byte(`{"who":"ada"}`)
	}
	res, err := r.server.Instances.Create(r.t.Context(), request)
	if err != nil {
		r.t.Fatal(err)
	}
	id := res.GetInstance().GetWebhookInstance().GetId()
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	if _, err := r.server.WaitFor(ctx, id, func(i *ripostev1.Instance) bool { return i.GetWebhookInstance().GetState() == until }); err != nil {
		r.t.Fatal(err)
	}
	return id
}

func (r *reader) outcome(id string) *ripostev1.Outcome {
	r.t.Helper()
	res, err := r.server.Instances.Get(r.t.Context(), &ripostev1.InstancesServiceGetRequest{Id: id, View: ripostev1.InstanceView_INSTANCE_VIEW_FULL})
	if err != nil {
		r.t.Fatal(err)
	}
	return res.GetInstance().GetOutcome()
}

const waiting = webhooksv1.WebhookState_WEBHOOK_STATE_WAITING_CALLBACK

// TestAnOperatorsAnswerHasTheFieldsOfItsSource gives each answer that there is.
func TestAnOperatorsAnswerHasTheFieldsOfItsSource(t *testing.T) {
	r := newReader(t).as(ripostev1.Role_ROLE_SENDER)
	webhook := r.newWebhook(ripostetest.Reply{Status: 202})
	for name, tt := range map[string]struct {
		source *webhooksv1.WebhookSource
		form   url.Values
		field  string // that the page must have
		want   string
	}{
		"approve":         {approvalStep("T"), url.Values{"choice": {"approve"}, "comment": {"fine "}}, `value="approve"`, `{"approve":{"comment":"fine"},"version":"v1"}`},
		"deny":            {approvalStep("T"), url.Values{"choice": {"deny"}}, `value="deny"`, `{"deny":{},"version":"v1"}`},
		"reassign":        {approvalStep("T"), url.Values{"choice": {"reassign"}, "users": {"ada\r\ngrace\r\n"}}, `name="users"`, `{"reassign":{"newStepUserIds":["ada","grace"]},"version":"v1"}`},
		"replace":         {approvalStep("T"), url.Values{"choice": {"replacePolicy"}, "steps": {`[{"a":1}]`}}, `name="steps"`, `{"replacePolicy":{"policySteps":[{"a":1}]},"version":"v1"}`},
		"complete":        {provisionStep("T"), url.Values{"choice": {"complete"}}, `value="complete"`, `{"complete":{},"version":"v1"}`},
		"errored":         {provisionStep("T"), url.Values{"choice": {"errored"}, "comment": {"<b>"}}, `value="errored"`, `{"errored":{"comment":"\u003cb\u003e"},"version":"v1"}`},
		"context":         {workflowStep(), url.Values{"context": {`{"n":12345678901234567890}`}}, `name="context"`, `{"context":{"n":12345678901234567890},"version":"v1"}`},
		"a document":      {approvalStep("T"), url.Values{"choosing": {"1"}, "document": {`{"version":"v1", "deny":{}}`}}, `name="document"`, `{"version":"v1", "deny":{}}`},
		"nothing, a test": {&webhooksv1.WebhookSource{Source: &webhooksv1.WebhookSource_Test{Test: &webhooksv1.WebhookSourceTest{}}}, url.Values{}, "without anything in it", `{"version":"v1"}`},
	} {
		t.Run(name, func(t *testing.T) {
			id := r.ask(webhook, tt.source, waiting)
			r.get("/instances/"+id).wants(t, 200, tt.field, "Give this answer", "Waiting for callback")
			p := r.post("/instances/"+id+"/answer", tt.form)
			if want := "/instances/" + id; p.path != want {
				t.Fatalf("led to %s: %s", p.path, p.text)
			}
			p.wants(t, 200, "Your answer is the outcome.", "by an operator", "Success")
			p.lacks(t, "Give this answer")
			if diff := cmp.Diff(tt.want, r.outcome(id).GetDocumentJson()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestABadAnswerIsSaidAtItsForm, with what was typed still there.
func TestABadAnswerIsSaidAtItsForm(t *testing.T) {
	r := newReader(t).as(ripostev1.Role_ROLE_SENDER)
	id := r.ask(r.newWebhook(ripostetest.Reply{Status: 202}), approvalStep("T"), waiting)
	for name, tt := range map[string]struct {
		form url.Values
		want []string
	}{
		"nothing chosen":        {url.Values{"choosing": {"1"}, "comment": {"typed in"}}, []string{"An answer must be chosen", "typed in"}},
		"nobody to reassign to": {url.Values{"choice": {"reassign"}, "comment": {"typed in"}}, []string{"must have 1 to 32 ids", "typed in", `aria-describedby="users-about" aria-invalid="true"`}},
		"steps that are none":   {url.Values{"choice": {"replacePolicy"}, "steps": {"[{"}}, []string{"Policy steps must be a JSON array", "[{", `aria-describedby="steps-about" aria-invalid="true"`}},
		"a comment too long":    {url.Values{"choice": {"deny"}, "comment": {strings.Repeat("x", 1025)}}, []string{"must have at most 1024 characters", `aria-describedby="comment-about" aria-invalid="true"`}},
		"a bad document":        {url.Values{"document": {`{"version":"v2"}`}}, []string{"version must be", "v2", `<details id="own-document" open>`, `aria-describedby="document-about" aria-invalid="true"`}},
		"a broken document":     {url.Values{"document": {`{`}}, []string{"Response document must be JSON", `<details id="own-document" open>`}},
		"two answers at once":   {url.Values{"choice": {"deny"}, "document": {`{"version":"v1","approve":{}}`}}, []string{"only one of them can count"}},
		"another's choice":      {url.Values{"choice": {"complete"}}, []string{"must have exactly one of approve", `role="alert"`}},
	} {
		t.Run(name, func(t *testing.T) {
			r.post("/instances/"+id+"/answer", tt.form).wants(t, http.StatusUnprocessableEntity, tt.want...)
		})
	}
	if o := r.outcome(id); o != nil {
		t.Errorf("a bad answer became the outcome: %v", o)
	}
}

// TestAnAnswerThatComesTooLateIsNotLost.
func TestAnAnswerThatComesTooLateIsNotLost(t *testing.T) {
	r := newReader(t).as(ripostev1.Role_ROLE_SENDER)
	id := r.ask(r.newWebhook(ripostetest.Reply{Status: 202}), approvalStep("T"), waiting)
	r.post("/instances/"+id+"/cancel", url.Values{})
	p := r.post("/instances/"+id+"/answer", url.Values{"choice": {"deny"}, "comment": {"because of this"}})
	p.wants(t, http.StatusUnprocessableEntity, "Your answer came too late", "because of this", "Fatal error")
	r.get("/instances/"+id+"/answer").wants(t, 200, "Fatal error") // a reload, or a link to it
}

func TestActionsOnAnInstance(t *testing.T) {
	r := newReader(t).as(ripostev1.Role_ROLE_SENDER)
	id := r.ask(r.newWebhook(ripostetest.Reply{Status: 202}), approvalStep("T-7"), waiting)
	r.post("/instances/"+id+"/cancel", url.Values{}).wants(t, 200, "Canceled: its outcome is final", "Fatal error", "T-7")
	r.get("/instances/"+id).lacks(t, "Canceled: its outcome is final", "Cancel…") // that is said once
	r.post("/instances/"+id+"/cancel", url.Values{}).wants(t, http.StatusUnprocessableEntity, "That can&#39;t be done")
	p := r.post("/instances/"+id+"/recreate", url.Values{})
	p.wants(t, 200, "Asked again", `href="/instances/`+id+`"`)
	failing := r.ask(r.newWebhook(ripostetest.Reply{Status: 500}), provisionStep("T-8"), webhooksv1.WebhookState_WEBHOOK_STATE_ERROR)
	r.get("/instances/"+failing).wants(t, 200, "Retry now", "a fault of its own")
	r.post("/instances/"+failing+"/retry", url.Values{}).wants(t, 200, "The next attempt is due now.")
}

// TestViewersAreOfferedNothingThatTheyCantDo, and it is refused when they try.
func TestViewersAreOfferedNothingThatTheyCantDo(t *testing.T) {
	r := newReader(t).as(ripostev1.Role_ROLE_VIEWER)
	id := r.ask(r.newWebhook(ripostetest.Reply{Status: 202}), approvalStep("T"), waiting)
	p := r.get("/instances/" + id)
	p.wants(t, 200, "Approval step", "Waiting for callback", "viewer")
	p.lacks(t, `action="/instances/`, "curl", "Give this answer", `href="/keys"`)
	for _, action := range []string{"cancel", "retry", "recreate", "answer"} {
		r.post("/instances/"+id+"/"+action, url.Values{"choice": {"approve"}}).wants(t, http.StatusForbidden, "Not with this key", "needs the role sender")
	}
	r.get("/instances/"+id+"/delivery").wants(t, http.StatusForbidden, "Not with this key")
	if o := r.outcome(id); o != nil {
		t.Errorf("a viewer brought about %v", o)
	}
}

func TestWhatIsNotThereIsSaid(t *testing.T) {
	r := newReader(t).as(ripostev1.Role_ROLE_VIEWER)
	r.get("/instances/nope").wants(t, http.StatusNotFound, "There is no instance with this id.")
	r.get("/nope-at-all").wants(t, http.StatusNotFound)
	r.get("/instances/a/b").wants(t, http.StatusNotFound, "no such page")
}

func TestInstancesAreFilteredAndPaged(t *testing.T) {
	r := newReader(t).as(ripostev1.Role_ROLE_VIEWER)
	r.get("/instances").wants(t, 200, "Nothing has been asked yet", "riposte listen")
	webhook := r.newWebhook(ripostetest.Reply{Status: 202})
	var requests []*ripostev1.InstancesServiceCreateRequest
	for n := range 60 {
		ticket := "even"
		if n%2 == 1 {
			ticket = "odd"
		}
		requests = append(requests, &ripostev1.InstancesServiceCreateRequest{WebhookId: webhook, Source: approvalStep(ticket), Labels: map[string]string{"n": ticket}})
	}
	if _, err := r.server.Instances.BatchCreate(t.Context(), &ripostev1.InstancesServiceBatchCreateRequest{Requests: requests}); err != nil {
		t.Fatal(err)
	}
	for query, want := range map[string]int{"": 60, "ticket=odd": 30, "labels=n%3Deven": 30, "webhook=" + webhook: 60, "source=test": 0, "since=1h": 60, "to=2020-01-01": 0} {
		rows, pages, path := 0, 0, "/instances?"+query
		for path != "" {
			p := r.get(path)
			rows += strings.Count(p.text, `data-label="Question"`)
			pages++
			path = nextPage(p.text)
		}
		if wantPages := max(1, (want+24)/25); rows != want || pages != wantPages {
			t.Errorf("%s: %d rows on %d pages, want %d on %d", query, rows, pages, want, wantPages)
		}
	}
	r.get("/instances?ticket=none").wants(t, 200, "No instance matches")
	r.get("/instances?state=NOPE").wants(t, http.StatusUnprocessableEntity, "has no state &#34;NOPE&#34;")
	r.get("/instances?from=x").wants(t, http.StatusUnprocessableEntity, "must be a time such as", `aria-invalid="true"`)
	r.get("/instances?page=x").wants(t, http.StatusUnprocessableEntity, "This is no page of this list", "First page")
}

// nextPage is the address of the page after this one.
func nextPage(page string) string {
	before, _, ok := strings.Cut(page, `" rel="next"`)
	if !ok {
		return ""
	}
	return html.UnescapeString(before[strings.LastIndex(before, `"`)+1:])
}

// TestAPageThatIsTheSameIsNotSentAgain to one that looks every second.
func TestAPageThatIsTheSameIsNotSentAgain(t *testing.T) {
	r := newReader(t).as(ripostev1.Role_ROLE_SENDER)
	id := r.ask(r.newWebhook(ripostetest.Reply{Status: 202}), approvalStep("T"), waiting)
	tag := r.get("/instances/" + id).header.Get("ETag")
	if tag == "" {
		t.Fatal("the page has no ETag")
	}
	look := func() int {
		return r.do(http.MethodGet, "/instances/"+id, nil, map[string]string{"If-None-Match": tag}).status
	}
	if got := look(); got != http.StatusNotModified {
		t.Errorf("an unchanged page answers %d", got)
	}
	r.post("/instances/"+id+"/cancel", url.Values{})
	if got := look(); got != http.StatusOK {
		t.Errorf("a changed page answers %d", got)
	}
}

// TestASenderSeesItsOwnInstancesAlone, and how all webhooks fare.
func TestASenderSeesItsOwnInstancesAlone(t *testing.T) {
	r := newReader(t).named("billing", ripostev1.Role_ROLE_SENDER)
	webhook := r.newWebhook(ripostetest.Reply{Status: 202})
	other := r.ask(webhook, approvalStep("T-another"), waiting)
	r.post("/webhooks/"+webhook+"/test", url.Values{}).wants(t, http.StatusOK, "by <bdi>billing</bdi>")
	r.get("/instances/"+other).wants(t, http.StatusNotFound)
	r.get("/instances").lacks(t, "T-another")
	if err := r.server.Told(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/", "/webhooks", "/webhooks/" + webhook} {
		p := r.get(path)
		p.wants(t, http.StatusOK)
		p.lacks(t, "T-another", other, `href="/instances/"`)
	}
	r.get("/webhooks").wants(t, http.StatusOK, "202 <")
}
