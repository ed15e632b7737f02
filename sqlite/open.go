package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/riposte-dev/riposte"
)

// FileName is the database's, in the data directory.
const FileName = "riposte.db"

const (
	// maxReaders bounds the query-only connections; each has a page cache of
	// its own, 2 MB unless SQLite is told otherwise.
	maxReaders = 8
)

//go:embed migrations/*.sql
var migrations embed.FS

// Options are what Open needs beside the directory. The zero value is good.
type Options struct {
	// Now is the store's clock. By default it is the time at which the store
	// was opened plus what has passed since, so that a clock that jumps
	// changes neither an expiry nor a lease.
	Now func() time.Time
	// Logger is told what no caller hears of. Default: slog.Default().
	Logger *slog.Logger
	// Fatal is called when a commit or a checkpoint failed so that nobody can
	// know what is on disk. It should not return; if it does after a commit,
	// the store refuses everything from then on. Default: log and exit with
	// status 1.
	Fatal func(error)
	// OnCommit, if set, is told of each commit that may have written something:
	// how many operations shared it, and how long the COMMIT took, which is the
	// fsync. It is called by the one goroutine that writes and must not block.
	OnCommit func(ops int, took time.Duration)
}

func (o Options) withDefaults() Options {
	if o.Now == nil {
		start := time.Now()
		o.Now = func() time.Time { return start.Add(time.Since(start)) }
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Fatal == nil {
		logger := o.Logger
		o.Fatal = func(err error) {
			logger.Error("the store can't know what is on disk: stopping, so that recovery decides", "error", err)
			os.Exit(1)
		}
	}
	return o
}

// Store implements riposte.Store.
type Store struct {
	now     func() time.Time
	lock    *os.File
	readers *sql.DB
	queries queries
	writer  *writer

	maxSearched, maxCounted int // lower in tests alone
}

var _ riposte.Store = (*Store)(nil)

// Open opens the store in dir, which it makes if need be (0700), and brings
// its tables up to date. ErrLocked when another process has it open.
func Open(ctx context.Context, dir string, opts Options) (*Store, error) {
	opts = opts.withDefaults()
	dir, err := makeDir(dir)
	if err != nil {
		return nil, fmt.Errorf("making the data directory: %w", err)
	}
	held, err := lock(dir)
	if err != nil {
		return nil, err
	}
	s := &Store{now: opts.Now, lock: held, maxSearched: maxSearched, maxCounted: maxCounted}
	if err := s.open(ctx, filepath.Join(dir, FileName), opts); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Store) open(ctx context.Context, path string, opts Options) error {
	if err := makePrivate(path); err != nil {
		return err
	}
	if err := migrate(ctx, path); err != nil {
		return fmt.Errorf("bringing the tables up to date: %w", err)
	}
	var err error
	if s.writer, err = openWriter(ctx, path, s.Now(), opts); err != nil {
		return fmt.Errorf("opening the writer: %w", err)
	}
	s.readers, err = sql.Open("sqlite", dsn(path, "query_only(1)"))
	if err != nil {
		return fmt.Errorf("opening the readers: %w", err)
	}
	s.readers.SetMaxOpenConns(maxReaders)
	s.readers.SetMaxIdleConns(maxReaders)
	if s.queries, err = prepareQueries(ctx, s.readers); err != nil {
		return fmt.Errorf("preparing the queries: %w", err)
	}
	// Nothing has been written since the writer was opened, and nothing will be
	// before Open returns.
	if err := s.writer.counts.start(ctx, s.readers, opts.Logger); err != nil {
		return fmt.Errorf("beginning to count instances: %w", err)
	}
	return nil
}

// makeDir makes the data directory if need be and returns its absolute path.
// Its entry is synced here; for the files in it SQLite sees to that.
func makeDir(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	parent, err := os.Open(filepath.Dir(dir))
	if err != nil {
		return "", err
	}
	return dir, errors.Join(parent.Sync(), parent.Close())
}

// makePrivate makes the database file before SQLite does, whose other files
// take its mode.
func makePrivate(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("making the database file: %w", err)
	}
	return errors.Join(f.Chmod(0o600), f.Close())
}

