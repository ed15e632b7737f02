package browser

import (
	"context"
	"math"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	webhooksv1 "github.com/riposte-dev/riposte/gen/c1/api/webhooks/v1"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
	"github.com/riposte-dev/riposte/ripostetest"
)

// people are who the questions are about.
var people = []struct{ user, manager, team string }{
	{"ada@example.com", "grace@example.com", "platform"},
	{"barbara@example.com", "grace@example.com", "platform"},
	{"edsger@example.com", "margaret@example.com", "finance"},
	{"frances@example.com", "margaret@example.com", "finance"},
	{"tony@example.com", "radia@example.com", "support"},
	{"leslie@example.com", "radia@example.com", "support"},
	{"niklaus@example.com", "grace@example.com", "platform"},
}

var roles = []string{"db-admin", "vpn", "billing-read", "on-call", "ci-deploy"}

// opening asks what must be long ago: what nobody answered in a day.
func (s *Scene) opening() {
	s.ask(question{webhook: Approvals, kind: "approvalStep", id: "ACC-17", timeout: 24 * time.Hour,
		about: map[string]any{"user": "tony@example.com", "role": "root"}, labels: map[string]string{"team": "support"}, reply: answering(202, "")})
	s.ask(question{webhook: Portal, kind: "policyPostAction", id: "HR-99", reply: answering(410, "")})
	if _, err := s.Server.Webhooks.Delete(context.Background(), &webhooksv1.WebhooksServiceDeleteRequest{Id: s.Webhooks[Portal]}); err != nil {
		s.tb.Fatalf("deleting the webhook %s: %v", Portal, err)
	}
}

// ordinary is a quarter of an hour of a day: quiet at night, and busy twice. The first
// one is at noon, so that there is as much to see at whatever hour this runs.
func (s *Scene) ordinary(n int) {
	day := math.Mod(0.5+float64(n)/96, 1)
	busy := math.Max(0, math.Sin(2*math.Pi*(day-0.3))) + 0.4*math.Max(0, math.Sin(6*math.Pi*day))
	for m := range 2 + int(5*busy) {
		s.everyday(n*11 + m)
	}
}

// everyday asks one of the questions that are asked all day.
func (s *Scene) everyday(n int) {
	p := people[n%len(people)]
	role := roles[n%len(roles)]
	labels := map[string]string{"team": p.team, "env": "production"}
	about := map[string]any{"user": p.user, "role": role, "days": 7 * (1 + n%4)}
	switch n % 8 {
	case 0, 5:
		s.ask(question{webhook: Approvals, kind: "approvalStep", id: ticket("ACC", n), about: about, labels: labels,
			reply: calling(`{"version":"v1","approve":{"comment":"Fine by me."}}`)})
	case 1:
		s.ask(question{webhook: Approvals, kind: "approvalStep", id: ticket("ACC", n), about: about, labels: labels,
			reply: calling(`{"version":"v1","deny":{"comment":"Not before the audit is over."}}`)})
	case 2, 6:
		s.ask(question{webhook: Provisioning, kind: "provisionStep", id: ticket("PRV", n), about: about, labels: labels,
			reply: answering(200, `{"version":"v1","complete":{"comment":"The account is there."}}`)})
	case 3:
		s.ask(question{webhook: Onboarding, kind: "workflowStep", id: ticket("manager", n), about: map[string]any{"user": p.user}, labels: labels,
			reply: answering(200, `{"version":"v1","context":{"manager":"`+p.manager+`","team":"`+p.team+`"}}`)})
	case 4:
		s.ask(question{webhook: Notices, kind: "policyPostAction", id: ticket("OFF", n), about: map[string]any{"user": p.user, "channel": "#offboarding"}, labels: labels,
			reply: answering(200, `{"version":"v1"}`)})
	case 7:
		s.ask(question{webhook: Directory, kind: "provisionStep", id: ticket("LDAP", n), about: about, labels: labels,
			reply: after(1+n%3, 503, "slapd: too many connections\n", answering(200, `{"version":"v1","complete":{}}`))})
	}
}

// finale is how things stand: one of each state and outcome, what waits, and what
// is wrong.
func (s *Scene) finale() {
	s.advance(s.behind - time.Minute)
	s.trouble()
	s.advance(s.behind) // from here on it is now
	s.rotate(ripostev1.ServerKeyUse_SERVER_KEY_USE_SIGNING, durationpb.New(24*time.Hour))
	s.ends()
	s.waits()
	for _, id := range []string{"BADGE-1", "BADGE-2", "BADGE-3", "BADGE-4", "BADGE-5"} {
		s.put(question{webhook: Badges, kind: "provisionStep", id: id, about: map[string]any{"user": "ada@example.com"}, reply: hanging})
	}
	s.until(s.Instances["BADGE-2"], func(i *ripostev1.Instance) bool {
		return i.GetWebhookInstance().GetState() == webhooksv1.WebhookState_WEBHOOK_STATE_RUNNING
	})
}

