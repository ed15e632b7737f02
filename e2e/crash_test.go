package e2e

import (
	"fmt"
	"net/http"
	"sync"
	"testing"

	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
	"github.com/riposte-dev/riposte/ripostetest"
)

func TestCallbackCountsAfterAKill(t *testing.T) {
	t.Parallel()
	n := newCrashNode(t)
	r := newReceiver(t, always(ripostetest.Reply{Status: http.StatusAccepted}))
	id := n.ask(r.URL)
	callbackURL := delivered(t, r, id, 1).Envelope.CallbackURL
	n.waitingForCallback(id)

	n.restartAfterKill()
	if res := callBack(t, callbackURL, crashApproval); res.status != http.StatusOK {
		t.Fatalf("the callback got %d: %s", res.status, res.body)
	}
	n.restartAfterKill()
	wantAttempts(t, n.wantOneOutcome(id, "CALLBACK"), 1)
	if res := callBack(t, callbackURL, crashApproval); res.status != http.StatusBadRequest {
		t.Errorf("a second callback got %d: %s", res.status, res.body)
	}
	if got := len(r.Deliveries("")); got != 1 {
		t.Errorf("the receiver was asked %d times, want once", got)
	}
}

func TestAttemptThatAKillCutOffIsMadeAgain(t *testing.T) {
	t.Parallel()
	n := newCrashNode(t)
	r := newReceiver(t, inTurn(ripostetest.Reply{Hang: true}, ripostetest.Reply{Body: crashApproval}))
	id := n.ask(r.URL)
	delivered(t, r, id, 1)

	n.restartAfterKill()
	i := n.wantOneOutcome(id, "SYNC")
	wantAttempts(t, i, 2)
	if e := i.GetAttempts()[0].GetError(); e.GetPhase() != "unknown" || e.GetReason() != "LEASE_RAN_OUT" {
		t.Errorf("the attempt that was cut off is recorded with %v", e)
	}
	if got := i.GetAttempts()[1]; got.GetStatusCode() != http.StatusOK || got.GetError() != nil {
		t.Errorf("the second attempt is recorded as %v", got)
	}
	all := r.Deliveries(id)
	if len(all) != 2 || string(all[0].Body) != string(all[1].Body) {
		t.Errorf("the receiver was asked %d times, want twice with the same body", len(all))
	}
}

// TestCallbackForAnAttemptThatAKillCutOffCounts: the receiver has acted, though
// nobody recorded that it was asked.
func TestCallbackForAnAttemptThatAKillCutOffCounts(t *testing.T) {
	t.Parallel()
	n := newCrashNode(t)
	r := newReceiver(t, always(ripostetest.Reply{Hang: true}))
	id := n.ask(r.URL)
	callbackURL := delivered(t, r, id, 1).Envelope.CallbackURL

	n.restartAfterKill()
	if res := callBack(t, callbackURL, crashApproval); res.status != http.StatusOK {
		t.Fatalf("the callback got %d: %s", res.status, res.body)
	}
	// How many of them hang by now is the restart's affair: each is recorded.
	i := n.wantOneOutcome(id, "CALLBACK")
	wantAttempts(t, i, int(i.GetWebhookInstance().GetAttempts()))
}

// TestAttemptInFlightIsInTheHistory: it was made, whatever closed its instance
// and though a kill lost its result.
func TestAttemptInFlightIsInTheHistory(t *testing.T) {
	t.Parallel()
	n := newCrashNode(t)
	r := newReceiver(t, always(ripostetest.Reply{Hang: true}))
	answered, canceled := n.ask(r.URL), n.ask(r.URL)
	if res := callBack(t, delivered(t, r, answered, 1).Envelope.CallbackURL, crashApproval); res.status != http.StatusOK {
		t.Fatalf("the callback got %d: %s", res.status, res.body)
	}
	delivered(t, r, canceled, 1)
	if _, err := n.Instances.Cancel(t.Context(), &ripostev1.InstancesServiceCancelRequest{Id: canceled}); err != nil {
		t.Fatal(err)
	}

	n.restartAfterKill()
	for _, id := range []string{answered, canceled} {
		i := n.closed(id)
		wantAttempts(t, i, 1)
		if e := i.GetAttempts()[0].GetError(); e.GetPhase() != "unknown" || e.GetReason() != "INSTANCE_CLOSED" {
			t.Errorf("the attempt is recorded with %v", e)
		}
	}
}

const (
	crashRounds  = 10
	crashCallers = 8
)

// TestAcknowledgedCreateSurvivesAKill kills the server again and again while
// callers create instances, right after the first acknowledgement or a later one.
func TestAcknowledgedCreateSurvivesAKill(t *testing.T) {
	t.Parallel()
	n := newCrashNode(t)
	r := newReceiver(t, always(ripostetest.Reply{Body: crashApproval}))
	webhook := n.newWebhook(r.URL)
	acknowledged := map[string]string{} // instance by requestId
	for round := range crashRounds {
		created := n.createUntilKilled(webhook, round, 1+4*round)
		n.start()
		for requestID, id := range created {
			res, err := n.Instances.Create(patient(t), crashRequest(webhook, requestID))
			if err != nil {
				t.Fatalf("repeating a create: %v", err)
			}
			if got := res.GetInstance().GetWebhookInstance().GetId(); got != id {
				t.Errorf("requestId %s was instance %s before the kill and is %s now", requestID, id, got)
			}
			acknowledged[requestID] = id
		}
	}
	sequences := map[int64]bool{}
	for _, id := range acknowledged {
		i := n.closed(id)
		wantAnswer(t, i, "APPROVED", "SYNC", crashApproval)
		sequences[i.GetOutcome().GetSequence()] = true
		if len(r.Deliveries(id)) == 0 {
			t.Errorf("instance %s never reached the receiver", id)
		}
	}
	if len(sequences) != len(acknowledged) {
		t.Errorf("%d instances came to %d outcomes", len(acknowledged), len(sequences))
	}
	t.Logf("%d creates were acknowledged in %d rounds", len(acknowledged), crashRounds)
}

// createUntilKilled has callers create instances, kills the server when so many
// were acknowledged, and returns them and those that were too meanwhile.
func (n *crashNode) createUntilKilled(webhook string, round, enough int) map[string]string {
	n.t.Helper()
	var callers sync.WaitGroup
	var mu sync.Mutex
	created := map[string]string{}
	reached := make(chan struct{})
	for caller := range crashCallers {
		callers.Go(func() {
			for try := 0; ; try++ {
				requestID := fmt.Sprintf("%d-%d-%d", round, caller, try)
				res, err := n.Instances.Create(patient(n.t), crashRequest(webhook, requestID))
				if err != nil {
					return // killed
				}
				mu.Lock()
				if created[requestID] = res.GetInstance().GetWebhookInstance().GetId(); len(created) == enough {
					close(reached)
				}
				mu.Unlock()
			}
		})
	}
	select {
	case <-reached:
	case <-patient(n.t).Done():
		n.t.Errorf("fewer than %d creates were acknowledged\n%s", enough, n.log())
	}
	n.kill()
	callers.Wait()
	return created
}
