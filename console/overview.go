package console

import (
	"fmt"
	"net/http"
	"time"

	webhooksv1 "github.com/riposte-dev/riposte/gen/c1/api/webhooks/v1"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

// overviewLive is how often the overview is looked at again.
const overviewLive = 5 * time.Second

// overviewData is what the page of this name shows.
type overviewData struct {
	Any       bool   // whether there is a webhook
	Asked     bool   // whether anything was ever asked
	Server    string // the server's URL, for commands
	Open      []stateCount
	Closed    []stateCount
	Rates     []rate
	Charts    []chart
	OldestDue []instanceRow
	Expiring  []instanceRow
	Trouble   []*ripostev1.WebhookOverview
	Troubled  int32 // how many there are in all
}

type stateCount struct {
	State stateView
	Count int64
}

// rate is how much of something happens now.
type rate struct{ Text, Value, Class string }

func (v *visit) overview() error {
	figures, err := v.api.statistics.Get(v.call(), &ripostev1.StatisticsServiceGetRequest{})
	if err != nil {
		return err
	}
	webhooks, err := v.api.webhooks.List(v.call(), &webhooksv1.WebhooksServiceListRequest{PageSize: 10})
	if err != nil {
		return err
	}
	d := overviewData{Any: len(webhooks.GetList()) > 0, Server: v.PublicURL, Trouble: figures.GetInTrouble(), Troubled: figures.GetInTroubleCount()}
	d.Open, d.Closed = stateCounts(figures.GetStates())
	for _, c := range append(d.Open, d.Closed...) {
		d.Asked = d.Asked || c.Count > 0
	}
	d.Rates = rates(figures.GetLastHour())
	d.Charts = []chart{
		questionsChart("Questions of the last hour", figures.GetLastHour()), attemptsChart("Attempts of the last hour", figures.GetLastHour()),
		questionsChart("Questions of the last day", figures.GetLastDay()), attemptsChart("Attempts of the last day", figures.GetLastDay()),
	}
	if d.OldestDue, err = v.rows(figures.GetOldestDue(), webhooks.GetList()); err != nil {
		return err
	}
	if d.Expiring, err = v.rows(figures.GetSoonestToExpire(), webhooks.GetList()); err != nil {
		return err
	}
	return v.show(http.StatusOK, "overview", page{Title: "Overview", Nav: "/", Live: overviewLive, Data: d})
}

// stateCounts tells the states of open instances from those of closed ones.
func stateCounts(states []*ripostev1.StateCount) (open, closed []stateCount) {
	for _, s := range states {
		c := stateCount{newStateView(s.GetState()), s.GetCount()}
		switch s.GetState() {
		case webhooksv1.WebhookState_WEBHOOK_STATE_SUCCESS, webhooksv1.WebhookState_WEBHOOK_STATE_FATAL_ERROR:
			closed = append(closed, c)
		default:
			open = append(open, c)
		}
	}
	return open, closed
}

// ratesOver is how many whole minutes count as now.
const ratesOver = 5

// rates are what happened in a minute of the last five, the one under way left out.
func rates(hour []*ripostev1.Statistics) []rate {
	if len(hour) <= ratesOver {
		return nil
	}
	s := sum(hour[len(hour)-1-ratesOver : len(hour)-1])
	per := func(n int64) string { return perMinute(n, ratesOver) }
	class := "good"
	if s.GetAttemptsFailed() > 0 {
		class = "bad"
	}
	return []rate{
		{"asked", per(s.GetCreated()), ""},
		{"answered", per(s.GetAnswered()), ""},
		{"attempts", per(s.GetAttempts()), ""},
		{"attempts failed", per(s.GetAttemptsFailed()), class},
	}
}

func perMinute(n int64, minutes int) string {
	if each := float64(n) / float64(minutes); each < 10 && n%int64(minutes) != 0 {
		return fmt.Sprintf("%.1f", each)
	}
	return number(n / int64(minutes))
}
