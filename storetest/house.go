package storetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/riposte-dev/riposte"
)

// house is what a case lives in: a store, its clock, and the steps that the
// cases have in common. A step that fails ends the case.
type house struct {
	testing.TB
	store riposte.Store
	clock *Clock
	open  Open
	place string
	names int
}

func newHouse(t testing.TB, open Open) *house {
	// Half a microsecond, so that a store that keeps more or less shows it.
	start := time.Date(2026, 3, 1, 12, 0, 0, 123_456_500, time.FixedZone("", 3600))
	h := &house{TB: t, clock: &Clock{now: start}, open: open, place: t.TempDir()}
	h.start()
	t.Cleanup(h.stop)
	return h
}

func (h *house) start() {
	h.Helper()
	s, err := h.open(h.Context(), h.place, h.clock.Now)
	h.must(err)
	h.store = s
}

func (h *house) stop() {
	if h.store == nil {
		return
	}
	if err := h.store.Close(); err != nil {
		h.Errorf("closing the store: %v", err)
	}
	h.store = nil
}

// restart is a new process on what the old one left.
func (h *house) restart() {
	h.Helper()
	h.stop()
	h.start()
}

func (h *house) now() time.Time { return h.store.Now() }

func (h *house) must(err error) {
	h.Helper()
	if err != nil {
		h.Fatalf("unexpected error: %v", err)
	}
}

func (h *house) wantError(err error, want *riposte.Error) {
	h.Helper()
	if !errors.Is(err, want) {
		h.Fatalf("error is %v, want %s", err, want.Reason)
	}
}

var asStored = cmp.Options{
	cmpopts.EquateEmpty(),
	cmpopts.IgnoreUnexported(riposte.Instance{}),
	cmp.AllowUnexported(riposte.Envelope{}),
}

func (h *house) wantEqual(got, want any) {
	h.Helper()
	if diff := cmp.Diff(want, got, asStored); diff != "" {
		h.Fatalf("(-want +got)\n%s", diff)
	}
}

// webhook saves a new webhook; change may adapt it first.
func (h *house) webhook(change ...func(*riposte.Webhook)) riposte.Webhook {
	h.Helper()
	w := h.newWebhook()
	for _, f := range change {
		f(&w)
	}
	w, err := h.store.SaveWebhook(h.Context(), w)
	h.must(err)
	return w
}

// newWebhook makes a webhook without storing it.
func (h *house) newWebhook() riposte.Webhook {
	h.Helper()
	h.clock.Advance(time.Microsecond) // so that no two have the same times
	h.names++
	w, err := riposte.NewWebhook(fmt.Sprintf("webhook %d", h.names), "", "https://receiver.example/hook", 0, anyHost, h.now())
	h.must(err)
	return w
}

func anyHost(string) (string, error) { return "receiver.example", nil }

func bounded(maxInFlight int) func(*riposte.Webhook) {
	return func(w *riposte.Webhook) { w.Settings.MaxInFlight = maxInFlight }
}

func (h *house) deleteWebhook(w riposte.Webhook) riposte.Webhook {
	h.Helper()
	w.Delete(h.now())
	w, err := h.store.SaveWebhook(h.Context(), w)
	h.must(err)
	return w
}

var approval = riposte.InstanceRequest{Source: riposte.Source{Kind: riposte.SourceApprovalStep, TicketID: "ticket"}, Payload: []byte(`{"a": 1}`)}

// record makes an instance without storing it.
func (h *house) record(w riposte.Webhook, r riposte.InstanceRequest) riposte.NewInstanceRecord {
	h.Helper()
	h.clock.Advance(time.Microsecond)
	if r.Source.Kind == "" {
		r.Source, r.Payload = approval.Source, approval.Payload
	}
	i, e, err := riposte.NewInstance(w, r, callbackURL, h.now())
	h.must(err)
	return riposte.NewInstanceRecord{Instance: i, Envelope: e}
}

func callbackURL(id string) string { return "https://riposte.example/callback/" + id }

// create stores one instance.
func (h *house) create(w riposte.Webhook, r riposte.InstanceRequest) riposte.Instance {
	h.Helper()
	is, err := h.store.CreateInstances(h.Context(), []riposte.NewInstanceRecord{h.record(w, r)})
	h.must(err)
	return is[0]
}

// createMany stores n alike, in one batch.
func (h *house) createMany(w riposte.Webhook, n int) []riposte.Instance {
	h.Helper()
	records := make([]riposte.NewInstanceRecord, n)
	for k := range records {
		records[k] = h.record(w, approval)
	}
	is, err := h.store.CreateInstances(h.Context(), records)
	h.must(err)
	return is
}

func (h *house) claim(r riposte.ClaimRequest) riposte.Claim {
	h.Helper()
	c, err := h.store.Claim(h.Context(), r)
	h.must(err)
	return c
}

// settle claims without taking attempts until there is nothing more to do now.
func (h *house) settle(r riposte.ClaimRequest) riposte.Claim {
	h.Helper()
	for range 1000 {
		c := h.claim(r)
		if len(c.Attempts) > 0 || c.Next.IsZero() || c.Next.After(h.now()) {
			return c
		}
	}
	h.Fatalf("Claim has something to do again and again")
	return riposte.Claim{}
}

