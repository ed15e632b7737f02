package browser

import (
	"net/http"
	"strings"
	"testing"

	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
	"github.com/riposte-dev/riposte/ripostetest"
)

// TestOperatorAnswersEachSource gives an answer by hand to a question of each source.
func TestOperatorAnswersEachSource(t *testing.T) {
	t.Parallel()
	r := listening(t, answering(http.StatusAccepted, ""))
	s := ripostetest.Start(t)
	webhook := makeWebhook(t, s, "Later", r.URL)
	tab := admin(t, s)
	choose := func(choice string) func(*Tab) {
		return func(tab *Tab) {
			tab.Click("radio", choice)
			tab.Fill("Comment", "By hand.")
		}
	}
	for _, tt := range []struct {
		name, kind string
		fill       func(*Tab)
		want       ripostev1.OutcomeKind
	}{
		{"approve", "approvalStep", choose("Approve"), ripostev1.OutcomeKind_OUTCOME_KIND_APPROVED},
		{"reassign", "approvalStep", func(tab *Tab) {
			choose("Reassign to others")(tab)
			tab.Fill("User ids to reassign to", "grace\nradia")
		}, ripostev1.OutcomeKind_OUTCOME_KIND_REASSIGNED},
		{"replace the policy", "approvalStep", func(tab *Tab) {
			choose("Replace the policy")(tab)
			tab.Fill("Policy steps", `[{"approval":{"users":["grace"]}}]`)
		}, ripostev1.OutcomeKind_OUTCOME_KIND_POLICY_REPLACED},
		{"complete", "provisionStep", choose("Complete: it is done"), ripostev1.OutcomeKind_OUTCOME_KIND_COMPLETED},
		{"errored", "provisionStep", choose("Errored: it can't be done"), ripostev1.OutcomeKind_OUTCOME_KIND_ERRORED},
		{"context", "workflowStep", func(tab *Tab) { tab.Fill("Context", `{"manager":"grace"}`) }, ripostev1.OutcomeKind_OUTCOME_KIND_CONTEXT},
		{"nothing in it", "policyPostAction", func(*Tab) {}, ripostev1.OutcomeKind_OUTCOME_KIND_DELIVERED},
		{"test", "test", func(*Tab) {}, ripostev1.OutcomeKind_OUTCOME_KIND_DELIVERED},
		{"a document", "approvalStep", func(tab *Tab) {
			tab.Unfold("A response document of your own instead")
			tab.Fill("Response document", `{"version":"v1","deny":{"comment":"By hand."}}`)
		}, ripostev1.OutcomeKind_OUTCOME_KIND_DENIED},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tab := tab.in(t)
			id := create(t, s, webhook, sourceOf(tt.kind, "HAND-1"))
			tab.Goto("/instances/" + id)
			tab.untilState("Waiting for callback")
			tt.fill(tab)
			tab.Follow("button", "Give this answer")
			tab.UntilText("Your answer is the outcome.")
			tab.untilState("Success")
			res, err := s.Instances.Get(t.Context(), &ripostev1.InstancesServiceGetRequest{Id: id})
			if err != nil {
				t.Fatal(err)
			}
			if o := res.GetInstance().GetOutcome(); o.GetKind() != tt.want || o.GetVia() != ripostev1.OutcomeVia_OUTCOME_VIA_OPERATOR {
				t.Errorf("the outcome is %v", o)
			}
		})
	}
}

// TestRetriesAPushThatWasGivenUp asks whoever did not take the outcome once more.
func TestRetriesAPushThatWasGivenUp(t *testing.T) {
	t.Parallel()
	s, tab := signedIn(t)
	tab.Goto("/instances/" + s.Instances["PRV-5"])
	tab.UntilText("the push was given up")
	s.replyToPushes(answering(http.StatusOK, ""))
	tab.Follow("button", "Retry now")
	tab.untilState("Success")
}

