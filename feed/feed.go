// Package feed hands out outcomes in their order: to all who watch, for whom it
// reads each from the store once, and none of whom polls; and to the workers of
// consumers, who share them.
package feed

import (
	"context"
	"log/slog"
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/riposte-dev/riposte"
)

const (
	pageSize = 256
	// maxRecent and maxRecentSize bound what is kept for those who are not far
	// behind: outcomes, and bytes of their documents.
	maxRecent     = 4096
	maxRecentSize = 16 << 20

	readPause  = 5 * time.Millisecond  // between reads, so that under load each finds many
	heldPause  = 20 * time.Millisecond // where a commit elsewhere is waited for
	retryPause = time.Second
	// wakeCost, for each watcher, is added to readPause: waking all takes time.
	wakeCost = 10 * time.Microsecond
)

// Store is what a Feed reads.
type Store interface {
	riposte.FeedStore
	riposte.ConsumerStore
	Now() time.Time
	Subscribe(f func(riposte.Instance)) (cancel func())
}

// Feed follows a store's outcomes as long as somebody watches them.
type Feed struct {
	store       Store
	logger      *slog.Logger
	news        chan struct{} // there may be more to read
	stop        context.CancelFunc
	unsubscribe func()
	running     sync.WaitGroup

	consumers sync.Map // a *sync.Mutex for each, by name

	mu       sync.Mutex
	watchers int
	tail     *tail // nil while nobody watches
}

// tail is what was read last: every outcome after the sequence from.
type tail struct {
	from   int64
	recent []riposte.Instance // only ever appended to or replaced
	size   int                // of the documents in recent
	grown  chan struct{}      // closed when recent has grown, and replaced
}

// New returns a Feed of s. Close it before s.
func New(s Store, l *slog.Logger) *Feed {
	ctx, stop := context.WithCancel(context.Background())
	f := &Feed{store: s, logger: l, news: make(chan struct{}, 1), stop: stop}
	f.unsubscribe = s.Subscribe(f.changed)
	f.running.Go(func() { f.run(ctx) })
	return f
}

// Close ends what New began. Watches then get nothing new.
func (f *Feed) Close() {
	f.unsubscribe()
	f.stop()
	f.running.Wait()
}

// changed is subscribed to the store's changes. Another node's outcomes, and
// what may have been missed, have the Version 0.
func (f *Feed) changed(i riposte.Instance) {
	if i.JustDecided() || i.Version == 0 {
		f.wakeUp()
	}
}

func (f *Feed) wakeUp() {
	select {
	case f.news <- struct{}{}:
	default:
	}
}

// run reads what is new, while somebody watches.
func (f *Feed) run(ctx context.Context) {
	for {
		select {
		case <-f.news:
		case <-ctx.Done():
			return
		}
		if pause(ctx, f.read(ctx)) != nil {
			return
		}
	}
}

