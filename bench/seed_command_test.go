package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/riposte-dev/riposte/sqlite"
)

// TestSeedDirectoryRefusesDatabase: what is in a data directory stays as it is.
func TestSeedDirectoryRefusesDatabase(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, sqlite.FileName)
	if err := os.WriteFile(file, []byte("somebody's"), 0o600); err != nil {
		t.Fatal(err)
	}
	err := seedDirectory(t.Context(), dir, 1)
	if err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("seeding a directory that has a database: %v", err)
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != "somebody's" {
		t.Errorf("the database is now %q, %v", b, err)
	}
}

// TestSeedDirectory: a directory that isn't there is made, and gets what was wanted.
func TestSeedDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	if err := seedDirectory(t.Context(), dir, 30); err != nil {
		t.Fatal(err)
	}
	s, err := directories{}.open(t.Context(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if all := everyInstance(t, s); len(all) != 30+rareInstances {
		t.Errorf("%d instances are there, want %d", len(all), 30+rareInstances)
	}
}
