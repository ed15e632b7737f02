package browser

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// failedChecks are the names of the checks that the page says have failed.
const failedChecks = `[...document.querySelectorAll('.checks tbody tr')].filter(r => r.innerText.includes('failed')).map(r => r.cells[1].innerText)`

// TestVerifiesADelivery pastes one that a receiver got, as it was and changed.
func TestVerifiesADelivery(t *testing.T) {
	t.Parallel()
	s, tab := signedIn(t)
	d := s.delivered("ACC-4")
	to, real, at := s.receiver.URL+d.Path, wire(d), s.receivedAt(d)
	head, body, _ := strings.Cut(real, "\n\n")
	curl := "> " + strings.ReplaceAll(head, "\n", "\n> ") + "\n>\n" + body + "\n< HTTP/1.1 202 Accepted\n"
	for _, tt := range []struct {
		name, url, delivery, at string
		failed                  string // names of checks
	}{
		{"as it came", to, real, at, "[]"},
		{"as curl prints it", to, curl, at, "[]"},
		{"one byte changed", to, strings.Replace(real, "edsger@", "edsgar@", 1), at, "[Content-Digest htb_s256]"},
		{"a token changed", to, strings.Replace(real, "Authorization: bearer eyJ", "Authorization: bearer eyK", 1), at, "[JWT]"},
		{"at another URL", s.receiver.URL + "/elsewhere", real, at, "[htu]"},
		{"an hour later", to, real, d.At.Add(time.Hour).UTC().Format(time.RFC3339), "[exp]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tab := tab.in(t)
			tab.Goto("/verify")
			tab.checkDelivery(tt.url, tt.delivery, tt.at)
			want := "The delivery is not authentic"
			if tt.failed == "[]" {
				want = "The delivery is authentic"
			}
			tab.UntilText(want)
			if failed := fmt.Sprint(Eval[[]string](tab, failedChecks)); failed != tt.failed {
				t.Errorf("these checks fail: %s", failed)
			}
			if got := tab.Value("Delivery"); got != tt.delivery {
				t.Errorf("what was pasted came back as %q", got)
			}
		})
	}
}

func TestVerifyExplainsWhatItCannotRead(t *testing.T) {
	t.Parallel()
	_, tab := signedIn(t)
	tab.Goto("/verify")
	tab.checkDelivery("", "", "")
	if p := tab.problemAt("Delivery"); p != "Delivery must be set." {
		t.Errorf("nothing pasted is answered by %q", p)
	}
	tab.checkDelivery("http://receiver.example.com", "Hello.", "yesterday")
	if p := tab.problemAt("Delivery"); !strings.Contains(p, "line 1") {
		t.Errorf("what has no headers is answered by %q", p)
	}
	if p := tab.problemAt("Received at (UTC)"); !strings.Contains(p, "must be a time") {
		t.Errorf("a time that is none is answered by %q", p)
	}
}

func TestVerifiesADocument(t *testing.T) {
	t.Parallel()
	_, tab := signedIn(t)
	for _, tt := range []struct{ source, document, want string }{
		{"Approval step", `{"version":"v1","reassign":{"comment":"On leave.","newStepUserIds":["grace"]}}`, "Accepted: the instance would come to Reassigned."},
		{"Workflow step", `{"version":"v1","context":{"manager":"grace"}}`, "Accepted:"},
		{"Provision step", `{"version":"v1","approve":{}}`, "Not accepted."},
		{"Test", `{"version":`, "Not accepted."},
	} {
		t.Run(tt.source, func(t *testing.T) {
			tab := tab.in(t)
			tab.Goto("/verify")
			tab.checkDocument(tt.source, tt.document)
			tab.UntilText(tt.want)
			if got := tab.Value("Document"); got != tt.document {
				t.Errorf("the document came back as %q", got)
			}
			if got := Eval[string](tab, `document.getElementById('source').selectedOptions[0].text`); got != tt.source {
				t.Errorf("the source came back as %q", got)
			}
		})
	}
}