// TestEachFilterSelects narrows the list by one field after the other, and shares it.
func TestEachFilterSelects(t *testing.T) {
	t.Parallel()
	s, tab := signedIn(t)
	s.ask(question{webhook: Notices, kind: "policyPostAction", id: "NEW-1", labels: map[string]string{"team": "night"}, reply: answering(200, `{"version":"v1"}`)})
	created := s.get(t, "BADGE-1").GetWebhookInstance().GetCreatedAt().AsTime()
	exactly := created.UTC().Format("2006-01-02T15:04:05.999999999Z")
	other := chromium.Open(t, s.BaseURL())
	for _, tt := range []struct{ label, value, filter string }{
		// A state that nobody leaves meanwhile: what is retried runs now and then.
		{"State", "Waiting for callback", `state = WAITING_CALLBACK`},
		{"Source", "Workflow step", `source = workflowStep`},
		{"Webhook id", s.Webhooks[Payroll], `webhookId = ` + s.Webhooks[Payroll]},
		{"Ticket", "ACC-4", `ticketId = "ACC-4"`},
		{"Labels", "team=finance env=production", `labels.team = "finance" AND labels.env = "production"`},
		{"Asked", "Last 15 minutes", `createdAt >= "` + created.Add(-quarter).UTC().Format("2006-01-02T15:04:05Z") + `"`},
		{"Asked from (UTC)", exactly, `createdAt >= "` + exactly + `"`},
		{"Asked before (UTC)", exactly, `createdAt < "` + exactly + `"`},
	} {
		t.Run(tt.label, func(t *testing.T) {
			tab := tab.in(t)
			tab.Goto("/instances")
			if strings.HasSuffix(tt.label, "(UTC)") {
				tab.Unfold("Exact times")
			}
			tab.Fill("A page", "100")
			tab.Fill(tt.label, tt.value)
			tab.Follow("button", "Filter")
			n := Eval[int](tab, `document.querySelectorAll('tbody tr').length`)
			if want := int(countOf(t, s.Server, tt.filter)); n != want || n == 0 || n == int(countOf(t, s.Server, "")) {
				t.Errorf("%d rows are there of %d", n, want)
			}
		})
	}
	tab.Goto("/instances?labels=team%3Dnight&size=50")
	other.Goto(tab.Path())
	other.Fill("API key", s.APIKeys[Viewer])
	other.Follow("button", "Sign in")
	if other.Path() != tab.Path() || !strings.Contains(other.Text(), "NEW-1") || other.Value("Labels") != "team=night" {
		t.Errorf("who gets the URL %s comes to %s", tab.Path(), other.Path())
	}
}

// ids are of the instances on the page, in its order.
const ids = `[...document.querySelectorAll('tbody tr td[data-label=Question] a')].map(a => a.pathname).join(' ')`

func TestTurnsPages(t *testing.T) {
	t.Parallel()
	_, tab := signedIn(t)
	tab.Goto("/instances?source=provisionStep&size=25")
	first := Eval[string](tab, ids)
	if n := len(strings.Fields(first)); n != 25 {
		t.Fatalf("the first page has %d", n)
	}
	tab.Follow("link", "Next page")
	second := Eval[string](tab, ids)
	for id := range strings.FieldsSeq(second) {
		if strings.Contains(first, id) {
			t.Errorf("%s is on both pages", id)
		}
	}
	if second == "" || tab.Value("Source") != "provisionStep" {
		t.Errorf("the second page has %q, of the source %s", second, tab.Value("Source"))
	}
	tab.Loads(func() { Eval[bool](tab, `history.back() || true`) })
	if got := Eval[string](tab, ids); got != first {
		t.Errorf("the way back leads to %s", got)
	}
	tab.Follow("link", "Next page")
	tab.Follow("link", "First page")
	if got := Eval[string](tab, ids); got != first {
		t.Errorf("the first page has become %s", got)
	}
	if path := tab.Path(); strings.Contains(path, "page=") || !strings.Contains(path, "source=provisionStep") {
		t.Errorf("the first page is %s", path)
	}
}
