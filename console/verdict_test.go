package console

import (
	"strings"
	"testing"

	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

func TestVerdictsOfDeliveries(t *testing.T) {
	check := func(name string, ok bool) *ripostev1.Check { return &ripostev1.Check{Name: name, Ok: ok} }
	for name, tt := range map[string]struct {
		checks            []*ripostev1.Check
		now               bool
		class, text, hint string // the last two are what they have in them
	}{
		"all passed":       {[]*ripostev1.Check{check("method", true), check("body", true)}, true, "good", "authentic: all 2 checks passed", ""},
		"the body":         {[]*ripostev1.Check{check("body", true), check("Content-Digest", false), check("exp", false)}, true, "bad", "2 of 3 checks failed", "as they came"},
		"no hint at first": {[]*ripostev1.Check{check("version", false), check("htu", false)}, true, "bad", "2 of 2 checks failed", "receiver's URL"},
		"no hint at all":   {[]*ripostev1.Check{check("version", false)}, true, "bad", "1 of 1 check failed", ""},
		"late, now":        {[]*ripostev1.Check{check("exp", false)}, true, "bad", "1 of", "Say when it came"},
		"late, then":       {[]*ripostev1.Check{check("exp", false)}, false, "bad", "1 of", "clock is wrong"},
		"another server":   {[]*ripostev1.Check{check("kid", false)}, true, "bad", "1 of", "key set"},
		"no token":         {[]*ripostev1.Check{check("Authorization", false)}, true, "bad", "1 of", "proxy"},
	} {
		res := &ripostev1.VerificationServiceVerifyDeliveryResponse{Authentic: tt.class == "good", Checks: tt.checks}
		v := newDeliveryVerdict(res, tt.now)
		if v.Class != tt.class || !strings.Contains(v.Text, tt.text) || !strings.Contains(v.Hint, tt.hint) || (v.Hint == "") != (tt.hint == "") {
			t.Errorf("%s: %s, %q, %q", name, v.Class, v.Text, v.Hint)
		}
	}
}

func TestVerdictsOfDocuments(t *testing.T) {
	good := newDocumentVerdict(&ripostev1.VerificationServiceVerifyDocumentResponse{Accepted: true, Kind: ripostev1.OutcomeKind_OUTCOME_KIND_DENIED, Comment: "no"})
	if good.Class != "good" || good.Text != "Accepted: the instance would come to Denied." || good.Comment != "no" {
		t.Errorf("accepted: %+v", good)
	}
	bad := newDocumentVerdict(&ripostev1.VerificationServiceVerifyDocumentResponse{Problem: "the document is no JSON"})
	if bad.Class != "bad" || bad.Text != "Not accepted. The document is no JSON." {
		t.Errorf("not accepted: %+v", bad)
	}
}
