package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/riposte-dev/riposte"
	webhooksv1 "github.com/riposte-dev/riposte/gen/c1/api/webhooks/v1"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
	"github.com/riposte-dev/riposte/ripostetest"
	"github.com/riposte-dev/riposte/server"
)

const showTimeout = 30 * time.Second

// scene is one question of the show and how it must come out.
type scene struct {
	name    string // the receiver's path
	about   string
	source  *webhooksv1.WebhookSource
	payload string
	reply   func(ripostetest.Delivery) ripostetest.Reply
	states  []riposte.State
	kind    riposte.OutcomeKind
	via     riposte.Via
	failure riposte.FailureReason
}

var scenes = []scene{
	{
		name: "at-once", about: "provisionStep, answered at once",
		source:  &webhooksv1.WebhookSource{Source: &webhooksv1.WebhookSource_ProvisionStep{ProvisionStep: &webhooksv1.WebhookSourceProvisionStep{TicketId: "T-1"}}},
		payload: `{"account":"ada","role":"db-admin"}`,
		reply: func(ripostetest.Delivery) ripostetest.Reply {
			return ripostetest.Reply{Body: `{"version":"v1","complete":{"comment":"the account is there"}}`}
		},
		states: []riposte.State{riposte.StatePending, riposte.StateRunning, riposte.StateProcessResponse, riposte.StateSuccess},
		kind:   riposte.OutcomeCompleted, via: riposte.ViaSync,
	},
	{
		name: "later", about: "workflowStep, answered by callback",
		source:  &webhooksv1.WebhookSource{Source: &webhooksv1.WebhookSource_WorkflowStep{WorkflowStep: &webhooksv1.WebhookSourceWorkflowStep{WorkflowExecutionId: 42, WorkflowStepId: "look-up"}}},
		payload: `{"workflowId":"onboarding","context":{"user":"ada"}}`,
		reply: func(ripostetest.Delivery) ripostetest.Reply {
			return ripostetest.Reply{Status: 202, Callback: `{"version":"v1","context":{"manager":"grace"}}`, After: time.Second}
		},
		states: []riposte.State{riposte.StatePending, riposte.StateRunning, riposte.StateWaitingCallback, riposte.StateProcessResponse, riposte.StateSuccess},
		kind:   riposte.OutcomeContext, via: riposte.ViaCallback,
	},
	{
		name: "flaky", about: "policyPostAction, answered after two 500s",
		source:  &webhooksv1.WebhookSource{Source: &webhooksv1.WebhookSource_PolicyPostAction{PolicyPostAction: &webhooksv1.WebhookSourcePolicyPostAction{TicketId: "T-2"}}},
		payload: `{"notify":"#access"}`,
		reply: func(d ripostetest.Delivery) ripostetest.Reply {
			if d.Attempt <= 2 {
				return ripostetest.Reply{Status: 500}
			}
			return ripostetest.Reply{}
		},
		states: []riposte.State{riposte.StatePending, riposte.StateRunning, riposte.StateError, riposte.StateRunning, riposte.StateError,
			riposte.StateRunning, riposte.StateProcessResponse, riposte.StateSuccess},
		kind: riposte.OutcomeDelivered, via: riposte.ViaSync,
	},
	{
		name: "denied", about: "approvalStep, denied",
		source:  &webhooksv1.WebhookSource{Source: &webhooksv1.WebhookSource_ApprovalStep{ApprovalStep: &webhooksv1.WebhookSourceApprovalStep{TicketId: "T-3"}}},
		payload: `{"who":"mallory","wants":"root"}`,
		reply: func(ripostetest.Delivery) ripostetest.Reply {
			return ripostetest.Reply{Body: `{"version":"v1","deny":{"comment":"not without a ticket"}}`}
		},
		states: []riposte.State{riposte.StatePending, riposte.StateRunning, riposte.StateProcessResponse, riposte.StateSuccess},
		kind:   riposte.OutcomeDenied, via: riposte.ViaSync,
	},
	{
		name: "gone", about: "test, answered 410",
		source: &webhooksv1.WebhookSource{Source: &webhooksv1.WebhookSource_Test{Test: &webhooksv1.WebhookSourceTest{}}},
		reply:  func(ripostetest.Delivery) ripostetest.Reply { return ripostetest.Reply{Status: 410} },
		states: []riposte.State{riposte.StatePending, riposte.StateRunning, riposte.StateFatalError},
		kind:   riposte.OutcomeFailed, via: riposte.ViaNone, failure: riposte.FailureGone,
	},
}

