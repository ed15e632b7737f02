package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/riposte-dev/riposte/ripostetest"
)

func TestEveryClientCommandExplainsItself(t *testing.T) {
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		if cmd.Short == "" || cmd.Long == "" || cmd.Example == "" {
			t.Errorf("%s lacks a short text, a long one or an example", cmd.CommandPath())
		}
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(newWebhooksCommand())
	walk(newInstancesCommand())
	walk(newAskCommand())
	walk(newListenCommand())
	walk(newWatchCommand())
	walk(newConsumersCommand())
	walk(newCheckCommand())
	walk(newKeysServerCommand())
	walk(newKeysGenerateMasterCommand())
	for _, r := range rotations {
		walk(newRotationCommand(r))
	}
}

func TestEnvironmentNamesTheServerAndTheKey(t *testing.T) {
	s := ripostetest.Start(t)
	t.Setenv("RIPOSTE_SERVER", s.BaseURL()+"/")
	t.Setenv("RIPOSTE_API_KEY", s.APIKey+"\n")
	var out bytes.Buffer
	if code := runCommand(t.Context(), &out, "", "webhooks", "list"); code != 0 {
		t.Errorf("exit code %d: %s", code, out.String())
	}

	out.Reset()
	if code := runCommand(t.Context(), &out, "", "webhooks", "list", "--help"); code != 0 || strings.Contains(out.String(), s.APIKey) {
		t.Errorf("exit code %d, or the help shows the key: %s", code, out.String())
	}
}

func TestServerBelowAPath(t *testing.T) {
	s := ripostetest.Start(t)
	proxy := newGate(s.BaseURL())
	front := httptest.NewServer(http.StripPrefix("/tools/riposte", proxy))
	t.Cleanup(front.Close)
	var out bytes.Buffer
	if code := runCommand(t.Context(), &out, "", "webhooks", "list", "--server", front.URL+"/tools/riposte/", "--api-key", s.APIKey); code != 0 {
		t.Errorf("exit code %d: %s", code, out.String())
	}
}

func TestAnswersThatAreNotRipostes(t *testing.T) {
	page := func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>welcome</html>") }
	elsewhere := func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://elsewhere.example"+r.URL.Path, http.StatusMovedPermanently)
	}
	basicAuth := func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "who are you?", http.StatusUnauthorized) }
	for _, test := range []struct {
		name   string
		answer http.HandlerFunc
		tls    bool
		want   string
	}{
		{"a web page", page, false, "does not answer as a Riposte server"},
		{"a redirect", elsewhere, false, "the server redirects to https://elsewhere.example: name that one with --server"},
		{"a proxy's own password", basicAuth, false, "(401 Unauthorized): check --server"},
		{"a certificate of nobody's", page, true, "certificate"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := httptest.NewUnstartedServer(test.answer)
			s.Config.ErrorLog = log.New(io.Discard, "", 0)
			if test.tls {
				s.StartTLS()
			} else {
				s.Start()
			}
			defer s.Close()
			var out bytes.Buffer
			code := runCommand(t.Context(), &out, "", "webhooks", "list", "--server", s.URL, "--api-key", "k")
			if code != exitFailure || !strings.Contains(out.String(), test.want) {
				t.Errorf("exit code %d: %s", code, out.String())
			}
		})
	}
}

