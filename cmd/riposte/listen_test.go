package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/riposte-dev/riposte/receiver"
	"github.com/riposte-dev/riposte/ripostetest"
	"github.com/riposte-dev/riposte/server"
)

// told is what a command prints, for those who wait for a part of it.
type told struct {
	mu      sync.Mutex
	text    bytes.Buffer
	changed chan struct{} // closed and replaced at each change
}

func (o *told) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.changed)
	o.changed = make(chan struct{})
	return o.text.Write(b)
}

// until waits for a text that matches, and returns it up to the end of what does.
func (o *told) until(t *testing.T, pattern string) string {
	t.Helper()
	timeout := time.After(20 * time.Second)
	for {
		o.mu.Lock()
		text, changed := o.text.String(), o.changed
		o.mu.Unlock()
		if at := regexp.MustCompile(pattern).FindStringIndex(text); at != nil {
			return text[:at[1]]
		}
		select {
		case <-changed:
		case <-timeout:
			t.Fatalf("it never says %q: %s", pattern, text)
		}
	}
}

// background is a command that goes on.
type background struct {
	first  string // what it said when it began
	out    *told
	cancel context.CancelFunc
	code   chan int
}

// startBackground runs riposte with the arguments until stop, or the test, ends. It
// has begun when it has said something that matches.
func startBackground(t *testing.T, stdin io.Reader, begun string, args ...string) *background {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	b := &background{out: &told{changed: make(chan struct{})}, cancel: cancel, code: make(chan int, 1)}
	root := newRootCommand()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(b.out)
	root.SetErr(b.out)
	root.SetContext(ctx)
	go func() { b.code <- run(root) }()
	t.Cleanup(cancel)
	b.first = b.out.until(t, begun)
	return b
}

// stop ends it as Ctrl-C does and returns what it said since it began.
func (b *background) stop(t *testing.T) string {
	t.Helper()
	b.cancel()
	if code := next(t, b.code); code != 0 {
		t.Errorf("it ended with exit code %d", code)
	}
	return strings.TrimPrefix(b.out.text.String(), b.first)
}

// listening is a riposte listen that goes on.
type listening struct {
	*background
	url string
}

func startListening(t *testing.T, stdin io.Reader, args ...string) *listening {
	t.Helper()
	b := startBackground(t, stdin, `--url \S+\n`, args...)
	return &listening{b, regexp.MustCompile(`Listening on (\S+) `).FindStringSubmatch(b.first)[1]}
}

// asked asks and waits, and returns what was printed.
func asked(t *testing.T, s *ripostetest.Server, webhook string, more ...string) string {
	t.Helper()
	var out bytes.Buffer
	args := append([]string{"ask", webhook, "--wait", "--timeout", "20s", "--server", s.BaseURL(), "--api-key", s.APIKey}, more...)
	runCommand(t.Context(), &out, "", args...)
	return out.String()
}

// typeIn types lines, each of which must be read.
func typeIn(t *testing.T, terminal io.Writer, lines ...string) {
	t.Helper()
	for _, line := range lines {
		written := make(chan error, 1)
		go func() {
			_, err := io.WriteString(terminal, line+"\n")
			written <- err
		}()
		if err := next(t, written); err != nil {
			t.Fatal(err)
		}
	}
}

