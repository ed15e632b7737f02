package server

import (
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/riposte-dev/riposte/sqlite"
)

// TestOpenThatFailsLeavesNothingRunning, also where the API was there already.
func TestOpenThatFailsLeavesNothingRunning(t *testing.T) {
	defer goleak.VerifyNone(t)
	quiet, dir := slog.New(slog.DiscardHandler), filepath.Join(t.TempDir(), "data")
	store, err := sqlite.Open(t.Context(), dir, sqlite.Options{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.SaveSecret(t.Context(), sessionKeySecret, []byte("short"), 0); err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	c := Default()
	c.Listen, c.Data, c.Logger = "127.0.0.1:0", dir, quiet
	if _, err := Open(t.Context(), c); err == nil || !strings.Contains(err.Error(), "key") {
		t.Fatalf("the error is %v", err)
	}
}
