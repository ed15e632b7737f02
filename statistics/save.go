package statistics

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/riposte-dev/riposte"
)

// Run writes what was counted every 10 s until ctx ends.
func (c *Collector) Run(ctx context.Context) {
	tick := time.NewTicker(savePeriod)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := c.save(ctx); err != nil && ctx.Err() == nil {
				c.Logger.Warn("statistics: not saved, so the next save has them, too", "error", err)
			}
		case <-ctx.Done():
			return
		}
	}
}

// Close counts what was committed until now and writes the rest.
func (c *Collector) Close(ctx context.Context) error {
	err := c.Store.Told(ctx)
	c.unsubscribe()
	return errors.Join(err, c.save(ctx))
}

// save writes what has changed by now. What it can't write stays unsaved.
func (c *Collector) save(ctx context.Context) error {
	c.saving.Lock()
	defer c.saving.Unlock()
	for rows := c.begin(); len(rows) > 0; rows = c.step() {
		if err := c.Store.SaveStatistics(ctx, rows); err != nil {
			c.keep()
			return fmt.Errorf("saving statistics: %w", err)
		}
		c.saved(len(rows))
	}
	return nil
}

func (c *Collector) begin() []riposte.StatisticsRow {
	c.mu.Lock()
	c.written, c.unsaved = c.unsaved, nil
	for _, r := range c.written {
		r.dirty = false
	}
	c.mu.Unlock()
	return c.step()
}

// step returns rows to be written now, as they are now.
func (c *Collector) step() []riposte.StatisticsRow {
	written, _ := c.pending()
	rows := written[:min(saveStep, len(written))]
	return c.appendStates(make([]riposte.StatisticsRow, 0, len(rows)), rows)
}

func (c *Collector) saved(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.written = c.written[n:]; len(c.written) > 0 {
		return
	}
	c.written, c.past = nil, 0
	for _, r := range c.unsaved {
		if r.Start.Before(c.quarter.Start) { // those of this quarter are in rows
			c.past++
		}
	}
}

// keep gives back what was not written.
func (c *Collector) keep() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.written {
		if !r.dirty {
			r.dirty = true
			c.unsaved = append(c.unsaved, r)
		}
	}
	c.written = nil
}

// Unsaved returns the rows that f selects and that the store may not have, or not as
// they are now. Whoever wants all asks here first and then the store, and takes of a
// row that both have the one that has Counted more.
func (c *Collector) Unsaved(f riposte.StatisticsFilter) []riposte.StatisticsRow {
	written, unsaved := c.pending()
	rows := selected(written, unsaved, f)
	list := make([]riposte.StatisticsRow, 0, len(rows))
	for some := range slices.Chunk(rows, saveStep) {
		list = c.appendStates(list, some)
	}
	return list
}

// pending returns what the store may not have. Each attempt waits for mu, so whoever
// looks through all these rows does that without it.
func (c *Collector) pending() (written, unsaved []*row) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.written, c.unsaved
}

// selected are the rows that f selects of both, each once.
func selected(written, unsaved []*row, f riposte.StatisticsFilter) []*row {
	ids := make(map[string]bool, len(f.WebhookIDs))
	for _, id := range f.WebhookIDs {
		ids[id] = true
	}
	var rows []*row
	seen := map[*row]bool{}
	for _, r := range written {
		if r.selected(f, ids) {
			seen[r] = true
			rows = append(rows, r)
		}
	}
	for _, r := range unsaved {
		if r.selected(f, ids) && !seen[r] {
			rows = append(rows, r)
		}
	}
	return rows
}

// selected reports whether f, whose webhooks are ids, selects r.
func (r *row) selected(f riposte.StatisticsFilter, ids map[string]bool) bool {
	if r.Span != f.Span || r.Start.Before(f.From) {
		return false
	}
	if f.WebhookIDs == nil {
		return r.WebhookID != ""
	}
	return ids[r.WebhookID]
}

// appendStates appends rows as they are now.
func (c *Collector) appendStates(list []riposte.StatisticsRow, rows []*row) []riposte.StatisticsRow {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range rows {
		list = append(list, r.StatisticsRow)
	}
	return list
}
