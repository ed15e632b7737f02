package e2e

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/ripostetest"
)

const (
	// callTimeout: no node lets anybody wait longer, whatever its database does.
	callTimeout = 15 * time.Second
	// clusterCallers each ask about two questions a second.
	clusterCallers = 12
	// slowest is the longest that a receiver takes its time: long enough for
	// some to be busy whenever a node is killed.
	slowest = 8 * time.Second
)

// clusterKind is what a receiver does, and what its callers do.
type clusterKind struct {
	name     string
	failures int  // attempts that get a 500 before the answer
	slow     bool // the answer takes its time
	later    bool // 202, and a callback to any node
	silent   bool // 202 alone
	cancel   bool // the caller cancels it
}

var clusterKinds = []clusterKind{
	{name: "answers"},
	{name: "answers slowly", slow: true},
	{name: "fails twice", failures: 2},
	{name: "calls back", later: true},
	{name: "is canceled", silent: true, cancel: true},
	{name: "calls back and is canceled", later: true, cancel: true},
}

// clusterLoad asks all nodes of a cluster, and keeps books of what it was told
// and of what its receivers were asked.
type clusterLoad struct {
	*cluster
	t        *testing.T
	started  time.Time
	client   *http.Client
	webhooks []string // by kind
	stop     chan struct{}
	ctx      context.Context // ends when nobody tries any longer
	giveUp   context.CancelFunc
	callers  sync.WaitGroup
	answers  sync.WaitGroup
	refused  atomic.Int64 // calls that got a 503
	wrong    atomic.Int64 // errors so far

	mu        sync.Mutex
	questions map[string]*question        // by requestId
	requests  map[string][]*request       // by instance, as they came
	callbacks map[string]callback         // by document
	before    map[string]riposte.Instance // closed instances as they once were
}

// question is what a caller asked, and what it was told.
type question struct {
	kind      *clusterKind
	requestID string
	id        string // "" as long as no node has accepted it
	canceled  bool   // a node said so
	outcomes  []clusterOutcome
}

// request is one that a receiver got.
type request struct {
	kind        *clusterKind
	id          string
	number      int
	node        string
	at, replied time.Time // replied is zero as long as it hangs
	status      int
	document    string
}

// callback is what became of a document that was posted to a callback URL.
type callback struct {
	id    string
	taken bool
}

// clusterReply is what is read of a node's answer, whatever it is.
type clusterReply struct {
	status   int
	Message  string
	Details  []clusterDetail
	Instance struct {
		WebhookInstance struct{ ID string }
		Outcome         *clusterOutcome
	}
}

type clusterDetail struct {
	Reason   string
	Metadata struct{ SameDocument string }
}

type clusterOutcome struct{ Kind, Via, DocumentJSON, Sequence, DecidedAt string }

// newClusterLoad makes a webhook and a receiver of each kind.
func newClusterLoad(t *testing.T, c *cluster) *clusterLoad {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	l := &clusterLoad{cluster: c, t: t, started: time.Now(), client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clusterCallers}},
		stop: make(chan struct{}), ctx: ctx, giveUp: cancel,
		questions: map[string]*question{}, requests: map[string][]*request{}, callbacks: map[string]callback{}, before: map[string]riposte.Instance{}}
	for k := range clusterKinds {
		kind := &clusterKinds[k]
		r := newReceiver(t, func(d ripostetest.Delivery) ripostetest.Reply { return l.receive(kind, d) })
		l.webhooks = append(l.webhooks, c.nodes[k%len(c.nodes)].newWebhook(r.URL))
	}
	t.Cleanup(func() {
		l.giveUp()
		l.endCalls()
		l.client.CloseIdleConnections()
	})
	return l
}

// begin has the callers ask until finish.
func (l *clusterLoad) begin() {
	for range clusterCallers {
		l.callers.Go(l.ask)
	}
}

// endCalls returns when nobody calls any more.
func (l *clusterLoad) endCalls() {
	select {
	case <-l.stop:
	default:
		close(l.stop)
	}
	l.callers.Wait()
	l.answers.Wait()
}

