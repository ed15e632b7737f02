package main

import (
	"bytes"
	"cmp"
	"context"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/riposte-dev/riposte"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
	"github.com/riposte-dev/riposte/receiver"
	"github.com/riposte-dev/riposte/ripostetest"
	"github.com/riposte-dev/riposte/server"
)

var update = flag.Bool("update", false, "write the transcripts anew")

// TestTranscripts runs the commands of each testdata/client/*.txt against a real server
// and receiver. A transcript is what a person would see:
//
//	$ riposte webhooks list     a command, with what it prints below it
//	[exit 3]                    its exit code, unless it is 0
//	$ riposte listen &          one that goes on; its first words are below it
//	% until ID2 is ERROR        waits for the state of an instance
//	% stop                      ends what goes on; what it has printed since is below it
//	# ...                       for the reader
//
// What changes from run to run has a name: the ids, in the order in which they
// come up, are ID1, ID2 and so on, in commands too. Run with -update to write
// the transcripts anew, and read the difference.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/client/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := newTranscript(t).play(string(want))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if diff := gocmp.Diff(string(want), got); diff != "" && !*update {
				t.Errorf("the transcript differs (-want +got):\n%s", diff)
			}
		})
	}
}

// replies are what the receiver answers, by path.
var replies = map[string]ripostetest.Reply{
	"/ok":      {Body: "fine"},
	"/later":   {Status: http.StatusAccepted},
	"/gone":    {Status: http.StatusGone},
	"/down":    {Status: http.StatusInternalServerError, Header: http.Header{"Content-Type": {"text/plain"}}, Body: "out of \x1b[31mink\x1b[0m\nand \u202epaper\n"},
	"/approve": {Body: `{"version":"v1","approve":{"comment":"fine \u001b[2J\u0007by me"}}`},
	"/deny":    {Body: `{"version":"v1","deny":{"comment":"no"}}`},
	"/context": {Body: `{"version":"v1","context":{"b":12345678901234567890,"a":[1.10,true]}}`},
}

// transcript is a running server with what has been seen of it.
type transcript struct {
	t        *testing.T
	server   *ripostetest.Server
	receiver *ripostetest.Receiver
	dir      string
	viewer   string // an API key
	ids      []string

	listening *listening  // nil before the first
	last      *background // what began last: that, or a watch

	mu      sync.Mutex
	states  map[string]riposte.State
	changed chan struct{} // closed and replaced at each change
}

func newTranscript(t *testing.T) *transcript {
	verifying := verifying{verifiers: map[string]*receiver.Verifier{}}
	scripted, err := ripostetest.NewReceiver(func(d ripostetest.Delivery) ripostetest.Reply {
		if d.Path == "/verifying" {
			return verifying.reply(d)
		}
		return replies[d.Path]
	})
	if err != nil {
		t.Fatal(err)
	}
	verifying.url = scripted.URL + "/verifying"
	t.Cleanup(scripted.Close)
	tr := &transcript{t: t, receiver: scripted, dir: t.TempDir(), states: map[string]riposte.State{}, changed: make(chan struct{})}
	// Retries are far away, so that ERROR stays ERROR while the script looks.
	tr.server = ripostetest.Start(t, func(c *server.Config) { c.RetryMinDelay, c.RetryMaxDelay = time.Hour, time.Hour })
	t.Cleanup(tr.server.Subscribe(tr.saw))
	key, err := tr.server.Keys.Create(t.Context(), &ripostev1.KeysServiceCreateRequest{Name: "viewer", Role: ripostev1.Role_ROLE_VIEWER})
	if err != nil {
		t.Fatal(err)
	}
	tr.viewer = key.GetSecret()
	return tr
}

func (tr *transcript) saw(i riposte.Instance) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.states[i.ID] = i.State
	if i.OwesPush() && i.DueAt.IsZero() {
		tr.states[i.ID] = "given up"
	}
	close(tr.changed)
	tr.changed = make(chan struct{})
}

