package server_test

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/postgres"
	"github.com/riposte-dev/riposte/postgres/postgrestest"
	"github.com/riposte-dev/riposte/ripostetest"
	"github.com/riposte-dev/riposte/server"
	"github.com/riposte-dev/riposte/sqlite"
)

// TestStartWithoutAnAdminWarns when the configuration gives none and the store has
// keys of others alone, and says what makes one.
func TestStartWithoutAnAdminWarns(t *testing.T) {
	for _, role := range riposte.Roles {
		t.Run("sqlite "+string(role), func(t *testing.T) {
			dir := t.TempDir()
			store, err := sqlite.Open(t.Context(), dir, sqlite.Options{})
			if err != nil {
				t.Fatal(err)
			}
			createKey(t, store, role)
			wantWarning(t, role != riposte.RoleAdmin, "riposte keys create --role admin --data", func(c *server.Config) { c.Data = dir })
			if _, err := os.Stat(filepath.Join(dir, "admin.key")); !os.IsNotExist(err) {
				t.Errorf("admin.key: %v", err)
			}
		})
		t.Run("postgres "+string(role), func(t *testing.T) {
			url := postgrestest.URL(t)
			store, err := postgres.Open(t.Context(), url, postgres.Options{})
			if err != nil {
				t.Fatal(err)
			}
			createKey(t, store, role)
			wantWarning(t, role != riposte.RoleAdmin, "riposte keys create --role admin --database-url", func(c *server.Config) { c.DatabaseURL = url })
		})
	}
}

// TestAdminWhoseKeyHasExpiredIsNone.
func TestAdminWhoseKeyHasExpiredIsNone(t *testing.T) {
	for age, want := range map[time.Duration]bool{time.Minute: true, -time.Hour: false} {
		dir := t.TempDir()
		store, err := sqlite.Open(t.Context(), dir, sqlite.Options{})
		if err != nil {
			t.Fatal(err)
		}
		createKey(t, store, riposte.RoleAdmin, func(k *riposte.Key) { k.ExpiresAt = riposte.Time(store.Now().Add(-age)) })
		wantWarning(t, want, "riposte keys create --role admin --data", func(c *server.Config) { c.Data = dir })
	}
}

// createKey closes the store.
func createKey(t *testing.T, store riposte.Store, role riposte.Role, change ...func(*riposte.Key)) {
	t.Helper()
	k, _, err := riposte.NewKey("n", role, store.Now())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range change {
		f(&k)
	}
	if err := store.CreateKey(t.Context(), k); err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
}

// wantWarning starts a server without an API key in its configuration.
func wantWarning(t *testing.T, want bool, text string, change func(*server.Config)) {
	t.Helper()
	var log bytes.Buffer
	s := ripostetest.Start(t, change, func(c *server.Config) { c.APIKey, c.Logger = "", slog.New(slog.NewTextHandler(&log, nil)) })
	s.Stop()
	if got := strings.Contains(log.String(), "level=WARN") && strings.Contains(log.String(), text); got != want {
		t.Errorf("it warns: %t, want %t: %s", got, want, log.String())
	}
}
