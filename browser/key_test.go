package browser

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"

	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
	"github.com/riposte-dev/riposte/ripostetest"
)

// paste presses Ctrl-V, which gives the field that has the focus what was copied.
func (t *Tab) paste() {
	t.tb.Helper()
	t.do("pasting", func(ctx context.Context, _ *chromedp.Target) (chromedp.Void, error) {
		return callVoid(ctx, input.DispatchKeyEvent, input.DispatchKeyEventParams{Type: input.DispatchKeyEventTypeKeyDown, Key: "v", Code: "KeyV", Modifiers: 2 /* Ctrl */, Commands: []string{"paste"}})
	})
}

// row is a selector of the table's row that has text.
func (t *Tab) row(text string) string {
	t.tb.Helper()
	n := Eval[int](t, `[...document.querySelectorAll('tbody tr')].findIndex(r => r.innerText.includes(`+quote(text)+`))`)
	if n < 0 {
		t.fail("there is no row with %q", text)
	}
	return fmt.Sprintf("tbody tr:nth-child(%d)", n+1)
}

// TestKeyFromCreationToRevocation makes a key, copies it, signs somebody in with it,
// and revokes it.
func TestKeyFromCreationToRevocation(t *testing.T) {
	t.Parallel()
	s, tab := signedIn(t)
	tab.Goto("/keys")
	tab.Fill("Name", strings.Repeat("night ", 20))
	tab.Follow("button", "Create")
	if p := tab.problemAt("Name"); !strings.HasPrefix(p, "Name must") {
		t.Errorf("a name that is too long is answered by %q", p)
	}
	tab.Fill("Name", "night shift")
	tab.Click("radio", "Sender: creates instances, and reads and acts on its own")
	tab.Follow("button", "Create")
	tab.UntilText("it is never shown again")
	secret := Eval[string](tab, `document.getElementById('secret').innerText`)
	tab.Click("button", "Copy key")
	tab.UntilText("Copied")

	other := chromium.Open(t, s.BaseURL())
	other.Goto("/sign-in?next=/instances")
	other.Click("textbox", "API key")
	other.paste()
	other.Until("the key in the field", `document.getElementById('key').value === `+quote(secret))
	other.Follow("button", "Sign in")
	other.UntilText("night shift sender")
	other.Follow("link", "Instances")

	tab.Goto("/keys")
	if html := Eval[string](tab, `document.documentElement.outerHTML`); strings.Contains(html, secret) {
		t.Error("the key is shown again")
	}
	row := tab.row("night shift")
	tab.ClickIn(row, "DisclosureTriangle", "Revoke…")
	tab.ClickIn(row, "button", "Revoke this key")
	tab.UntilText("Revoked: the key is refused from now on.")
	tab.UntilNoText("night shift")

	other.Until("the session's end", `location.pathname === '/sign-in'`) // by itself: the page is live
	other.Fill("API key", secret)
	other.Follow("button", "Sign in")
	other.UntilText("Sign in to Riposte")
	if !other.Has("alert", "") {
		t.Error("a revoked key signs in")
	}
	other.Fill("API key", s.APIKey)
	other.Follow("button", "Sign in")
	if path := other.Path(); path != "/instances" {
		t.Errorf("from the session's end one comes back to %s", path)
	}
}

// TestRevokingOnesOwnKeySignsOut: there is nothing left to do with it.
func TestRevokingOnesOwnKeySignsOut(t *testing.T) {
	t.Parallel()
	s := ripostetest.Start(t)
	res, err := s.Keys.Create(t.Context(), &ripostev1.KeysServiceCreateRequest{Name: "mine", Role: ripostev1.Role_ROLE_ADMIN})
	if err != nil {
		t.Fatal(err)
	}
	tab := Visitor{s.BaseURL(), res.GetSecret()}.Arrive(t, chromium)
	tab.Goto("/keys")
	row := tab.row("you have signed in with it")
	tab.ClickIn(row, "DisclosureTriangle", "Revoke…")
	tab.UntilText("you will be signed out")
	tab.ClickIn(row, "button", "Revoke this key")
	tab.Until("the way out", `location.pathname === '/sign-in'`)
}

// offered are the buttons and what looks like one, but for those of each page: its
// text, without what follows the name of a button to copy by.
const offered = `[...new Set([...document.querySelectorAll('details')].map(d => d.open = true) && [...document.querySelectorAll('button, summary.button, a.button')]
	.filter(e => e.checkVisibility() && !e.matches('[data-copy], [rel=next]')).map(e => e.innerText.trim()))]`

// TestRolesAreOfferedWhatTheyMayDo looks for buttons all over the console.
func TestRolesAreOfferedWhatTheyMayDo(t *testing.T) {
	t.Parallel()
	s := NewScene(t, 1)
	pages := []string{
		"/", "/webhooks", "/webhooks/" + s.Webhooks[Approvals], "/instances?state=WAITING_CALLBACK", "/verify",
		"/instances/" + s.Instances["ACC-4"], "/instances/" + s.Instances["LDAP-1"], "/instances/" + s.Instances["PRV-5"], "/instances/" + s.Instances["ACC-3"],
	}
	everybody := []string{"Sign out", "Search", "Deleted ones", "Filter", "Clear", "Check the delivery", "Check the document"}
	senders := append([]string{"Send a test", "Give this answer", "Retry now", "Cancel…", "Cancel this instance", "Close…", "Close this instance", "Recreate…", "Ask again", "As a curl command", "Cancel all…", "Recreate all…"}, everybody...)
	admins := append([]string{"New webhook", "Edit", "Request settings", "Delete…", "Delete this webhook"}, senders...)
	for name, tt := range map[string]struct {
		key  string
		want []string
		nav  bool // whether there is a way to keys, clients and the audit log
	}{
		"viewer": {s.APIKeys[Viewer], everybody, false},
		"sender": {s.APIKeys[Sender], senders, false},
		"admin":  {s.APIKey, admins, true},
	} {
		t.Run(name, func(t *testing.T) {
			tab := Visitor{s.BaseURL(), tt.key}.Arrive(t, chromium)
			seen := map[string]string{}
			for _, path := range pages {
				tab.Goto(path)
				for _, button := range Eval[[]string](tab, offered) {
					seen[button] = path
				}
			}
			for _, button := range tt.want {
				if seen[button] == "" {
					t.Errorf("%q is offered nowhere", button)
				}
				delete(seen, button)
			}
			if len(seen) > 0 {
				t.Errorf("what they may not use is offered: %v", seen)
			}
			for _, link := range []string{"Keys", "Clients", "Server keys", "Audit log"} {
				if tab.Has("link", link) != tt.nav {
					t.Errorf("the way to %s is there: %t", link, !tt.nav)
				}
			}
		})
	}
}
