package browser

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/ripostetest"
)

// TestTextOfOthersIsTextInForms shows each hostile text where it is kept with a
// webhook or a key, and where it is typed or pasted to be looked at, on a phone.
func TestTextOfOthersIsTextInForms(t *testing.T) {
	t.Parallel()
	s := ripostetest.Start(t)
	tab := chromium.Open(t, s.BaseURL())
	tab.Resize(Phone)
	tab.SignIn(s.APIKey)
	for n, h := range hostile {
		t.Run(h.name, func(t *testing.T) {
			tab := tab.in(t)
			tab.showsWebhook(inviteWebhook(t, s, fmt.Sprintf("http://127.0.0.1:1/%d/", n), h.text), h.text)
			tab.showsFilters(h.text)
			tab.showsKey(h.text)
			tab.showsDelivery(h.text)
			tab.showsDocument(h.text)
		})
	}
	for _, path := range []string{"/", "/webhooks", "/keys"} {
		tab.Goto(path)
		tab.isInert()
		tab.CheckFits()
	}
}

// showsWebhook visits a webhook that has the text wherever one can have any, and the
// form to edit it.
func (t *Tab) showsWebhook(id, text string) {
	t.tb.Helper()
	name, about := forAPI(text, riposte.MaxDisplayNameLength), forAPI(text, riposte.MaxDescriptionLength)
	t.Goto("/webhooks/" + id)
	t.shows(name, about)
	t.isInert()
	t.fits(Phone)
	t.Goto("/webhooks/" + id + "/edit")
	if got := t.Value("Description"); words(got) != words(about) {
		t.tb.Errorf("the description came back as %.300q", got)
	}
	t.isInert()
	t.fits(Phone)
}

// showsFilters looks at lists that are narrowed by the text, and at what is told of
// its filter before all that match are changed.
func (t *Tab) showsFilters(text string) {
	t.tb.Helper()
	text = forField(text)
	t.Goto("/webhooks?" + url.Values{"query": {text}, "page": {text}, "deleted": {text}}.Encode())
	if got := t.Value("Name or description"); got != text {
		t.tb.Errorf("what is searched for came back as %.300q", got)
	}
	t.isInert()
	t.fits(Phone)
	t.Goto("/instances/bulk?" + url.Values{"action": {"cancel"}, "ticket": {text}, "request": {text}, "token": {text}, "total": {text}}.Encode())
	t.shows(text)
	t.isInert()
	t.fits(Phone)
}

// showsKey makes a key that is called by the text.
func (t *Tab) showsKey(text string) {
	t.tb.Helper()
	name := strings.TrimSpace(forAPI(forField(text), 100))
	t.Goto("/keys")
	t.Fill("Name", name)
	t.Follow("button", "Create")
	t.UntilText("it is never shown again")
	t.shows("The new key " + name)
	t.isInert()
	t.fits(Phone)
}

// showsDelivery pastes a delivery that is made of the text.
func (t *Tab) showsDelivery(text string) {
	t.tb.Helper()
	text = forAPI(text, 4000)
	delivery := "POST / HTTP/1.1\nAuthorization: bearer " + forField(text) + "\nWebhook-Id: " + forField(text) + "\nContent-Digest: " + forField(text) + "\n\n" + text
	t.Goto("/verify")
	t.checkDelivery("http://127.0.0.1:1/"+url.PathEscape(forField(text)), delivery, "")
	t.UntilText("The delivery is not authentic")
	if got := t.Value("Delivery"); words(got) != words(delivery) {
		t.tb.Errorf("the delivery came back as %.300q", got)
	}
	t.isInert()
	t.fits(Phone)
}

// showsDocument has a document checked whose comment is the text, and the text for one,
// on the page that verifies.
func (t *Tab) showsDocument(text string) {
	t.tb.Helper()
	comment := forAPI(text, riposte.MaxCommentLength)
	t.checkDocument("Approval step", `{"version":"v1","approve":{"comment":`+quote(comment)+`}}`)
	t.UntilText("Accepted:")
	t.shows(comment)
	t.isInert()
	t.fits(Phone)
	t.checkDocument("Workflow step", forAPI(text, 4000))
	t.UntilText("Not accepted.")
	t.isInert()
	t.fits(Phone)
}
