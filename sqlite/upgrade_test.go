package sqlite

import (
	"context"
	"database/sql"
	"io/fs"
	"path/filepath"
	"testing"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/riposte-dev/riposte"
)

// TestAccessIsAddedToWhatIsThere opens a database of the version before, with rows as
// that wrote them.
func TestAccessIsAddedToWhatIsThere(t *testing.T) {
	dir := t.TempDir()
	upgradeTo(t, dir, 5, `
		INSERT INTO secrets (name, value) VALUES ('key', CAST('value' AS BLOB));
		INSERT INTO api_keys (hash, id, name, role, created_at) VALUES (x'01', 'id', 'admin', 'admin', 1);
		INSERT INTO webhooks (id, display_name, description, display_name_folded, description_folded, url, host, callback_timeout, retry_policy,
			max_in_flight, created_at, updated_at, version) VALUES ('w', 'w', '', 'w', '', 'https://h', 'h', 1, 'FAST', 1, 1, 1, 1)`)
	s, err := Open(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if secret, err := s.LoadSecret(t.Context(), "key"); err != nil || secret.Version != 1 || string(secret.Value) != "value" {
		t.Errorf("the secret is %+v, %v", secret, err)
	}
	k, err := s.LoadKey(t.Context(), []byte{1})
	if err != nil || k.ID != "id" || !k.ExpiresAt.IsZero() || k.RateLimit != 0 {
		t.Errorf("the key is %+v, %v", k, err)
	}
	if err := s.SaveLastUses(t.Context(), map[string]time.Time{"id": time.Unix(1, 0)}); err != nil {
		t.Error(err)
	}
	w, err := s.LoadWebhook(t.Context(), "w")
	if err != nil || w.Settings.Request.Headers != nil || w.Settings.Request.CA != "" {
		t.Errorf("the webhook is %+v, %v", w, err)
	}
	if _, err := s.SaveWebhook(riposte.WithAudit(t.Context(), riposte.AuditEntry{}), w); err != nil {
		t.Error(err)
	}
}

// upgradeTo makes a database of that version and runs statements on it.
func upgradeTo(t *testing.T, dir string, version int64, statements string) {
	t.Helper()
	db, err := sql.Open("sqlite", dsn(filepath.Join(dir, FileName), "journal_mode(WAL)"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		t.Fatal(err)
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db, files, goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err == nil {
		_, err = p.UpTo(t.Context(), version)
	}
	if err == nil {
		_, err = db.ExecContext(context.Background(), statements)
	}
	if err != nil {
		t.Fatal(err)
	}
}