func TestPersonTypesTheAnswer(t *testing.T) {
	s := ripostetest.Start(t)
	in, typing := io.Pipe()
	l := startListening(t, in, "listen", "--listen", "127.0.0.1:0", "--server", s.BaseURL(), "--answer", "ask")
	webhook := createWebhook(t, s, l.url)
	result := make(chan string, 1)
	go func() { result <- asked(t, s, webhook, "--approval-step", "T-1") }()
	l.out.until(t, `Enter for the first\) $`)
	typeIn(t, typing, "complete", "maybe", "reassign u1,u2 you know better")
	if got := next(t, result); !strings.Contains(got, "REASSIGNED (sync)") || !strings.Contains(got, `"u2"`) {
		t.Errorf("it came to %s", got)
	}
	said := l.out.until(t, "Answered: 200 OK")
	for _, want := range []string{"the source approvalStep takes no complete", `"maybe" is no answer`} {
		if !strings.Contains(said, want) {
			t.Errorf("it did not say %q: %s", want, said)
		}
	}
	_ = typing.Close()
	if got := asked(t, s, webhook, "--workflow-step", "1/s"); !strings.Contains(got, "CONTEXT (sync)") {
		t.Errorf("at the input's end it came to %s", got)
	}
	if got := l.stop(t); !strings.Contains(got, "Deliveries that verified: 2; that didn't: 0.") {
		t.Errorf("it ends with %s", got)
	}
}

func TestPersonAnswersLater(t *testing.T) {
	s := ripostetest.Start(t)
	in, typing := io.Pipe()
	l := startListening(t, in, "listen", "--listen", "127.0.0.1:0", "--server", s.BaseURL(), "--answer", "ask", "--later", "1ms")
	webhook := createWebhook(t, s, l.url)
	result := make(chan string, 1)
	go func() { result <- asked(t, s, webhook, "--provision-step", "T-1") }()
	l.out.until(t, `Enter for the first\) $`)
	typeIn(t, typing, "500", "errored no room")
	if got := next(t, result); !strings.Contains(got, "ERRORED (callback)") {
		t.Errorf("it came to %s", got)
	}
	if got := l.stop(t); !strings.Contains(got, "only a document can be called back") || !strings.Contains(got, `{"comment":"no room"}}: accepted`) {
		t.Errorf("it said %s", got)
	}
}

// TestForwardsByteForByte has a receiver behind listen that verifies by itself.
func TestForwardsByteForByte(t *testing.T) {
	s := ripostetest.Start(t)
	var (
		l *listening
		v *receiver.Verifier
	)
	behind := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d, err := v.Verify(r)
		if err != nil {
			t.Errorf("behind listen: %v", err)
		}
		if own, _ := url.Parse(l.url); r.Host != own.Host || r.URL.RequestURI() != "/hook/a%2Fb?x=y" || r.Header.Get("Accept-Encoding") != "" {
			t.Errorf("it got %s at %s with %v", r.URL.RequestURI(), r.Host, r.Header)
		}
		w.Header().Set("X-Mine", "yes")
		_ = receiver.Respond(w, receiver.Deny(d.InstanceID+" \x1b[2J"))
	}))
	t.Cleanup(behind.Close)
	l = startListening(t, nil, "listen", "--listen", "127.0.0.1:0", "--server", s.BaseURL(), "--forward", behind.URL)
	v, err := receiver.NewVerifier(s.BaseURL(), l.url)
	if err != nil {
		t.Fatal(err)
	}
	webhook := createWebhook(t, s, l.url+"/hook/a%2Fb?x=y")
	if got := asked(t, s, webhook, "--approval-step", "T-1", "--payload", `{"z" : 12345678901234567890}`); !strings.Contains(got, "DENIED (sync)") {
		t.Errorf("it came to %s", got)
	}
	behind.Close()
	var out bytes.Buffer
	runCommand(t.Context(), &out, "", "ask", webhook, "--test", "--wait", "--timeout", "10ms", "--server", s.BaseURL(), "--api-key", s.APIKey)
	l.out.until(t, "Answered: 502 Bad Gateway, because 127.0.0.1:.*connection refused")
	got := l.stop(t)
	if !strings.Contains(got, "Answered by 127.0.0.1:") || strings.ContainsRune(got, '\x1b') {
		t.Errorf("it shows %q", got)
	}
}

