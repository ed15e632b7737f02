package console

import (
	"cmp"
	"fmt"

	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

// deliveryVerdict is what the checks say.
type deliveryVerdict struct {
	Class  string
	Text   string
	Hint   string
	Read   string // what was made of the text
	Checks []*ripostev1.Check
}

// newDeliveryVerdict goes by the API's word; now tells that the delivery was checked
// as if it came now.
func newDeliveryVerdict(res *ripostev1.VerificationServiceVerifyDeliveryResponse, now bool) deliveryVerdict {
	d := deliveryVerdict{Class: "good", Checks: res.GetChecks()}
	failed := 0
	for _, c := range d.Checks {
		if c.GetOk() {
			continue
		}
		failed++
		d.Hint = cmp.Or(d.Hint, checkHint(c.GetName(), now))
	}
	d.Text = fmt.Sprintf("The delivery is authentic: all %d checks passed.", len(d.Checks))
	if !res.GetAuthentic() {
		d.Class = "bad"
		d.Text = fmt.Sprintf("The delivery is not authentic: %d of %s failed.", failed, plural(len(d.Checks), "check"))
	}
	return d
}

// checkHint says what to look at first where a check failed.
func checkHint(name string, now bool) string {
	switch name {
	case "body", "Content-Digest", "htb_s256":
		return "The body is not the one that was signed. A receiver has to check the bytes as they came, before anything parses them or writes them anew."
	case "Authorization", "JWT":
		return "A proxy in front of the receiver may take this header for its own, or a log may leave it out."
	case "kid", "signature", "iss":
		return "It was not signed by this server. For a delivery of another one, give that one's key set."
	case "aud", "htu":
		return "The receiver's URL has to be the one that the webhook has, whatever a proxy makes of it."
	case "nbf", "exp":
		if now {
			return "A token counts for two minutes, and this was checked as if it came now. Say when it came."
		}
		return "A token counts for two minutes: the receiver's clock is wrong, or this is a copy of an old delivery."
	}
	return ""
}

// documentVerdict is what a document would come to.
type documentVerdict struct {
	Class   string
	Text    string
	Comment string
}

func newDocumentVerdict(res *ripostev1.VerificationServiceVerifyDocumentResponse) *documentVerdict {
	if !res.GetAccepted() {
		return &documentVerdict{Class: "bad", Text: "Not accepted. " + sentence(res.GetProblem())}
	}
	return &documentVerdict{Class: "good", Text: "Accepted: the instance would come to " + outcomeName(res.GetKind()) + ".", Comment: res.GetComment()}
}
