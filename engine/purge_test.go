package engine_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/engine"
)

// purges notes what each purge was asked for and what it did.
type purges struct {
	riposte.Store

	mu    sync.Mutex
	steps []purgeStep
}

type purgeStep struct{ limit, removed int }

func (p *purges) PurgeInstances(ctx context.Context, before time.Time, limit int) (int, error) {
	n, err := p.Store.PurgeInstances(ctx, before, limit)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.steps = append(p.steps, purgeStep{limit, n})
	return n, err
}

// effective are the steps that removed something.
func (p *purges) effective() []purgeStep {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(p.steps), func(s purgeStep) bool { return s.removed == 0 })
}

func TestHistoryIsRemovedInSteps(t *testing.T) {
	in(t, func(t *testing.T) {
		s := &purges{Store: openStore(t)}
		w := newWebhook(t, s, expiresShortly, bound(500))
		ask(t, s, w, 450)
		start(t, s, &receiver{}, keepFor(time.Hour))
		synctest.Wait()
		const grace = time.Hour
		pass(shortly + time.Hour + grace)
		if n := countIn(t, s, riposte.StateSuccess); n != 450 {
			t.Errorf("%d of 450 are there when their time is up", n)
		}
		pass(time.Minute + time.Second)
		if n := countIn(t, s, riposte.StateSuccess); n != 0 {
			t.Errorf("%d are left a minute later", n)
		}
		if got, want := s.effective(), []purgeStep{{200, 200}, {200, 200}, {200, 50}}; !slices.Equal(got, want) {
			t.Errorf("removed in steps of %v, want %v", got, want)
		}
	})
}

func TestNeitherOpenNorRecentHistoryIsRemoved(t *testing.T) {
	in(t, func(t *testing.T) {
		s := openStore(t)
		recent, open := newWebhook(t, s, expiresShortly), newWebhook(t, s)
		start(t, s, &receiver{script: func(c riposte.ClaimedInstance) int {
			if c.Webhook.ID == open.ID {
				return 202
			}
			return 200
		}}, keepFor(time.Hour))
		waiting := askOne(t, s, open)
		pass(2 * time.Hour)
		closed := askOne(t, s, recent)
		pass(shortly + time.Hour + 59*time.Minute) // a minute before Keep and its grace are over
		if got := load(t, s, waiting.ID).State; got != riposte.StateWaitingCallback {
			t.Errorf("the open one is in %s", got)
		}
		if got := load(t, s, closed.ID).State; got != riposte.StateSuccess {
			t.Errorf("the recent one is in %s", got)
		}
	})
}

func keepFor(d time.Duration) func(*engine.Options) {
	return func(o *engine.Options) { o.Keep = d }
}
