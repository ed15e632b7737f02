package api

import (
	"context"
	"slices"
	"strconv"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/riposte-dev/riposte"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

// Counted is what this node has counted.
type Counted interface {
	// Unsaved returns rows that the store may not have yet, or not as they are now: who
	// asks here first and then the store misses none.
	Unsaved(f riposte.StatisticsFilter) []riposte.StatisticsRow
}

// What the statistics have at most.
const (
	minutesShown  = 60
	quartersShown = 96
	dueShown      = 5
	expiringShown = 5
	troubleShown  = 10
)

// statisticsService is riposte.v1's StatisticsService.
type statisticsService struct{ s *Server }

func (h statisticsService) Get(ctx context.Context, r *ripostev1.StatisticsServiceGetRequest) (*ripostev1.StatisticsServiceGetResponse, error) {
	return call(ctx, h.s, "StatisticsService.Get", r, h.get)
}

func (h statisticsService) GetWebhook(ctx context.Context, r *ripostev1.StatisticsServiceGetWebhookRequest) (*ripostev1.StatisticsServiceGetWebhookResponse, error) {
	return call(ctx, h.s, "StatisticsService.GetWebhook", r, h.getWebhook)
}

func (h statisticsService) ListWebhooks(ctx context.Context, r *ripostev1.StatisticsServiceListWebhooksRequest) (*ripostev1.StatisticsServiceListWebhooksResponse, error) {
	return call(ctx, h.s, "StatisticsService.ListWebhooks", r, h.listWebhooks)
}

// countsAge is for how long what Get returns is kept at least. Its parts are kept one by
// one, so that one that costs much doesn't make the others older.
const countsAge = time.Second

func (h statisticsService) get(ctx context.Context, caller riposte.Caller, _ *ripostev1.StatisticsServiceGetRequest) (*ripostev1.StatisticsServiceGetResponse, error) {
	c, err := h.s.counts.get(ctx)
	if err != nil {
		return nil, err
	}
	p, err := h.s.pressing.get(ctx)
	if err != nil {
		return nil, err
	}
	t, err := h.s.trouble.get(ctx)
	if err != nil {
		return nil, err
	}
	return &ripostev1.StatisticsServiceGetResponse{
		AsOf: timestamp(riposte.Time(c.asOf)), States: c.states, LastHour: c.lastHour, LastDay: c.lastDay,
		OldestDue: seen(caller, p.due), SoonestToExpire: seen(caller, p.expiring),
		InTrouble: seenOf(caller, t.webhooks...), InTroubleCount: int32(t.count),
	}, nil
}

// counts is how many instances there are, and what was counted of all webhooks.
type counts struct {
	asOf              time.Time
	states            []*ripostev1.StateCount
	lastHour, lastDay []*ripostev1.Statistics
}

func (s *Server) readCounts(ctx context.Context) (counts, error) {
	c := counts{asOf: s.Store.Now()}
	states, err := s.Store.CountInstances(ctx)
	if err != nil {
		return c, err
	}
	for _, state := range riposte.States {
		c.states = append(c.states, &ripostev1.StateCount{State: stateMessage(state), Count: int64(states[state])})
	}
	if c.lastHour, err = s.series(ctx, "", hour(c.asOf)); err != nil {
		return c, err
	}
	c.lastDay, err = s.series(ctx, "", day(c.asOf))
	return c, err
}

// pressing are the instances that something should happen to soonest.
type pressing struct{ due, expiring []*ripostev1.Instance }

// readPressing costs a look at each webhook that has open instances.
func (s *Server) readPressing(ctx context.Context) (pressing, error) {
	due, err := s.Store.OldestDue(ctx, dueShown)
	if err != nil {
		return pressing{}, err
	}
	expiring, err := s.Store.SoonestToExpire(ctx, expiringShown)
	return pressing{instanceMessages(due), instanceMessages(expiring)}, err
}

// seen are those of a list, which is shared, that caller may know of.
func seen(caller riposte.Caller, list []*ripostev1.Instance) []*ripostev1.Instance {
	if caller.Only() == "" {
		return list
	}
	return slices.DeleteFunc(slices.Clone(list), func(i *ripostev1.Instance) bool { return !caller.Sees(i.GetCreatedBy()) })
}

// seenOf are overviews, which are shared, as caller may see them: how a webhook fares
// is for everybody, whose instance made the last attempt is not.
func seenOf(caller riposte.Caller, list ...*ripostev1.WebhookOverview) []*ripostev1.WebhookOverview {
	if caller.Only() == "" {
		return list
	}
	list = slices.Clone(list)
	for n, o := range list {
		if o.GetLastAttempt() != nil {
			list[n] = proto.CloneOf(o)
			list[n].LastAttempt.InstanceId = ""
		}
	}
	return list
}

func (h statisticsService) getWebhook(ctx context.Context, caller riposte.Caller, r *ripostev1.StatisticsServiceGetWebhookRequest) (*ripostev1.StatisticsServiceGetWebhookResponse, error) {
	w, err := h.s.webhook(ctx, r.GetWebhookId())
	if err != nil {
		return nil, err
	}
	now := h.s.Store.Now()
	overviews, err := h.s.overviews(ctx, []riposte.Webhook{w}, now)
	if err != nil {
		return nil, err
	}
	series, err := h.s.series(ctx, w.ID, day(now))
	if err != nil {
		return nil, err
	}
	return &ripostev1.StatisticsServiceGetWebhookResponse{Overview: seenOf(caller, overviews...)[0], LastDay: series}, nil
}

func (h statisticsService) listWebhooks(ctx context.Context, caller riposte.Caller, r *ripostev1.StatisticsServiceListWebhooksRequest) (*ripostev1.StatisticsServiceListWebhooksResponse, error) {
	p, err := newPage(r.GetPageSize(), r.GetPageToken(), maxPageSize, "statistics", r.GetQuery(), strconv.FormatBool(r.GetDeleted()))
	if err != nil {
		return nil, err
	}
	rows, err := h.s.Store.ListWebhooks(ctx, riposte.WebhookFilter{Query: r.GetQuery(), Deleted: r.GetDeleted(), Before: p.before, Limit: p.limit()})
	if err != nil {
		return nil, err
	}
	rows, next := cut(p, rows, func(w riposte.Webhook) string { return w.ID })
	list, err := h.s.overviews(ctx, rows, h.s.Store.Now())
	if err != nil {
		return nil, err
	}
	return &ripostev1.StatisticsServiceListWebhooksResponse{List: seenOf(caller, list...), NextPageToken: next}, nil
}

// spans are n spans in a row, the last of which is under way.
type spans struct {
	from time.Time
	each time.Duration
	n    int
}

func spansUntil(now time.Time, each time.Duration, n int) spans {
	return spans{now.Truncate(each).Add(-time.Duration(n-1) * each), each, n}
}

func hour(now time.Time) spans { return spansUntil(now, riposte.StatisticsMinute, minutesShown) }
func day(now time.Time) spans  { return spansUntil(now, riposte.StatisticsQuarter, quartersShown) }

// hourOfWebhook is what a webhook's last hour is: single webhooks are counted by the
// quarter.
func hourOfWebhook(now time.Time) spans {
	return spansUntil(now, riposte.StatisticsQuarter, int(time.Hour/riposte.StatisticsQuarter))
}

// has reports whether what began at start is to be counted. What began after the span
// that comes next did so by a clock that was wrong: were it counted, its last attempt
// would be the last one until that time has come.
func (s spans) has(start time.Time) bool {
	return !start.Before(s.from) && start.Before(s.from.Add(time.Duration(s.n+1)*s.each))
}

// message is what was counted in all of them together.
func (s spans) message(sum riposte.Statistics) *ripostev1.Statistics {
	return statisticsMessage(s.from, time.Duration(s.n)*s.each, sum)
}

// counted returns all rows that f selects, those included that are not saved yet.
func (s *Server) counted(ctx context.Context, f riposte.StatisticsFilter) ([]riposte.StatisticsRow, error) {
	type key struct {
		webhook, process string
		start            int64
	}
	rows := s.Counted.Unsaved(f)
	saved, err := s.Store.LoadStatistics(ctx, f)
	if err != nil {
		return nil, err
	}
	at := make(map[key]int, len(rows))
	for n, r := range rows {
		at[key{r.WebhookID, r.Process, r.Start.Unix()}] = n
	}
	for _, r := range saved {
		n, both := at[key{r.WebhookID, r.Process, r.Start.Unix()}]
		switch {
		case !both:
			rows = append(rows, r)
		case r.Counted() > rows[n].Counted(): // it was saved in between
			rows[n] = r
		}
	}
	return rows, nil
}

// series is what was counted in each of these spans, also where that is nothing: of
// a webhook, or of all together for "".
func (s *Server) series(ctx context.Context, webhookID string, all spans) ([]*ripostev1.Statistics, error) {
	rows, err := s.counted(ctx, riposte.StatisticsFilter{WebhookIDs: []string{webhookID}, Span: all.each, From: all.from})
	if err != nil {
		return nil, err
	}
	sums := make([]riposte.Statistics, all.n)
	for _, r := range rows {
		if n := int(r.Start.Sub(all.from) / all.each); n < all.n { // another node's clock may be ahead
			sums[n].Add(r.Statistics)
		}
	}
	list := make([]*ripostev1.Statistics, all.n)
	for n, sum := range sums {
		list[n] = statisticsMessage(all.from.Add(time.Duration(n)*all.each), all.each, sum)
	}
	return list, nil
}

// overviews says how these webhooks fare, in their order.
func (s *Server) overviews(ctx context.Context, webhooks []riposte.Webhook, now time.Time) ([]*ripostev1.WebhookOverview, error) {
	if len(webhooks) == 0 {
		return nil, nil
	}
	ids := make([]string, len(webhooks))
	for n, w := range webhooks {
		ids[n] = w.ID
	}
	lastHour, lastDay := hourOfWebhook(now), day(now)
	days, err := s.older.get(ctx, ids, lastDay.from, lastHour.from)
	if err != nil {
		return nil, err
	}
	rows, err := s.counted(ctx, riposte.StatisticsFilter{WebhookIDs: ids, Span: lastHour.each, From: lastHour.from})
	if err != nil {
		return nil, err
	}
	hours := sums(rows, lastHour)
	for id, sum := range hours {
		sum.Add(days[id])
		days[id] = sum
	}
	ids = slices.DeleteFunc(ids, func(id string) bool { return days[id].Last != nil })
	before := map[string]riposte.LastAttempt{}
	if len(ids) > 0 {
		if before, err = s.Store.LastAttempts(ctx, ids); err != nil {
			return nil, err
		}
	}
	held := s.held()
	list := make([]*ripostev1.WebhookOverview, len(webhooks))
	for n, w := range webhooks {
		last := days[w.ID].Last
		if l, ok := before[w.ID]; ok && last == nil {
			last = &l
		}
		list[n] = &ripostev1.WebhookOverview{
			Webhook:     webhookMessage(w),
			Health:      healthMessage(hours[w.ID].Health(held[w.ID])),
			LastHour:    lastHour.message(hours[w.ID]),
			LastDay:     lastDay.message(days[w.ID]),
			LastAttempt: lastAttemptMessage(last),
		}
	}
	return list, nil
}

// sums adds up the rows of these spans, by webhook, and those of the next: a node's
// clock may be a little ahead.
func sums(rows []riposte.StatisticsRow, of spans) map[string]riposte.Statistics {
	all := map[string]riposte.Statistics{}
	for _, r := range rows {
		if of.has(r.Start) {
			sum := all[r.WebhookID]
			sum.Add(r.Statistics)
			all[r.WebhookID] = sum
		}
	}
	return all
}

// held are the webhooks that this node holds. Another one may hold others, or have
// found the receiver again.
func (s *Server) held() map[string]bool {
	ids := map[string]bool{}
	for _, id := range s.Held() {
		ids[id] = true
	}
	return ids
}

func statisticsMessage(start time.Time, span time.Duration, s riposte.Statistics) *ripostev1.Statistics {
	return &ripostev1.Statistics{
		StartAt:        timestamp(start),
		Span:           durationpb.New(span),
		Created:        int64(s.Created),
		Answered:       int64(s.Answered),
		Failed:         int64(s.Failed),
		Attempts:       int64(s.Attempts),
		AttemptsFailed: int64(s.AttemptsFailed),
		AnswerTimeP50:  duration(s.AnswerTime(0.5)),
		AnswerTimeP95:  duration(s.AnswerTime(0.95)),
	}
}

func healthMessage(h riposte.Health) ripostev1.WebhookHealth {
	return ripostev1.WebhookHealth(ripostev1.WebhookHealth_value["WEBHOOK_HEALTH_"+string(h)])
}

func lastAttemptMessage(l *riposte.LastAttempt) *ripostev1.LastAttempt {
	if l == nil {
		return nil
	}
	return &ripostev1.LastAttempt{
		EndedAt: timestamp(l.EndedAt), InstanceId: l.InstanceID, StatusCode: int32(l.StatusCode), Error: errorMessage(l.Error)}
}
