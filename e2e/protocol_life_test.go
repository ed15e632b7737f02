package e2e

import (
	"net/http"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	webhooksv1 "github.com/riposte-dev/riposte/gen/c1/api/webhooks/v1"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
	"github.com/riposte-dev/riposte/ripostetest"
)

const day = 24 * time.Hour

// stage is a server whose clock can be moved, with a webhook that has one
// instance in flight at a time.
type stage struct {
	server   *ripostetest.Server
	clock    *ripostetest.Clock
	receiver *ripostetest.Receiver
	webhook  string
}

func newStage(t *testing.T, reply ripostetest.Reply) stage {
	t.Helper()
	var st stage
	st.clock = new(ripostetest.Clock)
	st.server = ripostetest.Start(t, retryAfter(time.Hour), timedBy(st.clock))
	st.receiver = newReceiver(t, always(reply))
	st.webhook = newWebhook(t, st.server, st.receiver.URL)
	one := int32(1)
	settle(t, st.server, st.webhook, &ripostev1.WebhookSettings{MaxInFlight: &one})
	return st
}

func (st stage) ask(t *testing.T, lasting time.Duration) string {
	t.Helper()
	return create(t, st.server, &ripostev1.InstancesServiceCreateRequest{WebhookId: st.webhook, Source: sourceApprovalStep,
		CallbackTimeout: durationpb.New(lasting)}).GetWebhookInstance().GetId()
}

// openStates lead an instance that lasts a day into each open state that lasts.
var openStates = []struct {
	state string
	reach func(*testing.T) (stage, string)
}{
	{"PENDING", func(t *testing.T) (stage, string) {
		st := newStage(t, ripostetest.Reply{Hang: true})
		delivered(t, st.receiver, st.ask(t, 30*day), 1) // takes all the room there is
		return st, st.ask(t, day)
	}},
	{"RUNNING", func(t *testing.T) (stage, string) {
		st := newStage(t, ripostetest.Reply{Hang: true})
		id := st.ask(t, day)
		delivered(t, st.receiver, id, 1)
		return st, id
	}},
	{"ERROR", func(t *testing.T) (stage, string) {
		st := newStage(t, ripostetest.Reply{Status: 500})
		id := st.ask(t, day)
		inState(t, st.server, id, "ERROR")
		return st, id
	}},
	{"WAITING_CALLBACK", func(t *testing.T) (stage, string) {
		st := newStage(t, ripostetest.Reply{Status: 202})
		id := st.ask(t, day)
		inState(t, st.server, id, "WAITING_CALLBACK")
		return st, id
	}},
}

// TestExpires: at expiresAt, in whatever open state, FATAL_ERROR with the reason
// EXPIRED; not before, and nothing is attempted from then on.
func TestExpires(t *testing.T) {
	t.Parallel()
	for _, tt := range openStates {
		t.Run(tt.state, func(t *testing.T) {
			t.Parallel()
			st, id := tt.reach(t)
			i := get(t, st.server, id)
			wantOpen(t, i, tt.state)
			expiresAt := i.GetWebhookInstance().GetExpiresAt().AsTime()

			jump(t, st.server, st.clock, expiresAt.Add(-30*time.Minute).Sub(st.clock.Now()))
			if i := get(t, st.server, id); i.GetOutcome() != nil || i.GetWebhookInstance().GetCompletedAt() != nil {
				t.Fatalf("half an hour before expiresAt it is %v", i)
			}
			url := callbackURL(st.receiver, id)

			jump(t, st.server, st.clock, 31*time.Minute)
			i = get(t, st.server, id)
			wantFailure(t, i, "EXPIRED")
			if decided := i.GetOutcome().GetDecidedAt().AsTime(); decided.Before(expiresAt) {
				t.Errorf("expired at %v, before expiresAt %v", decided, expiresAt)
			}
			attempts := len(st.receiver.Deliveries(id))
			if url != "" {
				callBack(t, url, approve).refused(t, 400, "CALLBACK_EXPIRED")
			}

			jump(t, st.server, st.clock, 2*time.Hour)
			if n := len(st.receiver.Deliveries(id)); n != attempts {
				t.Errorf("%d attempts were made after the expiry", n-attempts)
			}
		})
	}
}

// callbackURL of an instance that the receiver has heard of.
func callbackURL(r *ripostetest.Receiver, id string) string {
	for _, d := range r.Deliveries(id) {
		return d.Envelope.CallbackURL
	}
	return ""
}

