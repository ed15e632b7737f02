package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/riposte-dev/riposte/client"
	webhooksv1 "github.com/riposte-dev/riposte/gen/c1/api/webhooks/v1"
	"github.com/riposte-dev/riposte/ripostetest"
)

const (
	handoverCallers = 16
	// repeated: one create in so many is made again, and must find its instance.
	repeated = 10
)

// handoverKind is what is asked, what the receiver does, and what comes of it. In
// its document, %s is the instance.
type handoverKind struct {
	name     string
	source   client.Source
	failures int // attempts that get a 500 before the answer
	status   int // 200 where it is 0
	later    bool
	document string
	want     client.Kind
	failure  client.FailureReason
}

var handoverKinds = []handoverKind{
	{name: "approves", source: client.ApprovalStep("T-1"), document: `{"version":"v1","approve":{"comment":"%s"}}`, want: client.Approved},
	{name: "denies later", source: client.ApprovalStep("T-2"), later: true, document: `{"version":"v1","deny":{"comment":"%s"}}`, want: client.Denied},
	{name: "reassigns", source: client.ApprovalStep("T-3"), failures: 1, document: `{"version":"v1","reassign":{"comment":"%s","newStepUserIds":["u"]}}`, want: client.Reassigned},
	{name: "replaces", source: client.ApprovalStep("T-4"), document: `{"version":"v1","replacePolicy":{"comment":"%s","policySteps":[{}]}}`, want: client.PolicyReplaced},
	{name: "completes later", source: client.ProvisionStep("T-5"), later: true, document: `{"version":"v1","complete":{"comment":"%s"}}`, want: client.Completed},
	{name: "errs", source: client.ProvisionStep("T-6"), failures: 1, document: `{"version":"v1","errored":{"comment":"%s"}}`, want: client.Errored},
	{name: "gives context later", source: client.WorkflowStep(7, "S-7"), later: true, document: `{"version":"v1","context":{"n": 1.0, "of":"%s"}}`, want: client.Context},
	{name: "is tested", source: client.Test(), document: `{"version":"v1","of":"%s"}`, want: client.Delivered},
	{name: "is told", source: client.PolicyPostAction("T-8"), document: `{"version":"v1","of":"%s"}`, want: client.Delivered},
	{name: "is gone", source: client.ApprovalStep("T-9"), status: http.StatusGone, want: client.Failed, failure: client.Gone},
	{name: "makes no sense", source: client.ProvisionStep("T-10"), document: `{"version":"v1","approve":{}}`, want: client.Failed, failure: client.BadResponse},
}

// answer is the kind's document for an instance.
func (k handoverKind) answer(id string) string { return strings.ReplaceAll(k.document, "%s", id) }

// handoverLoad creates instances through all that happens.
type handoverLoad struct {
	t        *testing.T
	client   *client.Client
	http     *http.Client // for callbacks
	webhooks []string     // by kind
	next     chan int     // the number of an instance to create
	callers  sync.WaitGroup
	answers  sync.WaitGroup
	ctx      context.Context // ends when nobody tries any longer
	again    atomic.Int64    // creates that were made again

	mu      sync.Mutex
	created map[string]int // numbers by instance
}

// newHandoverLoad makes a webhook of each kind on a server.
func newHandoverLoad(t *testing.T, server string, ahead int) *handoverLoad {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	transport := &http.Transport{MaxIdleConnsPerHost: handoverCallers}
	c, err := client.New(server, client.WithAPIKey(crashAPIKey), client.WithHTTPClient(&http.Client{Transport: transport}))
	if err != nil {
		t.Fatal(err)
	}
	l := &handoverLoad{t: t, client: c, http: &http.Client{Transport: transport}, next: make(chan int, ahead), ctx: ctx, created: map[string]int{}}
	t.Cleanup(func() {
		cancel()
		l.callers.Wait()
		l.answers.Wait()
		transport.CloseIdleConnections()
	})
	r := newReceiver(t, l.receive)
	admin := ripostetest.NewClient(server, crashAPIKey)
	defer admin.CloseIdleConnections()
	for k := range handoverKinds {
		res, err := admin.Webhooks.Create(patient(t), &webhooksv1.WebhooksServiceCreateRequest{DisplayName: handoverKinds[k].name, Url: fmt.Sprintf("%s/%d", r.URL, k)})
		if err != nil {
			t.Fatal(err)
		}
		l.webhooks = append(l.webhooks, res.GetWebhook().GetId())
	}
	return l
}

