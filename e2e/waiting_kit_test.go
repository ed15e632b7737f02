package e2e

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/riposte-dev/riposte/ripostetest"
)

// waitingWay is how callers wait for an outcome.
type waitingWay struct {
	name  string
	path  string // %s is the instance
	watch bool
	h2    bool   // many share a connection, where otherwise each has one
	stack string // what is on the stack of a goroutine of the server's for each
}

var waitingWays = []waitingWay{
	{name: "wait/http1", path: "/api/v1/instances/%s:wait?timeout=60s", stack: "waitOnce"},
	{name: "wait/h2c", path: "/api/v1/instances/%s:wait?timeout=60s", stack: "waitOnce", h2: true},
	{name: "watch/http1", path: "/api/v1/instances:watch", stack: "feed.(*Watch).Next", watch: true},
	{name: "watch/h2c", path: "/api/v1/instances:watch", stack: "feed.(*Watch).Next", watch: true, h2: true},
}

// waitingRoom is a server's process, an instance that waits for its callback, and
// callers who wait for the outcome.
type waitingRoom struct {
	tb          testing.TB
	node        *crashNode
	way         waitingWay
	id          string
	callbackURL string

	ctx     context.Context
	callers sync.WaitGroup
	answers chan error
}

// openWaitingRoom skips the test where a process may not have so many connections.
func openWaitingRoom(tb testing.TB, way waitingWay, callers int) *waitingRoom {
	tb.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		tb.Fatal(err)
	}
	if need := uint64(callers) + 500; limit.Max < need && !way.h2 {
		tb.Skipf("a process may have %d files here (ulimit -Hn), %d are needed", limit.Max, need)
	}
	ctx, hangUp := context.WithCancel(context.Background())
	w := &waitingRoom{tb: tb, node: newCrashNode(tb), way: way, ctx: ctx, answers: make(chan error, callers)}
	tb.Cleanup(func() {
		hangUp()
		w.callers.Wait()
	})
	r := newReceiver(tb, always(ripostetest.Reply{Status: http.StatusAccepted}))
	w.id = w.node.ask(r.URL)
	w.callbackURL = delivered(tb, r, w.id, 1).Envelope.CallbackURL
	w.node.waitingForCallback(w.id)
	return w
}

// enter has callers wait, and returns when the server has them all.
func (w *waitingRoom) enter(callers int) {
	w.tb.Helper()
	var h *http.Client
	knocking := make(chan struct{}, 100) // no more at a time than the kernel queues
	for k := range callers {
		if k%callersPerClient == 0 {
			h = w.newClient()
		}
		by := h
		knocking <- struct{}{}
		w.callers.Go(func() {
			in := sync.OnceFunc(func() { <-knocking })
			defer in()
			w.answers <- w.wait(by, in)
		})
	}
	eventually(w.tb, fmt.Sprintf("the server has %d who wait", callers), func() bool { return w.waiting() >= callers })
}

// callersPerClient is how many share a connection of HTTP/2: less than a server
// takes.
const callersPerClient = 200

func (w *waitingRoom) newClient() *http.Client {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!w.way.h2)
	protocols.SetUnencryptedHTTP2(w.way.h2)
	transport := &http.Transport{Protocols: protocols}
	w.tb.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// wait returns when the caller has the outcome. It calls in when the server has the
// request.
func (w *waitingRoom) wait(h *http.Client, in func()) error {
	ctx := httptrace.WithClientTrace(w.ctx, &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { in() }})
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, w.node.URL+strings.ReplaceAll(w.way.path, "%s", w.id), nil)
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+crashAPIKey)
	res, err := h.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	lines := bufio.NewReaderSize(res.Body, 2048)
	for {
		line, err := lines.ReadString('\n')
		switch {
		case strings.Contains(line, w.id) && strings.Contains(line, "APPROVED"):
			return nil
		case err != nil:
			return fmt.Errorf("HTTP %d, %s: %w", res.StatusCode, line, err)
		}
	}
}

// answer answers the instance, and returns when all callers have the outcome.
func (w *waitingRoom) answer(callers int) time.Duration {
	w.tb.Helper()
	h := &http.Client{Timeout: patience}
	defer h.CloseIdleConnections()
	began := time.Now()
	res, err := h.Post(w.callbackURL, "application/json", strings.NewReader(crashApproval))
	if err != nil {
		w.tb.Fatal(err)
	}
	res.Body.Close()
	for range callers {
		select {
		case err := <-w.answers:
			if err != nil {
				w.tb.Fatalf("a caller got no outcome: %v", err)
			}
		case <-time.After(patience):
			w.tb.Fatal("there are callers without the outcome")
		}
	}
	return time.Since(began)
}

// profile is one of the server's, in words.
func (w *waitingRoom) profile(name string) string {
	w.tb.Helper()
	r, err := http.NewRequestWithContext(w.ctx, http.MethodGet, w.node.URL+"/debug/pprof/"+name, nil)
	if err != nil {
		w.tb.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+crashAPIKey)
	r.Close = true
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		w.tb.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		w.tb.Fatalf("profile %s: HTTP %d, %v", name, res.StatusCode, err)
	}
	return string(b)
}

// waiting counts the server's goroutines that wait for a caller.
func (w *waitingRoom) waiting() (n int) {
	_, stacks, _ := strings.Cut(w.profile("goroutine?debug=1"), "\n")
	for stack := range strings.SplitSeq(stacks, "\n\n") {
		if strings.Contains(stack, w.way.stack) {
			count, _, _ := strings.Cut(stack, " ")
			of, _ := strconv.Atoi(count)
			n += of
		}
	}
	return n
}

var liveMemory = regexp.MustCompile(`(?m)^# (?:HeapAlloc = |Stack = )(\d+)`)

// live is the memory in bytes that the server can't do without: what is reachable,
// and stacks.
func (w *waitingRoom) live() (bytes int) {
	w.tb.Helper()
	found := liveMemory.FindAllStringSubmatch(w.profile("heap?gc=1&debug=1"), -1)
	if len(found) != 2 {
		w.tb.Fatalf("the heap's profile says %q", found)
	}
	for _, each := range found {
		n, err := strconv.Atoi(each[1])
		if err != nil {
			w.tb.Fatal(err)
		}
		bytes += n
	}
	return bytes
}

// resident is the memory in bytes that the kernel gave the server.
func (w *waitingRoom) resident() int {
	w.tb.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", w.node.cmd.Process.Pid))
	if err != nil {
		w.tb.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "VmRSS:")
	var kib int
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		w.tb.Fatal(err)
	}
	return kib << 10
}

// busy is the CPU time that the server has had.
func (w *waitingRoom) busy() time.Duration {
	w.tb.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", w.node.cmd.Process.Pid))
	if err != nil {
		w.tb.Fatal(err)
	}
	fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	var ticks int
	for _, field := range fields[11:13] { // utime and stime, in 1/100 s
		n, err := strconv.Atoi(field)
		if err != nil {
			w.tb.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}
