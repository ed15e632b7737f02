package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/riposte-dev/riposte/postgres/postgrestest"
)

// TestTwoVersionsShareADatabase: nodes of the version before and of this one
// work side by side, and when this one's go again, the others go on alone. Those of the
// version before are there first: see TestUpgradeFromBeforeSecretsWereSealed.
func TestTwoVersionsShareADatabase(t *testing.T) {
	t.Parallel()
	before := buildBefore(t)
	c := newCluster(t, postgrestest.URL(t), 0)
	c.add(before)
	l := newClusterLoad(t, c)
	l.begin()
	for _, binary := range []string{before, "", ""} {
		c.add(binary)
	}
	for range times(1, 20) {
		time.Sleep(3 * time.Second)
		for _, n := range c.nodes {
			l.busy(n)
		}
	}
	c.nodes[2].leave()
	c.nodes[3].leave()
	time.Sleep(2 * time.Second)
	l.finish()
	l.balance()
}

const migrationsDir = "postgres/migrations"

// buildBefore builds the version before: the newest commit before this one whose
// migrations are the first of today's. Where this very commit has edited one,
// which happens before a release alone, it is this commit.
func buildBefore(t *testing.T) (binary string) {
	t.Helper()
	return buildCommit(t, commitBefore(t))
}

func buildCommit(t *testing.T, commit string) (binary string) {
	t.Helper()
	dir := t.TempDir()
	archive := filepath.Join(dir, "source.tar")
	versionRun(t, "..", "git", "archive", "--output", archive, commit)
	source := filepath.Join(dir, "source")
	if err := os.Mkdir(source, 0o700); err != nil {
		t.Fatal(err)
	}
	versionRun(t, source, "tar", "-xf", archive)
	binary = filepath.Join(dir, "riposte")
	versionRun(t, source, "go", "build", "-o", binary, "./cmd/riposte")
	t.Logf("the version before is %s", versionRun(t, "..", "git", "log", "-1", "--format=%h %s", commit))
	return binary
}

func commitBefore(t *testing.T) string {
	t.Helper()
	commits := strings.Fields(versionRun(t, "..", "git", "log", "--first-parent", "--format=%H"))
	if len(commits) < 2 {
		t.Fatal("this clone has no commit before this one, so there is no other version to run: fetch the history (git fetch --unshallow)")
	}
	today, err := os.ReadDir(filepath.Join("..", migrationsDir))
	if err != nil {
		t.Fatal(err)
	}
	var hashes []string // of today's migrations, in their order
	for _, f := range today {
		hashes = append(hashes, versionRun(t, "..", "git", "hash-object", filepath.Join(migrationsDir, f.Name()))+" "+f.Name())
	}
	for _, commit := range append(commits[1:], commits[0]) {
		then := migrationsOf(t, commit)
		if len(then) > 0 && len(then) <= len(hashes) && slices.Equal(then, hashes[:len(then)]) {
			return commit
		}
	}
	t.Fatalf("no commit's migrations are the first of today's: commit the change of %s", migrationsDir)
	return ""
}

// migrationsOf lists a commit's migrations with their hashes.
func migrationsOf(t *testing.T, commit string) (list []string) {
	t.Helper()
	for line := range strings.Lines(versionRun(t, "..", "git", "ls-tree", commit, migrationsDir+"/")) {
		// <mode> blob <hash>\t<path>
		if fields := strings.Fields(line); len(fields) == 4 {
			list = append(list, fields[2]+" "+filepath.Base(fields[3]))
		}
	}
	return list
}

// versionRun runs a program in a folder and returns what it printed.
func versionRun(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, &stderr)
	}
	return strings.TrimSpace(string(out))
}