// TestExpiresBeforeAnybodyLooks: a callback that comes at expiresAt is late even
// if the expiry has not been written yet.
func TestExpiresBeforeAnybodyLooks(t *testing.T) {
	t.Parallel()
	st := newStage(t, ripostetest.Reply{Status: 202})
	id := st.ask(t, day)
	inState(t, st.server, id, "WAITING_CALLBACK")
	st.clock.Advance(day)
	callBack(t, callbackURL(st.receiver, id), approve).refused(t, 400, "CALLBACK_EXPIRED")
}

// TestNothingIsAttemptedAtExpiry: a retry that would come at expiresAt or later
// is not announced.
func TestNothingIsAttemptedAtExpiry(t *testing.T) {
	t.Parallel()
	clock := new(ripostetest.Clock)
	s := ripostetest.Start(t, retryAfter(2*day), timedBy(clock))
	r := newReceiver(t, always(ripostetest.Reply{Status: 500}))
	id := create(t, s, &ripostev1.InstancesServiceCreateRequest{WebhookId: newWebhook(t, s, r.URL), Source: sourceApprovalStep,
		CallbackTimeout: durationpb.New(day)}).GetWebhookInstance().GetId()
	if i := inState(t, s, id, "ERROR"); i.GetNextAttemptAt() != nil {
		t.Errorf("nextAttemptAt is %v, expiresAt %v", i.GetNextAttemptAt().AsTime(), i.GetWebhookInstance().GetExpiresAt().AsTime())
	}
	jump(t, s, clock, day)
	i := get(t, s, id)
	wantFailure(t, i, "EXPIRED")
	wantAttempts(t, i, 1)
}

func TestExpiresAt(t *testing.T) {
	s := never.use(t)
	t.Parallel()
	r := newReceiver(t, always(ripostetest.Reply{Status: 202}))
	res, err := s.Webhooks.Create(patient(t), &webhooksv1.WebhooksServiceCreateRequest{
		DisplayName: t.Name(), Url: r.URL, CallbackTimeout: durationpb.New(3 * day)})
	if err != nil {
		t.Fatal(err)
	}
	webhook := res.GetWebhook()
	lasts := func(i *ripostev1.Instance) time.Duration {
		w := i.GetWebhookInstance()
		return w.GetExpiresAt().AsTime().Sub(w.GetCreatedAt().AsTime())
	}

	first := create(t, s, &ripostev1.InstancesServiceCreateRequest{WebhookId: webhook.GetId(), Source: sourceApprovalStep})
	if got := lasts(first); got != 3*day {
		t.Errorf("with the webhook's callbackTimeout it lasts %v, want 72h", got)
	}
	own := create(t, s, &ripostev1.InstancesServiceCreateRequest{WebhookId: webhook.GetId(), Source: sourceApprovalStep, CallbackTimeout: durationpb.New(30 * day)})
	if got := lasts(own); got != 30*day {
		t.Errorf("with its own callbackTimeout it lasts %v, want 720h", got)
	}
	webhook.CallbackTimeout = durationpb.New(5 * day)
	if _, err := s.Webhooks.Update(patient(t), &webhooksv1.WebhooksServiceUpdateRequest{Webhook: webhook}); err != nil {
		t.Fatal(err)
	}
	if got := lasts(get(t, s, first.GetWebhookInstance().GetId())); got != 3*day {
		t.Errorf("after a later edit of the webhook it lasts %v, want 72h", got)
	}
	for _, bad := range []string{"86399.999999s", "2592000.000001s", "0s", "-86400s", "24h"} {
		body := `{"source":{"test":{}},"callbackTimeout":"` + bad + `"}`
		rest(t, s, http.MethodPost, "/api/v1/webhooks/"+webhook.GetId()+"/instances", body).
			refused(t, 400, "INVALID_ARGUMENT").wantField(t, "callbackTimeout")
	}
}

