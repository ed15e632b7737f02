package postgres_test

import (
	"context"
	"errors"
	"net"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/postgres"
	"github.com/riposte-dev/riposte/postgres/postgrestest"
)

// TestKilledBackendsLoseNothing ends the store's connections while it is busy:
// what it has acknowledged is there, and what it refused may be tried again.
func TestKilledBackendsLoseNothing(t *testing.T) {
	t.Parallel()
	where := postgrestest.URL(t)
	const name = "riposte-killed"
	s, err := postgres.Open(t.Context(), named(t, where, name), postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	w := newWebhook(t, s)

	stop := make(chan struct{})
	var mu sync.Mutex
	var acknowledged []string
	refused := 0
	var callers sync.WaitGroup
	for range 8 {
		callers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				record := newRecord(t, s, w)
				_, err := s.CreateInstances(context.Background(), []riposte.NewInstanceRecord{record})
				mu.Lock()
				switch {
				case err == nil:
					acknowledged = append(acknowledged, record.Instance.ID)
				case errors.Is(err, riposte.ErrUnavailable):
					refused++
				default:
					t.Errorf("a create failed with %v", err)
				}
				mu.Unlock()
			}
		})
	}
	killed := kill(t, name, 20)
	close(stop)
	callers.Wait()
	if killed == 0 || len(acknowledged) == 0 {
		t.Fatalf("%d connections were killed, %d creates acknowledged", killed, len(acknowledged))
	}
	t.Logf("%d connections were killed, %d creates acknowledged and %d refused", killed, len(acknowledged), refused)
	for _, id := range acknowledged {
		_, err := s.LoadInstance(t.Context(), id)
		for tries := 0; errors.Is(err, riposte.ErrUnavailable) && tries < 10; tries++ { // by what is left of a killed connection
			_, err = s.LoadInstance(t.Context(), id)
		}
		if err != nil {
			t.Fatalf("the acknowledged instance %s: %v", id, err)
		}
	}
	counts, err := s.CountInstances(t.Context())
	if err != nil || counts[riposte.StatePending] != len(acknowledged) {
		t.Errorf("%d instances are there (%v), %d were acknowledged", counts[riposte.StatePending], err, len(acknowledged))
	}
	if err := s.Check(t.Context()); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// named gives the store's connections a name by which they are found.
func named(t *testing.T, where, name string) string {
	u, err := url.Parse(where)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("application_name", name)
	u.RawQuery = q.Encode()
	return u.String()
}

// kill ends the connections of a name, in so many rounds, and returns how many.
func kill(t *testing.T, name string, rounds int) (killed int) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), os.Getenv("RIPOSTE_TEST_DATABASE_URL"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	for range rounds {
		time.Sleep(100 * time.Millisecond)
		var n int
		if err := conn.QueryRow(t.Context(), `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = $1`, name).Scan(&n); err != nil {
			t.Fatal(err)
		}
		killed += n
	}
	return killed
}

// TestSilentHost has a host first that takes connections and never says a word.
func TestSilentHost(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	u, err := url.Parse(postgrestest.URL(t))
	if err != nil {
		t.Fatal(err)
	}
	u.Host = silent.Addr().String() + "," + u.Host
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	s, err := postgres.Open(ctx, u.String(), postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Check(ctx); err != nil {
		t.Error(err)
	}
}

// TestReadyMeansThatCommitsAreTaken has a lock in the way of each commit, while
// there is nothing against reading.
func TestReadyMeansThatCommitsAreTaken(t *testing.T) {
	t.Parallel()
	where := postgrestest.URL(t)
	s, err := postgres.Open(t.Context(), where, postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	lock, err := postgrestest.Connect(t, where).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lock.Exec(t.Context(), `LOCK TABLE batches IN EXCLUSIVE MODE`); err != nil {
		t.Fatal(err)
	}
	if err := s.Check(t.Context()); !errors.Is(err, riposte.ErrUnavailable) {
		t.Errorf("while nothing can be committed: %v, want ErrUnavailable", err)
	}
	if err := lock.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Check(t.Context()); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// TestServerThatForgetsIsRefused has synchronous_commit off, as a role may have it.
func TestServerThatForgetsIsRefused(t *testing.T) {
	t.Parallel()
	u, err := url.Parse(postgrestest.URL(t))
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("synchronous_commit", "off")
	u.RawQuery = q.Encode()
	s, err := postgres.Open(t.Context(), u.String(), postgres.Options{})
	if err == nil {
		s.Close()
		t.Fatal("opened")
	}
	if !strings.Contains(err.Error(), "synchronous_commit is off") {
		t.Error(err)
	}
}
