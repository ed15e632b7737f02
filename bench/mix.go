package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/riposte-dev/riposte"
)

// mixed is what a server has after a week of work for a company. One webhook, the
// first, has half of the instances, of which none has failed and none is a test, so
// that nothing is found among many. What is rare is older than all the rest, where
// whoever goes through the newest first comes last.
var mixed = kind{name: "mixed", webhooks: mixedWebhooks, before: rareInstances, each: mix, counted: countMixed}

var mixedWebhooks = []string{
	"Access requests", "Access requests, contractors", "Access requests, vendors", "Accounts: create", "Accounts: suspend",
	"Accounts: rename", "Groups: add a member", "Groups: remove a member", "Databases: grant", "Databases: revoke",
	"Production shell", "Production shell, at night", "Payroll", "Expenses above 1,000", "Purchase orders", "Laptops",
	"Building badges", "Risk assessment", "Tickets: keep in step", "Old approvals service",
}

const (
	busyWebhook = 0 // that has half of all
	failingLast = 19

	rareInstances = 3
	mixedTickets  = 5_000
	commonTicket  = "ACCESS-1"
	rareTicket    = "ACCESS-2027"
	commonLabel   = "env=prod"
	rareLabel     = "team=legal"
)

var mixedTeams = []string{"red", "blue", "green", "amber", "violet"}

// mixedFirst are how many mixed instances the store makes before they are copied.
const mixedFirst = 25_000

// seedMixed seeds a store with mixed instances, or for none with their webhooks and
// what was counted of them, which is of the last day however many instances there are.
func seedMixed(ctx context.Context, m medium, store string, n, first int, k kind) error {
	const nobody = "http://127.0.0.1:1" // listens there, and nobody is to be asked
	if n == 0 {
		k.before = 0
		return seed(ctx, m, store, nobody, 0, k)
	}
	return seedMany(ctx, m, store, nobody, n, first, k)
}

// mix makes the n-th instance, which is the same in each store.
func mix(n int) question {
	if n < 0 {
		return question{webhook: busyWebhook, source: riposte.Source{Kind: riposte.SourceApprovalStep, TicketID: rareTicket},
			labels: map[string]string{"team": "legal", "env": "prod"}, life: answered}
	}
	r := rand.New(rand.NewPCG(1, uint64(n)))
	q := question{webhook: busyWebhook, labels: map[string]string{"team": mixedTeams[r.IntN(len(mixedTeams))], "env": "prod"}}
	if n%2 == 1 {
		q.webhook = 1 + r.IntN(len(mixedWebhooks)-1)
	}
	if r.IntN(10) < 3 {
		q.labels["env"] = "test"
	}
	q.source = mixedSource(r, q.webhook == busyWebhook)
	q.life = mixedLife(n, r, q.webhook == busyWebhook)
	return q
}

func mixedSource(r *rand.Rand, busy bool) riposte.Source {
	of := ticketed(r)
	switch share := r.IntN(100); {
	case share < 20:
		of.Kind = riposte.SourceProvisionStep
	case share < 30:
		of.Kind = riposte.SourcePolicyPostAction
	case share < 45:
		return riposte.Source{Kind: riposte.SourceWorkflowStep, WorkflowExecutionID: 1 + r.Int64N(1_000_000), WorkflowStepID: "ask"}
	case share < 50 && !busy:
		return riposte.Source{Kind: riposte.SourceTest}
	}
	return of
}

// ticketed is an approval step of any ticket. One in fifty are of the same.
func ticketed(r *rand.Rand) riposte.Source {
	ticket := commonTicket
	if r.IntN(50) > 0 {
		ticket = fmt.Sprint("ACCESS-", 10_000+r.IntN(mixedTickets))
	}
	return riposte.Source{Kind: riposte.SourceApprovalStep, TicketID: ticket}
}

func mixedLife(n int, r *rand.Rand, busy bool) life {
	if n%2_000 == 1 { // not by chance: there must be one among few, too
		return held
	}
	switch share := r.IntN(1_000); {
	case share < 60:
		return taken
	case share < 75:
		return failing
	case share < 130 && !busy:
		return gone
	case share < 250:
		return denied
	}
	return answered
}

// The lives of a mix. Nothing of them becomes due within weeks: nobody is there to
// be asked.
var (
	answered = closing(http.StatusOK, func(k riposte.SourceKind) string { return documents[k] })
	denied   = closing(http.StatusOK, func(k riposte.SourceKind) string {
		if k == riposte.SourceApprovalStep {
			return `{"version":"v1","deny":{"comment":"not without a ticket of the owner's"}}`
		}
		return documents[k]
	})
	gone    = closing(http.StatusGone, func(riposte.SourceKind) string { return "" })
	taken   = closing(http.StatusAccepted, func(riposte.SourceKind) string { return "" })
	failing = late(closing(http.StatusBadGateway, func(riposte.SourceKind) string { return "bad gateway" }))
	held    = life{stored: func(i riposte.Instance, _ time.Time) (riposte.Instance, error) { return lastDay(i), nil }}
)

var documents = map[riposte.SourceKind]string{
	riposte.SourceTest:             `{"version":"v1"}`,
	riposte.SourcePolicyPostAction: `{"version":"v1"}`,
	riposte.SourceApprovalStep:     approval,
	riposte.SourceProvisionStep:    `{"version":"v1","complete":{"comment":"done"}}`,
	riposte.SourceWorkflowStep:     `{"version":"v1","context":{"risk":"low","score":17}}`,
}

// late is a life whose next attempt is on its last day.
func late(l life) life {
	saved := l.saved
	l.saved = func(i riposte.Instance, now time.Time) (riposte.Instance, *riposte.Attempt, error) {
		i, a, err := saved(i, now)
		return lastDay(i), a, err
	}
	return l
}

func lastDay(i riposte.Instance) riposte.Instance {
	i.DueAt = i.ExpiresAt.Add(-24 * time.Hour)
	return i
}

// countMixed has what a server has counted that was never at rest, at the rate at
// which a million are made in the time of forty copies.
func countMixed(webhooks []riposte.Webhook, last []string, now time.Time) (rows []riposte.StatisticsRow) {
	for _, each := range []struct{ span, kept time.Duration }{
		{riposte.StatisticsMinute, riposte.KeepStatisticsMinutes}, {riposte.StatisticsQuarter, riposte.KeepStatisticsQuarters},
	} {
		for at := now.Add(-each.kept).Truncate(each.span).Add(each.span); !at.After(now); at = at.Add(each.span) {
			sum := riposte.StatisticsRow{Span: each.span, Start: at, Process: "seeded"}
			for n, w := range webhooks {
				row := riposte.StatisticsRow{WebhookID: w.ID, Span: each.span, Start: at, Process: "seeded",
					Statistics: counted(n, last[n], 2*int(each.span/time.Minute), at)}
				sum.Add(row.Statistics)
				rows = append(rows, row)
			}
			rows = append(rows, sum)
		}
	}
	return rows
}

// counted is what a webhook's receiver did from at on.
func counted(webhook int, instance string, attempts int, at time.Time) riposte.Statistics {
	if webhook == busyWebhook {
		attempts *= len(mixedWebhooks) - 1
	}
	s := riposte.Statistics{Created: attempts, Answered: attempts, Attempts: attempts,
		Last: &riposte.LastAttempt{EndedAt: at, InstanceID: instance, StatusCode: http.StatusOK}}
	if webhook == failingLast {
		s.AttemptsFailed, s.Last.StatusCode = attempts, http.StatusBadGateway
	}
	s.Times[3], s.Times[6] = attempts-attempts/10, attempts/10
	return s
}
