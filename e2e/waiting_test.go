package e2e

import (
	"fmt"
	"testing"
	"time"
)

// waitingMemory is what a caller who waits may cost the server at most, with the
// connection and its goroutines.
const waitingMemory = 64 << 10

// TestWhoWaitsCostsBoundedMemory also when nobody else shares the connection.
func TestWhoWaitsCostsBoundedMemory(t *testing.T) {
	t.Parallel()
	const callers = 1000
	for _, way := range waitingWays {
		t.Run(way.name, func(t *testing.T) {
			w := openWaitingRoom(t, way, callers)
			before := w.live()
			w.enter(callers)
			each := (w.live() - before) / callers
			t.Logf("%d bytes each", each)
			if each > waitingMemory {
				t.Errorf("%d who wait cost %d bytes each, want at most %d", callers, each, waitingMemory)
			}
			w.answer(callers)
		})
	}
}

// BenchmarkWaiting makes the figures of docs/performance.md.
func BenchmarkWaiting(b *testing.B) {
	for _, way := range waitingWays {
		for _, callers := range []int{1000, 10_000} {
			b.Run(fmt.Sprintf("%s/%d", way.name, callers), func(b *testing.B) {
				for b.Loop() {
					benchmarkWaiting(b, way, callers)
				}
			})
		}
	}
}

func benchmarkWaiting(b *testing.B, way waitingWay, callers int) {
	w := openWaitingRoom(b, way, callers)
	live, resident := w.live(), w.resident()
	w.enter(callers)
	grown := w.resident() - resident
	live = w.live() - live
	const idle = 20 * time.Second
	began := w.busy()
	time.Sleep(idle)
	used := w.busy() - began
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(live)/float64(callers)/1024, "live-KiB/caller")
	b.ReportMetric(float64(grown)/float64(callers)/1024, "rss-KiB/caller")
	b.ReportMetric(100*used.Seconds()/idle.Seconds(), "idle-cpu-%")
	b.ReportMetric(float64(w.answer(callers).Milliseconds()), "ms-to-all")
}
