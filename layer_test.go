package riposte_test

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

const module = "github.com/riposte-dev/riposte"

// layers says which packages of the module a package may import. A path that
// ends in /... stands for the whole tree below it, "." for the root package.
//
// What it keeps: the domain knows nobody, a store knows the domain alone, and
// whoever is a client (console, client, the client commands, the examples) can do
// nothing that the API does not offer, and a receiver needs nothing of the sender's code.
var layers = map[string][]string{
	".":                     {},
	"gen/...":               {"gen/..."},
	"apijson":               {"gen/..."},
	"groupcommit":           {"."},
	"lane":                  {"."},
	"publish":               {"."},
	"sqlite":                {".", "groupcommit", "lane", "publish"},
	"postgres":              {".", "groupcommit", "lane", "publish"},
	"postgres/postgrestest": {},
	"storetest":             {"."},
	"outbound":              {"."},
	"engine":                {".", "outbound"},
	"feed":                  {"."},
	"api":                   {".", "feed", "gen/...", "apijson", "receiver"},
	"metrics":               {"."},
	"statistics":            {"."},
	"vault":                 {"."},
	"keyring":               {".", "vault"},
	"server":                {".", "api", "console", "engine", "outbound", "metrics", "statistics", "vault", "keyring", "sqlite", "postgres"},
	"console":               {"gen/...", "apijson"},
	"client":                {"gen/...", "apijson"},
	"receiver":              {},
	"examples/...":          {"gen/...", "client", "receiver"},
	"ripostetest":           {".", "server", "outbound", "gen/...", "apijson", "receiver"},
	"check":                 {".", "api", "server", "outbound", "ripostetest", "gen/..."},
	"cmd/riposte":           {".", "gen/...", "apijson", "sqlite", "postgres", "outbound", "engine", "api", "server", "console", "client", "receiver", "ripostetest", "check", "vault"},
}

// narrowFiles are held to more than their package is: the client commands know
// the API alone, and the receiver among the commands what any receiver knows.
var narrowFiles = []struct{ names, imports []string }{
	{
		names: []string{"cmd/riposte/client.go", "cmd/riposte/client_*.go", "cmd/riposte/clients_list.go", "cmd/riposte/webhooks*.go", "cmd/riposte/instances*.go", "cmd/riposte/watch*.go",
			"cmd/riposte/consumers*.go", "cmd/riposte/ask*.go", "cmd/riposte/keys_list.go", "cmd/riposte/keys_server.go", "cmd/riposte/audit.go"},
		imports: []string{"gen/...", "apijson"},
	},
	{
		names:   []string{"cmd/riposte/listen*.go"},
		imports: []string{"receiver"},
	},
}

// rootTestImports are what the root package's tests may import besides the
// standard library and the root itself.
var rootTestImports = []string{"pgregory.net/rapid", "github.com/google/go-cmp/..."}

// vagueNames say nothing of what a package is for, and so collect everything.
var vagueNames = []string{"util", "utils", "common", "helper", "helpers", "models", "manager", "pkg"}

func TestPackagesImportOnlyWhatTheirLayerMay(t *testing.T) {
	found, err := checkLayers(os.DirFS("."))
	if err != nil {
		t.Fatal(err)
	}
	for _, violation := range found {
		t.Error(violation)
	}
}

// TestRootDependsOnTheStandardLibraryAlone asks the go command, which sees
// what an import brings in by a detour.
func TestRootDependsOnTheStandardLibraryAlone(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", ".").CombinedOutput()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, out)
	}
	if got := strings.Fields(string(out)); !slices.Equal(got, []string{module}) {
		t.Errorf("the root package depends on %q", got)
	}
}

// checkLayers returns what breaks the rules above in the module at root.
func checkLayers(root fs.FS) ([]string, error) {
	var found []string
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && isElsewhere(root, name):
			return fs.SkipDir
		case d.IsDir() || path.Ext(name) != ".go":
			return nil
		}
		violations, err := checkFile(root, name)
		found = append(found, violations...)
		return err
	})
	return found, err
}

// isElsewhere reports whether a directory is none of the module's, by the go
// command's own rules.
func isElsewhere(root fs.FS, dir string) bool {
	base := path.Base(dir)
	if base == "testdata" || base[0] == '.' || base[0] == '_' {
		return true
	}
	_, err := fs.Stat(root, path.Join(dir, "go.mod"))
	return err == nil
}