// begin has the callers create what next has until that is closed.
func (l *handoverLoad) begin() {
	for range handoverCallers {
		l.callers.Go(func() {
			for {
				select {
				case n, more := <-l.next:
					if !more {
						return
					}
					l.create(n)
				case <-l.ctx.Done():
					return
				}
			}
		})
	}
}

func (l *handoverLoad) create(n int) {
	k := n % len(handoverKinds)
	for again := range 2 {
		id, err := l.client.Create(l.ctx, l.webhooks[k], handoverKinds[k].source, nil, client.WithRequestID(fmt.Sprintf("request-%d", n)))
		if l.ctx.Err() != nil {
			return
		}
		if err != nil {
			l.t.Errorf("creating instance %d: %v", n, err)
			return
		}
		l.mu.Lock()
		other, known := l.created[id]
		l.created[id] = n
		l.mu.Unlock()
		if known != (again == 1) || known && other != n {
			l.t.Errorf("create %d, for the %d. time, made instance %s, which was that of create %d", n, again+1, id, other)
		}
		if rand.N(repeated) > 0 {
			return
		}
		l.again.Add(1)
	}
}

// finish returns when all is created and all callbacks were taken.
func (l *handoverLoad) finish() {
	l.t.Helper()
	close(l.next)
	done := make(chan struct{})
	go func() {
		l.callers.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(handoverPatience):
		l.t.Fatalf("there are instances that no server takes in %s", handoverPatience)
	}
}

// receive is the receiver's script.
func (l *handoverLoad) receive(d ripostetest.Delivery) ripostetest.Reply {
	var k int
	if _, err := fmt.Sscanf(d.Path, "/%d", &k); err != nil {
		l.t.Errorf("delivered to %s", d.Path)
		return ripostetest.Reply{Status: http.StatusGone}
	}
	kind := handoverKinds[k]
	switch {
	case d.Attempt <= kind.failures:
		return ripostetest.Reply{Status: http.StatusInternalServerError}
	case kind.later:
		l.answers.Go(func() { l.callBack(d.Envelope, kind.answer(d.Envelope.WebhookID)) })
		return ripostetest.Reply{Status: http.StatusAccepted}
	}
	return ripostetest.Reply{Status: kind.status, Body: kind.answer(d.Envelope.WebhookID)}
}

// callBack posts a document until it is taken, or was.
func (l *handoverLoad) callBack(e ripostetest.Envelope, document string) {
	for {
		reply, status := l.post(e.CallbackURL, document)
		switch {
		case status == http.StatusOK, reply.hasReason("CALLBACK_ALREADY_USED"):
			return
		case status != 0 && status < 500:
			l.t.Errorf("a callback of %s got %d: %+v", e.WebhookID, status, reply)
			return
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-l.ctx.Done():
			return
		}
	}
}

// post returns the status 0 where there was no answer.
func (l *handoverLoad) post(url, document string) (reply clusterReply, status int) {
	r, err := http.NewRequestWithContext(l.ctx, http.MethodPost, url, strings.NewReader(document))
	if err != nil {
		l.t.Error(err)
		return reply, 0
	}
	res, err := l.http.Do(r)
	if err != nil {
		return reply, 0
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return reply, 0
	}
	_ = json.Unmarshal(b, &reply)
	return reply, res.StatusCode
}
