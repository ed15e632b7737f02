package browser

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
	"github.com/riposte-dev/riposte/ripostetest"
)

// signedIn returns a scene with a short past, and a tab of an admin's.
func signedIn(t *testing.T) (*Scene, *Tab) {
	t.Helper()
	s := NewScene(t, 1)
	tab := chromium.Open(t, s.BaseURL())
	tab.SignIn(s.APIKey)
	return s, tab
}

func (s *Scene) get(t *testing.T, ticket string) *ripostev1.Instance {
	t.Helper()
	res, err := s.Server.Instances.Get(t.Context(), &ripostev1.InstancesServiceGetRequest{Id: s.Instances[ticket], View: ripostev1.InstanceView_INSTANCE_VIEW_FULL})
	if err != nil {
		t.Fatalf("getting %s: %v", ticket, err)
	}
	return res.GetInstance()
}

func TestSignsInAndOut(t *testing.T) {
	t.Parallel()
	s := ripostetest.Start(t)
	tab := chromium.Open(t, s.BaseURL())
	tab.Goto("/instances?state=ERROR")
	if !strings.HasPrefix(tab.Path(), "/sign-in") {
		t.Fatalf("without a key one comes to %s", tab.Path())
	}
	tab.Fill("API key", "not-a-key-of-this-server")
	tab.Follow("button", "Sign in")
	if !tab.Has("alert", "") {
		t.Errorf("a wrong key is answered by %q", tab.Text())
	}
	tab.Fill("API key", s.APIKey)
	tab.Follow("button", "Sign in")
	if path := tab.Path(); path != "/instances?state=ERROR" {
		t.Errorf("after signing in one comes to %s", path)
	}
	if cookies := Eval[string](tab, `document.cookie`); cookies != "" {
		t.Errorf("scripts can read the cookies %q", cookies)
	}
	tab.Follow("button", "Sign out")
	tab.Goto("/instances")
	if !strings.HasPrefix(tab.Path(), "/sign-in") {
		t.Errorf("after signing out one comes to %s", tab.Path())
	}
}

func TestViewerIsOfferedNothingToDo(t *testing.T) {
	t.Parallel()
	s, admin := signedIn(t)
	admin.Goto("/instances/" + s.Instances["ACC-4"])
	if !admin.Has("button", "Give this answer") || !admin.Has("DisclosureTriangle", "Cancel…") {
		t.Error("an admin is not offered to answer and to cancel")
	}
	res, err := s.Keys.Create(t.Context(), &ripostev1.KeysServiceCreateRequest{Name: "looks on", Role: ripostev1.Role_ROLE_VIEWER})
	if err != nil {
		t.Fatal(err)
	}
	viewer := chromium.Open(t, s.BaseURL())
	viewer.SignIn(res.GetSecret())
	viewer.Goto("/instances/" + s.Instances["ACC-4"])
	viewer.UntilText("Approval step ACC-4")
	if viewer.Has("button", "Give this answer") || viewer.Has("DisclosureTriangle", "Cancel…") {
		t.Errorf("a viewer is offered to answer or to cancel:\n%s", viewer.Text())
	}
}

// TestInstanceChangesLive: what happens elsewhere comes to the page without a click.
func TestInstanceChangesLive(t *testing.T) {
	t.Parallel()
	s, tab := signedIn(t)
	tab.Goto("/instances/" + s.Instances["ACC-4"])
	list := chromium.Open(t, s.BaseURL())
	list.SignIn(s.APIKey)
	list.Goto("/instances?ticket=ACC-4")
	list.UntilText("Waiting for callback")
	tab.UntilText("Waiting for callback")
	loaded, listed := tab.Navigations(), list.Navigations()
	callBack(t, s.get(t, "ACC-4"), s, `{"version":"v1","approve":{"comment":"Go ahead, Ada."}}`)
	tab.UntilText("Go ahead, Ada.")
	tab.UntilText("Approved")
	tab.UntilNoText("Waiting for callback")
	list.Until("the row to change", `document.querySelector('tbody').innerText.includes('Approved')`)
	if tab.Navigations() != loaded || list.Navigations() != listed {
		t.Error("the pages were loaded again")
	}
	tab.CheckAccessible()
}

// callBack answers as the receiver does.
func callBack(t *testing.T, i *ripostev1.Instance, s *Scene, document string) {
	t.Helper()
	answerByCallback(t, s.receiver, i.GetWebhookInstance().GetId(), document)
}

