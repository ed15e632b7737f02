package console_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

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
		"another server's":   {url.Values{"url": {to}, "delivery": {wire(d, body)}, "keySet": {`{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"other","alg":"EdDSA","use":"sig","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`}}, "kid"},
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
