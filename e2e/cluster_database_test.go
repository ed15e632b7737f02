package e2e

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/riposte-dev/riposte/postgres/postgrestest"
)

// TestPostgresStoppedAtOnceLosesNothing: while it is away all calls are refused
// in time, and the nodes find it again by themselves.
func TestPostgresStoppedAtOnceLosesNothing(t *testing.T) {
	t.Parallel()
	p := newOwnPostgres(t)
	c := newCluster(t, p.appURL(), 2)
	l := newClusterLoad(t, c)
	l.begin()
	for range times(1, 10) {
		l.busy(c.nodes[0])
		time.Sleep(rand.N(2 * time.Second))
		over, before := c.outage(), l.refused.Load()
		p.stopAtOnce()
		c.wantReadiness(http.StatusServiceUnavailable)
		eventually(t, "calls are refused", func() bool { return l.refused.Load() > before })
		p.start()
		c.wantReadiness(http.StatusOK)
		over()
	}
	l.finish()
	l.balance()
}

// TestKilledBackendsOfNodesLoseNothing: the server ends the nodes' connections,
// every other time one that is writing.
func TestKilledBackendsOfNodesLoseNothing(t *testing.T) {
	t.Parallel()
	c := newCluster(t, postgrestest.URL(t), 2)
	l := newClusterLoad(t, c)
	conn := postgrestest.Connect(t, c.url)
	over := c.outage()
	l.begin()
	busy, relax := context.WithCancel(l.ctx)
	defer relax()
	for n := range 16 {
		l.callers.Go(func() { l.insist(busy, c.nodes[n%len(c.nodes)]) })
	}
	const anySQL = `SELECT count(pg_terminate_backend(pid)) > 0 FROM
		(SELECT pid FROM pg_stat_activity WHERE application_name = $1 ORDER BY random() LIMIT 1) AS one`
	const writingSQL = `SELECT count(pg_terminate_backend(pid)) > 0 FROM pg_stat_activity WHERE application_name = $1 AND backend_xid IS NOT NULL`
	for n := range times(20, 200) {
		sql := []string{anySQL, writingSQL}[n%2]
		name := c.nodes[n/2%len(c.nodes)].name
		eventually(t, "a connection is killed", func() (killed bool) {
			if err := conn.QueryRow(t.Context(), sql, name).Scan(&killed); err != nil {
				t.Fatal(err)
			}
			return killed
		})
		time.Sleep(rand.N(200 * time.Millisecond))
	}
	relax()
	c.wantReadiness(http.StatusOK)
	over()
	l.finish()
	l.balance()
}

// TestDatabaseThatTakesNothingIsRefusedInTime: whatever keeps it from that, a
// call gets its 503, an attempt is made all the same, and afterwards everything
// goes on.
func TestDatabaseThatTakesNothingIsRefusedInTime(t *testing.T) {
	t.Parallel()
	p := newOwnPostgres(t)
	for _, tt := range []struct {
		name, database string
		begin, relax   string // what the operator does, and undoes
		lock           bool   // somebody has locked all tables
	}{
		{name: "no connections left", database: "crowded",
			begin: "ALTER DATABASE crowded CONNECTION LIMIT 0", relax: "ALTER DATABASE crowded CONNECTION LIMIT -1"},
		{name: "locked, with a statement timeout", database: "impatient", lock: true,
			begin: "ALTER DATABASE impatient SET statement_timeout = '50ms'", relax: "ALTER DATABASE impatient RESET statement_timeout"},
		{name: "locked", database: "locked", lock: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p.create(tt.database)
			c := newCluster(t, p.url("app", tt.database), 2)
			l := newClusterLoad(t, c)
			l.begin()
			l.busy(c.nodes[0])
			over, before, began := c.outage(), l.refused.Load(), time.Now()
			if tt.begin != "" {
				p.exec(tt.begin)
				p.endConnections(tt.database)
			}
			unlock := func() {}
			if tt.lock {
				unlock = lockAll(t, postgrestest.Connect(t, p.url("riposte", tt.database)))
			}
			c.wantReadiness(http.StatusServiceUnavailable)
			eventually(t, "calls are refused", func() bool { return l.refused.Load()-before > clusterCallers })
			if tt.begin == "" {
				// What hangs at the lock must hang for too long to be seen.
				time.Sleep(time.Until(began.Add(callTimeout + time.Second)))
			}
			unlock()
			if tt.begin != "" {
				p.exec(tt.relax)
				p.endConnections(tt.database)
			}
			c.wantReadiness(http.StatusOK)
			over()
			l.finish()
			l.balance()
		})
	}
}

// lockAll locks every table until what it returns is called.
func lockAll(t *testing.T, conn *pgx.Conn) (unlock func()) {
	t.Helper()
	const sql = `SET LOCAL statement_timeout = 0; DO $$ DECLARE name text; BEGIN
		FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
			EXECUTE format('LOCK TABLE %I IN ACCESS EXCLUSIVE MODE', name);
		END LOOP; END $$`
	for {
		tx, err := conn.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_, err = tx.Exec(t.Context(), sql)
		if err == nil {
			return func() { _ = tx.Rollback(context.Background()) }
		}
		_ = tx.Rollback(t.Context())
		if e, ok := errors.AsType[*pgconn.PgError](err); !ok || e.Code != deadlockDetected {
			t.Fatal(err)
		}
	}
}

// deadlockDetected: the nodes lock the tables in another order.
const deadlockDetected = "40P01"
