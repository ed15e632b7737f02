package riposte_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const licensesFile = "docs/licenses.md"

// platforms are those of scripts/release.
var platforms = []string{"linux/amd64", "linux/arm64", "darwin/arm64"}

// allowedLicenses are those that ask for no more than to be named. Any other one
// is a decision: it belongs here with its reason.
var allowedLicenses = []string{"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "Unlicense", "public domain"}

// allowedInTests are those of what is never handed on: MPL-2.0 asks for the source of
// changed files by whoever does that.
var allowedInTests = append(slices.Clone(allowedLicenses), "MPL-2.0")

// licenseTexts has what only the text of that licence says. Some files have the
// texts of several.
var licenseTexts = map[string]*regexp.Regexp{
	"Apache-2.0":    regexp.MustCompile(`Apache License,? Version 2\.0, January 2004`),
	"BSD-2-Clause":  regexp.MustCompile(`Redistribution and use in source and binary forms`), // unless it is the next one
	"BSD-3-Clause":  regexp.MustCompile(`Neither the names? of`),
	"ISC":           regexp.MustCompile(`Permission to use, copy, modify, and(/or)? distribute this software for any purpose with or without fee`),
	"MIT":           regexp.MustCompile(`Permission is hereby granted, free of charge, to any person obtaining a copy`),
	"Unlicense":     regexp.MustCompile(`This is free and unencumbered software released into the public domain`),
	"public domain": regexp.MustCompile(`SQLite Is Public Domain|The author disclaims copyright to this source code`),
	"MPL-2.0":       regexp.MustCompile(`Mozilla Public License,? [Vv]ersion 2\.0`),
	"GPL":           regexp.MustCompile(`GNU (LESSER |AFFERO |LIBRARY )?GENERAL PUBLIC LICENSE`), // a mere mention is in small letters
	"SSPL":          regexp.MustCompile(`Server Side Public License`),
	"BUSL":          regexp.MustCompile(`Business Source License`),
	"CC":            regexp.MustCompile(`Creative Commons Attribution`),
}

// licensesIn names the licences of a text, sorted; none for one that isn't known.
func licensesIn(text string) []string {
	text = strings.Join(strings.Fields(text), " ")
	var found []string
	for name, only := range licenseTexts {
		if only.MatchString(text) {
			found = append(found, name)
		}
	}
	if slices.Contains(found, "BSD-3-Clause") {
		found = slices.DeleteFunc(found, func(name string) bool { return name == "BSD-2-Clause" })
	}
	slices.Sort(found)
	return found
}

// component is what somebody else has made.
type component struct {
	name, version string
	licenses      []string
}

var licenseFile = regexp.MustCompile(`(?i)^(un)?licen[cs]e|^copying`)

// notLicenses are files that are called so and say nothing of what is built, by the
// module's path.
var notLicenses = map[string][]string{
	"modernc.org/memory": {"LICENSE-LOGO"},         // the address of a picture
	"modernc.org/sqlite": {"LICENSE-3RD-PARTY.md"}, // its tests' and more; what is linked of it stands here by itself
}

// moduleLicenses reads the licence files of a module in dir. One that isn't known
// is named as it is, and so isn't allowed.
func moduleLicenses(module, dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	all := map[string]bool{}
	for _, e := range entries {
		if e.IsDir() || !licenseFile.MatchString(e.Name()) || slices.Contains(notLicenses[module], e.Name()) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		found := licensesIn(string(text))
		if len(found) == 0 {
			found = []string{"unknown: " + e.Name()}
		}
		for _, name := range found {
			all[name] = true
		}
	}
	return slices.Sorted(maps.Keys(all)), nil
}

// modulesOf asks the go command for the modules behind packages.
func modulesOf(t *testing.T, platform string, args ...string) map[string]component {
	t.Helper()
	goos, goarch, _ := strings.Cut(platform, "/")
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}}\t{{.Version}}\t{{.Dir}}{{end}}{{end}}"}, args...)...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+goos, "GOARCH="+goarch)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	modules := map[string]component{}
	for line := range strings.Lines(string(out)) {
		fields := strings.Split(strings.TrimSpace(line), "\t")
		if _, ok := modules[fields[0]]; ok || len(fields) != 3 {
			continue
		}
		licenses, err := moduleLicenses(fields[0], fields[2])
		if err != nil {
			t.Fatal(err)
		}
		modules[fields[0]] = component{name: fields[0], version: fields[1], licenses: licenses}
	}
	return modules
}

