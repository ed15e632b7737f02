// Package receivers has the tests of the receivers of docs/receivers.md, one in
// each of three languages: what they take, what they refuse, and that the document
// shows their own text.
package receivers

import (
	"bufio"
	"context"
	"io"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// patience is how long a test waits for what must come.
const patience = 60 * time.Second

func patient(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// program is a receiver in one of the languages.
type program struct {
	language string
	needs    []string // runs without an error where the program can run
	command  []string // in the folder of the language
}

var programs = []program{
	{language: "go"}, // built by TestMain
	{
		language: "node",
		needs:    []string{"node", "--input-type=module", "--eval", `import 'jose'; import 'standardwebhooks'`},
		command:  []string{"node", "receiver.mjs"},
	},
	{
		language: "python",
		needs:    []string{"/usr/bin/python3", "-c", "import cryptography, jwt"},
		command:  []string{"/usr/bin/python3", "-B", "receiver.py"},
	},
}

func TestMain(m *testing.M) {
	os.Exit(withGoProgram(m.Run))
}

func withGoProgram(run func() int) int {
	dir, err := os.MkdirTemp("", "riposte-receivers-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	built := filepath.Join(dir, "receiver")
	if out, err := exec.Command("go", "build", "-o", built, "./go").CombinedOutput(); err != nil {
		panic("building the receiver in Go: " + string(out))
	}
	programs[0].command = []string{built}
	return run()
}

// forEach runs a test of each program. One that can't run here is skipped, but not
// under make receivers, which brings what they need.
func forEach(t *testing.T, test func(*testing.T, program)) {
	for _, p := range programs {
		t.Run(p.language, func(t *testing.T) {
			t.Parallel()
			if len(p.needs) > 0 {
				cmd := exec.Command(p.needs[0], p.needs[1:]...)
				cmd.Dir = p.language
				if out, err := cmd.CombinedOutput(); err != nil {
					if os.Getenv("RIPOSTE_TEST_RECEIVERS") != "" {
						t.Fatalf("%v\n%s", err, out)
					}
					t.Skip("make receivers brings what this one needs")
				}
			}
			test(t, p)
		})
	}
}

// front is the proxy that receivers stand behind: its address is there before the
// program is, which has to know it.
type front struct {
	URL   string // of the receiver, as a webhook has it
	inner atomic.Pointer[url.URL]
}

func newFront(t *testing.T) *front {
	f := &front{}
	server := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(f.inner.Load())
	}})
	t.Cleanup(server.Close)
	f.URL = server.URL + "/hook"
	return f
}

// process is a program that runs.
type process struct {
	mu      sync.Mutex
	lines   []string
	changed chan struct{} // closed and replaced at each line
}

// start runs a program behind a front until the test ends. The environment is
// NAME=value.
func (p program) start(t *testing.T, f *front, environment ...string) *process {
	t.Helper()
	cmd := exec.Command(p.command[0], p.command[1:]...)
	cmd.Dir = p.language
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "LISTEN=127.0.0.1:0", "RECEIVER_URL=" + f.URL + "?tenant=1"}, environment...)
	out, in := io.Pipe()
	cmd.Stdout, cmd.Stderr = in, in
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	running := &process{changed: make(chan struct{})}
	var reading sync.WaitGroup
	reading.Go(func() { running.read(out) })
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		in.Close()
		reading.Wait()
		if t.Failed() {
			t.Log(strings.Join(running.said(""), "\n"))
		}
	})
	address := running.await(t, "listening on ")
	f.inner.Store(&url.URL{Scheme: "http", Host: address})
	return running
}

func (p *process) read(out io.Reader) {
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		p.mu.Lock()
		p.lines = append(p.lines, lines.Text())
		close(p.changed)
		p.changed = make(chan struct{})
		p.mu.Unlock()
	}
}

// said returns the rest of each line so far that begins with prefix.
func (p *process) said(prefix string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var rests []string
	for _, line := range p.lines {
		if rest, ok := strings.CutPrefix(line, prefix); ok {
			rests = append(rests, rest)
		}
	}
	return rests
}

// await returns the rest of the first line that begins with prefix.
func (p *process) await(t *testing.T, prefix string) string {
	t.Helper()
	ctx := patient(t)
	for {
		p.mu.Lock()
		changed := p.changed
		p.mu.Unlock()
		if rests := p.said(prefix); len(rests) > 0 {
			return rests[0]
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("it did not say %q, but\n%s", prefix, strings.Join(p.said(""), "\n"))
		}
	}
}
