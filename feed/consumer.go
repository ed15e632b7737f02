package feed

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"github.com/riposte-dev/riposte"
)

const (
	// maxPullSize bounds what one pull gives, in bytes of documents.
	maxPullSize = 8 << 20
	// maxScanned is how many outcomes a pull goes through at most that the filter
	// leaves out, before it keeps how far it has got.
	maxScanned = 20 * pageSize
)

// Pulled is what a pull gave: nothing, or a part of the feed under a lease.
type Pulled struct {
	Lease     riposte.Lease
	Instances []riposte.Instance
}

// CreateConsumer stores a new consumer of what comes after the sequence after. One
// that is there already stays as it is. riposte.ErrConsumerExists when that has
// another filter, riposte.ErrManyConsumers, and what LoadOutcomes has against after.
func (f *Feed) CreateConsumer(ctx context.Context, c riposte.Consumer) (riposte.Consumer, error) {
	all, err := f.store.ListConsumers(ctx)
	if err != nil {
		return c, err
	}
	for _, each := range all {
		if each.Name == c.Name {
			return sameFilter(each, c)
		}
	}
	if len(all) >= riposte.MaxConsumers {
		return c, riposte.ErrManyConsumers
	}
	if _, err := f.store.LoadOutcomes(ctx, c.Position, 1); err != nil {
		return c, err
	}
	created, err := f.store.SaveConsumer(ctx, c)
	if errors.Is(err, riposte.ErrConsumerExists) {
		if created, err = f.store.LoadConsumer(ctx, c.Name); err == nil {
			return sameFilter(created, c)
		}
	}
	return created, err
}

func sameFilter(there, asked riposte.Consumer) (riposte.Consumer, error) {
	a, b := there.Filter, asked.Filter
	if a.WebhookID != b.WebhookID || a.SourceKind != b.SourceKind || a.TicketID != b.TicketID || a.CreatedBy != b.CreatedBy || !maps.Equal(a.Labels, b.Labels) {
		return asked, riposte.ErrConsumerExists
	}
	return there, nil
}

// Pull leases the next outcomes of a consumer to a worker, at most limit, for d:
// first those whose lease has run out. Where there are none it waits for some
// until patience ends, and then gives nothing. Where only isn't empty, a consumer of
// anything but what only has created is not found. riposte.ErrConsumerNotFound,
// riposte.ErrManyLeases.
func (f *Feed) Pull(ctx, patience context.Context, name, only string, limit int, d time.Duration) (Pulled, error) {
	for {
		p, c, err := f.pullOnce(ctx, name, only, limit, d)
		switch {
		case errors.Is(err, riposte.ErrConflict): // another node was faster
			continue
		case err != nil || len(p.Instances) > 0:
			return p, err
		}
		if patience.Err() != nil {
			return Pulled{}, nil
		}
		if err := f.await(patience, c); err != nil {
			return Pulled{}, err
		}
	}
}

// await returns when there may be something for a consumer, or when ctx ends.
func (f *Feed) await(ctx context.Context, c riposte.Consumer) error {
	within, cancel := ctx, context.CancelFunc(func() {})
	if lapse := c.NextLapse(); !lapse.IsZero() {
		within, cancel = context.WithTimeout(ctx, max(lapse.Sub(f.store.Now()), time.Millisecond))
	}
	defer cancel()
	w, err := f.Watch(within, c.Position)
	if err == nil {
		defer w.Close()
		_, err = w.Next(within, 1)
	}
	if within.Err() != nil {
		return nil
	}
	return err
}

// pullOnce also returns the consumer as it is then, if it had nothing to give.
func (f *Feed) pullOnce(ctx context.Context, name, only string, limit int, d time.Duration) (Pulled, riposte.Consumer, error) {
	defer f.alone(name)()
	c, err := f.load(ctx, name, only)
	if err != nil {
		return Pulled{}, c, err
	}
	for {
		now := f.store.Now()
		lapsed, again := c.Lapsed(now)
		after, through := c.Position, int64(0)
		if again {
			after, through = lapsed.After, lapsed.Through
		}
		found, scanned, err := f.scan(ctx, c.Filter, after, through, limit)
		if err != nil {
			return Pulled{}, c, err
		}
		var p Pulled
		switch {
		case again && len(found) == 0: // it was purged, or the filter leaves the rest out
			if c, err = c.Ack(lapsed.ID, 0); err != nil {
				return Pulled{}, c, err
			}
		case again:
			c, p.Lease = c.LeaseAgain(lapsed, scanned, d, now)
		case len(found) > 0:
			if c, p.Lease, err = c.Lease(scanned, d, now); err != nil {
				return Pulled{}, c, err
			}
		case scanned-after < maxScanned: // not worth a commit
			return Pulled{}, c, nil
		default:
			c.Position = scanned
		}
		if c, err = f.store.SaveConsumer(ctx, c); err != nil {
			return Pulled{}, c, err
		}
		if p.Instances = found; len(found) > 0 {
			return p, c, nil
		}
	}
}

// scan returns at most limit outcomes that a filter lets through, and up to where
// it went for them, which is not beyond through unless that is 0.
func (f *Feed) scan(ctx context.Context, filter riposte.OutcomeFilter, after, through int64, limit int) (found []riposte.Instance, scanned int64, err error) {
	scanned = after
	size := 0
	for n := 0; n < maxScanned; {
		page, err := f.store.LoadOutcomes(ctx, scanned, min(limit, pageSize))
		if err != nil {
			return nil, 0, err
		}
		for _, i := range page.Instances {
			if through > 0 && i.Outcome.Sequence > through {
				return found, through, nil
			}
			if filter.Selects(i) {
				if size += len(i.Outcome.Document); size > maxPullSize && len(found) > 0 {
					return found, scanned, nil
				}
				found = append(found, i)
			}
			if scanned = i.Outcome.Sequence; len(found) == limit {
				return found, scanned, nil
			}
		}
		if n += len(page.Instances); len(page.Instances) < min(limit, pageSize) {
			break
		}
	}
	if through > 0 && len(found) == 0 {
		scanned = max(scanned, through)
	}
	return found, scanned, nil
}

// Ack takes what a lease has up to a sequence, 0 for all of it, as dealt with.
// only is as in Pull. riposte.ErrConsumerNotFound, riposte.ErrLeaseLost.
func (f *Feed) Ack(ctx context.Context, name, only, lease string, through int64) error {
	defer f.alone(name)()
	for {
		c, err := f.load(ctx, name, only)
		if err != nil {
			return err
		}
		acked, err := c.Ack(lease, through)
		if err != nil {
			return err
		}
		if _, err = f.store.SaveConsumer(ctx, acked); !errors.Is(err, riposte.ErrConflict) {
			return err
		}
	}
}

func (f *Feed) load(ctx context.Context, name, only string) (riposte.Consumer, error) {
	c, err := f.store.LoadConsumer(ctx, name)
	if errors.Is(err, riposte.ErrConsumerNotFound) {
		f.consumers.Delete(name) // anybody can make up names; who comes next has another lock, and Save tells
	}
	if err == nil && only != "" && c.Filter.CreatedBy != only {
		err = riposte.ErrConsumerNotFound
	}
	return c, err
}

// alone lets one at a time change a consumer at this node, and returns what lets
// the next one in.
func (f *Feed) alone(name string) (done func()) {
	mu, _ := f.consumers.LoadOrStore(name, &sync.Mutex{})
	mu.(*sync.Mutex).Lock()
	return mu.(*sync.Mutex).Unlock
}
