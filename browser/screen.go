package browser

import (
	"context"
	"strings"

	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
	"github.com/riposte-dev/riposte/ripostetest"
	"github.com/riposte-dev/riposte/server"
)

// Screen is a page of the console as somebody comes to it.
type Screen struct {
	Name    string // fit for a file's
	Path    string
	Visitor Visitor
	Before  func(*Tab) // what is done there before it is looked at; nil for nothing
	After   func(*Tab) // what is done when it has been looked at; nil for nothing
}

// Visitor is who comes to a screen.
type Visitor struct {
	BaseURL string // of the server
	APIKey  string // "" for somebody who has not signed in
}

// Arrive opens a tab in which the visitor has signed in.
func (v Visitor) Arrive(tb ripostetest.TB, b *Browser) *Tab {
	tb.Helper()
	t := b.Open(tb, v.BaseURL)
	if v.APIKey != "" {
		t.SignIn(v.APIKey)
	}
	return t
}

// Visit comes to the screen.
func (sc Screen) Visit(t *Tab) {
	t.tb.Helper()
	t.Goto(sc.Path)
	if sc.Before != nil {
		sc.Before(t)
	}
}

// Leave ends what Visit began.
func (sc Screen) Leave(t *Tab) {
	t.tb.Helper()
	if sc.After != nil {
		sc.After(t)
	}
}

// by returns the screens as those of a visitor.
func (v Visitor) by(screens ...Screen) []Screen {
	for n := range screens {
		screens[n].Visitor = v
	}
	return screens
}

// Screens returns every screen of the console, with something of the scene on it, and
// those of a server that has just been started.
func (s *Scene) Screens() []Screen {
	s.tb.Helper()
	fresh := ripostetest.Start(s.tb, func(c *server.Config) { c.ConsoleOpen = true })
	admin := Visitor{s.BaseURL(), s.APIKey}
	all := admin.by(s.passingScreens()...)
	all = append(all, Visitor{BaseURL: s.BaseURL()}.by(s.signInScreens()...)...)
	all = append(all, Visitor{BaseURL: fresh.BaseURL()}.by(Screen{Name: "sign-in-open", Path: "/sign-in"})...)
	all = append(all, Visitor{fresh.BaseURL(), fresh.APIKey}.by(freshScreens()...)...)
	all = append(all, admin.by(s.instanceScreens()...)...)
	all = append(all, admin.by(s.webhookScreens()...)...)
	all = append(all, admin.by(s.verifyScreens()...)...)
	all = append(all, admin.by(keyScreens()...)...)
	all = append(all, admin.by(clientScreens()...)...)
	all = append(all, admin.by(serverKeyScreens()...)...)
	all = append(all, admin.by(s.requestScreens()...)...)
	all = append(all, admin.by(auditScreens()...)...)
	all = append(all, admin.by(errorScreens()...)...)
	all = append(all, Visitor{s.BaseURL(), s.APIKeys[Viewer]}.by(s.viewerScreens()...)...)
	return append(all, admin.by(s.bulkScreens()...)...) // the last: it changes much
}

func (s *Scene) signInScreens() []Screen {
	return []Screen{
		{Name: "sign-in", Path: "/sign-in"},
		{Name: "sign-in-refused", Path: "/sign-in?next=/instances", Before: func(t *Tab) {
			t.Fill("API key", "not-a-key-of-this-server")
			t.Follow("button", "Sign in")
			t.UntilText("Sign in to Riposte")
		}},
	}
}

// freshScreens are those of a server that was never asked anything.
func freshScreens() []Screen {
	return []Screen{
		{Name: "overview-fresh", Path: "/"},
		{Name: "webhooks-fresh", Path: "/webhooks"},
		{Name: "webhooks-none-deleted", Path: "/webhooks?deleted=1"},
		{Name: "instances-fresh", Path: "/instances"},
		{Name: "keys-fresh", Path: "/keys"},
		{Name: "clients-fresh", Path: "/clients"},
		{Name: "audit-fresh", Path: "/audit"},
	}
}

// passingScreens come first: an attempt that hangs is given up after 30 seconds.
func (s *Scene) passingScreens() []Screen {
	return []Screen{
		{Name: "instance-running", Path: "/instances/" + s.Instances["BADGE-1"]},
		{Name: "instance-pending", Path: "/instances/" + s.Instances["BADGE-5"]},
	}
}