// finish has the callers end what they began, and gives that a bound.
func (l *clusterLoad) finish() {
	l.t.Helper()
	timer := time.AfterFunc(2*patience, l.giveUp)
	l.endCalls()
	if !timer.Stop() {
		l.t.Errorf("after %s there are calls that no node takes", 2*patience)
	}
	l.logf("%d questions were asked, %d calls refused", len(l.questions), l.refused.Load())
}

// logf also tells how long it took so far.
func (l *clusterLoad) logf(format string, args ...any) {
	l.t.Helper()
	l.t.Logf("after %s: "+format, append([]any{time.Since(l.started).Round(time.Second)}, args...)...)
}

// errorf tells the first errors in full; a thousand more of the same help nobody.
func (l *clusterLoad) errorf(format string, args ...any) {
	l.t.Helper()
	if n := l.wrong.Add(1); n <= 20 {
		l.t.Errorf(format, args...)
	} else {
		l.t.Fail()
	}
}

// ask is one caller.
func (l *clusterLoad) ask() {
	for {
		select {
		case <-l.stop:
			return
		case <-time.After(rand.N(800 * time.Millisecond)):
			l.askOne(rand.N(len(clusterKinds)))
		}
	}
}

// question is one that has not been asked yet.
func (l *clusterLoad) question(k int) *question {
	q := &question{kind: &clusterKinds[k], requestID: fmt.Sprintf("request-%x", rand.Uint64())}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.questions[q.requestID] = q
	return q
}

func (l *clusterLoad) accepted(q *question, id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	q.id = id
}

func (l *clusterLoad) askOne(k int) {
	q := l.question(k)
	id, node, ok := l.create(k, q, nil)
	if !ok {
		return
	}
	l.accepted(q, id)
	if rand.N(4) == 0 {
		if again, other, ok := l.create(k, q, node); ok && again != id {
			l.errorf("request %s is instance %s at %s and %s at %s", q.requestID, id, node.name, again, other.name)
		}
	}
	if q.kind.cancel {
		l.cancel(q, node)
	}
	if rand.N(5) == 0 {
		l.wait(q, node)
	}
}

// create asks one node after the other until one accepts the question, first of
// all another one than not.
func (l *clusterLoad) create(k int, q *question, not *clusterNode) (id string, by *clusterNode, ok bool) {
	path, body := l.creation(k, q)
	reply, by, ok := l.persist(not, http.MethodPost, path, body)
	if ok && reply.status != http.StatusOK {
		l.errorf("%s: creating an instance got %d: %s", by.name, reply.status, reply.Message)
		return "", by, false
	}
	return reply.Instance.WebhookInstance.ID, by, ok
}

// creation is the call that asks a question.
func (l *clusterLoad) creation(k int, q *question) (path, body string) {
	return "/api/v1/webhooks/" + l.webhooks[k] + "/instances",
		fmt.Sprintf(`{"source":{"approvalStep":{"ticketId":"T-1"}},"requestId":%q}`, q.requestID)
}

