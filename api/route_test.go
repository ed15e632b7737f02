package api_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/api"
)

func TestWrongMethodIsToldWhichAreAllowed(t *testing.T) {
	n := startNode(t)
	for path, allow := range map[string]string{
		"/api/v1/webhooks":                           "GET, HEAD, POST",
		"/api/v1/webhooks/x":                         "DELETE, GET, HEAD, PATCH, POST",
		"/api/v1/webhooks/a:b":                       "DELETE, GET, HEAD, PATCH, POST",
		"/api/v1/webhooks/x/test":                    "POST",
		"/api/v1/webhooks/x/instances":               "POST",
		"/api/v1/webhooks/x/settings":                "GET, HEAD, PATCH",
		"/api/v1/webhooks/x/settings:rotateSecret":   "POST",
		"/api/v1/webhooks/x/settings:removeSecret":   "POST",
		"/api/v1/search/webhooks":                    "POST",
		"/api/v1/instances":                          "GET, HEAD",
		"/api/v1/instances:batchCreate":              "POST",
		"/api/v1/instances/x":                        "GET, HEAD",
		"/api/v1/instances/a:b":                      "GET, HEAD",
		"/api/v1/instances/x:wait":                   "GET, HEAD",
		"/api/v1/instances/a:b:wait":                 "GET, HEAD",
		"/api/v1/instances/x:cancel":                 "POST",
		"/api/v1/instances/x:retry":                  "POST",
		"/api/v1/instances/x:recreate":               "POST",
		"/api/v1/instances/x:answer":                 "POST",
		"/api/v1/instances:watch":                    "GET, HEAD",
		"/api/v1/consumers":                          "GET, HEAD, POST",
		"/api/v1/consumers/x":                        "DELETE, GET, HEAD",
		"/api/v1/consumers/x:pull":                   "POST",
		"/api/v1/consumers/x:ack":                    "POST",
		"/api/v1/keys":                               "GET, HEAD, POST",
		"/api/v1/keys/x":                             "DELETE",
		"/api/v1/keys/current":                       "DELETE, GET, HEAD",
		"/api/v1/instances:count":                    "GET, HEAD",
		"/api/v1/instances:batchCancel":              "POST",
		"/api/v1/instances:batchRecreate":            "POST",
		"/api/v1/instances/x/delivery":               "GET, HEAD",
		"/api/v1/verify/delivery":                    "POST",
		"/api/v1/verify/document":                    "POST",
		"/api/v1/webhooks/callback/token":            "POST",
		"/api/v1/webhooks/callback/settings":         "POST",
		"/auth/v1/jwks":                              "GET, HEAD",
		"/healthz":                                   "GET, HEAD",
		"/readyz":                                    "GET, HEAD",
		"/openapi.json":                              "GET, HEAD",
		"/metrics":                                   "GET, HEAD",
		"/riposte.v1.InstancesService/Get":           "POST",
		"/c1.api.webhooks.v1.WebhooksService/Create": "POST",
	} {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"} {
			if slices.Contains(strings.Split(allow, ", "), method) {
				continue
			}
			r := n.send(method, path, "", "X-HTTP-Method-Override", "POST")
			if r.status != http.StatusMethodNotAllowed || r.header.Get("Allow") != allow {
				t.Errorf("%s %s: HTTP %d, Allow %q, want 405, %q", method, path, r.status, r.header.Get("Allow"), allow)
			}
			if strings.HasPrefix(path, "/api/") && method != "HEAD" && r.error(t).reason() != "METHOD_NOT_ALLOWED" {
				t.Errorf("%s %s: %s", method, path, r.body)
			}
		}
	}
}