func (s *Scene) instanceScreens() []Screen {
	s.tb.Helper()
	instance := func(id string) string { return "/instances/" + s.Instances[id] }
	attempts := func(t *Tab) {
		Eval[bool](t, `[...document.querySelectorAll('details.attempt')].every(d => d.open = true)`)
	}
	return []Screen{
		{Name: "overview", Path: "/"},
		{Name: "instances", Path: "/instances"},
		{Name: "instances-filtered", Path: "/instances?state=WAITING_CALLBACK&labels=team%3Dfinance"},
		{Name: "instances-none", Path: "/instances?ticket=NO-SUCH"},
		{Name: "instances-wrong", Path: "/instances?labels=%3Dfinance&from=yesterday&to=never"},
		{Name: "instances-no-page", Path: "/instances?page=nonsense"},
		{Name: "instance-waiting", Path: instance("ACC-4")},
		{Name: "instance-pushing", Path: instance("PRV-4"), Before: attempts},
		{Name: "instance-push-refused", Path: instance("PRV-5")},
		{Name: "instance-replaced", Path: instance("ACC-2"), Before: attempts},
		{Name: "instance-bad-response", Path: instance("PRV-2"), Before: attempts},
		{Name: "instance-expired", Path: instance("ACC-17"), Before: attempts},
		{Name: "instance-canceled", Path: instance("ACC-3")},
		{Name: "instance-gone", Path: instance("OFF-1"), Before: attempts},
		{Name: "instance-held", Path: instance("PAY-1000"), Before: attempts},
		{Name: "instance-failing", Path: instance("LDAP-1"), Before: attempts},
		{Name: "instance-answered-late", Path: "/instances/" + s.oneOf(`source = provisionStep AND state = SUCCESS AND webhookId = `+s.Webhooks[Directory]), Before: attempts},
		{Name: "instance-of-deleted-webhook", Path: instance("HR-99")},
		{Name: "instance-tested", Path: instance("test")},
		{Name: "instance-cancel", Path: instance("ACC-5"), Before: func(t *Tab) { t.Unfold("Cancel…") }},
		{Name: "instance-recreate", Path: instance("ACC-3"), Before: func(t *Tab) { t.Unfold("Recreate…") }},
		{Name: "instance-answer-wrong", Path: instance("ACC-5"), Before: func(t *Tab) {
			t.Click("radio", "Reassign to others")
			t.Follow("button", "Give this answer")
			t.UntilText("Answer it yourself")
		}},
		{Name: "instance-delivery", Path: instance("ACC-6") + "/delivery"},
	}
}

func (s *Scene) webhookScreens() []Screen {
	webhook := func(name string) string { return "/webhooks/" + s.Webhooks[name] }
	wrong := func(t *Tab) {
		t.Fill("Name", "")
		t.Fill("URL", "ftp://example.com/hook")
		t.Fill("Callback timeout", "a while")
		t.Follow("button", "Create webhook")
		t.UntilText("Nothing is saved yet")
	}
	return []Screen{
		{Name: "webhooks", Path: "/webhooks"},
		{Name: "webhooks-found", Path: "/webhooks?query=badge"},
		{Name: "webhooks-none", Path: "/webhooks?query=no+such+webhook"},
		{Name: "webhooks-deleted", Path: "/webhooks?deleted=1"},
		{Name: "webhooks-no-page", Path: "/webhooks?page=nonsense"},
		{Name: "webhook", Path: webhook(Approvals)},
		{Name: "webhook-failing", Path: webhook(Directory)},
		{Name: "webhook-held", Path: webhook(Payroll)},
		{Name: "webhook-unasked", Path: webhook(Contractors)},
		{Name: "webhook-deleted", Path: webhook(Portal)},
		{Name: "webhook-delete", Path: webhook(Notices), Before: func(t *Tab) { t.Unfold("Delete…") }},
		{Name: "webhook-new", Path: "/webhooks/new"},
		{Name: "webhook-new-wrong", Path: "/webhooks/new", Before: wrong},
		{Name: "webhook-edit", Path: webhook(Badges) + "/edit"},
		{Name: "webhook-edit-wrong", Path: webhook(Badges) + "/edit", Before: func(t *Tab) {
			t.Fill("In flight at once, at each node", "many")
			t.Fill("Outcome URL", "ftp://example.com/outcomes")
			t.Follow("button", "Save")
			t.UntilText("Nothing is saved yet")
		}},
	}
}

