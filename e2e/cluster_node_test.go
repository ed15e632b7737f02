package e2e

import (
	"context"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
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
// by others in time; what it had locked, they get long before it wakes; and what
// it says then changes nothing that they have decided.
//
// A round is one node killed while another is frozen within a transaction.
func TestNodesAreKilledAndFrozenUnderLoad(t *testing.T) {
	t.Parallel()
	c := newCluster(t, postgrestest.URL(t), 3)
	l := newClusterLoad(t, c)
	conn := postgrestest.Connect(t, c.url)
	l.begin()
	for round := range times(1, 10) {
		killed, frozen := c.nodes[round%3], c.nodes[(round+1)%3]
		l.busy(frozen)
		frozen.fails()
		held := l.freezeInTransaction(frozen, conn)
		asked := l.inFlight(frozen)

		l.busy(killed)
		killed.crash()
		lost := l.inFlight(killed)
		time.Sleep(rand.N(3 * time.Second))
		killed.begin()

		l.wantAgain(frozen, asked)
		l.wantAgain(killed, lost)
		l.wantDone(held)
		l.remember()
		frozen.thaw()
		l.wantReadiness(http.StatusOK)
		frozen.recovered()
		l.logf("%s was frozen with %d attempts in flight, %s killed with %d", frozen.name, len(asked), killed.name, len(lost))
	}
	l.finish()
	l.balance()
}

// freezeInTransaction freezes a node while another one waits for what it has
// locked, and returns the calls for that.
func (l *clusterLoad) freezeInTransaction(n *clusterNode, conn *pgx.Conn) (held *sync.WaitGroup) {
	l.t.Helper()
	cut, hangUp := context.WithCancel(l.ctx)
	defer hangUp()
	held = new(sync.WaitGroup)
	for range 16 {
		held.Go(func() { l.insist(cut, n) })
	}
	const wantedSQL = `SELECT count(*) > 0 FROM pg_stat_activity f, pg_stat_activity w
		WHERE f.application_name = $1 AND f.state = 'idle in transaction' AND w.wait_event_type = 'Lock' AND f.pid = ANY(pg_blocking_pids(w.pid))`
	eventually(l.t, n.name+" has locked what another node wants", func() bool {
		n.freeze()
		time.Sleep(20 * time.Millisecond) // for what it has asked already, and for the others
		var wanted bool
		if err := conn.QueryRow(l.t.Context(), wantedSQL, n.name).Scan(&wanted); err != nil {
			l.t.Fatal(err)
		}
		if !wanted {
			n.thaw()
			time.Sleep(rand.N(10 * time.Millisecond))
		}
		return wanted
	})
	return held
}

// insist asks one node until ctx ends, and others what it does not answer. What
// it accepts is canceled at another one, just when its receiver has answered.
func (l *clusterLoad) insist(ctx context.Context, n *clusterNode) {
	k := slices.IndexFunc(clusterKinds, func(kind clusterKind) bool { return kind.cancel && !kind.later })
	for ctx.Err() == nil {
		q := l.question(k)
		path, body := l.creation(k, q)
		reply, err := l.send(ctx, n, http.MethodPost, path, body)
		id, ok := reply.Instance.WebhookInstance.ID, err == nil && reply.status == http.StatusOK
		if !ok {
			id, _, ok = l.create(k, q, n)
		}
		if ok {
			l.accepted(q, id)
			l.cancel(q, n)
		}
	}
}

// wantDone: calls that have begun have their answers.
func (l *clusterLoad) wantDone(calls *sync.WaitGroup) {
	l.t.Helper()
	done := make(chan struct{})
	go func() {
		calls.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(time.Second):
		l.t.Error("there are calls that still wait for what a frozen node has locked")
	}
}

// TestIdleNodeTakesOverWhatADeadOneHadInFlight: nothing happens at the node that
// is left, so it must look by itself.
func TestIdleNodeTakesOverWhatADeadOneHadInFlight(t *testing.T) {
	t.Parallel()
	c := newCluster(t, postgrestest.URL(t), 2)
	r := newReceiver(t, inTurn(ripostetest.Reply{Hang: true}, ripostetest.Reply{Body: crashApproval}))
	id := c.nodes[0].ask(r.URL)
	delivered(t, r, id, 1)
	c.nodes[0].crash()
	second := delivered(t, r, id, 2)
	i := c.nodes[1].closed(id)
	wantAnswer(t, i, "APPROVED", "SYNC", crashApproval)
	wantAttempts(t, i, 2)
	// What is recorded of a lost attempt is when it was claimed.
	if took := second.At.Sub(i.GetAttempts()[0].GetStartedAt().AsTime()); took < riposte.LeaseDuration || took > takeover {
		t.Errorf("the second attempt came %s after the first was claimed, want it when the lease of %s has run out, and 5 s later at the latest", took, riposte.LeaseDuration)
	}
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

// callbackPath is where a delivery's answer goes, at any node.
func callbackPath(t *testing.T, d ripostetest.Delivery) string {
	t.Helper()
	path, ok := strings.CutPrefix(d.Envelope.CallbackURL, clusterPublicURL)
	if !ok {
		t.Fatalf("the callback URL is %q", d.Envelope.CallbackURL)
	}
	return path
}
