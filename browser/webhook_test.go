package browser

import (
	"strings"
	"testing"
	"time"

	webhooksv1 "github.com/riposte-dev/riposte/gen/c1/api/webhooks/v1"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

func TestEditsAWebhook(t *testing.T) {
	t.Parallel()
	s, tab := signedIn(t)
	id := s.Webhooks[Badges]
	tab.Goto("/webhooks/" + id)
	tab.Follow("link", "Edit")
	if got := tab.Value("Name") + "|" + tab.Value("URL") + "|" + tab.Value("In flight at once, at each node"); got != Badges+"|"+s.receiver.URL+"/badges|2" {
		t.Errorf("the form begins with %s", got)
	}
	tab.Fill("Name", "Badge printers")
	tab.Fill("Description", "Two of them,\nsince last week.")
	tab.Fill("Callback timeout", "1 day 12 hours")
	tab.Click("radio", "Fast: up to 50 attempts seconds apart, then it has failed")
	tab.Fill("In flight at once, at each node", "0")
	tab.Follow("button", "Save")
	if p := tab.problemAt("In flight at once, at each node"); !strings.HasPrefix(p, "In flight at once, at each node must") {
		t.Errorf("none in flight is answered by %q", p)
	}
	tab.Fill("In flight at once, at each node", "4")
	tab.Follow("button", "Save")
	tab.UntilText("Saved.")
	tab.UntilText("Two of them, since last week.")

	w, err := s.Server.Webhooks.Get(t.Context(), &webhooksv1.WebhooksServiceGetRequest{Id: id})
	if err != nil {
		t.Fatal(err)
	}
	if w := w.GetWebhook(); w.GetDisplayName() != "Badge printers" || w.GetDescription() != "Two of them,\nsince last week." || w.GetCallbackTimeout().AsDuration() != 36*time.Hour {
		t.Errorf("the webhook is %v", w)
	}
	settings, err := s.Settings.Get(t.Context(), &ripostev1.WebhookSettingsServiceGetRequest{WebhookId: id})
	if err != nil {
		t.Fatal(err)
	}
	if got := settings.GetSettings(); got.GetMaxInFlight() != 4 || got.GetRetryPolicy() != ripostev1.RetryPolicy_RETRY_POLICY_FAST {
		t.Errorf("its settings are %v", got)
	}
}

func TestDeletesAWebhook(t *testing.T) {
	t.Parallel()
	s, tab := signedIn(t)
	path := "/webhooks/" + s.Webhooks[Contractors]
	tab.Goto(path)
	if tab.Has("button", "Delete this webhook") {
		t.Error("one press deletes")
	}
	tab.Unfold("Delete…")
	tab.Follow("button", "Delete this webhook")
	tab.UntilText("It is deleted: nothing is asked here any more.")
	for _, name := range []string{"Send a test", "Edit", "Delete…"} {
		if tab.Has("button", name) || tab.Has("link", name) || tab.Has("DisclosureTriangle", name) {
			t.Errorf("a deleted webhook offers %s", name)
		}
	}
	tab.Follow("link", "Webhooks")
	if strings.Contains(tab.Text(), Contractors) {
		t.Error("it is still in the list")
	}
	tab.Follow("link", "Deleted ones")
	tab.Follow("link", Contractors)
	if got := tab.Path(); got != path {
		t.Errorf("the list of deleted ones leads to %s", got)
	}
}

func TestSearchesWebhooks(t *testing.T) {
	t.Parallel()
	s, tab := signedIn(t)
	found := func() string {
		return strings.Join(Eval[[]string](tab, `[...document.querySelectorAll('tbody tr td:first-child a')].map(a => a.innerText)`), ", ")
	}
	tab.Goto("/webhooks")
	if n := strings.Count(found(), ", ") + 1; n != len(s.Webhooks)-1 { // one of them is deleted
		t.Errorf("there are %d webhooks: %s", n, found())
	}
	for query, want := range map[string]string{"BADGE": Badges, "basement": Directory} { // in a name, in a description
		tab.Fill("Name or description", query)
		tab.Follow("button", "Search")
		if got := found(); got != want {
			t.Errorf("%s finds %s", query, got)
		}
	}
	if path := tab.Path(); !strings.HasPrefix(path, "/webhooks?query=") {
		t.Errorf("what is searched for is not in the URL: %s", path)
	}
	tab.Fill("Name or description", "no such thing")
	tab.Follow("button", "Search")
	tab.UntilText("No webhook has this in its name or description.")
	tab.Follow("link", "Clear")
	if path := tab.Path(); path != "/webhooks" {
		t.Errorf("Clear leads to %s", path)
	}
}

// TestWebhookFaresLive: how a receiver fares comes to its page without a click.
func TestWebhookFaresLive(t *testing.T) {
	t.Parallel()
	s, tab := signedIn(t)
	tab.Goto("/webhooks/" + s.Webhooks[Contractors])
	tab.UntilText("Its receiver has not been asked yet.")
	loaded := tab.Navigations()
	s.ask(question{webhook: Contractors, kind: "provisionStep", id: "CON-1", reply: answering(404, "")})
	tab.UntilText("Failing")
	tab.UntilText("CON-1")
	if tab.Navigations() != loaded {
		t.Error("the page was loaded again")
	}
}
