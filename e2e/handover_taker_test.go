package e2e

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/riposte-dev/riposte/client"
)

// Who takes outcomes is a process of its own: this very binary, told by its
// environment what to be.
const (
	takerRole   = "RIPOSTE_E2E_TAKER"
	takerServer = "RIPOSTE_E2E_TAKER_SERVER"
	takerStore  = "RIPOSTE_E2E_TAKER_STORE"

	// takerSteps is how many steps an outcome takes, at most.
	takerSteps = 5

	consumerName = "handover"
	// consumerLease is the shortest, so that what a dead worker had comes again soon.
	consumerLease = time.Second
)

// takerRoles are what a process may be. Each works until it is killed.
var takerRoles = map[string]func(context.Context, effects) error{
	"watcher": takeByWatch, "consumer": takeByConsumer, "receiver": takeByPush,
}

// take is the process's main.
func take(role string) (code int) {
	ctx := context.Background()
	go obey()
	e, err := openEffects(ctx, os.Getenv(takerStore))
	if err == nil {
		err = takerRoles[role](ctx, e)
	}
	fmt.Fprintf(os.Stderr, "the %s ended: %v\n", role, err)
	return 1
}

// stepsLeft is after how many steps more the process dies, if it is positive.
var stepsLeft atomic.Int64

// step is a place at which the process may have to die.
func step() {
	if stepsLeft.Add(-1) == 0 {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // the signal is on its way
	}
}

// obey reads after how many steps to die, and ends the process with the test's.
func obey() {
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		if n, err := strconv.Atoi(lines.Text()); err == nil {
			stepsLeft.Store(int64(n))
		}
	}
	os.Exit(1)
}

// working tells the test that outcomes are taken from now on.
func working(listen string) { fmt.Printf("working %s\n", listen) }

func takerClient() (*client.Client, error) {
	return client.New(os.Getenv(takerServer), client.WithAPIKey(crashAPIKey))
}

// takeByWatch keeps the cursor in the transaction of its effects.
func takeByWatch(ctx context.Context, e effects) error {
	c, err := takerClient()
	if err != nil {
		return err
	}
	after, err := e.cursor(ctx)
	if err != nil {
		return err
	}
	working("")
	for o, err := range c.Watch(ctx, after, client.Filter{}) {
		if err != nil {
			return err
		}
		step()
		if err := e.store(ctx, effectOf(o), o.Cursor); err != nil {
			return err
		}
	}
	return nil
}

// takeByConsumer is one of the workers that share a consumer.
func takeByConsumer(ctx context.Context, e effects) error {
	c, err := takerClient()
	if err != nil {
		return err
	}
	working("")
	return c.Consume(ctx, consumerName, func(ctx context.Context, o client.Outcome) error {
		step()
		return e.store(ctx, effectOf(o), "")
	}, client.WithAfter("0"), client.WithLease(consumerLease))
}

func effectOf(o client.Outcome) effect {
	return effect{instance: o.InstanceID, sequence: o.Sequence, said: said(o.Kind, string(o.Document), o.Failure.Reason)}
}

// taker is such a process and its database, over all its lives.
type taker struct {
	t       *testing.T
	role    string
	store   string
	server  string
	listen  string // of a receiver; another in each life
	cmd     *exec.Cmd
	stdin   io.WriteCloser
	ended   chan struct{} // when the process has
	drained sync.WaitGroup

	mu     sync.Mutex
	output bytes.Buffer
}

// newTaker starts a process that takes outcomes from a server.
func newTaker(t *testing.T, role, server string) *taker {
	t.Helper()
	k := &taker{t: t, role: role, server: server, store: filepath.Join(t.TempDir(), "effects.db")}
	t.Cleanup(k.end)
	k.start()
	return k
}

func (k *taker) start() {
	k.t.Helper()
	path, err := os.Executable()
	if err != nil {
		k.t.Fatal(err)
	}
	k.cmd = exec.Command(path)
	k.cmd.Env = append(os.Environ(), takerRole+"="+k.role, takerServer+"="+k.server, takerStore+"="+k.store)
	k.cmd.Stderr = writerFunc(k.note)
	k.stdin, err = k.cmd.StdinPipe()
	var stdout io.ReadCloser
	if err == nil {
		stdout, err = k.cmd.StdoutPipe()
	}
	if err == nil {
		err = k.cmd.Start()
	}
	if err != nil {
		k.t.Fatal(err)
	}
	began := make(chan string, 1)
	k.ended = make(chan struct{})
	k.drained.Go(func() {
		defer close(k.ended)
		defer close(began)
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			if listen, ok := strings.CutPrefix(lines.Text(), "working "); ok {
				began <- listen
			}
		}
	})
	listen, ok := <-began
	if !ok {
		_ = k.wait()
		k.t.Fatalf("the %s ended at its start: %s", k.role, k.log())
	}
	k.listen = listen
}

type writerFunc func([]byte)

func (f writerFunc) Write(b []byte) (int, error) {
	f(b)
	return len(b), nil
}

func (k *taker) note(b []byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.output.Write(b)
}

func (k *taker) log() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.output.String()
}

func (k *taker) wait() error {
	k.drained.Wait()
	return k.cmd.Wait()
}

// crash kills the process at some step of what it does for an outcome, at each of
// them in turn, or at any time if it has nothing to do.
func (k *taker) crash(nth int) {
	k.t.Helper()
	if rand.N(4) > 0 {
		fmt.Fprintf(k.stdin, "%d\n", 1+nth%takerSteps+takerSteps*rand.N(10))
		select {
		case <-k.ended:
		case <-time.After(500 * time.Millisecond):
		}
	}
	_ = k.cmd.Process.Kill()
	_ = k.wait()
	if s, ok := k.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || s.Signal() != syscall.SIGKILL {
		k.t.Fatalf("the %s had ended by itself: %s\n%s", k.role, k.cmd.ProcessState, k.log())
	}
}

// end is for good.
func (k *taker) end() {
	if k.cmd != nil && k.cmd.Process != nil && k.cmd.ProcessState == nil {
		_ = k.cmd.Process.Kill()
		_ = k.wait()
	}
}

// effects lists what the process has made, of all its lives.
func (k *taker) effects() []effect {
	k.t.Helper()
	e, err := openEffects(k.t.Context(), k.store)
	if err != nil {
		k.t.Fatal(err)
	}
	defer e.db.Close()
	all, err := e.all(k.t.Context())
	if err != nil {
		k.t.Fatal(err)
	}
	return all
}
