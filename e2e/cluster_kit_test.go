package e2e

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// The tests in cluster_*_test.go run the binary as several nodes on one
// PostgreSQL database.

// cluster is nodes that share a database.
type cluster struct {
	t   *testing.T
	id  uint32 // tells its nodes from those of other clusters on the same server
	url string // the database's

	mu      sync.Mutex
	nodes   []*clusterNode
	outages []*fault // of the database
}

// fault is a time in which a node, or the database, owes nobody anything.
type fault struct{ began, ended time.Time } // ended is zero as long as it lasts

func (f *fault) overlaps(from, to time.Time) bool {
	return !f.began.After(to) && (f.ended.IsZero() || !f.ended.Before(from))
}

// clusterNode is a node that others replace while it is away: it has another
// port after each start, as a container has, and callback URLs name none.
type clusterNode struct {
	*crashNode
	name  string // its JWTs' issuer, so that receivers know who asks
	calls atomic.Int64

	mu     sync.Mutex
	base   string // "" while nobody listens
	faults []*fault
}

const clusterPublicURL = "http://cluster.example"

// newCluster starts n nodes.
func newCluster(t *testing.T, url string, n int) *cluster {
	t.Helper()
	c := &cluster{t: t, id: rand.Uint32(), url: url}
	for range n {
		c.add("")
	}
	return c
}

// add starts one more node, of another binary if one is named.
func (c *cluster) add(binary string) *clusterNode {
	c.t.Helper()
	name := fmt.Sprintf("node-%d.%x.example", len(c.members())+1, c.id)
	n := &clusterNode{name: name, crashNode: newCrashNodeOn(c.t, []string{"--database-url", c.url + "&application_name=" + name},
		"--public-url", clusterPublicURL, "--issuer", name)}
	if binary != "" {
		n.binary = binary
	}
	n.begin()
	c.mu.Lock()
	c.nodes = append(c.nodes, n)
	c.mu.Unlock()
	c.t.Cleanup(func() {
		if c.t.Failed() {
			c.t.Logf("the log of %s ends with\n%s", n.name, lastLines(n.log(), 15))
		}
	})
	return n
}

// members are the nodes so far.
func (c *cluster) members() []*clusterNode {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.nodes)
}

// begin starts the node and ends its fault.
func (n *clusterNode) begin() {
	n.t.Helper()
	n.listen = "127.0.0.1:0"
	n.start()
	n.mu.Lock()
	n.base = "http://" + n.listen
	n.mu.Unlock()
	n.recovered()
}

func (n *clusterNode) address() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.base
}

// fails says that from now on the node is not what it should be.
func (n *clusterNode) fails() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.faults = append(n.faults, &fault{began: time.Now()})
}

func (n *clusterNode) recovered() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.faults) > 0 {
		n.faults[len(n.faults)-1].ended = time.Now()
	}
}

// excused reports whether the node had a fault in this time.
func (n *clusterNode) excused(from, to time.Time) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.ContainsFunc(n.faults, func(f *fault) bool { return f.overlaps(from, to) })
}

// crash ends the process at once.
func (n *clusterNode) crash() { n.end(n.kill) }

// leave stops the node cleanly, for good.
func (n *clusterNode) leave() {
	n.t.Helper()
	n.end(n.stop)
}

func (n *clusterNode) end(how func()) {
	n.t.Helper()
	n.fails()
	how()
	n.mu.Lock()
	n.base = ""
	n.mu.Unlock()
}

// freeze takes the process its time; it keeps all else that it has.
func (n *clusterNode) freeze() {
	n.t.Helper()
	n.signal(syscall.SIGSTOP)
}

func (n *clusterNode) thaw() {
	n.t.Helper()
	n.signal(syscall.SIGCONT)
}

func (n *clusterNode) signal(s syscall.Signal) {
	n.t.Helper()
	if err := n.cmd.Process.Signal(s); err != nil {
		n.t.Fatalf("%s: %v", s, err)
	}
}

// readiness is the status of a node's readyz, 0 without an answer.
func (n *clusterNode) readiness() int {
	client := http.Client{Timeout: callTimeout}
	defer client.CloseIdleConnections()
	res, err := client.Get(n.address() + "/readyz")
	if err != nil {
		return 0
	}
	res.Body.Close()
	return res.StatusCode
}

// wantReadiness waits until each node says so.
func (c *cluster) wantReadiness(want int) {
	c.t.Helper()
	for _, n := range c.members() {
		if n.address() != "" {
			eventually(c.t, fmt.Sprintf("readyz of %s says %d", n.name, want), func() bool { return n.readiness() == want })
		}
	}
}

// outage begins one of the database; what it returns ends it.
func (c *cluster) outage() (over func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := &fault{began: time.Now()}
	c.outages = append(c.outages, f)
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		f.ended = time.Now()
	}
}

// excused reports whether the database had a fault in this time, or the node of
// this name, or any node where none is named.
func (c *cluster) excused(name string, from, to time.Time) bool {
	for _, n := range c.members() {
		if (name == "" || n.name == name) && n.excused(from, to) {
			return true
		}
	}
	return c.databaseExcused(from, to)
}

func (c *cluster) databaseExcused(from, to time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.ContainsFunc(c.outages, func(f *fault) bool { return f.overlaps(from, to) })
}

func lastLines(text string, n int) string {
	for at := len(text) - 1; at > 0; at-- {
		if text[at-1] == '\n' {
			if n--; n == 0 {
				return text[at:]
			}
		}
	}
	return text
}
