package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/api"
)

// house has webhooks and instances that nobody delivers, and the API over them.
type house struct {
	t       testing.TB
	handler *api.Server
	store   riposte.Store
}

func newHouse(t testing.TB, store riposte.Store) *house {
	return &house{t, newAPIOf(t, store), store}
}

// batchReply is BatchCancel's or BatchRecreate's.
type batchReply struct {
	Canceled, Recreated, Refused int
	NextPageToken                string
}

func (h *house) send(rest string, body any) *httptest.ResponseRecorder {
	h.t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		h.t.Fatal(err)
	}
	w := httptest.NewRecorder()
	h.handler.ServeHTTP(w, newRequest(h.t.Context(), rest, string(b)))
	return w
}

func (h *house) ok(rest string, body any) []byte {
	h.t.Helper()
	w := h.send(rest, body)
	if w.Code != http.StatusOK {
		h.t.Fatalf("%s: HTTP %d, %s", rest, w.Code, w.Body)
	}
	return w.Body.Bytes()
}

func (h *house) webhook() string {
	h.t.Helper()
	return ids(h.ok("POST /api/v1/webhooks", map[string]any{"displayName": "x", "url": "https://a.example"}), "webhook")[0]
}

// ask makes n instances, the oldest first.
func (h *house) ask(webhook string, n int) []string {
	h.t.Helper()
	one := map[string]any{"webhookId": webhook, "source": map[string]any{"approvalStep": map[string]any{"ticketId": "t"}},
		"payload": map[string]any{"amount": 5}, "labels": map[string]any{"team": "red"}}
	res := h.ok("POST /api/v1/instances:batchCreate", map[string]any{"requests": slices.Repeat([]any{one}, n)})
	return ids(res, strings.Repeat("instance,", n-1)+"instance")
}

func (h *house) batch(operation string, fields map[string]any) batchReply {
	h.t.Helper()
	var r batchReply
	if err := json.Unmarshal(h.ok("POST /api/v1/instances:"+operation, fields), &r); err != nil {
		h.t.Fatal(err)
	}
	return r
}

// run makes a batch's calls until there are no more, and returns their sum and how
// many they were.
func (h *house) run(operation string, fields map[string]any) (sum batchReply, calls int) {
	h.t.Helper()
	for {
		r := h.batch(operation, fields)
		sum.Canceled += r.Canceled
		sum.Recreated += r.Recreated
		sum.Refused += r.Refused
		if calls++; r.NextPageToken == "" {
			return sum, calls
		}
		if calls > 100 {
			h.t.Fatal("there is no end to it")
		}
		fields["pageToken"] = r.NextPageToken
	}
}

func (h *house) all() []riposte.Instance {
	h.t.Helper()
	page, err := h.store.ListInstances(h.t.Context(), riposte.InstanceFilter{Limit: 10_000})
	if err != nil {
		h.t.Fatal(err)
	}
	return page.Instances
}

func (h *house) states() map[riposte.State]int {
	h.t.Helper()
	n := map[riposte.State]int{}
	for _, i := range h.all() {
		n[i.State]++
	}
	return n
}

func TestBatchCancelClosesPartByPart(t *testing.T) {
	h := newHouse(t, newStore(t))
	webhook, other := h.webhook(), h.webhook()
	asked := h.ask(webhook, 25)
	h.ask(other, 3)
	h.ok("POST /api/v1/instances/"+asked[7]+":cancel", struct{}{})
	fields := map[string]any{"filter": "webhookId = " + webhook, "pageSize": 10}

	if r := h.batch("batchCancel", fields); r.Canceled != 10 || r.Refused != 0 || r.NextPageToken == "" {
		t.Errorf("the first call: %+v", r)
	} else {
		fields["pageToken"] = r.NextPageToken
	}
	later := h.ask(webhook, 1)[0] // after the first call
	if sum, calls := h.run("batchCancel", fields); sum.Canceled != 14 || sum.Refused != 1 || calls != 2 {
		t.Errorf("the calls after it are %d: %+v", calls, sum)
	}
	for _, i := range h.all() {
		closes := slices.Contains(asked, i.ID)
		if closes != i.State.Closed() {
			t.Errorf("%s is in %s (%s is the later one)", i.ID, i.State, later)
		}
		if closes && (i.Outcome.Failure.Reason != riposte.FailureCanceled || !strings.HasPrefix(i.Outcome.Failure.Message, "canceled with the API key ")) {
			t.Errorf("%s came to %+v", i.ID, *i.Outcome.Failure)
		}
	}
}

