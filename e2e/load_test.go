package e2e

import (
	"fmt"
	"iter"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/riposte-dev/riposte"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
	"github.com/riposte-dev/riposte/ripostetest"
	"github.com/riposte-dev/riposte/sqlite"
)

const (
	loadInstances = 1_000
	loadCallers   = 64
	loadPatience  = 5 * time.Minute // the machine may be busy with other tests
)

// loadKinds are the receivers, and what becomes of an instance at each.
var loadKinds = []struct {
	name     string
	script   func(ripostetest.Delivery) ripostetest.Reply
	attempts int // 0: it comes to no end
	via      string
}{
	{"answers", always(ripostetest.Reply{Body: crashApproval}), 1, "SYNC"},
	{"calls back", always(ripostetest.Reply{Status: http.StatusAccepted, Callback: crashApproval}), 1, "CALLBACK"},
	{"fails twice", inTurn(ripostetest.Reply{Status: 500}, ripostetest.Reply{Status: 500}, ripostetest.Reply{Body: crashApproval}), 3, "SYNC"},
	{"hangs", always(ripostetest.Reply{Hang: true}), 0, ""},
}

// TestEveryInstanceUnderLoadComesToOneOutcome, but for those whose receiver
// hangs, and those hold up nobody.
func TestEveryInstanceUnderLoadComesToOneOutcome(t *testing.T) {
	l := newLoad(t)
	began := time.Now()
	created := l.createAll(loadInstances)
	t.Logf("%d instances were created after %s", loadInstances, time.Since(began))
	l.waitForOutcomes(loadInstances / len(loadKinds) * (len(loadKinds) - 1))
	t.Logf("and all but the hanging ones closed after %s", time.Since(began))

	sequences := map[int64]string{}
	for k := range loadKinds {
		l.check(k, created[k], sequences)
	}
	l.checkHistory(created)
}

// load is a server, with a webhook and a receiver of each kind.
type load struct {
	t         *testing.T
	server    *ripostetest.Server
	webhooks  []string
	receivers []*ripostetest.Receiver

	mu    sync.Mutex
	asked []map[string]int // by kind, how often each instance's receiver was asked
	ended map[int64]bool   // outcomes by sequence
	moved chan struct{}
}

func newLoad(t *testing.T) *load {
	t.Helper()
	l := &load{t: t, server: ripostetest.Start(t, retryAfter(5*time.Millisecond)), ended: map[int64]bool{}, moved: make(chan struct{}, 1)}
	for k, kind := range loadKinds {
		r := newReceiver(t, func(d ripostetest.Delivery) ripostetest.Reply {
			l.mu.Lock()
			l.asked[k][d.Envelope.WebhookID]++
			l.mu.Unlock()
			return kind.script(d)
		})
		l.asked = append(l.asked, map[string]int{})
		l.receivers = append(l.receivers, r)
		l.webhooks = append(l.webhooks, newWebhook(t, l.server, r.URL))
	}
	t.Cleanup(l.server.Subscribe(l.changed))
	return l
}

func (l *load) changed(i riposte.Instance) {
	if i.Outcome == nil {
		return
	}
	l.mu.Lock()
	l.ended[i.Outcome.Sequence] = true
	l.mu.Unlock()
	select {
	case l.moved <- struct{}{}:
	default:
	}
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
	res, err := l.server.Instances.Create(l.t.Context(), crashRequest(webhook, ""))
	if err != nil {
		l.t.Errorf("creating an instance: %v", err)
	}
	return res.GetInstance().GetWebhookInstance().GetId()
}

func (l *load) waitForOutcomes(n int) {
	l.t.Helper()
	deadline := time.After(loadPatience)
	for l.outcomes() < n {
		select {
		case <-l.moved:
		case <-deadline:
			l.t.Fatalf("%d of %d instances came to an outcome", l.outcomes(), n)
		}
	}
}

func (l *load) outcomes() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.ended)
}

