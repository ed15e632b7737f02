// Package e2e has the tests of whole servers. Those in protocol_*_test.go go
// through PROTOCOL.md, a subtest for each row of its tables, over real HTTP and
// the real store.
package e2e

import (
	"context"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	webhooksv1 "github.com/riposte-dev/riposte/gen/c1/api/webhooks/v1"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
	"github.com/riposte-dev/riposte/ripostetest"
	"github.com/riposte-dev/riposte/server"
)

// patience is how long a test waits for what must come. It is no figure of
// the product's: the machine may be busy with other tests.
const patience = 60 * time.Second

func patient(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// retryAfter makes a server wait this long between attempts.
func retryAfter(d time.Duration) func(*server.Config) {
	return func(c *server.Config) { c.RetryMinDelay, c.RetryMaxDelay = d, d }
}

// Most tests share a server. atOnce is for those that want the next attempt,
// never for those that must look at an instance before it comes.
var (
	atOnce = sharedServer{change: retryAfter(time.Millisecond)}
	never  = sharedServer{change: retryAfter(24 * time.Hour)}
)

// sharedServer runs from the first test that uses it to the end of the last.
type sharedServer struct {
	change func(*server.Config)

	mu     sync.Mutex
	users  int
	server *ripostetest.Server
	scope  scope
}

// use must come before t.Parallel, so that all users are there before the
// first of them ends.
func (s *sharedServer) use(t *testing.T) *ripostetest.Server {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.users++; s.users == 1 {
		s.scope = scope{T: t}
		s.server = ripostetest.Start(&s.scope, s.change)
	}
	t.Cleanup(func() { s.release(t) })
	return s.server
}

func (s *sharedServer) release(t *testing.T) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.users--; s.users == 0 {
		s.scope.T = t
		s.scope.end()
	}
}

// scope is a ripostetest.TB for what outlives the test that began it.
type scope struct {
	*testing.T
	cleanups []func()
}

func (s *scope) Cleanup(f func()) { s.cleanups = append(s.cleanups, f) }

func (s *scope) TempDir() string {
	dir, err := os.MkdirTemp("", "riposte-e2e-")
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			s.Error(err)
		}
	})
	return dir
}

func (s *scope) end() {
	for _, f := range slices.Backward(s.cleanups) {
		f()
	}
	s.cleanups = nil
}

func timedBy(clock *ripostetest.Clock) func(*server.Config) {
	return func(c *server.Config) { c.Now = clock.Now }
}