// read reads a page and says when the next one is worth a look.
func (f *Feed) read(ctx context.Context) (next time.Duration) {
	f.mu.Lock()
	t, watchers := f.tail, f.watchers
	f.mu.Unlock()
	if t == nil {
		return 0
	}
	page, err := f.store.LoadOutcomes(ctx, t.last(), pageSize)
	if err != nil {
		if ctx.Err() == nil {
			f.logger.Warn("the outcomes can't be followed: trying again every second", "error", err)
		}
		f.wakeUp()
		return retryPause
	}
	f.mu.Lock()
	if f.tail == t {
		t.add(page.Instances)
	}
	f.mu.Unlock()
	next = readPause + time.Duration(watchers)*wakeCost
	switch {
	case len(page.Instances) == pageSize:
		f.wakeUp()
	case page.Held:
		f.wakeUp()
		next = max(next, heldPause)
	}
	return next
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// last is the sequence up to which all was read. It belongs to run's goroutine.
func (t *tail) last() int64 {
	if len(t.recent) == 0 {
		return t.from
	}
	return t.recent[len(t.recent)-1].Outcome.Sequence
}

func (t *tail) add(instances []riposte.Instance) {
	if len(instances) == 0 {
		return
	}
	t.recent = append(t.recent, instances...)
	t.size += documents(instances)
	for len(t.recent) > 1 && (len(t.recent) > maxRecent || t.size > maxRecentSize) {
		half := len(t.recent) / 2
		t.from = t.recent[half-1].Outcome.Sequence
		t.recent = slices.Clone(t.recent[half:])
		t.size = documents(t.recent)
	}
	close(t.grown)
	t.grown = make(chan struct{})
}

// documents is how many bytes the outcomes' documents have.
func documents(instances []riposte.Instance) (size int) {
	for _, i := range instances {
		size += len(i.Outcome.Document)
	}
	return size
}

// after returns what comes after a sequence that is not before from.
func (t *tail) after(sequence int64, limit int) []riposte.Instance {
	n := sort.Search(len(t.recent), func(k int) bool { return t.recent[k].Outcome.Sequence > sequence })
	found := t.recent[n:]
	return found[:min(len(found), limit):min(len(found), limit)]
}

// Watch is one watcher's way through the outcomes. Its methods must not be called
// at the same time.
type Watch struct {
	feed  *Feed
	after int64
}

// Watch returns a Watch of what comes after the sequence after. Close it. Its
// errors are those of LoadOutcomes.
func (f *Feed) Watch(ctx context.Context, after int64) (*Watch, error) {
	if _, err := f.store.LoadOutcomes(ctx, after, 1); err != nil {
		return nil, err
	}
	if err := f.join(ctx); err != nil {
		return nil, err
	}
	return &Watch{feed: f, after: after}, nil
}

// join counts one more watcher, and begins to follow for the first.
func (f *Feed) join(ctx context.Context) error {
	f.mu.Lock()
	f.watchers++
	following := f.tail != nil
	f.mu.Unlock()
	if following {
		return nil
	}
	last, err := f.store.LastOutcome(ctx)
	if err != nil {
		f.leave()
		return err
	}
	f.mu.Lock()
	if f.tail == nil {
		f.tail = &tail{from: last, grown: make(chan struct{})}
	}
	f.mu.Unlock()
	f.wakeUp() // something may have come between
	return nil
}

func (f *Feed) leave() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.watchers--; f.watchers == 0 {
		f.tail = nil
	}
}

// Close ends the watch.
func (w *Watch) Close() { w.feed.leave() }

// Sequence is up to where the watcher has got.
func (w *Watch) Sequence() int64 { return w.after }

// Next returns the next outcomes, at least one and at most limit, as soon as there
// are some. They are shared: nobody may change them. Besides the store's errors,
// it returns that of ctx.
func (w *Watch) Next(ctx context.Context, limit int) ([]riposte.Instance, error) {
	for {
		found, behind, grown := w.recent(limit)
		if behind > w.after {
			page, err := w.feed.store.LoadOutcomes(ctx, w.after, min(limit, pageSize))
			if err != nil {
				return nil, err
			}
			switch found = page.Instances; {
			case len(found) > 0:
			case page.Held:
				if err := pause(ctx, heldPause); err != nil {
					return nil, err
				}
				continue
			default:
				w.after = behind // all up to there could be read, and there is nothing
				continue
			}
		}
		if len(found) > 0 {
			w.after = found[len(found)-1].Outcome.Sequence
			return found, nil
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// recent returns what the tail has for w, or where the tail begins if w is behind
// that.
func (w *Watch) recent(limit int) (found []riposte.Instance, behind int64, grown <-chan struct{}) {
	w.feed.mu.Lock()
	defer w.feed.mu.Unlock()
	t := w.feed.tail
	if w.after < t.from {
		return nil, t.from, nil
	}
	return t.after(w.after, limit), 0, t.grown
}
