package main

import (
	"bytes"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/sqlite"
)

// TestClientsCreateWritesIntoAStore, and prints the two lines that cone's config.yaml takes.
func TestClientsCreateWritesIntoAStore(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	var out bytes.Buffer
	if code := runCommand(t.Context(), &out, "", "clients", "create", "--data", dir, "--role", "sender", "--name", "billing",
		"--public-url", "https://riposte.example:8443/", "--expires-in", "1h", "--rate-limit", "7"); code != 0 {
		t.Fatalf("exit code %d: %s", code, out.String())
	}
	lines := regexp.MustCompile(`(?m)^client-id: (billing@riposte\.example:8443/pcc)\nclient-secret: (\S+)\n\z`).FindStringSubmatch(out.String())
	if lines == nil {
		t.Fatalf("it says %s", out.String())
	}
	key, err := riposte.ParseClientSecret(lines[2])
	if err != nil {
		t.Fatal(err)
	}
	store, err := sqlite.Open(t.Context(), dir, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	c, err := store.LoadClient(t.Context(), lines[1])
	if err != nil {
		t.Fatal(err)
	}
	if !c.Has(key) || c.Role != riposte.RoleSender || c.Name != "billing" || c.RateLimit != 7 || c.ExpiresAt.Sub(c.CreatedAt).Round(time.Minute) != time.Hour {
		t.Errorf("the client is %+v", c)
	}
	log, err := store.ListAudit(t.Context(), riposte.AuditFilter{Limit: 10})
	if err != nil || len(log) != 1 {
		t.Fatalf("the audit log has %v, %v", log, err)
	}
	if e := log[0]; e.Actor != riposte.ActorCommandLine || e.Operation != "ClientsService.Create" || e.Target != c.ID || e.Detail != c.Summary() {
		t.Errorf("the audit log has %+v", e)
	}
}

func TestClientsCreateRefuses(t *testing.T) {
	for name, c := range map[string]struct{ args, says string }{
		"no role":       {"--name a", "role"},
		"another role":  {"--role owner", "role"},
		"a name":        {"--role admin --name A", "name"},
		"no time":       {"--role admin --expires-in 0s", "--expires-in"},
		"a bound":       {"--role admin --rate-limit -1", "rateLimit"},
		"no URL":        {"--role admin --public-url riposte.example", "--public-url"},
		"an argument":   {"--role admin billing", "billing"},
		"no known flag": {"--role admin --issuer x", "--issuer"},
		"two stores":    {"--role admin --database-url postgres://db", "two stores"},
	} {
		var out bytes.Buffer
		args := append([]string{"clients", "create", "--data", filepath.Join(t.TempDir(), "data")}, strings.Fields(c.args)...)
		if code := runCommand(t.Context(), &out, "", args...); code == 0 || !strings.Contains(out.String(), c.says) {
			t.Errorf("%s: exit code %d: %s", name, code, out.String())
		}
	}
}

// TestHostOfClients: nodes that share a database are never at serve's default address.
func TestHostOfClients(t *testing.T) {
	for _, c := range []struct {
		publicURL string
		nodes     bool
		want      string
	}{
		{"https://riposte.example", true, "riposte.example"},
		{"https://riposte.example:8443", false, "riposte.example:8443"},
		{"", false, "127.0.0.1:8080"},
		{"", true, ""},
		{"riposte.example", false, ""},
		{"ftp://riposte.example", false, ""},
	} {
		if got, err := hostOfClients(c.publicURL, c.nodes); got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%q, %v: %q, %v", c.publicURL, c.nodes, got, err)
		}
	}
}
