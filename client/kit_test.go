package client_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/riposte-dev/riposte/client"
	webhooksv1 "github.com/riposte-dev/riposte/gen/c1/api/webhooks/v1"
	"github.com/riposte-dev/riposte/gen/c1/api/webhooks/v1/webhooksv1connect"
	"github.com/riposte-dev/riposte/ripostetest"
)

// patience bounds what these tests wait for.
const patience = time.Minute

func patient(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func connectTo(t testing.TB, server string, options ...client.Option) *client.Client {
	t.Helper()
	h := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(h.CloseIdleConnections)
	c, err := client.New(server, append([]client.Option{client.WithAPIKey(ripostetest.APIKey), client.WithHTTPClient(h)}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// startReceiver starts a receiver that answers by the path of the webhook's URL.
func startReceiver(t testing.TB, replies map[string]ripostetest.Reply) *ripostetest.Receiver {
	t.Helper()
	r, err := ripostetest.NewReceiver(func(d ripostetest.Delivery) ripostetest.Reply { return replies[d.Path] })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

const approval = `{"version":"v1", "approve":{"comment":"fine"}}`

// approving is a receiver that approves at /, and at /later by nobody's callback.
func approving(t testing.TB) *ripostetest.Receiver {
	return startReceiver(t, map[string]ripostetest.Reply{"/": {Body: approval}, "/later": {Status: http.StatusAccepted}})
}

type webhooks = webhooksv1connect.WebhooksServiceClient

func newWebhook(t testing.TB, at webhooks, url string) string {
	t.Helper()
	res, err := at.Create(patient(t), &webhooksv1.WebhooksServiceCreateRequest{DisplayName: "w", Url: url})
	if err != nil {
		t.Fatal(err)
	}
	return res.GetWebhook().GetId()
}

// delivered waits for the nth delivery to a receiver and returns it.
func delivered(t testing.TB, r *ripostetest.Receiver, n int) ripostetest.Delivery {
	t.Helper()
	if err := r.Wait(patient(t), func() bool { return len(r.Deliveries("")) >= n }); err != nil {
		t.Fatalf("waiting for delivery %d: %v", n, err)
	}
	return r.Deliveries("")[n-1]
}

// callBack answers a delivery on its callback URL.
func callBack(t testing.TB, d ripostetest.Delivery, document string) {
	t.Helper()
	r, err := http.NewRequestWithContext(patient(t), http.MethodPost, d.Envelope.CallbackURL, strings.NewReader(document))
	if err != nil {
		t.Fatal(err)
	}
	r.Close = true
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusOK {
		t.Fatalf("the callback: HTTP %d, %s", res.StatusCode, body)
	}
}

var binaryDir string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "riposte-client-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binaryDir = dir
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

var binary = sync.OnceValues(func() (string, error) {
	path := filepath.Join(binaryDir, "riposte")
	out, err := exec.Command("go", "build", "-o", path, "../cmd/riposte").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("building the binary: %w\n%s", err, out)
	}
	return path, nil
})

// process is a server in a process of its own, which can be killed and started
// again on the same store and port.
type process struct {
	*ripostetest.Client
	t      testing.TB
	data   string
	listen string
	cmd    *exec.Cmd
	output sync.WaitGroup
}

func startProcess(t testing.TB) *process {
	t.Helper()
	p := &process{t: t, data: t.TempDir(), listen: "127.0.0.1:0"}
	p.start()
	p.Client = ripostetest.NewClient(p.url(), ripostetest.APIKey)
	t.Cleanup(func() {
		p.kill()
		p.CloseIdleConnections()
	})
	return p
}

func (p *process) url() string { return "http://" + p.listen }

func (p *process) start() {
	p.t.Helper()
	path, err := binary()
	if err != nil {
		p.t.Fatal(err)
	}
	p.cmd = exec.Command(path, "serve", "--listen", p.listen, "--data", p.data, "--allow-destinations", "loopback",
		"--retry-min-delay", "10ms", "--retry-max-delay", "20ms")
	p.cmd.Env = []string{"RIPOSTE_API_KEY=" + ripostetest.APIKey, "HOME=" + p.data}
	stderr, err := p.cmd.StderrPipe()
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		p.t.Fatal(err)
	}
	serving := make(chan string, 1)
	p.output.Go(func() {
		defer close(serving)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			var line struct{ Msg, Listen string }
			if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "serving" {
				serving <- line.Listen
			}
		}
	})
	listen, ok := <-serving
	if !ok {
		p.t.Fatal("the server ended at its start")
	}
	p.listen = listen
}

// kill is kill -9.
func (p *process) kill() {
	if p.cmd != nil {
		_ = p.cmd.Process.Kill()
		p.output.Wait()
		_ = p.cmd.Wait()
		p.cmd = nil
	}
}

// witness is an http.Client's transport that tells of each call, by its path, and of
// each that fails.
type witness struct {
	http.RoundTripper
	begun, failed chan string
}

// newWitness is an option with it.
func newWitness(t testing.TB) (*witness, client.Option) {
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	w := &witness{RoundTripper: transport, begun: make(chan string, 1000), failed: make(chan string, 1000)}
	return w, client.WithHTTPClient(&http.Client{Transport: w})
}

func (w *witness) RoundTrip(r *http.Request) (*http.Response, error) {
	w.begun <- r.URL.Path
	res, err := w.RoundTripper.RoundTrip(r)
	if err != nil {
		w.failed <- r.URL.Path
	}
	return res, err
}

// call waits until a method is called.
func (w *witness) call(t testing.TB, method string) {
	t.Helper()
	if !comes(t, w.begun, method) {
		t.Fatalf("there is no call of %s", method)
	}
}

// failure waits for a call of a method that failed.
func (w *witness) failure(t testing.TB, method string) {
	t.Helper()
	if !comes(t, w.failed, method) {
		t.Fatalf("no call of %s failed", method)
	}
}

func comes(t testing.TB, paths <-chan string, method string) bool {
	for ctx := patient(t); ; {
		select {
		case path := <-paths:
			if strings.HasSuffix(path, "/"+method) {
				return true
			}
		case <-ctx.Done():
			return false
		}
	}
}

// later runs what returns a value while the test goes on.
func later[T any](f func() (T, error)) func(t testing.TB) T {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		v, err := f()
		done <- result{v, err}
	}()
	return func(t testing.TB) T {
		t.Helper()
		select {
		case r := <-done:
			if r.err != nil {
				t.Fatal(r.err)
			}
			return r.value
		case <-time.After(patience):
			t.Fatal("it did not come to an end")
		}
		panic("unreachable")
	}
}