func (l *clusterLoad) cancel(q *question, not *clusterNode) {
	reply, by, ok := l.persist(not, http.MethodPost, "/api/v1/instances/"+q.id+":cancel", "{}")
	if !ok {
		return
	}
	// A node that lost its connection may have canceled it all the same, and
	// the next one finds it closed; the outcome says by whom.
	if reply.status != http.StatusOK && !reply.hasReason("INSTANCE_CLOSED") {
		l.errorf("%s: canceling %s got %d: %s", by.name, q.id, reply.status, reply.Message)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	q.canceled = reply.status == http.StatusOK
}

// wait is told the outcome by another node, or that there is none yet.
func (l *clusterLoad) wait(q *question, not *clusterNode) {
	reply, ok := l.call(l.pick(not), http.MethodGet, "/api/v1/instances/"+q.id+":wait?timeout=3s", "")
	if !ok {
		return
	}
	if reply.status != http.StatusOK {
		l.errorf("waiting for %s got %d: %s", q.id, reply.status, reply.Message)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if reply.Instance.Outcome != nil {
		q.outcomes = append(q.outcomes, *reply.Instance.Outcome)
	}
}

// persist calls one node after the other until one has an answer, first of all
// another one than not.
func (l *clusterLoad) persist(not *clusterNode, method, path, body string) (clusterReply, *clusterNode, bool) {
	for {
		n := l.pick(not)
		if reply, ok := l.call(n, method, path, body); ok {
			return reply, n, true
		}
		not = n
		select {
		case <-l.ctx.Done():
			return clusterReply{}, n, false
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// pick chooses another node than not, if it can. Few wait for one that is known
// to be away, else all would.
func (l *clusterLoad) pick(not *clusterNode) *clusterNode {
	now := time.Now()
	var there, others []*clusterNode
	all := l.members()
	for _, n := range all {
		if n.calls.Load() > 0 && n.excused(now, now) {
			continue
		}
		if there = append(there, n); n != not {
			others = append(others, n)
		}
	}
	for _, from := range [][]*clusterNode{others, there, all} {
		if len(from) > 0 {
			return from[rand.N(len(from))]
		}
	}
	return nil
}

// call returns a node's answer, and false where it had none to give: a 503, a
// 504 (the database went away before it said whether it committed, so that one
// calls again), or a connection that a fault of the node's excuses.
func (l *clusterLoad) call(n *clusterNode, method, path, body string) (clusterReply, bool) {
	n.calls.Add(1)
	defer n.calls.Add(-1)
	began := time.Now()
	res, err := l.send(l.ctx, n, method, path, body)
	switch {
	case err != nil && (l.ctx.Err() != nil || n.excused(began, time.Now())):
		return res, false
	case err != nil:
		l.errorf("%s: %s %s after %s: %v", n.name, method, path, time.Since(began).Round(time.Millisecond), err)
		return res, false
	case res.status == http.StatusServiceUnavailable, res.status == http.StatusGatewayTimeout:
		l.refused.Add(1)
		return res, false
	}
	return res, true
}

var errNobodyListens = errors.New("nobody listens")

func (l *clusterLoad) send(ctx context.Context, n *clusterNode, method, path, body string) (reply clusterReply, err error) {
	base := n.address()
	if base == "" {
		return reply, errNobodyListens
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, base+path, strings.NewReader(body))
	if err != nil {
		return reply, err
	}
	req.Header.Set("Authorization", "Bearer "+crashAPIKey)
	req.Header.Set("Content-Type", "application/json")
	res, err := l.client.Do(req)
	if err != nil {
		return reply, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return reply, err
	}
	reply.status = res.StatusCode
	if res.StatusCode == http.StatusServiceUnavailable && res.Header.Get("Retry-After") == "" {
		l.errorf("%s: %s %s: a 503 without Retry-After", n.name, method, path)
	}
	if err := json.Unmarshal(b, &reply); err != nil {
		return reply, fmt.Errorf("%w in %q", err, b)
	}
	return reply, nil
}

func (r clusterReply) hasReason(reason string) bool {
	return slices.ContainsFunc(r.Details, func(d clusterDetail) bool { return d.Reason == reason })
}

// receive is a receiver's script: each attempt is noted before anything else,
// and its reply before that is out.
func (l *clusterLoad) receive(kind *clusterKind, d ripostetest.Delivery) ripostetest.Reply {
	number, err := strconv.Atoi(d.Header.Get("Webhook-Attempt"))
	if err != nil {
		l.errorf("Webhook-Attempt: %v", err)
	}
	r := &request{kind: kind, id: d.Envelope.WebhookID, number: number, node: issuer(d), at: d.At}
	l.mu.Lock()
	l.requests[r.id] = append(l.requests[r.id], r)
	nth := len(l.requests[r.id])
	l.mu.Unlock()
	if kind.slow {
		select {
		case <-time.After(rand.N(slowest)):
		case <-l.ctx.Done():
		}
	}

	reply := ripostetest.Reply{Status: http.StatusOK}
	document := fmt.Sprintf(`{"version":"v1","approve":{"comment":"%s, request %d"}}`, r.id, nth)
	switch {
	case nth <= kind.failures:
		reply.Status = http.StatusInternalServerError
	case kind.later:
		reply.Status = http.StatusAccepted
		l.answers.Go(func() { l.callBack(d.Envelope, document) })
	case kind.silent:
		reply.Status = http.StatusAccepted
	default:
		reply.Body = document
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	r.replied, r.status, r.document = time.Now(), reply.Status, reply.Body
	return reply
}

// issuer is the node that signed a delivery.
func issuer(d ripostetest.Delivery) string {
	parts := strings.Split(d.Header.Get("Authorization"), ".")
	if len(parts) != 3 {
		return ""
	}
	b, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return ""
	}
	var claims struct{ Iss string }
	_ = json.Unmarshal(b, &claims)
	return claims.Iss
}

// callBack posts a document to any node until one has an answer, sometimes
// before our 202 can have arrived.
func (l *clusterLoad) callBack(e ripostetest.Envelope, document string) {
	if rand.N(3) > 0 {
		time.Sleep(rand.N(2 * time.Second))
	}
	u, err := url.Parse(e.CallbackURL)
	if err != nil || !strings.HasPrefix(e.CallbackURL, clusterPublicURL+"/") {
		l.errorf("the callback URL is %q, %v", e.CallbackURL, err)
		return
	}
	reply, by, ok := l.persist(nil, http.MethodPost, u.Path, document)
	if !ok {
		return
	}
	// A node that lost its connection may have taken the document all the same.
	same := slices.ContainsFunc(reply.Details, func(d clusterDetail) bool { return d.Metadata.SameDocument == "true" })
	closed := reply.hasReason("CALLBACK_ALREADY_USED") || reply.hasReason("INSTANCE_CLOSED")
	if reply.status != http.StatusOK && !closed {
		l.errorf("%s: a callback of %s got %d: %s", by.name, e.WebhookID, reply.status, reply.Message)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.callbacks[document] = callback{id: e.WebhookID, taken: reply.status == http.StatusOK || same}
}

// inFlight lists the requests of a node that hang at a receiver that takes its
// time.
func (l *clusterLoad) inFlight(n *clusterNode) []*request {
	l.mu.Lock()
	defer l.mu.Unlock()
	var hang []*request
	for _, all := range l.requests {
		for _, r := range all {
			if r.kind.slow && r.node == n.name && r.replied.IsZero() {
				hang = append(hang, r)
			}
		}
	}
	return hang
}

// busy waits until a node has some requests in flight and returns them.
func (l *clusterLoad) busy(n *clusterNode) (hang []*request) {
	l.t.Helper()
	eventually(l.t, n.name+" has attempts in flight", func() bool {
		hang = l.inFlight(n)
		return len(hang) >= 3
	})
	return hang
}

// wantAgain waits until what a node that is gone had in flight is attempted
// again: when the lease has run out, and 5 s later at the latest.
func (l *clusterLoad) wantAgain(n *clusterNode, hang []*request) {
	l.t.Helper()
	deadline := time.Now()
	for _, r := range hang {
		if end := r.at.Add(takeover); end.After(deadline) {
			deadline = end
		}
	}
	for time.Now().Before(deadline) && len(l.notAgain(hang)) > 0 {
		time.Sleep(20 * time.Millisecond)
	}
	for _, r := range l.notAgain(hang) {
		l.errorf("attempt %d of %s, in flight at %s, which is gone, is not made again after %s", r.number, r.id, n.name, time.Since(r.at).Round(time.Second))
	}
}

func (l *clusterLoad) notAgain(hang []*request) []*request {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(hang), func(r *request) bool {
		return slices.ContainsFunc(l.requests[r.id], func(other *request) bool { return other.number > r.number })
	})
}
