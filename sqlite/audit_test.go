package sqlite

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/riposte-dev/riposte"
)

// note has an entry written with a change, at a time of the store's.
func note(t testing.TB, s *Store) {
	t.Helper()
	err := s.SaveSecret(riposte.WithAudit(t.Context(), riposte.AuditEntry{Operation: "note"}), riposte.NewID(s.Now()), []byte("value"), 0)
	if err != nil {
		t.Fatal(err)
	}
}

// TestAuditLogIsOnlyAddedTo also by whoever writes SQL.
func TestAuditLogIsOnlyAddedTo(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	s := openStore(t, Options{Now: func() time.Time { return now }})
	note(t, s)
	for _, age := range []time.Duration{riposte.KeepAudit, riposte.KeepAudit - time.Microsecond} {
		id := riposte.NewID(now.Add(-age)) // is never forgotten by the store, which has seen to that time
		_, err := s.writer.conn.ExecContext(t.Context(), `INSERT INTO audit SELECT ?, ?, actor, actor_name, role, remote_address, operation, target, detail FROM audit LIMIT 1`,
			id, now.Add(-age).UnixMicro())
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, query := range []string{
		`UPDATE audit SET actor = 'another'`,
		`UPDATE audit SET id = 'another'`,
		`REPLACE INTO audit SELECT * FROM audit`,
		`INSERT INTO audit SELECT * FROM audit WHERE true ON CONFLICT (id) DO UPDATE SET detail = 'changed'`,
		`DELETE FROM audit`,
		`DELETE FROM audit WHERE created_at > ` + fmt.Sprint(now.Add(-riposte.KeepAudit).UnixMicro()),
	} {
		if _, err := s.writer.conn.ExecContext(t.Context(), query); err == nil || !strings.Contains(err.Error(), "an entry of the audit log") {
			t.Errorf("%s: %v", query, err)
		}
	}
	removed, err := s.writer.conn.ExecContext(t.Context(), `DELETE FROM audit WHERE created_at <= ?`, now.Add(-riposte.KeepAudit).UnixMicro())
	if err != nil {
		t.Fatal(err)
	}
	if n, _ := removed.RowsAffected(); n != 1 {
		t.Errorf("%d of those that may go went, want 1", n)
	}
}

// TestAuditIsByItsIndexes whatever is asked for.
func TestAuditIsByItsIndexes(t *testing.T) {
	s := openStore(t, Options{})
	for _, each := range []struct {
		filter riposte.AuditFilter
		index  string
	}{
		{riposte.AuditFilter{}, "PRIMARY KEY (id>?)"},
		{riposte.AuditFilter{Before: "b"}, "PRIMARY KEY (id>? AND id<?)"},
		{riposte.AuditFilter{Created: riposte.TimeRange{From: time.Unix(1, 0), To: time.Unix(2, 0)}}, "PRIMARY KEY (id>? AND id<?)"},
		{riposte.AuditFilter{Actor: "a"}, "audit_by_actor (actor=? AND id>?)"},
		{riposte.AuditFilter{Operation: "o", Before: "b"}, "audit_by_operation (operation=? AND id>? AND id<?)"},
		{riposte.AuditFilter{Target: "t", Actor: "a", Operation: "o"}, "audit_by_target (target=? AND id>?)"},
		{riposte.AuditFilter{Actor: "a", Operation: "o"}, "audit_by_actor (actor=? AND id>?)"},
	} {
		query, _ := auditQuery(each.filter)
		plan := explain(t, s.writer.conn, query)
		if !strings.Contains(plan, each.index) || strings.Contains(plan, "TEMP B-TREE") {
			t.Errorf("%+v is not by %s:\n%s", each.filter, each.index, plan)
		}
	}
	if plan := explain(t, s.writer.conn, forgetAuditSQL); !strings.Contains(plan, "PRIMARY KEY (id<?)") || strings.Contains(plan, "TEMP B-TREE") {
		t.Errorf("what is too old is not found by its index:\n%s", plan)
	}
}

// TestAuditThatFailsTakesItsChangeBack and nothing of what shares its commit.
func TestAuditThatFailsTakesItsChangeBack(t *testing.T) {
	s := openStore(t, Options{})
	_, err := s.writer.conn.ExecContext(t.Context(), `CREATE TRIGGER full BEFORE INSERT ON audit WHEN NEW.operation = 'fails' BEGIN SELECT RAISE(ABORT, 'no room'); END`)
	if err != nil {
		t.Fatal(err)
	}
	w := saveWebhook(t, s)
	release := hold(t, s)
	answers := make([]chan error, 4)
	records := make([]riposte.NewInstanceRecord, len(answers))
	for k := range answers {
		answers[k], records[k] = make(chan error, 1), newRecord(t, s, w, "")
		ctx := riposte.WithAudit(t.Context(), riposte.AuditEntry{Operation: []string{"stays", "fails"}[k%2]})
		go func() {
			_, err := s.CreateInstances(ctx, records[k:k+1])
			answers[k] <- err
		}()
		queued(t, s, k+1)
	}
	release()
	for k, answer := range answers {
		err := <-answer
		_, loadErr := s.LoadInstance(t.Context(), records[k].Instance.ID)
		if failed := k%2 == 1; (err != nil) != failed || (loadErr != nil) != failed {
			t.Errorf("create %d: %v; then %v", k, err, loadErr)
		}
	}
	s.writer.drain()
	if got := s.writer.commits; got != 3 { // the webhook's, the one that held, and theirs
		t.Errorf("%d commits, want 3", got)
	}
	entries, err := s.ListAudit(t.Context(), riposte.AuditFilter{Limit: 10})
	if err != nil || len(entries) != 2 || entries[1].Target != records[0].Instance.ID || entries[0].Target != records[2].Instance.ID {
		t.Errorf("the entries are %+v, %v", entries, err)
	}
}