// packagesOf reads the lock file of an example in Node.js, where the registry's
// word for each licence stands.
func packagesOf(t *testing.T, lockFile string) map[string]component {
	t.Helper()
	b, err := os.ReadFile(lockFile)
	if err != nil {
		t.Fatal(err)
	}
	var lock struct {
		Packages map[string]struct{ Version, License string }
	}
	if err := json.Unmarshal(b, &lock); err != nil {
		t.Fatal(err)
	}
	packages := map[string]component{}
	for name, p := range lock.Packages {
		if name, ok := strings.CutPrefix(name, "node_modules/"); ok {
			packages[name] = component{name: name, version: p.Version, licenses: []string{p.License}}
		}
	}
	return packages
}

const licensesHead = `# What others have made, and its licences

Written by ` + "`go test . -run TestLicenses -update`" + ` and compared by every run of the tests, which
fail too where a licence is not one of these: %s; in the
tests alone: MPL-2.0.

The licences are found by the texts in each module, so a module may have several: its
own and those of what it has taken in. ` + "`make release`" + ` puts the texts beside the
binaries, in THIRD-PARTY-LICENSES.txt. Beside all of these there is Go's own library
(BSD-3-Clause), and what has been copied below third_party/, with its licences.
`

func licensesMarkdown(sections []string, components map[string]map[string]component) string {
	var b strings.Builder
	fmt.Fprintf(&b, licensesHead, strings.Join(allowedLicenses, ", "))
	for _, section := range sections {
		fmt.Fprintf(&b, "\n## %s\n\n| what | version | licences |\n| --- | --- | --- |\n", section)
		for _, name := range slices.Sorted(maps.Keys(components[section])) {
			c := components[section][name]
			fmt.Fprintf(&b, "| %s | %s | %s |\n", c.name, c.version, strings.Join(c.licenses, ", "))
		}
	}
	return b.String()
}

func TestLicensesAreTheDocumentedOnes(t *testing.T) {
	for _, name := range []string{"go.mod", "go.sum"} { // the cache of go test does not see what go list reads
		if _, err := os.ReadFile(name); err != nil {
			t.Fatal(err)
		}
	}
	sections := []string{"In the binary", "In the tests", "In the receiver for Node.js"}
	binary := map[string]component{}
	for _, platform := range platforms {
		maps.Copy(binary, modulesOf(t, platform, "./cmd/riposte"))
	}
	tests := modulesOf(t, platforms[0], "-test", "./...")
	maps.DeleteFunc(tests, func(name string, _ component) bool { _, ok := binary[name]; return ok })
	components := map[string]map[string]component{
		sections[0]: binary, sections[1]: tests, sections[2]: packagesOf(t, "examples/receivers/node/package-lock.json"),
	}
	for _, section := range sections {
		for _, c := range components[section] {
			allowed := allowedLicenses
			if section == sections[1] {
				allowed = allowedInTests
			}
			for _, problem := range forbidden(c, allowed) {
				t.Error(problem)
			}
		}
	}
	got := licensesMarkdown(sections, components)
	if *update {
		if err := os.WriteFile(licensesFile, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(licensesFile)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s is stale (-file +modules); look at what has changed, and run go test . -run TestLicenses -update\n%s", licensesFile, diff)
	}
}

// forbidden says what stands against a component.
func forbidden(c component, allowed []string) []string {
	if len(c.licenses) == 0 {
		return []string{c.name + " has no licence"}
	}
	var problems []string
	for _, name := range c.licenses {
		if !slices.Contains(allowed, name) {
			problems = append(problems, fmt.Sprintf("%s has a licence that is not allowed: %s", c.name, name))
		}
	}
	return problems
}

// TestForbiddenLicensesAreFound is the test of the test.
func TestForbiddenLicensesAreFound(t *testing.T) {
	const apache = "Apache License\n        Version 2.0, January 2004\n"
	for _, tt := range []struct {
		name, file, text string
		want             []string
	}{
		{"allowed", "LICENSE", apache, nil},
		{"allowed, in another file", "COPYING.md", "Permission is hereby granted, free of charge, to any person\nobtaining a copy", nil},
		{"none", "README.md", apache, []string{"m has no licence"}},
		{"one that nobody knows", "LICENSE.txt", "All rights reserved.", []string{"m has a licence that is not allowed: unknown: LICENSE.txt"}},
		{"strong copyleft", "COPYING", "GNU AFFERO GENERAL PUBLIC LICENSE\nVersion 3", []string{"m has a licence that is not allowed: GPL"}},
		{"weak copyleft, which mentions another", "LICENSE", "Mozilla Public License Version 2.0 … GNU General Public License", []string{"m has a licence that is not allowed: MPL-2.0"}},
		{"an allowed one beside another", "licence", apache + "Business Source License 1.1", []string{"m has a licence that is not allowed: BUSL"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(path.Join(dir, tt.file), []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			licenses, err := moduleLicenses("m", dir)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, forbidden(component{name: "m", licenses: licenses}, allowedLicenses)); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}
