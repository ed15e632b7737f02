package server

import (
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/vault"
)

// openOn opens a server on a directory, without running it.
func openOn(t *testing.T, dir string) *Server {
	t.Helper()
	c := Default()
	c.Listen, c.Data, c.Logger = "127.0.0.1:0", dir, slog.New(slog.DiscardHandler)
	s, err := Open(t.Context(), c)
	if err != nil {
		t.Fatalf("opening: %v", err)
	}
	return s
}

// crash leaves the files as they are at this moment, in a directory of their own.
func crash(t *testing.T, s *Server) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(s.config.Data)); err != nil {
		t.Fatal(err)
	}
	_ = os.Remove(filepath.Join(dir, "lock"))
	return dir
}

// TestRotationThatBreaksOffLosesNothing: after each of its steps the next start signs with
// the same key, opens what was sealed before, and can rotate.
func TestRotationThatBreaksOffLosesNothing(t *testing.T) {
	s := openOn(t, t.TempDir())
	kid := s.signing.JWKS()
	sealed := s.vault.Seal("p", []byte("secret"))
	check := func(step string, dir string) {
		t.Run(step, func(t *testing.T) {
			for _, then := range []string{"at the next start", "after another rotation", "at the start after that"} {
				next := openOn(t, dir)
				if got := next.signing.JWKS(); string(got) != string(kid) {
					t.Errorf("%s: it signs with %s, before with %s", then, got, kid)
				}
				if got, err := next.vault.Open("p", sealed); err != nil || string(got) != "secret" {
					t.Errorf("%s: what was sealed is %q, %v", then, got, err)
				}
				if then == "after another rotation" {
					if _, err := next.keys.Rotate(t.Context(), riposte.ServerKeyData, "", nil); err != nil {
						t.Error(err)
					}
					own, err := next.masters.readOwn()
					if err != nil || len(own) != 1 {
						t.Errorf("%s: master.key has %d keys, %v", then, len(own), err)
					}
				}
				if err := next.close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	check("before it begins", crash(t, s))
	if err := s.masters.Renew(); err != nil {
		t.Fatal(err)
	}
	check("the master key is renewed", crash(t, s))
	if _, err := s.vault.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	check("the data keys are wrapped anew", crash(t, s))
	if err := s.masters.Keep(s.vault.MasterIDs()); err != nil {
		t.Fatal(err)
	}
	check("the old master key is gone", crash(t, s))
	if err := s.close(); err != nil {
		t.Error(err)
	}
}

// TestRotationsOfTheMasterKeyAtOnceLoseNothing: two administrators, or one who clicks
// twice.
func TestRotationsOfTheMasterKeyAtOnceLoseNothing(t *testing.T) {
	dir := t.TempDir()
	s := openOn(t, dir)
	sealed := s.vault.Seal("p", []byte("secret"))
	for range 20 {
		var rotating sync.WaitGroup
		for range 4 {
			rotating.Go(func() {
				if _, err := s.keys.Rotate(t.Context(), riposte.ServerKeyData, "", nil); err != nil {
					t.Error(err)
				}
			})
		}
		rotating.Wait()
		own, err := s.masters.readOwn()
		if ids := s.vault.MasterIDs(); err != nil || len(own) != 1 || len(ids) != 1 || own[0].ID() != ids[0] {
			t.Fatalf("master.key has %v, %v; the data keys want %v", own, err, ids)
		}
	}
	if err := s.close(); err != nil {
		t.Error(err)
	}
	next := openOn(t, dir)
	if got, err := next.vault.Open("p", sealed); err != nil || string(got) != "secret" {
		t.Errorf("what was sealed is %q, %v", got, err)
	}
	if err := next.close(); err != nil {
		t.Error(err)
	}
}

// TestCrashBeforeTheFirstDataKeyLeavesAUsableMasterKey: the file is there, and is used.
func TestCrashBeforeTheFirstDataKeyLeavesAUsableMasterKey(t *testing.T) {
	dir := t.TempDir()
	left := vault.NewMaster() + "\n"
	if err := os.WriteFile(filepath.Join(dir, masterKeyFile), []byte(left), 0o600); err != nil {
		t.Fatal(err)
	}
	s := openOn(t, dir)
	if err := s.close(); err != nil {
		t.Error(err)
	}
	if b, err := os.ReadFile(filepath.Join(dir, masterKeyFile)); err != nil || string(b) != left {
		t.Errorf("master.key has changed: %v", err)
	}
}

// TestMasterKeyInUseIsNotDropped: a file without any of those that are asked for stays.
func TestMasterKeyInUseIsNotDropped(t *testing.T) {
	m := masterKeys{own: filepath.Join(t.TempDir(), masterKeyFile)}
	if err := m.Renew(); err != nil {
		t.Fatal(err)
	}
	before, _ := m.readOwn()
	if err := m.Keep([]string{"another"}); err == nil {
		t.Error("the last key may go")
	}
	if after, err := m.readOwn(); err != nil || after.Text() != before.Text() {
		t.Errorf("the file has changed: %v", err)
	}
}
