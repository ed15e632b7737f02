package console_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	webhooksv1 "github.com/riposte-dev/riposte/gen/c1/api/webhooks/v1"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
	"github.com/riposte-dev/riposte/ripostetest"
)

// delivered returns a delivery as a receiver got it, and the receiver's URL.
func (r *reader) delivered() (ripostetest.Delivery, string) {
	r.t.Helper()
	receiver, err := ripostetest.NewReceiver(func(ripostetest.Delivery) ripostetest.Reply { return ripostetest.Reply{Status: http.StatusAccepted} })
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(receiver.Close)
	to := receiver.URL + "/in"
	webhook, err := r.server.Webhooks.Create(r.t.Context(), &webhooksv1.WebhooksServiceCreateRequest{DisplayName: "hook", Url: to})
	if err != nil {
		r.t.Fatal(err)
	}
	// Its line ends must outlast a form, and its Unicode, too.
	_, err = r.server.Instances.Create(r.t.Context(), &ripostev1.InstancesServiceCreateRequest{
		WebhookId: webhook.GetWebhook().GetId(), Source: approvalStep("T-1"), Payload: []byte("{\n  \"who\": \"Ada\",\n\n  \"where\": \"Zürich\"\n}")})
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	if err := receiver.Wait(ctx, func() bool { return len(receiver.Deliveries("")) > 0 }); err != nil {
		r.t.Fatal(err)
	}
	return receiver.Deliveries("")[0], to
}

// wire is a delivery as somebody may paste it into a browser, which ends all lines
// with CRLF.
func wire(d ripostetest.Delivery, body string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\n", d.Method, d.Target)
	for name, values := range d.Header {
		fmt.Fprintf(&b, "%s: %s\n", name, values[0])
	}
	fmt.Fprintf(&b, "\n%s\n", body)
	return strings.ReplaceAll(b.String(), "\n", "\r\n")
}

var checkRow = regexp.MustCompile(`</span> (passed|failed)</span></td>\s*<td><code>([^<]+)</code>`)

// failedChecks are the names of those on a page; passed is how many are not.
func failedChecks(page string) (failed []string, passed int) {
	for _, m := range checkRow.FindAllStringSubmatch(page, -1) {
		if m[1] == "failed" {
			failed = append(failed, m[2])
		} else {
			passed++
		}
	}
	return failed, passed
}

// othersKeys is another server's key set.
const othersKeys = `{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"other","alg":"EdDSA","use":"sig","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`

func TestADeliveryIsVerified(t *testing.T) {
	r := newReader(t)
	d, to := r.delivered()
	r.as(ripostev1.Role_ROLE_VIEWER).get("/verify").wants(t, http.StatusOK, "Check the delivery", "Check the document")
	body := string(d.Body)
	for name, tt := range map[string]struct {
		form   url.Values
		failed string
	}{
		"as it came":         {url.Values{"url": {to}, "delivery": {wire(d, body)}}, ""},
		"a body apart":       {url.Values{"url": {to}, "delivery": {wire(d, "")}, "body": {strings.ReplaceAll(body, "\n", "\r\n")}}, ""},
		"one byte changed":   {url.Values{"url": {to}, "delivery": {wire(d, strings.Replace(body, "Ada", "Adb", 1))}}, "Content-Digest htb_s256"},
		"another URL":        {url.Values{"url": {to + "/elsewhere"}, "delivery": {wire(d, body)}}, "htu"},
		"when it came":       {url.Values{"url": {to}, "delivery": {wire(d, body)}, "receivedAt": {d.At.UTC().Format(time.RFC3339)}}, ""},
		"a day later":        {url.Values{"url": {to}, "delivery": {wire(d, body)}, "receivedAt": {d.At.Add(24 * time.Hour).UTC().Format(time.RFC3339)}}, "exp"},
		"another method":     {url.Values{"url": {to}, "delivery": {strings.Replace(wire(d, body), "POST", "PUT", 1)}}, "method"},
		"another server's":   {url.Values{"url": {to}, "delivery": {wire(d, body)}, "keySet": {othersKeys}}, "kid"},
		"this server's keys": {url.Values{"url": {to}, "delivery": {wire(d, body)}, "keySet": {string(keySet(t, r))}}, ""},
	} {
		p := r.post("/verify/delivery", tt.form)
		p.wants(t, http.StatusOK, "Content-Digest")
		failed, passed := failedChecks(p.text)
		if got := strings.Join(failed, " "); got != tt.failed || passed < 10 {
			t.Errorf("%s: %q failed, want %q; %d passed", name, got, tt.failed, passed)
		}
		if authentic := strings.Contains(p.text, "The delivery is authentic"); authentic != (tt.failed == "") {
			t.Errorf("%s: authentic is %t", name, authentic)
		}
	}
}

