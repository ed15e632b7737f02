package api_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/api"
)

// TestAnswerIsReadOnceForAllWhoAsk, and again when it is too old: the later the more it
// cost.
func TestAnswerIsReadOnceForAllWhoAsk(t *testing.T) {
	const least = 2 * time.Second
	for name, test := range map[string]struct {
		cost, kept time.Duration
		err        error
	}{
		"which costs nothing":      {kept: least},
		"which costs a little":     {cost: time.Millisecond, kept: least},
		"which costs much":         {cost: time.Second, kept: api.KeptCost * time.Second},
		"which costs far too much": {cost: time.Hour, kept: api.MaxKept},
		"which is an error":        {cost: time.Second, kept: least, err: riposte.ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				reads := 0
				get := api.NewKept(least, func(context.Context) (int, error) {
					time.Sleep(test.cost)
					reads++
					return reads, test.err
				})
				ask := func(want int) {
					t.Helper()
					var asking sync.WaitGroup
					for range 10 {
						asking.Go(func() {
							if n, err := get(t.Context()); n != want || !errors.Is(err, test.err) {
								t.Errorf("got %d, %v, want %d", n, err, want)
							}
						})
					}
					asking.Wait()
				}
				ask(1)
				time.Sleep(test.kept - time.Nanosecond)
				ask(1)
				time.Sleep(time.Nanosecond)
				ask(2)
			})
		})
	}
}

// TestAnswerThatNobodyWaitedFor is read by the next who asks. Who waits for another's
// look may leave.
func TestAnswerThatNobodyWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		get := api.NewKept(time.Second, func(ctx context.Context) (int, error) {
			select {
			case <-time.After(time.Second):
				return 1, nil
			case <-ctx.Done():
				return 0, ctx.Err()
			}
		})
		first, leave := context.WithCancel(t.Context())
		second, leaveToo := context.WithTimeout(t.Context(), time.Millisecond)
		defer leaveToo()
		var asking sync.WaitGroup
		asking.Go(func() {
			if _, err := get(first); !errors.Is(err, context.Canceled) {
				t.Errorf("the first one got %v", err)
			}
		})
		synctest.Wait()
		asking.Go(func() {
			if _, err := get(second); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the second one got %v", err)
			}
		})
		asking.Go(func() {
			if n, err := get(t.Context()); n != 1 || err != nil {
				t.Errorf("the third one got %d, %v", n, err)
			}
		})
		time.Sleep(2 * time.Millisecond)
		leave()
		asking.Wait()
	})
}
