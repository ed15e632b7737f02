package e2e

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
	"github.com/riposte-dev/riposte/ripostetest"
)

func TestCleanStopLetsTheAttemptInFlightEnd(t *testing.T) {
	t.Parallel()
	n := newCrashNode(t)
	answer := make(chan struct{})
	r := newReceiver(t, func(ripostetest.Delivery) ripostetest.Reply {
		<-answer
		return ripostetest.Reply{Body: crashApproval}
	})
	id := n.ask(r.URL)
	delivered(t, r, id, 1)
	if res := send(t, http.MethodGet, n.URL+"/readyz", "", nil); res.status != http.StatusOK {
		t.Errorf("readyz says %d before the stop", res.status)
	}

	waited := make(chan time.Duration, 1)
	go func() { waited <- n.waitIsCutShort(id) }()
	n.terminate()
	eventually(t, "readyz says not ready", func() bool {
		return send(t, http.MethodGet, n.URL+"/readyz", "", nil).status == http.StatusServiceUnavailable
	})
	if took := <-waited; took > patience/2 {
		t.Errorf("Wait took %s of a minute when the server stopped", took)
	}
	close(answer)
	if err := n.wait(); err != nil {
		t.Fatalf("the stop ended with %v\n%s", err, n.log())
	}

	n.start()
	wantAttempts(t, n.wantOneOutcome(id, "SYNC"), 1)
	if got := len(r.Deliveries("")); got != 1 {
		t.Errorf("the receiver was asked %d times, want once", got)
	}
}

// waitIsCutShort waits for an instance's end for a minute and says how long it
// took to be told that there is none yet.
func (n *crashNode) waitIsCutShort(id string) time.Duration {
	began := time.Now()
	res, err := n.Instances.Wait(n.t.Context(), &ripostev1.InstancesServiceWaitRequest{Id: id, Timeout: durationpb.New(time.Minute)})
	if err != nil || state(res.GetInstance()) != "RUNNING" {
		n.t.Errorf("Wait returned %v, %v, want the instance as it stands", res, err)
	}
	return time.Since(began)
}

// TestKeysSurviveARestart: receivers keep the key set, and callback URLs are
// out in the world.
func TestKeysSurviveARestart(t *testing.T) {
	t.Parallel()
	n := newCrashNode(t)
	r := newReceiver(t, always(ripostetest.Reply{Status: http.StatusAccepted}))
	id := n.ask(r.URL)
	first := delivered(t, r, id, 1)
	n.waitingForCallback(id)
	before := send(t, http.MethodGet, n.URL+"/auth/v1/jwks", "", nil)

	n.stop()
	n.start()
	after := send(t, http.MethodGet, n.URL+"/auth/v1/jwks", "", nil)
	if before.status != http.StatusOK || string(before.body) != string(after.body) {
		t.Errorf("the key set was %s and is %s", before.body, after.body)
	}
	second := delivered(t, r, n.ask(r.URL), 1)
	keys, err := ripostetest.FetchKeys(n.URL)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []ripostetest.Delivery{first, second} {
		if _, err := ripostetest.Verify(d, keys, r.URL); err != nil {
			t.Errorf("a delivery does not verify after the restart: %v", err)
		}
	}
	if res := callBack(t, first.Envelope.CallbackURL, crashApproval); res.status != http.StatusOK {
		t.Errorf("the callback URL from before the restart got %d: %s", res.status, res.body)
	}
}

