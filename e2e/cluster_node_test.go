package e2e

import (
	"context"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/riposte-dev/riposte"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
	"github.com/riposte-dev/riposte/postgres/postgrestest"
	"github.com/riposte-dev/riposte/ripostetest"
)

// TestNodesAreKilledAndFrozenUnderLoad: what a node had in flight is made again
// by others in time, and what it says when it wakes changes nothing that they
// have decided.
func TestNodesAreKilledAndFrozenUnderLoad(t *testing.T) {
	t.Parallel()
	c := newCluster(t, postgrestest.URL(t), 3)
	l := newClusterLoad(t, c)
	l.begin()
	for round := range times(2, 20) {
		n := c.nodes[round%len(c.nodes)]
		if round%2 == 0 {
			l.killOne(n)
		} else {
			l.freezeOne(n)
		}
	}
	l.finish()
	l.balance()
}

func (l *clusterLoad) killOne(n *clusterNode) {
	l.t.Helper()
	l.busy(n)
	n.crash()
	hang := l.inFlight(n)
	time.Sleep(rand.N(3 * time.Second))
	n.begin()
	l.wantAgain(n, hang)
	l.t.Logf("%s was killed with %d attempts in flight", n.name, len(hang))
}

func (l *clusterLoad) freezeOne(n *clusterNode) {
	l.t.Helper()
	l.busy(n)
	n.fails()
	n.freeze()
	l.thawOne(n)
}

// thawOne wakes a node that is frozen once others have made its attempts.
func (l *clusterLoad) thawOne(n *clusterNode) {
	l.t.Helper()
	hang := l.inFlight(n)
	l.wantAgain(n, hang)
	l.remember()
	n.thaw()
	l.wantReadiness(http.StatusOK)
	n.recovered()
	l.t.Logf("%s was frozen with %d attempts in flight", n.name, len(hang))
}

// TestIdleNodeTakesOverWhatADeadOneHadInFlight: nothing happens at the node that
// is left, so it must look by itself.
func TestIdleNodeTakesOverWhatADeadOneHadInFlight(t *testing.T) {
	t.Parallel()
	c := newCluster(t, postgrestest.URL(t), 2)
	r := newReceiver(t, inTurn(ripostetest.Reply{Hang: true}, ripostetest.Reply{Body: crashApproval}))
	id := c.nodes[0].ask(r.URL)
	first := delivered(t, r, id, 1)
	c.nodes[0].crash()
	second := delivered(t, r, id, 2)
	if took := second.At.Sub(first.At); took < riposte.LeaseDuration-time.Second || took > takeover {
		t.Errorf("the second attempt came %s after the first, want it when the lease of %s has run out, and 5 s later at the latest", took, riposte.LeaseDuration)
	}
	wantAnswer(t, c.nodes[1].closed(id), "APPROVED", "SYNC", crashApproval)
}

// TestWaitAtAnotherNodeEndsWithTheOutcome: whichever node is told the answer.
func TestWaitAtAnotherNodeEndsWithTheOutcome(t *testing.T) {
	t.Parallel()
	c := newCluster(t, postgrestest.URL(t), 3)
	r := newReceiver(t, always(ripostetest.Reply{Status: http.StatusAccepted}))
	id := c.nodes[0].ask(r.URL)
	path := callbackPath(t, delivered(t, r, id, 1))
	c.nodes[0].waitingForCallback(id)

	waited := make(chan *ripostev1.Instance, 1)
	go func() {
		res, err := c.nodes[1].Instances.Wait(t.Context(), &ripostev1.InstancesServiceWaitRequest{Id: id, Timeout: durationpb.New(time.Minute)})
		if err != nil {
			t.Errorf("waiting: %v", err)
		}
		waited <- res.GetInstance()
	}()
	// Nobody can tell from outside that the wait has begun.
	time.Sleep(time.Second)
	if res := callBack(t, c.nodes[2].address()+path, crashApproval); res.status != http.StatusOK {
		t.Fatalf("the callback got %d: %s", res.status, res.body)
	}
	answered := time.Now()
	wantAnswer(t, <-waited, "APPROVED", "CALLBACK", crashApproval)
	if took := time.Since(answered); took > 10*time.Second {
		t.Errorf("who waited for a minute was told %s after the outcome", took)
	}
}

// TestNodeFrozenInATransactionHoldsUpNobody: what it has locked, others want, and
// get long before it wakes.
func TestNodeFrozenInATransactionHoldsUpNobody(t *testing.T) {
	t.Parallel()
	c := newCluster(t, postgrestest.URL(t), 3)
	l := newClusterLoad(t, c)
	l.begin()
	frozen := c.nodes[0]
	l.busy(frozen)
	// So many callers that each transaction has questions of theirs.
	cut, hangUp := context.WithCancel(l.ctx)
	for range 16 {
		l.callers.Go(func() { l.insist(cut, frozen) })
	}
	conn := connectTo(t, c.url)
	frozen.fails()
	frozen.freezeInTransaction(conn)
	hangUp()
	l.thawOne(frozen)
	l.finish()
	l.balance()
}

// insist asks one node until ctx ends, and then another one what it was not
// answered.
func (l *clusterLoad) insist(ctx context.Context, n *clusterNode) {
	for ctx.Err() == nil {
		q := l.question(0)
		path, body := l.creation(0, q)
		reply, err := l.send(ctx, n, http.MethodPost, path, body)
		id, ok := reply.Instance.WebhookInstance.ID, err == nil && reply.status == http.StatusOK
		if !ok {
			id, _, ok = l.create(0, q, n)
		}
		if ok {
			l.accepted(q, id)
		}
	}
}

// freezeInTransaction tries until the node has locked something.
func (n *clusterNode) freezeInTransaction(conn *pgx.Conn) {
	n.t.Helper()
	const lockedSQL = `SELECT count(*) > 0 FROM pg_stat_activity WHERE application_name = $1 AND state = 'idle in transaction' AND backend_xid IS NOT NULL`
	for range 2000 {
		n.freeze()
		time.Sleep(5 * time.Millisecond) // for what it has asked already
		var locked bool
		if err := conn.QueryRow(n.t.Context(), lockedSQL, n.name).Scan(&locked); err != nil {
			n.t.Fatal(err)
		}
		if locked {
			return
		}
		n.thaw()
		time.Sleep(rand.N(10 * time.Millisecond))
	}
	n.t.Fatalf("%s was never in a transaction", n.name)
}

// callbackPath is where a delivery's answer goes, at any node.
func callbackPath(t *testing.T, d ripostetest.Delivery) string {
	t.Helper()
	path, ok := strings.CutPrefix(d.Envelope.CallbackURL, clusterPublicURL)
	if !ok {
		t.Fatalf("the callback URL is %q", d.Envelope.CallbackURL)
	}
	return path
}
