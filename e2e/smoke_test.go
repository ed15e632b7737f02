package e2e

import (
	"testing"
	"context"
	"time"

	webhooksv1 "github.com/riposte-dev/riposte/gen/c1/api/webhooks/v1"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
	"github.com/riposte-dev/riposte/ripostetest"
	"google.golang.org/protobuf/types/known/durationpb"
)

func TestSmoke(t *testing.T) {
	s := ripostetest.Start(t)
	r, err := ripostetest.NewReceiver(func(d ripostetest.Delivery) ripostetest.Reply {
		return ripostetest.Reply{Status: 202, Callback: `{"version":"v1","approve":{}}`}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	w, err := s.Webhooks.Create(ctx, &webhooksv1.WebhooksServiceCreateRequest{DisplayName: "a", Url: r.URL + "/x"})
	if err != nil {
		t.Fatal(err)
	}
	i, err := s.Instances.Create(ctx, &ripostev1.InstancesServiceCreateRequest{WebhookId: w.Webhook.Id, Payload: []byte(`{"a":12345678901234567890}`),
		Source: &webhooksv1.WebhookSource{Source: &webhooksv1.WebhookSource_ApprovalStep{ApprovalStep: &webhooksv1.WebhookSourceApprovalStep{TicketId: "T"}}}})
	if err != nil {
		t.Fatal(err)
	}
	res, err := s.Instances.Wait(ctx, &ripostev1.InstancesServiceWaitRequest{Id: i.Instance.WebhookInstance.Id, Timeout: durationpb.New(5 * time.Second)})
	t.Log(res, err)
	full, err := s.Instances.Get(ctx, &ripostev1.InstancesServiceGetRequest{Id: i.Instance.WebhookInstance.Id, View: 2})
	t.Log(full, err)
}