func checkFile(root fs.FS, name string) ([]string, error) {
	source, err := fs.ReadFile(root, name)
	if err != nil {
		return nil, err
	}
	file, err := parser.ParseFile(token.NewFileSet(), name, source, parser.ImportsOnly)
	if err != nil {
		return nil, err
	}
	var found []string
	for _, element := range append(strings.Split(path.Dir(name), "/"), file.Name.Name) {
		if slices.Contains(vagueNames, element) {
			found = append(found, fmt.Sprintf("%s: %q does not say what a package is for", name, element))
			break
		}
	}
	allowed, ok := allowedFor(name)
	if !ok {
		return append(found, fmt.Sprintf("%s: package %s has no rule: add it to the rules in layer_test.go", name, path.Dir(name))), nil
	}
	for _, spec := range file.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return nil, err
		}
		if !allowed(imported) {
			found = append(found, fmt.Sprintf("%s: must not import %s", name, strings.TrimPrefix(imported, module+"/")))
		}
	}
	return found, nil
}

// allowedFor returns what tells the imports that a file may have, and false
// when the rules don't know its package.
func allowedFor(name string) (func(imported string) bool, bool) {
	if strings.HasSuffix(name, "_test.go") {
		inRoot := path.Dir(name) == "."
		return func(imported string) bool {
			return !inRoot || isStandard(imported) || imported == module || matchesAny(rootTestImports, imported)
		}, true
	}
	dir := path.Dir(name)
	for pkg, imports := range layers {
		if !matches(pkg, dir) {
			continue
		}
		if narrow, ok := narrowImports(name); ok {
			imports = narrow
		}
		return func(imported string) bool {
			inModule, ok := relative(imported)
			return ok && matchesAny(imports, inModule) || !ok && (dir != "." || isStandard(imported))
		}, true
	}
	return nil, false
}

func narrowImports(name string) ([]string, bool) {
	for _, files := range narrowFiles {
		if slices.ContainsFunc(files.names, func(pattern string) bool {
			ok, _ := path.Match(pattern, name)
			return ok
		}) {
			return files.imports, true
		}
	}
	return nil, false
}

// relative returns an import path as layers has it, false when it is not one
// of the module's.
func relative(imported string) (string, bool) {
	if imported == module {
		return ".", true
	}
	return strings.CutPrefix(imported, module+"/")
}

// isStandard: a path whose first element has no dot is the standard library's,
// by the go command's own rule.
func isStandard(imported string) bool {
	first, _, _ := strings.Cut(imported, "/")
	return !strings.Contains(first, ".")
}

func matches(pattern, pkg string) bool {
	tree, ok := strings.CutSuffix(pattern, "/...")
	return pkg == tree || ok && strings.HasPrefix(pkg, tree+"/")
}

func matchesAny(patterns []string, pkg string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return matches(p, pkg) })
}

