package receiver_test

import (
	"fmt"
	"net/http"
	"slices"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/riposte-dev/riposte/receiver"
)

// TestOutcomeAsksNothing: only a pushed outcome is without a callback URL, and only
// its id is not an instance's.
func TestOutcomeAsksNothing(t *testing.T) {
	v := must(receiver.NewVerifier("", "https://taker.example/outcomes", receiver.WithKeys(jose.JSONWebKeySet{})))
	const asks = "c1.webhooks.v1.PayloadTest"
	for _, tt := range []struct {
		event, id, callbackURL string
		failed                 string // "" for neither of the checks
	}{
		{receiver.OutcomeEvent, "outcome_i1", "", ""},
		{receiver.OutcomeEvent, "outcome_i1", "https://riposte.example/callback", "outcome"},
		{receiver.OutcomeEvent, "i1", "", "outcome"},
		{asks, "i1", "https://riposte.example/callback", ""},
		{asks, "i1", "", "body"},
	} {
		callback := ""
		if tt.callbackURL != "" {
			callback = fmt.Sprintf(`"callbackUrl":%q,`, tt.callbackURL)
		}
		h := http.Header{"Webhook-Id": {tt.id}, "Webhook-Event": {tt.event}, "Webhook-Version": {"v1"}}
		d, checks := v.Check(t.Context(), receiver.Request{Method: http.MethodPost, Path: "/outcomes", Header: h,
			Body: fmt.Appendf(nil, `{"version":"v1","webhookId":%q,%s"event":%q,"payload":{}}`, tt.id, callback, tt.event)})
		got := failed(checks)
		for _, name := range []string{"outcome", "body"} {
			if slices.Contains(got, name) != (name == tt.failed) {
				t.Errorf("%+v: the checks %v failed", tt, got)
			}
		}
		if slices.Contains(got, "Webhook-Id") || tt.failed == "" && d.InstanceID != "i1" {
			t.Errorf("%+v: the checks %v failed, of the instance %q", tt, got, d.InstanceID)
		}
	}
}
