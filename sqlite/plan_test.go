package sqlite

import (
	"context"
	"database/sql"
	"strings"
	"testing"
	"time"

	"github.com/riposte-dev/riposte"
	driver "modernc.org/sqlite"
)

// TestEveryQueryHasItsIndex reads the plans of all that must not grow with the
// number of instances.
func TestEveryQueryHasItsIndex(t *testing.T) {
	s := openStore(t, Options{})
	type query struct {
		sql, index string
		few        bool // is of so few rows that it may sort them, or go through all
	}
	queries := []query{
		{sql: dueInLaneSQL, index: "instances_due"},
		{sql: laneDueSQL, index: "instances_due"},
		{sql: expiredSQL, index: "instances_open_by_expiry"},
		{sql: firstExpirySQL, index: "instances_open_by_expiry"},
		{sql: purgeableSQL, index: "instances_closed_by_expiry"},
		{sql: requestedBeforeSQL, index: "instances_request"},
		{sql: loadNumberedSQL, index: "INTEGER PRIMARY KEY"},
		{sql: loadEnvelopesSQL, index: "INTEGER PRIMARY KEY"},
		{sql: loadInstanceSQL, index: "INTEGER PRIMARY KEY"},
		{sql: loadEnvelopeSQL, index: "INTEGER PRIMARY KEY"},
		{sql: loadAttemptsSQL, index: "PRIMARY KEY"},
		{sql: loadLanesSQL, index: "instances_due"},
		{sql: keepOpenSQL, index: "INTEGER PRIMARY KEY"},
		{sql: closeInstanceSQL, index: "INTEGER PRIMARY KEY"},
		{sql: handOverSQL, index: "INTEGER PRIMARY KEY"},
		{sql: pushesDueSQL, index: "instances_push_due"},
		{sql: pushLaneDueSQL, index: "instances_push_due"},
		{sql: loadPushLanesSQL, index: "instances_push_due"},
		{sql: releasePushLeasesSQL, index: "instances_by_state"},
		{sql: insertAttemptSQL, index: "INTEGER PRIMARY KEY"},
		{sql: countSQL, index: "instances_by_state"},
		{sql: releaseLeasesSQL, index: "instances_by_state"},
		{sql: purgeSQL, index: "INTEGER PRIMARY KEY"},
		{sql: notePurgedSQL, index: "INTEGER PRIMARY KEY"},
		{sql: purgeOutcomesSQL, index: "outcomes USING INTEGER PRIMARY KEY"},
		{sql: purgeLabelsSQL, index: "PRIMARY KEY"},
		{sql: purgeWebhooksSQL, index: "webhooks_deleted"},
		{sql: purgeStatisticsSQL, index: "statistics USING PRIMARY KEY (webhook=?)"},
		{sql: saveLastAttemptSQL, index: "sqlite_autoindex_webhooks_1 (id=?)"},
		{sql: forgetStatisticsSQL, index: "COVERING INDEX statistics_by_start (span=? AND start<?)"},
		{sql: loadAllStatisticsSQL, index: "statistics_by_start (span=? AND start>?)"},
		{sql: loadStatisticsOfSQL, index: "PRIMARY KEY (webhook=? AND span=? AND start>?)"},
		{sql: lastAttemptsSQL, index: "SEARCH l USING PRIMARY KEY (webhook=?)"},
		{sql: listKeysSQL, index: "sqlite_autoindex_api_keys_2", few: true},
		{sql: deleteKeySQL, index: "sqlite_autoindex_api_keys_2 (id=?)"},
		{sql: keyUsedSQL, index: "sqlite_autoindex_api_keys_2 (id=?)"},
		{sql: clientUsedSQL, index: "sqlite_autoindex_clients_2 (id=?)"},
		{sql: loadClientSQL, index: "PRIMARY KEY (client_id=?)"},
		{sql: listClientsSQL, index: "sqlite_autoindex_clients_2", few: true},
		{sql: deleteClientSQL, index: "sqlite_autoindex_clients_2 (id=?)"},
		{sql: forgetAssertionsSQL, index: "COVERING INDEX assertions_by_until (until<?)"},
		{sql: soonestToExpireSQL, index: "instances_open_by_expiry"},
		{sql: oldestDueSQL, index: "instances_due (webhook=? AND due_at<?)", few: true},
		{sql: oldestDueSQL, index: "instances_due (webhook>?)", few: true},
	}
	label := map[string]string{"k": "v"}
	for _, each := range []struct {
		filter riposte.InstanceFilter
		index  string
		sparse bool
	}{
		{riposte.InstanceFilter{}, "SEARCH i USING INTEGER PRIMARY KEY", false},
		{riposte.InstanceFilter{WebhookID: "w"}, "instances_by_webhook", false},
		{riposte.InstanceFilter{TicketID: "t"}, "instances_by_ticket", false},
		{riposte.InstanceFilter{SourceKind: riposte.SourceTest}, "instances_by_source", false},
		{riposte.InstanceFilter{State: riposte.StateError}, "instances_by_state", false},
		{riposte.InstanceFilter{State: riposte.StateSuccess}, "instances_by_state", false},
		{riposte.InstanceFilter{State: riposte.StateSuccess, WebhookID: "w"}, "instances_by_webhook", true},
		{riposte.InstanceFilter{State: riposte.StateFatalError, WebhookID: "w"}, "instances_by_state", true},
		{riposte.InstanceFilter{Labels: label}, "SEARCH l USING PRIMARY KEY", false},
		{riposte.InstanceFilter{Labels: map[string]string{"k": "v", "l": "w"}, TicketID: "t", State: riposte.StateError}, "SEARCH l USING PRIMARY KEY", true},
		{riposte.InstanceFilter{Created: riposte.TimeRange{From: time.Unix(1, 0)}}, "SEARCH i USING INTEGER PRIMARY KEY", false},
		{riposte.InstanceFilter{Created: riposte.TimeRange{From: time.Unix(1, 0)}, WebhookID: "w"}, "instances_by_webhook", false},
		{riposte.InstanceFilter{CreatedBy: "c"}, "SEARCH i USING INTEGER PRIMARY KEY", true},
		{riposte.InstanceFilter{CreatedBy: "c", WebhookID: "w"}, "instances_by_webhook", true},
		{riposte.InstanceFilter{Expires: riposte.TimeRange{To: time.Unix(1e9, 0)}}, "SEARCH i USING INTEGER PRIMARY KEY", true},
	} {
		for _, before := range []string{"", "b"} {
			each.filter.Before = before
			l := listingOf(each.filter)
			if l.sparse != each.sparse {
				t.Errorf("%+v leaves any number of rows to be refused: %t", each.filter, l.sparse)
			}
			between := "(rowid>? AND rowid<?)"
			switch {
			case l.byLabel():
				between = "AND instance>? AND instance<?)"
			case l.index != "":
				between = "=? AND rowid>? AND rowid<?)"
			}
			page, _ := l.page(10)
			count, _ := l.count(10)
			row, _ := l.row(10)
			for _, sql := range []string{page, count, row} {
				queries = append(queries, query{sql: sql, index: each.index})
				queries = append(queries, query{sql: sql, index: between})
			}
			if l.index != "" {
				queries = append(queries, query{sql: row, index: "COVERING INDEX " + l.index})
			}
		}
	}
	for _, q := range queries {
		plan := explain(t, s.writer.conn, q.sql)
		if !strings.Contains(plan, q.index) || !q.few && (strings.Contains(plan, "TEMP B-TREE") || scansTable(plan)) {
			t.Errorf("%s\nis not by %s:\n%s", q.sql, q.index, plan)
		}
	}
}

