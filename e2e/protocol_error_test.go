package e2e

import (
	"net/http"
	"strings"
	"testing"

	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

// TestUnknownFields are ignored on C1's operations, so that newer C1 clients
// work, and refused on ours.
func TestUnknownFields(t *testing.T) {
	s := never.use(t)
	t.Parallel()
	const future = `"future":{"a":[1,{"b":null}]}`
	webhook := "/api/v1/webhooks/" + newWebhook(t, s, nowhere)
	for _, tt := range []struct{ name, method, path, body string }{
		{"Create", http.MethodPost, "/api/v1/webhooks", `{"displayName":"n","url":"` + nowhere + `",` + future + `}`},
		{"Update", http.MethodPost, webhook, `{` + future + `,"webhook":{"displayName":"n",` + future + `}}`},
		{"Test", http.MethodPost, webhook + "/test", `{` + future + `}`},
		{"Search", http.MethodPost, "/api/v1/search/webhooks", `{"refs":[{"id":"x",` + future + `}],` + future + `}`},
		{"Get", http.MethodGet, webhook + "?future=1", ""},
		{"List", http.MethodGet, "/api/v1/webhooks?future=1", ""},
		{"Delete", http.MethodDelete, "/api/v1/webhooks/" + newWebhook(t, s, nowhere), `{` + future + `}`},
	} {
		t.Run("ignored by WebhooksService."+tt.name, func(t *testing.T) {
			t.Parallel()
			rest(t, s, tt.method, tt.path, tt.body).ok(t)
		})
	}
	instance := "/api/v1/instances/" + ask(t, s, strings.TrimPrefix(webhook, "/api/v1/webhooks/"), sourceApprovalStep)
	for _, tt := range []struct{ name, method, path, body, field string }{
		{"InstancesService.Create", http.MethodPost, webhook + "/instances", `{"source":{"test":{}},` + future + `}`, "future"},
		{"InstancesService.Create, within", http.MethodPost, webhook + "/instances", `{"source":{"test":{` + future + `}}}`, "source.test.future"},
		{"InstancesService.BatchCreate", http.MethodPost, "/api/v1/instances:batchCreate", `{"requests":[{"source":{"test":{}},` + future + `}]}`, "requests[0].future"},
		{"InstancesService.Cancel", http.MethodPost, instance + ":cancel", `{` + future + `}`, "future"},
		{"InstancesService.RetryNow", http.MethodPost, instance + ":retry", `{` + future + `}`, "future"},
		{"InstancesService.Recreate", http.MethodPost, instance + ":recreate", `{` + future + `}`, "future"},
		{"InstancesService.Answer", http.MethodPost, instance + ":answer", `{"document":` + approve + `,` + future + `}`, "future"},
		{"WebhookSettingsService.Update", http.MethodPatch, webhook + "/settings", `{"settings":{` + future + `}}`, "settings.future"},
	} {
		t.Run("refused by "+tt.name, func(t *testing.T) {
			t.Parallel()
			rest(t, s, tt.method, tt.path, tt.body).refused(t, 400, "INVALID_ARGUMENT").wantField(t, tt.field)
		})
	}
}

// TestIDOfAnotherShape is simply not found: 404, never 400.
func TestIDOfAnotherShape(t *testing.T) {
	s := never.use(t)
	t.Parallel()
	for name, id := range map[string]string{
		"one letter": "x", "KSUID": "0ujtsYcgvSTl8PAuAdqSYSMy9Ov", "UUID": "0190a5e4-7c1b-7d3e-8f00-000000000000", "unknown": strings.Repeat("0", 24),
		"too long": strings.Repeat("0", 25), "capitals": strings.Repeat("A", 24), "number": "-1", "colon": "a:b", "slash": "a%2Fb", "space": "%20", "NUL": "%00",
		"no UTF-8": "%ff", "other letters": "%C3%A9", "callback": "callback", "incoming": "incoming", "very long": strings.Repeat("a", 4000),
	} {
		for _, tt := range []struct{ method, before, after, body string }{
			{http.MethodGet, "/api/v1/webhooks/", "", ""},
			{http.MethodPost, "/api/v1/webhooks/", "", `{"webhook":{"displayName":"n"}}`},
			{http.MethodPatch, "/api/v1/webhooks/", "", `{"webhook":{"displayName":"n"}}`},
			{http.MethodDelete, "/api/v1/webhooks/", "", ""},
			{http.MethodPost, "/api/v1/webhooks/", "/test", ""},
			{http.MethodPost, "/api/v1/webhooks/", "/instances", `{"source":{"test":{}}}`},
			{http.MethodGet, "/api/v1/webhooks/", "/settings", ""},
			{http.MethodPatch, "/api/v1/webhooks/", "/settings", `{"settings":{}}`},
			{http.MethodGet, "/api/v1/instances/", "", ""},
			{http.MethodGet, "/api/v1/instances/", ":wait", ""},
			{http.MethodPost, "/api/v1/instances/", ":cancel", ""},
			{http.MethodPost, "/api/v1/instances/", ":retry", ""},
			{http.MethodPost, "/api/v1/instances/", ":recreate", ""},
			{http.MethodPost, "/api/v1/instances/", ":answer", `{"document":` + approve + `}`},
		} {
			if id == "callback" && strings.HasPrefix(tt.after, "/") {
				continue // a callback's path: the token "test"
			}
			t.Run(name+"/"+tt.method+" "+tt.before+"{id}"+tt.after, func(t *testing.T) {
				t.Parallel()
				if r := rest(t, s, tt.method, tt.before+id+tt.after, tt.body); r.status != http.StatusNotFound {
					t.Errorf("answered %d %s, want 404", r.status, r.body)
				} else if st := r.refused(t, 404, decodeReason(t, r)); st.Code != 5 {
					t.Errorf("code is %d, want 5", st.Code)
				}
			})
		}
	}
}

// decodeReason is whichever reason the error has: that an id can't even be
// routed is another one.
func decodeReason(t *testing.T, r response) string {
	t.Helper()
	for _, d := range part[[]any](t, decode(t, r.body), "details") {
		if reason, _ := part[object](t, d)["reason"].(string); reason != "" {
			return reason
		}
	}
	t.Errorf("no reason in %s", r.body)
	return ""
}

// TestError has the form that all errors have, and the codes with their
// statuses.
func TestError(t *testing.T) {
	s := never.use(t)
	t.Parallel()
	webhook := "/api/v1/webhooks/" + newWebhook(t, s, nowhere)
	key, err := s.Keys.Create(patient(t), &ripostev1.KeysServiceCreateRequest{Name: "v", Role: ripostev1.Role_ROLE_VIEWER})
	if err != nil {
		t.Fatal(err)
	}
	rest(t, s, http.MethodPost, webhook+"/instances", `{"source":{"test":{}},"requestId":"r"}`).ok(t)
	id, _ := waiting(t, s, "approvalStep")
	admin := http.Header{"Authorization": {"Bearer " + s.APIKey}, "Content-Type": {"application/json"}}
	viewer := http.Header{"Authorization": {"bearer " + key.GetSecret()}, "Content-Type": {"application/json"}}
	text := http.Header{"Authorization": admin["Authorization"], "Content-Type": {"text/plain"}}

	for _, tt := range []struct {
		name, method, path, body string
		header                   http.Header
		status, code             int
		reason, field            string
	}{
		{"3 = 400", http.MethodPost, "/api/v1/webhooks", `{}`, admin, 400, 3, "INVALID_ARGUMENT", "displayName"},
		{"3 = 400, all fields at once", http.MethodPost, "/api/v1/webhooks", `{}`, admin, 400, 3, "INVALID_ARGUMENT", "url"},
		{"3 = 400, another type", http.MethodPost, "/api/v1/webhooks", `{"displayName":5,"url":"` + nowhere + `"}`, admin, 400, 3, "INVALID_ARGUMENT", "displayName"},
		{"3 = 400, no JSON", http.MethodPost, "/api/v1/webhooks", `{`, admin, 400, 3, "INVALID_ARGUMENT", ""},
		{"3 = 400, no object", http.MethodPost, "/api/v1/webhooks", `[]`, admin, 400, 3, "INVALID_ARGUMENT", ""},
		{"3 = 400, no body", http.MethodPost, "/api/v1/webhooks", ``, admin, 400, 3, "INVALID_ARGUMENT", "url"},
		{"3 = 400, invalid UTF-8", http.MethodPost, "/api/v1/webhooks", "{\"displayName\":\"\xff\",\"url\":\"" + nowhere + "\"}", admin, 400, 3, "INVALID_ARGUMENT", ""},
		{"3 = 400, a field twice", http.MethodPost, "/api/v1/webhooks", `{"displayName":"a","displayName":"b","url":"` + nowhere + `"}`, admin, 400, 3, "INVALID_ARGUMENT", ""},
		{"5 = 404", http.MethodGet, "/api/v1/webhooks/x", "", admin, 404, 5, "WEBHOOK_NOT_FOUND", ""},
		{"5 = 404, nothing at the path", http.MethodGet, "/api/v1/nothing", "", admin, 404, 5, "ROUTE_NOT_FOUND", ""},
		{"5 = 404, nothing at the root", http.MethodGet, "/nothing", "", nil, 404, 5, "ROUTE_NOT_FOUND", ""},
		{"6 = 409", http.MethodPost, webhook + "/instances", `{"source":{"approvalStep":{"ticketId":"T"}},"requestId":"r"}`, admin, 409, 6, "REQUEST_ID_REUSED", ""},
		{"7 = 403", http.MethodPost, "/api/v1/webhooks", `{`, viewer, 403, 7, "ROLE_TOO_LOW", ""},
		{"9 = 400", http.MethodPost, "/api/v1/instances/" + id + ":retry", ``, admin, 400, 9, "INSTANCE_NOT_IN_ERROR", ""},
		{"16 = 401, no key", http.MethodGet, "/api/v1/webhooks", "", nil, 401, 16, "NO_CREDENTIALS", ""},
		{"16 = 401, before the body is read", http.MethodPost, "/api/v1/webhooks", "{", nil, 401, 16, "NO_CREDENTIALS", ""},
		{"16 = 401, another key", http.MethodGet, "/api/v1/webhooks", "", http.Header{"Authorization": {"Bearer nobody's-key-at-all"}}, 401, 16, "BAD_CREDENTIALS", ""},
		{"16 = 401, another scheme", http.MethodGet, "/api/v1/webhooks", "", http.Header{"Authorization": {"Basic " + s.APIKey}}, 401, 16, "NO_CREDENTIALS", ""},
		{"405", http.MethodPut, "/api/v1/webhooks", `{}`, admin, 405, 12, "METHOD_NOT_ALLOWED", ""},
		{"3 = 400, another content type", http.MethodPost, "/api/v1/webhooks", `{}`, text, 400, 3, "INVALID_ARGUMENT", "Content-Type"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			st := send(t, tt.method, s.BaseURL()+tt.path, tt.body, tt.header).refused(t, tt.status, tt.reason)
			if st.Code != tt.code {
				t.Errorf("code is %d, want %d", st.Code, tt.code)
			}
			if tt.field != "" {
				st.wantField(t, tt.field)
			}
		})
	}
	for _, contentType := range []string{"application/json", "application/json; charset=utf-8", "Application/JSON"} {
		t.Run("Content-Type "+contentType+" is taken", func(t *testing.T) {
			t.Parallel()
			header := http.Header{"Authorization": admin["Authorization"], "Content-Type": {contentType}}
			send(t, http.MethodPost, s.BaseURL()+"/api/v1/search/webhooks", `{}`, header).ok(t)
		})
	}
}
