package browser

import (
	"bytes"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/riposte-dev/riposte/ripostetest"
)

// wire is a delivery as it went over the wire, as people paste it.
func wire(d ripostetest.Delivery) string {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\n", d.Method, d.Target)
	_ = d.Header.Write(&b) // which can't fail
	b.WriteString("\n")
	b.Write(d.Body)
	return strings.ReplaceAll(b.String(), "\r\n", "\n")
}

// delivered returns the last delivery of an instance of the scene.
func (s *Scene) delivered(ticket string) ripostetest.Delivery {
	s.tb.Helper()
	all := s.receiver.Deliveries(s.Instances[ticket])
	if len(all) == 0 {
		s.tb.Fatalf("%s was never delivered", ticket)
	}
	return all[len(all)-1]
}

// receivedAt is when the server's clock had it that a delivery came, for the field of
// that name.
func (s *Scene) receivedAt(d ripostetest.Delivery) string {
	return d.At.Add(time.Until(s.clock.Now())).UTC().Format(time.RFC3339)
}

// checkDelivery pastes a delivery into the page that verifies, and has it checked.
func (t *Tab) checkDelivery(receiverURL, delivery, receivedAt string) {
	t.tb.Helper()
	t.Fill("Receiver's URL", receiverURL)
	t.Fill("Delivery", delivery)
	if receivedAt != "" {
		t.Unfold("More")
		t.Fill("Received at (UTC)", receivedAt)
	}
	t.Follow("button", "Check the delivery")
}

// checkDocument pastes a response document and has it checked.
func (t *Tab) checkDocument(source, document string) {
	t.tb.Helper()
	t.Fill("Source", source)
	t.Fill("Document", document)
	t.Follow("button", "Check the document")
}

func (s *Scene) verifyScreens() []Screen {
	s.tb.Helper()
	d := s.delivered("ACC-4")
	receiver, at := s.receiver.URL+d.Path, s.receivedAt(d)
	changed := strings.Replace(wire(d), "edsger@", "edgar@", 1)
	elsewhere := &url.URL{Scheme: "https", Host: "hooks.example.com", Path: d.Path}
	return []Screen{
		{Name: "verify", Path: "/verify"},
		{Name: "verify-authentic", Path: "/verify", Before: func(t *Tab) {
			t.checkDelivery(receiver, wire(d), at)
			t.UntilText("The delivery is authentic")
		}},
		{Name: "verify-changed", Path: "/verify", Before: func(t *Tab) {
			t.checkDelivery(receiver, changed, at)
			t.UntilText("The delivery is not authentic")
		}},
		{Name: "verify-elsewhere", Path: "/verify", Before: func(t *Tab) {
			t.checkDelivery(elsewhere.String(), wire(d), at)
			t.UntilText("The delivery is not authentic")
		}},
		{Name: "verify-unreadable", Path: "/verify", Before: func(t *Tab) {
			t.checkDelivery("receiver", "I have lost the headers.", "yesterday")
			t.UntilText("must begin with its headers")
		}},
		{Name: "verify-accepted", Path: "/verify", Before: func(t *Tab) {
			t.checkDocument("Approval step", `{"version":"v1","deny":{"comment":"Not before the audit is over."}}`)
			t.UntilText("Accepted:")
		}},
		{Name: "verify-not-accepted", Path: "/verify", Before: func(t *Tab) {
			t.checkDocument("Provision step", `{"version":"v1","approve":{"comment":"Fine by me."}}`)
			t.UntilText("Not accepted.")
		}},
	}
}
