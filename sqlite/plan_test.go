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
	type query struct{ sql, index string }
	queries := []query{
		{dueInLaneSQL, "instances_due"},
		{laneDueSQL, "instances_due"},
		{expiredSQL, "instances_open_by_expiry"},
		{firstExpirySQL, "instances_open_by_expiry"},
		{purgeableSQL, "instances_closed_by_expiry"},
		{requestedBeforeSQL, "instances_request"},
		{loadNumberedSQL, "INTEGER PRIMARY KEY"},
		{loadEnvelopesSQL, "INTEGER PRIMARY KEY"},
		{loadInstanceSQL, "INTEGER PRIMARY KEY"},
		{loadEnvelopeSQL, "INTEGER PRIMARY KEY"},
		{loadAttemptsSQL, "PRIMARY KEY"},
		{loadLanesSQL, "instances_due"},
		{keepOpenSQL, "INTEGER PRIMARY KEY"},
		{closeInstanceSQL, "INTEGER PRIMARY KEY"},
		{handOverSQL, "INTEGER PRIMARY KEY"},
		{pushesDueSQL, "instances_push_due"},
		{pushLaneDueSQL, "instances_push_due"},
		{loadPushLanesSQL, "instances_push_due"},
		{releasePushLeasesSQL, "instances_by_state"},
		{insertAttemptSQL, "INTEGER PRIMARY KEY"},
		{countSQL, "instances_by_state"},
		{releaseLeasesSQL, "instances_by_state"},
		{purgeSQL, "INTEGER PRIMARY KEY"},
		{notePurgedSQL, "INTEGER PRIMARY KEY"},
		{purgeOutcomesSQL, "outcomes USING INTEGER PRIMARY KEY"},
		{purgeLabelsSQL, "PRIMARY KEY"},
		{purgeWebhooksSQL, "webhooks_deleted"},
	}
	label := map[string]string{"k": "v"}
	for _, each := range []struct {
		filter riposte.InstanceFilter
		index  string
	}{
		// Its page is the table's end.
		{riposte.InstanceFilter{}, wholeTable},
		{riposte.InstanceFilter{WebhookID: "w"}, "instances_by_webhook"},
		{riposte.InstanceFilter{TicketID: "t"}, "instances_by_ticket"},
		{riposte.InstanceFilter{SourceKind: riposte.SourceTest}, "instances_by_source"},
		{riposte.InstanceFilter{State: riposte.StateError}, "instances_by_state"},
		{riposte.InstanceFilter{State: riposte.StateSuccess}, "instances_by_state"},
		{riposte.InstanceFilter{State: riposte.StateSuccess, WebhookID: "w"}, "instances_by_webhook"},
		{riposte.InstanceFilter{Labels: label}, "SEARCH l USING PRIMARY KEY"},
		{riposte.InstanceFilter{Labels: map[string]string{"k": "v", "l": "w"}, TicketID: "t", State: riposte.StateError}, "SEARCH l USING PRIMARY KEY"},
		{riposte.InstanceFilter{Created: riposte.TimeRange{From: time.Unix(1, 0)}}, "SEARCH i USING INTEGER PRIMARY KEY"},
		{riposte.InstanceFilter{Expires: riposte.TimeRange{To: time.Unix(1e9, 0)}}, "SEARCH i USING INTEGER PRIMARY KEY"},
	} {
		for _, before := range []string{"", "b"} {
			each.filter.Before = before
			sql, _ := listQuery(each.filter)
			if before != "" && each.index == wholeTable {
				each.index = "SEARCH i USING INTEGER PRIMARY KEY"
			}
			queries = append(queries, query{sql, each.index})
		}
	}
	for _, q := range queries {
		plan := explain(t, s.writer.conn, q.sql)
		if !strings.Contains(plan, q.index) || strings.Contains(plan, "TEMP B-TREE") || scansTable(plan) && q.index != wholeTable {
			t.Errorf("%s\nis not by %s:\n%s", q.sql, q.index, plan)
		}
	}
}

// wholeTable is the plan that walks the instances by their numbers.
const wholeTable = "SCAN i"

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
			!strings.Contains(table, "VIRTUAL TABLE") && table != "w" && table != "l" && table != "CONSTANT ROW" {
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
func multiply(t *testing.T, s *Store, n int) {
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
