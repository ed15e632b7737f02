package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// apiKey is the admin's at every node; the systems that aren't Riposte ignore it.
const apiKey = "benchmark-key-of-an-administrator"

// masterKey is that of every node, which needs one where it is on PostgreSQL.
const masterKey = "YmVuY2htYXJrIG1hc3RlciBrZXksIDMyIGJ5dGVzIC4="

// patience is how long the harness waits for what must come.
const patience = 10 * time.Minute

// node is a process of a system.
type node struct {
	system       string // its name
	address, url string
	// next is where the callbacks go of the instances that were created here:
	// another node, where there are several, as a load balancer may choose.
	next   *node
	client *http.Client
	cmd    *exec.Cmd // nil until it was started
	log    *os.File
	exited chan struct{} // closed once err says how
	err    error
}

func newNode(system string) (*node, error) {
	address, err := freeAddress()
	return &node{system: system, address: address, url: "http://" + address, client: newClient()}, err
}

// The ports that freeAddress gives: from below those that the kernel gives to
// outgoing connections, and none twice, because scenarios may run side by side
// and a port is free until the program that it is for has started.
var (
	portsMu sync.Mutex
	ports   = rand.Perm(10_000)
)

const firstPort = 10_000

// freeAddress returns an address that nobody else is given, and nobody has now.
func freeAddress() (string, error) {
	portsMu.Lock()
	defer portsMu.Unlock()
	for len(ports) > 0 {
		address := fmt.Sprint("127.0.0.1:", firstPort+ports[0])
		ports = ports[1:]
		if l, err := net.Listen("tcp", address); err == nil {
			return address, l.Close()
		}
	}
	return "", errors.New("there is no free port")
}

// start runs a command, with its log in dir, and returns when it takes calls.
func (n *node) start(ctx context.Context, dir string, args []string) (err error) {
	if n.log, err = os.CreateTemp(dir, n.system+"-*.log"); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = append(os.Environ(), "RIPOSTE_API_KEY="+apiKey, "RIPOSTE_MASTER_KEY="+masterKey)
	cmd.Stdout, cmd.Stderr = n.log, n.log
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = time.Minute
	if err := cmd.Start(); err != nil {
		return err
	}
	n.cmd, n.exited = cmd, make(chan struct{})
	go func() {
		n.err = cmd.Wait()
		close(n.exited)
	}()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		_, err = n.get(ctx, "/metrics")
		select {
		case <-n.exited: // and somebody else may have answered
			return fmt.Errorf("%s has ended: %v%s", n.system, n.err, n.said())
		default:
		}
		if err == nil {
			return nil
		}
		if ctx.Err() != nil || time.Now().After(deadline) {
			return fmt.Errorf("%s does not come up: %w%s", n.system, err, n.said())
		}
	}
}

// said is the end of the node's log, for an error.
func (n *node) said() string {
	if n.log == nil {
		return ""
	}
	const enough = 2000 // bytes
	b, _ := os.ReadFile(n.log.Name())
	if len(b) == 0 {
		return ""
	}
	return "\nIt said: " + string(b[max(0, len(b)-enough):])
}

// stop ends the node as an operator would.
func (n *node) stop() error {
	// A server that stops waits 5 s for a connection that has not been used yet.
	n.client.CloseIdleConnections()
	err := n.cmd.Process.Signal(syscall.SIGTERM)
	<-n.exited
	err = errors.Join(err, n.err, n.log.Close())
	if err != nil {
		return fmt.Errorf("stopping %s: %w%s", n.system, err, n.said())
	}
	return nil
}

// kill ends a node that has nothing more to say.
func (n *node) kill() {
	if n.cmd != nil {
		_ = n.cmd.Process.Kill()
		<-n.exited
	}
	n.log.Close()
	n.client.CloseIdleConnections()
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
		return 0, fmt.Errorf("%s has no metric %s", n.system, name)
	}
	return int64(sum), nil
}

// post sends JSON and returns the body of a 200.
func (n *node) post(ctx context.Context, path string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, n.url+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	return n.do(req)
}

func (n *node) get(ctx context.Context, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, n.url+path, nil)
	if err != nil {
		return nil, err
	}
	return n.do(req)
}

func (n *node) do(req *http.Request) ([]byte, error) {
	req.Header.Set("Authorization", "Bearer "+apiKey)
	resp, err := n.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = errors.New(resp.Status + ": " + string(b))
	}
	return b, err
}
