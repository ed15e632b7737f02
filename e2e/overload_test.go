package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

const (
	// overloadCalls is what api admits at once, and overloadBatches of it of the largest.
	overloadCalls   = 1024
	overloadBatches = 3
	// overloadTimes is how many times that is asked for at once.
	overloadTimes = 50
	// overloadHealth is how long /healthz may take, whatever else the server has to do.
	// Where the kernel lets others run meanwhile, as it does with the load on the same
	// processors, it may take as many times longer as the server's own threads did; and
	// where that is more than overloadBusy times, three times that, because a thread then
	// waits much longer at times than on average.
	overloadHealth = 100 * time.Millisecond
	overloadBusy   = 3
	// overloadMemory is what the server may have in memory at its most.
	// docs/operations.md says what it is made of.
	overloadMemory = 1 << 30
	// overloadSlack are the goroutines and files that come and go, such as the
	// readers of the store.
	overloadSlack = 20
)

// TestOverload has fifty times as many questions come in at once as the server admits,
// and then as many times of the largest batches, beside 2,000 connections that
// never come to the end of a head. All that while it says at once that it lives, it stays
// within its memory, and whatever it has accepted comes to an outcome. Afterwards it
// holds nothing that it didn't hold before.
func TestOverload(t *testing.T) {
	n := newCrashNodeOn(t, []string{"--data", filepath.Join(t.TempDir(), "data")})
	n.env = append(n.env, "GOMEMLIMIT=768MiB") // as on a small machine
	n.start()
	l := startOverload(t)
	webhook := n.newWebhook(l.receiver)
	n.closed(n.askOn(webhook))
	goroutines, files := n.goroutines(), n.files()

	ran, waited := n.scheduled()
	probes, fresh := probeHealth(t, n.URL, false), probeHealth(t, n.URL, true)
	p := overloadPlan{
		Address: n.listen, Webhook: webhook, HalfOpen: 2000, Connections: overloadTimes*overloadCalls/250 + 1, Streams: 250,
		Batches: overloadTimes * overloadBatches, Lasts: 3 * time.Second,
		HalfOpenLasts: 2 * patience, // the server gives them ten seconds for a head
	}
	r := l.run(p)
	took := append(probes(), fresh()...)
	slices.Sort(took)
	ranThen, waitedThen := n.scheduled()
	ran, waited = ranThen-ran, waitedThen-waited
	slowed := 1 + waited.Seconds()/ran.Seconds()
	t.Logf("%d goroutines and %d files before, %d and %d at the end of the load", goroutines, files, n.goroutines(), n.files())
	if len(took) < 50 {
		t.Fatalf("there were %d probes", len(took))
	}
	worst := took[len(took)-1]
	t.Logf("%d accepted; answers: %v; %d half-open connections at once, %d were closed; /healthz took %s at most in 99 of 100 of %d probes, and %s in the worst, slowed %.1f times by others",
		len(r.Accepted), r.Answers, r.HalfOpen, r.Reopened, took[len(took)*99/100], len(took), worst, slowed)
	limit := time.Duration(slowed * float64(overloadHealth))
	if slowed > overloadBusy {
		limit *= 3
	}
	if worst > limit {
		t.Errorf("/healthz took %s in the worst of %d probes, want at most %s", worst, len(took), limit)
	}
	// Of the small ones none need be refused: what isn't read yet waits with its sender.
	// On processors that have much else to do the first half-open connections are closed
	// before the last are there.
	if small := r.Answers["200"] + r.Answers["503"]; small < overloadTimes*overloadCalls || r.Answers["batch: 503"] == 0 || r.HalfOpen < p.HalfOpen/2 || r.Reopened == 0 {
		t.Error("that was no overload")
	}
	n.wantApproved(webhook, r.Accepted)
	if peak := n.peakMemory(); peak > overloadMemory {
		t.Errorf("the server had %d MiB, want at most %d", peak>>20, overloadMemory>>20)
	} else {
		t.Logf("the server had %d MiB at its most", peak>>20)
	}
	l.end()
	eventually(t, fmt.Sprintf("the server holds no more than the %d goroutines and %d files of before", goroutines, files), func() bool {
		g, f := n.goroutines(), n.files()
		return g <= goroutines+overloadSlack && f <= files+overloadSlack
	})
	n.newWebhook("http://127.0.0.1:1/")
}

func (n *crashNode) askOn(webhook string) string {
	n.t.Helper()
	res, err := n.Instances.Create(patient(n.t), crashRequest(webhook, ""))
	if err != nil {
		n.t.Fatalf("creating an instance: %v\n%s", err, n.log())
	}
	return res.GetInstance().GetWebhookInstance().GetId()
}

// overloading is the process that makes the load.
type overloading struct {
	t        *testing.T
	receiver string
	cmd      *exec.Cmd
	in       io.WriteCloser
	out      *bufio.Reader
}

func startOverload(t *testing.T) *overloading {
	t.Helper()
	l := &overloading{t: t, cmd: exec.CommandContext(t.Context(), "nice", "-n", "10", os.Args[0])}
	l.cmd.Env = append(os.Environ(), overloadRole+"=1")
	l.cmd.Stderr = os.Stderr
	out, err := l.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if l.in, err = l.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := l.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	l.out = bufio.NewReader(out)
	l.read(&l.receiver)
	return l
}

