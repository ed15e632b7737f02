package e2e

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/keyring"
	"github.com/riposte-dev/riposte/postgres"
	"github.com/riposte-dev/riposte/sqlite"
	"github.com/riposte-dev/riposte/vault"
)

// What may stand in a store: the callback URL in an envelope, and names.
var inStore = []string{"a callback's token", "what is misplaced"}

// sawFiles reads all files below a directory, but those that hold a secret by design and
// say so by their name.
func (s *canaryServer) sawFiles(dir string, but ...string) {
	s.t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		name, _ := filepath.Rel(dir, path)
		if err != nil || slices.Contains(but, name) {
			if err == nil && d.IsDir() {
				err = fs.SkipDir
			}
			return err
		}
		if !d.Type().IsRegular() {
			return nil
		}
		b, err := os.ReadFile(path)
		if os.IsNotExist(err) {
			return nil // PostgreSQL is at work
		}
		s.saw("the file "+name, b, inStore...)
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

// sawTables looks at what a store's tables hold: a value may be split or compressed in
// the files.
func (s *canaryServer) sawTables(tables map[string][]byte) {
	s.t.Helper()
	for name, b := range tables {
		s.saw("the table "+name, b, inStore...)
	}
	if len(tables) < 10 {
		s.t.Errorf("there are %d tables", len(tables))
	}
}

func sqliteTables(t *testing.T, file string) map[string][]byte {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+file+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	tables := map[string][]byte{}
	for _, name := range strings.Split(string(sqliteRows(t, db, `SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'`)), "\x00") {
		if name == "" {
			continue // behind the last
		}
		tables[name] = sqliteRows(t, db, `SELECT * FROM "`+name+`"`)
	}
	return tables
}

func sqliteRows(t *testing.T, db *sql.DB, query string) []byte {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	var all bytes.Buffer
	for rows.Next() {
		values := make([]any, len(columns))
		for n := range values {
			values[n] = new(sql.RawBytes)
		}
		if err := rows.Scan(values...); err != nil {
			t.Fatal(err)
		}
		for _, v := range values {
			all.Write(*v.(*sql.RawBytes))
			all.WriteByte(0)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all.Bytes()
}

func postgresTables(t *testing.T, where string) map[string][]byte {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), where)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	rows, err := conn.Query(t.Context(), `SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')`)
	if err != nil {
		t.Fatal(err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	tables := map[string][]byte{}
	for _, name := range names {
		var b bytes.Buffer
		if _, err := conn.PgConn().CopyTo(t.Context(), &b, `COPY (SELECT * FROM `+name+`) TO STDOUT (FORMAT binary)`); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		tables[name] = b.Bytes()
	}
	return tables
}

func (s *canaryServer) openSQLite(data string) {
	s.t.Helper()
	store, err := sqlite.Open(s.t.Context(), data, sqlite.Options{})
	if err != nil {
		s.t.Fatal(err)
	}
	defer store.Close()
	s.openVault(store, s.file("master.key"))
}

func (s *canaryServer) openPostgres(where, master string) {
	s.t.Helper()
	store, err := postgres.Open(s.t.Context(), where, postgres.Options{})
	if err != nil {
		s.t.Fatal(err)
	}
	defer store.Close()
	s.openVault(store, master)
}

// openVault opens what the server made for itself, with the key that it was given, and
// adds it to what is looked for.
func (s *canaryServer) openVault(store riposte.Store, master string) {
	s.t.Helper()
	v, err := vault.Open(s.t.Context(), store, func() (vault.Masters, error) { return vault.ParseMasters(master) }, store.Now)
	if err != nil {
		s.t.Fatal(err)
	}
	s.dataKeys(store, master)
	sealer := keyring.Sealer{Store: store, Vault: v}
	for _, name := range []string{"signing-key", "callback-key", "access-token-key", "console-session-key"} {
		value, err := sealer.Secret(s.t.Context(), name, func() ([]byte, error) { return nil, fmt.Errorf("there is no %s", name) })
		if err != nil {
			s.t.Fatal(err)
		}
		s.ring(name, value)
	}
	webhooks, err := store.ListWebhooks(s.t.Context(), riposte.WebhookFilter{Limit: 200})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, w := range webhooks {
		for _, secret := range w.Settings.Request.Secrets {
			if secret.Scheme != riposte.SchemeV1A {
				continue // is known, because it was shown
			}
			key, err := v.Open(secret.Purpose(w.ID), secret.Secret)
			if err != nil {
				s.t.Fatal(err)
			}
			s.bytes("a webhook's key of the scheme v1a", key)
		}
	}
}

// dataKeys adds the keys that seal all the rest, which the vault itself gives to nobody.
func (s *canaryServer) dataKeys(store riposte.Store, master string) {
	s.t.Helper()
	kept, err := store.LoadSecret(s.t.Context(), "data-keys")
	if err != nil {
		s.t.Fatal(err)
	}
	var keys []struct {
		ID      string
		Wrapped []byte
	}
	if err := json.Unmarshal(kept.Value, &keys); err != nil || len(keys) < 2 {
		s.t.Fatalf("there are %d data keys: %v", len(keys), err)
	}
	masterKey, err := base64.StdEncoding.DecodeString(master)
	if err != nil {
		s.t.Fatal(err)
	}
	block, err := aes.NewCipher(masterKey)
	if err != nil {
		s.t.Fatal(err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, k := range keys {
		key, err := aead.Open(nil, nil, k.Wrapped, []byte("riposte data key "+k.ID))
		if err != nil {
			s.t.Fatalf("unwrapping the data key %s: %v", k.ID, err)
		}
		s.bytes("the data key "+k.ID, key)
	}
}

// ring adds the keys of a ring, or the one key that the console has.
func (s *canaryServer) ring(name string, value []byte) {
	s.t.Helper()
	var ring struct {
		Keys []struct {
			ID     string
			Secret []byte
		}
	}
	if json.Unmarshal(value, &ring) != nil {
		s.bytes("the server's "+name, value)
		return
	}
	if len(ring.Keys) < 2 {
		s.t.Errorf("%s was not rotated: it has %d keys", name, len(ring.Keys))
	}
	for _, key := range ring.Keys {
		s.serverKey("the server's "+name+" "+key.ID, key.Secret)
	}
}

// serverKey adds a key: the private parts of a JSON Web Key, or all of any other.
func (s *canaryServer) serverKey(name string, key []byte) {
	s.t.Helper()
	var jwk map[string]any
	if json.Unmarshal(key, &jwk) != nil {
		s.bytes(name, key)
		return
	}
	for _, member := range []string{"d", "p", "q", "dp", "dq", "qi"} { // RFC 7518, section 6
		if text, ok := jwk[member].(string); ok {
			b, err := base64.RawURLEncoding.DecodeString(text)
			if err != nil {
				s.t.Fatalf("%s: %v", name, err)
			}
			s.bytes(name, b)
		}
	}
	if !s.names[name] {
		s.t.Errorf("%s has no private part", name)
	}
}
