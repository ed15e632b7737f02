package e2e

import (
	"fmt"
	"iter"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/riposte-dev/riposte"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
	"github.com/riposte-dev/riposte/ripostetest"
	"github.com/riposte-dev/riposte/server"
	"github.com/riposte-dev/riposte/sqlite"
)

const (
	loadInstances = 10_000
	loadCallers   = 64
	loadPatience  = 10 * time.Minute // the machine may be busy with other tests
	// loadSample: the history of one in so many instances is compared with the
	// receivers' log; of all others, how many attempts were made.
	loadSample = 10
)

// loadKinds are the receivers, and what becomes of an instance at each.
var loadKinds = []struct {
	name     string
	script   func(ripostetest.Delivery) ripostetest.Reply
	attempts int // at least; 0: it comes to no end
	via      string
}{
	{"answers", always(ripostetest.Reply{Body: crashApproval}), 1, "SYNC"},
	{"calls back", always(ripostetest.Reply{Status: http.StatusAccepted, Callback: crashApproval}), 1, "CALLBACK"},
	{"fails twice", inTurn(ripostetest.Reply{Status: 500}, ripostetest.Reply{Status: 500}, ripostetest.Reply{Body: crashApproval}), 3, "SYNC"},
	{"hangs", always(ripostetest.Reply{Hang: true}), 0, ""},
}

// TestEveryInstanceUnderLoadComesToOneOutcome, but for those whose receiver
// hangs, and those hold up nobody.
//
// The server is the binary, in a process of its own, because the race detector
// would make it eight times slower.
func TestEveryInstanceUnderLoadComesToOneOutcome(t *testing.T) {
	l := newLoad(t)
	began := time.Now()
	created := l.createAll(loadInstances)
	t.Logf("%d instances were created after %s", loadInstances, time.Since(began))
	l.waitUntilAllButTheHangingAreClosed()
	t.Logf("and all but the hanging ones closed after %s", time.Since(began))

	sequences := map[int64]string{}
	for k := range loadKinds {
		l.check(k, created[k], sequences)
	}
	l.checkHistory(created)
	t.Logf("and all was checked after %s", time.Since(began))
}

// load is a server with a webhook and a receiver of each kind.
type load struct {
	*crashNode
	t        *testing.T
	webhooks []string

	mu    sync.Mutex
	asked []map[string][]int // by kind, the attempts that reached an instance's receiver
}

func newLoad(t *testing.T) *load {
	t.Helper()
	l := &load{t: t, crashNode: newCrashNode(t)}
	for k, kind := range loadKinds {
		r := newReceiver(t, func(d ripostetest.Delivery) ripostetest.Reply {
			l.note(k, d)
			return kind.script(d)
		})
		l.asked = append(l.asked, map[string][]int{})
		l.webhooks = append(l.webhooks, l.newWebhook(r.URL))
	}
	return l
}

func (l *load) note(k int, d ripostetest.Delivery) {
	attempt, err := strconv.Atoi(d.Header.Get("Webhook-Attempt"))
	if err != nil {
		l.t.Errorf("Webhook-Attempt: %v", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked[k][d.Envelope.WebhookID] = append(l.asked[k][d.Envelope.WebhookID], attempt)
}

// askedFor lists the attempts that reached an instance's receiver.
func (l *load) askedFor(k int, id string) []int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.asked[k][id])
}

// createAll has the callers create n instances, one in turn on each webhook,
// and returns their ids by kind.
func (l *load) createAll(n int) [][]string {
	ids := make([]string, n)
	next := make(chan int)
	var callers sync.WaitGroup
	for range loadCallers {
		callers.Go(func() {
			for at := range next {
				ids[at] = l.create(l.webhooks[at%len(l.webhooks)])
			}
		})
	}
	for at := range n {
		next <- at
	}
	close(next)
	callers.Wait()

	byKind := make([][]string, len(l.webhooks))
	for at, id := range ids {
		byKind[at%len(l.webhooks)] = append(byKind[at%len(l.webhooks)], id)
	}
	return byKind
}

