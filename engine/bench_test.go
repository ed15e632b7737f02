package engine_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/riposte-dev/riposte"
)

// BenchmarkInstance takes instances from their creation to their outcome: a
// create, a claim and a save on disk each, and a receiver that answers at once.
// Callers are how many wait for an outcome at the same time, and so share
// commits.
func BenchmarkInstance(b *testing.B) {
	for _, callers := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			s := openStore(b)
			w := newWebhook(b, s)
			start(b, s, &receiver{})
			outcomes := newOutcomes(b, s)
			b.ReportAllocs()
			work := make(chan struct{})
			var asking sync.WaitGroup
			for range callers {
				asking.Go(func() {
					for range work {
						outcomes.await(askOne(b, s, w).ID)
					}
				})
			}
			b.ResetTimer()
			for range b.N {
				work <- struct{}{}
			}
			close(work)
			asking.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "instances/s")
		})
	}
}

// BenchmarkBacklog takes instances that are all due from the start, as after a
// long stop.
func BenchmarkBacklog(b *testing.B) {
	s := openStore(b)
	const webhooks = 16
	all := make([]riposte.Webhook, webhooks)
	for n := range all {
		all[n] = newWebhook(b, s)
	}
	for at := 0; at < b.N; at += 100 {
		ask(b, s, all[at/100%webhooks], min(100, b.N-at))
	}
	outcomes := newOutcomes(b, s)
	b.ReportAllocs()
	b.ResetTimer()
	start(b, s, &receiver{})
	outcomes.awaitAll(b.N)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "instances/s")
}

// outcomes tells who waits for one.
type outcomes struct {
	mu      sync.Mutex
	changed sync.Cond
	decided map[string]bool
}

func newOutcomes(b *testing.B, s riposte.Store) *outcomes {
	o := &outcomes{decided: map[string]bool{}}
	o.changed.L = &o.mu
	b.Cleanup(s.Subscribe(func(i riposte.Instance) {
		if i.Outcome == nil {
			return
		}
		o.mu.Lock()
		defer o.mu.Unlock()
		o.decided[i.ID] = true
		o.changed.Broadcast()
	}))
	return o
}

func (o *outcomes) await(id string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for !o.decided[id] {
		o.changed.Wait()
	}
	delete(o.decided, id)
}

func (o *outcomes) awaitAll(n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.decided) < n {
		o.changed.Wait()
	}
}
