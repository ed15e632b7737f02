package postgres

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/riposte-dev/riposte"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Options are what Open needs beside the database. The zero value is good.
type Options struct {
	// Now is the store's clock. By default it is the database's: its time when
	// it was last asked plus what has passed since.
	Now func() time.Time
	// OnCommit, if set, is told of each commit that may have written something:
	// how many operations shared it, and how long the COMMIT took, which is the
	// fsync. It is called by the one goroutine that writes and must not block.
	OnCommit func(ops int, took time.Duration)
	// Logger is told what an operator should know. By default nobody is.
	Logger *slog.Logger
}

// Store implements riposte.Store.
type Store struct {
	pool     *pgxpool.Pool // for reading
	clock    *clock
	node     string // names this process among those that share the database
	writer   *writer
	watcher  *watcher
	webhooks loads[riposte.Webhook]
	keys     *credentials[riposte.Key]
	clients  *credentials[riposte.Client]
	logger   *slog.Logger

	maxSearched, maxCounted int // lower in tests alone

	dayMu   sync.Mutex // held by who changes partitions
	lastDay day        // that has partitions
	closing sync.Once
}

var _ riposte.Store = (*Store)(nil)

// Open opens the store in the database that url names, and brings its tables up
// to date.
func Open(ctx context.Context, url string, opts Options) (*Store, error) {
	config, err := parseURL(url)
	if err != nil {
		return nil, fmt.Errorf("reading the database's URL: %w", err)
	}
	connectWell(config.ConnConfig)
	s := &Store{node: riposte.NewID(time.Now()), logger: opts.Logger, maxSearched: maxSearched, maxCounted: maxCounted}
	s.keys, s.clients = s.newKeys(), s.newClients()
	if s.logger == nil {
		s.logger = slog.New(slog.DiscardHandler)
	}
	if err := s.prepare(ctx, config.ConnConfig); err != nil {
		return nil, err
	}
	// Who waits for what somebody has locked keeps others waiting; but what
	// changes tables may have to.
	setDefault(config.ConnConfig.RuntimeParams, "lock_timeout", "1500ms") // more than deadlock_timeout, 1 s
	if s.pool, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return nil, fmt.Errorf("connecting to the database: %w", err)
	}
	if err := s.start(ctx, config.ConnConfig, opts); err != nil {
		s.pool.Close()
		return nil, err
	}
	s.logger.Info("joined the nodes on the database", "node", s.node)
	return s, nil
}

func (s *Store) start(ctx context.Context, config *pgx.ConnConfig, opts Options) (err error) {
	if s.clock, err = newClock(ctx, s.pool, opts.Now); err != nil {
		return fmt.Errorf("asking the database for its time: %w", err)
	}
	// Where nothing is yet, today gets its own, too; the rest can wait.
	if err := s.makeDays(ctx, s.clock.database(), 0); err != nil {
		return fmt.Errorf("making partitions: %w", err)
	}
	if s.writer, err = openWriter(ctx, s, config, opts); err != nil {
		return fmt.Errorf("loading what is due: %w", err)
	}
	if err := s.watch(ctx, config); err != nil {
		s.writer.queue.Close()
		s.writer.close()
		return fmt.Errorf("watching the database: %w", err)
	}
	return nil
}

// connectPatience is for how long one of the database's hosts after the other is
// tried. It leaves time within watchTimeout and batchTimeout.
const connectPatience = 4 * time.Second

// connectWell sees to it that a server that can't be reached any more is found
// out soon, also one that has vanished without a word.
func connectWell(c *pgx.ConnConfig) {
	if c.ConnectTimeout == 0 { // of each try
		c.ConnectTimeout = max(connectPatience/time.Duration(1+len(c.Fallbacks)), time.Second)
	}
	setDefault(c.RuntimeParams, "application_name", "riposte")
	// A plan made while few instances are open would go through all of them later,
	// the dead rows included; and there is one good plan for each query, but for
	// lists, which don't keep theirs.
	setDefault(c.RuntimeParams, "enable_seqscan", "off")
	setDefault(c.RuntimeParams, "plan_cache_mode", "force_generic_plan")
	setDefault(c.RuntimeParams, "jit", "off") // compiling takes a second, and no query here runs that long
	c.DialFunc = (&net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: 5 * time.Second, Count: 3}}).DialContext
}

// prepare looks at the server, and brings the tables up to date.
func (s *Store) prepare(ctx context.Context, config *pgx.ConnConfig) error {
	db := stdlib.OpenDB(*config)
	defer db.Close()
	if err := s.checkServer(ctx, db); err != nil {
		return err
	}
	if err := migrate(ctx, db); err != nil {
		return fmt.Errorf("bringing the tables up to date: %w", err)
	}
	return nil
}

// oldestServer is the first version that the migrations and queries are for.
const oldestServer = 15_00_00

const serverSQL = `SELECT current_setting('server_version_num')::int, current_setting('server_version'),
	current_setting('synchronous_commit'), current_setting('fsync')`

// checkServer refuses a server that can't keep what it has acknowledged.
func (s *Store) checkServer(ctx context.Context, db *sql.DB) error {
	var number int
	var version, synchronous, fsync string
	if err := db.QueryRowContext(ctx, serverSQL).Scan(&number, &version, &synchronous, &fsync); err != nil {
		return fmt.Errorf("asking the database for its version and settings: %w", err)
	}
	switch {
	case number < oldestServer:
		return fmt.Errorf("the server is PostgreSQL %s, must be %d or newer", version, oldestServer/10_000)
	case synchronous == "off":
		return errors.New("synchronous_commit is off, so that a crash of the server would lose what was acknowledged: set it to on for the server, the database and the role, or by synchronous_commit=on in the URL")
	case fsync == "off":
		s.logger.Warn("the database's fsync is off: a crash of its machine may lose or corrupt everything")
	}
	return nil
}

const schemaKeySQL = `SELECT hashtextextended('riposte ' || current_schema(), 0)`

// migrate lets one node at a time bring the tables up to date. A newer version's
// tables are left as they are: it runs beside this one.
func migrate(ctx context.Context, db *sql.DB) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	// Schemas of one database don't wait for each other.
	var schema int64
	if err := db.QueryRowContext(ctx, schemaKeySQL).Scan(&schema); err != nil {
		return err
	}
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockID(schema), lock.WithLockTimeout(1, 300))
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectPostgres, db, files, goose.WithSessionLocker(locker),
		goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return err
	}
	current, target, err := p.GetVersions(ctx)
	if err != nil {
		return err
	}
	if current >= target {
		return nil
	}
	_, err = p.Up(ctx)
	return err
}

// Now implements riposte.Store.
func (s *Store) Now() time.Time { return riposte.Time(s.clock.now()) }

// Close implements riposte.Store.
func (s *Store) Close() error {
	s.closing.Do(func() {
		s.writer.queue.Close()
		s.watcher.close() // says what was committed last, and good-bye
		s.webhooks.running.Wait()
		s.keys.loads.running.Wait()
		s.clients.loads.running.Wait()
		s.writer.close()
		s.pool.Close()
	})
	return nil
}

var errURL = errors.New("it must be postgres://user:password@host/database, with what is special in the password percent-encoded")

// parseURL keeps pgx's own words back where it can't tell the parts of the URL: then it
// can't tell which is the password, either, and may quote a piece of it.
func parseURL(url string) (*pgxpool.Config, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil && strings.Contains(err.Error(), ": failed to parse as ") {
		return nil, errURL
	}
	return config, err
}