func TestDropsCallbacksAtItsEnd(t *testing.T) {
	s := ripostetest.Start(t)
	l := startListening(t, nil, "listen", "--listen", "127.0.0.1:0", "--server", s.BaseURL(), "--later", "1h")
	webhook := createWebhook(t, s, strings.Replace(l.url, "127.0.0.1", "localhost", 1))
	var out bytes.Buffer
	runCommand(t.Context(), &out, "", "ask", webhook, "--approval-step", "T-1", "--server", s.BaseURL(), "--api-key", s.APIKey)
	l.out.until(t, "called back in 1h\n")
	if got := l.stop(t); !strings.Contains(got, "Deliveries that verified: 1;") || !strings.Contains(got, "still to be called back: 1.") {
		t.Errorf("it ends with %s", got)
	}
}

// TestCallbackUnderWayIsFinished stops listen when its callback is on the wire.
func TestCallbackUnderWayIsFinished(t *testing.T) {
	began, release := make(chan bool, 1), make(chan bool)
	var target *httputil.ReverseProxy
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began <- true
		<-release
		target.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	s := ripostetest.Start(t, func(c *server.Config) { c.PublicURL = front.URL })
	base, err := url.Parse(s.BaseURL())
	if err != nil {
		t.Fatal(err)
	}
	target = httputil.NewSingleHostReverseProxy(base)
	l := startListening(t, nil, "listen", "--listen", "127.0.0.1:0", "--server", s.BaseURL(), "--later", "1ms")
	var out bytes.Buffer
	runCommand(t.Context(), &out, "", "ask", createWebhook(t, s, l.url), "--approval-step", "T-1", "--server", s.BaseURL(), "--api-key", s.APIKey)
	next(t, began)
	l.cancel()
	close(release)
	if got := l.stop(t); !strings.Contains(got, ": accepted\n") || strings.Contains(got, "still to be called back") {
		t.Errorf("it ends with %s", got)
	}
}

func TestRefusesWhatDoesNotVerify(t *testing.T) {
	s, other := ripostetest.Start(t), ripostetest.Start(t)
	for _, tt := range []struct {
		name, server string
		status       string
		want         []string
	}{
		{"another server's keys", other.BaseURL(), "401", []string{"FAILED  kid: ", "is no key of " + other.BaseURL(), "The other 20 checks are OK.", "name the server that sends with --server"}},
		{"no server there", "http://127.0.0.1:1", "503", []string{"FAILED  kid: The server's keys can't be had", "connection refused", "name the server that sends with --server"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := startListening(t, nil, "listen", "--listen", "127.0.0.1:0", "--server", tt.server)
			var out bytes.Buffer
			runCommand(t.Context(), &out, "", "ask", createWebhook(t, s, l.url), "--test", "--server", s.BaseURL(), "--api-key", s.APIKey)
			l.out.until(t, "REFUSED with "+tt.status+"(.|\n)*Hint")
			got := l.stop(t)
			for _, want := range tt.want {
				if !strings.Contains(got, want) {
					t.Errorf("it did not say %q: %s", want, got)
				}
			}
		})
	}
	l := startListening(t, nil, "listen", "--listen", "127.0.0.1:0", "--server", s.BaseURL())
	resp, err := http.Post(l.url+"/%1b%5b2J", "application/json", strings.NewReader(`{"webhookId":"\u001b[2J\u202e"}`))
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	got := l.stop(t)
	if resp.StatusCode != http.StatusUnauthorized || !strings.Contains(got, "is it a request by hand?") || !strings.Contains(got, "FAILED  Content-Digest: ") {
		t.Errorf("by hand: %d, %s", resp.StatusCode, got)
	}
	if strings.ContainsAny(got, "\x1b\u202e") {
		t.Errorf("it shows %q", got)
	}
}

