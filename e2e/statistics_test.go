package e2e

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	c1 "github.com/riposte-dev/riposte/gen/c1/api/webhooks/v1"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
	"github.com/riposte-dev/riposte/postgres/postgrestest"
	"github.com/riposte-dev/riposte/ripostetest"
	"github.com/riposte-dev/riposte/server"
)

// figures is what the statistics count in a day.
type figures struct{ Created, Answered, Failed, Attempts, AttemptsFailed int64 }

func figuresOf(series ...*ripostev1.Statistics) (sum figures) {
	for _, s := range series {
		sum.Created += s.GetCreated()
		sum.Answered += s.GetAnswered()
		sum.Failed += s.GetFailed()
		sum.Attempts += s.GetAttempts()
		sum.AttemptsFailed += s.GetAttemptsFailed()
	}
	return sum
}

// wantFigures compares what a node shows of the last day with what happened.
func wantFigures(t *testing.T, s *ripostetest.Server, webhook string, want figures) {
	t.Helper()
	if err := s.Told(patient(t)); err != nil {
		t.Fatal(err)
	}
	all := allStatistics(t, s)
	read := all.GetAsOf().AsTime() // perhaps before that
	eventually(t, "the statistics are read again", func() bool {
		if figuresOf(all.GetLastDay()...) != want {
			all = allStatistics(t, s)
		}
		return figuresOf(all.GetLastDay()...) == want || all.GetAsOf().AsTime().After(read)
	})
	one := statisticsOf(t, s, webhook)
	for of, got := range map[string]figures{
		"the last hour":          figuresOf(all.GetLastHour()...),
		"the last day":           figuresOf(all.GetLastDay()...),
		"the webhook's last day": figuresOf(one.GetLastDay()...),
		"the webhook's sum":      figuresOf(one.GetOverview().GetLastDay()),
	} {
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: -want +got\n%s", of, diff)
		}
	}
}

func allStatistics(t *testing.T, s *ripostetest.Server) *ripostev1.StatisticsServiceGetResponse {
	t.Helper()
	res, err := s.Statistics.Get(patient(t), &ripostev1.StatisticsServiceGetRequest{})
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func statisticsOf(t *testing.T, s *ripostetest.Server, webhook string) *ripostev1.StatisticsServiceGetWebhookResponse {
	t.Helper()
	res, err := s.Statistics.GetWebhook(patient(t), &ripostev1.StatisticsServiceGetWebhookRequest{WebhookId: webhook})
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// askAndWait asks n times and returns when all are decided.
func askAndWait(t *testing.T, s *ripostetest.Server, webhook string, n int) {
	t.Helper()
	for range n {
		res, err := s.Webhooks.Test(patient(t), &c1.WebhooksServiceTestRequest{Id: webhook})
		if err != nil {
			t.Fatal(err)
		}
		decided := func(i *ripostev1.Instance) bool { return i.GetOutcome() != nil }
		if _, err := s.WaitFor(patient(t), res.GetWebhook().GetId(), decided); err != nil {
			t.Fatal(err)
		}
	}
}

// TestStatisticsSurviveARestart: all of them, and a webhook's last attempt also when
// it was long ago.
func TestStatisticsSurviveARestart(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, inTurn(ripostetest.Reply{Status: 503}, ripostetest.Reply{Body: `{"version":"v1"}`}))
	var clock ripostetest.Clock
	dir := t.TempDir()
	start := func() *ripostetest.Server {
		return ripostetest.Start(t, timedBy(&clock), retryAfter(time.Millisecond), func(c *server.Config) { c.Data = dir })
	}
	s := start()
	created, err := s.Webhooks.Create(patient(t), &c1.WebhooksServiceCreateRequest{DisplayName: "w", Url: r.URL})
	if err != nil {
		t.Fatal(err)
	}
	webhook := created.GetWebhook().GetId()
	askAndWait(t, s, webhook, 3)
	wantFigures(t, s, webhook, figures{Created: 3, Answered: 3, Attempts: 6, AttemptsFailed: 3})
	s.Stop()

	s = start()
	wantFigures(t, s, webhook, figures{Created: 3, Answered: 3, Attempts: 6, AttemptsFailed: 3})
	askAndWait(t, s, webhook, 1)
	wantFigures(t, s, webhook, figures{Created: 4, Answered: 4, Attempts: 8, AttemptsFailed: 4})
	last := statisticsOf(t, s, webhook).GetOverview().GetLastAttempt()
	s.Stop()

	clock.Advance(25 * time.Hour)
	s = start()
	wantFigures(t, s, webhook, figures{})
	overview := statisticsOf(t, s, webhook).GetOverview()
	if overview.GetHealth() != ripostev1.WebhookHealth_WEBHOOK_HEALTH_QUIET || last == nil || overview.GetLastAttempt().String() != last.String() {
		t.Errorf("it is %s, its last attempt %s, was %s", overview.GetHealth(), overview.GetLastAttempt(), last)
	}
}

// TestStatisticsOfNodesAddUp: what one has saved is shown by the others.
func TestStatisticsOfNodesAddUp(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, always(ripostetest.Reply{Body: `{"version":"v1"}`}))
	url := postgrestest.URL(t)
	start := func() *ripostetest.Server {
		return ripostetest.Start(t, func(c *server.Config) { c.DatabaseURL = url })
	}
	one, other := start(), start()
	created, err := one.Webhooks.Create(patient(t), &c1.WebhooksServiceCreateRequest{DisplayName: "w", Url: r.URL})
	if err != nil {
		t.Fatal(err)
	}
	webhook := created.GetWebhook().GetId()
	askAndWait(t, one, webhook, 3)
	askAndWait(t, other, webhook, 4)
	one.Stop()
	wantFigures(t, other, webhook, figures{Created: 7, Answered: 7, Attempts: 7})
	other.Stop()
	wantFigures(t, start(), webhook, figures{Created: 7, Answered: 7, Attempts: 7})
}
