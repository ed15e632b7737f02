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
	c.mu.Lock()
	defer c.mu.Unlock()
	return states(c.written[:min(saveStep, len(c.written))])
}

func (c *Collector) saved(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.written = c.written[n:]; len(c.written) == 0 {
		c.written, c.past = nil, len(c.unsaved)
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
	ids := make(map[string]bool, len(f.WebhookIDs))
	for _, id := range f.WebhookIDs {
		ids[id] = true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	unselected := func(r *row) bool {
		chosen := ids[r.WebhookID]
		if f.WebhookIDs == nil {
			chosen = r.WebhookID != ""
		}
		return !chosen || r.Span != f.Span || r.Start.Before(f.From)
	}
	var rows []*row
	for _, r := range c.written {
		if !r.dirty { // which would be in both
			rows = append(rows, r)
		}
	}
	rows = append(rows, c.unsaved...)
	return states(slices.DeleteFunc(rows, unselected))
}

// states copies rows as they are now. mu must be held.
func states(rows []*row) []riposte.StatisticsRow {
	list := make([]riposte.StatisticsRow, len(rows))
	for n, r := range rows {
		list[n] = r.StatisticsRow
	}
	return list
}
