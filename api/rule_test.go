package api_test

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/api"
)

const rolesFile = "../docs/roles.md"

var rolesTable = regexp.MustCompile(`(\| operation \| needs \| audited \|\n\| --- \| --- \| --- \|\n)((?:\|.*\n)*)`)

// operationName is what the API calls a procedure: its service and its method.
func operationName(procedure string) string {
	service, method, _ := strings.Cut(strings.TrimPrefix(procedure, "/"), "/")
	return service[strings.LastIndex(service, ".")+1:] + "." + method
}

// TestEveryOperationHasItsRule holds the rules against the proto files, both ways.
func TestEveryOperationHasItsRule(t *testing.T) {
	var described []string
	for _, m := range methods() {
		name := operationName(m.procedure)
		described = append(described, name)
		if role, _, ok := api.Rule(name); !ok || !slices.Contains(riposte.Roles, role) {
			t.Errorf("%s has no rule with a role, but %q", name, role)
		}
	}
	for _, name := range api.Ruled() {
		if !slices.Contains(described, name) {
			t.Errorf("there is a rule for %s, which is no operation", name)
		}
	}
}

func TestRolesAreDocumented(t *testing.T) {
	var rows []string
	for _, m := range methods() {
		name := operationName(m.procedure)
		role, audited, _ := api.Rule(name)
		rows = append(rows, fmt.Sprintf("| %s | %s | %s |", name, role, map[bool]string{true: "yes"}[audited]))
	}
	page, err := os.ReadFile(rolesFile)
	if err != nil {
		t.Fatal(err)
	}
	if !rolesTable.Match(page) {
		t.Fatalf("%s has no table of operations", rolesFile)
	}
	want := rolesTable.ReplaceAll(page, []byte("${1}"+strings.Join(rows, "\n")+"\n"))
	if *update {
		if err := os.WriteFile(rolesFile, want, 0o644); err != nil {
			t.Fatal(err)
		}
	} else if string(want) != string(page) {
		t.Errorf("%s has another table than the server's rules make: run with -update and read the difference", rolesFile)
	}
}

// documentedRoles are the roles that operations need, as people read it.
func documentedRoles(t testing.TB) map[string]riposte.Role {
	t.Helper()
	page, err := os.ReadFile(rolesFile)
	if err != nil {
		t.Fatal(err)
	}
	needs := map[string]riposte.Role{}
	for _, row := range regexp.MustCompile(`(?m)^\| (\w+\.\w+) \| (\w+) \|`).FindAllStringSubmatch(string(page), -1) {
		needs[row[1]] = riposte.Role(row[2])
	}
	return needs
}