// trouble makes the payroll bridge silent until its instances are held, and the
// directory refuse.
func (s *Scene) trouble() {
	var ids []string
	for n := range 14 {
		i := s.ask(question{webhook: Payroll, kind: "provisionStep", id: ticket("PAY", n), about: map[string]any{"user": people[n%len(people)].user, "costCentre": 4000 + n}})
		ids = append(ids, i.GetWebhookInstance().GetId())
	}
	s.advance(20 * time.Second)
	for n := range 4 {
		s.ask(question{webhook: Directory, kind: "provisionStep", id: ticket("DIR", n), about: map[string]any{"user": people[n].user},
			labels: map[string]string{"team": people[n].team}, reply: answering(503, "")})
	}
	for s.attempts(ids) < 20 { // by which a receiver that is silent is known; see ARCHITECTURE.md
		time.Sleep(lookAgain)
	}
}

func (s *Scene) attempts(ids []string) int {
	s.tb.Helper()
	n := 0
	for _, id := range ids {
		res, err := s.Server.Instances.Get(context.Background(), &ripostev1.InstancesServiceGetRequest{Id: id})
		if err != nil {
			s.tb.Fatalf("counting attempts: %v", err)
		}
		n += int(res.GetInstance().GetWebhookInstance().GetAttempts())
	}
	return n
}

// ends asks what comes to the ends that are rare.
func (s *Scene) ends() {
	labels := map[string]string{"team": "platform", "env": "production", "ticket-system": "jira"}
	about := map[string]any{"user": "ada@example.com", "role": "db-admin", "reason": "on call next week", "until": "2026-12-04"}
	s.ask(question{webhook: Provisioning, kind: "provisionStep", id: "PRV-1", about: about, labels: labels,
		reply: answering(200, `{"version":"v1","errored":{"comment":"No licence is left."}}`)})
	s.ask(question{webhook: Provisioning, kind: "provisionStep", id: "PRV-2", about: about, labels: labels,
		reply: answering(200, `<html><body><h1>It works!</h1></body></html>`)})
	s.ask(question{webhook: Notices, kind: "policyPostAction", id: "OFF-1", about: about, labels: labels, reply: answering(410, "")})
	s.ask(question{webhook: Approvals, kind: "approvalStep", id: "ACC-1", about: about, labels: labels,
		reply: calling(`{"version":"v1","reassign":{"comment":"I am on leave.","newStepUserIds":["grace@example.com"]}}`)})
	s.ask(question{webhook: Approvals, kind: "approvalStep", id: "ACC-2", about: about, labels: labels,
		reply: calling(`{"version":"v1","replacePolicy":{"comment":"This needs two.","policySteps":[{"approval":{"users":["grace@example.com","radia@example.com"]}}]}}`)})
	s.ask(question{webhook: Approvals, kind: "test", id: "test"})
	s.ask(question{webhook: Approvals, kind: "approvalStep", id: "ACC-3", about: about, labels: labels, reply: answering(202, "")})
	if _, err := s.Server.Instances.Cancel(context.Background(), &ripostev1.InstancesServiceCancelRequest{Id: s.Instances["ACC-3"]}); err != nil {
		s.tb.Fatalf("canceling: %v", err)
	}
	s.ask(question{webhook: Provisioning, kind: "provisionStep", id: "PRV-3", about: about, labels: labels, outcomeURL: s.receiver.URL + "/outcomes",
		reply: answering(200, `{"version":"v1","complete":{"comment":"The account is there."}}`)})
}

func (s *Scene) replyToPushes(reply func(ripostetest.Delivery) ripostetest.Reply) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken = reply
}

// waits asks what is under way when the scene begins.
func (s *Scene) waits() {
	labels := map[string]string{"team": "finance", "env": "production"}
	about := map[string]any{"user": "edsger@example.com", "role": "billing-admin", "days": 30}
	s.ask(question{webhook: Approvals, kind: "approvalStep", id: "ACC-4", about: about, labels: labels, timeout: 25 * time.Hour, reply: answering(202, "")})
	s.ask(question{webhook: Approvals, kind: "approvalStep", id: "ACC-5", about: about, labels: labels, timeout: 3 * 24 * time.Hour, reply: answering(202, `{"queued":true}`)})
	s.ask(question{webhook: Approvals, kind: "approvalStep", id: "ACC-6", about: about, labels: labels, reply: answering(202, "")})
	s.ask(question{webhook: Directory, kind: "provisionStep", id: "LDAP-1", about: about, labels: labels, reply: answering(503, "slapd: too many connections\n")})
	s.replyToPushes(answering(410, "this ticket was deleted\n"))
	s.ask(question{webhook: Provisioning, kind: "provisionStep", id: "PRV-5", about: about, labels: labels, outcomeURL: s.receiver.URL + "/outcomes",
		reply: answering(200, `{"version":"v1","complete":{"comment":"The account is there."}}`)})
	s.replyToPushes(answering(503, "the ticket system is being upgraded\n"))
	s.ask(question{webhook: Provisioning, kind: "provisionStep", id: "PRV-4", about: about, labels: labels, outcomeURL: s.receiver.URL + "/outcomes",
		reply: answering(200, `{"version":"v1","complete":{"comment":"The account is there."}}`)})
}
