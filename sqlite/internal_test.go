package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/riposte-dev/riposte"
)

func openStore(t testing.TB, opts Options) *Store {
	t.Helper()
	s, err := Open(t.Context(), t.TempDir(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil && s.writer.broken == nil {
			t.Error(err)
		}
	})
	return s
}

func saveWebhook(t testing.TB, s *Store) riposte.Webhook {
	t.Helper()
	w, err := riposte.NewWebhook("w", "", "https://receiver.example", 0, func(string) (string, error) { return "receiver.example", nil }, s.Now())
	if err == nil {
		w, err = s.SaveWebhook(t.Context(), w)
	}
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func newRecord(t testing.TB, s *Store, w riposte.Webhook, payload string) riposte.NewInstanceRecord {
	t.Helper()
	i, e, err := riposte.NewInstance(w, riposte.InstanceRequest{
		Source:  riposte.Source{Kind: riposte.SourceApprovalStep, TicketID: "t"},
		Payload: fmt.Appendf(nil, `{"a":%q}`, payload),
	}, func(id string) string { return "https://riposte.example/" + id }, s.Now())
	if err != nil {
		t.Fatal(err)
	}
	return riposte.NewInstanceRecord{Instance: i, Envelope: e}
}

// hold keeps the writer busy until the returned function is called.
func hold(t *testing.T, s *Store) (release func()) {
	t.Helper()
	begun, free, done := make(chan struct{}), make(chan struct{}), make(chan error)
	go func() {
		done <- s.writer.do(context.Background(), maxBatchWeight, func(*tx) error {
			close(begun)
			<-free
			return nil
		})
	}()
	<-begun
	return func() {
		close(free)
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// queued waits until n ops are in the queue.
func queued(t *testing.T, s *Store, n int) {
	t.Helper()
	for s.writer.queue.Len() < n {
		if t.Context().Err() != nil {
			t.Fatal("the queue does not fill")
		}
		runtime.Gosched()
	}
}

func TestWaitingOpsShareOneCommit(t *testing.T) {
	s := openStore(t, Options{})
	w := saveWebhook(t, s)
	const n = 64
	release := hold(t, s)
	answers := make(chan error, n)
	for range n {
		r := newRecord(t, s, w, "")
		go func() {
			_, err := s.CreateInstances(context.Background(), []riposte.NewInstanceRecord{r})
			answers <- err
		}()
	}
	queued(t, s, n)
	release()
	for range n {
		if err := <-answers; err != nil {
			t.Error(err)
		}
	}
	s.writer.drain()
	if got := s.writer.commits; got != 3 { // the webhook's, the one that held, and theirs
		t.Errorf("%d commits, want 3", got)
	}
}

func TestOneOpsFailureIsItsOwn(t *testing.T) {
	s := openStore(t, Options{})
	w := saveWebhook(t, s)
	good, bad := newRecord(t, s, w, "good"), newRecord(t, s, w, "bad")
	bad.Instance.State = "NONSENSE"
	release := hold(t, s)
	answers := make([]chan error, 3)
	for k, records := range [][]riposte.NewInstanceRecord{{good}, {newRecord(t, s, w, "also lost"), bad}, {newRecord(t, s, w, "good too")}} {
		answers[k] = make(chan error, 1)
		go func() {
			_, err := s.CreateInstances(context.Background(), records)
			answers[k] <- err
		}()
		queued(t, s, k+1)
	}
	release()
	for k, wantErr := range []bool{false, true, false} {
		if err := <-answers[k]; (err != nil) != wantErr {
			t.Errorf("op %d: error is %v", k, err)
		}
	}
	page, err := s.ListInstances(t.Context(), riposte.InstanceFilter{Limit: 10})
	if err != nil || len(page.Instances) != 2 {
		t.Errorf("there are %d instances (%v), want 2", len(page.Instances), err)
	}
}

func TestOpIsNotBegunAfterItsContextEnded(t *testing.T) {
	s := openStore(t, Options{})
	w := saveWebhook(t, s)
	r := newRecord(t, s, w, "")
	release := hold(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	answer := make(chan error)
	go func() {
		_, err := s.CreateInstances(ctx, []riposte.NewInstanceRecord{r})
		answer <- err
	}()
	queued(t, s, 1)
	cancel()
	if err := <-answer; !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v, want context.Canceled", err)
	}
	release()
	if err := s.Check(t.Context()); err != nil { // after which the canceled op has had its turn
		t.Fatal(err)
	}
	if _, err := s.LoadInstance(t.Context(), r.Instance.ID); !errors.Is(err, riposte.ErrInstanceNotFound) {
		t.Errorf("the canceled op was executed (%v)", err)
	}
}

func TestCloseWaitsForWhatIsUnderWay(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	r := newRecord(t, s, saveWebhook(t, s), "")
	release := hold(t, s)
	created, closed := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := s.CreateInstances(context.Background(), []riposte.NewInstanceRecord{r})
		created <- err
	}()
	queued(t, s, 1)
	go func() { closed <- s.Close() }()
	release()
	if err := errors.Join(<-created, <-closed); err != nil {
		t.Fatal(err)
	}
	if err := s.Check(t.Context()); !errors.Is(err, riposte.ErrUnavailable) {
		t.Errorf("after Close: %v, want ErrUnavailable", err)
	}
	if s, err = Open(t.Context(), dir, Options{}); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.LoadInstance(t.Context(), r.Instance.ID); err != nil {
		t.Error(err)
	}
}

func TestDiskFullIsUnavailableUntilThereIsRoom(t *testing.T) {
	s := openStore(t, Options{Fatal: func(err error) { t.Errorf("fatal: %v", err) }})
	w := saveWebhook(t, s)
	limitPages(t, s, "PRAGMA main.page_count")
	large := newRecord(t, s, w, strings.Repeat("x", 500_000))
	if _, err := s.CreateInstances(t.Context(), []riposte.NewInstanceRecord{large}); !errors.Is(err, riposte.ErrUnavailable) {
		t.Fatalf("error is %v, want ErrUnavailable", err)
	}
	if page, err := s.ListInstances(t.Context(), riposte.InstanceFilter{Limit: 10}); err != nil || len(page.Instances) != 0 {
		t.Errorf("after the failure there are %d instances (%v)", len(page.Instances), err)
	}
	limitPages(t, s, "SELECT 1000000")
	created, err := s.CreateInstances(t.Context(), []riposte.NewInstanceRecord{large})
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.Claim(t.Context(), riposte.ClaimRequest{Limit: 10})
	if err != nil || len(c.Attempts) != 1 || c.Attempts[0].Instance.ID != created[0].ID {
		t.Errorf("claimed %d (%v), want what was created", len(c.Attempts), err)
	}
}

// limitPages sets how many pages the database may have: as many as query says.
func limitPages(t *testing.T, s *Store, query string) {
	t.Helper()
	var n int
	if err := s.readers.QueryRowContext(t.Context(), query).Scan(&n); err != nil {
		t.Fatal(err)
	}
	if err := s.writer.conn.QueryRowContext(t.Context(), fmt.Sprintf("PRAGMA max_page_count = %d", n)).Scan(&n); err != nil {
		t.Fatal(err)
	}
}

func TestFailedCommitStopsTheProcess(t *testing.T) {
	var fatal error
	s := openStore(t, Options{Fatal: func(err error) { fatal = err }})
	w := saveWebhook(t, s)
	// A COMMIT that fails, though not by fsync: a reference that is checked late.
	err := s.writer.do(t.Context(), 1, func(t *tx) error {
		for _, query := range []string{"PRAGMA defer_foreign_keys = 1", "DELETE FROM webhooks", "INSERT INTO envelopes VALUES (1, 0, x'')"} {
			if _, err := s.writer.conn.ExecContext(context.Background(), query); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil || errors.Is(err, riposte.ErrUnavailable) {
		t.Errorf("error is %v: nobody can know that nothing was committed", err)
	}
	if fatal == nil {
		t.Error("Fatal was not called")
	}
	if _, err := s.SaveWebhook(t.Context(), w); err == nil {
		t.Error("the store went on")
	}
}

func TestDurabilityIsAsserted(t *testing.T) {
	for pragma, refused := range map[string]bool{
		"synchronous(FULL)":    false,
		"synchronous(NORMAL)":  true,
		"journal_mode(DELETE)": true,
		"foreign_keys(0)":      true,
	} {
		db, err := sql.Open("sqlite", dsn(filepath.Join(t.TempDir(), FileName), "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)"))
		if err != nil {
			t.Fatal(err)
		}
		conn, err := db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.ExecContext(t.Context(), "PRAGMA "+pragma); err != nil {
			t.Fatal(err)
		}
		if err := assertDurable(t.Context(), conn); (err != nil) != refused {
			t.Errorf("%s: error is %v", pragma, err)
		}
		_ = conn.Close()
		_ = db.Close()
	}
}

func TestOldSQLiteIsRefused(t *testing.T) {
	for version, refused := range map[string]bool{
		"3.51.2": true, "3.50.9": true, "2.99.99": true, "nonsense": true,
		"3.51.3": false, "3.51.10": false, "3.52.0": false, "4.0.0": false,
	} {
		if err := checkVersion(version); (err != nil) != refused {
			t.Errorf("%s: error is %v", version, err)
		}
	}
}

func TestNewerDataIsRefused(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.writer.conn.ExecContext(t.Context(), "INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)"); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), dir, Options{}); err == nil || !strings.Contains(err.Error(), "9999") {
		t.Errorf("error is %v, want one that names the version", err)
	}
}

func TestReadersCannotWrite(t *testing.T) {
	s := openStore(t, Options{})
	if _, err := s.readers.ExecContext(t.Context(), "DELETE FROM webhooks"); err == nil {
		t.Error("a reader wrote")
	}
}

func TestLogIsCheckpointedWhileTheStoreIsOpen(t *testing.T) {
	s := openStore(t, Options{})
	<-s.writer.counts.finished // a snapshot from before the pages, past which none is copied
	saveWebhook(t, s)
	if logged, copied := logPages(t, s); logged == 0 || copied != 0 {
		t.Fatalf("at first %d of %d pages were copied", copied, logged)
	}
	err := s.writer.do(t.Context(), 1, func(*tx) error {
		s.writer.checkpoints.pages = checkpointPages // as if it had written that many
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	s.writer.drain() // and with it the checkpointer
	if logged, copied := logPages(t, s); copied != logged {
		t.Errorf("%d of %d pages were copied", copied, logged)
	}
}

func TestWriterFinishesTheCheckpointOfALongLog(t *testing.T) {
	s := openStore(t, Options{})
	for range 5 {
		saveWebhook(t, s)
	}
	before, _ := logPages(t, s)
	c := s.writer.checkpoints
	err := s.writer.do(t.Context(), 1, func(*tx) error {
		c.pages = checkpointPages
		c.long.Store(true)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	saveWebhook(t, s) // finds the log copied to its end, and starts it over
	if after, _ := logPages(t, s); after >= before {
		t.Errorf("the log had %d pages and has %d", before, after)
	}
}

// logPages returns how many pages are in the log, and how many of them in the
// database too.
func logPages(t *testing.T, s *Store) (logged, copied int) {
	t.Helper()
	var busy int
	if err := s.readers.QueryRowContext(t.Context(), "PRAGMA wal_checkpoint(NOOP)").Scan(&busy, &logged, &copied); err != nil {
		t.Fatal(err)
	}
	return logged, copied
}

func TestSteadyClockIsTheDefault(t *testing.T) {
	s := openStore(t, Options{})
	if d := time.Since(s.Now()); d < 0 || d > time.Minute {
		t.Errorf("the store's time is off by %v", d)
	}
}

// TestCancelHoldsForWhatWaits is about changes that were committed, but not
// told of yet.
func TestCancelHoldsForWhatWaits(t *testing.T) {
	s := openStore(t, Options{})
	w := saveWebhook(t, s)
	begun, free := make(chan struct{}, 3), make(chan struct{})
	defer s.Subscribe(func(riposte.Instance) {
		begun <- struct{}{}
		<-free
	})()
	told := 0
	cancel := s.Subscribe(func(riposte.Instance) { told++ })
	for range 3 {
		if _, err := s.CreateInstances(t.Context(), []riposte.NewInstanceRecord{newRecord(t, s, w, "")}); err != nil {
			t.Fatal(err)
		}
	}
	<-begun
	cancel()
	close(free)
	s.writer.drain()
	if told != 0 {
		t.Errorf("told of %d changes after it had canceled", told)
	}
}

func TestAnIDIsTakenOnce(t *testing.T) {
	s := openStore(t, Options{})
	r := []riposte.NewInstanceRecord{newRecord(t, s, saveWebhook(t, s), "")}
	if _, err := s.CreateInstances(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if _, err := s.CreateInstances(t.Context(), r); !errors.Is(err, riposte.ErrConflict) {
		t.Errorf("error is %v, want ErrConflict", err)
	}
}

// TestPurgeLeavesNothing looks into every table, because some rows could never
// be seen again.
func TestPurgeLeavesNothing(t *testing.T) {
	s := openStore(t, Options{})
	w := saveWebhook(t, s)
	r := newRecord(t, s, w, "")
	r.Instance.Labels = map[string]string{"k": "v", "l": "\x00\"w"}
	if _, err := s.CreateInstances(t.Context(), []riposte.NewInstanceRecord{r}); err != nil {
		t.Fatal(err)
	}
	c, err := s.Claim(t.Context(), riposte.ClaimRequest{Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	next, err := c.Attempts[0].Instance.Advance(riposte.Canceled{}, s.Now())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.SaveInstance(t.Context(), next, &riposte.Attempt{Number: 1, StartedAt: s.Now()}); err != nil {
		t.Fatal(err)
	}
	w.Delete(s.Now())
	if _, err := s.SaveWebhook(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	for _, want := range []int{1, 0} {
		for _, table := range []string{"instances", "envelopes", "attempts", "outcomes", "labels", "webhooks"} {
			var n int
			if err := s.readers.QueryRowContext(t.Context(), "SELECT count(*) FROM "+table).Scan(&n); err != nil {
				t.Fatal(err)
			}
			if n > 0 != (want > 0) {
				t.Errorf("%s has %d rows", table, n)
			}
		}
		if _, err := s.PurgeInstances(t.Context(), next.ExpiresAt.Add(time.Hour), 10); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.LoadWebhook(t.Context(), w.ID); !errors.Is(err, riposte.ErrWebhookNotFound) {
		t.Errorf("loading the purged webhook: %v", err)
	}
}

func TestPassedAssertionsAreForgotten(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	s := openStore(t, Options{Now: func() time.Time { return now }})
	until := now.Add(time.Minute)
	for _, id := range []string{"a", "b", "c"} {
		if err := s.UseAssertion(t.Context(), id, until); err != nil {
			t.Fatal(err)
		}
	}
	for _, each := range []struct {
		now  time.Time
		want int
	}{{until.Add(-time.Microsecond), 4}, {until, 2}} {
		now = each.now
		if err := s.UseAssertion(t.Context(), now.String(), now.Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		var n int
		if err := s.readers.QueryRowContext(t.Context(), "SELECT count(*) FROM assertions").Scan(&n); err != nil || n != each.want {
			t.Errorf("at %s there are %d, %v; want %d", now, n, err, each.want)
		}
	}
}
