package browser

import (
	"testing"

	webhooksv1 "github.com/riposte-dev/riposte/gen/c1/api/webhooks/v1"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

// hasOneOfEach fails the test unless every state and every outcome is there to be
// looked at.
func (s *Scene) hasOneOfEach(t *testing.T) {
	t.Helper()
	states, kinds, reasons := map[string]int{}, map[string]int{}, map[string]int{}
	req := &ripostev1.InstancesServiceListRequest{PageSize: 1000}
	for {
		res, err := s.Server.Instances.List(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range res.GetList() {
			states[i.GetWebhookInstance().GetState().String()]++
			kinds[i.GetOutcome().GetKind().String()]++
			reasons[i.GetOutcome().GetFailure().GetReason().String()]++
		}
		if req.PageToken = res.GetNextPageToken(); req.PageToken == "" {
			break
		}
	}
	for n, name := range webhooksv1.WebhookState_name {
		if n != 0 && states[name] == 0 {
			t.Errorf("no instance is in %s", name)
		}
	}
	for n, name := range ripostev1.OutcomeKind_name {
		if n != 0 && kinds[name] == 0 {
			t.Errorf("no outcome is %s", name)
		}
	}
	for _, reason := range []string{"GONE", "EXPIRED", "BAD_RESPONSE", "CANCELED"} {
		if reasons["FAILURE_REASON_"+reason] == 0 {
			t.Errorf("no failure is %s", reason)
		}
	}
}
