package e2e

import (
	"context"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/client"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
	"github.com/riposte-dev/riposte/postgres/postgrestest"
	"github.com/riposte-dev/riposte/ripostetest"
)

// The tests in handover_*_test.go kill servers and those who take outcomes from
// them, over and over: no outcome may be lost, and who keeps the cursor with what
// it does has each once.

const (
	consumerWorkers = 3
	// handoverPatience bounds what comes without a kill: the leases of what a killed
	// node had in flight, and the pushes that a breaker has held.
	handoverPatience = 5 * time.Minute
)

func TestHandOverSurvivesKills(t *testing.T) {
	t.Parallel()
	testHandOver(t, 1, "--data", filepath.Join(t.TempDir(), "data"))
}

func TestHandOverSurvivesKillsOfNodes(t *testing.T) {
	t.Parallel()
	testHandOver(t, 3, "--database-url", postgrestest.URL(t))
}

func testHandOver(t *testing.T, nodes int, store ...string) {
	instances, kills := times(2_000, 20_000), times(20, 200)
	h := newHandover(t, nodes, store, instances/kills)
	h.load.begin()
	next := 0
	for k := range kills {
		// Those that are left for later are created while something is down.
		for upTo := (instances*k + rand.N(instances)) / kills; next < upTo; next++ {
			h.load.next <- next
		}
		h.crashOne()
	}
	for ; next < instances; next++ {
		h.load.next <- next
	}
	h.load.finish()
	h.logf("%d instances were created, and the creates of %d repeated", instances, h.load.again.Load())
	want := h.settle()
	if len(want) != instances {
		t.Errorf("there are %d instances, %d were created", len(want), instances)
	}
	h.checkWatcher(want)
	h.checkConsumer(want)
	h.checkPush(want)
	h.checkOrder(want)
}

// handover is servers, those who take their outcomes, and a load.
type handover struct {
	t        *testing.T
	started  time.Time
	balancer *balancer
	nodes    []*crashNode
	admin    *ripostetest.Client
	watcher  *taker
	workers  []*taker
	pushed   *taker
	pushes   *balancer // before it
	load     *handoverLoad
	kills    map[string]int
}

// newHandover starts them. The creates may be ahead of the kills by so many.
func newHandover(t *testing.T, nodes int, store []string, ahead int) *handover {
	t.Helper()
	h := &handover{t: t, started: time.Now(), balancer: newBalancer(t), kills: map[string]int{}}
	h.pushes = newBalancer(t)
	h.pushed = newTaker(t, "receiver", "")
	h.pushes.add(h.pushed.listen)
	for range nodes {
		// In the time that 50 attempts take, a taker is back.
		n := newCrashNodeOn(t, store, "--public-url", h.balancer.URL, "--outcome-url", h.pushes.URL, "--retry-min-delay", "20ms", "--retry-max-delay", "200ms")
		h.start(n)
		h.nodes = append(h.nodes, n)
	}
	h.admin = ripostetest.NewClient(h.balancer.URL, crashAPIKey)
	t.Cleanup(h.admin.CloseIdleConnections)
	h.watcher = newTaker(t, "watcher", h.balancer.URL)
	for range consumerWorkers {
		h.workers = append(h.workers, newTaker(t, "consumer", h.balancer.URL))
	}
	h.load = newHandoverLoad(t, h.balancer.URL, ahead)
	t.Cleanup(func() {
		for _, n := range h.nodes {
			if t.Failed() {
				t.Logf("a node's log ends with\n%s", lastLines(n.log(), 10))
			}
		}
	})
	return h
}

// start starts a node, on a port of its own each time.
func (h *handover) start(n *crashNode) {
	h.t.Helper()
	n.listen = "127.0.0.1:0"
	n.start()
	h.balancer.add(n.listen)
}

func (h *handover) logf(format string, args ...any) {
	h.t.Helper()
	h.t.Logf("after %s: "+format, append([]any{time.Since(h.started).Round(100 * time.Millisecond)}, args...)...)
}

// crashOne kills a server, the watcher, a worker of the consumer or who takes
// pushes, one as often as the other, and starts it again.
func (h *handover) crashOne() {
	h.t.Helper()
	takers := []*taker{h.watcher, h.workers[rand.N(len(h.workers))], h.pushed}
	n := rand.N(1 + len(takers))
	if n == len(takers) {
		h.crashServer()
		return
	}
	k := takers[n]
	k.crash(h.kills[k.role])
	h.kills[k.role]++
	if k == h.pushed {
		h.pushes.remove(k.listen)
		defer func() { h.pushes.add(k.listen) }()
	}
	k.start()
}

func (h *handover) crashServer() {
	h.t.Helper()
	n := h.nodes[rand.N(len(h.nodes))]
	h.kills["server"]++
	n.kill()
	h.balancer.remove(n.listen)
	h.start(n)
}