func TestPayloadReachesTheReceiverByteForByte(t *testing.T) {
	receiver, err := ripostetest.NewReceiver(func(ripostetest.Delivery) ripostetest.Reply { return ripostetest.Reply{} })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(receiver.Close)
	s := ripostetest.Start(t)
	webhook := createWebhook(t, s, receiver.URL)

	const members = "\"z\" : 12345678901234567890,\n\t\"a\":1.10, \"e\":\"\\u00e9<&>\", \"s\":\"\u2028\""
	file := filepath.Join(t.TempDir(), "payload.json")
	if err := os.WriteFile(file, []byte("{"+members+"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, payload := range []string{"{" + members + "}", "@" + file, "-"} {
		var out bytes.Buffer
		code := runCommand(t.Context(), &out, "{"+members+"}", "instances", "create", webhook, "--policy-post-action", "T-1",
			"--payload", payload, "--wait", "--server", s.BaseURL(), "--api-key", s.APIKey)
		if code != 0 {
			t.Fatalf("exit code %d: %s", code, out.String())
		}
	}
	deliveries := receiver.Deliveries("")
	if len(deliveries) != 3 {
		t.Errorf("%d deliveries", len(deliveries))
	}
	for _, d := range deliveries {
		if !bytes.HasSuffix(d.Body, []byte(","+members+"}}")) {
			t.Errorf("the receiver got %s", d.Body)
		}
	}
}

func TestLimitFollowsPages(t *testing.T) {
	pages := map[string][]int{"": {1, 2, 3}, "b": {4, 5, 6}, "c": {7}}
	next := map[string]string{"": "b", "b": "c"}
	for _, test := range []struct {
		limit int
		size  int32
		want  []int
		more  bool
	}{
		{0, 100, []int{1, 2, 3, 4, 5, 6, 7}, false},
		{2, 2, []int{1, 2}, true},
		{3, 3, []int{1, 2, 3}, true},
		{4, 4, []int{1, 2, 3, 4}, true},
		{7, 7, []int{1, 2, 3, 4, 5, 6, 7}, false},
		{800, 100, []int{1, 2, 3, 4, 5, 6, 7}, false},
	} {
		got, more, err := collect(test.limit, 100, func(size int32, token string) ([]int, string, error) {
			if size != test.size {
				t.Errorf("limit %d asked for pages of %d", test.limit, size)
			}
			return pages[token], next[token], nil
		})
		if err != nil || more != test.more || !slices.Equal(got, test.want) {
			t.Errorf("limit %d gave %v, %t, %v", test.limit, got, more, err)
		}
	}
}

func TestDurationsMayBeDays(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"192h": 8 * day, "8d": 8 * day, "691200s": 8 * day, "1d12h": 36 * time.Hour, "1.5d": 36 * time.Hour, "0": 0,
	} {
		var got span
		if err := got.Set(text); err != nil || time.Duration(got) != want {
			t.Errorf("%q is %v, %v", text, time.Duration(got), err)
		}
	}
	for _, text := range []string{"", "8", "d", "8 days", "1e9d", "NaNd", "8d8d", "8dx"} {
		var s span
		if err := s.Set(text); err == nil {
			t.Errorf("%q is %v", text, time.Duration(s))
		}
	}
	for d, want := range map[span]string{span(5 * time.Minute): "5m", span(10 * time.Second): "10s", span(36 * time.Hour): "36h", span(20 * time.Minute): "20m", 0: "0s"} {
		if got := d.text(); got != want {
			t.Errorf("%v reads %s", time.Duration(d), got)
		}
	}
}

func TestOutsideTextCannotActOnTheTerminal(t *testing.T) {
	for text, want := range map[string]string{
		"plain, ünïcode 日本 \uFFFD": "plain, ünïcode 日本 \uFFFD",
		"\x1b]0;title\a":           `\x1b]0;title\a`,
		"a\tb\r\nc":                `a\tb\r\nc`,
		"\u009b31m":                `\u009b31m`,
		"right\u202eleft":          `right\u202eleft`,
		"zero\u200bwidth":          `zero\u200bwidth`,
		"bad \xff\xc3 bytes":       `bad \xff\xc3 bytes`,
		`quotes ' and "`:           `quotes ' and "`,
		"\x7f\x00":                 `\x7f\x00`,
	} {
		if got := visible(text); got != want {
			t.Errorf("%q reads %q, not %q", text, got, want)
		}
	}
	if got, want := visibleLines("a\r\n\tb\x1b"), "a\\r\n    b\\x1b"; got != want {
		t.Errorf("lines read %q, not %q", got, want)
	}
}

func TestTimesReadAsPeopleSayThem(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 119 * time.Second: "119s", 2 * time.Minute: "2m", 8*day - time.Millisecond: "8d",
		47*time.Hour + 59*time.Minute: "2d", 36 * time.Hour: "36h", 90 * time.Minute: "90m",
	} {
		if got := roughly(d); got != want {
			t.Errorf("%v reads %s, not %s", d, got, want)
		}
	}
	now := time.Now()
	if got := moment(timestamppb.New(now.Add(8*day)), now); !strings.HasSuffix(got, " (in 8d)") {
		t.Error(got)
	}
	if got := moment(timestamppb.New(now.Add(-time.Hour)), now); !strings.HasSuffix(got, " (60m ago)") {
		t.Error(got)
	}
}

func TestTablesAlign(t *testing.T) {
	var out bytes.Buffer
	table := newTable(&out, "ID", "NAME", "AGE")
	table.row("1", "a\nlong name", "3s")
	table.row("22", "", "10d")
	table.flush()
	want := `ID   NAME           AGE
1    a\nlong name   3s
22   -              10d
`
	if diff := gocmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

func TestOutputThatCannotBeWrittenIsAnError(t *testing.T) {
	s := ripostetest.Start(t)
	var errs bytes.Buffer
	root := newRootCommand()
	root.SetArgs([]string{"webhooks", "list", "--json", "--server", s.BaseURL(), "--api-key", s.APIKey})
	root.SetOut(fullDisk{})
	root.SetErr(&errs)
	if code := run(root); code != exitFailure || !strings.Contains(errs.String(), "no space left") {
		t.Errorf("exit code %d: %s", code, errs.String())
	}
}
