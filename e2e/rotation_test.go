package e2e

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/riposte-dev/riposte/client"
	"github.com/riposte-dev/riposte/postgres/postgrestest"
	"github.com/riposte-dev/riposte/receiver"
	"github.com/riposte-dev/riposte/ripostetest"
	"github.com/riposte-dev/riposte/vault"
)

// TestRotationsUnderLoadAreNoticedByNobody: while the keys of every use are rotated, at
// once, and servers restart, a receiver with the stock verification takes each delivery,
// and each callback URL of whatever age takes an answer.
func TestRotationsUnderLoadAreNoticedByNobody(t *testing.T) {
	t.Parallel()
	testRotation(t, 1, "--data", filepath.Join(t.TempDir(), "data"))
}

func TestRotationsUnderLoadOfNodesAreNoticedByNobody(t *testing.T) {
	t.Parallel()
	testRotation(t, 3, "--database-url", postgrestest.URL(t))
}

func testRotation(t *testing.T, nodes int, store ...string) {
	r := newRotation(t, nodes, store)
	webhook := r.nodes[0].newWebhook(r.url)
	for k := range 4 {
		r.working.Go(func() { r.ask(webhook, k) })
	}
	r.eventually("there are callback URLs from before", func() bool { return len(r.kept) >= 20 })
	for round := range times(1, 10) {
		for _, algorithm := range []string{"ES256", "RS256", "EdDSA"} {
			// A verifier fetches the keys for one that it doesn't know no more often than
			// once in five seconds.
			r.eventually("the verifier may fetch keys", func() bool { return time.Since(r.fetched) > 5*time.Second })
			kid := r.rotate("rotate-signing", "--algorithm", algorithm, "--publish-for", "0")
			callback := r.rotate("rotate-callback", "--publish-for", "0")
			if algorithm == "RS256" && len(r.nodes) > 1 {
				r.changeMaster()
			} else {
				r.rotate("rotate-master")
			}
			r.restart(r.nodes[rand.N(len(r.nodes))])
			r.eventually("a delivery is signed with "+algorithm, func() bool { return r.signed[kid] == algorithm })
			r.eventually("callback URLs are of the key "+callback, func() bool { return r.tokens[callback] >= 50 })
		}
		r.mu.Lock()
		t.Logf("round %d: %d deliveries by %d keys, callback URLs by key: %v", round, r.deliveries, len(r.signed), r.tokens)
		r.mu.Unlock()
	}
	close(r.end)
	r.working.Wait()
	r.mu.Lock()
	kept := r.kept
	r.mu.Unlock()
	for _, url := range kept {
		r.callBack(url)
	}
	r.eventually("all is answered", r.allApproved)
	r.server.Close() // nobody begins to call back while it is waited for those who did
	r.calling.Wait()
}

// rotation is servers, a receiver, and a load.
type rotation struct {
	t        *testing.T
	balancer *balancer
	nodes    []*crashNode
	server   *httptest.Server // the receiver
	url      string           // the receiver's
	verifier *receiver.Verifier
	master   string // the master keys of nodes
	end      chan struct{}
	working  sync.WaitGroup
	calling  sync.WaitGroup

	mu         sync.Mutex
	kept       []string // callback URLs, to be answered at the end
	fetched    time.Time
	signed     map[string]string // algorithms by kid
	tokens     map[string]int    // callback URLs by the key's id
	deliveries int
	asked      map[string]bool // instances
}

func newRotation(t *testing.T, nodes int, store []string) *rotation {
	t.Helper()
	r := &rotation{t: t, balancer: newBalancer(t), master: ripostetest.MasterKey, end: make(chan struct{}), signed: map[string]string{}, tokens: map[string]int{}, asked: map[string]bool{}}
	r.server = httptest.NewServer(r)
	t.Cleanup(r.server.Close)
	r.url = r.server.URL
	for range nodes {
		n := newCrashNodeOn(t, store, "--public-url", r.balancer.URL)
		r.start(n)
		r.nodes = append(r.nodes, n)
		t.Cleanup(func() {
			if t.Failed() {
				t.Logf("a node's log ends with\n%s", lastLines(n.log(), 10))
			}
		})
	}
	var err error
	if r.verifier, err = receiver.NewVerifier(r.balancer.URL, r.url, receiver.WithHTTPClient(&http.Client{Transport: r})); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rotation) start(n *crashNode) {
	r.t.Helper()
	n.listen = "127.0.0.1:0"
	n.start()
	r.balancer.add(n.listen)
}

// restart ends a server cleanly where there are others: what is in flight when one is
// killed is asked again half a minute later.
func (r *rotation) restart(n *crashNode) {
	r.t.Helper()
	r.balancer.remove(n.listen)
	if len(r.nodes) > 1 {
		n.stop()
	} else {
		n.kill()
	}
	r.start(n)
}

// changeMaster gives the nodes another master key, as docs/keys.md says. The one before
// opens what there is for a day.
func (r *rotation) changeMaster() {
	r.t.Helper()
	r.master = vault.NewMaster() + "," + r.master
	for _, n := range r.nodes {
		n.env = append(n.env, "RIPOSTE_MASTER_KEY="+r.master)
		r.restart(n)
	}
	r.rotate("rotate-master")
	env := []string{"RIPOSTE_MASTER_KEY=" + ripostetest.MasterKey}
	_, stderr, code := crashRun(r.t, env, append([]string{"serve", "--listen", "127.0.0.1:0"}, r.nodes[0].store...)...)
	if code == 0 || !strings.Contains(stderr, "master key") {
		r.t.Errorf("a node that has the old master key alone: exit code %d: %s", code, stderr)
	}
}

