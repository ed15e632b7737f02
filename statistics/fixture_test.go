package statistics

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/sqlite"
)

// The tests count over a real store on disk in a bubble of synctest, whose clock begins
// with a day and goes on only when everybody waits.

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// in runs a test in a bubble.
func in(t *testing.T, test func(*testing.T)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, test)
}

// pass lets d go by, and then all that follows at that moment happen.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

var quiet = slog.New(slog.DiscardHandler)

func openStore(t testing.TB) riposte.Store {
	t.Helper()
	s, err := sqlite.Open(context.Background(), t.TempDir(), sqlite.Options{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// start runs a collector; stop ends it cleanly. The test's end stops it too.
func start(t testing.TB, s riposte.Store, changes ...func(*Options)) (c *Collector, stop func()) {
	t.Helper()
	o := Options{Store: s, Logger: quiet}
	for _, change := range changes {
		change(&o)
	}
	c = New(o)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { c.Run(ctx) })
	stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
		if err := c.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return c, stop
}

func newWebhook(t testing.TB, s riposte.Store) riposte.Webhook {
	t.Helper()
	check := func(string) (string, error) { return "receiver.test", nil }
	w, err := riposte.NewWebhook("receiver", "", "https://receiver.test/", 0, check, s.Now())
	if err != nil {
		t.Fatal(err)
	}
	if w, err = s.SaveWebhook(context.Background(), w); err != nil {
		t.Fatal(err)
	}
	return w
}

// ask creates n instances on w.
func ask(t testing.TB, s riposte.Store, w riposte.Webhook, n int, changes ...func(*riposte.InstanceRequest)) []riposte.Instance {
	t.Helper()
	r := riposte.InstanceRequest{Source: riposte.Source{Kind: riposte.SourceProvisionStep, TicketID: "T-1"}}
	for _, change := range changes {
		change(&r)
	}
	records := make([]riposte.NewInstanceRecord, n)
	for at := range records {
		i, envelope, err := riposte.NewInstance(w, r, func(id string) string { return "https://riposte.test/" + id }, s.Now())
		if err != nil {
			t.Fatal(err)
		}
		records[at] = riposte.NewInstanceRecord{Instance: i, Envelope: envelope}
	}
	created, err := s.CreateInstances(context.Background(), records)
	if err != nil {
		t.Fatal(err)
	}
	return created
}

// change does what the API does.
func change(t testing.TB, s riposte.Store, i riposte.Instance, e riposte.Event) {
	t.Helper()
	i, err := s.LoadInstance(context.Background(), i.ID)
	if err != nil {
		t.Fatal(err)
	}
	next, err := i.Advance(e, s.Now())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.SaveInstance(context.Background(), next, nil); err != nil {
		t.Fatal(err)
	}
}

// stored are the rows that the store has.
func stored(t testing.TB, s riposte.Store, span time.Duration, webhookIDs ...string) []riposte.StatisticsRow {
	t.Helper()
	rows, err := s.LoadStatistics(context.Background(), riposte.StatisticsFilter{WebhookIDs: webhookIDs, Span: span})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// sum adds rows up, without the last attempt.
func sum(rows []riposte.StatisticsRow) (all riposte.Statistics) {
	for _, r := range rows {
		all.Add(r.Statistics)
	}
	all.Last = nil
	return all
}
