package api

import (
	"context"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/riposte-dev/riposte"
)

const (
	// lastUsesPause is between two saves of when keys and clients were last used: what
	// a crash loses.
	lastUsesPause = 30 * time.Second
	// lastUsesTimeout is for how long a stop tries to save them.
	lastUsesTimeout = 5 * time.Second
)

// lastUses knows when keys and clients were last used at this node. Calls only note it
// in memory; it is saved now and then for all at once.
type lastUses struct {
	store  riposte.Store
	logger *slog.Logger

	mu      sync.Mutex
	known   map[string]time.Time // by the ids of keys and clients
	unsaved map[string]time.Time // those of known that the store may not have
}

func newLastUses(store riposte.Store, logger *slog.Logger) *lastUses {
	return &lastUses{store: store, logger: logger, known: map[string]time.Time{}, unsaved: map[string]time.Time{}}
}

func (u *lastUses) note(id string, now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.known[id], u.unsaved[id] = now, now
}

// last returns when id was last used: here, or as the store says.
func (u *lastUses) last(id string, saved time.Time) time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	if here := u.known[id]; here.After(saved) {
		return riposte.Time(here)
	}
	return saved
}

// forget is for a key or client that is gone.
func (u *lastUses) forget(id string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.known, id)
	delete(u.unsaved, id)
}

// run saves until ctx ends; what is noted last is saved by close.
func (u *lastUses) run(ctx context.Context) {
	tick := time.NewTicker(lastUsesPause)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			u.save(ctx)
		case <-ctx.Done():
			return
		}
	}
}

func (u *lastUses) close() {
	ctx, cancel := context.WithTimeout(context.Background(), lastUsesTimeout)
	defer cancel()
	u.save(ctx)
}

// save tries what the store couldn't take with the next ones again.
func (u *lastUses) save(ctx context.Context) {
	u.mu.Lock()
	uses := u.unsaved
	u.unsaved = map[string]time.Time{}
	u.mu.Unlock()
	if len(uses) == 0 {
		return
	}
	err := u.store.SaveLastUses(ctx, uses)
	if err == nil {
		return
	}
	u.logger.Warn("when keys and clients were last used is not saved", "error", err)
	u.mu.Lock()
	defer u.mu.Unlock()
	maps.Copy(uses, u.unsaved) // the later ones
	u.unsaved = uses
}