// play runs the script and returns the transcript as it is now.
func (tr *transcript) play(script string) string {
	var out strings.Builder
	for line := range strings.Lines(script) {
		line = strings.TrimRight(line, "\n")
		if command, ok := strings.CutPrefix(line, "$ riposte listen"); ok && strings.HasSuffix(line, " &") {
			fmt.Fprintf(&out, "%s\n%s\n", line, tr.listen(strings.TrimSuffix(command, " &")))
			continue
		}
		if command, ok := strings.CutPrefix(line, "$ riposte "); ok && strings.HasSuffix(line, " &") {
			fmt.Fprintf(&out, "%s\n%s\n", line, tr.begin(strings.TrimSuffix(command, " &")))
			continue
		}
		if command, ok := strings.CutPrefix(line, "$ riposte "); ok {
			fmt.Fprintf(&out, "%s\n%s\n", line, tr.run(command))
			continue
		}
		if condition, ok := strings.CutPrefix(line, "% until "); ok {
			tr.until(condition)
		}
		if strings.HasPrefix(line, "%") || strings.HasPrefix(line, "#") {
			fmt.Fprintf(&out, "%s\n", line)
		}
		if line == "% stop" {
			fmt.Fprintf(&out, "%s\n", tr.mask(tr.last.stop(tr.t)))
		}
	}
	return out.String()
}

// listen starts a receiver on a port of its own and returns its first words.
func (tr *transcript) listen(command string) string {
	args := splitWords(tr.fill("listen --listen 127.0.0.1:0" + command))
	if !strings.Contains(command, "--server") {
		args = append(args, "--server", tr.server.BaseURL())
	}
	tr.listening = startListening(tr.t, nil, args...)
	tr.last = tr.listening.background
	return tr.mask(tr.last.first)
}

// begun is what a command has said when it goes on.
var begun = map[string]string{"watch": `comes after the cursor \d+\n`, "serve": `"msg":"serving".*\n`}

// begin starts a command that goes on and returns its first words.
func (tr *transcript) begin(command string) string {
	args := splitWords(tr.fill(command))
	if !serverCommands[args[0]] {
		args = append(args, "--server", tr.server.BaseURL(), "--api-key", tr.server.APIKey)
	}
	tr.last = startBackground(tr.t, nil, begun[args[0]], args...)
	return tr.mask(tr.last.first)
}

// serverCommands call no server: they are one, or work on its store.
var serverCommands = map[string]bool{"check": true, "serve": true, "dev": true}

func (tr *transcript) run(command string) string {
	command, stdin, _ := strings.Cut(command, " <<< ")
	args := splitWords(tr.fill(command))
	isClient := !serverCommands[args[0]] && !strings.Contains(command, "--data")
	if isClient && !strings.Contains(command, "--server") {
		args = append(args, "--server", tr.server.BaseURL())
	}
	if isClient && !strings.Contains(command, "--api-key") && args[0] != "listen" {
		args = append(args, "--api-key", tr.server.APIKey)
	}
	ctx, cancel := context.WithTimeout(tr.t.Context(), 30*time.Second)
	defer cancel()
	var out bytes.Buffer
	code := runCommand(ctx, &out, stdin, args...)
	text := tr.mask(out.String())
	if code != 0 {
		text += fmt.Sprintf("[exit %d]\n", code)
	}
	return text
}

// runCommand runs riposte in this process; what it prints, errors too, goes to out.
func runCommand(ctx context.Context, out *bytes.Buffer, stdin string, args ...string) int {
	root := newRootCommand()
	root.SetArgs(args)
	root.SetIn(strings.NewReader(stdin))
	root.SetOut(out)
	root.SetErr(out)
	root.SetContext(ctx)
	return run(root)
}

var word = regexp.MustCompile(`(?:'[^']*'|[^\s'])+`)

// splitWords knows single quotes, which is all that the transcripts use.
func splitWords(s string) []string {
	words := word.FindAllString(s, -1)
	for i, w := range words {
		words[i] = strings.ReplaceAll(w, "'", "")
	}
	return words
}

