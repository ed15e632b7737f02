package postgres

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/postgres/postgrestest"
)

// openThere opens a store at where.
func openThere(t *testing.T, where string) *Store {
	t.Helper()
	s, err := Open(t.Context(), where, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// auditLog returns all entries, newest first.
func auditLog(t *testing.T, s *Store) []riposte.AuditEntry {
	t.Helper()
	entries, err := s.ListAudit(t.Context(), riposte.AuditFilter{Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	return entries
}

// TestAuditLogIsOnlyAddedTo also by whoever writes SQL.
func TestAuditLogIsOnlyAddedTo(t *testing.T) {
	t.Parallel()
	where := postgrestest.URL(t)
	s, conn := openThere(t, where), postgrestest.Connect(t, where)
	if err := s.SaveSecret(riposte.WithAudit(t.Context(), riposte.AuditEntry{}), "secret", []byte("value"), 0); err != nil {
		t.Fatal(err)
	}
	newest := auditLog(t, s)[0].CreatedAt
	for _, age := range []time.Duration{riposte.KeepAudit, riposte.KeepAudit - time.Microsecond} {
		_, err := conn.Exec(t.Context(), `INSERT INTO audit SELECT $1, $2, actor, actor_name, role, remote_address, operation, target, detail FROM audit LIMIT 1`,
			riposte.NewID(newest.Add(-age)), newest.Add(-age).UnixMicro())
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, query := range []string{
		`UPDATE audit SET actor = 'another'`,
		`INSERT INTO audit SELECT * FROM audit ON CONFLICT (id) DO UPDATE SET detail = 'changed'`,
		`TRUNCATE audit`,
		`DELETE FROM audit`,
		`DELETE FROM audit WHERE created_at > ` + fmt.Sprint(newest.Add(-riposte.KeepAudit).UnixMicro()),
	} {
		if _, err := conn.Exec(t.Context(), query); err == nil || !strings.Contains(err.Error(), "an entry of the audit log") {
			t.Errorf("%s: %v", query, err)
		}
	}
	removed, err := conn.Exec(t.Context(), `DELETE FROM audit WHERE created_at <= $1`, newest.Add(-riposte.KeepAudit).UnixMicro())
	if err != nil || removed.RowsAffected() != 1 {
		t.Errorf("%d of those that may go went, %v; want 1", removed.RowsAffected(), err)
	}
}

// TestAuditThatFailsTakesItsChangeBack and nothing of what shares its commit, whatever
// kind of change it is.
func TestAuditThatFailsTakesItsChangeBack(t *testing.T) {
	t.Parallel()
	where := postgrestest.URL(t)
	s := openThere(t, where)
	_, err := postgrestest.Connect(t, where).Exec(t.Context(), `ALTER TABLE audit ADD CONSTRAINT no_room CHECK (operation <> 'fails')`)
	if err != nil {
		t.Fatal(err)
	}
	w, request := saveWebhook(t, s), riposte.InstanceRequest{Source: riposte.Source{Kind: riposte.SourceTest}}
	var batch []*op
	for _, operation := range []string{"stays", "fails"} {
		audit := &riposte.AuditEntry{Operation: operation}
		canceled, err := createWith(t, s, w, request).Advance(riposte.Canceled{}, s.Now())
		if err != nil {
			t.Fatal(err)
		}
		i, e, err := riposte.NewInstance(w, request, func(id string) string { return id }, s.Now())
		if err != nil {
			t.Fatal(err)
		}
		c, err := riposte.NewConsumer(operation, riposte.OutcomeFilter{}, 0, s.Now())
		if err != nil {
			t.Fatal(err)
		}
		values, err := consumerValues(c)
		if err != nil {
			t.Fatal(err)
		}
		batch = append(batch,
			&op{What: change{save: &saving{instance: canceled}, audit: audit}},
			&op{What: change{create: &creation{records: []riposte.NewInstanceRecord{{Instance: i, Envelope: e}}, labels: make([]*string, 1)}, audit: audit}},
			&op{What: change{run: func(t *tx) error { return t.saveConsumer(c, values) }, audit: audit}})
	}
	// Nobody else asks the writer for anything.
	s.writer.commit(batch)
	for n, o := range batch {
		if (o.Err != nil) != (n >= 3) {
			t.Errorf("op %d: %v", n, o.Err)
		}
	}
	var targets []string
	for _, e := range auditLog(t, s) {
		targets = append(targets, e.Target)
	}
	stay, fail := batch[1].What.create.records[0].Instance, batch[4].What.create.records[0].Instance
	if want := []string{"", stay.ID, batch[0].What.save.instance.ID}; strings.Join(targets, " ") != strings.Join(want, " ") {
		t.Errorf("entries are about %q, want %q", targets, want)
	}
	if i, err := s.LoadInstance(t.Context(), batch[3].What.save.instance.ID); err != nil || i.State.Closed() {
		t.Errorf("what could not be noted was saved: %+v, %v", i, err)
	}
	if _, err := s.LoadInstance(t.Context(), fail.ID); !errors.Is(err, riposte.ErrInstanceNotFound) {
		t.Errorf("what could not be noted was created: %v", err)
	}
	if all, err := s.ListConsumers(t.Context()); err != nil || len(all) != 1 || all[0].Name != "stays" {
		t.Errorf("consumers are %+v, %v", all, err)
	}
	if err := s.SaveSecret(riposte.WithAudit(t.Context(), riposte.AuditEntry{Operation: "fails"}), "secret", []byte("value"), 0); err == nil {
		t.Error("a secret is saved that could not be noted")
	}
	if _, err := s.LoadSecret(t.Context(), "secret"); !errors.Is(err, riposte.ErrSecretNotFound) {
		t.Errorf("a secret is there that could not be noted: %v", err)
	}
}

// TestAuditTakesAnyText though PostgreSQL doesn't.
func TestAuditTakesAnyText(t *testing.T) {
	t.Parallel()
	s := openThere(t, postgrestest.URL(t))
	e := riposte.AuditEntry{Target: "a\x00b", Detail: "\xff"}
	if err := s.SaveSecret(riposte.WithAudit(t.Context(), e), "secret", []byte("value"), 0); err != nil {
		t.Fatal(err)
	}
	if got := auditLog(t, s); len(got) != 1 || got[0].Target != "a\uFFFDb" || got[0].Detail != "\uFFFD" {
		t.Errorf("the entries are %+v", got)
	}
}