func TestBatchSizes(t *testing.T) {
	h := newHouse(t, newStore(t))
	webhook := h.webhook()
	for range 2 {
		h.ask(webhook, 600)
	}
	for size, want := range map[int]int{1: 1, 0: 100, 2000: 1000} {
		if r := h.batch("batchCancel", map[string]any{"filter": "webhookId = " + webhook, "pageSize": size}); r.Canceled+r.Refused != want {
			t.Errorf("page size %d: %+v, want %d", size, r, want)
		}
	}
}

func TestBatchRecreateAsksTheSameAgain(t *testing.T) {
	h := newHouse(t, newStore(t))
	old := h.ask(h.webhook(), 1)[0]
	h.batch("batchRecreate", map[string]any{"filter": "ticketId = t", "requestId": "friday"})
	all := h.all()
	if len(all) != 2 {
		t.Fatalf("there are %d instances", len(all))
	}
	i := all[0]
	if i.ID == old || i.RecreatedFrom != old || i.State != riposte.StatePending || i.Source != all[1].Source || i.Labels["team"] != "red" || i.RequestID != "friday/"+old {
		t.Errorf("recreated was %+v", i)
	}
	if e, err := h.store.LoadEnvelope(t.Context(), i.ID); err != nil || string(e.Payload()) != `{"amount":5}` {
		t.Errorf("its payload is %s (%v)", e.Payload(), err)
	}
}

// TestRepeatedBatchRecreatesNothingTwice: the filter matches what is recreated, too,
// which is newer than all that the run has yet to find, and is what a run finds first
// whose first call is repeated.
func TestRepeatedBatchRecreatesNothingTwice(t *testing.T) {
	for _, size := range []int{1, 7, 10, 25, 100} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			h := newHouse(t, newStore(t))
			webhook := h.webhook()
			asked := h.ask(webhook, 25)
			fields := func(token string) map[string]any {
				return map[string]any{"filter": "webhookId = " + webhook, "requestId": "friday", "pageSize": size, "pageToken": token}
			}
			first := h.batch("batchRecreate", fields(""))
			after := h.all()
			if again := h.batch("batchRecreate", fields("")); again != first || first.Recreated != min(size, 25) {
				t.Errorf("the first call gave %+v, repeated %+v", first, again)
			}
			if got := h.all(); len(got) != len(after) || got[0].ID != after[0].ID {
				t.Errorf("repeated, it made %d of %d instances", len(got), len(after))
			}
			if first.NextPageToken != "" {
				second := h.batch("batchRecreate", fields(first.NextPageToken))
				if again := h.batch("batchRecreate", fields(first.NextPageToken)); again != second {
					t.Errorf("the second call gave %+v, repeated %+v", second, again)
				}
			}
			for _, round := range []string{"run", "repeated run"} {
				if sum, _ := h.run("batchRecreate", fields("")); sum.Recreated != 25 || sum.Refused != 0 {
					t.Errorf("the %s: %+v", round, sum)
				}
			}
			from := map[string]int{}
			for _, i := range h.all() {
				from[i.RecreatedFrom]++
			}
			for _, id := range asked {
				if from[id] != 1 || len(from) != 26 {
					t.Fatalf("recreated was from %v", from)
				}
			}
			// Another request's instances are as any others.
			other := fields("")
			other["requestId"] = "saturday"
			if sum, _ := h.run("batchRecreate", other); sum.Recreated != 50 {
				t.Errorf("with another id: %+v", sum)
			}
		})
	}
}