func TestHeadIsGetWithoutABody(t *testing.T) {
	n := startNode(t)
	webhook := n.webhook("/ok")
	for path, want := range map[string]int{
		"/api/v1/webhooks": 200, "/api/v1/webhooks/" + webhook: 200, "/api/v1/webhooks/nope": 404, "/api/v1/webhooks?page_size=-1": 400,
		"/healthz": 200, "/auth/v1/jwks": 200, "/openapi.json": 200, "/metrics": 200,
	} {
		if r := n.send(http.MethodHead, path, ""); r.status != want || len(r.body) > 0 || r.header.Get("Content-Type") == "" {
			t.Errorf("%s: HTTP %d, %v, want %d", path, r.status, r.header, want)
		}
	}
}

func TestIdOfAnyShapeIsNotFound(t *testing.T) {
	n := startNode(t)
	webhook := n.webhook("/ok")
	instance := n.approval(n.webhook("/later"), riposte.StateWaitingCallback)
	for _, id := range []string{
		"callback", "incoming", "x", "a:b", "a%3Ab", "%25", "%00", "%ff", "..%2f..", "%20", "é", "2aEpLC4cSgFzFrO5QbVJgTc0LJh",
		strings.ToUpper(webhook), webhook + "0", webhook[1:], webhook + "%00", webhook + "%2F", "%2F" + webhook, webhook + "%2Ftest", webhook + "%2fsettings", strings.Repeat("x", 4000),
	} {
		for _, rest := range []string{
			"GET /api/v1/webhooks/%s", "POST /api/v1/webhooks/%s", "PATCH /api/v1/webhooks/%s", "DELETE /api/v1/webhooks/%s",
			"POST /api/v1/webhooks/%s/test", "POST /api/v1/webhooks/%s/instances", "GET /api/v1/webhooks/%s/settings",
			"GET /api/v1/instances/%s", "GET /api/v1/instances/%s/delivery", "DELETE /api/v1/keys/%s", "GET /api/v1/instances/%s:wait", "POST /api/v1/instances/%s:cancel", "POST /api/v1/instances/%s:answer",
		} {
			method, path, _ := strings.Cut(strings.Replace(rest, "%s", id, 1), " ")
			if strings.HasPrefix(path, "/api/v1/webhooks/callback/") {
				continue // the callback's own, without credentials
			}
			body := ""
			if method != http.MethodGet {
				body = `{}`
			}
			r := n.send(method, path, body)
			if s := r.error(t); r.status != http.StatusNotFound || s.Code != 5 {
				t.Errorf("%s %s: HTTP %d, %s", method, path, r.status, r.body)
			}
		}
	}
	// What is percent-encoded without need is the same id.
	for _, path := range []string{"/api/v1/webhooks/%" + hex(webhook[0]) + webhook[1:], "/api/v1/instances/" + instance + "%3Await?timeout=0s"} {
		if r := n.send(http.MethodGet, path, ""); r.status != http.StatusOK {
			t.Errorf("%s: HTTP %d, %s", path, r.status, r.body)
		}
	}
}

func hex(c byte) string { return string([]byte{"0123456789ABCDEF"[c>>4], "0123456789ABCDEF"[c&15]}) }

func TestPathsThatAreNotThere(t *testing.T) {
	n := startNode(t)
	for _, rest := range []string{
		"GET /nothing", "GET /api/", "GET /api/v1", "GET /api/v2/webhooks", "GET /api/v1/webhooks/", "POST /api/v1/webhooks/", "GET /api/v1/instances/",
		"GET /api/v1/keys/", "POST /api/v1/webhooks/x/", "POST /api/v1/webhooks/x/test/", "POST /api/v1/webhooks/callback/", "POST /api/v1/webhooks/callback/a/b",
		"POST /api/v1/instances:batchcreate", "GET /healthz/", "GET /auth/v1/jwks/", "POST /riposte.v1.Nothing/Get",
	} {
		method, path, _ := strings.Cut(rest, " ")
		r := n.send(method, path, "")
		if s := r.error(t); r.status != http.StatusNotFound || s.Code != 5 || s.reason() == "" {
			t.Errorf("%s: HTTP %d, %s", rest, r.status, r.body)
		}
	}
}

