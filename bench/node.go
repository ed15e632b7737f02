package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// apiKey is the admin's at every node; the systems that aren't Riposte ignore it.
const apiKey = "benchmark-key-of-an-administrator"

// patience is how long the harness waits for what must come.
const patience = 10 * time.Minute

// system is something to be measured: a program that takes instances over HTTP.
type system struct {
	name string
	// args starts it on an address, with its data in a directory.
	args func(listen, data string) []string
	// closed and fsyncs are its counters at GET /metrics.
	closed, fsyncs string
	// others are the processes that work for it beside its own.
	others func(context.Context) ([]int, error)
}

// node is a system that runs.
type node struct {
	system
	url    string
	cmd    *exec.Cmd
	client *http.Client
	log    *os.File
}

// start runs s over the data directory and returns when it takes calls.
func (s system) start(ctx context.Context, data string) (*node, error) {
	listen, err := freeAddress()
	if err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(data, s.name+".log"))
	if err != nil {
		return nil, err
	}
	args := s.args(listen, data)
	n := &node{system: s, url: "http://" + listen, client: newClient(), log: log, cmd: exec.CommandContext(ctx, args[0], args[1:]...)}
	n.cmd.Env = append(os.Environ(), "RIPOSTE_API_KEY="+apiKey)
	n.cmd.Stdout, n.cmd.Stderr = log, log
	n.cmd.Cancel = func() error { return n.cmd.Process.Signal(syscall.SIGTERM) }
	n.cmd.WaitDelay = time.Minute
	if err := n.cmd.Start(); err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if _, err = n.get(ctx, "/metrics"); err == nil {
			return n, nil
		}
		if ctx.Err() != nil || time.Now().After(deadline) {
			n.kill()
			said, _ := os.ReadFile(log.Name())
			return nil, fmt.Errorf("%s does not come up: %w; it said: %s", s.name, err, said)
		}
	}
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// stop ends the node as an operator would.
func (n *node) stop() error {
	// A server that stops waits 5 s for a connection that has not been used yet.
	n.client.CloseIdleConnections()
	err := n.cmd.Process.Signal(syscall.SIGTERM)
	err = errors.Join(err, n.cmd.Wait(), n.log.Close())
	if err != nil {
		return fmt.Errorf("stopping %s: %w", n.name, err)
	}
	return nil
}

// kill ends a node that has nothing more to say.
func (n *node) kill() {
	_ = n.cmd.Process.Kill()
	_ = n.cmd.Wait()
	n.log.Close()
	n.client.CloseIdleConnections()
}

// newWebhook makes a webhook for a URL and returns its id.
func (n *node) newWebhook(ctx context.Context, url string) (string, error) {
	b, err := n.post(ctx, "/api/v1/webhooks", fmt.Appendf(nil, `{"displayName":"benchmark","url":%q}`, url))
	if err != nil {
		return "", fmt.Errorf("creating a webhook: %w", err)
	}
	return firstID(b)
}

// counter is the sum of a metric over its labels, or the one series that name
// has the labels of.
func (n *node) counter(ctx context.Context, name string) (int64, error) {
	b, err := n.get(ctx, "/metrics")
	if err != nil {
		return 0, err
	}
	sum, found := 0.0, false
	for line := range strings.Lines(string(b)) {
		metric, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if bare, _, _ := strings.Cut(metric, "{"); bare != name && metric != name {
			continue
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return 0, fmt.Errorf("reading %q: %w", line, err)
		}
		sum, found = sum+v, true
	}
	if !found {
		return 0, fmt.Errorf("%s has no metric %s", n.name, name)
	}
	return int64(sum), nil
}

// awaitClosed returns when the node has closed so many instances.
func (n *node) awaitClosed(ctx context.Context, want int64) error {
	for deadline := time.Now().Add(patience); ; time.Sleep(2 * time.Millisecond) {
		got, err := n.counter(ctx, n.closed)
		switch {
		case err != nil:
			return err
		case got == want:
			return nil
		case got > want:
			return fmt.Errorf("%s closed %d instances, %d were created", n.name, got, want)
		case time.Now().After(deadline):
			return fmt.Errorf("%s has closed %d instances of %d after %s", n.name, got, want, patience)
		}
	}
}

// awaitCounted returns when Riposte has counted what it found at its start,
// which would otherwise be measured with what comes then.
func (n *node) awaitCounted(ctx context.Context) error {
	for deadline := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		_, err := n.counter(ctx, "riposte_instances")
		if err == nil || ctx.Err() != nil || time.Now().After(deadline) {
			return err
		}
	}
}

// usage is what a node has used up since it was started.
type usage struct {
	cpu             time.Duration
	written, fsyncs int64
	peak            int64 // resident bytes
}

func (n *node) usage(ctx context.Context) (usage, error) {
	var u usage
	var err error
	if u.fsyncs, err = n.counter(ctx, n.fsyncs); err != nil {
		return u, err
	}
	pids := []int{n.cmd.Process.Pid}
	if n.others != nil {
		more, err := n.others(ctx)
		if err != nil {
			return u, err
		}
		pids = append(pids, more...)
	}
	for _, pid := range pids {
		if err := u.add(pid); err != nil && (pid == n.cmd.Process.Pid || !hasEnded(err)) {
			return u, fmt.Errorf("reading what %s uses: %w", n.name, err)
		}
	}
	return u, nil
}

// hasEnded reports whether /proc had nothing more of a process: it is gone, or
// nobody has waited for it yet.
func hasEnded(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH)
}

func (u usage) since(before usage) usage {
	return usage{u.cpu - before.cpu, u.written - before.written, u.fsyncs - before.fsyncs, u.peak}
}

// clockTick is how often a second /proc counts CPU time; the kernel fixes it.
const clockTick = time.Second / 100

// add adds what /proc knows of a process.
func (u *usage) add(pid int) error {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return err
	}
	// The program's name, in parentheses, may have spaces.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	var cpu time.Duration
	for _, at := range []int{11, 12} { // utime, stime
		ticks, err := strconv.ParseInt(fields[at], 10, 64)
		if err != nil {
			return err
		}
		cpu += time.Duration(ticks) * clockTick
	}
	written, err := procField(pid, "io", "write_bytes:")
	if err != nil {
		return err
	}
	peak, err := procField(pid, "status", "VmHWM:")
	if err != nil {
		return err
	}
	u.cpu += cpu
	u.written += written
	u.peak += peak << 10
	return nil
}

func procField(pid int, file, name string) (int64, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/%s", pid, file))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if rest, ok := strings.CutPrefix(s.Text(), name); ok {
			return strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
		}
	}
	return 0, fmt.Errorf("%s has no %s: %w", f.Name(), name, fs.ErrNotExist) // the process has just ended
}