func TestBatchCountsWhatIsRefused(t *testing.T) {
	h := newHouse(t, newStore(t))
	deleted, live := h.webhook(), h.webhook()
	h.ask(deleted, 2)
	h.ok("DELETE /api/v1/webhooks/"+deleted, struct{}{})
	h.ask(live, 3)
	fields := map[string]any{"filter": "ticketId = t", "requestId": "friday"}
	if r := h.batch("batchRecreate", fields); r.Recreated != 3 || r.Refused != 2 || r.NextPageToken != "" {
		t.Errorf("recreating: %+v", r)
	}
	// What was made before its webhook was deleted is found again.
	h.ok("DELETE /api/v1/webhooks/"+live, struct{}{})
	if r := h.batch("batchRecreate", fields); r.Recreated != 3 || r.Refused != 2 {
		t.Errorf("repeated: %+v", r)
	}
}

// failing is a store that can't take some of what it is given.
type failing struct {
	riposte.Store
	saves, creates atomic.Int64 // how many more it takes
}

func (s *failing) SaveInstance(ctx context.Context, i riposte.Instance, a *riposte.Attempt) (riposte.Instance, error) {
	if s.saves.Add(-1) < 0 {
		return i, riposte.ErrUnavailable
	}
	return s.Store.SaveInstance(ctx, i, a)
}

func (s *failing) CreateInstances(ctx context.Context, records []riposte.NewInstanceRecord) ([]riposte.Instance, error) {
	if s.creates.Add(-1) < 0 {
		return nil, riposte.ErrUnavailable
	}
	return s.Store.CreateInstances(ctx, records)
}

func TestBatchThatTheStoreCannotTakeIsAnErrorAndMayBeRepeated(t *testing.T) {
	store := &failing{Store: newStore(t)}
	store.creates.Store(1)
	h := newHouse(t, store)
	h.ask(h.webhook(), 200)
	for operation, takes := range map[string]*atomic.Int64{"batchRecreate": &store.creates, "batchCancel": &store.saves} {
		fields := map[string]any{"filter": "ticketId = t", "pageSize": 200}
		if operation == "batchRecreate" {
			fields["requestId"] = "friday"
		}
		takes.Store(70)
		if w := h.send("POST /api/v1/instances:"+operation, fields); w.Code != http.StatusServiceUnavailable {
			t.Errorf("%s: HTTP %d, %s", operation, w.Code, w.Body)
		}
		if n := takes.Load(); n < -64 {
			t.Errorf("%s went on for %d after the store had failed", operation, -n)
		}
		takes.Store(1000)
		h.batch(operation, fields)
	}
	// 200 and as many again, of which the batch of the canceled found the newer half.
	if states := h.states(); states[riposte.StatePending]+states[riposte.StateFatalError] != 400 || states[riposte.StateFatalError] < 200 {
		t.Errorf("there are %v", states)
	}
}

// cursory is a store that looks at a few instances at a time.
type cursory struct {
	riposte.Store
	looks int
}

func (s cursory) ListInstances(ctx context.Context, f riposte.InstanceFilter) (riposte.InstancePage, error) {
	looked := f
	looked.Limit, looked.State = min(f.Limit, s.looks), ""
	page, err := s.Store.ListInstances(ctx, looked)
	last := ""
	if n := len(page.Instances); n == looked.Limit {
		last = page.Instances[n-1].ID
	}
	page.Instances = slices.DeleteFunc(page.Instances, func(i riposte.Instance) bool { return f.State != "" && i.State != f.State })
	if len(page.Instances) < f.Limit {
		page.Searched = last
	}
	return page, err
}

func TestListsGoOnWhereTheStoreStoppedLooking(t *testing.T) {
	h := newHouse(t, cursory{newStore(t), 4})
	asked := h.ask(h.webhook(), 30)
	for _, id := range asked[8:] {
		h.ok("POST /api/v1/instances/"+id+":cancel", struct{}{})
	}
	if r := h.batch("batchCancel", map[string]any{"filter": "state = PENDING", "pageSize": 10}); r.Canceled != 0 || r.NextPageToken == "" {
		t.Errorf("the first call: %+v", r)
	}
	if sum, _ := h.run("batchRecreate", map[string]any{"filter": "state = PENDING", "pageSize": 3, "requestId": "friday"}); sum.Recreated != 8 {
		t.Errorf("recreating: %+v", sum)
	}
	if sum, _ := h.run("batchCancel", map[string]any{"filter": "state = PENDING", "pageSize": 10}); sum.Canceled != 16 || sum.Refused != 0 {
		t.Errorf("canceling: %+v", sum)
	}
}