func keySet(t *testing.T, r *reader) []byte {
	t.Helper()
	keys, err := ripostetest.FetchKeys(r.server.BaseURL())
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(keys)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestWhatIsWrongWithADeliveryIsSaidAtItsField(t *testing.T) {
	r := newReader(t).as(ripostev1.Role_ROLE_VIEWER)
	const good = "Host: receiver.example\n\n<b>{}"
	for field, tt := range map[string]struct{ value, problem string }{
		"url":        {"receiver.example/<i>", `id="url-about">Receiver&#39;s URL `},
		"delivery":   {"{}", `id="delivery-about">Delivery must begin with its headers`},
		"body":       {"twice", `id="body-about">Body must be empty`},
		"receivedAt": {"yesterday", `id="receivedAt-about">Received at (UTC) must be a time`},
		"keySet":     {"{<}", `id="keySet-about">Key set must be`},
	} {
		form := url.Values{"url": {"https://receiver.example/in"}, "delivery": {good}}
		form.Set(field, tt.value)
		p := r.post("/verify/delivery", form)
		p.wants(t, http.StatusUnprocessableEntity, tt.problem)
		if n := strings.Count(p.text, `class="problem"`); n != 1 {
			t.Errorf("%s: %d problems are said", field, n)
		}
		p.lacks(t, "<b>{}", "receiver.example/<i>", "delivery-verdict")
		if field != "delivery" {
			p.wants(t, http.StatusUnprocessableEntity, "\nHost: receiver.example\n\n&lt;b&gt;{}</textarea>")
		}
	}
}

// TestADeliveryCanBeCheckedAgain as often as one likes: the form comes back as it was
// sent, byte for byte.
func TestADeliveryCanBeCheckedAgain(t *testing.T) {
	r := newReader(t).as(ripostev1.Role_ROLE_VIEWER)
	form := url.Values{"url": {"https://receiver.example/in"}, "delivery": {"Host: a\r\nContent-Length: 10\r\n\r\n"},
		"body": {"\r\n\r\n{\r\n}\r\n"}, "receivedAt": {"2026-01-31T08:00:00Z"}, "keySet": {"\r\n" + othersKeys}}
	for n := range 3 {
		p := r.post("/verify/delivery", form)
		p.wants(t, http.StatusOK, "a body of 10 bytes")
		again := p.form(t, "/verify/delivery")
		if diff := cmp.Diff(form, again); diff != "" {
			t.Errorf("after check %d, -sent +shown\n%s", n+1, diff)
		}
		form = again
	}
	document := url.Values{"source": {"approvalStep"}, "document": {"\r\n\r\n{}\r\n"}}
	if diff := cmp.Diff(document, r.post("/verify/document", document).form(t, "/verify/document#a-document")); diff != "" {
		t.Error(diff)
	}
}

// TestNoTextareaEatsANewline: what is typed into one is shown with all its lines.
func TestNoTextareaEatsANewline(t *testing.T) {
	files, err := filepath.Glob("template/*.html")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d templates: %v", len(files), err)
	}
	areas := regexp.MustCompile(`(?s)<textarea.*?</textarea>`)
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, area := range areas.FindAllString(string(b), -1) {
			if !strings.Contains(area, ">\n{{") {
				t.Errorf("%s: no newline before the value: %s", file, area)
			}
		}
	}
}

func TestADocumentIsVerified(t *testing.T) {
	r := newReader(t).as(ripostev1.Role_ROLE_VIEWER)
	for document, want := range map[string]string{
		`{"version":"v1","deny":{"comment":"not <now>"}}`: "would come to Denied",
		`{"version":"v1","complete":{}}`:                  "Not accepted.",
		`{"version":"v1",`:                                "Not accepted.",
		``:                                                "Not accepted.",
	} {
		p := r.post("/verify/document", url.Values{"source": {"approvalStep"}, "document": {document}})
		p.wants(t, http.StatusOK, want, `<option value="approvalStep" selected>`)
		if strings.Contains(document, "<now>") {
			p.wants(t, http.StatusOK, "<bdi>not &lt;now&gt;</bdi>")
		}
	}
	r.post("/verify/document", url.Values{"source": {"nobody"}, "document": {"{}"}}).
		wants(t, http.StatusUnprocessableEntity, `id="source-about">Source must be`)
}