func newReceiver(t testing.TB, script func(ripostetest.Delivery) ripostetest.Reply) *ripostetest.Receiver {
	t.Helper()
	r, err := ripostetest.NewReceiver(script)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// always answers every attempt alike.
func always(r ripostetest.Reply) func(ripostetest.Delivery) ripostetest.Reply {
	return func(ripostetest.Delivery) ripostetest.Reply { return r }
}

// inTurn answers the attempts of each instance one after the other, and from
// the last reply on always alike.
func inTurn(replies ...ripostetest.Reply) func(ripostetest.Delivery) ripostetest.Reply {
	return func(d ripostetest.Delivery) ripostetest.Reply { return replies[min(d.Attempt, len(replies))-1] }
}

func newWebhook(t *testing.T, s *ripostetest.Server, url string) string {
	t.Helper()
	res, err := s.Webhooks.Create(patient(t), &webhooksv1.WebhooksServiceCreateRequest{DisplayName: t.Name(), Url: url})
	if err != nil {
		t.Fatalf("creating a webhook: %v", err)
	}
	return res.GetWebhook().GetId()
}

// deleteWebhook by its id.
func deleteWebhook(t *testing.T, s *ripostetest.Server, id string) {
	t.Helper()
	if _, err := s.Webhooks.Delete(patient(t), &webhooksv1.WebhooksServiceDeleteRequest{Id: id}); err != nil {
		t.Fatalf("deleting a webhook: %v", err)
	}
}

// ask creates an instance and returns its id.
func ask(t *testing.T, s *ripostetest.Server, webhookID string, source *webhooksv1.WebhookSource) string {
	t.Helper()
	return create(t, s, &ripostev1.InstancesServiceCreateRequest{WebhookId: webhookID, Source: source}).GetWebhookInstance().GetId()
}

func create(t *testing.T, s *ripostetest.Server, r *ripostev1.InstancesServiceCreateRequest) *ripostev1.Instance {
	t.Helper()
	res, err := s.Instances.Create(patient(t), r)
	if err != nil {
		t.Fatalf("creating an instance: %v", err)
	}
	return res.GetInstance()
}

// askAt asks a receiver on a webhook of its own.
func askAt(t *testing.T, s *ripostetest.Server, r *ripostetest.Receiver, source *webhooksv1.WebhookSource) string {
	t.Helper()
	return ask(t, s, newWebhook(t, s, r.URL), source)
}

// settle changes a webhook's settings.
func settle(t *testing.T, s *ripostetest.Server, webhookID string, settings *ripostev1.WebhookSettings) {
	t.Helper()
	_, err := s.Settings.Update(patient(t), &ripostev1.WebhookSettingsServiceUpdateRequest{WebhookId: webhookID, Settings: settings})
	if err != nil {
		t.Fatalf("changing settings: %v", err)
	}
}

func get(t *testing.T, s *ripostetest.Server, id string) *ripostev1.Instance {
	t.Helper()
	res, err := s.Instances.Get(patient(t), &ripostev1.InstancesServiceGetRequest{Id: id, View: ripostev1.InstanceView_INSTANCE_VIEW_FULL})
	if err != nil {
		t.Fatalf("getting instance %s: %v", id, err)
	}
	return res.GetInstance()
}

// closed waits for an instance's end and returns it in full.
func closed(t *testing.T, s *ripostetest.Server, id string) *ripostev1.Instance {
	t.Helper()
	res, err := s.Instances.Wait(patient(t), &ripostev1.InstancesServiceWaitRequest{Id: id, Timeout: durationpb.New(patience)})
	if err != nil {
		t.Fatalf("waiting for instance %s: %v", id, err)
	}
	if res.GetInstance().GetOutcome() == nil {
		t.Fatalf("instance %s is still in %s", id, state(res.GetInstance()))
	}
	return get(t, s, id)
}

// inState waits until an instance is in a state.
func inState(t *testing.T, s *ripostetest.Server, id, want string) *ripostev1.Instance {
	t.Helper()
	i, err := s.WaitFor(patient(t), id, func(i *ripostev1.Instance) bool { return state(i) == want })
	if err != nil {
		t.Fatalf("waiting for instance %s to be in %s: it is in %s: %v", id, want, state(i), err)
	}
	return i
}

// until waits until an instance is as done says.
func until(t *testing.T, s *ripostetest.Server, id string, done func(*ripostev1.Instance) bool) *ripostev1.Instance {
	t.Helper()
	i, err := s.WaitFor(patient(t), id, done)
	if err != nil {
		t.Fatalf("waiting for instance %s: it is %v: %v", id, i, err)
	}
	return i
}

// delivered waits for an instance's n-th attempt to reach the receiver.
func delivered(t testing.TB, r *ripostetest.Receiver, id string, n int) ripostetest.Delivery {
	t.Helper()
	if err := r.Wait(patient(t), func() bool { return len(r.Deliveries(id)) >= n }); err != nil {
		t.Fatalf("waiting for attempt %d of %q: there are %d: %v", n, id, len(r.Deliveries(id)), err)
	}
	return r.Deliveries(id)[n-1]
}

// eventually asks again and again, for what nobody announces.
func eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	ctx := patient(t)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s: %v", what, ctx.Err())
		}
	}
}

// jump moves a server's clock and returns when the server has looked at what
// became due by that.
func jump(t *testing.T, s *ripostetest.Server, clock *ripostetest.Clock, d time.Duration) {
	t.Helper()
	clock.Advance(d)
	// Of two that are created at once only one finds room then, so that the other one takes
	// a claim; and a claim takes what expired, and what has been due for longer, before it.
	bell, one := newWebhook(t, s, newReceiver(t, always(ripostetest.Reply{})).URL), int32(1)
	settle(t, s, bell, &ripostev1.WebhookSettings{MaxInFlight: &one})
	strike := &ripostev1.InstancesServiceCreateRequest{WebhookId: bell, Source: sourceTest}
	res, err := s.Instances.BatchCreate(patient(t), &ripostev1.InstancesServiceBatchCreateRequest{
		Requests: []*ripostev1.InstancesServiceCreateRequest{strike, strike}})
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range res.GetInstances() {
		closed(t, s, i.GetWebhookInstance().GetId())
	}
}