func (l *overloading) read(into any) {
	l.t.Helper()
	line, err := l.out.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, into)
	}
	if err != nil {
		l.t.Fatalf("reading what the load says: %v: %s", err, line)
	}
}

func (l *overloading) run(p overloadPlan) overloadResult {
	l.t.Helper()
	if err := json.NewEncoder(l.in).Encode(p); err != nil {
		l.t.Fatal(err)
	}
	var r overloadResult
	l.read(&r)
	return r
}

func (l *overloading) end() {
	l.t.Helper()
	l.in.Close()
	if err := l.cmd.Wait(); err != nil {
		l.t.Error(err)
	}
}

// probeHealth asks each 50 ms whether the server lives, on one connection, or each time on
// a fresh one. What it returns ends that, and says how long each answer took.
func probeHealth(t *testing.T, base string, fresh bool) (stop func() (took []time.Duration)) {
	over := make(chan struct{})
	var probing sync.WaitGroup
	var took []time.Duration
	probing.Go(func() {
		h := &http.Client{Transport: &http.Transport{DisableKeepAlives: fresh}, Timeout: patience}
		defer h.CloseIdleConnections()
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			began := time.Now()
			res, err := h.Get(base + "/healthz")
			if err != nil {
				t.Errorf("/healthz: %v", err)
				return
			}
			_, _ = io.Copy(io.Discard, res.Body)
			res.Body.Close()
			took = append(took, time.Since(began))
			if res.StatusCode != http.StatusOK {
				t.Errorf("/healthz: HTTP %d", res.StatusCode)
			}
			select {
			case <-tick.C:
			case <-over:
				return
			}
		}
	})
	return func() []time.Duration {
		close(over)
		probing.Wait()
		return took
	}
}

// wantApproved waits until nothing of a webhook is open, and looks for each of the ids.
func (n *crashNode) wantApproved(webhook string, ids []string) {
	n.t.Helper()
	for _, state := range []string{"PENDING", "RUNNING", "ERROR", "WAITING_CALLBACK", "PROCESS_RESPONSE"} {
		filter := fmt.Sprintf("webhookId = %q AND state = %s", webhook, state)
		eventually(n.t, "nothing is "+state, func() bool {
			res, err := n.Instances.Count(patient(n.t), &ripostev1.InstancesServiceCountRequest{Filter: filter})
			return err == nil && res.GetCount() == 0
		})
	}
	approved := map[string]bool{}
	for token, more := "", true; more; more = token != "" {
		res, err := n.Instances.List(patient(n.t), &ripostev1.InstancesServiceListRequest{Filter: fmt.Sprintf("webhookId = %q", webhook), PageSize: 1000, PageToken: token})
		if err != nil {
			n.t.Fatal(err)
		}
		for _, i := range res.GetList() {
			approved[i.GetWebhookInstance().GetId()] = state(i) == "SUCCESS" && kind(i) == "APPROVED"
		}
		token = res.GetNextPageToken()
	}
	for _, id := range ids {
		if !approved[id] {
			n.t.Errorf("%s was accepted and is not approved", id)
		}
	}
}

var goroutineTotal = regexp.MustCompile(`goroutine profile: total (\d+)`)

// goroutines is how many the server has.
func (n *crashNode) goroutines() int {
	n.t.Helper()
	res := send(n.t, http.MethodGet, n.URL+"/debug/pprof/goroutine?debug=1", "", http.Header{"Authorization": {"Bearer " + crashAPIKey}})
	m := goroutineTotal.FindSubmatch(res.body)
	if m == nil {
		n.t.Fatalf("HTTP %d: %s", res.status, res.body)
	}
	total, _ := strconv.Atoi(string(m[1]))
	return total
}

// files is how many the server has open.
func (n *crashNode) files() int {
	n.t.Helper()
	open, err := os.ReadDir(filepath.Join("/proc", strconv.Itoa(n.cmd.Process.Pid), "fd"))
	if err != nil {
		n.t.Skipf("a system that doesn't say which files a process has: %v", err)
	}
	return len(open)
}

// scheduled is for how long the server's threads have run, and for how long they would
// have if nobody else had.
func (n *crashNode) scheduled() (ran, waited time.Duration) {
	n.t.Helper()
	tasks, err := filepath.Glob(filepath.Join("/proc", strconv.Itoa(n.cmd.Process.Pid), "task", "*", "schedstat"))
	if err != nil || len(tasks) == 0 {
		n.t.Skipf("a system that doesn't say how long a thread has run: %v", err)
	}
	for _, task := range tasks {
		var r, w time.Duration
		if b, err := os.ReadFile(task); err == nil { // it may have ended
			_, _ = fmt.Sscan(string(b), &r, &w)
		}
		ran, waited = ran+r, waited+w
	}
	return ran, waited
}

var peakResident = regexp.MustCompile(`VmHWM:\s+(\d+) kB`)

// peakMemory is the most that the server had resident, in bytes.
func (n *crashNode) peakMemory() int {
	n.t.Helper()
	status, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(n.cmd.Process.Pid), "status"))
	if err != nil {
		n.t.Fatal(err)
	}
	m := peakResident.FindSubmatch(status)
	if m == nil {
		n.t.Fatalf("%s", status)
	}
	kib, _ := strconv.Atoi(string(m[1]))
	return kib << 10
}
