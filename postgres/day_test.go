package postgres

import (
	"context"
	"testing"
	"time"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/postgres/postgrestest"
)

// TestDayIsDroppedOnceAllOfItHasExpired goes through a day's life by a clock of
// its own: nothing open and nothing young is dropped, and what is dropped leaves
// nothing behind.
func TestDayIsDroppedOnceAllOfItHasExpired(t *testing.T) {
	t.Parallel()
	now := time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC)
	s, where := openAt(t, &now)
	w := saveWebhook(t, s)
	closed := make([]riposte.Instance, 3)
	for n := range closed {
		i := createWith(t, s, w, riposte.InstanceRequest{Source: riposte.Source{Kind: riposte.SourceApprovalStep, TicketID: "t"},
			Labels: map[string]string{"k": "v"}, RequestID: string(rune('a' + n))})
		closed[n] = cancelInstance(t, s, i)
	}
	open := createWith(t, s, w, riposte.InstanceRequest{Source: riposte.Source{Kind: riposte.SourceTest}})
	now = now.AddDate(0, 0, 1)
	nextDay := cancelInstance(t, s, createWith(t, s, w, riposte.InstanceRequest{Source: riposte.Source{Kind: riposte.SourceTest}}))

	purge := func(at time.Time, want int) {
		t.Helper()
		if n, err := s.PurgeInstances(t.Context(), at, 200); err != nil || n != want {
			t.Errorf("purging what expired before %s removed %d, want %d (%v)", at, n, want, err)
		}
	}
	purge(closed[0].ExpiresAt, 0)
	purge(closed[0].ExpiresAt.AddDate(0, 1, 0), 1) // the day after: nothing is open in it
	if _, err := s.LoadInstance(t.Context(), nextDay.ID); err == nil {
		t.Error("the day after is still there")
	}
	cancelInstance(t, s, open)
	purge(open.ExpiresAt, 0) // which does not count as before
	purge(open.ExpiresAt.Add(time.Microsecond), 4)
	for _, i := range append(closed, open) {
		if _, err := s.LoadInstance(t.Context(), i.ID); err == nil {
			t.Errorf("%s is still there", i.ID)
		}
	}
	conn := postgrestest.Connect(t, where)
	for _, table := range append([]string{"requests", "open"}, dayTables...) {
		var n int
		if err := conn.QueryRow(t.Context(), `SELECT count(*) FROM `+table).Scan(&n); err != nil || n != 0 {
			t.Errorf("%s still has %d rows (%v)", table, n, err)
		}
	}
	counts, err := s.CountInstances(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for state, n := range counts {
		if n != 0 {
			t.Errorf("%d are counted in %s", n, state)
		}
	}
}

// TestReaderHoldsNobodyUpThroughADrop has a query that reads for as long as it
// likes: the day stays meanwhile, and goes later.
func TestReaderHoldsNobodyUpThroughADrop(t *testing.T) {
	t.Parallel()
	now := time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC)
	s, where := openAt(t, &now)
	w := saveWebhook(t, s)
	i := cancelInstance(t, s, createWith(t, s, w, riposte.InstanceRequest{Source: riposte.Source{Kind: riposte.SourceTest}}))
	reader, err := postgrestest.Connect(t, where).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Rollback(context.Background())
	if _, err := reader.Exec(t.Context(), `SELECT count(*) FROM instances, outcomes`); err != nil {
		t.Fatal(err)
	}
	after := i.ExpiresAt.Add(time.Second)
	if n, err := s.PurgeInstances(t.Context(), after, 200); err != nil || n != 0 {
		t.Errorf("removed %d beside a reader (%v)", n, err)
	}
	now = now.AddDate(0, 0, 1)
	createWith(t, s, w, riposte.InstanceRequest{Source: riposte.Source{Kind: riposte.SourceTest}})
	if err := reader.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n, err := s.PurgeInstances(t.Context(), after, 200); err != nil || n != 1 {
		t.Errorf("removed %d afterwards (%v)", n, err)
	}
}

// TestDaysAreMadeBesideAFullDefaultPartition has instances of a day that has no
// partition. Those to come are attached without going through these each time.
func TestDaysAreMadeBesideAFullDefaultPartition(t *testing.T) {
	t.Parallel()
	now := time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC)
	where := postgrestest.URL(t)
	s, err := Open(t.Context(), where, Options{Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	w := saveWebhook(t, s)
	createWith(t, s, w, riposte.InstanceRequest{Source: riposte.Source{Kind: riposte.SourceTest}})
	if err := s.makeDays(t.Context(), now, daysAhead); err != nil {
		t.Fatal(err)
	}
	now = now.AddDate(0, 0, 1)
	createWith(t, s, w, riposte.InstanceRequest{Source: riposte.Source{Kind: riposte.SourceTest}})
	if err := s.Close(); err != nil { // whose connections then tell what they did
		t.Fatal(err)
	}
	conn := postgrestest.Connect(t, where)
	count := func(query string) (n int) {
		t.Helper()
		if err := conn.QueryRow(t.Context(), query).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := count(`SELECT count(*) FROM instances_20310507`); n != 1 {
		t.Errorf("the next day's partition has %d instances, want 1", n)
	}
	if n := count(`SELECT count(*) FROM pg_constraint WHERE conname = 'vouched' AND connamespace = current_schema()::regnamespace`); n != 0 {
		t.Errorf("%d constraints are left over", n)
	}
	const readSQL = `SELECT seq_tup_read FROM pg_stat_user_tables WHERE relid = 'instances_default'::regclass`
	read := count(readSQL)
	for tries := 0; read == 0 && tries < 100; tries++ {
		time.Sleep(100 * time.Millisecond)
		read = count(readSQL)
	}
	if read != 1 {
		t.Errorf("the one row of the default partition was read %d times, want once", read)
	}
}

// openAt opens a store by the clock that the test sets, with that day's partitions.
func openAt(t *testing.T, now *time.Time) (s *Store, where string) {
	t.Helper()
	where = postgrestest.URL(t)
	s, err := Open(t.Context(), where, Options{Now: func() time.Time { return *now }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if err := s.makeDays(t.Context(), *now, daysAhead); err != nil {
		t.Fatal(err)
	}
	return s, where
}

func createWith(t *testing.T, s *Store, w riposte.Webhook, r riposte.InstanceRequest) riposte.Instance {
	t.Helper()
	r.Payload = []byte(`{}`)
	i, e, err := riposte.NewInstance(w, r, func(id string) string { return "https://riposte.example/callback/" + id }, s.Now())
	if err != nil {
		t.Fatal(err)
	}
	created, err := s.CreateInstances(t.Context(), []riposte.NewInstanceRecord{{Instance: i, Envelope: e}})
	if err != nil {
		t.Fatal(err)
	}
	return created[0]
}

func cancelInstance(t *testing.T, s *Store, i riposte.Instance) riposte.Instance {
	t.Helper()
	next, err := i.Advance(riposte.Canceled{}, s.Now())
	if err == nil {
		next, err = s.SaveInstance(t.Context(), next, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	return next
}

func saveWebhook(t *testing.T, s *Store) riposte.Webhook {
	t.Helper()
	w, err := riposte.NewWebhook("webhook", "", "https://receiver.example/hook", 0, func(string) (string, error) { return "receiver.example", nil }, s.Now())
	if err == nil {
		w, err = s.SaveWebhook(t.Context(), w)
	}
	if err != nil {
		t.Fatal(err)
	}
	return w
}