// playReceiver answers by the path; what no scene asked is approved later, so
// that a visitor's own questions get an answer too.
func playReceiver(d ripostetest.Delivery) ripostetest.Reply {
	for _, sc := range scenes {
		if d.Path == "/"+sc.name {
			return sc.reply(d)
		}
	}
	return ripostetest.Reply{Status: 202}
}

// show asks the scenes' questions and follows them.
type show struct {
	server   *server.Server
	receiver *ripostetest.Receiver
	apiKey   string
	out      io.Writer
	began    time.Time
	trust    trust // of the server

	mu    sync.Mutex
	trail map[string][]riposte.Instance // by instance id, one for each commit
	names map[string]string             // scene by webhook id
	moved chan struct{}
}

func newShow(s *server.Server, r *ripostetest.Receiver, apiKey string, out io.Writer) *show {
	return &show{
		server: s, receiver: r, apiKey: apiKey, out: out, began: time.Now(),
		trail: map[string][]riposte.Instance{}, names: map[string]string{}, moved: make(chan struct{}, 1),
	}
}

func (s *show) play(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, showTimeout)
	defer cancel()
	defer s.server.Subscribe(s.saw)()
	fmt.Fprintf(s.out, "Riposte at %s, a receiver at %s.\nFive questions, one from each source:\n\n", s.server.URL(), s.receiver.URL)

	c, err := (&clientFlags{server: s.server.URL(), apiKey: s.apiKey, transport: s.trust.transport()}).clients()
	if err != nil {
		return err
	}
	ids := make([]string, len(scenes))
	for n, sc := range scenes {
		if ids[n], err = s.ask(ctx, c, sc); err != nil {
			return fmt.Errorf("asking the question %q: %w", sc.name, err)
		}
	}
	for !s.allClosed(ids) {
		select {
		case <-s.moved:
		case <-ctx.Done():
			return errors.New("the show did not come to its end in time")
		}
	}
	return s.review(ctx, c, ids)
}

// ask makes a webhook for the scene and an instance on it.
func (s *show) ask(ctx context.Context, c *clients, sc scene) (string, error) {
	w, err := c.webhooks.Create(ctx, &webhooksv1.WebhooksServiceCreateRequest{
		DisplayName: sc.name, Description: sc.about, Url: s.receiver.URL + "/" + sc.name,
	})
	if err != nil {
		return "", err
	}
	s.mu.Lock()
	s.names[w.GetWebhook().GetId()] = sc.name
	s.mu.Unlock()
	i, err := c.instances.Create(ctx, &ripostev1.InstancesServiceCreateRequest{
		WebhookId: w.GetWebhook().GetId(), Source: sc.source, Payload: []byte(sc.payload),
	})
	return i.GetInstance().GetWebhookInstance().GetId(), err
}

// saw is told of each instance after its commit.
func (s *show) saw(i riposte.Instance) {
	s.mu.Lock()
	s.trail[i.ID] = append(s.trail[i.ID], i)
	name := s.names[i.WebhookID]
	s.mu.Unlock()
	fmt.Fprintf(s.out, "  %7.3fs  %-8s  %s%s\n", time.Since(s.began).Seconds(), name, arrows(i.Steps()), remark(i))
	select {
	case s.moved <- struct{}{}:
	default:
	}
}

func arrows(states []riposte.State) string {
	words := make([]string, len(states))
	for n, st := range states {
		words[n] = string(st)
	}
	return strings.Join(words, " → ")
}

func remark(i riposte.Instance) string {
	switch {
	case i.Outcome != nil && i.Outcome.Failure != nil:
		return fmt.Sprintf("   (%s: %s)", i.Outcome.Failure.Reason, i.Outcome.Failure.Message)
	case i.Outcome != nil:
		return fmt.Sprintf("   (%s, %s)", i.Outcome.Kind, strings.ToLower(string(i.Outcome.Via)))
	case i.State == riposte.StateRunning:
		return fmt.Sprintf("   (attempt %d)", i.Attempts)
	case i.State == riposte.StateError:
		return fmt.Sprintf("   (again in %s)", i.DueAt.Sub(i.UpdatedAt).Round(time.Millisecond))
	}
	return ""
}

func (s *show) allClosed(ids []string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !slices.ContainsFunc(ids, func(id string) bool {
		trail := s.trail[id]
		return len(trail) == 0 || !trail[len(trail)-1].State.Closed()
	})
}

