package api

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/riposte-dev/riposte"
)

// maxOlderSums bounds how many webhooks' sums are kept: some 300 bytes each.
const maxOlderSums = 10_000

// olderSums keeps what webhooks' last day has before the last hour. It is most of the
// rows, it changes with the quarter alone, and pages that list webhooks ask for it every
// few seconds.
type olderSums struct {
	read func(context.Context, riposte.StatisticsFilter) ([]riposte.StatisticsRow, error)

	mu       sync.Mutex
	from, to time.Time
	m        map[string]riposte.Statistics // of what began from from on and before to, by webhook
}

func newOlderSums(read func(context.Context, riposte.StatisticsFilter) ([]riposte.StatisticsRow, error)) *olderSums {
	return &olderSums{read: read, m: map[string]riposte.Statistics{}}
}

// get returns a map of the caller's own.
func (o *olderSums) get(ctx context.Context, ids []string, from, to time.Time) (map[string]riposte.Statistics, error) {
	found, missing := o.known(ids, from, to)
	if len(missing) == 0 {
		return found, nil
	}
	rows, err := o.read(ctx, riposte.StatisticsFilter{WebhookIDs: missing, Span: riposte.StatisticsQuarter, From: from})
	if err != nil {
		return nil, err
	}
	for _, id := range missing {
		found[id] = riposte.Statistics{}
	}
	for _, r := range rows {
		if r.Start.Before(to) {
			sum := found[r.WebhookID]
			sum.Add(r.Statistics)
			found[r.WebhookID] = sum
		}
	}
	o.keep(found, from, to)
	return found, nil
}

func (o *olderSums) known(ids []string, from, to time.Time) (found map[string]riposte.Statistics, missing []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	found = make(map[string]riposte.Statistics, len(ids))
	for _, id := range ids {
		if sum, ok := o.m[id]; ok && o.from.Equal(from) && o.to.Equal(to) {
			found[id] = sum
		} else {
			missing = append(missing, id)
		}
	}
	return found, missing
}

func (o *olderSums) keep(sums map[string]riposte.Statistics, from, to time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.from.Equal(from) || !o.to.Equal(to) || len(o.m) > maxOlderSums {
		o.from, o.to = from, to
		clear(o.m)
	}
	maps.Copy(o.m, sums)
}
