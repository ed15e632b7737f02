package server_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/api"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
	"github.com/riposte-dev/riposte/outbound"
	"github.com/riposte-dev/riposte/postgres"
	"github.com/riposte-dev/riposte/postgres/postgrestest"
	"github.com/riposte-dev/riposte/ripostetest"
	"github.com/riposte-dev/riposte/server"
	"github.com/riposte-dev/riposte/sqlite"
	"github.com/riposte-dev/riposte/vault"
)

var ringSecrets = []string{"signing-key", "callback-key", "access-token-key", "console-session-key"}

// plain returns what is secret in the store, in the forms that it could be kept in.
func plain(t *testing.T, store riposte.Store, masters string) []string {
	t.Helper()
	v, err := vault.Open(t.Context(), store, func() (vault.Masters, error) { return vault.ParseMasters(masters) }, store.Now)
	if err != nil {
		t.Fatal(err)
	}
	var secrets [][]byte
	for _, name := range ringSecrets {
		sealed, err := store.LoadSecret(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		b, err := v.Open("secret/"+name, sealed.Value)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var ring struct{ Keys []struct{ Secret []byte } }
		if json.Unmarshal(b, &ring) != nil {
			secrets = append(secrets, b)
		}
		for _, k := range ring.Keys {
			secrets = append(secrets, k.Secret)
		}
	}
	return forms(secrets...)
}

func forms(secrets ...[]byte) []string {
	var all []string
	for _, s := range secrets {
		var jwk struct{ D string }
		if json.Unmarshal(s, &jwk) == nil && jwk.D != "" {
			all = append(all, jwk.D)
			s, _ = base64.RawURLEncoding.DecodeString(jwk.D)
		}
		all = append(all, string(s), hex.EncodeToString(s), base64.StdEncoding.EncodeToString(s), base64.RawURLEncoding.EncodeToString(s))
	}
	return all
}

// wantNowhere looks into every file but those of keys.
func wantNowhere(t *testing.T, dir string, secrets []string) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(path, ".key") {
			return err
		}
		b, err := os.ReadFile(path)
		files++
		for _, secret := range secrets {
			if bytes.Contains(b, []byte(secret)) {
				t.Errorf("%s has a secret in the clear", path)
			}
		}
		return err
	})
	if err != nil || files == 0 || len(secrets) == 0 {
		t.Errorf("looked for %d secrets in %d files: %v", len(secrets), files, err)
	}
}

func rotateAll(t *testing.T, s *ripostetest.Server) {
	t.Helper()
	for _, use := range []ripostev1.ServerKeyUse{ripostev1.ServerKeyUse_SERVER_KEY_USE_SIGNING, ripostev1.ServerKeyUse_SERVER_KEY_USE_CALLBACK,
		ripostev1.ServerKeyUse_SERVER_KEY_USE_ACCESS_TOKEN, ripostev1.ServerKeyUse_SERVER_KEY_USE_DATA} {
		rotate(t, s, use)
	}
}

// TestNoSecretIsInTheStoresFiles: not in the database, not in its log, running or stopped.
func TestNoSecretIsInTheStoresFiles(t *testing.T) {
	dir := t.TempDir()
	copied := t.TempDir()
	runOnce(t, dir, nil, func(s *ripostetest.Server) {
		rotateAll(t, s)
		if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
	})
	store, err := sqlite.Open(t.Context(), dir, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	secrets := plain(t, store, readFile(t, filepath.Join(dir, "master.key")))
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	wantNowhere(t, copied, secrets)
	wantNowhere(t, dir, secrets)
}

// olderSecrets are what a version that knows no vault keeps.
func olderSecrets(t *testing.T) map[string][]byte {
	t.Helper()
	key, err := outbound.NewSigningKey()
	if err != nil {
		t.Fatal(err)
	}
	signing, err := key.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	callback, err := api.NewCallbackKey()
	if err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{"signing-key": signing, "callback-key": callback, "console-session-key": bytes.Repeat([]byte("s3"), 16)}
}

func saveSecrets(t *testing.T, store riposte.Store, secrets map[string][]byte) (all []string) {
	t.Helper()
	for name, value := range secrets {
		if err := store.SaveSecret(t.Context(), name, value, 0); err != nil {
			t.Fatal(err)
		}
		all = append(all, forms(value)...)
	}
	return all
}

// TestOlderSecretsAreSealedWhereTheyWere, and go on.
func TestOlderSecretsAreSealedWhereTheyWere(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) {
		dir := t.TempDir()
		store, err := sqlite.Open(t.Context(), dir, sqlite.Options{})
		if err != nil {
			t.Fatal(err)
		}
		older := olderSecrets(t)
		secrets := saveSecrets(t, store, older)
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
		runOnce(t, dir, nil, func(s *ripostetest.Server) { wantOlderKeys(t, s, older) })
		wantNowhere(t, dir, secrets)
	})
	t.Run("postgres", func(t *testing.T) {
		url := postgrestest.URL(t)
		store, err := postgres.Open(t.Context(), url, postgres.Options{})
		if err != nil {
			t.Fatal(err)
		}
		older := olderSecrets(t)
		secrets := saveSecrets(t, store, older)
		s := ripostetest.Start(t, func(c *server.Config) { c.DatabaseURL = url })
		wantOlderKeys(t, s, older)
		rotateAll(t, s)
		secrets = append(secrets, plain(t, store, ripostetest.MasterKey)...)
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
		wantNotInTables(t, url, secrets)
	})
}

// wantOlderKeys: the server signs with the key that there was, and its callback key is the
// first one.
func wantOlderKeys(t *testing.T, s *ripostetest.Server, older map[string][]byte) {
	t.Helper()
	signing, err := outbound.ParseSigningKey(older["signing-key"])
	if err != nil {
		t.Fatal(err)
	}
	res, err := s.ServerKeys.List(t.Context(), &ripostev1.ServerKeysServiceListRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for use, want := range map[ripostev1.ServerKeyUse]string{ripostev1.ServerKeyUse_SERVER_KEY_USE_SIGNING: signing.ID(), ripostev1.ServerKeyUse_SERVER_KEY_USE_CALLBACK: "1"} {
		for _, k := range res.GetList() {
			if k.GetUse() == use && (k.GetId() != want || k.GetState() != ripostev1.ServerKeyState_SERVER_KEY_STATE_CURRENT) {
				t.Errorf("%s: the key is %v, want %s", use, k, want)
			}
		}
	}
}

// wantNotInTables looks into every row of every table.
func wantNotInTables(t *testing.T, url string, secrets []string) {
	t.Helper()
	conn := postgrestest.Connect(t, url)
	var all string
	err := conn.QueryRow(t.Context(), `SELECT string_agg(query_to_xml('SELECT r::text FROM ' || quote_ident(tablename) || ' r', true, false, '')::text, E'\n')
		FROM pg_tables WHERE schemaname = current_schema()`).Scan(&all)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(all, "signing-key") {
		t.Fatalf("the secrets' names are not in it, so this shows nothing: %.2000s", all)
	}
	for _, secret := range secrets {
		if strings.Contains(all, secret) {
			t.Error("a table has a secret in the clear")
		}
	}
}