// review compares what the API says now, and what was seen on the way, with
// how each scene must come out.
func (s *show) review(ctx context.Context, c *clients, ids []string) error {
	keys, err := ripostetest.FetchKeysBy(&http.Client{Transport: s.trust.transport()}, s.server.URL())
	if err != nil {
		return fmt.Errorf("fetching the key set: %w", err)
	}
	var wrong []error
	for n, sc := range scenes {
		if err := s.reviewScene(ctx, c, sc, ids[n]); err != nil {
			wrong = append(wrong, fmt.Errorf("%s: %w", sc.name, err))
		}
		for _, d := range s.receiver.Deliveries(ids[n]) {
			if _, err := ripostetest.Verify(d, keys, s.receiver.URL); err != nil {
				wrong = append(wrong, fmt.Errorf("%s: a delivery does not verify: %w", sc.name, err))
			}
		}
	}
	if len(wrong) == 0 {
		fmt.Fprintf(s.out, "\nAll five came out as they should; every delivery's signature verified.\n")
	}
	return errors.Join(wrong...)
}

func (s *show) reviewScene(ctx context.Context, c *clients, sc scene, id string) error {
	res, err := c.instances.Get(ctx, &ripostev1.InstancesServiceGetRequest{Id: id, View: ripostev1.InstanceView_INSTANCE_VIEW_FULL})
	if err != nil {
		return err
	}
	want := []string{
		"OUTCOME_KIND_" + string(sc.kind), "OUTCOME_VIA_" + string(sc.via), "FAILURE_REASON_" + string(sc.failure),
		arrows(sc.states), fmt.Sprint(s.deliveriesOf(sc)),
	}
	if sc.failure == "" {
		want[2] = "FAILURE_REASON_UNSPECIFIED"
	}
	o := res.GetInstance().GetOutcome()
	got := []string{
		o.GetKind().String(), o.GetVia().String(), o.GetFailure().GetReason().String(),
		arrows(s.way(id)), fmt.Sprint(len(res.GetInstance().GetAttempts())),
	}
	if !slices.Equal(got, want) {
		return fmt.Errorf("came to %v, not %v", got, want)
	}
	return nil
}

// deliveriesOf is how often a scene's receiver must have been asked.
func (s *show) deliveriesOf(sc scene) int {
	n := 0
	for _, st := range sc.states {
		if st == riposte.StateRunning {
			n++
		}
	}
	return n
}

// way joins the steps of an instance's commits into one.
func (s *show) way(id string) []riposte.State {
	s.mu.Lock()
	defer s.mu.Unlock()
	var way []riposte.State
	for n, i := range s.trail[id] {
		steps := i.Steps()
		if n > 0 {
			steps = steps[1:] // where the commit before ended
		}
		way = append(way, steps...)
	}
	return way
}

func (s *show) invite() {
	s.trust.explain(s.out)
	fmt.Fprintf(s.out, `
The server stays up until Ctrl-C. Its console is at %[1]s, where one click signs in.
Ask something yourself, in another terminal:

  export RIPOSTE_SERVER=%[1]s RIPOSTE_API_KEY=%[2]s%[4]s

  # a webhook whose receiver says "later"
  curl -s $RIPOSTE_SERVER/api/v1/webhooks -H "Authorization: Bearer $RIPOSTE_API_KEY" \
    -H 'Content-Type: application/json' -d '{"displayName":"mine","url":"%[3]s/mine"}'

  # ask it for an approval (put the webhook's id for WEBHOOK)
  curl -s $RIPOSTE_SERVER/api/v1/webhooks/WEBHOOK/instances -H "Authorization: Bearer $RIPOSTE_API_KEY" \
    -H 'Content-Type: application/json' -d '{"source":{"approvalStep":{"ticketId":"T-9"}},"payload":{"who":"you"}}'

  # answer it by hand (put the instance's id for INSTANCE), then see how it went
  curl -s $RIPOSTE_SERVER/api/v1/instances/INSTANCE:answer -H "Authorization: Bearer $RIPOSTE_API_KEY" \
    -H 'Content-Type: application/json' -d '{"document":{"version":"v1","approve":{"comment":"fine"}}}'
  curl -s "$RIPOSTE_SERVER/api/v1/instances/INSTANCE?view=FULL" -H "Authorization: Bearer $RIPOSTE_API_KEY"

  # or all of it with the same binary: riposte ask --help, riposte listen --help, riposte --help

  # or an application that asks, in a clone of Riposte: go run ./examples/accessrequest
`, s.server.URL(), s.apiKey, s.receiver.URL, s.trust.environment())
}
