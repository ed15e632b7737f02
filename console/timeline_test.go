package console

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/timestamppb"

	webhooksv1 "github.com/riposte-dev/riposte/gen/c1/api/webhooks/v1"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

func TestTimelines(t *testing.T) {
	at := &timestamppb.Timestamp{Seconds: 1}
	failed, later, good := &ripostev1.Attempt{Number: 1, StatusCode: 500}, &ripostev1.Attempt{Number: 2, StatusCode: 202}, &ripostev1.Attempt{Number: 1, StatusCode: 200}
	approved := &ripostev1.Outcome{Kind: ripostev1.OutcomeKind_OUTCOME_KIND_APPROVED, Via: ripostev1.OutcomeVia_OUTCOME_VIA_CALLBACK, DecidedAt: at}
	open := func(s webhooksv1.WebhookState) *webhooksv1.WebhookInstance {
		return &webhooksv1.WebhookInstance{State: s, CreatedAt: at, ExpiresAt: at, Attempts: 2}
	}
	closed := &webhooksv1.WebhookInstance{CreatedAt: at, CompletedAt: at, Attempts: 2}
	for name, tt := range map[string]struct {
		instance *ripostev1.Instance
		want     string
	}{
		"new":         {&ripostev1.Instance{WebhookInstance: open(webhooksv1.WebhookState_WEBHOOK_STATE_PENDING), NextAttemptAt: at}, "Asked|Next attempt due"},
		"being asked": {&ripostev1.Instance{WebhookInstance: open(webhooksv1.WebhookState_WEBHOOK_STATE_RUNNING)}, "Asked|The receiver is being asked"},
		"to be tried again": {&ripostev1.Instance{WebhookInstance: open(webhooksv1.WebhookState_WEBHOOK_STATE_ERROR), Attempts: []*ripostev1.Attempt{failed}, NextAttemptAt: at},
			"Asked|Attempt 1: 500|Next attempt due"},
		"waiting": {&ripostev1.Instance{WebhookInstance: open(webhooksv1.WebhookState_WEBHOOK_STATE_WAITING_CALLBACK), Attempts: []*ripostev1.Attempt{failed, later}},
			"Asked|Attempt 1: 500|Attempt 2: 202: the receiver will call back|Expires, unless an answer comes"},
		"answered": {&ripostev1.Instance{WebhookInstance: closed, Attempts: []*ripostev1.Attempt{later}, Outcome: approved},
			"Asked|Attempt 2: 202: the receiver will call back|Approved: by a call of the callback URL"},
		"to be handed over": {&ripostev1.Instance{WebhookInstance: open(webhooksv1.WebhookState_WEBHOOK_STATE_PROCESS_RESPONSE), Attempts: []*ripostev1.Attempt{good},
			Outcome: approved, Push: &ripostev1.Push{Attempts: 3, StatusCode: 503, NextAttemptAt: at}},
			"Asked|Attempt 1: 200|Approved: by a call of the callback URL|Outcome pushed, attempt 3: 503|Next push of the outcome"},
		"handed over": {&ripostev1.Instance{WebhookInstance: closed, Attempts: []*ripostev1.Attempt{good}, Outcome: approved, Push: &ripostev1.Push{Attempts: 1, StatusCode: 200}},
			"Asked|Attempt 1: 200|Approved: by a call of the callback URL|Outcome pushed, attempt 1: 200|Handed over"},
		"many attempts": {&ripostev1.Instance{WebhookInstance: closed, Attempts: []*ripostev1.Attempt{failed, failed, failed, failed, later}, Outcome: approved},
			"Asked|Attempt 1: 500|3 more attempts|Attempt 2: 202: the receiver will call back|Approved: by a call of the callback URL"},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, s := range timeline(tt.instance) {
				text := s.Text
				if s.Note != "" {
					text += ": " + s.Note
				}
				got = append(got, text)
			}
			if text := strings.Join(got, "|"); text != tt.want {
				t.Errorf("\n%s, want\n%s", text, tt.want)
			}
		})
	}
}