// TestLayerRulesAreEnforced is the test of the test: trees with one violation
// each, or none.
func TestLayerRulesAreEnforced(t *testing.T) {
	for _, tt := range []struct {
		name, file, pkg string
		imports         []string
		want            []string
	}{
		{"root, stdlib", "instance.go", "riposte", []string{"time", "encoding/json"}, nil},
		{"root, third party", "instance.go", "riposte", []string{"time", "golang.org/x/sys/unix"}, []string{"instance.go: must not import golang.org/x/sys/unix"}},
		{"root, another layer", "instance.go", "riposte", []string{module + "/sqlite"}, []string{"instance.go: must not import sqlite"}},
		{"root's tests, rapid and cmp", "instance_test.go", "riposte_test", []string{"testing", module, "pgregory.net/rapid", "github.com/google/go-cmp/cmp/cmpopts"}, nil},
		{"root's tests, another third party", "instance_test.go", "riposte_test", []string{"go.uber.org/goleak"}, []string{"instance_test.go: must not import go.uber.org/goleak"}},
		{"root's tests, another layer", "instance_test.go", "riposte_test", []string{module + "/sqlite"}, []string{"instance_test.go: must not import sqlite"}},

		{"sqlite, root and third party", "sqlite/sqlite.go", "sqlite", []string{module, "modernc.org/sqlite"}, nil},
		{"sqlite, postgres", "sqlite/sqlite.go", "sqlite", []string{module + "/postgres"}, []string{"sqlite/sqlite.go: must not import postgres"}},
		{"postgres, sqlite", "postgres/postgres.go", "postgres", []string{module + "/sqlite"}, []string{"postgres/postgres.go: must not import sqlite"}},
		{"sqlite, api and engine", "sqlite/sqlite.go", "sqlite", []string{module + "/api", module + "/engine"}, []string{"sqlite/sqlite.go: must not import api", "sqlite/sqlite.go: must not import engine"}},
		{"a store's tests, its suite", "sqlite/sqlite_test.go", "sqlite_test", []string{module + "/storetest", module + "/engine"}, nil},
		{"storetest, a store", "storetest/storetest.go", "storetest", []string{module, module + "/sqlite"}, []string{"storetest/storetest.go: must not import sqlite"}},
		{"engine, outbound", "engine/engine.go", "engine", []string{module, module + "/outbound"}, nil},
		{"engine, a store", "engine/engine.go", "engine", []string{module + "/sqlite"}, []string{"engine/engine.go: must not import sqlite"}},
		{"outbound, engine", "outbound/client.go", "outbound", []string{module + "/engine"}, []string{"outbound/client.go: must not import engine"}},
		{"api, what it may", "api/api.go", "api", []string{module, module + "/gen/c1/api/webhooks/v1", module + "/apijson"}, nil},
		{"api, the receiver's checks", "api/verification.go", "api", []string{module + "/receiver"}, nil},
		{"api, engine", "api/api.go", "api", []string{module + "/engine"}, []string{"api/api.go: must not import engine"}},
		{"api, outbound", "api/api.go", "api", []string{module + "/outbound"}, []string{"api/api.go: must not import outbound"}},
		{"apijson, root", "apijson/apijson.go", "apijson", []string{module}, []string{"apijson/apijson.go: must not import " + module}},
		{"gen, gen", "gen/riposte/v1/a.pb.go", "ripostev1", []string{module + "/gen/c1/api/webhooks/v1"}, nil},
		{"gen, root", "gen/riposte/v1/a.pb.go", "ripostev1", []string{module}, []string{"gen/riposte/v1/a.pb.go: must not import " + module}},
		{"metrics, root and third party", "metrics/metrics.go", "metrics", []string{module, "github.com/prometheus/client_golang/prometheus"}, nil},
		{"metrics, engine", "metrics/metrics.go", "metrics", []string{module + "/engine"}, []string{"metrics/metrics.go: must not import engine"}},
		{"engine, metrics", "engine/engine.go", "engine", []string{module + "/metrics"}, []string{"engine/engine.go: must not import metrics"}},
		{"api, metrics", "api/metrics.go", "api", []string{module + "/metrics"}, []string{"api/metrics.go: must not import metrics"}},
		{"server, all that a node has", "server/server.go", "server", []string{module, module + "/api", module + "/engine", module + "/outbound", module + "/metrics", module + "/sqlite", module + "/postgres"}, nil},
		{"server, ripostetest", "server/server.go", "server", []string{module + "/ripostetest"}, []string{"server/server.go: must not import ripostetest"}},
		{"ripostetest, a store", "ripostetest/server.go", "ripostetest", []string{module + "/server", module + "/sqlite"}, []string{"ripostetest/server.go: must not import sqlite"}},
		{"check, a server and its signer", "check/session.go", "check", []string{module, module + "/server", module + "/outbound", module + "/ripostetest"}, nil},
		{"check, a store", "check/session.go", "check", []string{module + "/sqlite"}, []string{"check/session.go: must not import sqlite"}},
		{"receiver, third party", "receiver/check.go", "receiver", []string{"crypto/sha256", "github.com/go-jose/go-jose/v4"}, nil},
		{"receiver, outbound", "receiver/check.go", "receiver", []string{module + "/outbound"}, []string{"receiver/check.go: must not import outbound"}},
		{"receiver, root", "receiver/document.go", "receiver", []string{module}, []string{"receiver/document.go: must not import " + module}},
		{"console, root", "console/console.go", "console", []string{module}, []string{"console/console.go: must not import " + module}},
		{"console, api", "console/console.go", "console", []string{module + "/api"}, []string{"console/console.go: must not import api"}},

		{"an example, what users have", "examples/accessrequest/systems.go", "main", []string{module + "/client", module + "/receiver", module + "/gen/c1/api/webhooks/v1", "modernc.org/sqlite"}, nil},
		{"an example, the server", "examples/accessrequest/main.go", "main", []string{module, module + "/server"}, []string{"examples/accessrequest/main.go: must not import " + module, "examples/accessrequest/main.go: must not import server"}},

		{"the binary wires", "cmd/riposte/serve.go", "main", []string{module + "/server", module + "/sqlite", module + "/ripostetest"}, nil},
		{"a client command, gen", "cmd/riposte/instances_wait.go", "main", []string{module + "/gen/riposte/v1", module + "/apijson", "github.com/spf13/cobra"}, nil},
		{"a client command, root", "cmd/riposte/webhooks.go", "main", []string{module}, []string{"cmd/riposte/webhooks.go: must not import " + module}},
		{"a client command, server", "cmd/riposte/instances_wait.go", "main", []string{module + "/server"}, []string{"cmd/riposte/instances_wait.go: must not import server"}},
		{"asking, root", "cmd/riposte/ask.go", "main", []string{module}, []string{"cmd/riposte/ask.go: must not import " + module}},
		{"listening, receiver", "cmd/riposte/listen_show.go", "main", []string{module + "/receiver"}, nil},
		{"listening, ripostetest", "cmd/riposte/listen.go", "main", []string{module + "/ripostetest"}, []string{"cmd/riposte/listen.go: must not import ripostetest"}},
		{"a consumer's commands, feed", "cmd/riposte/consumers_pull.go", "main", []string{module + "/feed"}, []string{"cmd/riposte/consumers_pull.go: must not import feed"}},
		{"the client itself, a store", "cmd/riposte/client.go", "main", []string{module + "/sqlite"}, []string{"cmd/riposte/client.go: must not import sqlite"}},

		{"a package nobody knows", "queue/queue.go", "queue", nil, []string{"queue/queue.go: package queue has no rule: add it to the rules in layer_test.go"}},
		{"a package below one that is known", "sqlite/migration/m.go", "migration", nil, []string{"sqlite/migration/m.go: package sqlite/migration has no rule: add it to the rules in layer_test.go"}},
		{"a name that begins like a known one", "generic/g.go", "generic", nil, []string{"generic/g.go: package generic has no rule: add it to the rules in layer_test.go"}},
		{"an import that begins like the module", "instance.go", "riposte", []string{module + "x/sqlite"}, []string{"instance.go: must not import " + module + "x/sqlite"}},
		{"a directory of tests alone", "e2e/smoke_test.go", "e2e", []string{module + "/server"}, nil},
		{"a vague directory", "gen/util/u.go", "u", nil, []string{`gen/util/u.go: "util" does not say what a package is for`}},
		{"a vague directory of tests", "e2e/helpers/h_test.go", "h", nil, []string{`e2e/helpers/h_test.go: "helpers" does not say what a package is for`}},
		{"a vague package in another directory", "engine/engine.go", "manager", nil, []string{`engine/engine.go: "manager" does not say what a package is for`}},
		{"a vague tree", "pkg/queue/q_test.go", "queue", nil, []string{`pkg/queue/q_test.go: "pkg" does not say what a package is for`}},

		{"testdata", "sqlite/testdata/a.go", "a", []string{module + "/api"}, nil},
		{"a hidden directory", ".cache/a.go", "a", []string{module + "/api"}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := checkLayers(fstest.MapFS{tt.file: sourceFile(tt.pkg, tt.imports)})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestLayerRulesLeaveOtherModulesAlone(t *testing.T) {
	tree := fstest.MapFS{"tools/go.mod": {}, "tools/util/u.go": sourceFile("util", []string{module + "/api"})}
	if got, err := checkLayers(tree); err != nil || got != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestLayerCheckFailsOnAFileItCannotRead(t *testing.T) {
	tree := fstest.MapFS{"instance.go": {Data: []byte("packaging riposte")}}
	if got, err := checkLayers(tree); err == nil {
		t.Errorf("got %q and no error", got)
	}
}

func sourceFile(pkg string, imports []string) *fstest.MapFile {
	var b strings.Builder
	fmt.Fprintf(&b, "package %s\n", pkg)
	for _, i := range imports {
		fmt.Fprintf(&b, "import _ %q\n", i)
	}
	return &fstest.MapFile{Data: []byte(b.String())}
}
