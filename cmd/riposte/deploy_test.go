package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/riposte-dev/riposte"
)

// deployFiles are those that run the binary, below the repository's root.
var deployFiles = []string{
	"deploy/Dockerfile", "deploy/compose/compose.yaml", "deploy/kubernetes/riposte.yaml",
	"deploy/systemd/riposte.service", "deploy/systemd/riposte.env.example", "deploy/patroni/try",
	"deploy/README.md", "docs/scaling.md", "README.md",
}

// notFlags are what of the environment has no flag beside it; the last two are
// none of the binary's.
var notFlags = []string{"RIPOSTE_API_KEY", "RIPOSTE_MASTER_KEY", "RIPOSTE_LOG_LEVEL", "RIPOSTE_BINARY", "RIPOSTE_TEST_DATABASE_URL"}

var (
	variable = regexp.MustCompile(`\bRIPOSTE_[A-Z_]*[A-Z]`)
	// A command line, as a shell has it or as a list of words.
	commandLine = regexp.MustCompile(`(?:\briposte"?|args: \[|command: \[|CMD \[)[ "]*((?:serve|keys|webhooks|instances|dev)\b[^|>#]*)`)
	flagName    = regexp.MustCompile(`^--([a-z][a-z-]*)`)
)

func TestDeployFilesNameWhatTheBinaryKnows(t *testing.T) {
	known := map[string]bool{}
	for _, name := range notFlags {
		known[name] = true
	}
	eachCommand(newRootCommand(), func(cmd *cobra.Command) {
		flags := func(f *pflag.Flag) {
			for _, name := range f.Annotations[envAnnotation] {
				known[name] = true
			}
		}
		cmd.Flags().VisitAll(flags)
		cmd.PersistentFlags().VisitAll(flags)
	})
	for _, name := range deployFiles {
		t.Run(name, func(t *testing.T) {
			text := readRepositoryFile(t, name)
			found := variable.FindAllString(text, -1)
			for _, v := range found {
				if !known[v] {
					t.Errorf("the binary doesn't read %s", v)
				}
			}
			lines := commandLine.FindAllStringSubmatch(strings.ReplaceAll(text, "\\\n", " "), -1)
			for _, line := range lines {
				checkCommandLine(t, line[1])
			}
			if len(found)+len(lines) == 0 {
				t.Error("nothing of the binary is in it")
			}
		})
	}
}

func checkCommandLine(t *testing.T, line string) {
	t.Helper()
	line, _, _ = strings.Cut(line, "\n")
	words := strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(" ,\"'`[]()", r) })
	cmd, _, err := newRootCommand().Find(words)
	if err != nil {
		t.Errorf("%s: %v", line, err)
		return
	}
	for _, word := range words {
		name := flagName.FindStringSubmatch(word)
		if name == nil {
			continue
		}
		if name[1] != "help" && cmd.Flag(name[1]) == nil {
			t.Errorf("riposte %s: %s has no --%s", line, cmd.CommandPath(), name[1])
		}
	}
}

func eachCommand(cmd *cobra.Command, f func(*cobra.Command)) {
	f(cmd)
	for _, sub := range cmd.Commands() {
		eachCommand(sub, f)
	}
}

// TestDeployFilesWaitForACleanStop: whoever stops a server gives it the time of
// the attempts in flight, of the calls after them, and some more for the store.
func TestDeployFilesWaitForACleanStop(t *testing.T) {
	const longestStop = 2*riposte.AttemptTimeout + 5*time.Second + 10*time.Second
	const kubernetes = "deploy/kubernetes/riposte.yaml"
	before := seconds(t, kubernetes, `preStop: \{sleep: \{seconds: (\d+)`)
	for name, got := range map[string]time.Duration{
		"systemd":    seconds(t, "deploy/systemd/riposte.service", `(?m)^TimeoutStopSec=(\d+)s$`),
		"Compose":    seconds(t, "deploy/compose/compose.yaml", `stop_grace_period: (\d+)s`),
		"Kubernetes": seconds(t, kubernetes, `terminationGracePeriodSeconds: (\d+)`) - before,
	} {
		if got < longestStop {
			t.Errorf("%s gives a stop %s, and it may take %s", name, got, longestStop)
		}
	}
}

// TestLoadBalancerOutwaitsAWait: a wait may take 60 s.
func TestLoadBalancerOutwaitsAWait(t *testing.T) {
	for _, side := range []string{"client", "server"} {
		if got := seconds(t, "deploy/compose/haproxy.cfg", `timeout `+side+` (\d+)s`); got <= time.Minute {
			t.Errorf("timeout %s is %s", side, got)
		}
	}
}

func seconds(t *testing.T, name, pattern string) time.Duration {
	t.Helper()
	found := regexp.MustCompile(pattern).FindStringSubmatch(readRepositoryFile(t, name))
	if found == nil {
		t.Fatalf("%s has no %s", name, pattern)
	}
	n, err := strconv.Atoi(found[1])
	if err != nil {
		t.Fatal(err)
	}
	return time.Duration(n) * time.Second
}

func readRepositoryFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../..", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
