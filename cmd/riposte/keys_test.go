package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/sqlite"
)

// TestKeyMadeBesideTheStoreIsAudited, like one that is made through the API.
func TestKeyMadeBesideTheStoreIsAudited(t *testing.T) {
	dir := t.TempDir()
	var out bytes.Buffer
	if code := runCommand(t.Context(), &out, "", "keys", "create", "--role", "sender", "--name", "ci", "--rate-limit", "7", "--data", dir); code != 0 {
		t.Fatalf("exit code %d: %s", code, out.String())
	}
	lines := strings.Fields(out.String())
	secret := lines[len(lines)-1]
	store, err := sqlite.Open(t.Context(), dir, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	k, err := store.LoadKey(t.Context(), riposte.HashKey(secret))
	if err != nil || k.RateLimit != 7 || k.Name != "ci" || k.Role != riposte.RoleSender {
		t.Fatalf("the key is %+v (%v)", k, err)
	}
	log, err := store.ListAudit(t.Context(), riposte.AuditFilter{Limit: 10})
	if err != nil || len(log) != 1 {
		t.Fatalf("the log is %+v (%v)", log, err)
	}
	got := log[0]
	got.ID, got.CreatedAt = "", k.CreatedAt
	want := riposte.AuditEntry{CreatedAt: k.CreatedAt, Actor: riposte.ActorCommandLine, Operation: "KeysService.Create", Target: k.ID,
		Detail: `named "ci", role sender, 7 calls a second`}
	if got != want {
		t.Errorf("the log says %+v, want %+v", got, want)
	}
}