func state(i *ripostev1.Instance) string {
	return strings.TrimPrefix(i.GetWebhookInstance().GetState().String(), "WEBHOOK_STATE_")
}

func kind(i *ripostev1.Instance) string {
	return strings.TrimPrefix(i.GetOutcome().GetKind().String(), "OUTCOME_KIND_")
}

func via(i *ripostev1.Instance) string {
	return strings.TrimPrefix(i.GetOutcome().GetVia().String(), "OUTCOME_VIA_")
}

func failure(i *ripostev1.Instance) string {
	return strings.TrimPrefix(i.GetOutcome().GetFailure().GetReason().String(), "FAILURE_REASON_")
}

// wantAnswer checks that an instance came to an answer, and by which way.
func wantAnswer(t testing.TB, i *ripostev1.Instance, wantKind, wantVia, wantDocument string) {
	t.Helper()
	if got := state(i); got != "SUCCESS" {
		t.Errorf("state is %s, want SUCCESS (%v)", got, i.GetOutcome())
	}
	if kind(i) != wantKind || via(i) != wantVia || i.GetOutcome().GetDocumentJson() != wantDocument {
		t.Errorf("outcome is %s via %s: %q\nwant %s via %s: %q", kind(i), via(i), i.GetOutcome().GetDocumentJson(), wantKind, wantVia, wantDocument)
	}
	if i.GetOutcome().GetFailure() != nil {
		t.Errorf("outcome has the failure %v", i.GetOutcome().GetFailure())
	}
	wantClosed(t, i)
}

// wantFailure checks that an instance came to a failure.
func wantFailure(t *testing.T, i *ripostev1.Instance, wantReason string) {
	t.Helper()
	if state(i) != "FATAL_ERROR" || kind(i) != "FAILED" || failure(i) != wantReason {
		t.Errorf("instance is in %s with %s and %s, want FATAL_ERROR with FAILED and %s", state(i), kind(i), failure(i), wantReason)
	}
	wantClosed(t, i)
}

func wantClosed(t testing.TB, i *ripostev1.Instance) {
	t.Helper()
	w, o := i.GetWebhookInstance(), i.GetOutcome()
	switch {
	case w.GetCompletedAt() == nil:
		t.Error("completedAt is not set")
	case w.GetCompletedAt().AsTime().Before(w.GetCreatedAt().AsTime()):
		t.Errorf("completedAt %v is before createdAt %v", w.GetCompletedAt().AsTime(), w.GetCreatedAt().AsTime())
	case o.GetDecidedAt() == nil || o.GetSequence() < 1:
		t.Errorf("outcome was decided at %v as number %d", o.GetDecidedAt(), o.GetSequence())
	}
	if i.GetNextAttemptAt() != nil {
		t.Errorf("nextAttemptAt is %v", i.GetNextAttemptAt().AsTime())
	}
}

// wantOpen checks what holds of an instance that has no outcome yet.
func wantOpen(t *testing.T, i *ripostev1.Instance, wantState string) {
	t.Helper()
	if state(i) != wantState || i.GetOutcome() != nil {
		t.Errorf("instance is in %s with the outcome %v, want %s with none", state(i), i.GetOutcome(), wantState)
	}
	if at := i.GetWebhookInstance().GetCompletedAt(); at != nil {
		t.Errorf("completedAt is %v in %s", at.AsTime(), state(i))
	}
}

func wantAttempts(t testing.TB, i *ripostev1.Instance, want int) {
	t.Helper()
	if n := int(i.GetWebhookInstance().GetAttempts()); n != want || len(i.GetAttempts()) != want {
		t.Errorf("attempts is %d and %d are recorded, want %d", n, len(i.GetAttempts()), want)
	}
	for n, a := range i.GetAttempts() {
		if int(a.GetNumber()) != n+1 {
			t.Errorf("attempt %d has the number %d", n+1, a.GetNumber())
		}
	}
}