func (l *load) create(webhook string) string {
	res, err := l.Instances.Create(l.t.Context(), crashRequest(webhook, ""))
	if err != nil {
		l.t.Errorf("creating an instance: %v", err)
	}
	return res.GetInstance().GetWebhookInstance().GetId()
}

func (l *load) waitUntilAllButTheHangingAreClosed() {
	l.t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(loadPatience)
	for k, kind := range loadKinds {
		for kind.attempts > 0 && l.hasOpen(k) {
			select {
			case <-tick.C:
			case <-deadline:
				l.t.Fatalf("%s: there are open instances after %s", kind.name, loadPatience)
			}
		}
	}
}

func (l *load) hasOpen(k int) bool {
	l.t.Helper()
	for _, s := range riposte.States {
		if !s.Closed() && len(l.page(fmt.Sprintf("webhookId = %q AND state = %s", l.webhooks[k], s), 1, "").GetList()) > 0 {
			return true
		}
	}
	return false
}

func (l *load) page(filter string, size int32, token string) *ripostev1.InstancesServiceListResponse {
	l.t.Helper()
	res, err := l.Instances.List(l.t.Context(), &ripostev1.InstancesServiceListRequest{Filter: filter, PageSize: size, PageToken: token})
	if err != nil {
		l.t.Fatalf("listing instances: %v", err)
	}
	return res
}

// all goes through a webhook's instances by the largest pages.
func (l *load) all(k int) iter.Seq[*ripostev1.Instance] {
	return func(yield func(*ripostev1.Instance) bool) {
		for token, more := "", true; more; more = token != "" {
			page := l.page(fmt.Sprintf("webhookId = %q", l.webhooks[k]), 1000, token)
			for _, i := range page.GetList() {
				if !yield(i) {
					return
				}
			}
			token = page.GetNextPageToken()
		}
	}
}

// check looks at each instance of a kind through the API: every one that was
// created is there once, and is open where the receiver hangs; else it is closed
// with an outcome of its own.
func (l *load) check(k int, created []string, sequences map[int64]string) {
	l.t.Helper()
	listed := map[string]bool{}
	for i := range l.all(k) {
		id := i.GetWebhookInstance().GetId()
		listed[id] = true
		if loadKinds[k].attempts == 0 {
			l.checkHanging(k, i)
			continue
		}
		l.checkClosed(k, i)
		sequence := i.GetOutcome().GetSequence()
		if other, taken := sequences[sequence]; taken {
			l.t.Errorf("instances %s and %s have the same outcome, number %d", id, other, sequence)
		}
		sequences[sequence] = id
	}
	for _, id := range created {
		if !listed[id] {
			l.t.Errorf("%s: instance %s was created and is not listed", loadKinds[k].name, id)
		}
	}
	if len(listed) != len(created) {
		l.t.Errorf("%s: %d were created, %d are listed", loadKinds[k].name, len(created), len(listed))
	}
}

// checkHanging: what was attempted hangs, or waits for its next attempt after a
// timeout; the rest waits for its turn.
func (l *load) checkHanging(k int, i *ripostev1.Instance) {
	l.t.Helper()
	w := i.GetWebhookInstance()
	begun := state(i) == "RUNNING" || state(i) == "ERROR"
	if i.GetOutcome() != nil || begun != (w.GetAttempts() > 0) || !begun && state(i) != "PENDING" {
		l.t.Errorf("%s: instance %s is in %s after %d attempts, with %v", loadKinds[k].name, w.GetId(), state(i), w.GetAttempts(), i.GetOutcome())
	}
}

