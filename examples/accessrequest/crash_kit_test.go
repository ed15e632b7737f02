package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/riposte-dev/riposte/ripostetest"
)

const patience = time.Minute

func patient(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

var binaryDir string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "accessrequest-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binaryDir = dir
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// binaries builds the server and the application, once.
var binaries = sync.OnceValue(func() error {
	out, err := exec.Command("go", "build", "-o", binaryDir+string(filepath.Separator), "../../cmd/riposte", ".").CombinedOutput()
	if err != nil {
		return fmt.Errorf("building the binaries: %w\n%s", err, out)
	}
	return nil
})

// process is a program in a process of its own, which can be killed.
type process struct {
	t     testing.TB
	cmd   *exec.Cmd
	stdin io.Writer
	lines <-chan string // what it prints; closed at its end
}

// start runs a binary with only the environment that is given. Its lines must be read.
func start(t testing.TB, env []string, binary string, args ...string) *process {
	t.Helper()
	if err := binaries(); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(binaryDir, binary), args...)
	cmd.Dir = t.TempDir()
	cmd.Env = append(env, "PATH="+os.Getenv("PATH"), "HOME="+t.TempDir(), "TMPDIR="+os.TempDir())
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = w, w
	err = cmd.Start()
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	lines := make(chan string, 10_000)
	go func() {
		defer close(lines)
		defer output.Close()
		for scanner := bufio.NewScanner(output); scanner.Scan(); {
			lines <- scanner.Text()
		}
	}()
	p := &process{t: t, cmd: cmd, stdin: stdin, lines: lines}
	t.Cleanup(p.kill)
	return p
}

// kill is kill -9.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	for range p.lines {
	}
	_ = p.cmd.Wait()
}

// line waits for one that is wanted, and fails the test when the process ends first.
func (p *process) line(wanted func(string) bool) string {
	p.t.Helper()
	var seen []string
	late := time.After(patience)
	for {
		select {
		case line, ok := <-p.lines:
			if seen = append(seen, line); ok && wanted(line) {
				return line
			} else if !ok {
				p.t.Fatalf("the process ended: %v\n%s", p.cmd.Wait(), strings.Join(seen, "\n"))
			}
		case <-late:
			p.t.Fatalf("the process does not go on:\n%s", strings.Join(seen, "\n"))
		}
	}
}

// skip reads so many lines, fewer where the process ends, which must be well.
func (p *process) skip(lines int) {
	p.t.Helper()
	var seen []string
	late := time.After(patience)
	for len(seen) < lines {
		select {
		case line, ok := <-p.lines:
			if seen = append(seen, line); ok {
				continue
			}
			if err := p.cmd.Wait(); err != nil {
				p.t.Fatalf("the process ended: %v\n%s", err, strings.Join(seen, "\n"))
			}
			return
		case <-late:
			p.t.Fatalf("the process does not go on:\n%s", strings.Join(seen, "\n"))
		}
	}
}

// ended waits for the process to end by itself, and returns what it printed.
func (p *process) ended() (output string, err error) {
	p.t.Helper()
	var seen []string
	late := time.After(patience)
	for {
		select {
		case line, ok := <-p.lines:
			if !ok {
				return strings.Join(seen, "\n"), p.cmd.Wait()
			}
			seen = append(seen, line)
		case <-late:
			p.t.Fatalf("the process does not end:\n%s", strings.Join(seen, "\n"))
		}
	}
}

// end is for a process that must end well.
func (p *process) end() string {
	p.t.Helper()
	output, err := p.ended()
	if err != nil {
		p.t.Fatalf("the process ended: %v\n%s", err, output)
	}
	return output
}

// fail is for a process that must end with an error.
func (p *process) fail() string {
	p.t.Helper()
	output, err := p.ended()
	if err == nil {
		p.t.Fatalf("the process ended well:\n%s", output)
	}
	return output
}

// house is a server, and the application's store, over all their processes.
type house struct {
	*ripostetest.Client
	t      testing.TB
	listen string
	server *process
	data   string
	store  *Store // opened beside the application's own
	dir    string // the server's
}

func newHouse(t testing.TB) *house {
	t.Helper()
	h := &house{t: t, listen: "127.0.0.1:0", data: t.TempDir(), dir: t.TempDir()}
	h.startServer()
	h.Client = ripostetest.NewClient(h.url(), ripostetest.APIKey)
	t.Cleanup(h.CloseIdleConnections)
	s, err := openStore(h.data)
	if err != nil {
		t.Fatal(err)
	}
	h.store = s
	t.Cleanup(func() { s.close() })
	return h
}

func (h *house) url() string { return "http://" + h.listen }

// startServer runs the server, at the address that it had before. Its fast retries
// outlast what a restart takes here.
func (h *house) startServer() {
	h.t.Helper()
	h.server = start(h.t, []string{"RIPOSTE_API_KEY=" + ripostetest.APIKey}, "riposte", "serve", "--listen", h.listen, "--data", h.dir,
		"--allow-destinations", "loopback", "--retry-min-delay", "100ms", "--retry-max-delay", "300ms")
	h.server.line(func(line string) bool {
		var serving struct{ Msg, Listen string }
		if json.Unmarshal([]byte(line), &serving) != nil || serving.Msg != "serving" {
			return false
		}
		h.listen = serving.Listen
		return true
	})
}

func (h *house) restartServer() {
	h.t.Helper()
	h.server.kill()
	h.CloseIdleConnections()
	h.startServer()
}

// application runs a command of the application's, which stands still at a point, if
// that is named.
func (h *house) application(haltAt string, args ...string) *process {
	h.t.Helper()
	env := []string{"RIPOSTE_API_KEY=" + ripostetest.APIKey, "RIPOSTE_SERVER=" + h.url(), "ACCESSREQUEST_HALT_AT=" + haltAt}
	return start(h.t, env, "accessrequest", append(args, "--data", h.data)...)
}

// run is what goes on until every request is closed.
func (h *house) run(haltAt string) *process {
	h.t.Helper()
	return h.application(haltAt, "run", "--until-closed")
}

// add keeps a request of a scene.
func (h *house) add(sc scene) {
	h.t.Helper()
	if _, err := h.store.add(patient(h.t), newRequest(sc.who, sc.wants)); err != nil {
		h.t.Fatal(err)
	}
}
