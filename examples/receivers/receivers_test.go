package receivers

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/riposte-dev/riposte/check"
	webhooksv1 "github.com/riposte-dev/riposte/gen/c1/api/webhooks/v1"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
	"github.com/riposte-dev/riposte/ripostetest"
)

// TestAReceiverVerifiesAndAnswers lets a server ask.
func TestAReceiverVerifiesAndAnswers(t *testing.T) {
	forEach(t, func(t *testing.T, p program) {
		server, front := ripostetest.Start(t), newFront(t)
		running := p.start(t, front, "RIPOSTE_URL="+server.URL(), "RIPOSTE_ISSUER="+server.Issuer())
		webhook := newWebhook(t, server, front)
		approval := func(payload string) *ripostev1.InstancesServiceCreateRequest {
			source := &webhooksv1.WebhookSource{Source: &webhooksv1.WebhookSource_ApprovalStep{ApprovalStep: &webhooksv1.WebhookSourceApprovalStep{TicketId: "T-1"}}}
			return &ripostev1.InstancesServiceCreateRequest{Source: source, Payload: []byte(payload)}
		}
		for _, tt := range []struct {
			name     string
			question *ripostev1.InstancesServiceCreateRequest
			kind     ripostev1.OutcomeKind
			via      ripostev1.OutcomeVia
		}{
			{"a test", &ripostev1.InstancesServiceCreateRequest{Source: &webhooksv1.WebhookSource{Source: &webhooksv1.WebhookSource_Test{Test: &webhooksv1.WebhookSourceTest{}}}},
				ripostev1.OutcomeKind_OUTCOME_KIND_DELIVERED, ripostev1.OutcomeVia_OUTCOME_VIA_SYNC},
			{"an approval at once", approval(`{"amount":12.50}`), ripostev1.OutcomeKind_OUTCOME_KIND_APPROVED, ripostev1.OutcomeVia_OUTCOME_VIA_SYNC},
			{"an approval by callback", approval(`{"amount":5000}`), ripostev1.OutcomeKind_OUTCOME_KIND_DENIED, ripostev1.OutcomeVia_OUTCOME_VIA_CALLBACK},
		} {
			t.Run(tt.name, func(t *testing.T) {
				tt.question.WebhookId = webhook
				i := ask(t, server, tt.question)
				if got := i.GetOutcome(); got.GetKind() != tt.kind || got.GetVia() != tt.via || len(i.GetAttempts()) != 1 {
					t.Errorf("%d attempts came to %v", len(i.GetAttempts()), got)
				}
				id := i.GetWebhookInstance().GetId()
				running.await(t, "acted on "+id)
				if tt.via == ripostev1.OutcomeVia_OUTCOME_VIA_CALLBACK {
					running.await(t, "called back for "+id)
				}
			})
		}
	})
}

func newWebhook(t *testing.T, server *ripostetest.Server, f *front) string {
	t.Helper()
	res, err := server.Webhooks.Create(t.Context(), &webhooksv1.WebhooksServiceCreateRequest{DisplayName: "receiver", Url: f.URL + "?tenant=1"})
	if err != nil {
		t.Fatal(err)
	}
	return res.GetWebhook().GetId()
}

// ask returns an instance with its outcome.
func ask(t *testing.T, server *ripostetest.Server, question *ripostev1.InstancesServiceCreateRequest) *ripostev1.Instance {
	t.Helper()
	res, err := server.Instances.Create(t.Context(), question)
	if err != nil {
		t.Fatal(err)
	}
	i, err := server.WaitFor(patient(t), res.GetInstance().GetWebhookInstance().GetId(), func(i *ripostev1.Instance) bool {
		return i.GetOutcome() != nil && i.GetWebhookInstance().GetCompletedAt() != nil
	})
	if err != nil {
		t.Fatalf("%v\n%v", err, i)
	}
	return i
}

// TestAReceiverPassesItsCheck plays each through all that riposte check knows.
func TestAReceiverPassesItsCheck(t *testing.T) {
	forEach(t, func(t *testing.T, p program) {
		for _, tt := range []struct {
			name    string
			payload string
			skipped []string
		}{
			{"at once", `{"workflowId":"riposte-check","context":{},"amount":1}`, []string{"early-callback", "callback-retried", "late-callback"}},
			{"by callback", `{"workflowId":"riposte-check","context":{},"amount":5000}`, nil},
		} {
			t.Run(tt.name, func(t *testing.T) {
				t.Parallel()
				front := newFront(t)
				s, err := check.Open(t.Context(), check.Options{URL: front.URL + "?tenant=1", Listen: "127.0.0.1:0", Payload: []byte(tt.payload)})
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				p.start(t, front, "RIPOSTE_URL="+s.PublicURL(), "RIPOSTE_ISSUER="+s.Keys().Issuer)
				report, err := s.Run(t.Context(), func(int, int, check.Check) {})
				if err != nil {
					t.Fatal(err)
				}
				var not []string
				for _, row := range report.Checks {
					if row.Result != check.Pass {
						not = append(not, row.Name)
					}
					if row.Result != check.Pass && !slices.Contains(tt.skipped, row.Name) {
						t.Logf("%s %s: %s (%s)", row.Name, row.Result, row.Came, row.Hint)
					}
				}
				if diff := cmp.Diff(tt.skipped, not); diff != "" {
					t.Errorf("not passed: -want +got\n%s", diff)
				}
			})
		}
	})
}
