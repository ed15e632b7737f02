package e2e

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/riposte-dev/riposte/ripostetest"
	"github.com/riposte-dev/riposte/server"
)

// nowhere takes no connection, for webhooks that need no receiver.
const nowhere = "http://127.0.0.1:1"

// createWebhook over REST returns the webhook as it was answered.
func createWebhook(t *testing.T, s *ripostetest.Server, body string) object {
	t.Helper()
	return part[object](t, rest(t, s, http.MethodPost, "/api/v1/webhooks", body).ok(t), "webhook")
}

func getWebhook(t *testing.T, s *ripostetest.Server, id string) object {
	t.Helper()
	return part[object](t, rest(t, s, http.MethodGet, "/api/v1/webhooks/"+id, "").ok(t), "webhook")
}

var (
	webhookFields  = []string{"callbackTimeout", "createdAt", "deletedAt", "description", "displayName", "id", "updatedAt", "url"}
	instanceFields = []string{"attempts", "completedAt", "createdAt", "expiresAt", "id", "lastAttemptedAt", "source", "spec", "state", "updatedAt", "webhookId"}
	timePattern    = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3}|\.\d{6})?Z$`)
)

func wantFields(t *testing.T, o object, want []string) {
	t.Helper()
	if got := slices.Sorted(maps.Keys(o)); !slices.Equal(got, want) {
		t.Errorf("fields are %q, want %q", got, want)
	}
}

// TestOperation has the C1-compatible operations of PROTOCOL.md section 1. The
// callback and the JWKS have tests of their own.
func TestOperation(t *testing.T) {
	s := never.use(t)
	t.Parallel()
	r := newReceiver(t, always(ripostetest.Reply{}))
	w := createWebhook(t, s, `{"displayName":"one","url":"`+r.URL+`/x","description":"first"}`)
	id := part[string](t, w, "id")
	path := "/api/v1/webhooks/" + id

	t.Run("WebhooksService.Create", func(t *testing.T) {
		wantFields(t, w, webhookFields)
		for name, want := range map[string]any{
			"displayName": "one", "description": "first", "url": r.URL + "/x", "callbackTimeout": "691200s", "deletedAt": nil, "updatedAt": w["createdAt"],
		} {
			if w[name] != want {
				t.Errorf("%s is %v, want %v", name, w[name], want)
			}
		}
		if at := part[string](t, w, "createdAt"); !timePattern.MatchString(at) {
			t.Errorf("createdAt is %q", at)
		}
	})
	t.Run("WebhooksService.Get", func(t *testing.T) {
		if diff := cmp.Diff(w, getWebhook(t, s, id)); diff != "" {
			t.Errorf("Get differs from Create's own reply (-create +get):\n%s", diff)
		}
	})
	t.Run("WebhooksService.List", func(t *testing.T) {
		res := rest(t, s, http.MethodGet, "/api/v1/webhooks?page_size=100", "").ok(t)
		wantFields(t, res, []string{"list", "nextPageToken"})
	})
	t.Run("WebhooksSearch.Search", func(t *testing.T) {
		res := rest(t, s, http.MethodPost, "/api/v1/search/webhooks", `{"refs":[{"id":"`+id+`"}]}`).ok(t)
		if diff := cmp.Diff(object{"list": []any{w}, "nextPageToken": ""}, res); diff != "" {
			t.Errorf("Search (-want +got):\n%s", diff)
		}
	})
	for _, method := range []string{http.MethodPost, http.MethodPatch} {
		t.Run("WebhooksService.Update by "+method, func(t *testing.T) {
			res := rest(t, s, method, path, `{"webhook":{"displayName":"`+method+`"}}`).ok(t)
			got := part[object](t, res, "webhook")
			if got["displayName"] != method || got["description"] != "first" || part[string](t, got, "updatedAt") <= part[string](t, got, "createdAt") {
				t.Errorf("Update gave %v", got)
			}
			if diff := cmp.Diff(got, getWebhook(t, s, id)); diff != "" {
				t.Errorf("Get differs from Update's reply (-update +get):\n%s", diff)
			}
		})
	}
	for name, body := range map[string]string{"{}": "{}", "no body": ""} {
		t.Run("WebhooksService.Test with "+name, func(t *testing.T) {
			res := rest(t, s, http.MethodPost, path+"/test", body).ok(t)
			wantFields(t, res, []string{"webhook"})
			i := part[object](t, res, "webhook")
			wantFields(t, i, instanceFields)
			if i["webhookId"] != id || i["completedAt"] != nil || i["state"] != "WEBHOOK_STATE_PENDING" {
				t.Errorf("Test gave %v", i)
			}
			if diff := cmp.Diff(object{"test": object{}}, i["source"]); diff != "" {
				t.Errorf("source (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(object{"destination": r.URL + "/x"}, i["spec"]); diff != "" {
				t.Errorf("spec (-want +got):\n%s", diff)
			}
		})
		t.Run("WebhooksService.Delete with "+name, func(t *testing.T) {
			id := newWebhook(t, s, nowhere)
			if res := rest(t, s, http.MethodDelete, "/api/v1/webhooks/"+id, body).ok(t); len(res) != 0 {
				t.Errorf("Delete gave %v, want {}", res)
			}
		})
	}
}

func TestWebhookSource(t *testing.T) {
	s := never.use(t)
	t.Parallel()
	path := "/api/v1/webhooks/" + newWebhook(t, s, nowhere) + "/instances"
	for _, source := range sources {
		t.Run(source.name, func(t *testing.T) {
			t.Parallel()
			res := rest(t, s, http.MethodPost, path, `{"source":`+source.json+`}`).ok(t)
			i := part[object](t, res, "instance", "webhookInstance")
			wantFields(t, i, instanceFields)
			if diff := cmp.Diff(decode(t, []byte(source.json)), i["source"]); diff != "" {
				t.Errorf("source (-want +got):\n%s", diff)
			}
		})
	}
	for _, bad := range []string{`{}`, `null`, `{"approvalStep":{}}`, `{"approvalStep":{"ticketId":""}}`, `{"workflowStep":{"workflowStepId":"s"}}`, `{"test":{},"approvalStep":{"ticketId":"T"}}`} {
		t.Run("refused: "+bad, func(t *testing.T) {
			t.Parallel()
			rest(t, s, http.MethodPost, path, `{"source":`+bad+`}`).refused(t, 400, "INVALID_ARGUMENT")
		})
	}
}

// TestUpdateMask has the rules of Update, each on a webhook of its own.
func TestUpdateMask(t *testing.T) {
	s := never.use(t)
	t.Parallel()
	start := object{"displayName": "name", "description": "words", "url": nowhere + "/a", "callbackTimeout": "86400s"}
	with := func(changes object) object {
		o := maps.Clone(start)
		maps.Copy(o, changes)
		return o
	}
	for _, tt := range []struct {
		name, body string
		want       object // nil when it is refused
		field      string // the one that is
	}{
		{"camelCase path", `{"webhook":{"displayName":"new"},"updateMask":"displayName"}`, with(object{"displayName": "new"}), ""},
		{"snake_case path", `{"webhook":{"display_name":"new"},"update_mask":"display_name"}`, with(object{"displayName": "new"}), ""},
		{"several paths", `{"webhook":{"displayName":"n","url":"http://127.0.0.1:2","callbackTimeout":"90000s"},"updateMask":"displayName,callback_timeout,url"}`,
			with(object{"displayName": "n", "url": "http://127.0.0.1:2", "callbackTimeout": "90000s"}), ""},
		{"what is not in the mask is unchanged", `{"webhook":{"displayName":"n","description":"d","callbackTimeout":"90000s"},"updateMask":"description"}`,
			with(object{"description": "d"}), ""},
		{"masked and absent is cleared: description", `{"webhook":{},"updateMask":"description"}`, with(object{"description": ""}), ""},
		{"masked and null is cleared: description", `{"webhook":{"description":null},"updateMask":"description"}`, with(object{"description": ""}), ""},
		{"masked and absent is cleared: callbackTimeout to its default", `{"webhook":{},"updateMask":"callbackTimeout"}`, with(object{"callbackTimeout": "691200s"}), ""},
		{"masked without a webhook", `{"updateMask":"description"}`, with(object{"description": ""}), ""},
		{"clearing displayName", `{"webhook":{},"updateMask":"displayName"}`, nil, "webhook.displayName"},
		{"clearing url", `{"webhook":{},"updateMask":"url"}`, nil, "webhook.url"},
		{"unknown path", `{"webhook":{"displayName":"n"},"updateMask":"displayName,colour"}`, nil, "updateMask"},
		{"read-only path id", `{"webhook":{"displayName":"n"},"updateMask":"id"}`, nil, "updateMask"},
		{"read-only path createdAt", `{"webhook":{"displayName":"n"},"updateMask":"createdAt"}`, nil, "updateMask"},
		{"read-only path updated_at", `{"webhook":{"displayName":"n"},"updateMask":"updated_at"}`, nil, "updateMask"},
		{"read-only path deletedAt", `{"webhook":{},"updateMask":"deletedAt"}`, nil, "updateMask"},
		{"empty path", `{"webhook":{"displayName":"n"},"updateMask":"displayName,"}`, nil, "updateMask"},
		{"path of another case", `{"webhook":{"displayName":"n"},"updateMask":"DisplayName"}`, nil, "updateMask"},
		{"mask of another type", `{"webhook":{"displayName":"n"},"updateMask":{"paths":["displayName"]}}`, nil, "updateMask"},

		{"no mask: every mutable field present", `{"webhook":{"displayName":"n","description":"d","url":"http://127.0.0.1:2","callbackTimeout":"90000s"}}`,
			object{"displayName": "n", "description": "d", "url": "http://127.0.0.1:2", "callbackTimeout": "90000s"}, ""},
		{"no mask: absent is unchanged", `{"webhook":{"description":"d"}}`, with(object{"description": "d"}), ""},
		{"no mask: null is unchanged", `{"webhook":{"displayName":null,"description":"d","url":null,"callbackTimeout":null}}`, with(object{"description": "d"}), ""},
		{"no mask: an empty description is one", `{"webhook":{"description":""}}`, with(object{"description": ""}), ""},
		{"no mask: an empty displayName", `{"webhook":{"displayName":""}}`, nil, "webhook.displayName"},
		{"no mask: an empty url", `{"webhook":{"url":""}}`, nil, "webhook.url"},
		{"no mask: read-only fields are left alone", `{"webhook":{"id":"x","displayName":"n","createdAt":"2001-01-01T00:00:00Z","updatedAt":"2001-01-01T00:00:00Z","deletedAt":"2001-01-01T00:00:00Z"}}`,
			with(object{"displayName": "n"}), ""},
		{"an empty mask is none", `{"webhook":{"description":"d"},"updateMask":""}`, with(object{"description": "d"}), ""},
		{"a null mask is none", `{"webhook":{"description":"d"},"updateMask":null}`, with(object{"description": "d"}), ""},
		{"nothing", `{}`, start, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			before := createWebhook(t, s, `{"displayName":"name","description":"words","url":"`+nowhere+`/a","callbackTimeout":"86400s"}`)
			id := part[string](t, before, "id")
			res := rest(t, s, http.MethodPost, "/api/v1/webhooks/"+id, tt.body)
			want := tt.want
			if want == nil {
				res.refused(t, 400, "INVALID_ARGUMENT").wantField(t, tt.field)
				want = before
			} else {
				want = maps.Clone(want)
				for _, name := range []string{"id", "createdAt", "deletedAt"} {
					want[name] = before[name]
				}
				want["updatedAt"] = part[string](t, res.ok(t), "webhook", "updatedAt")
			}
			if diff := cmp.Diff(want, getWebhook(t, s, id)); diff != "" {
				t.Errorf("the webhook is now (-want +got):\n%s", diff)
			}
		})
	}
	t.Run("the echo of the whole object", func(t *testing.T) {
		t.Parallel()
		w := rest(t, s, http.MethodGet, "/api/v1/webhooks/"+newWebhook(t, s, nowhere), "")
		id := part[string](t, w.ok(t), "webhook", "id")
		rest(t, s, http.MethodPost, "/api/v1/webhooks/"+id, string(w.body)).ok(t)
	})
}

func TestCallbackTimeout(t *testing.T) {
	s := never.use(t)
	t.Parallel()
	body := func(timeout string) string {
		return `{"displayName":"n","url":"` + nowhere + `","callbackTimeout":` + timeout + `}`
	}
	for timeout, want := range map[string]string{
		`null`: "691200s", `"86400s"`: "86400s", `"2592000s"`: "2592000s", `"86400.5s"`: "86400.500s", `"86400.000001s"`: "86400.000001s",
	} {
		t.Run("allowed/"+timeout, func(t *testing.T) {
			t.Parallel()
			w := createWebhook(t, s, body(timeout))
			if w["callbackTimeout"] != want {
				t.Errorf("callbackTimeout is %v, want %s", w["callbackTimeout"], want)
			}
			if got := getWebhook(t, s, part[string](t, w, "id"))["callbackTimeout"]; got != want {
				t.Errorf("Get says %v, want %s", got, want)
			}
		})
	}
	id := newWebhook(t, s, nowhere)
	for _, timeout := range []string{`"86399s"`, `"86399.999999s"`, `"2592001s"`, `"2592000.000001s"`, `"0s"`, `"-86400s"`, `"1h"`, `"24h"`, `"2d"`, `"P1D"`, `"86400"`, `""`,
		`86400`, `{"seconds":86400}`, `"99999999999999s"`} {
		t.Run("refused/"+timeout, func(t *testing.T) {
			t.Parallel()
			rest(t, s, http.MethodPost, "/api/v1/webhooks", body(timeout)).refused(t, 400, "INVALID_ARGUMENT").wantField(t, "callbackTimeout")
			rest(t, s, http.MethodPost, "/api/v1/webhooks/"+id, `{"webhook":`+body(timeout)+`}`).
				refused(t, 400, "INVALID_ARGUMENT").wantField(t, "webhook.callbackTimeout")
		})
	}
}

// TestURL has the rules of a webhook's url, without the development switch.
func TestURL(t *testing.T) {
	t.Parallel()
	s := ripostetest.Start(t, func(c *server.Config) { c.AllowDestinations = "" })
	body := func(url string) string { return fmt.Sprintf(`{"displayName":"n","url":%q}`, url) }
	long := "https://example.com/" + strings.Repeat("a", 2040-len("https://example.com/"))
	for name, url := range map[string]string{
		"not resolved":           "https://examplechanged.com",
		"port 443":               "https://example.com:443/x",
		"at most 2040":           long,
		"query":                  "https://example.com/a?b=c&d=%2F",
		"capitals":               "HTTPS://Example.COM/A",
		"percent escapes":        "https://example.com/%7e/%2f/a%20b",
		"international name":     "https://bücher.example/ü",
		"a public address":       "https://1.1.1.1/x",
		"a public IPv6 address":  "https://[2606:4700:4700::1111]/x",
		"an underscore in names": "https://my_hook.example.com",
	} {
		t.Run("accepted, and given back byte for byte/"+name, func(t *testing.T) {
			t.Parallel()
			w := createWebhook(t, s, body(url))
			if w["url"] != url || getWebhook(t, s, part[string](t, w, "id"))["url"] != url {
				t.Errorf("url is %q, want %q", w["url"], url)
			}
		})
	}
	id := part[string](t, createWebhook(t, s, body("https://example.com")), "id")
	for name, url := range map[string]string{
		"none":                  "",
		"2041 characters":       long + "a",
		"http":                  "http://example.com",
		"another scheme":        "ftp://example.com",
		"no scheme":             "example.com/x",
		"no host":               "https:///x",
		"another port":          "https://example.com:8443",
		"user info":             "https://user:pass@example.com",
		"user name":             "https://user@example.com",
		"fragment":              "https://example.com/#x",
		"empty fragment":        "https://example.com/#",
		"space":                 "https://example.com/a b",
		"line break":            "https://example.com/a\nb",
		"backslash":             `https://example.com\@evil.example`,
		"localhost":             "https://localhost",
		"loopback":              "https://127.0.0.1",
		"loopback, short":       "https://127.1",
		"loopback as a number":  "https://2130706433",
		"loopback, hexadecimal": "https://0x7f.1",
		"loopback, full width":  "https://①②⑦.⓪.⓪.①",
		"loopback, other dots":  "https://127。0。0。1",
		"localhost, soft":       "https://loc\u00adalhost",
		"private":               "https://10.0.0.1",
		"link local":            "https://169.254.169.254/latest",
		"IPv6 loopback":         "https://[::1]",
		"IPv4 in IPv6":          "https://[::ffff:127.0.0.1]",
		"IPv6 zone":             "https://[fe80::1%25eth0]",
		"unspecified":           "https://[::]",
	} {
		t.Run("refused/"+name, func(t *testing.T) {
			t.Parallel()
			rest(t, s, http.MethodPost, "/api/v1/webhooks", body(url)).refused(t, 400, "INVALID_ARGUMENT").wantField(t, "url")
			rest(t, s, http.MethodPost, "/api/v1/webhooks/"+id, `{"webhook":`+body(url)+`}`).refused(t, 400, "INVALID_ARGUMENT").wantField(t, "webhook.url")
		})
	}
}

