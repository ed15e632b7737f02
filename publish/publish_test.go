package publish

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/riposte-dev/riposte"
)

// TestToldAfterCloseReturns at once, any number of times: nobody takes any more what
// it would wait for.
func TestToldAfterCloseReturns(t *testing.T) {
	p := New()
	p.Close()
	for range maxBehind + 10 {
		if err := p.Told(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestToldBesideClose waits until everybody has been told of everything.
func TestToldBesideClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New()
		behind, heard := make(chan struct{}), 0
		p.Subscribe(func(riposte.Instance) {
			<-behind
			heard++
		})
		for range 10 {
			p.Publish([]riposte.Instance{{ID: "i"}})
		}
		left, leave := context.WithCancel(t.Context())
		var waiting sync.WaitGroup
		wait := func() {
			waiting.Go(func() {
				if err := p.Told(t.Context()); err != nil || heard != 10 {
					t.Errorf("after %d of 10: %v", heard, err)
				}
			})
		}
		wait()
		synctest.Wait()
		waiting.Go(p.Close)
		synctest.Wait()
		wait()
		waiting.Go(func() {
			if err := p.Told(left); !errors.Is(err, context.Canceled) {
				t.Errorf("who left got %v", err)
			}
		})
		synctest.Wait()
		leave()
		synctest.Wait()
		close(behind)
		waiting.Wait()
	})
}

// TestToldMayMeetClose at any moment.
func TestToldMayMeetClose(t *testing.T) {
	for range 1000 {
		p := New()
		var calling sync.WaitGroup
		for range 4 {
			calling.Go(func() {
				if err := p.Told(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		calling.Go(p.Close)
		calling.Wait()
	}
}
