package server_test

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
	"github.com/riposte-dev/riposte/postgres/postgrestest"
	"github.com/riposte-dev/riposte/ripostetest"
	"github.com/riposte-dev/riposte/server"
	"github.com/riposte-dev/riposte/vault"
)

// runOnce starts a server on a directory, has do work with it, and stops it. It returns
// what was logged.
func runOnce(t *testing.T, dir string, change func(*server.Config), do func(*ripostetest.Server)) string {
	t.Helper()
	var log bytes.Buffer
	s := ripostetest.Start(t, func(c *server.Config) {
		c.Data, c.Logger = dir, slog.New(slog.NewTextHandler(&log, nil))
		if change != nil {
			change(c)
		}
	})
	if do != nil {
		do(s)
	}
	s.Stop()
	return log.String()
}

// refused returns why no server starts on this configuration.
func refused(t *testing.T, change func(*server.Config)) string {
	t.Helper()
	c := server.Default()
	c.Listen, c.Logger = "127.0.0.1:0", slog.New(slog.DiscardHandler)
	change(&c)
	s, err := server.Open(t.Context(), c)
	if err == nil {
		t.Fatalf("it starts, and serves %s", s.URL())
	}
	return err.Error()
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func rotate(t *testing.T, s *ripostetest.Server, use ripostev1.ServerKeyUse) *ripostev1.ServerKey {
	t.Helper()
	res, err := s.ServerKeys.Rotate(t.Context(), &ripostev1.ServerKeysServiceRotateRequest{Use: use})
	if err != nil {
		t.Fatal(err)
	}
	return res.GetKey()
}

func TestFirstStartMakesAMasterKeyAndSaysSo(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	path := filepath.Join(dir, "master.key")
	if log := runOnce(t, dir, nil, nil); !strings.Contains(log, "level=WARN") || !strings.Contains(log, path) || !strings.Contains(log, "backup") {
		t.Errorf("the log says %s", log)
	}
	first := readFile(t, path)
	if masters, err := vault.ParseMasters(first); err != nil || len(masters) != 1 {
		t.Errorf("master.key has %v, %v", masters, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("master.key is %v, %v", info.Mode(), err)
	}
	if log := runOnce(t, dir, nil, nil); strings.Contains(log, "level=WARN") || strings.Contains(log, strings.TrimSpace(first)) || readFile(t, path) != first {
		t.Errorf("the second start says %s", log)
	}
}

func TestAGivenMasterKeyIsKeptNowhere(t *testing.T) {
	dir, master := t.TempDir(), vault.NewMaster()
	runOnce(t, dir, func(c *server.Config) { c.MasterKey = master }, nil)
	wantNowhere(t, dir, []string{master})
	if _, err := os.Stat(filepath.Join(dir, "master.key")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("there is a master.key: %v", err)
	}
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte(vault.NewMaster()+"\n"+master+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	log := runOnce(t, dir, func(c *server.Config) { c.MasterKeyFile = file }, func(s *ripostetest.Server) {
		rotate(t, s, ripostev1.ServerKeyUse_SERVER_KEY_USE_DATA)
	})
	if !strings.Contains(log, "rotate-master") {
		t.Errorf("a new master key that is not in use yet is no word worth: %s", log)
	}
	first, _, _ := strings.Cut(readFile(t, file), "\n")
	if log := runOnce(t, dir, func(c *server.Config) { c.MasterKey = first }, nil); strings.Contains(log, "level=WARN") {
		t.Errorf("after the rotation, with the new one alone: %s", log)
	}
}

func TestServerWithoutItsMasterKeyRefuses(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "master.key")
	runOnce(t, dir, nil, nil)
	right := readFile(t, path)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	on := func(c *server.Config) { c.Data = dir }
	if got := refused(t, on); !strings.Contains(got, path) || !strings.Contains(got, "put that file back") {
		t.Errorf("without master.key: %s", got)
	}
	if got := refused(t, func(c *server.Config) { on(c); c.MasterKey = vault.NewMaster() }); !strings.Contains(got, "no master key that was given") || !strings.Contains(got, "Nothing was changed") {
		t.Errorf("with another: %s", got)
	}
	if got := refused(t, func(c *server.Config) { on(c); c.MasterKey = "secret of mine" }); !strings.Contains(got, "RIPOSTE_MASTER_KEY") || strings.Contains(got, "secret of mine") {
		t.Errorf("with what is none: %s", got)
	}
	if got := refused(t, func(c *server.Config) { on(c); c.MasterKey, c.MasterKeyFile = vault.NewMaster(), path }); !strings.Contains(got, "leave one out") {
		t.Errorf("with two: %s", got)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("there is a new master.key: %v", err)
	}
	runOnce(t, dir, func(c *server.Config) { c.MasterKey = right }, nil)
}

func TestPostgreSQLNeedsAMasterKey(t *testing.T) {
	url := postgrestest.URL(t)
	if got := refused(t, func(c *server.Config) { c.DatabaseURL = url }); !strings.Contains(got, "riposte keys generate-master") || !strings.Contains(got, "RIPOSTE_MASTER_KEY") {
		t.Errorf("it says %s", got)
	}
}

// TestOwnMasterKeyIsRenewed with the data key, and no file or store of the time before
// opens what comes after.
func TestOwnMasterKeyIsRenewed(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "master.key")
	runOnce(t, dir, nil, nil)
	first := readFile(t, path)
	runOnce(t, dir, nil, func(s *ripostetest.Server) { rotate(t, s, ripostev1.ServerKeyUse_SERVER_KEY_USE_DATA) })
	second := readFile(t, path)
	if masters, err := vault.ParseMasters(second); err != nil || len(masters) != 1 || strings.Contains(second, strings.TrimSpace(first)) {
		t.Errorf("master.key has %d keys, %v", len(masters), err)
	}
	runOnce(t, dir, nil, nil)
	if err := os.WriteFile(path, []byte(first), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := refused(t, func(c *server.Config) { c.Data = dir }); !strings.Contains(got, "no master key that was given") {
		t.Errorf("with the old one: %s", got)
	}
}
