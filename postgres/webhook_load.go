package postgres

import (
	"context"
	"sync"

	"github.com/riposte-dev/riposte"
)

// LoadWebhook implements riposte.WebhookStore. It is asked for every instance
// that is created, and another node may have changed the webhook just now: so
// the database is asked each time, but once for all who ask meanwhile.
func (s *Store) LoadWebhook(ctx context.Context, id string) (riposte.Webhook, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	l := s.webhooks.join(id, func() (riposte.Webhook, error) { return s.loadWebhook(id) })
	select {
	case <-l.done:
		return l.webhook, l.err
	case <-ctx.Done():
		return riposte.Webhook{}, reading(ctx, "loading a webhook", ctx.Err())
	}
}

func (s *Store) loadWebhook(id string) (riposte.Webhook, error) {
	ctx, cancel := bounded(context.Background())
	defer cancel()
	w, err := scanWebhook(s.pool.QueryRow(ctx, loadWebhookSQL, id))
	switch {
	case notFound(err):
		return riposte.Webhook{}, riposte.ErrWebhookNotFound
	case err != nil:
		return riposte.Webhook{}, reading(ctx, "loading a webhook", err)
	}
	return w, nil
}

// webhookLoads are those under way. A load answers only those who asked before it
// began, so that each sees what was committed before it asked.
type webhookLoads struct {
	mu      sync.Mutex
	byID    map[string]*webhookLoad // the one under way
	running sync.WaitGroup
}

type webhookLoad struct {
	done    chan struct{}
	webhook riposte.Webhook
	err     error
	next    *webhookLoad // for who has asked since this one began; nil for nobody
}

func newWebhookLoad() *webhookLoad { return &webhookLoad{done: make(chan struct{})} }

// join returns a load that begins now or later.
func (ls *webhookLoads) join(id string, load func() (riposte.Webhook, error)) *webhookLoad {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	current, ok := ls.byID[id]
	if ok {
		if current.next == nil {
			current.next = newWebhookLoad()
		}
		return current.next
	}
	if ls.byID == nil {
		ls.byID = map[string]*webhookLoad{}
	}
	first := newWebhookLoad()
	ls.byID[id] = first
	ls.running.Go(func() { ls.run(id, first, load) })
	return first
}

func (ls *webhookLoads) run(id string, l *webhookLoad, load func() (riposte.Webhook, error)) {
	for l != nil {
		l.webhook, l.err = load()
		close(l.done)
		ls.mu.Lock()
		if l = l.next; l != nil {
			ls.byID[id] = l
		} else {
			delete(ls.byID, id)
		}
		ls.mu.Unlock()
	}
}