func answerByCallback(t *testing.T, r *ripostetest.Receiver, id, document string) {
	t.Helper()
	deliveries := r.Deliveries(id)
	if len(deliveries) == 0 {
		t.Fatal("the receiver was never asked")
	}
	res, err := http.Post(deliveries[0].Envelope.CallbackURL, "application/json", strings.NewReader(document))
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Fatalf("the callback was answered %d", res.StatusCode)
	}
}

// TestTypingSurvivesWhatIsLive: what somebody types stays when the page changes.
func TestTypingSurvivesWhatIsLive(t *testing.T) {
	t.Parallel()
	s, tab := signedIn(t)
	tab.Goto("/instances/" + s.Instances["ACC-4"])
	tab.Unfold("A response document of your own instead")
	tab.Fill("Response document", "half a docu")
	callBack(t, s.get(t, "ACC-4"), s, `{"version":"v1","approve":{"comment":"I was faster."}}`)
	tab.UntilText("I was faster.")
	if got := tab.Value("Response document"); got != "half a docu" {
		t.Errorf("what was typed became %q", got)
	}
}

func TestOperatorAnswers(t *testing.T) {
	t.Parallel()
	s, tab := signedIn(t)
	tab.Goto("/instances/" + s.Instances["ACC-5"])
	tab.Click("radio", "Reassign to others")
	tab.Follow("button", "Give this answer")
	if p := tab.problemAt("User ids to reassign to"); p == "" {
		t.Errorf("an answer without its ids is answered by %q", tab.Text())
	}
	tab.Click("radio", "Deny")
	tab.Fill("Comment", "Not this week.")
	tab.Follow("button", "Give this answer")
	tab.UntilText("Denied")
	tab.UntilText("Not this week.")
	o := s.get(t, "ACC-5").GetOutcome()
	if o.GetKind() != ripostev1.OutcomeKind_OUTCOME_KIND_DENIED || o.GetVia() != ripostev1.OutcomeVia_OUTCOME_VIA_OPERATOR || o.GetComment() != "Not this week." {
		t.Errorf("the outcome is %v", o)
	}
}

// TestWrongAnswerStays: the page goes on to change, and leaves what is to be put right.
func TestWrongAnswerStays(t *testing.T) {
	t.Parallel()
	s, tab := signedIn(t)
	tab.Goto("/instances/" + s.Instances["ACC-4"])
	tab.Click("radio", "Replace the policy")
	tab.Fill("Policy steps", "two of them")
	tab.Follow("button", "Give this answer")
	if p := tab.problemAt("Policy steps"); p == "" {
		t.Errorf("steps that are none are answered by %q", tab.Text())
	}
	if path := tab.Path(); path != "/instances/"+s.Instances["ACC-4"] {
		t.Errorf("who reloads comes to %s", path)
	}
	callBack(t, s.get(t, "ACC-4"), s, `{"version":"v1","approve":{"comment":"I was faster."}}`)
	tab.untilState("Success")
	if got := tab.Value("Policy steps"); got != "two of them" || tab.problemAt("Policy steps") == "" {
		t.Errorf("what is to be put right became %q", got)
	}
}

func TestCancelAsksFirst(t *testing.T) {
	t.Parallel()
	s, tab := signedIn(t)
	tab.Goto("/instances/" + s.Instances["ACC-6"])
	if tab.Has("button", "Cancel this instance") {
		t.Error("one press cancels")
	}
	tab.Unfold("Cancel…")
	tab.Follow("button", "Cancel this instance")
	tab.UntilText("Canceled")
	if reason := s.get(t, "ACC-6").GetOutcome().GetFailure().GetReason(); reason != ripostev1.FailureReason_FAILURE_REASON_CANCELED {
		t.Errorf("it failed by %v", reason)
	}
	tab.Unfold("Recreate…")
	tab.Follow("button", "Ask again")
	if tab.Path() == "/instances/"+s.Instances["ACC-6"] {
		t.Error("asking again leads to the same instance")
	}
	tab.UntilText("Waiting for callback")
}

func TestRetryNowAttemptsAtOnce(t *testing.T) {
	t.Parallel()
	s, tab := signedIn(t)
	before := s.get(t, "LDAP-1").GetWebhookInstance().GetAttempts()
	tab.Goto("/instances/" + s.Instances["LDAP-1"])
	tab.Follow("button", "Retry now")
	i := s.until(s.Instances["LDAP-1"], func(i *ripostev1.Instance) bool { return i.GetWebhookInstance().GetAttempts() > before })
	tab.UntilText("Attempt " + string('0'+i.GetWebhookInstance().GetAttempts()))
}

