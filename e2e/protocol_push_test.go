package e2e

import (
	"bytes"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
	"github.com/riposte-dev/riposte/ripostetest"
	"github.com/riposte-dev/riposte/server"
)

// askFor creates an instance whose outcome is to be pushed to a taker.
func askFor(t *testing.T, s *ripostetest.Server, receiver, taker *ripostetest.Receiver) string {
	t.Helper()
	return create(t, s, &ripostev1.InstancesServiceCreateRequest{WebhookId: newWebhook(t, s, receiver.URL), Source: sourceApprovalStep,
		OutcomeUrl: taker.URL + "/outcomes?a=1"}).GetWebhookInstance().GetId()
}

// pushed waits for the n-th push of an instance's outcome.
func pushed(t *testing.T, taker *ripostetest.Receiver, id string, n int) ripostetest.Delivery {
	t.Helper()
	return delivered(t, taker, "outcome_"+id, n)
}

func approving(t *testing.T) *ripostetest.Receiver {
	t.Helper()
	return newReceiver(t, always(ripostetest.Reply{Body: approve}))
}

// TestPushIsASignedDelivery: like a question, but for the callback URL.
func TestPushIsASignedDelivery(t *testing.T) {
	s := never.use(t)
	t.Parallel()
	taker := newReceiver(t, always(ripostetest.Reply{Status: 202}))
	id := askFor(t, s, approving(t), taker)
	d := pushed(t, taker, id, 1)
	keys, err := ripostetest.FetchKeys(s.BaseURL())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ripostetest.Verify(d, keys, taker.URL+"/outcomes?a=1"); err != nil {
		t.Error(err)
	}
	for name, want := range map[string]string{"Webhook-Id": "outcome_" + id, "Webhook-Event": "riposte.v1.PayloadOutcome", "Webhook-Version": "v1",
		"Webhook-Attempt": "1", "Webhook-Callback-Url": "", "Content-Type": "application/json"} {
		if got := d.Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	var body struct {
		Version, WebhookID, Event string
		Payload                   struct {
			Type     string `json:"@type"`
			Instance struct {
				WebhookInstance struct{ ID, State string }
				Outcome         struct{ Kind, DocumentJSON, Sequence string }
			}
		}
	}
	decoder := json.NewDecoder(bytes.NewReader(d.Body))
	if err := decoder.Decode(&body); err != nil {
		t.Fatal(err)
	}
	p := body.Payload
	if body.Version != "v1" || body.WebhookID != "outcome_"+id || body.Event != "riposte.v1.PayloadOutcome" || p.Type != "type.googleapis.com/riposte.v1.PayloadOutcome" {
		t.Errorf("the envelope is %s", d.Body)
	}
	if i := p.Instance; i.WebhookInstance.ID != id || i.WebhookInstance.State != "WEBHOOK_STATE_PROCESS_RESPONSE" ||
		i.Outcome.Kind != "OUTCOME_KIND_APPROVED" || i.Outcome.DocumentJSON != approve || i.Outcome.Sequence == "" {
		t.Errorf("the instance is %s", d.Body)
	}
	i := inState(t, s, id, "SUCCESS")
	wantAnswer(t, i, "APPROVED", "SYNC", approve)
	if p := i.GetPush(); p.GetAttempts() != 1 || p.GetStatusCode() != 202 || p.GetNextAttemptAt() != nil {
		t.Errorf("the push is %v", p)
	}
}

// TestOutcomeStandsWhileItIsPushed: Get, Wait and Watch show it from the start.
func TestOutcomeStandsWhileItIsPushed(t *testing.T) {
	s := never.use(t)
	t.Parallel()
	taker := newReceiver(t, always(ripostetest.Reply{Status: 503}))
	receiver := approving(t)
	id := askFor(t, s, receiver, taker)
	res, err := s.Instances.Wait(patient(t), &ripostev1.InstancesServiceWaitRequest{Id: id, Timeout: durationpb.New(patience)})
	if err != nil || kind(res.GetInstance()) != "APPROVED" {
		t.Fatalf("Wait says %v, %v", res, err)
	}
	i := until(t, s, id, func(i *ripostev1.Instance) bool { return i.GetPush().GetStatusCode() == 503 })
	if state(i) != "PROCESS_RESPONSE" || kind(i) != "APPROVED" || i.GetWebhookInstance().GetCompletedAt() != nil || i.GetPush().GetNextAttemptAt() == nil {
		t.Errorf("the instance is %v", i)
	}
	watched(t, s, id, "PROCESS_RESPONSE")
	callBack(t, receiver.Deliveries(id)[0].Envelope.CallbackURL, approve).refused(t, 400, "CALLBACK_ALREADY_USED")
	rest(t, s, http.MethodPost, "/api/v1/instances/"+id+":cancel", "").refused(t, 400, "INSTANCE_CLOSED")
}

// watched checks what Watch shows of an instance.
func watched(t *testing.T, s *ripostetest.Server, id, want string) {
	t.Helper()
	stream, err := s.Instances.Watch(patient(t), &ripostev1.InstancesServiceWatchRequest{After: "0"})
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	for stream.Receive() {
		if i := stream.Msg().GetInstance(); i.GetWebhookInstance().GetId() == id {
			if state(i) != want || i.GetOutcome() == nil {
				t.Errorf("Watch shows %v", i)
			}
			return
		}
	}
	t.Fatalf("Watch ended: %v", stream.Err())
}

// TestPushIsTriedAgainWithTheSameBytes until any 2xx takes it.
func TestPushIsTriedAgainWithTheSameBytes(t *testing.T) {
	s := atOnce.use(t)
	t.Parallel()
	taker := newReceiver(t, inTurn(ripostetest.Reply{Status: 500}, ripostetest.Reply{Status: 301}, ripostetest.Reply{Status: 404}, ripostetest.Reply{Status: 204}))
	id := askFor(t, s, approving(t), taker)
	i := inState(t, s, id, "SUCCESS")
	all := taker.Deliveries("outcome_" + id)
	if len(all) != 4 || i.GetPush().GetAttempts() != 4 || i.GetWebhookInstance().GetAttempts() != 1 {
		t.Fatalf("%d pushes came; the instance says %v", len(all), i)
	}
	for _, d := range all[1:] {
		if !bytes.Equal(d.Body, all[0].Body) {
			t.Errorf("push %d is %s\nthe first was %s", d.Attempt, d.Body, all[0].Body)
		}
	}
}

// TestFailureIsPushed: what failed is handed over as well, and closes then.
func TestFailureIsPushed(t *testing.T) {
	s := never.use(t)
	t.Parallel()
	taker := newReceiver(t, always(ripostetest.Reply{}))
	for reason, reply := range map[string]ripostetest.Reply{"GONE": {Status: 410}, "BAD_RESPONSE": {Body: "no JSON"}} {
		id := askFor(t, s, newReceiver(t, always(reply)), taker)
		d := pushed(t, taker, id, 1)
		if !bytes.Contains(d.Body, []byte(`"FAILURE_REASON_`+reason+`"`)) {
			t.Errorf("pushed: %s", d.Body)
		}
		wantFailure(t, inState(t, s, id, "FATAL_ERROR"), reason)
	}
}

// TestPushThatIsGivenUpCanBeRetried, at the same place and at another.
func TestPushThatIsGivenUpCanBeRetried(t *testing.T) {
	s := never.use(t)
	t.Parallel()
	gone := newReceiver(t, always(ripostetest.Reply{Status: 410}))
	other := newReceiver(t, always(ripostetest.Reply{}))
	id := askFor(t, s, approving(t), gone)
	givenUp := func(n int32) {
		t.Helper()
		i := until(t, s, id, func(i *ripostev1.Instance) bool {
			return i.GetPush().GetGivenUpAt() != nil && i.GetPush().GetAttempts() == n
		})
		if state(i) != "PROCESS_RESPONSE" || i.GetPush().GetStatusCode() != 410 || i.GetPush().GetNextAttemptAt() != nil {
			t.Errorf("given up: %v", i)
		}
	}
	retry := func(url string) {
		t.Helper()
		res, err := s.Instances.RetryNow(patient(t), &ripostev1.InstancesServiceRetryNowRequest{Id: id, OutcomeUrl: url})
		if err != nil || res.GetInstance().GetPush().GetGivenUpAt() != nil {
			t.Fatalf("RetryNow says %v, %v", res, err)
		}
	}
	givenUp(1)
	retry("")
	givenUp(2)
	retry(other.URL)
	i := inState(t, s, id, "SUCCESS")
	if first := gone.Deliveries("outcome_" + id)[0]; !bytes.Equal(first.Body, other.Deliveries("outcome_" + id)[0].Body) {
		t.Error("the other got other bytes")
	}
	if p := i.GetPush(); p.GetUrl() != other.URL || p.GetAttempts() != 3 {
		t.Errorf("the push is %v", p)
	}
	rest(t, s, http.MethodPost, "/api/v1/instances/"+id+":retry", "").refused(t, 400, "INSTANCE_CLOSED")
}

// TestOutcomeURLOfInstanceWebhookAndServer: the nearest counts.
func TestOutcomeURLOfInstanceWebhookAndServer(t *testing.T) {
	t.Parallel()
	takes := always(ripostetest.Reply{})
	ofInstance, ofWebhook, ofServer := newReceiver(t, takes), newReceiver(t, takes), newReceiver(t, takes)
	s := ripostetest.Start(t, func(c *server.Config) { c.OutcomeURL = ofServer.URL })
	webhook := newWebhook(t, s, approving(t).URL)
	first := ask(t, s, webhook, sourceApprovalStep)
	settle(t, s, webhook, &ripostev1.WebhookSettings{OutcomeUrl: proto.String(ofWebhook.URL)})
	second := ask(t, s, webhook, sourceApprovalStep)
	third := create(t, s, &ripostev1.InstancesServiceCreateRequest{WebhookId: webhook, Source: sourceApprovalStep, OutcomeUrl: ofInstance.URL}).GetWebhookInstance().GetId()
	for id, taker := range map[string]*ripostetest.Receiver{first: ofServer, second: ofWebhook, third: ofInstance} {
		pushed(t, taker, id, 1)
		if i := inState(t, s, id, "SUCCESS"); i.GetPush().GetUrl() != taker.URL {
			t.Errorf("the push is %v", i.GetPush())
		}
	}
	for _, taker := range []*ripostetest.Receiver{ofInstance, ofWebhook, ofServer} {
		if n := len(taker.Deliveries("")); n != 1 {
			t.Errorf("%d pushes came, want 1", n)
		}
	}
}

// TestPushGoesOnAfterARestart: what was owed before is owed afterwards.
func TestPushGoesOnAfterARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	in := func(c *server.Config) { c.Data = dir }
	refusing := newReceiver(t, always(ripostetest.Reply{Status: 503}))
	s := ripostetest.Start(t, in, retryAfter(50*time.Millisecond))
	id := askFor(t, s, approving(t), refusing)
	pushed(t, refusing, id, 2)
	s.Stop()
	n := len(refusing.Deliveries("outcome_" + id))
	s = ripostetest.Start(t, in, retryAfter(50*time.Millisecond))
	pushed(t, refusing, id, n+1)
	if i := get(t, s, id); state(i) != "PROCESS_RESPONSE" {
		t.Errorf("the instance is %v", i)
	}
}

// TestHangingTakerHoldsUpNobody: pushes have places of their own, and so does
// each host that outcomes are pushed to.
func TestHangingTakerHoldsUpNobody(t *testing.T) {
	s := never.use(t)
	t.Parallel()
	hanging := newReceiver(t, always(ripostetest.Reply{Hang: true}))
	taking := newReceiver(t, always(ripostetest.Reply{}))
	webhook := newWebhook(t, s, approving(t).URL)
	for range 80 { // more than a webhook's 64 places
		create(t, s, &ripostev1.InstancesServiceCreateRequest{WebhookId: webhook, Source: sourceApprovalStep, OutcomeUrl: hanging.URL})
	}
	if err := hanging.Wait(patient(t), func() bool { return len(hanging.Deliveries("")) >= 64 }); err != nil {
		t.Fatal(err)
	}
	id := create(t, s, &ripostev1.InstancesServiceCreateRequest{WebhookId: webhook, Source: sourceApprovalStep, OutcomeUrl: taking.URL}).GetWebhookInstance().GetId()
	inState(t, s, id, "SUCCESS")
	if n := len(hanging.Deliveries("")); n != 64 {
		t.Errorf("%d pushes are in flight to one host, want 64", n)
	}
}