// fill puts values for the names in a command.
func (tr *transcript) fill(s string) string {
	for n := len(tr.ids); n > 0; n-- {
		s = strings.ReplaceAll(s, fmt.Sprintf("ID%d", n), tr.ids[n-1])
	}
	if tr.listening != nil {
		s = strings.ReplaceAll(s, "LISTENER", tr.listening.url)
	}
	return strings.NewReplacer("RECEIVER", tr.receiver.URL, "SERVER", tr.server.BaseURL(), "DIR", tr.dir, "VIEWER", tr.viewer).Replace(s)
}

// masks are tried in their order.
var masks = []struct {
	pattern *regexp.Regexp
	name    string
}{
	{regexp.MustCompile(`\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?( [-+\w]+|Z)`), "TIME"},
	{regexp.MustCompile(`\b\d\d:\d\d:\d\d(\.\d{3})?\b`), "CLOCK"},
	// Whether a short state is seen is chance.
	{regexp.MustCompile(`(?m)^CLOCK  (RUNNING|PROCESS_RESPONSE), [^:\n]*\n`), ""},
	{regexp.MustCompile(`"Date":"[^"]*"`), `"Date":"TIME"`},
	{regexp.MustCompile(`\briposte_[a-z2-7]{52}\b`), "KEY"},
	{regexp.MustCompile(`\bsecret-token:conductorone\.com:v1:[\w-]+`), "SECRET"},
	{regexp.MustCompile(`\bwhpk_[\w+/]{43}=`), "PUBLIC_KEY"},
	{regexp.MustCompile(`\b(\d+(\.\d+)?(µs|ms)|\d+\.\d+s)`), "PHASE"},
	{regexp.MustCompile(`\b\d{1,2}s\b`), "AGE"},
	{regexp.MustCompile(`127\.0\.0\.1:\d{4,}`), "REMOTE"},
	// Columns keep two blanks between them: their width depends on what was masked.
	{regexp.MustCompile(`(\S) {2,}`), "$1  "},
	// An attempt connects, or finds a connection of the one before.
	{regexp.MustCompile(`(PHASE|AGE)  -  (-|PHASE)  -  PHASE`), "PHASES"},
}

// mask puts names for what changes from run to run.
func (tr *transcript) mask(s string) string {
	if tr.listening != nil {
		s = strings.ReplaceAll(s, tr.listening.url, "LISTENER")
	}
	s = strings.NewReplacer(tr.receiver.URL, "RECEIVER", tr.server.BaseURL(), "SERVER", tr.dir, "DIR").Replace(s)
	s = anyID.ReplaceAllStringFunc(s, tr.name)
	for _, m := range masks {
		s = m.pattern.ReplaceAllString(s, m.name)
	}
	if strings.HasPrefix(s, "{") {
		s = jsonBlank.ReplaceAllString(s, `$1"`) // protojson varies it on purpose
	}
	return s
}

var (
	anyID     = regexp.MustCompile(`\b[0-9a-v]{24}\b`)
	jsonBlank = regexp.MustCompile(`([:,]) +"`)
)

func (tr *transcript) name(id string) string {
	for n, known := range tr.ids {
		if known == id {
			return fmt.Sprintf("ID%d", n+1)
		}
	}
	tr.ids = append(tr.ids, id)
	return fmt.Sprintf("ID%d", len(tr.ids))
}

// until waits for "ID2 is ERROR", for "ID2 is given up", its push, or until what
// began last "says ID2".
func (tr *transcript) until(condition string) {
	if text, ok := strings.CutPrefix(tr.fill(condition), "says "); ok {
		tr.last.out.until(tr.t, regexp.QuoteMeta(text))
		return
	}
	id, state, ok := strings.Cut(tr.fill(condition), " is ")
	if !ok {
		tr.t.Fatalf("bad condition: %s", condition)
	}
	ctx, cancel := context.WithTimeout(tr.t.Context(), 20*time.Second)
	defer cancel()
	for {
		tr.mu.Lock()
		now, changed := tr.states[id], tr.changed
		tr.mu.Unlock()
		if string(now) == state {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			tr.t.Fatalf("%s: it is %s", condition, cmp.Or(now, "unknown"))
		}
	}
}
