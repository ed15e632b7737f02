package api_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/riposte-dev/riposte/api"
)

// TestTroubleIsReadOnceForAllWhoAsk, and again when it is too old.
func TestTroubleIsReadOnceForAllWhoAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reads := 0
		get := api.NewTroubles(func(context.Context) (int, error) {
			time.Sleep(time.Second)
			reads++
			return reads, nil
		})
		ask := func(want int) {
			t.Helper()
			var asking sync.WaitGroup
			for range 10 {
				asking.Go(func() {
					if n, err := get(t.Context()); n != want || err != nil {
						t.Errorf("got %d, %v, want %d", n, err, want)
					}
				})
			}
			asking.Wait()
		}
		ask(1)
		time.Sleep(api.TroubleAge - time.Nanosecond)
		ask(1)
		time.Sleep(time.Nanosecond)
		ask(2)
	})
}

// TestTroubleThatCannotBeRead is read by the next who asks. Who waits for another's
// look may leave.
func TestTroubleThatCannotBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		get := api.NewTroubles(func(ctx context.Context) (int, error) {
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
