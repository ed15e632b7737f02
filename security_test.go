package riposte_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// securityFile says of each threat which tests show the defence.
const securityFile = "SECURITY.md"

func TestSecurityNamesTestsThatExist(t *testing.T) {
	text, err := os.ReadFile(securityFile)
	if err != nil {
		t.Fatal(err)
	}
	tests, err := testsIn(os.DirFS("."))
	if err != nil {
		t.Fatal(err)
	}
	for _, fault := range securityFaults(string(text), tests) {
		t.Error(fault)
	}
	for _, file := range regexp.MustCompile("`([\\w/]+\\.(?:go|txt|md))`").FindAllStringSubmatch(string(text), -1) {
		if _, err := os.Stat(file[1]); err != nil {
			t.Errorf("a file is named that can't be found: %v", err)
		}
	}
	if !strings.Contains(string(text), "`outbound/testdata/ssrf.txt`") {
		t.Error("the cases of URLs and addresses are not named")
	}
	for _, table := range []string{"docs/roles.md", "outbound/testdata/ssrf.txt"} {
		text, err := os.ReadFile(table)
		if err != nil {
			t.Fatal(err)
		}
		named := namedTest.FindAllStringSubmatch(string(text), -1)
		if len(named) == 0 {
			t.Errorf("%s names no test", table)
		}
		for _, fault := range missing(named, tests) {
			t.Errorf("%s: %s", table, fault)
		}
	}
}

// namedTest is a test as SECURITY.md names it: its directory, riposte for the root, and
// its function.
var namedTest = regexp.MustCompile("`([a-z0-9_/]+)\\.((?:Test|Fuzz)\\w+)`")

// securityFaults returns what is wrong with the tables of threats: rows without a test,
// and tests that are not there.
func securityFaults(text string, tests map[string]bool) (faults []string) {
	rows, inTable := 0, false
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case line == "| threat | defence | tests |":
			inTable = true
		case !strings.HasPrefix(line, "|"):
			inTable = false
		case inTable && !strings.HasPrefix(line, "| ---"):
			rows++
			if cells := strings.Split(line, "|"); len(cells) != 5 || !namedTest.MatchString(cells[3]) || strings.TrimSpace(cells[2]) == "" {
				faults = append(faults, fmt.Sprintf("this threat has no defence or no test: %s", line))
			}
		}
	}
	if rows == 0 {
		faults = append(faults, "there is no table of threats")
	}
	return append(faults, missing(namedTest.FindAllStringSubmatch(text, -1), tests)...)
}

// missing returns a fault for each named test that is not there.
func missing(named [][]string, tests map[string]bool) (faults []string) {
	for _, n := range named {
		if name := n[1] + "." + n[2]; !tests[name] {
			faults = append(faults, "there is no test "+name)
		}
	}
	return faults
}

// testsIn finds the tests of a tree, other modules in it included.
func testsIn(tree fs.FS) (map[string]bool, error) {
	tests := map[string]bool{}
	err := fs.WalkDir(tree, ".", func(file string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && slices.Contains([]string{".git", "node_modules", "testdata", "third_party"}, entry.Name()):
			return fs.SkipDir
		case entry.IsDir() || !strings.HasSuffix(file, "_test.go"):
			return nil
		}
		source, err := fs.ReadFile(tree, file)
		if err != nil {
			return err
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, source, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		dir := path.Dir(file)
		if dir == "." {
			dir = "riposte"
		}
		for _, declaration := range parsed.Decls {
			if f, ok := declaration.(*ast.FuncDecl); ok && f.Recv == nil {
				tests[dir+"."+f.Name.Name] = true
			}
		}
		return nil
	})
	return tests, err
}

func TestSecurityFaultsAreFound(t *testing.T) {
	const head = "| threat | defence | tests |\n| --- | --- | --- |\n"
	tests := map[string]bool{"outbound.TestA": true, "cmd/riposte.FuzzB": true}
	for text, want := range map[string]int{
		head + "| a | b | `outbound.TestA` `cmd/riposte.FuzzB` |\n": 0,
		head + "| a | b | `outbound.TestA` |\n| c | d | |\n":        1,
		head + "| a | b | TestA |\n":                                1,
		head + "| a | | `outbound.TestA` |\n":                       1,
		head + "| a | b | `outbound.TestGone` |\n":                  1,
		head + "| a | b | `api.TestA` |\n":                          1,
		head:                                                        1,
		"| who | reaches |\n| a | b |\n":                            1,
		head + "\nSee `outbound.TestGone`\n":                        2,
	} {
		if faults := securityFaults(text, tests); len(faults) != want {
			t.Errorf("%q has the faults %q, want %d", text, faults, want)
		}
	}
}
