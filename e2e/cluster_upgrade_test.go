package e2e

import (
	"net/http"
	"strings"
	"testing"
	"time"

	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
	"github.com/riposte-dev/riposte/postgres/postgrestest"
	"github.com/riposte-dev/riposte/receiver"
	"github.com/riposte-dev/riposte/ripostetest"
)

// TestUpgradeFromBeforeSecretsWereSealed: nodes that keep secrets in the clear go on beside
// one that has sealed them, each takes the callbacks of the other's and signs with a key
// that both publish. One of them that starts again refuses, rather than making keys that
// nobody else knows; and when they are gone, keys are rotated.
func TestUpgradeFromBeforeSecretsWereSealed(t *testing.T) {
	t.Parallel()
	before := buildCommit(t, commitBeforeVault(t))
	c := newCluster(t, postgrestest.URL(t), 0)
	older, restarted := c.add(before), c.add(before)
	r := newReceiver(t, always(ripostetest.Reply{Status: http.StatusAccepted}))
	ofOlder := older.ask(r.URL)
	path := callbackPath(t, delivered(t, r, ofOlder, 1))

	newer := c.add("")
	if newer.cmd.Process == nil || string(older.jwks()) != string(newer.jwks()) {
		t.Errorf("one node publishes %s, the other %s", older.jwks(), newer.jwks())
	}
	older.answers(newer, ofOlder, path)
	ofNewer := newer.ask(r.URL)
	newer.answers(older, ofNewer, callbackPath(t, delivered(t, r, ofNewer, 1)))
	wantVerified(t, r, older, newer)

	restarted.leave()
	_, stderr, code := runOf(t, before, restarted.env, append([]string{"serve", "--listen", "127.0.0.1:0", "--public-url", clusterPublicURL}, restarted.store...)...)
	if code == 0 || !strings.Contains(stderr, "key") {
		t.Errorf("an older node that starts again: exit code %d: %s", code, stderr)
	}

	restarted.binary = newer.binary
	restarted.begin()
	older.leave()
	next, err := newer.ServerKeys.Rotate(patient(t), &ripostev1.ServerKeysServiceRotateRequest{Use: ripostev1.ServerKeyUse_SERVER_KEY_USE_SIGNING})
	if err != nil || !strings.Contains(string(newer.jwks()), next.GetKey().GetId()) {
		t.Errorf("the rotation came to %v, %v", next, err)
	}
	eventually(t, "the other node publishes the next key", func() bool { return strings.Contains(string(restarted.jwks()), next.GetKey().GetId()) })
}

func (n *clusterNode) jwks() []byte {
	n.t.Helper()
	return send(n.t.(*testing.T), http.MethodGet, n.address()+"/auth/v1/jwks", "", nil).body
}

// answers calls back at a node for an instance that another one has asked.
func (n *clusterNode) answers(at *clusterNode, id, path string) {
	n.t.Helper()
	t := n.t.(*testing.T)
	n.waitingForCallback(id)
	if res := callBack(t, at.address()+path, crashApproval); res.status != http.StatusOK {
		t.Errorf("the callback of %s at %s got %d: %s", n.name, at.name, res.status, res.body)
	}
	wantAnswer(t, n.closed(id), "APPROVED", "CALLBACK", crashApproval)
}

// wantVerified: what either has sent is signed by a key that the other publishes.
func wantVerified(t *testing.T, r *ripostetest.Receiver, nodes ...*clusterNode) {
	t.Helper()
	for _, n := range nodes {
		keys, err := ripostetest.FetchKeys(n.address())
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range r.Deliveries("") {
			var claims receiver.Claims
			if claims, err = ripostetest.Verify(d, keys, r.URL); err != nil || claims.IssuedAt.Before(time.Now().Add(-time.Hour)) {
				t.Errorf("by the keys of %s: %v", n.name, err)
			}
		}
	}
}

// commitBeforeVault is the newest commit that kept its secrets in the clear.
func commitBeforeVault(t *testing.T) string {
	t.Helper()
	for _, commit := range strings.Fields(versionRun(t, "..", "git", "log", "--first-parent", "--format=%H")) {
		if versionRun(t, "..", "git", "ls-tree", "--name-only", commit, "keyring/", "vault/") == "" {
			return commit
		}
	}
	t.Fatal("this clone has no commit without package vault: fetch the history (git fetch --unshallow)")
	return ""
}