// TestDestinationIsTheURLAtCreation: retries go there, whatever the webhook's
// url has become.
func TestDestinationIsTheURLAtCreation(t *testing.T) {
	s := never.use(t)
	t.Parallel()
	before := newReceiver(t, inTurn(ripostetest.Reply{Status: 500}, ripostetest.Reply{Body: approve}))
	after := newReceiver(t, always(ripostetest.Reply{Body: deny}))
	destination := before.URL + "/hook?a=1"
	webhook := newWebhook(t, s, destination)
	id := ask(t, s, webhook, sourceApprovalStep)
	inState(t, s, id, "ERROR")
	_, err := s.Webhooks.Update(patient(t), &webhooksv1.WebhooksServiceUpdateRequest{Webhook: &webhooksv1.Webhook{Id: webhook, Url: &after.URL}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Instances.RetryNow(patient(t), &ripostev1.InstancesServiceRetryNowRequest{Id: id}); err != nil {
		t.Fatal(err)
	}
	i := closed(t, s, id)
	wantAnswer(t, i, "APPROVED", "SYNC", approve)
	if got := i.GetWebhookInstance().GetSpec().GetDestination(); got != destination {
		t.Errorf("spec.destination is %q, want %q", got, destination)
	}
	for _, d := range before.Deliveries(id) {
		if d.Target != "/hook?a=1" {
			t.Errorf("an attempt went to %q", d.Target)
		}
	}
	wantAnswer(t, closed(t, s, ask(t, s, webhook, sourceApprovalStep)), "DENIED", "SYNC", deny)
}

// TestDeletedWebhook: an instance that still owes an attempt closes when next
// due, a callback already awaited still counts.
func TestDeletedWebhook(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		state  string
		before time.Duration // how long it stays as it is
		want   string
	}{
		{"PENDING", 0, "WEBHOOK_DELETED"},
		{"ERROR", 50 * time.Minute, "WEBHOOK_DELETED"},
		{"WAITING_CALLBACK", 20 * time.Hour, "EXPIRED"},
	} {
		t.Run(tt.state, func(t *testing.T) {
			t.Parallel()
			st, id := reach(t, tt.state)
			attempts := len(st.receiver.Deliveries(""))
			deleteWebhook(t, st.server, st.webhook)
			if tt.before > 0 {
				jump(t, st.server, st.clock, tt.before)
				wantOpen(t, get(t, st.server, id), tt.state)
			}
			jump(t, st.server, st.clock, day-tt.before-time.Hour)
			if tt.want == "EXPIRED" {
				wantOpen(t, get(t, st.server, id), tt.state)
				jump(t, st.server, st.clock, time.Hour)
			}
			wantFailure(t, get(t, st.server, id), tt.want)
			if n := len(st.receiver.Deliveries("")); n != attempts {
				t.Errorf("%d attempts started after the deletion", n-attempts)
			}
		})
	}
	t.Run("a callback already awaited still counts", func(t *testing.T) {
		t.Parallel()
		st, id := reach(t, "WAITING_CALLBACK")
		deleteWebhook(t, st.server, st.webhook)
		callBack(t, callbackURL(st.receiver, id), approve).ok(t)
		wantAnswer(t, get(t, st.server, id), "APPROVED", "CALLBACK", approve)
	})
	t.Run("a callback between attempts still counts", func(t *testing.T) {
		t.Parallel()
		st, id := reach(t, "ERROR")
		deleteWebhook(t, st.server, st.webhook)
		callBack(t, callbackURL(st.receiver, id), approve).ok(t)
		wantAnswer(t, get(t, st.server, id), "APPROVED", "CALLBACK", approve)
	})
}

// TestDeletedWebhookInFlight: the attempt in flight goes on, and its answer
// counts; if it fails there is no other.
func TestDeletedWebhookInFlight(t *testing.T) {
	s := atOnce.use(t)
	t.Parallel()
	for _, tt := range []struct {
		name  string
		reply ripostetest.Reply
		check func(*testing.T, *ripostev1.Instance)
	}{
		{"answered", ripostetest.Reply{Body: approve}, func(t *testing.T, i *ripostev1.Instance) {
			wantAnswer(t, i, "APPROVED", "SYNC", approve)
		}},
		{"failed", ripostetest.Reply{Status: 500}, func(t *testing.T, i *ripostev1.Instance) {
			wantFailure(t, i, "WEBHOOK_DELETED")
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			release := make(chan struct{})
			r := newReceiver(t, func(ripostetest.Delivery) ripostetest.Reply {
				<-release
				return tt.reply
			})
			webhook := newWebhook(t, s, r.URL)
			id := ask(t, s, webhook, sourceApprovalStep)
			delivered(t, r, id, 1)
			deleteWebhook(t, s, webhook)
			close(release)
			i := closed(t, s, id)
			tt.check(t, i)
			wantAttempts(t, i, 1)
		})
	}
}

func reach(t *testing.T, state string) (stage, string) {
	t.Helper()
	for _, each := range openStates {
		if each.state == state {
			return each.reach(t)
		}
	}
	t.Fatalf("no way to %s", state)
	return stage{}, ""
}
