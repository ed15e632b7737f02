package api

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/riposte-dev/riposte"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

// troubleAge is for how long what was read of the webhooks in trouble is kept at least.
// To read it costs a look at all that were active in the last hour.
const troubleAge = 2 * time.Second

// trouble is which webhooks are failing or held.
type trouble struct {
	webhooks []*ripostev1.WebhookOverview // the worst, troubleShown at most; shared, so never changed
	count    int                          // of all
}

// readTrouble looks for the live webhooks in trouble: those that are held come first,
// then by the attempts that failed in the last hour.
func (s *Server) readTrouble(ctx context.Context) (trouble, error) {
	now, held := s.Store.Now(), s.held()
	lastHour := hourOfWebhook(now)
	rows, err := s.counted(ctx, riposte.StatisticsFilter{Span: lastHour.each, From: lastHour.from})
	if err != nil {
		return trouble{}, err
	}
	hours := sums(rows, lastHour)
	suspects := maps.Clone(held)
	for id, h := range hours {
		if health := h.Health(held[id]); health == riposte.HealthFailing {
			suspects[id] = true
		}
	}
	if len(suspects) == 0 {
		return trouble{}, nil
	}
	found, err := s.Store.ListWebhooks(ctx, riposte.WebhookFilter{IDs: slices.Collect(maps.Keys(suspects)), Limit: len(suspects)})
	if err != nil {
		return trouble{}, err
	}
	slices.SortFunc(found, func(a, b riposte.Webhook) int {
		if held[a.ID] != held[b.ID] {
			return map[bool]int{true: -1, false: 1}[held[a.ID]]
		}
		return cmp.Or(cmp.Compare(hours[b.ID].AttemptsFailed, hours[a.ID].AttemptsFailed), cmp.Compare(a.ID, b.ID))
	})
	list, err := s.overviews(ctx, found[:min(troubleShown, len(found))], now)
	return trouble{webhooks: list, count: len(found)}, err
}
