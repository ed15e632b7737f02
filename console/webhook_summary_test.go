package console

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/timestamppb"

	webhooksv1 "github.com/riposte-dev/riposte/gen/c1/api/webhooks/v1"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

func TestAWebhookIsSummarized(t *testing.T) {
	refused := &ripostev1.LastAttempt{Error: &ripostev1.AttemptError{Message: "nobody listens there"}}
	for name, tt := range map[string]struct {
		overview          *ripostev1.WebhookOverview
		class, text, hint string
	}{
		"never asked": {&ripostev1.WebhookOverview{Health: ripostev1.WebhookHealth_WEBHOOK_HEALTH_QUIET}, "", "has not been asked yet", "A test shows"},
		"quiet": {&ripostev1.WebhookOverview{Health: ripostev1.WebhookHealth_WEBHOOK_HEALTH_QUIET, LastAttempt: &ripostev1.LastAttempt{StatusCode: 500}},
			"", "was not asked in the last hour", ""},
		"healthy": {&ripostev1.WebhookOverview{Health: ripostev1.WebhookHealth_WEBHOOK_HEALTH_HEALTHY, LastAttempt: &ripostev1.LastAttempt{StatusCode: 200}},
			"good", "takes what it is asked", ""},
		"failing": {&ripostev1.WebhookOverview{Health: ripostev1.WebhookHealth_WEBHOOK_HEALTH_FAILING, LastAttempt: &ripostev1.LastAttempt{StatusCode: 405},
			LastHour: &ripostev1.Statistics{Attempts: 1200, AttemptsFailed: 300}}, "warn", "in the last hour 300 of 1,200 did", "doesn't take POST"},
		"held": {&ripostev1.WebhookOverview{Health: ripostev1.WebhookHealth_WEBHOOK_HEALTH_HELD, LastAttempt: refused}, "bad", "are held", "Nobody listens there."},
		"deleted, and failing before": {&ripostev1.WebhookOverview{Health: ripostev1.WebhookHealth_WEBHOOK_HEALTH_FAILING, LastAttempt: refused,
			Webhook: &webhooksv1.Webhook{DeletedAt: &timestamppb.Timestamp{Seconds: 1}}}, "", "It is deleted", "wait for a callback"},
	} {
		s := summarizeWebhook(tt.overview)
		if s.Class != tt.class || !strings.Contains(s.Text, tt.text) || !strings.Contains(s.Hint, tt.hint) || (tt.hint == "") != (s.Hint == "") {
			t.Errorf("%s: %+v", name, s)
		}
	}
}

func TestAWebhooksListHasURLs(t *testing.T) {
	for want, f := range map[string]webhookFilter{
		"/webhooks":                        {},
		"/webhooks?deleted=1":              {Deleted: true},
		"/webhooks?query=a+%26+b":          {Query: "a & b"},
		"/webhooks?deleted=1&query=%C3%BC": {Query: "ü", Deleted: true},
	} {
		if got := f.URL(""); got != want {
			t.Errorf("%+v is at %s, want %s", f, got, want)
		}
	}
	if got, want := (webhookFilter{Query: "x"}).URL("t/="), "/webhooks?page=t%2F%3D&query=x"; got != want {
		t.Errorf("a page is at %s, want %s", got, want)
	}
}