func TestLogsHaveNoSecrets(t *testing.T) {
	t.Parallel()
	n := newCrashNode(t)
	n.stop()
	n.env = append(n.env, "RIPOSTE_LOG_LEVEL=debug")
	n.start()

	flaky := newReceiver(t, inTurn(ripostetest.Reply{Status: http.StatusInternalServerError}, ripostetest.Reply{Hang: true}, ripostetest.Reply{Status: http.StatusAccepted}))
	id := n.ask(flaky.URL + "/path-canary?query=query-canary")
	delivered(t, flaky, id, 2)
	n.restartAfterKill()
	d := delivered(t, flaky, id, 3)
	n.waitingForCallback(id)
	callBack(t, d.Envelope.CallbackURL, `{"version":"v2"}`)
	callBack(t, d.Envelope.CallbackURL, crashApproval)
	callBack(t, d.Envelope.CallbackURL, crashApproval)
	callBack(t, n.URL+"/api/v1/webhooks/callback/token-canary", crashApproval)
	n.closed(id)

	key, err := n.Keys.Create(patient(t), &ripostev1.KeysServiceCreateRequest{Name: "sender", Role: ripostev1.Role_ROLE_SENDER})
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{key.GetSecret(), "unknown-key-canary"} {
		send(t, http.MethodPost, n.URL+"/api/v1/webhooks", `{"displayName":""}`, http.Header{"Authorization": {"Bearer " + secret}})
		send(t, http.MethodGet, n.URL+"/api/v1/instances?api_key="+secret, "", nil)
	}
	refused := n.ask("http://127.0.0.1:1/")
	eventually(t, "a refused connection is recorded", func() bool { return len(n.get(refused).GetAttempts()) > 2 })
	n.ask(echo(t))
	eventually(t, "a response that nobody asked for is logged", func() bool { return strings.Contains(n.log(), "Unsolicited response") })
	n.stop()

	log := n.log()
	if !strings.Contains(log, `"DEBUG"`) || !strings.Contains(log, id) {
		t.Fatalf("this is no log at debug level:\n%s", log)
	}
	for _, d := range flaky.Deliveries("") {
		_, jwt, _ := strings.Cut(d.Header.Get("Authorization"), " ")
		crashWantNone(t, log, "a JWT", jwt)
		for part := range strings.SplitSeq(jwt, ".") {
			crashWantNone(t, log, "a part of a JWT", part)
		}
	}
	crashWantNone(t, log, "the callback token", path.Base(d.Envelope.CallbackURL))
	crashWantNone(t, log, "a callback URL", "/webhooks/callback/")
	crashWantNone(t, log, "the configured API key", crashAPIKey)
	crashWantNone(t, log, "an API key from the store", key.GetSecret())
	crashWantNone(t, log, "what a caller or an operator planted", "canary")
}

// echo is a receiver that answers 202 and then sends back what it was sent.
func echo(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				var sent bytes.Buffer
				req, err := http.ReadRequest(bufio.NewReader(io.TeeReader(conn, &sent)))
				if err != nil {
					return
				}
				io.Copy(io.Discard, req.Body)
				fmt.Fprintf(conn, "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n%s", sent.Bytes())
				io.Copy(io.Discard, conn)
			}()
		}
	}()
	return "http://" + l.Addr().String() + "/"
}

func crashWantNone(t *testing.T, log, what, secret string) {
	t.Helper()
	if len(secret) < 5 {
		t.Fatalf("%s is %q, which is nothing to look for", what, secret)
	}
	for line := range strings.Lines(log) {
		if strings.Contains(line, secret) || strings.Contains(line, url.QueryEscape(secret)) {
			t.Errorf("the log has %s: %s", what, line)
		}
	}
}

func TestFirstStartWritesAnAdminKey(t *testing.T) {
	t.Parallel()
	n := newCrashNode(t)
	file := filepath.Join(n.data, "admin.key")
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("admin.key is there though RIPOSTE_API_KEY gave one: %v", err)
	}
	n.stop()

	n.env = nil
	n.start()
	info, err := os.Stat(file)
	if err != nil || info.Mode() != 0o600 {
		t.Fatalf("admin.key: %v, %v", info, err)
	}
	key, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(n.log(), file) || strings.Contains(n.log(), strings.TrimSpace(string(key))) {
		t.Errorf("the log does not say where the key is, or says what it is:\n%s", n.log())
	}
	for range 2 {
		n.Client = ripostetest.NewClient(n.URL, strings.TrimSpace(string(key)))
		n.newWebhook("http://127.0.0.1:1/")
		n.restartAfterKill()
	}
	if again, err := os.ReadFile(file); err != nil || string(again) != string(key) {
		t.Errorf("a later start wrote another key: %v", err)
	}
	n.Client = ripostetest.NewClient(n.URL, crashAPIKey)
	if _, err := n.Keys.Create(context.Background(), &ripostev1.KeysServiceCreateRequest{Role: ripostev1.Role_ROLE_VIEWER}); err == nil {
		t.Error("a key counts that an earlier start's environment gave")
	}
}