// settleLeases is settle after a restart. On a store of several nodes a lease may
// be another's, and runs out in its time.
func (h *house) settleLeases(r riposte.ClaimRequest) riposte.Claim {
	h.Helper()
	c := h.settle(r)
	if len(c.Attempts) == 0 {
		h.clock.Advance(riposte.LeaseDuration)
		c = h.settle(r)
	}
	return c
}

// claimOne claims what must be the only instance that is due.
func (h *house) claimOne() riposte.Instance {
	h.Helper()
	c := h.settle(riposte.ClaimRequest{Limit: 100})
	if len(c.Attempts) != 1 {
		h.Fatalf("claimed %d, want 1", len(c.Attempts))
	}
	return c.Attempts[0].Instance
}

// running creates an instance and claims it.
func (h *house) running(w riposte.Webhook) riposte.Instance {
	h.Helper()
	h.create(w, approval)
	return h.claimOne()
}

func (h *house) apply(i riposte.Instance, e riposte.Event) riposte.Instance {
	h.Helper()
	next, err := i.Advance(e, h.now())
	h.must(err)
	return next
}

func (h *house) save(i riposte.Instance, a *riposte.Attempt) riposte.Instance {
	h.Helper()
	saved, err := h.store.SaveInstance(h.Context(), i, a)
	h.must(err)
	return saved
}

// change applies e and saves.
func (h *house) change(i riposte.Instance, e riposte.Event) riposte.Instance {
	h.Helper()
	return h.save(h.apply(i, e), nil)
}

func (h *house) load(id string) riposte.Instance {
	h.Helper()
	i, err := h.store.LoadInstance(h.Context(), id)
	h.must(err)
	return i
}

func (h *house) wantState(id string, want riposte.State) {
	h.Helper()
	if got := h.load(id).State; got != want {
		h.Fatalf("instance is in %s, want %s", got, want)
	}
}

func (h *house) wantFailure(id string, want riposte.FailureReason) {
	h.Helper()
	i := h.load(id)
	if i.Outcome == nil || i.Outcome.Failure == nil || i.Outcome.Failure.Reason != want {
		h.Fatalf("outcome is %+v, want the failure %s", i.Outcome, want)
	}
}

func (h *house) attempts(id string) []riposte.Attempt {
	h.Helper()
	as, err := h.store.LoadAttempts(h.Context(), id)
	h.must(err)
	return as
}

// list goes on where the store stopped searching.
func (h *house) list(f riposte.InstanceFilter) []riposte.Instance {
	h.Helper()
	if f.Limit == 0 {
		f.Limit = 1000
	}
	var found []riposte.Instance
	for limit := f.Limit; ; f.Limit = limit - len(found) {
		page, err := h.store.ListInstances(h.Context(), f)
		h.must(err)
		found = append(found, page.Instances...)
		if page.Searched == "" {
			return found
		}
		if len(page.Instances) >= f.Limit || f.Before != "" && page.Searched >= f.Before {
			h.Fatalf("searched up to %s from %q on, found %d of %d", page.Searched, f.Before, len(page.Instances), f.Limit)
		}
		f.Before = page.Searched
	}
}

func ids(is []riposte.Instance) []string {
	all := make([]string, len(is))
	for n, i := range is {
		all[n] = i.ID
	}
	return all
}

func claimedIDs(c riposte.Claim) []string {
	all := make([]string, len(c.Attempts))
	for n, a := range c.Attempts {
		all[n] = a.Instance.ID
	}
	return all
}

// The events that cases need.
func attempted(status int) riposte.Attempted {
	return riposte.Attempted{Result: riposte.Result{Attempt: riposte.Attempt{StatusCode: status}, Document: approvalDocument},
		Policy: riposte.RetryFastThenSlow, Fast: riposte.DefaultFastDelay}
}

var approvalDocument = []byte(`{"version":"v1", "approve":{"comment":"yes\u0021"}}`)

func answered(via riposte.Via) riposte.Answered {
	return riposte.Answered{Via: via, Answer: riposte.Answer{Kind: riposte.OutcomeApproved, Comment: "yes!", Document: approvalDocument}}
}

// attempt is a record with every field set.
func attempt(number int, startedAt time.Time) riposte.Attempt {
	return riposte.Attempt{
		Number: number, StartedAt: startedAt, Duration: 1234567 * time.Nanosecond,
		Phases:          riposte.Phases{DNS: 1, Connect: 2, TLS: 3, FirstByte: 4 * time.Millisecond},
		StatusCode:      500,
		Error:           &riposte.AttemptError{Phase: riposte.PhaseResponse, Reason: "RESET", Message: "the connection broke"},
		ResponseHeaders: map[string][]string{"Content-Type": {"text/plain", "; x"}, "Retry-After": {"3"}},
		ResponseBody:    []byte("\x00\xff not text"),
		BodyCut:         true,
		RemoteAddress:   "[2001:db8::1]:443",
	}
}

// concurrently runs f n times at once and returns the errors in their order. f
// must not end the case, which its goroutine can't.
func concurrently(n int, f func(k int) error) []error {
	errs := make([]error, n)
	done := make(chan struct{})
	for k := range n {
		go func() {
			defer func() { done <- struct{}{} }()
			errs[k] = f(k)
		}()
	}
	for range n {
		<-done
	}
	return errs
}

func canceled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}
