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
		for _, tt := range []struct {
			name   string
			token  bool
			scheme ripostev1.WebhookSecretScheme // of the secret, when there is one
		}{
			{name: "by token", token: true},
			{name: "by signature", scheme: ripostev1.WebhookSecretScheme_WEBHOOK_SECRET_SCHEME_V1},
			{name: "by Ed25519 signature", scheme: ripostev1.WebhookSecretScheme_WEBHOOK_SECRET_SCHEME_V1A},
			{name: "by both", token: true, scheme: ripostev1.WebhookSecretScheme_WEBHOOK_SECRET_SCHEME_V1},
		} {
			if tt.scheme == ripostev1.WebhookSecretScheme_WEBHOOK_SECRET_SCHEME_V1A && p.language != "go" {
				continue // the others take whsec_ alone, as docs/receivers.md says
			}
			t.Run(tt.name, func(t *testing.T) {
				t.Parallel()
				server, front := ripostetest.Start(t), newFront(t)
				webhook := newWebhook(t, server, front)
				var environment []string
				if tt.token {
					environment = append(environment, "RIPOSTE_URL="+server.URL(), "RIPOSTE_ISSUER="+server.Issuer())
				}
				if tt.scheme != 0 {
					environment = append(environment, "WEBHOOK_SECRET="+rotate(t, server, webhook, tt.scheme))
				}
				running := p.start(t, front, environment...)
				askAll(t, server, webhook, running)
				if tt.scheme != 0 { // from now on the server signs with the old secret and a new one
					rotate(t, server, webhook, tt.scheme)
					askAll(t, server, webhook, running)
				}
			})
		}
	})
}

// askAll asks a test, an approval that is given at once and one that is refused by
// callback.
func askAll(t *testing.T, server *ripostetest.Server, webhook string, running *process) {
	t.Helper()
	approval := &webhooksv1.WebhookSource{Source: &webhooksv1.WebhookSource_ApprovalStep{ApprovalStep: &webhooksv1.WebhookSourceApprovalStep{TicketId: "T-1"}}}
	for _, tt := range []struct {
		source  *webhooksv1.WebhookSource
		payload string
		kind    ripostev1.OutcomeKind
		via     ripostev1.OutcomeVia
	}{
		{&webhooksv1.WebhookSource{Source: &webhooksv1.WebhookSource_Test{Test: &webhooksv1.WebhookSourceTest{}}}, "",
			ripostev1.OutcomeKind_OUTCOME_KIND_DELIVERED, ripostev1.OutcomeVia_OUTCOME_VIA_SYNC},
		{approval, `{"amount":12.50}`, ripostev1.OutcomeKind_OUTCOME_KIND_APPROVED, ripostev1.OutcomeVia_OUTCOME_VIA_SYNC},
		{approval, `{"amount":5000}`, ripostev1.OutcomeKind_OUTCOME_KIND_DENIED, ripostev1.OutcomeVia_OUTCOME_VIA_CALLBACK},
	} {
		i := ask(t, server, &ripostev1.InstancesServiceCreateRequest{WebhookId: webhook, Source: tt.source, Payload: []byte(tt.payload)})
		if got := i.GetOutcome(); got.GetKind() != tt.kind || got.GetVia() != tt.via || len(i.GetAttempts()) != 1 {
			t.Errorf("%d attempts came to %v", len(i.GetAttempts()), got)
		}
		id := i.GetWebhookInstance().GetId()
		running.await(t, "acted on "+id)
		if tt.via == ripostev1.OutcomeVia_OUTCOME_VIA_CALLBACK {
			running.await(t, "called back for "+id)
		}
	}
}

// rotate gives a webhook a secret, and returns what its receiver verifies with.
func rotate(t *testing.T, server *ripostetest.Server, webhook string, scheme ripostev1.WebhookSecretScheme) string {
	t.Helper()
	res, err := server.Settings.RotateSecret(t.Context(), &ripostev1.WebhookSettingsServiceRotateSecretRequest{WebhookId: webhook, Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	return res.GetVerifyWith()
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
