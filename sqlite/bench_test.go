package sqlite_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/sqlite"
)

const perBatch = 64

// BenchmarkCycle is an instance's whole life, in batches as a busy engine
// makes them: created, claimed, answered at once. Its time is of one instance.
func BenchmarkCycle(b *testing.B) {
	s, w := benchStore(b)
	b.ReportAllocs()
	for n := 0; b.Loop(); n += perBatch {
		createBatch(b, s, w, n)
		claimed := claimBatch(b, s)
		saveBatch(b, s, claimed)
	}
	perInstance(b)
}

func BenchmarkCreate(b *testing.B) {
	s, w := benchStore(b)
	b.ReportAllocs()
	for n := 0; b.Loop(); n += perBatch {
		createBatch(b, s, w, n)
	}
	perInstance(b)
}

func BenchmarkClaim(b *testing.B) {
	s, w := benchStore(b)
	b.ReportAllocs()
	for n := 0; b.Loop(); n += perBatch {
		b.StopTimer()
		createBatch(b, s, w, n)
		b.StartTimer()
		claimed := claimBatch(b, s)
		b.StopTimer()
		saveBatch(b, s, claimed) // or their leases would run out
		b.StartTimer()
	}
	perInstance(b)
}

// BenchmarkSave saves concurrently, one instance each, as an engine's attempts
// do when they end.
func BenchmarkSave(b *testing.B) {
	s, w := benchStore(b)
	b.ReportAllocs()
	for n := 0; b.Loop(); n += perBatch {
		b.StopTimer()
		createBatch(b, s, w, n)
		claimed := claimBatch(b, s)
		b.StartTimer()
		saveBatch(b, s, claimed)
	}
	perInstance(b)
}

// perInstance reports the time and not that of a batch.
func perInstance(b *testing.B) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/perBatch, "ns/instance")
}

func benchStore(b *testing.B) (*sqlite.Store, riposte.Webhook) {
	s, err := sqlite.Open(b.Context(), b.TempDir(), sqlite.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	})
	w, err := riposte.NewWebhook("bench", "", "https://receiver.example/hook", 0, anyHost, s.Now())
	if err != nil {
		b.Fatal(err)
	}
	w.Settings.MaxInFlight = riposte.MaxMaxInFlight
	if w, err = s.SaveWebhook(b.Context(), w); err != nil {
		b.Fatal(err)
	}
	return s, w
}

func anyHost(string) (string, error) { return "receiver.example", nil }

func createBatch(b *testing.B, s *sqlite.Store, w riposte.Webhook, n int) {
	records := make([]riposte.NewInstanceRecord, perBatch)
	for k := range records {
		i, e, err := riposte.NewInstance(w, riposte.InstanceRequest{
			Source:  riposte.Source{Kind: riposte.SourceApprovalStep, TicketID: fmt.Sprintf("ticket-%d", n+k)},
			Payload: []byte(`{"taskView":{"task":{"id":"2dPfFqWnZmyFA1dJT2OGxBvkDYm","displayName":"Access to production"}}}`),
		}, func(id string) string { return "https://riposte.example/api/v1/webhooks/callback/" + id }, s.Now())
		if err != nil {
			b.Fatal(err)
		}
		records[k] = riposte.NewInstanceRecord{Instance: i, Envelope: e}
	}
	if _, err := s.CreateInstances(b.Context(), records); err != nil {
		b.Fatal(err)
	}
}

func claimBatch(b *testing.B, s *sqlite.Store) []riposte.ClaimedInstance {
	c, err := s.Claim(b.Context(), riposte.ClaimRequest{Limit: perBatch})
	if err != nil {
		b.Fatal(err)
	}
	if len(c.Attempts) != perBatch {
		b.Fatalf("claimed %d, want %d", len(c.Attempts), perBatch)
	}
	return c.Attempts
}

func saveBatch(b *testing.B, s *sqlite.Store, claimed []riposte.ClaimedInstance) {
	answers := make(chan error, len(claimed))
	for _, c := range claimed {
		go func() {
			a := riposte.Attempt{Number: c.Instance.Attempts, StartedAt: s.Now(), Duration: 3 * time.Millisecond, StatusCode: 200,
				ResponseBody: []byte(`{"version":"v1","approve":{}}`), RemoteAddress: "192.0.2.1:443"}
			next, err := c.Instance.Advance(riposte.Attempted{Result: riposte.Result{Attempt: a, Document: a.ResponseBody}}, s.Now())
			if err == nil {
				_, err = s.SaveInstance(b.Context(), next, &a)
			}
			answers <- err
		}()
	}
	for range claimed {
		if err := <-answers; err != nil {
			b.Fatal(err)
		}
	}
}