func keyScreens() []Screen {
	create := func(t *Tab, name string) {
		t.Fill("Name", name)
		t.Follow("button", "Create")
	}
	return []Screen{
		{Name: "keys", Path: "/keys"},
		{Name: "key-revoke", Path: "/keys", Before: func(t *Tab) { t.ClickIn("tbody tr:has(details)", "DisclosureTriangle", "Revoke…") }},
		{Name: "key-created", Path: "/keys", Before: func(t *Tab) {
			create(t, "nightly-report")
			t.UntilText("it is never shown again")
		}},
		{Name: "key-wrong", Path: "/keys", Before: func(t *Tab) {
			create(t, strings.Repeat("the night's report, ", 20))
			t.UntilText("Name must")
		}},
	}
}

func errorScreens() []Screen {
	return []Screen{
		{Name: "no-instance", Path: "/instances/nothing"},
		{Name: "no-webhook", Path: "/webhooks/nothing"},
		{Name: "no-page", Path: "/webhooks/nothing/at/all"},
	}
}

// viewerScreens are what somebody sees who may only look.
func (s *Scene) viewerScreens() []Screen {
	return []Screen{
		{Name: "viewer-overview", Path: "/"},
		{Name: "viewer-webhooks", Path: "/webhooks"},
		{Name: "viewer-webhook", Path: "/webhooks/" + s.Webhooks[Approvals]},
		{Name: "viewer-instances", Path: "/instances?state=WAITING_CALLBACK"},
		{Name: "viewer-instance", Path: "/instances/" + s.Instances["ACC-4"]},
		{Name: "viewer-refused", Path: "/webhooks/new"},
	}
}

// bulkScreens change nothing before the last one: what has its outcome stays as it is.
func (s *Scene) bulkScreens() []Screen {
	const bulk = "/instances/bulk"
	begin := func(button string) func(*Tab) {
		return func(t *Tab) {
			t.Hold(bulk)
			t.Follow("button", button)
		}
	}
	cancel := bulk + "?action=cancel&state=SUCCESS"
	return []Screen{
		{Name: "bulk-cancel", Path: bulk + "?action=cancel&labels=team%3Dfinance+env%3Dproduction&since=24h"},
		{Name: "bulk-recreate", Path: bulk + "?action=recreate&state=FATAL_ERROR&webhook=" + s.Webhooks[Approvals]},
		{Name: "bulk-none", Path: bulk + "?action=cancel&ticket=NO-SUCH"},
		{Name: "bulk-refused", Path: bulk + "?action=cancel"},
		{Name: "bulk-going", Path: cancel, Before: func(t *Tab) {
			begin("Cancel them")(t)
			t.UntilHeld()
		}, After: (*Tab).Release},
		{Name: "bulk-stopped", Path: cancel, Before: func(t *Tab) {
			begin("Cancel them")(t)
			t.UntilHeld()
			t.Click("button", "Stop")
			t.Release()
			t.Until("the button to go on", `document.querySelector('[data-continue] button').checkVisibility()`)
		}},
		{Name: "bulk-away", Path: cancel, Before: func(t *Tab) {
			begin("Cancel them")(t)
			t.Lose()
			t.UntilText("The server can't be reached.")
			t.Forgive("a request failed")
		}, After: (*Tab).Release},
		{Name: "bulk-done", Path: bulk + "?action=recreate&webhook=" + s.Webhooks[Notices], Before: func(t *Tab) {
			t.Follow("button", "Ask them again")
			t.UntilText("Done.")
		}},
	}
}

// oneOf returns the id of the newest instance that a filter selects.
func (s *Scene) oneOf(filter string) string {
	s.tb.Helper()
	res, err := s.Server.Instances.List(context.Background(), &ripostev1.InstancesServiceListRequest{Filter: filter})
	if err != nil || len(res.GetList()) == 0 {
		s.tb.Fatalf("looking for one of %s: %v, %v", filter, res, err)
	}
	return res.GetList()[0].GetWebhookInstance().GetId()
}