// settle waits until all instances are closed, and so all is pushed, and says what
// each has come to, in the order of the outcomes.
func (h *handover) settle() (want []effect) {
	h.t.Helper()
	h.eventually("all instances are closed", func() bool { return !h.hasOpen() })
	h.logf("all is closed, after the kills %v", h.kills)
	for token, more := "", true; more; more = token != "" {
		page := h.list("", 1000, token)
		for _, i := range page.GetList() {
			want = append(want, h.wanted(i))
		}
		token = page.GetNextPageToken()
	}
	return inOrder(want)
}

// eventually has more patience than other tests.
func (h *handover) eventually(what string, done func() bool) {
	h.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(handoverPatience); !done(); <-tick.C {
		if time.Now().After(deadline) {
			h.t.Errorf("%s: not in %s", what, handoverPatience)
			return
		}
	}
}

func (h *handover) hasOpen() bool {
	for _, s := range riposte.States {
		if !s.Closed() && len(h.list("state = "+string(s), 1, "").GetList()) > 0 {
			return true
		}
	}
	return false
}

func (h *handover) list(filter string, size int32, token string) *ripostev1.InstancesServiceListResponse {
	h.t.Helper()
	res, err := h.admin.Instances.List(patient(h.t), &ripostev1.InstancesServiceListRequest{Filter: filter, PageSize: size, PageToken: token})
	if err != nil {
		h.t.Fatalf("listing instances: %v", err)
	}
	return res
}

// wanted is an instance's effect: what its receiver answered, at the place that
// the list of instances tells.
func (h *handover) wanted(i *ripostev1.Instance) effect {
	id := i.GetWebhookInstance().GetId()
	n, ok := h.load.created[id]
	if !ok {
		h.t.Errorf("nobody created instance %s", id)
	}
	k := handoverKinds[n%len(handoverKinds)]
	document, reason := k.answer(id), "UNSPECIFIED"
	if k.failure != "" {
		document, reason = "", string(k.failure)
	}
	if kind(i) != string(k.want) || failure(i) != reason {
		h.t.Errorf("%s: instance %s came to %s %s", k.name, id, kind(i), failure(i))
	}
	return effect{instance: id, sequence: i.GetOutcome().GetSequence(), said: said(k.want, document, k.failure)}
}

// effects lists what takers have made between them.
func (h *handover) effects(of ...*taker) (all []effect) {
	h.t.Helper()
	for _, k := range of {
		all = append(all, k.effects()...)
	}
	return all
}

func (h *handover) checkWatcher(want []effect) {
	h.t.Helper()
	h.eventually("the watcher has the last outcome", func() bool {
		made := h.effects(h.watcher)
		return len(made) > 0 && len(want) > 0 && made[len(made)-1].sequence >= want[len(want)-1].sequence
	})
	h.report("watching", wrongOnce(h.effects(h.watcher), want))
	h.logf("the watcher is at the end")
}

func (h *handover) checkConsumer(want []effect) {
	h.t.Helper()
	h.eventually("all is acked", func() bool {
		res, err := h.admin.Consumers.Get(patient(h.t), &ripostev1.ConsumersServiceGetRequest{Name: consumerName})
		return err == nil && res.GetConsumer().GetLag() == 0
	})
	made := h.effects(h.workers...)
	h.report("consuming", wrongAtLeastOnce(made, want))
	h.logf("the consumer is at the end; it was given %d outcomes %d times", len(want), len(made))
}

// checkPush: what is closed was taken.
func (h *handover) checkPush(want []effect) {
	h.t.Helper()
	made := h.pushed.effects()
	h.report("taking pushes", wrongPushed(made, want))
	h.logf("%d outcomes were pushed %d times", len(want), len(made))
}

// checkOrder: whoever watches from the start, at whichever node, sees the order
// that the watcher has seen.
func (h *handover) checkOrder(want []effect) {
	h.t.Helper()
	for _, n := range h.nodes {
		c, err := client.New("http://"+n.listen, client.WithAPIKey(crashAPIKey))
		if err != nil {
			h.t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(h.t.Context(), handoverPatience)
		defer cancel()
		var seen []effect
		for o, err := range c.Watch(ctx, "0", client.Filter{}) {
			if err != nil {
				h.t.Errorf("watching once more: %v", err)
			}
			if seen = append(seen, effectOf(o)); len(seen) == len(want) {
				break
			}
		}
		if !slices.Equal(seen, want) {
			h.report("watching once more", wrongOnce(seen, want))
		}
	}
}

// report tells the first of what is wrong.
func (h *handover) report(doing string, wrong []string) {
	h.t.Helper()
	if len(wrong) > 0 {
		h.t.Errorf("%s: %d things are wrong:\n%s", doing, len(wrong), strings.Join(wrong[:min(len(wrong), 10)], "\n"))
	}
}
