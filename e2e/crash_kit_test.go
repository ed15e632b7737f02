package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	webhooksv1 "github.com/riposte-dev/riposte/gen/c1/api/webhooks/v1"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
	"github.com/riposte-dev/riposte/ripostetest"
)

// The tests in crash_*_test.go run the binary as people do, in a process of its
// own that they can kill.

var crashBinaryDir string

// crashBinary builds the binary once and returns its path.
var crashBinary = sync.OnceValues(func() (string, error) {
	path := filepath.Join(crashBinaryDir, "riposte")
	out, err := exec.Command("go", "build", "-o", path, "../cmd/riposte").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("building the binary: %w\n%s", err, out)
	}
	return path, nil
})

// crashCommand is the binary with its arguments and, beside what a program
// needs, only the environment that is given.
func crashCommandOf(t testing.TB, path string, env []string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Env = append(env, "PATH="+os.Getenv("PATH"), "HOME="+t.TempDir(), "TMPDIR="+os.TempDir())
	cmd.Dir = t.TempDir()
	return cmd
}

// crashRun runs the binary to its end.
func crashRun(t testing.TB, env []string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	path, err := crashBinary()
	if err != nil {
		t.Fatal(err)
	}
	return runOf(t, path, env, args...)
}

func runOf(t testing.TB, path string, env []string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := crashCommandOf(t, path, env, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	defer time.AfterFunc(patience, func() { _ = cmd.Cancel() }).Stop()
	if err := cmd.Run(); cmd.ProcessState == nil {
		t.Fatalf("running riposte %v: %v", args, err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

const crashAPIKey = "crash-test-api-key-0123456789"

// crashNode is a store, and the process that serves it.
type crashNode struct {
	*ripostetest.Client
	URL string

	t       testing.TB
	binary  string
	data    string
	store   []string // the flag that names it
	listen  string
	env     []string
	flags   []string
	cmd     *exec.Cmd
	drained sync.WaitGroup

	mu     sync.Mutex
	output bytes.Buffer // of all its processes
}

// newCrashNode starts a server on an empty directory, with an API key. Retries
// come soon.
func newCrashNode(t testing.TB, flags ...string) *crashNode {
	t.Helper()
	data := filepath.Join(t.TempDir(), "data")
	n := newCrashNodeOn(t, []string{"--data", data}, flags...)
	n.data = data
	n.start()
	return n
}

// newCrashNodeOn is a server on a store, not yet started.
func newCrashNodeOn(t testing.TB, store []string, flags ...string) *crashNode {
	t.Helper()
	binary, err := crashBinary()
	if err != nil {
		t.Fatal(err)
	}
	n := &crashNode{
		t: t, binary: binary, store: store, listen: "127.0.0.1:0",
		env:   []string{"RIPOSTE_API_KEY=" + crashAPIKey},
		flags: append([]string{"--retry-min-delay", "10ms", "--retry-max-delay", "20ms"}, flags...),
	}
	if slices.Contains(store, "--database-url") {
		n.env = append(n.env, "RIPOSTE_MASTER_KEY="+ripostetest.MasterKey)
	}
	t.Cleanup(n.kill)
	return n
}

// start runs the server, at the address that it had before.
func (n *crashNode) start() {
	n.t.Helper()
	args := append([]string{"serve", "--listen", n.listen, "--allow-destinations", "loopback"}, n.store...)
	n.cmd = crashCommandOf(n.t, n.binary, slices.Clone(n.env), append(args, n.flags...)...)
	stdout, err := n.cmd.StdoutPipe()
	if err != nil {
		n.t.Fatal(err)
	}
	stderr, err := n.cmd.StderrPipe()
	if err != nil {
		n.t.Fatal(err)
	}
	if err := n.cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	serving := make(chan crashServing, 1)
	n.drained.Go(func() { n.drain(stdout, nil) })
	n.drained.Go(func() { n.drain(stderr, serving) })
	s, ok := <-serving
	if !ok {
		n.t.Fatalf("the server ended: %v\n%s", n.wait(), n.log())
	}
	n.URL, n.listen = s.URL, s.Listen
	if n.Client != nil {
		n.CloseIdleConnections()
	}
	n.Client = ripostetest.NewClient("http://"+n.listen, crashAPIKey)
}

// crashServing is the line that tells where a server serves.
type crashServing struct{ Msg, URL, Listen string }

// drain keeps what a process writes, and closes serving at the end, if there
// was nothing to send on it.
func (n *crashNode) drain(from io.Reader, serving chan<- crashServing) {
	for lines := bufio.NewReader(from); ; {
		line, err := lines.ReadBytes('\n')
		n.mu.Lock()
		n.output.Write(line)
		n.mu.Unlock()
		var s crashServing
		if serving != nil && json.Unmarshal(line, &s) == nil && s.Msg == "serving" {
			serving <- s
		}
		if err != nil {
			break
		}
	}
	if serving != nil {
		close(serving)
	}
}

// log is what the processes wrote so far.
func (n *crashNode) log() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.output.String()
}

// wait returns when the process has ended, with its error.
func (n *crashNode) wait() error {
	n.drained.Wait()
	return n.cmd.Wait()
}

// kill ends the process as a crash does.
func (n *crashNode) kill() {
	if n.cmd != nil && n.cmd.Process != nil && n.cmd.ProcessState == nil {
		_ = n.cmd.Process.Kill()
		_ = n.wait()
	}
	if n.Client != nil {
		n.CloseIdleConnections()
	}
}

func (n *crashNode) restartAfterKill() {
	n.t.Helper()
	n.kill()
	n.start()
}

// terminate asks the process to stop.
func (n *crashNode) terminate() {
	n.t.Helper()
	if err := n.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		n.t.Fatal(err)
	}
}

// stop ends the process cleanly.
func (n *crashNode) stop() {
	n.t.Helper()
	n.terminate()
	if err := n.wait(); err != nil {
		n.t.Fatalf("stopping: %v\n%s", err, n.log())
	}
}

func (n *crashNode) newWebhook(url string) string {
	n.t.Helper()
	res, err := n.Webhooks.Create(patient(n.t), &webhooksv1.WebhooksServiceCreateRequest{DisplayName: "crash", Url: url})
	if err != nil {
		n.t.Fatalf("creating a webhook: %v\n%s", err, n.log())
	}
	return res.GetWebhook().GetId()
}

// ask creates an approval on a webhook of its own.
func (n *crashNode) ask(url string) string {
	n.t.Helper()
	res, err := n.Instances.Create(patient(n.t), crashRequest(n.newWebhook(url), ""))
	if err != nil {
		n.t.Fatalf("creating an instance: %v\n%s", err, n.log())
	}
	return res.GetInstance().GetWebhookInstance().GetId()
}

func crashRequest(webhookID, requestID string) *ripostev1.InstancesServiceCreateRequest {
	return &ripostev1.InstancesServiceCreateRequest{WebhookId: webhookID, RequestId: requestID, Source: &webhooksv1.WebhookSource{
		Source: &webhooksv1.WebhookSource_ApprovalStep{ApprovalStep: &webhooksv1.WebhookSourceApprovalStep{TicketId: "T-1"}},
	}}
}

const crashApproval = `{"version":"v1","approve":{"comment":"fine"}}`

func (n *crashNode) get(id string) *ripostev1.Instance {
	n.t.Helper()
	res, err := n.Instances.Get(patient(n.t), &ripostev1.InstancesServiceGetRequest{Id: id, View: ripostev1.InstanceView_INSTANCE_VIEW_FULL})
	if err != nil {
		n.t.Fatalf("getting instance %s: %v\n%s", id, err, n.log())
	}
	return res.GetInstance()
}

// closed waits for the end of an instance and returns it in full.
func (n *crashNode) closed(id string) *ripostev1.Instance {
	n.t.Helper()
	res, err := n.Instances.Wait(patient(n.t), &ripostev1.InstancesServiceWaitRequest{Id: id, Timeout: durationpb.New(patience)})
	if err != nil {
		n.t.Fatalf("waiting for instance %s: %v\n%s", id, err, n.log())
	}
	if res.GetInstance().GetOutcome() == nil {
		n.t.Fatalf("instance %s is still in %s\n%s", id, state(res.GetInstance()), n.log())
	}
	return n.get(id)
}

// waitingForCallback waits until the receiver's 202 is on disk.
func (n *crashNode) waitingForCallback(id string) {
	n.t.Helper()
	eventually(n.t, "waiting for the 202 to be saved", func() bool { return state(n.get(id)) == "WAITING_CALLBACK" })
}

// wantOneOutcome checks that an instance was approved, once, by one way.
func (n *crashNode) wantOneOutcome(id, wantVia string) *ripostev1.Instance {
	n.t.Helper()
	i := n.closed(id)
	wantAnswer(n.t, i, "APPROVED", wantVia, crashApproval)
	if got := i.GetOutcome().GetSequence(); got != 1 {
		n.t.Errorf("its outcome is number %d of this store, want the only one", got)
	}
	return i
}