// check looks at each instance of a kind through the API: every one that was
// created is there once, and is open where the receiver hangs; else it is closed
// with an outcome of its own, after as many attempts as reached the receiver.
func (l *load) check(k int, created []string, sequences map[int64]string) {
	l.t.Helper()
	listed := map[string]bool{}
	for i := range l.list(l.webhooks[k]) {
		id := i.GetWebhookInstance().GetId()
		listed[id] = true
		if loadKinds[k].attempts == 0 {
			if i.GetOutcome() != nil {
				l.t.Errorf("instance %s came to %v though its receiver hangs", id, i.GetOutcome())
			}
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

func (l *load) checkClosed(k int, i *ripostev1.Instance) {
	l.t.Helper()
	want, w := loadKinds[k], i.GetWebhookInstance()
	if state(i) != "SUCCESS" || kind(i) != "APPROVED" || via(i) != want.via {
		l.t.Errorf("%s: instance %s is in %s with %s via %s", want.name, w.GetId(), state(i), kind(i), via(i))
	}
	if asked := l.askedFor(k, w.GetId()); asked != want.attempts || int(w.GetAttempts()) != asked {
		l.t.Errorf("%s: instance %s has %d attempts, its receiver was asked %d times, want %d", want.name, w.GetId(), w.GetAttempts(), asked, want.attempts)
	}
}

// askedFor is how often a receiver was asked about an instance.
func (l *load) askedFor(k int, id string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.asked[k][id]
}

// list goes through a webhook's instances by the largest pages.
func (l *load) list(webhook string) iter.Seq[*ripostev1.Instance] {
	return func(yield func(*ripostev1.Instance) bool) {
		r := &ripostev1.InstancesServiceListRequest{Filter: fmt.Sprintf("webhookId = %q", webhook), PageSize: 1000}
		for {
			res, err := l.server.Instances.List(l.t.Context(), r)
			if err != nil {
				l.t.Fatalf("listing instances: %v", err)
			}
			for _, i := range res.GetList() {
				if !yield(i) {
					return
				}
			}
			if r.PageToken = res.GetNextPageToken(); r.PageToken == "" {
				return
			}
		}
	}
}

// checkHistory compares what is on disk with what the receivers noted: each
// attempt that reached one of those that answer is recorded, and no other.
func (l *load) checkHistory(created [][]string) {
	l.t.Helper()
	for _, r := range l.receivers {
		r.Close() // so that those that hang don't hold up the stop
	}
	l.server.Stop()
	store, err := sqlite.Open(l.t.Context(), l.server.Config.Data, sqlite.Options{})
	if err != nil {
		l.t.Fatal(err)
	}
	defer store.Close()
	for k, ids := range created {
		if loadKinds[k].attempts == 0 {
			continue
		}
		for _, id := range ids {
			recorded, err := store.LoadAttempts(l.t.Context(), id)
			if err != nil {
				l.t.Fatal(err)
			}
			if asked := l.askedFor(k, id); len(recorded) != asked {
				l.t.Errorf("%s: instance %s has %d attempts on disk, its receiver was asked %d times", loadKinds[k].name, id, len(recorded), asked)
			}
		}
	}
}

// TestHangingReceiversBacklogHoldsUpNobody: its place in line is not shared.
func TestHangingReceiversBacklogHoldsUpNobody(t *testing.T) {
	s := ripostetest.Start(t)
	hanging := newReceiver(t, always(ripostetest.Reply{Hang: true}))
	healthy := newReceiver(t, always(ripostetest.Reply{Body: crashApproval}))
	var closed sync.WaitGroup
	closed.Add(500)
	defer s.Subscribe(func(i riposte.Instance) {
		if i.State.Closed() {
			closed.Done()
		}
	})()
	blocked := newWebhook(t, s, hanging.URL)
	loadBatch(t, s, blocked, 1000)
	loadBatch(t, s, blocked, 1000)
	delivered(t, hanging, "", riposte.DefaultMaxInFlight)

	began := time.Now()
	loadBatch(t, s, newWebhook(t, s, healthy.URL), 500)
	closed.Wait()
	t.Logf("the healthy receiver's 500 came to their outcomes after %s, while %d of the other's 2,000 hang", time.Since(began), s.InFlight())
	if n := len(healthy.Deliveries("")); n != 500 {
		t.Errorf("the healthy receiver was asked %d times, want 500", n)
	}
	if n := s.InFlight(); n != riposte.DefaultMaxInFlight {
		t.Errorf("%d attempts are in flight, want the hanging receiver's %d", n, riposte.DefaultMaxInFlight)
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