// TestURLIsCheckedAtEveryConnect: a name is not resolved before, so what it
// resolves to is refused then. localtest.me and the like need DNS; a server that
// is stricter than the one before it needs none.
func TestURLIsCheckedAtEveryConnect(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	start := func(allow string) *ripostetest.Server {
		return ripostetest.Start(t, retryAfter(day), func(c *server.Config) { c.Data, c.AllowDestinations = data, allow })
	}
	r := newReceiver(t, always(ripostetest.Reply{}))
	s := start("loopback")
	webhook := newWebhook(t, s, r.URL)
	s.Stop()
	s = start("")
	i := inState(t, s, ask(t, s, webhook, sourceTest), "ERROR")
	if e := i.GetAttempts()[0].GetError(); e.GetPhase() != "connect" || strings.Contains(e.GetMessage(), "127.0.0.1") {
		t.Errorf("the attempt's error is %v", e)
	}
	if n := len(r.Deliveries("")); n != 0 {
		t.Errorf("the receiver got %d requests", n)
	}
}

// TestSoftDelete has the rules of Delete for the webhook itself; TestDeletedWebhook
// has those for its instances.
func TestSoftDelete(t *testing.T) {
	s := never.use(t)
	t.Parallel()
	name := "to be deleted " + t.Name()
	id := part[string](t, createWebhook(t, s, `{"displayName":"`+name+`","url":"`+nowhere+`"}`), "id")
	path := "/api/v1/webhooks/" + id
	rest(t, s, http.MethodDelete, path, "").ok(t)
	for _, tt := range []struct{ method, path, body string }{
		{http.MethodGet, path, ""},
		{http.MethodPost, path, `{"webhook":{"displayName":"n"}}`},
		{http.MethodPatch, path, `{"webhook":{"displayName":"n"}}`},
		{http.MethodPost, path + "/test", ""},
		{http.MethodDelete, path, ""},
		{http.MethodPost, path + "/instances", `{"source":{"test":{}}}`},
		{http.MethodGet, path + "/settings", ""},
	} {
		t.Run(tt.method+strings.TrimPrefix(tt.path, path)+" is 404", func(t *testing.T) {
			rest(t, s, tt.method, tt.path, tt.body).refused(t, 404, "WEBHOOK_NOT_FOUND")
		})
	}
	for by, body := range map[string]string{"query": `{"query":"` + name + `"}`, "refs": `{"refs":[{"id":"` + id + `"}]}`} {
		t.Run("Search by "+by+" leaves it out", func(t *testing.T) {
			if found := search(t, s, body).page(t); len(found.List) != 0 {
				t.Errorf("Search found %v", found)
			}
		})
	}
	t.Run("List leaves it out", func(t *testing.T) {
		for token := ""; ; {
			p := list(t, s, "page_size=100&page_token="+url.QueryEscape(token)).page(t)
			if slices.Contains(p.ids(), id) {
				t.Error("List has it")
			}
			if token = *p.NextPageToken; token == "" {
				return
			}
		}
	})
}