// eventually looks under the lock.
func (r *rotation) eventually(what string, done func() bool) {
	r.t.Helper()
	eventually(r.t, what, func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return done()
	})
}

// rotate returns the next key's id.
func (r *rotation) rotate(command string, flags ...string) string {
	r.t.Helper()
	env := []string{"RIPOSTE_API_KEY=" + crashAPIKey, "RIPOSTE_SERVER=" + r.balancer.URL}
	stdout, stderr, code := crashRun(r.t, env, append([]string{"keys", command, "--json"}, flags...)...)
	var res struct{ Key struct{ ID string } }
	if err := json.Unmarshal([]byte(stdout), &res); code != 0 || err != nil || res.Key.ID == "" {
		r.t.Fatalf("keys %s: exit code %d, %v: %s%s", command, code, err, stdout, stderr)
	}
	return res.Key.ID
}

// ask asks one question after the other, until the end.
func (r *rotation) ask(webhook string, worker int) {
	c, err := client.New(r.balancer.URL, client.WithAPIKey(crashAPIKey))
	if err != nil {
		r.t.Error(err)
		return
	}
	rate := time.NewTicker(60 * time.Millisecond)
	defer rate.Stop()
	for n := 0; ; n++ {
		select {
		case <-r.end:
			return
		case <-rate.C:
		}
		id, err := c.Create(r.t.Context(), webhook, client.ApprovalStep("T-1"), nil, client.WithRequestID(fmt.Sprintf("%d-%d", worker, n)))
		if err != nil {
			r.t.Errorf("asking: %v", err)
			return
		}
		r.mu.Lock()
		r.asked[id] = true
		r.mu.Unlock()
	}
}

// ServeHTTP is the receiver: it approves at once, or soon by callback, or at the end, and
// each question in one way, however often it comes.
func (r *rotation) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	d, err := r.verifier.Verify(req)
	if err != nil {
		refusal, ok := errors.AsType[*receiver.Refusal](err)
		if away := ok && refusal.Status() == http.StatusServiceUnavailable && len(r.nodes) == 1; !away {
			r.t.Errorf("a delivery is refused: %v", err) // else the keys are away with their only server
		}
		receiver.Refuse(w, err)
		return
	}
	r.note(req, d)
	sum := fnv.New32a()
	_, _ = sum.Write([]byte(d.InstanceID))
	switch n := sum.Sum32() % 100; {
	case n < 50:
		receiver.Respond(w, receiver.Approve("at once"))
	default:
		w.WriteHeader(http.StatusAccepted)
		if !r.keep(d.CallbackURL, n < 55) {
			r.calling.Go(func() { r.callBack(d.CallbackURL) })
		}
	}
}

// keep leaves some for the end, most of them from the beginning.
func (r *rotation) keep(url string, some bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !some && len(r.kept) >= 20 {
		return false
	}
	r.kept = append(r.kept, url)
	return true
}

func (r *rotation) note(req *http.Request, d receiver.Delivery) {
	_, token, _ := strings.Cut(req.Header.Get("Authorization"), " ")
	jws, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.EdDSA, jose.ES256, jose.RS256})
	if err != nil {
		r.t.Error(err)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.deliveries++
	r.signed[jws.Signatures[0].Header.KeyID] = jws.Signatures[0].Header.Algorithm
	r.tokens[callbackKeyID(r.t, d.CallbackURL)]++
}

// callBack takes nothing but what counts for an answer, at the first reply that comes:
// what a client like package receiver's makes good by trying again is refused all the same.
func (r *rotation) callBack(url string) {
	for began := time.Now(); time.Since(began) < patience; <-time.After(20 * time.Millisecond) {
		res, err := r.server.Client().Post(url, "application/json", strings.NewReader(crashApproval))
		if err != nil {
			continue // its server has gone
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil {
			continue
		}
		// The question, or the reply to this, got lost with a server, and so it was asked,
		// or answered, twice.
		again := strings.Contains(string(body), `"sameDocument":"true"`)
		if res.StatusCode != http.StatusOK && !again {
			r.t.Errorf("a callback with the key %s is refused: HTTP %d: %s", callbackKeyID(r.t, url), res.StatusCode, body)
		}
		return
	}
	r.t.Errorf("a callback with the key %s reaches nobody", callbackKeyID(r.t, url))
}

// RoundTrip fetches keys for the verifier.
func (r *rotation) RoundTrip(req *http.Request) (*http.Response, error) {
	r.mu.Lock()
	r.fetched = time.Now()
	r.mu.Unlock()
	return http.DefaultTransport.RoundTrip(req)
}

func (r *rotation) allApproved() bool {
	for id := range r.asked {
		i := r.nodes[0].get(id)
		switch state(i) {
		case "SUCCESS":
			if kind(i) != "APPROVED" {
				r.t.Errorf("instance %s came to %s", id, kind(i))
			}
			delete(r.asked, id)
		case "FATAL_ERROR":
			r.t.Fatalf("instance %s failed: %v", id, i.GetOutcome())
		default:
			return false
		}
	}
	return true
}

// callbackKeyID is the number in front of a callback URL's token.
func callbackKeyID(t *testing.T, url string) string {
	b, err := base64.RawURLEncoding.DecodeString(url[strings.LastIndex(url, "/")+1:])
	if err != nil || len(b) == 0 {
		t.Errorf("the callback URL is %s", url)
		return ""
	}
	return strconv.Itoa(int(b[0]))
}
