package statistics

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/riposte-dev/riposte"
)

// answers is a sender that takes no time.
type answers struct{ result riposte.Result }

func (a answers) Send(context.Context, riposte.ClaimedInstance) riposte.Result { return a.result }

// BenchmarkAttempt is what an attempt costs that is counted: three rows, of which one is
// its webhook's.
func BenchmarkAttempt(b *testing.B) {
	for _, webhooks := range []int{1, 10_000} {
		b.Run(fmt.Sprintf("webhooks=%d", webhooks), func(b *testing.B) {
			c := New(Options{Store: openStore(b)})
			s := c.Sender(answers{riposte.Result{Attempt: riposte.Attempt{StartedAt: time.Now(), Duration: 3 * time.Millisecond, StatusCode: 200}}})
			claimed := make([]riposte.ClaimedInstance, webhooks)
			for n := range claimed {
				claimed[n].Instance = riposte.Instance{ID: "i", WebhookID: riposte.NewID(time.Now())}
			}
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				s.Send(b.Context(), claimed[n%webhooks])
			}
		})
	}
}

// BenchmarkChange is what a change that the store publishes costs: one that decides
// its instance, and one that does not.
func BenchmarkChange(b *testing.B) {
	for name, i := range map[string]riposte.Instance{
		"decided": {WebhookID: riposte.NewID(time.Now()), Version: 3, State: riposte.StateRunning, Outcome: &riposte.Outcome{}},
		"open":    {WebhookID: riposte.NewID(time.Now()), Version: 3, State: riposte.StateRunning},
	} {
		b.Run(name, func(b *testing.B) {
			c := New(Options{Store: openStore(b)})
			b.ReportAllocs()
			for b.Loop() {
				c.changed(i)
			}
		})
	}
}

// BenchmarkUnsaved is what it costs to ask where as much is unsaved as can be, and how
// long it takes meanwhile to count an attempt.
func BenchmarkUnsaved(b *testing.B) {
	c := New(Options{Store: openStore(b)})
	for n := range maxRows - 10 {
		c.count(fmt.Sprint(n), &riposte.Statistics{Created: 1})
	}
	for name, ids := range map[string][]string{"one": {"1"}, "each": nil} {
		b.Run(name, func(b *testing.B) {
			counted := 0
			stop, stopped := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(stopped)
				for {
					select {
					case <-stop:
						return
					default:
					}
					c.count("1", &riposte.Statistics{Created: 1})
					counted++
				}
			}()
			for b.Loop() {
				c.Unsaved(riposte.StatisticsFilter{WebhookIDs: ids, Span: riposte.StatisticsQuarter})
			}
			close(stop)
			<-stopped
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(counted), "ns/counted")
		})
	}
}
