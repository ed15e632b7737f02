package browser

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
	"github.com/riposte-dev/riposte/ripostetest"
	"github.com/riposte-dev/riposte/server"
)

// block is the text of one that can be copied.
func (t *Tab) block(id string) string {
	t.tb.Helper()
	return Eval[string](t, `document.getElementById(`+quote(id)+`).innerText`)
}

// accessToken asks for one as OAuth's clients do.
func accessToken(t *testing.T, base, id, secret string) (status int, token string) {
	t.Helper()
	res, err := http.PostForm(base+"/auth/v1/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {id}, "client_secret": {secret}})
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var answer struct {
		Token string `json:"access_token"`
	}
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, answer.Token
}

// TestClientCallsWithWhatItWasShown makes a client, gets a token with its secret, calls
// with that, and revokes it.
func TestClientCallsWithWhatItWasShown(t *testing.T) {
	t.Parallel()
	s := ripostetest.Start(t)
	tab := admin(t, s)
	tab.Follow("link", "Clients")
	tab.Fill("Name", "nightly")
	tab.Click("radio", "Sender: creates instances, and reads and acts on its own")
	tab.Fill("Expires after", "90 days")
	tab.Follow("button", "Create")
	tab.UntilText("it is never shown again")
	id, secret := tab.block("client-id"), tab.block("secret")
	if command := tab.block("token-command"); !strings.Contains(command, id) || strings.Contains(command, secret) {
		t.Errorf("the command is %q", command)
	}
	status, token := accessToken(t, s.BaseURL(), id, secret)
	if status != http.StatusOK {
		t.Fatalf("it gets no token: %d", status)
	}
	client := ripostetest.NewClient(s.BaseURL(), token)
	t.Cleanup(client.CloseIdleConnections)
	current, err := client.Keys.Current(t.Context(), &ripostev1.KeysServiceCurrentRequest{})
	if err != nil || current.GetKey().GetName() != "nightly" || current.GetKey().GetRole() != ripostev1.Role_ROLE_SENDER {
		t.Errorf("with its token it is %v: %v", current, err)
	}

	tab.Goto("/clients")
	if html := Eval[string](tab, `document.documentElement.outerHTML`); strings.Contains(html, secret) {
		t.Error("the secret is shown again")
	}
	row := tab.row(id)
	tab.ClickIn(row, "DisclosureTriangle", "Revoke…")
	tab.Loads(func() { tab.ClickIn(row, "button", "Revoke this client") })
	tab.UntilText("None yet.")
	if status, _ := accessToken(t, s.BaseURL(), id, secret); status != http.StatusUnauthorized {
		t.Errorf("revoked, it gets %d", status)
	}
}

// TestSigningKeyIsRotated sees the next key come, wait, and take its turn on a page that
// nobody loads again.
func TestSigningKeyIsRotated(t *testing.T) {
	t.Parallel()
	clock := &ripostetest.Clock{}
	tab := admin(t, ripostetest.Start(t, func(c *server.Config) { c.Now = clock.Now }))
	tab.Follow("link", "Server keys")
	rotate := func() {
		tab.Loads(func() { tab.ClickIn("#rotate-signing", "button", "Make the next key") })
	}
	states := func() string {
		return strings.Join(Eval[[]string](tab, `[...document.querySelectorAll('[data-part=signing] .state')].map(e => e.innerText)`), ", ")
	}
	tab.Unfold("Rotate the signing keys…")
	rotate()
	tab.UntilText("The new key is made")
	if got := states(); got != "Next, In use" {
		t.Errorf("the signing keys are %s", got)
	}
	tab.Unfold("Rotate the signing keys…")
	rotate()
	tab.UntilText("rotate again when it is")
	if path := tab.Path(); path != "/server-keys" || !tab.Has("alert", "") {
		t.Errorf("a refusal is said at %s: %s", path, tab.Text())
	}
	loaded := tab.Navigations()
	clock.Advance(11 * time.Minute)
	tab.until("the next key's turn", func() bool { return states() == "In use, Old" })
	if tab.Navigations() != loaded {
		t.Error("the page was loaded again")
	}
}

// TestAuditShowsWhatWasJustDone follows the links there and back.
func TestAuditShowsWhatWasJustDone(t *testing.T) {
	t.Parallel()
	s := ripostetest.Start(t)
	webhook := makeWebhook(t, s, "One at a time", "http://127.0.0.1:9/in")
	tab := admin(t, s)
	tab.Goto("/webhooks/" + webhook + "/edit")
	tab.Fill("In flight at once, at each node", "1")
	tab.Follow("button", "Save")
	tab.Follow("link", "In the audit log")
	operations := func() string {
		return strings.Join(Eval[[]string](tab, `[...document.querySelectorAll('[data-label=Operation]')].map(e => e.innerText)`), "; ")
	}
	if got := operations(); got != "WebhookSettingsService.Update\nmaxInFlight; WebhooksService.Create\nnamed \"One at a time\"" {
		t.Errorf("the log has %q", got)
	}
	tab.Fill("Operation", "WebhookSettingsService.Update")
	tab.Fill("When", "1h")
	tab.Follow("button", "Filter")
	if path, got := tab.Path(), operations(); got != "WebhookSettingsService.Update\nmaxInFlight" || !strings.Contains(path, "since=1h") || tab.Value("Of what (id)") != webhook {
		t.Errorf("%s has %q", path, got)
	}
	tab.Follow("link", "RIPOSTE_API_KEY")
	if path := tab.Path(); path != "/audit?actor=configured" {
		t.Errorf("who did it leads to %s", path)
	}
	tab.Loads(func() { tab.ClickIn(tab.row("WebhookSettingsService.Update"), "link", webhook) })
	if path := tab.Path(); path != "/webhooks/"+webhook {
		t.Errorf("what was changed leads to %s", path)
	}
}

// TestHeaderStaysWhenSomethingElseIsChanged sets a header, which the receiver gets from then
// on and nobody can read back.
func TestHeaderStaysWhenSomethingElseIsChanged(t *testing.T) {
	t.Parallel()
	r := listening(t, answering(http.StatusOK, `{"version":"v1"}`))
	s := ripostetest.Start(t)
	tab := admin(t, s)
	webhook := makeWebhook(t, s, "Gateway", r.URL)
	tab.Goto("/webhooks/" + webhook)
	tab.Follow("link", "Request settings")
	tab.Fill("Name", "Authorization")
	tab.Fill("Value", "gateway-key")
	tab.Follow("button", "Set the header")
	if p := tab.problemAt("Name"); !strings.Contains(p, "reserved") {
		t.Errorf("a name of the contract's is answered by %q", p)
	}
	tab.Fill("Name", "X-Api-Key")
	tab.Follow("button", "Set the header")
	tab.UntilText("Saved.")
	if html := Eval[string](tab, `document.documentElement.outerHTML`); strings.Contains(html, "gateway-key") {
		t.Error("the value is shown")
	}
	tab.Follow("link", "Gateway")
	tab.UntilText("X-Api-Key")
	tab.Follow("link", "Edit")
	tab.Fill("Name", "The gateway")
	tab.Fill("In flight at once, at each node", "2")
	tab.Follow("button", "Save")
	tab.Follow("button", "Send a test")
	tab.untilState("Success")
	if d := r.Deliveries(strings.TrimPrefix(tab.Path(), "/instances/")); len(d) != 1 || d[0].Header.Get("X-Api-Key") != "gateway-key" {
		t.Errorf("the receiver got %v", d)
	}
}

// TestWebhooksSecretIsRotated makes one, and another that takes its place.
func TestWebhooksSecretIsRotated(t *testing.T) {
	t.Parallel()
	s := ripostetest.Start(t)
	tab := admin(t, s)
	path := "/webhooks/" + makeWebhook(t, s, "Signed", "http://127.0.0.1:9/in") + "/requests"
	tab.Goto(path)
	tab.Follow("button", "Make a secret")
	tab.UntilText("it is never shown again")
	first := tab.block("verify-with")
	if tab.Path() != path || !strings.HasPrefix(first, "whsec_") {
		t.Fatalf("%s shows %q", tab.Path(), first)
	}
	tab.Fill("Keep the one before for", "2 days")
	tab.Follow("button", "Rotate the secret")
	second := tab.block("verify-with")
	if !strings.HasPrefix(second, "whsec_") || second == first {
		t.Errorf("after %q it shows %q", first, second)
	}
	ends := Eval[[]string](tab, `[...document.querySelectorAll('[data-label="Signs until"]')].map(e => e.innerText)`)
	if len(ends) != 2 || !strings.HasPrefix(ends[1], "in 1 d 23 h") {
		t.Errorf("they sign until %q", ends)
	}
	tab.Reload()
	if html := Eval[string](tab, `document.documentElement.outerHTML`); strings.Contains(html, second) || strings.Contains(html, first) {
		t.Error("a secret is shown again")
	}
	row := tab.row("in 1 d 23 h")
	tab.ClickIn(row, "DisclosureTriangle", "Remove…")
	tab.Loads(func() { tab.ClickIn(row, "button", "Remove this secret") })
	tab.UntilText("Removed.")
	tab.UntilNoText("in 1 d 23 h")
}