func explain(t *testing.T, conn *sql.Conn, query string) string {
	t.Helper()
	rows, err := conn.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+query, make([]any, strings.Count(query, "?"))...)
	if err != nil {
		t.Fatal(query, err)
	}
	steps, err := collect(rows, func(r row) (step string, err error) {
		var id, parent, unused int
		return step, r.Scan(&id, &parent, &unused, &step)
	})
	if err != nil {
		t.Fatal(query, err)
	}
	return strings.Join(steps, "\n")
}

// scansTable reports whether a plan goes through a whole table of instances,
// and not along an index.
func scansTable(plan string) bool {
	for line := range strings.Lines(plan) {
		line = strings.TrimSpace(line)
		if table, ok := strings.CutPrefix(line, "SCAN "); ok && !strings.Contains(table, "INDEX") &&
			!strings.Contains(table, "VIRTUAL TABLE") && !strings.HasPrefix(table, "(subquery") && table != "w" && table != "l" && table != "CONSTANT ROW" {
			return true
		}
	}
	return false
}

// TestFullWebhookCostsNothing counts the pages that a claim touches beside a
// backlog of ten thousand that has no room.
func TestFullWebhookCostsNothing(t *testing.T) {
	s := openStore(t, Options{})
	full, other := saveWebhook(t, s), saveWebhook(t, s)
	if _, err := s.CreateInstances(t.Context(), []riposte.NewInstanceRecord{newRecord(t, s, full, "")}); err != nil {
		t.Fatal(err)
	}
	backlog := 10_000
	if testing.Short() {
		backlog = 2_000
	}
	multiply(t, s, backlog)
	if _, err := s.CreateInstances(t.Context(), []riposte.NewInstanceRecord{newRecord(t, s, other, "")}); err != nil {
		t.Fatal(err)
	}
	request := riposte.ClaimRequest{Limit: 64, InFlight: map[string]int{full.ID: full.Settings.MaxInFlight}}
	claim := func() int {
		c, err := s.Claim(t.Context(), request)
		if err != nil {
			t.Fatal(err)
		}
		return len(c.Attempts)
	}
	pagesTouched(t, s)
	if n := claim(); n != 1 {
		t.Errorf("claimed %d, want the other webhook's one", n)
	}
	one := pagesTouched(t, s)
	claim()
	nothing := pagesTouched(t, s)
	if one > 100 || nothing > 5 {
		t.Errorf("claiming one instance touched %d pages, claiming none %d", one, nothing)
	}
}