func TestAnswersInWords(t *testing.T) {
	for _, tt := range []struct {
		text   string
		source receiver.SourceKind
		want   reply
	}{
		{"auto", receiver.SourceApprovalStep, reply{200, []byte(`{"version":"v1","approve":{}}`)}},
		{"auto", receiver.SourceProvisionStep, reply{200, []byte(`{"version":"v1","complete":{}}`)}},
		{"auto", receiver.SourceWorkflowStep, reply{200, []byte(`{"version":"v1","context":{}}`)}},
		{"auto", receiver.SourceTest, reply{200, []byte(`{"version":"v1"}`)}},
		{"auto", "", reply{200, []byte(`{"version":"v1"}`)}},
		{"ok", receiver.SourcePolicyPostAction, reply{200, []byte(`{"version":"v1"}`)}},
		{"ok", receiver.SourceApprovalStep, reply{200, []byte(`{"version":"v1","approve":{}}`)}},
		{"approve", receiver.SourceApprovalStep, reply{200, []byte(`{"version":"v1","approve":{}}`)}},
		{"  deny  not  today ", receiver.SourceApprovalStep, reply{200, []byte(`{"version":"v1","deny":{"comment":"not  today"}}`)}},
		{"deny no", receiver.SourceProvisionStep, reply{200, []byte(`{"version":"v1","complete":{}}`)}},
		{"reassign", receiver.SourceApprovalStep, reply{200, []byte(`{"version":"v1","reassign":{"newStepUserIds":["somebody-else"]}}`)}},
		{"reassign a,b your turn", receiver.SourceApprovalStep, reply{200, []byte(`{"version":"v1","reassign":{"comment":"your turn","newStepUserIds":["a","b"]}}`)}},
		{"replace-policy", receiver.SourceApprovalStep, reply{200, []byte(`{"version":"v1","replacePolicy":{"policySteps":[{"approval":{}}]}}`)}},
		{`replace-policy [{"a":1}]`, receiver.SourceApprovalStep, reply{200, []byte(`{"version":"v1","replacePolicy":{"policySteps":[{"a":1}]}}`)}},
		{"errored no room", receiver.SourceProvisionStep, reply{200, []byte(`{"version":"v1","errored":{"comment":"no room"}}`)}},
		{`context {"a":12345678901234567890}`, receiver.SourceWorkflowStep, reply{200, []byte(`{"version":"v1","context":{"a":12345678901234567890}}`)}},
		{"later", receiver.SourceTest, reply{202, nil}},
		{"503", receiver.SourceTest, reply{503, nil}},
		{`{"version":"v2"}`, receiver.SourceTest, reply{200, []byte(`{"version":"v2"}`)}},
	} {
		a, err := parseAnswer(tt.text)
		if err != nil {
			t.Errorf("%q: %v", tt.text, err)
			continue
		}
		got := a.to(tt.source)
		if got.status != tt.want.status || string(got.document) != string(tt.want.document) {
			t.Errorf("%q to %s is %d %s, want %d %s", tt.text, tt.source, got.status, got.document, tt.want.status, tt.want.document)
		}
	}
	for _, text := range []string{"", "yes", "ok then", "auto x", "later x", "99", "600", "200 OK", "{", "context [1]", "context {", "replace-policy {}", "replace-policy []", "replace-policy [1]", "reassign a,,b", "deny " + strings.Repeat("x", 1025)} {
		if a, err := parseAnswer(text); err == nil {
			t.Errorf("%q is %+v", text, a)
		}
	}
}

