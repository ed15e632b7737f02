package api

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
)

// TestRequestsWaitForTheirTurn, and are refused where it doesn't come.
func TestRequestsWaitForTheirTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bound{requests: 3, bytes: 1 << 20, turns: make(chan struct{}, 1)}
		let := make(chan struct{})
		serve := func() chan int {
			status := make(chan int, 1)
			go func() {
				w := httptest.NewRecorder()
				b.serve(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", nil), 1<<10,
					http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-let }),
					func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
				status <- w.Code
			}()
			synctest.Wait()
			return status
		}
		first, second := serve(), serve()
		let <- struct{}{}
		if got := <-first; got != http.StatusOK {
			t.Errorf("the first one: %d", got)
		}
		third := serve() // while the second one has its turn
		if got := <-third; got != http.StatusServiceUnavailable {
			t.Errorf("the one whose turn didn't come: %d", got)
		}
		close(let)
		if got := <-second; got != http.StatusOK {
			t.Errorf("the second one: %d", got)
		}
		if got := <-serve(); got != http.StatusOK || len(b.turns) != 0 || b.inFlight.Load() != 0 || b.shed.Load() != 1 {
			t.Errorf("afterwards: %d; %d turns are taken, %d in flight, %d refused", got, len(b.turns), b.inFlight.Load(), b.shed.Load())
		}
	})
}
