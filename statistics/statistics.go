// Package statistics counts what a node does for riposte.Statistics, which the API
// shows, and keeps it in the store, so that a restart forgets none of it.
//
// Like package metrics it watches from outside: instances that were created and
// decided are counted from what the store publishes after a commit, attempts by a
// Sender around the client. An event adds to three rows in memory: the minute and the
// quarter of an hour of all webhooks together, and the quarter of its webhook. Rows
// that have changed are written every 10 s, whole, in the place of what was written of
// them before; so a save that fails, or of which nobody knows whether it failed, is
// simply made again. What a crash loses is what was counted since.
package statistics

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/riposte-dev/riposte"
)

const (
	savePeriod = 10 * time.Second
	// saveStep is how many rows share an operation of the store, so that it doesn't
	// hold up who waits for the same commit.
	saveStep = 500
	// maxRows bounds memory: some 40 MB.
	maxRows = 100_000
)

// Options is what a Collector needs; all of it is required.
type Options struct {
	Store  riposte.Store // its clock says which span an event is in
	Logger *slog.Logger
}

// Collector counts for one process.
type Collector struct {
	Options
	unsubscribe func()

	saving sync.Mutex // held while rows are written, and taken before mu

	mu      sync.Mutex
	process string
	minute  *row            // of all webhooks
	quarter *row            // of all webhooks
	rows    map[string]*row // the quarter's, by webhook
	unsaved []*row          // what has changed since it was written; appended to or replaced, as others read it
	written []*row          // what is being written; replaced, too
	past    int             // how many rows of earlier quarters are not written yet, at most
	full    bool            // some webhooks are not counted
}

// row is a riposte.StatisticsRow under way. What it counts belongs to mu, what it is about
// never changes.
type row struct {
	riposte.StatisticsRow
	dirty bool // it is in unsaved
}

// New returns a collector that counts what the store publishes from now on. Run it,
// and Close it before the store.
func New(o Options) *Collector {
	c := &Collector{Options: o, process: riposte.NewID(o.Store.Now())}
	c.turn(o.Store.Now())
	c.unsubscribe = o.Store.Subscribe(c.changed)
	return c
}

// Sender makes attempts, as the engine wants it.
type Sender interface {
	Send(ctx context.Context, c riposte.ClaimedInstance) riposte.Result
}

// Sender returns next, watched: each attempt is counted when it has ended, whether its
// result can be saved or not. A push is none.
func (c *Collector) Sender(next Sender) Sender { return sender{next, c} }

type sender struct {
	next      Sender
	collector *Collector
}

func (s sender) Send(ctx context.Context, c riposte.ClaimedInstance) riposte.Result {
	r := s.next.Send(ctx, c)
	if !c.Instance.OwesPush() {
		var ended riposte.Statistics
		ended.Ended(c.Instance.ID, &r.Attempt)
		s.collector.count(c.Instance.WebhookID, &ended)
	}
	return r
}

// changed is subscribed to the store. Of what other nodes did it tells neither version
// nor steps, so each node counts its own.
func (c *Collector) changed(i riposte.Instance) {
	switch {
	case i.Version == 1:
		c.count(i.WebhookID, &riposte.Statistics{Created: 1})
	case i.Version == 0 || !i.JustDecided():
	case i.Outcome.Failure != nil:
		c.count(i.WebhookID, &riposte.Statistics{Failed: 1})
	default:
		c.count(i.WebhookID, &riposte.Statistics{Answered: 1})
	}
}

// count adds what has happened just now.
func (c *Collector) count(webhookID string, s *riposte.Statistics) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.turn(c.Store.Now())
	c.add(c.minute, s)
	c.add(c.quarter, s)
	if r := c.of(webhookID); r != nil {
		c.add(r, s)
	}
}

// turn begins the rows of a span that has begun. mu must be held, here and below.
func (c *Collector) turn(now time.Time) {
	if c.minute != nil {
		if into := now.Sub(c.minute.Start); into >= 0 && into < riposte.StatisticsMinute {
			return
		}
		if now.Before(c.minute.Start) {
			// The clock was set back. Rows of that time may have been written already and
			// must stay: those that begin now are another process's.
			c.process = riposte.NewID(now)
		}
	}
	c.minute = c.newRow("", riposte.StatisticsMinute, now)
	if start := now.Truncate(riposte.StatisticsQuarter); c.quarter == nil || !c.quarter.Start.Equal(start) {
		c.quarter, c.rows = c.newRow("", riposte.StatisticsQuarter, now), map[string]*row{}
		c.forget(now)
	}
}

// forget makes room for another quarter's rows.
func (c *Collector) forget(now time.Time) {
	c.unsaved = slices.DeleteFunc(slices.Clone(c.unsaved), func(r *row) bool {
		keep := riposte.KeepStatisticsQuarters
		if r.Span == riposte.StatisticsMinute {
			keep = riposte.KeepStatisticsMinutes
		}
		return now.Sub(r.Start) > keep
	})
	c.past, c.full = len(c.unsaved)+len(c.written), false
}

func (c *Collector) newRow(webhookID string, span time.Duration, now time.Time) *row {
	return &row{StatisticsRow: riposte.StatisticsRow{WebhookID: webhookID, Span: span, Start: now.Truncate(span).UTC(), Process: c.process}}
}

// of returns the webhook's row of this quarter, nil where there is no room for it.
func (c *Collector) of(webhookID string) *row {
	if r := c.rows[webhookID]; r != nil {
		return r
	}
	if len(c.rows)+c.past >= maxRows {
		if !c.full {
			c.full = true
			c.Logger.Warn("statistics: too many webhooks, so some are not counted one by one", "rows", maxRows)
		}
		return nil
	}
	r := c.newRow(webhookID, riposte.StatisticsQuarter, c.quarter.Start)
	c.rows[webhookID] = r
	return r
}

func (c *Collector) add(r *row, s *riposte.Statistics) {
	r.Add(*s)
	if !r.dirty {
		r.dirty = true
		c.unsaved = append(c.unsaved, r)
	}
}