// repeated is a store in which a batch finds nothing but what it made itself.
type repeated struct {
	riposte.Store
	looks int
}

func (s *repeated) ListInstances(_ context.Context, f riposte.InstanceFilter) (riposte.InstancePage, error) {
	if s.looks++; s.looks > 30 {
		return riposte.InstancePage{}, nil
	}
	page := riposte.InstancePage{Instances: make([]riposte.Instance, f.Limit)}
	for n := range page.Instances {
		id := fmt.Sprintf("%024d", 1_000_000_000-s.looks*riposte.MaxBatch-n)
		page.Instances[n] = riposte.Instance{ID: id, RecreatedFrom: "old", RequestID: "friday/old"}
	}
	return page, nil
}

// TestBatchThatFindsItsOwnAloneAnswers with a token to go on from, before it has
// looked at all there are.
func TestBatchThatFindsItsOwnAloneAnswers(t *testing.T) {
	store := &repeated{Store: newStore(t)}
	h := newHouse(t, store)
	r := h.batch("batchRecreate", map[string]any{"filter": "ticketId = t", "requestId": "friday"})
	if r.Recreated+r.Refused != 0 || r.NextPageToken == "" || store.looks > 10 {
		t.Errorf("after %d looks: %+v", store.looks, r)
	}
}

func TestBatchTokenIsForItsBatchAlone(t *testing.T) {
	h := newHouse(t, newStore(t))
	h.ask(h.webhook(), 3)
	cancel := h.batch("batchCancel", map[string]any{"filter": "ticketId = t", "pageSize": 1}).NextPageToken
	recreate := h.batch("batchRecreate", map[string]any{"filter": "ticketId = t", "requestId": "friday", "pageSize": 1}).NextPageToken
	for name, c := range map[string]struct {
		operation string
		fields    map[string]any
	}{
		"another filter":    {"batchCancel", map[string]any{"filter": "ticketId = t AND state = PENDING", "pageToken": cancel}},
		"another operation": {"batchRecreate", map[string]any{"filter": "ticketId = t", "requestId": "friday", "pageToken": cancel}},
		"another request":   {"batchRecreate", map[string]any{"filter": "ticketId = t", "requestId": "monday", "pageToken": recreate}},
		"another list":      {"batchCancel", map[string]any{"filter": "ticketId = t", "pageToken": api.PageToken("000000000000000000000000", "instances", "ticketId = t")}},
	} {
		if w := h.send("POST /api/v1/instances:"+c.operation, c.fields); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "pageToken must be one that") {
			t.Errorf("%s: HTTP %d, %s", name, w.Code, w.Body)
		}
	}
}

// hasty is a store that stops counting at a thousandth of what it is asked for.
type hasty struct{ riposte.Store }

func (s hasty) CountMatching(ctx context.Context, f riposte.InstanceFilter, atMost int) (int, bool, error) {
	return s.Store.CountMatching(ctx, f, atMost/1000)
}

func TestCountStopsAtItsBound(t *testing.T) {
	h := newHouse(t, hasty{newStore(t)})
	h.ask(h.webhook(), 3)
	webhook := h.webhook()
	for _, c := range []struct {
		asked        int // more
		filter, want string
	}{
		{0, "webhookId = " + webhook, `{"count":0,"more":false}`},
		{9, "webhookId = " + webhook + " AND state = PENDING", `{"count":9,"more":false}`},
		{1, "webhookId = " + webhook, `{"count":10,"more":false}`},
		{1, "webhookId = " + webhook, `{"count":10,"more":true}`},
		{0, "", `{"count":10,"more":true}`},
	} {
		if c.asked > 0 {
			h.ask(webhook, c.asked)
		}
		w := httptest.NewRecorder()
		h.handler.ServeHTTP(w, newRequest(t.Context(), "GET /api/v1/instances:count?filter="+url.QueryEscape(c.filter), ""))
		if got := string(compact(t, w.Body.Bytes())); got != c.want {
			t.Errorf("%q: %s, want %s", c.filter, got, c.want)
		}
	}
}
