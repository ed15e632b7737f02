package e2e

import (
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/riposte-dev/riposte/ripostetest"
)

func TestSecondServerOnADataDirectoryIsRefused(t *testing.T) {
	t.Parallel()
	n := newCrashNode(t)
	_, stderr, code := crashRun(t, nil, "serve", "--data", n.data, "--listen", "127.0.0.1:0")
	if code != 1 || !strings.Contains(stderr, "another riposte serves "+n.data) || !strings.Contains(stderr, "--data") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	n.newWebhook("http://127.0.0.1:1/") // the first one still serves
}

func TestWildcardListenNeedsAPublicURL(t *testing.T) {
	t.Parallel()
	for _, listen := range []string{":0", "0.0.0.0:0", "[::]:0"} {
		data := filepath.Join(t.TempDir(), "data")
		_, stderr, code := crashRun(t, nil, "serve", "--data", data, "--listen", listen)
		if code != 1 || !strings.Contains(stderr, "--public-url") {
			t.Errorf("--listen %s: exit code %d: %s", listen, code, stderr)
		}
	}
}

func TestFlagsHaveTwinsInTheEnvironment(t *testing.T) {
	t.Parallel()
	n := newCrashNode(t)
	n.stop()
	// The public URL leads nowhere; deliveries only name it.
	n.env = append(n.env, "RIPOSTE_PUBLIC_URL=https://riposte.example/base/", "RIPOSTE_ISSUER=issuer.example", "RIPOSTE_LISTEN=256.256.256.256:1")
	n.start()
	r := newReceiver(t, always(ripostetest.Reply{Body: crashApproval}))
	d := delivered(t, r, n.ask(r.URL), 1)
	if want := "https://riposte.example/base/api/v1/webhooks/callback/"; !strings.HasPrefix(d.Envelope.CallbackURL, want) {
		t.Errorf("the callback URL is %s, want it below %s", d.Envelope.CallbackURL, want)
	}
	keys, err := ripostetest.FetchKeys("http://" + n.listen)
	if err != nil {
		t.Fatal(err)
	}
	if claims, err := ripostetest.Verify(d, keys, r.URL); err != nil || claims.Issuer != "issuer.example" {
		t.Errorf("the issuer is %q, %v", claims.Issuer, err)
	}
}

func TestTwinThatCannotBeReadIsRefusedByItsName(t *testing.T) {
	t.Parallel()
	for _, twin := range []string{"RIPOSTE_RETRY_MIN_DELAY=soon", "RIPOSTE_KEEP=long"} {
		name, _, _ := strings.Cut(twin, "=")
		if _, stderr, code := crashRun(t, []string{twin}, "serve"); code == 0 || !strings.Contains(stderr, name) {
			t.Errorf("%s: exit code %d: %s", twin, code, stderr)
		}
	}
}

// TestKeysAreMadeInTheStoreOrThroughTheServer that holds it.
func TestKeysAreMadeInTheStoreOrThroughTheServer(t *testing.T) {
	t.Parallel()
	n := newCrashNode(t)
	client := []string{"RIPOSTE_API_KEY=" + crashAPIKey, "RIPOSTE_SERVER=" + n.URL}
	viewer := n.createKey(client, "viewer")
	n.stop()
	sender := n.createKey(nil, "sender")
	n.start()
	for key, wantCreate := range map[string]int{viewer: http.StatusForbidden, sender: http.StatusNotFound, "no-key-of-this-server": http.StatusUnauthorized} {
		header := http.Header{"Authorization": {"Bearer " + key}, "Content-Type": {"application/json"}}
		res := send(t, http.MethodPost, n.URL+"/api/v1/webhooks/none/instances", `{"source":{"test":{}}}`, header)
		if res.status != wantCreate {
			t.Errorf("creating an instance got %d, want %d: %s", res.status, wantCreate, res.body)
		}
	}
	_, stderr, code := crashRun(t, nil, "keys", "create", "--data", n.data, "--role", "admin")
	if code == 0 || !strings.Contains(stderr, "a server holds "+n.data) {
		t.Errorf("while a server holds the store, without any credentials: exit code %d: %s", code, stderr)
	}
}

func TestKeysCreateSaysWhereItMakesAStore(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "new")
	_, stderr, code := crashRun(t, nil, "keys", "create", "--data", data, "--role", "boss")
	if _, err := os.Stat(data); code == 0 || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the role boss: exit code %d, %v: %s", code, err, stderr)
	}
	_, stderr, code = crashRun(t, nil, "keys", "create", "--data", data, "--role", "viewer")
	if code != 0 || !strings.Contains(stderr, "no store in "+data) {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

func (n *crashNode) createKey(env []string, role string) string {
	n.t.Helper()
	stdout, stderr, code := crashRun(n.t, env, "keys", "create", "--data", n.data, "--role", role, "--name", role)
	if key := strings.TrimSpace(stdout); code == 0 && len(key) > 20 && !strings.ContainsAny(key, " \n") {
		return key
	}
	n.t.Fatalf("keys create --role %s: exit code %d: %s%s", role, code, stdout, stderr)
	return ""
}

func TestDevShowsEveryScene(t *testing.T) {
	t.Parallel()
	stdout, stderr, code := crashRun(t, nil, "dev", "--once")
	if code != 0 {
		t.Fatalf("exit code %d\n%s%s", code, stdout, stderr)
	}
	for _, want := range []string{
		"at-once", "COMPLETED, sync",
		"later", "WAITING_CALLBACK", "CONTEXT, callback",
		"flaky", "attempt 3", "DELIVERED, sync",
		"denied", "DENIED, sync",
		"gone", "FATAL_ERROR", "GONE",
		"All five came out as they should",
	} {
		if !strings.Contains(stdout, want) {
			t.Errorf("the show does not say %q:\n%s", want, stdout)
		}
	}
}