func (l *load) checkClosed(k int, i *ripostev1.Instance) {
	l.t.Helper()
	want, w := loadKinds[k], i.GetWebhookInstance()
	if state(i) != "SUCCESS" || kind(i) != "APPROVED" || via(i) != want.via {
		l.t.Errorf("%s: instance %s is in %s with %s via %s", want.name, w.GetId(), state(i), kind(i), via(i))
	}
	if asked := l.askedFor(k, w.GetId()); len(asked) < want.attempts || int(w.GetAttempts()) < len(asked) {
		l.t.Errorf("%s: instance %s has %d attempts, its receiver got %v, want %d", want.name, w.GetId(), w.GetAttempts(), asked, want.attempts)
	}
}

// checkHistory compares what is on disk with what the receivers noted: each
// attempt that reached one is recorded, and no other has a status.
func (l *load) checkHistory(created [][]string) {
	l.t.Helper()
	l.kill()
	store, err := sqlite.Open(l.t.Context(), l.data, sqlite.Options{})
	if err != nil {
		l.t.Fatal(err)
	}
	defer store.Close()
	for k, ids := range created {
		if loadKinds[k].attempts == 0 {
			continue
		}
		for at := 0; at < len(ids); at += loadSample {
			recorded, err := store.LoadAttempts(l.t.Context(), ids[at])
			if err != nil {
				l.t.Fatal(err)
			}
			l.compareHistory(k, ids[at], recorded)
		}
	}
}

func (l *load) compareHistory(k int, id string, recorded []riposte.Attempt) {
	l.t.Helper()
	var all, answered []int
	for _, a := range recorded {
		all = append(all, a.Number)
		if a.StatusCode != 0 {
			answered = append(answered, a.Number)
		}
	}
	asked := l.askedFor(k, id)
	outside := func(set []int) func(int) bool { return func(n int) bool { return !slices.Contains(set, n) } }
	if slices.ContainsFunc(asked, outside(all)) || slices.ContainsFunc(answered, outside(asked)) {
		l.t.Errorf("%s: instance %s has the attempts %v on disk, %v of them answered; its receiver got %v", loadKinds[k].name, id, all, answered, asked)
	}
}

// TestHangingReceiversBacklogHoldsUpNobody: its bound is its own, and no
// backlog of it delays the others.
func TestHangingReceiversBacklogHoldsUpNobody(t *testing.T) {
	const backlog, others = 2000, 100
	// A clock that stands still lets no lease run out: what hangs hangs to the end.
	start := time.Now()
	s := ripostetest.Start(t, func(c *server.Config) {
		c.Now, c.AttemptTimeout = func() time.Time { return start }, 2*patience
	})
	hanging := newReceiver(t, always(ripostetest.Reply{Hang: true}))
	healthy := newReceiver(t, always(ripostetest.Reply{Body: crashApproval}))
	closed := make(chan struct{}, others)
	t.Cleanup(s.Subscribe(func(i riposte.Instance) {
		if i.State.Closed() {
			closed <- struct{}{}
		}
	}))
	blocked := newWebhook(t, s, hanging.URL)
	for range backlog / riposte.MaxBatch {
		loadBatch(t, s, blocked, riposte.MaxBatch)
	}
	delivered(t, hanging, "", riposte.DefaultMaxInFlight)

	loadBatch(t, s, newWebhook(t, s, healthy.URL), others)
	deadline := patient(t)
	for range others {
		select {
		case <-closed:
		case <-deadline.Done():
			t.Fatalf("the healthy receiver was asked %d times in %s", len(healthy.Deliveries("")), patience)
		}
	}
	if hung := len(hanging.Deliveries("")); hung != riposte.DefaultMaxInFlight {
		t.Errorf("%d attempts hang, want %d", hung, riposte.DefaultMaxInFlight)
	}
}

// loadBatch creates n instances at once.
func loadBatch(t *testing.T, s *ripostetest.Server, webhook string, n int) {
	t.Helper()
	r := &ripostev1.InstancesServiceBatchCreateRequest{}
	for range n {
		r.Requests = append(r.Requests, crashRequest(webhook, ""))
	}
	if _, err := s.Instances.BatchCreate(patient(t), r); err != nil {
		t.Fatalf("creating %d instances: %v", n, err)
	}
}
