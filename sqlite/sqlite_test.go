package sqlite_test

import (
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/sqlite"
	"github.com/riposte-dev/riposte/storetest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	flag.Parse()
	// A run of the model costs an fsync a step, so there are few unless the
	// command line asks for more.
	asked := false
	flag.Visit(func(f *flag.Flag) { asked = asked || f.Name == "rapid.checks" })
	if !asked {
		_ = flag.Set("rapid.checks", "20")
	}
	goleak.VerifyTestMain(m)
}

func open(ctx context.Context, place string, now func() time.Time) (riposte.Store, error) {
	file := filepath.Join(place, "riposte.db")
	if _, err := os.Stat(file); errors.Is(err, os.ErrNotExist) {
		empty, err := fresh()
		if err != nil {
			return nil, err
		}
		if err := os.WriteFile(file, empty, 0o600); err != nil {
			return nil, err
		}
	}
	s, err := sqlite.Open(ctx, place, sqlite.Options{Now: now})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// fresh is a database without rows, made once, because making the tables takes
// longer than most cases do.
var fresh = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "riposte")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	s, err := sqlite.Open(context.Background(), dir, sqlite.Options{})
	if err != nil {
		return nil, err
	}
	if err := s.Close(); err != nil {
		return nil, err
	}
	return os.ReadFile(filepath.Join(dir, "riposte.db"))
})

func TestStore(t *testing.T) { storetest.Run(t, open) }

func TestSuiteFindsPlantedBugs(t *testing.T) { storetest.FindPlanted(t, open) }

func openIn(t *testing.T, dir string, opts sqlite.Options) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSecondProcessIsKeptOut(t *testing.T) {
	dir := t.TempDir()
	first := openIn(t, dir, sqlite.Options{})
	if _, err := sqlite.Open(t.Context(), dir, sqlite.Options{}); !errors.Is(err, sqlite.ErrLocked) || !strings.Contains(err.Error(), dir) {
		t.Errorf("error is %v, want ErrLocked with the directory", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := openIn(t, dir, sqlite.Options{}).Close(); err != nil {
		t.Error(err)
	}
}

func TestFilesArePrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "da?ta#%41 é")
	s := openIn(t, dir, sqlite.Options{})
	wantMode(t, dir, 0o700)
	for _, name := range []string{"riposte.db", "riposte.db-wal", "riposte.db-shm", "lock"} {
		wantMode(t, filepath.Join(dir, name), 0o600)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, each := range left {
		names = append(names, each.Name())
	}
	if !slices.Equal(names, []string{"lock", "riposte.db"}) {
		t.Errorf("closing left %v", names)
	}
}

func wantMode(t *testing.T, path string, want os.FileMode) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != want {
		t.Errorf("%s has mode %o, want %o", path, got, want)
	}
}

// TestRestartEndsAllLeases is SQLite's own: there is no other node whose lease
// it could be.
func TestRestartEndsAllLeases(t *testing.T) {
	dir := t.TempDir()
	s := openIn(t, dir, sqlite.Options{})
	i := running(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openIn(t, dir, sqlite.Options{})
	defer s.Close()
	c, err := s.Claim(t.Context(), riposte.ClaimRequest{Limit: 1})
	if err == nil && len(c.Attempts) == 0 {
		c, err = s.Claim(t.Context(), riposte.ClaimRequest{Limit: 1})
	}
	if err != nil || len(c.Attempts) != 1 || c.Attempts[0].Instance.ID != i.ID || c.Attempts[0].Instance.Attempts != 2 {
		t.Errorf("claimed %+v (%v), want the second attempt of %s", c.Attempts, err, i.ID)
	}
}

func running(t *testing.T, s *sqlite.Store) riposte.Instance {
	t.Helper()
	create(t, s, webhook(t, s))
	c, err := s.Claim(t.Context(), riposte.ClaimRequest{Limit: 1})
	if err != nil || len(c.Attempts) != 1 {
		t.Fatalf("claimed %+v (%v)", c, err)
	}
	return c.Attempts[0].Instance
}

func webhook(t testing.TB, s *sqlite.Store) riposte.Webhook {
	t.Helper()
	w, err := riposte.NewWebhook("test", "", "https://receiver.example/hook", 0, anyHost, s.Now())
	if err == nil {
		w, err = s.SaveWebhook(t.Context(), w)
	}
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func record(t testing.TB, s *sqlite.Store, w riposte.Webhook) riposte.NewInstanceRecord {
	t.Helper()
	i, e, err := riposte.NewInstance(w, riposte.InstanceRequest{Source: riposte.Source{Kind: riposte.SourceTest}},
		func(id string) string { return "https://riposte.example/" + id }, s.Now())
	if err != nil {
		t.Fatal(err)
	}
	return riposte.NewInstanceRecord{Instance: i, Envelope: e}
}

func create(t testing.TB, s *sqlite.Store, w riposte.Webhook) riposte.Instance {
	t.Helper()
	is, err := s.CreateInstances(t.Context(), []riposte.NewInstanceRecord{record(t, s, w)})
	if err != nil {
		t.Fatal(err)
	}
	return is[0]
}