// multiply stores n instances more like the one that is there.
func multiply(t testing.TB, s *Store, n int) {
	t.Helper()
	err := s.writer.do(t.Context(), 1, func(*tx) error {
		_, err := s.writer.conn.ExecContext(context.Background(), `WITH RECURSIVE n(k) AS (SELECT 1 UNION ALL SELECT k + 1 FROM n WHERE k < ?)
			INSERT INTO instances (id, webhook, state, attempts, version, due_at, created_at, updated_at, expires_at, source_kind, ticket_id,
			workflow_execution_id, workflow_step_id, destination, request_id, recreated_from)
			SELECT id || k, webhook, state, attempts, version, due_at, created_at, updated_at, expires_at, source_kind, ticket_id,
			workflow_execution_id, workflow_step_id, destination, request_id, recreated_from FROM n CROSS JOIN instances LIMIT ?1`, n)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// pagesTouched returns how many pages the writer has looked at since it was
// last asked.
func pagesTouched(t *testing.T, s *Store) (pages int) {
	t.Helper()
	err := s.writer.do(t.Context(), 1, func(*tx) error {
		return s.writer.conn.Raw(func(dc any) error {
			for _, counter := range []driver.DBStatusOp{driver.DBStatusCacheHit, driver.DBStatusCacheMiss} {
				n, _, err := dc.(driver.DBStatus).Status(counter, true)
				if err != nil {
					return err
				}
				pages += n
			}
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	if pages == 0 {
		t.Fatal("SQLite counts no pages")
	}
	return pages
}