// dsn names the database for the driver. A URL, because a path may have
// characters that mean something in one.
func dsn(path string, pragmas ...string) string {
	q := url.Values{"_defensive": {"1"}, "_dqs": {"0"}, "_pragma": append([]string{"busy_timeout(5000)"}, pragmas...)}
	return (&url.URL{Scheme: "file", Path: path, RawQuery: q.Encode()}).String()
}

func migrate(ctx context.Context, path string) error {
	db, err := sql.Open("sqlite", dsn(path, "journal_mode(WAL)", "synchronous(FULL)"))
	if err != nil {
		return err
	}
	defer db.Close()
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db, files,
		goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return err
	}
	current, target, err := p.GetVersions(ctx)
	if err != nil {
		return err
	}
	if current > target {
		return fmt.Errorf("the data is of version %d, this program knows up to %d: run a newer one", current, target)
	}
	if current < target {
		_, err = p.Up(ctx)
	}
	return err
}

// minSQLite has the fix of a rare corruption by WAL checkpoints.
var minSQLite = [3]int{3, 51, 3}

// assertDurable refuses a connection on which a commit would not be durable.
func assertDurable(ctx context.Context, conn *sql.Conn) error {
	for _, each := range []struct{ query, want string }{
		{"PRAGMA journal_mode", "wal"},
		{"PRAGMA synchronous", "2"}, // FULL
		{"PRAGMA foreign_keys", "1"},
	} {
		var got string
		if err := conn.QueryRowContext(ctx, each.query).Scan(&got); err != nil {
			return fmt.Errorf("reading %s: %w", each.query, err)
		}
		if got != each.want {
			return fmt.Errorf("%s is %s, must be %s", each.query, got, each.want)
		}
	}
	var version string
	if err := conn.QueryRowContext(ctx, "SELECT sqlite_version()").Scan(&version); err != nil {
		return fmt.Errorf("reading SQLite's version: %w", err)
	}
	return checkVersion(version)
}

func checkVersion(version string) error {
	for i, part := range strings.SplitN(version, ".", 3) {
		n, err := strconv.Atoi(part)
		switch {
		case err != nil:
			return fmt.Errorf("reading SQLite's version %q: %w", version, err)
		case n > minSQLite[i]:
			return nil
		case n < minSQLite[i]:
			return fmt.Errorf("SQLite is %s, must be %d.%d.%d or newer", version, minSQLite[0], minSQLite[1], minSQLite[2])
		}
	}
	return nil
}

// Now implements riposte.Store.
func (s *Store) Now() time.Time { return riposte.Time(s.now()) }

const checkSQL = `INSERT INTO checks (number, checked_at) VALUES (1, ?)
	ON CONFLICT (number) DO UPDATE SET checked_at = excluded.checked_at`

// Check implements riposte.Store by a commit, because nothing else tells a
// full disk.
func (s *Store) Check(ctx context.Context) error {
	err := s.writer.do(ctx, 1, func(t *tx) error {
		_, err := t.exec(t.check, micros(s.Now()))
		return err
	})
	if err != nil {
		return fmt.Errorf("checking the store: %w", err)
	}
	return nil
}

// Close implements riposte.Store. It leaves a database without a log behind.
func (s *Store) Close() error {
	var errs []error
	if s.writer != nil {
		s.writer.drain()
		s.writer.counts.stop()
	}
	if s.readers != nil {
		errs = append(errs, s.readers.Close())
	}
	if s.writer != nil {
		errs = append(errs, s.writer.close())
	}
	errs = append(errs, s.lock.Close())
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("closing the store: %w", err)
	}
	return nil
}
