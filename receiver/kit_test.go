package receiver_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	webhooksv1 "github.com/riposte-dev/riposte/gen/c1/api/webhooks/v1"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
	"github.com/riposte-dev/riposte/receiver"
	"github.com/riposte-dev/riposte/ripostetest"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// endpoint is a receiver in the test's own hands.
func endpoint(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

var approvalStep = &webhooksv1.WebhookSource{Source: &webhooksv1.WebhookSource_ApprovalStep{ApprovalStep: &webhooksv1.WebhookSourceApprovalStep{TicketId: "T-1"}}}

// ask makes a webhook with the URL and asks it for an approval.
func ask(t *testing.T, s *ripostetest.Server, url string) (id string) {
	t.Helper()
	w, err := s.Webhooks.Create(t.Context(), &webhooksv1.WebhooksServiceCreateRequest{DisplayName: "test", Url: url})
	if err != nil {
		t.Fatal(err)
	}
	i, err := s.Instances.Create(t.Context(), &ripostev1.InstancesServiceCreateRequest{
		WebhookId: w.GetWebhook().GetId(), Source: approvalStep, Payload: []byte(`{"who":"ada", "n":12345678901234567890}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	return i.GetInstance().GetWebhookInstance().GetId()
}

// outcome waits for what an instance comes to.
func outcome(t *testing.T, s *ripostetest.Server, id string) *ripostev1.Outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	i, err := s.WaitFor(ctx, id, func(i *ripostev1.Instance) bool { return i.GetOutcome() != nil })
	if err != nil {
		t.Fatalf("waiting for an outcome: %v", err)
	}
	return i.GetOutcome()
}

// recorded is a genuine delivery by a real server to a receiver's URL, with
// the server's keys.
func recorded(t *testing.T, path string) (r receiver.Request, url string, keys jose.JSONWebKeySet) {
	t.Helper()
	s := ripostetest.Start(t)
	got := make(chan receiver.Request, 1)
	base := endpoint(t, func(w http.ResponseWriter, r *http.Request) {
		v := must(receiver.NewVerifier(s.BaseURL(), "http://"+r.Host))
		req, err := v.Read(r)
		if err != nil {
			t.Errorf("reading a delivery: %v", err)
		}
		got <- req
		receiver.Later(w)
	})
	ask(t, s, base+path)
	return <-got, base, must(ripostetest.FetchKeys(s.BaseURL()))
}

// failed names the checks that failed, in their order.
func failed(checks []receiver.Check) []string {
	names := []string{}
	for _, c := range checks {
		if !c.OK {
			names = append(names, c.Name)
		}
	}
	return names
}

// sign makes a token of any header and claims.
func sign(t *testing.T, alg jose.SignatureAlgorithm, key any, kid, typ string, claims map[string]any) string {
	t.Helper()
	o := (&jose.SignerOptions{}).WithHeader("kid", kid)
	if typ != "" {
		o = o.WithType(jose.ContentType(typ))
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, o)
	if err != nil {
		t.Fatal(err)
	}
	return must(must(signer.Sign(must(json.Marshal(claims)))).CompactSerialize())
}