func TestScriptErrorsNameTheLineAndTheField(t *testing.T) {
	for _, tt := range []struct{ script, want string }{
		{``, "line 1: a script is a JSON array of rules: it begins with ["},
		{`{"status": 500}`, "line 1: a script is a JSON array of rules: it begins with ["},
		{"[\n{},\n{\"status\": 500,}\n]", "line 3: rule 2: invalid character '}'"},
		{"[\n{}\n", "line 3: the array has no end"},
		{"[]\n\n[]", "line 3: there is more after the array's end"},
		{"[{},\n 5]", "line 2: rule 2: a rule is a JSON object"},
		{"[\n{\n\"status\": 500,\n\"later\": \"soon\"}]", "line 4: rule 1: later: a duration is"},
		{"[{\"status\": \"500\"}]", "line 1: rule 1: status: it must be a number, not \"500\""},
		{"[{\"status\": 100}]", "status: it is 200 to 599"},
		{"[{\"source\": \"approval\"}]", "source: \"approval\" is no source"},
		{"[{\"attempt\": 0}]", "attempt: it is a number from 1"},
		{"[{\"attempt\": 1.5}]", "attempt: it must be a number from 1, not 1.5"},
		{"[{\"path\": \"slow\"}]", "path: it begins with /"},
		{"[{\"path\": null}]", "path: it must be a string, not null"},
		{"[{\"answer\": \"perhaps\"}]", "answer: \"perhaps\" is no answer"},
		{"[{\"delay\": \"-1s\"}]", "delay: it must be more than nothing"},
		{"[{\"delay\": 5}]", "delay: it must be a duration such as \"10s\", not 5"},
		{"[{\"stat\\nus\": 5}]", "no rule has such a field"},
		{"[{\"status\": 500, \"status\": 501}]", "status is given twice"},
		{"[{\"status\": 500, \"answer\": \"ok\"}]", "answer stands in place of status and document"},
		{"[{\"status\": 500, \"later\": \"1s\"}]", "later makes the status 202"},
		{"[{\"answer\": \"later\", \"later\": \"1s\"}]", "later needs an answer that has a document"},
	} {
		file := filepath.Join(t.TempDir(), "script.json")
		if err := os.WriteFile(file, []byte(tt.script), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := readScript(file)
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %s", tt.script, err, tt.want)
		}
	}
}

// TestScriptRules reads the help's own example.
func TestScriptRules(t *testing.T) {
	example := scriptHelp[strings.Index(scriptHelp, "["):]
	example = example[:strings.LastIndex(example, "]")+1]
	s, line, err := parseScript([]byte(example))
	if err != nil {
		t.Fatalf("line %d: %v", line, err)
	}
	for _, tt := range []struct {
		source  receiver.SourceKind
		attempt int
		path    string
		want    string
		delay   time.Duration
		later   time.Duration
	}{
		{receiver.SourceApprovalStep, 1, "/slow", "503 Service Unavailable", 0, 0},
		{receiver.SourceApprovalStep, 2, "/slow", `200 OK {"version":"v1","approve":{"comment":"fine by me"}}`, 0, 10 * time.Second},
		{receiver.SourceProvisionStep, 1, "/slow", `200 OK {"version":"v1","complete":{}}`, 5 * time.Second, 0},
		{receiver.SourceProvisionStep, 1, "/", `200 OK {"version": "v1", "errored": {}}`, 0, 0},
		{receiver.SourceTest, 1, "/", `200 OK {"version":"v1"}`, 0, 0},
	} {
		p := s.plan(receiver.Delivery{Source: tt.source, Attempt: tt.attempt}, tt.path)
		if got := p.answer.to(tt.source).text(); got != tt.want || p.delay != tt.delay || p.later != tt.later {
			t.Errorf("%s, attempt %d at %s: %s after %s, later %s", tt.source, tt.attempt, tt.path, got, p.delay, p.later)
		}
	}
}

func TestPayloadCannotFillTheTerminal(t *testing.T) {
	var out bytes.Buffer
	writeShown(&out, "Payload:", strings.Repeat("line \x1b[2J\u202e\n", 150)+strings.Repeat("x", 5000))
	lines := strings.Split(out.String(), "\n")
	if len(lines) != 103 || lines[101] != "    (and 51 more lines)" {
		t.Errorf("%d lines, the last %q", len(lines), lines[len(lines)-2])
	}
	if diff := gocmp.Diff(`    line \x1b[2J\u202e`, lines[1]); diff != "" {
		t.Error(diff)
	}
}
