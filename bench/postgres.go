package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/postgres"
)

const databaseVariable = "RIPOSTE_TEST_DATABASE_URL"

func databaseURL() string { return os.Getenv(databaseVariable) }

// databases has each store in a database of its own, on the server that url
// names: what one leaves behind, and what its cleaning takes, is gone with it.
type databases struct{ url string }

func (databases) flag() string { return "--database-url" }

func (d databases) create(ctx context.Context, from string) (string, error) {
	u, err := url.Parse(d.url)
	if err != nil {
		return "", err
	}
	u.Path = "/riposte_bench_" + strings.ToLower(rand.Text())
	store := u.String()
	sql := "CREATE DATABASE " + databaseName(store)
	if from != "" {
		sql += " TEMPLATE " + databaseName(from) + " STRATEGY file_copy"
	}
	return store, execute(ctx, d.url, sql)
}

// remove removes it also when the run was ended.
func (d databases) remove(ctx context.Context, store string) error {
	return execute(context.WithoutCancel(ctx), d.url, "DROP DATABASE IF EXISTS "+databaseName(store)+" WITH (FORCE)")
}

// databaseName is the end of a URL that create made.
func databaseName(store string) string {
	u, err := url.Parse(store)
	if err != nil {
		return ""
	}
	return strings.TrimPrefix(u.Path, "/")
}

func (databases) open(ctx context.Context, store string, now func() time.Time) (riposte.Store, error) {
	return postgres.Open(ctx, store, postgres.Options{Now: now})
}

// settle does what autovacuum and the checkpointer would do a minute later.
func (databases) settle(ctx context.Context, store string) error {
	return execute(ctx, store, "VACUUM ANALYZE", "CHECKPOINT")
}

// copying finds the rows to be copied by their index, which PostgreSQL's
// statistics, knowing no others, would not. How many instances are in each state
// stays what it was: nothing that is measured depends on it.
func (databases) copying(store string) copying {
	u, err := url.Parse(store)
	if err != nil {
		return copying{}
	}
	settings := u.Query()
	settings.Set("enable_seqscan", "off")
	settings.Set("synchronous_commit", "off")
	u.RawQuery = settings.Encode()
	return copying{
		driver:  "pgx",
		begin:   pastDays,
		source:  u.String(),
		columns: "SELECT column_name FROM information_schema.columns WHERE table_schema = current_schema() AND table_name = $1",
		tables:  []table{{"instances", "id", true}, {"labels", "id", true}, {"open", "id", true}, {"attempts", "id", true}, {"outcomes", "id", true}},
		finish:  []string{"SELECT setval('outcome_sequence', max(sequence)) FROM outcomes"},
	}
}

// pastDays makes the partitions that a server would have made had it run all the
// time: those from the day after the first rows', which stays where they are, to
// yesterday's.
func pastDays(from, to time.Time) (statements []string) {
	const day = 24 * time.Hour
	for at := from.UTC().Truncate(day).Add(day); at.Add(day).Before(to); at = at.Add(day) {
		for _, parent := range []string{"instances", "outcomes", "attempts", "labels"} {
			name := parent + "_" + at.Format("20060102")
			statements = append(statements,
				fmt.Sprintf("CREATE TABLE %s (LIKE %s INCLUDING ALL)", name, parent),
				fmt.Sprintf("ALTER TABLE %s ATTACH PARTITION %s FOR VALUES FROM ('%s') TO ('%s')", parent, name,
					riposte.LeastID(at), riposte.LeastID(at.Add(day))))
		}
	}
	return statements
}

// awaitDays returns when there are partitions for the days to come, which a node
// makes by and by after its start: for a new database that is a week's at once.
func awaitDays(ctx context.Context, store string) error {
	conn, err := pgx.Connect(ctx, store)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	there := false
	return until(ctx, func() bool {
		// An error shows in that it never comes true.
		_ = conn.QueryRow(ctx, "SELECT to_regclass('labels_' || to_char(now() AT TIME ZONE 'UTC' + '7 days', 'YYYYMMDD')) IS NOT NULL").Scan(&there)
		return there
	})
}

// execute runs statements, each in a transaction of its own.
func execute(ctx context.Context, url string, statements ...string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	for _, sql := range statements {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return fmt.Errorf("%s: %w", sql, err)
		}
	}
	return nil
}

// usage is the server's, whichever store it worked for: there is one at a time.
func (d databases) usage(ctx context.Context) (usage, error) {
	var u usage
	conn, err := pgx.Connect(ctx, d.url)
	if err != nil {
		return u, err
	}
	defer conn.Close(ctx)
	if u.fsyncs, err = walSyncs(ctx, conn); err != nil {
		return u, err
	}
	pids, err := processes(ctx, conn)
	if err != nil {
		return u, err
	}
	for _, pid := range pids {
		switch p, err := usageOf(pid); {
		case err == nil:
			u.add(p)
			u.mediumPeak += p.peak
		case !hasEnded(err):
			return u, fmt.Errorf("reading what PostgreSQL uses: %w", err)
		}
	}
	return u, nil
}

// walSyncs counts the fsyncs of the write-ahead log, which are what commits wait
// for. PostgreSQL's processes report theirs about a second late.
func walSyncs(ctx context.Context, conn *pgx.Conn) (n int64, err error) {
	var moved bool
	if err := conn.QueryRow(ctx, "SELECT current_setting('server_version_num')::int >= 180000").Scan(&moved); err != nil {
		return 0, err
	}
	sql := "SELECT wal_sync FROM pg_stat_wal"
	if moved {
		sql = "SELECT sum(fsyncs)::bigint FROM pg_stat_io WHERE object = 'wal'"
	}
	err = conn.QueryRow(ctx, sql).Scan(&n)
	return n, err
}

// processes are the server's: those of its connections, its own, and their
// parent.
func processes(ctx context.Context, conn *pgx.Conn) ([]int, error) {
	var any int
	if err := conn.QueryRow(ctx, "SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'").Scan(&any); err != nil {
		return nil, err
	}
	postmaster, err := parent(any)
	if err != nil {
		return nil, err
	}
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", postmaster))
	if err != nil {
		return nil, err
	}
	pids := []int{postmaster}
	for each := range strings.FieldsSeq(string(children)) {
		pid, err := strconv.Atoi(each)
		if err != nil {
			return nil, err
		}
		pids = append(pids, pid)
	}
	return pids, nil
}

func parent(pid int) (int, error) {
	ppid, err := procField(pid, "status", "PPid:")
	if err == nil && ppid == 0 {
		err = errors.New("PostgreSQL runs on another machine, so nobody knows what it uses")
	}
	return int(ppid), err
}