func TestFilters(t *testing.T) {
	t.Parallel()
	s, tab := signedIn(t)
	tab.Goto("/instances")
	tab.Fill("State", "Waiting for callback")
	tab.Fill("Source", "Approval step")
	tab.Fill("Labels", "team=finance")
	tab.Fill("Ticket", "ACC-5")
	tab.Follow("button", "Filter")
	rows := func() int { return Eval[int](tab, `document.querySelectorAll('tbody tr').length`) }
	if n := rows(); n != 1 || !strings.Contains(tab.Text(), "ACC-5") {
		t.Errorf("%d rows match:\n%s", n, tab.Text())
	}
	for label, value := range map[string]string{"State": "WAITING_CALLBACK", "Ticket": "ACC-5", "Labels": "team=finance"} {
		if got := tab.Value(label); got != value {
			t.Errorf("%s came back as %q", label, got)
		}
	}
	tab.Fill("Ticket", "ACC-999999")
	tab.Follow("button", "Filter")
	tab.UntilText("No instance matches.")
	tab.Follow("link", "Clear")
	tab.Fill("Webhook id", s.Webhooks[Badges])
	tab.Follow("button", "Filter")
	if n := rows(); n != 5 {
		t.Errorf("the badge printer has %d rows", n)
	}
	tab.Fill("Labels", "=x")
	tab.Follow("button", "Filter")
	if Eval[string](tab, `document.querySelector("[aria-invalid=true]")?.id ?? ""`) != "labels" {
		t.Errorf("a label without a key is answered by %q", tab.Text())
	}
}

// TestCopyKeepsItsName: what a button copies is told by its name alone to who can't see
// what it stands beside.
func TestCopyKeepsItsName(t *testing.T) {
	_, tab := signedIn(t)
	tab.Goto("/server-keys")
	tab.Click("button", "Copy key set's URL")
	tab.until("a button that says what was copied", func() bool { return tab.Has("button", "Copied key set's URL") })
	tab.until("the button as it was", func() bool { return tab.Has("button", "Copy key set's URL") })
}

// TestKeyboardAlone signs in, finds an instance and answers it without a mouse.
func TestKeyboardAlone(t *testing.T) {
	t.Parallel()
	s := NewScene(t, 1)
	tab := chromium.Open(t, s.BaseURL())
	tab.Goto("/sign-in")
	if f := tab.Focused(); f != `textbox "API key"` {
		t.Errorf("at first %s has the focus", f)
	}
	tab.Press(s.APIKey)
	tab.Loads(func() { tab.Press(kb.Enter) })
	tab.Goto("/instances?state=WAITING_CALLBACK&ticket=ACC-5")
	tab.Press(kb.Tab)
	if f := tab.Focused(); f != `link "Skip to the content"` {
		t.Errorf("the first Tab leads to %s", f)
	}
	tab.Press(kb.Enter)
	tab.PressTabTo(`combobox "State"`)
	id := s.Instances["ACC-5"]
	tab.PressTabTo(`link "Approval step ACC-5 …` + id[len(id)-8:] + `"`)
	tab.Loads(func() { tab.Press(kb.Enter) })
	tab.PressTabTo(`radio "Approve"`)
	tab.Press(kb.ArrowDown)
	tab.PressTabTo(`textbox "Comment"`)
	tab.Press("No.")
	tab.PressTabTo(`button "Give this answer"`)
	tab.Loads(func() { tab.Press(kb.Enter) })
	tab.UntilText("Denied")
}

// TestWorksWithoutScripts does the same with scripts switched off.
func TestWorksWithoutScripts(t *testing.T) {
	t.Parallel()
	s := NewScene(t, 1)
	tab := chromium.Open(t, s.BaseURL())
	tab.do("switching scripts off", func(ctx context.Context, _ *chromedp.Target) (chromedp.Void, error) {
		return callVoid(ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	})
	tab.SignIn(s.APIKey)
	tab.Fill("Ticket", "ACC-5")
	tab.Follow("button", "Filter")
	id := s.Instances["ACC-5"]
	tab.Follow("link", "Approval step ACC-5 …"+id[len(id)-8:])
	tab.Click("radio", "Deny")
	tab.Fill("Comment", "No.")
	tab.Follow("button", "Give this answer")
	tab.UntilText("Denied")
	if tab.Has("button", "Copy payload") {
		t.Error("there is a button to copy by that does nothing")
	}
}