func TestMethodOverrideIsIgnored(t *testing.T) {
	n := startNode(t)
	webhook := n.webhook("/ok")
	for _, contentType := range []string{"", "application/x-www-form-urlencoded"} {
		n.send(http.MethodPost, "/api/v1/webhooks/"+webhook, "", "X-HTTP-Method-Override", "DELETE", "Content-Type", contentType)
		if r := n.send(http.MethodGet, "/api/v1/webhooks/"+webhook, ""); r.status != http.StatusOK {
			t.Errorf("%q: the webhook is gone: HTTP %d", contentType, r.status)
		}
		if r := n.send(http.MethodPost, "/api/v1/instances", "", "X-HTTP-Method-Override", "GET", "Content-Type", contentType); r.status != http.StatusMethodNotAllowed {
			t.Errorf("%q: HTTP %d, want 405", contentType, r.status)
		}
	}
}

func TestPathWinsOverTheBodyAndTheQuery(t *testing.T) {
	n := startNode(t)
	path, other := n.webhook("/ok"), n.webhook("/later")
	for _, rest := range []string{"POST /api/v1/webhooks/" + path, "PATCH /api/v1/webhooks/" + path} {
		method, url, _ := strings.Cut(rest, " ")
		r := n.send(method, url, `{"webhook":{"id":"`+other+`","createdAt":"2020-01-01T00:00:00Z","description":"x"}}`)
		if got := ids(okJSON(t, r), "webhook"); got[0] != path {
			t.Errorf("%s changed %s", rest, got[0])
		}
	}
	if got := ids(okJSON(t, n.send(http.MethodGet, "/api/v1/webhooks/"+path+"?id="+other, "")), "webhook"); got[0] != path {
		t.Errorf("GET gave %s", got[0])
	}
}

func TestNewerClientsOfC1Work(t *testing.T) {
	n := startNode(t)
	r := n.send(http.MethodPost, "/api/v1/webhooks?trace=1", `{"displayName":"x","url":"https://a.example","color":{"deep":[1]},"url2":null}`,
		"Content-Type", "application/json; charset=utf-8")
	id := ids(okJSON(t, r), "webhook")[0]
	for _, rest := range []string{
		"GET /api/v1/webhooks?page_size=&page_token=&order=asc", "GET /api/v1/webhooks/" + id + "?expand=all",
		"POST /api/v1/search/webhooks {\"sort\":1}", "POST /api/v1/webhooks/" + id + " {\"webhook\":{\"tags\":[]},\"updateMask\":\"\"}",
		"DELETE /api/v1/webhooks/" + id + " {\"force\":true}",
	} {
		method, path, _ := strings.Cut(rest, " ")
		path, body, _ := strings.Cut(path, " ")
		okJSON(t, n.send(method, path, body))
	}
}

func TestOpenAPIDocumentNamesEveryRoute(t *testing.T) {
	n := startNode(t)
	var document struct {
		Paths map[string]map[string]any
	}
	if err := json.Unmarshal(okJSON(t, n.send(http.MethodGet, "/openapi.json", "")), &document); err != nil {
		t.Fatal(err)
	}
	// The document has the variables' JSON names, the annotations proto's.
	for path, methods := range document.Paths {
		document.Paths[strings.ReplaceAll(path, "{webhookId}", "{webhook_id}")] = methods
	}
	for _, m := range methods() {
		for _, b := range m.rest {
			if document.Paths[b.path][strings.ToLower(b.method)] == nil {
				t.Errorf("openapi.json has no %s %s", b.method, b.path)
			}
			if !slices.Contains(api.AllowedMethods(pathVariable.ReplaceAllString(b.path, "x")), b.method) {
				t.Errorf("Allow has no %s for %s", b.method, b.path)
			}
			delete(document.Paths[b.path], strings.ToLower(b.method))
		}
	}
	for path, left := range document.Paths {
		for method := range left {
			t.Errorf("openapi.json has %s %s, which no annotation has", method, path)
		}
	}
}
