package browser

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	webhooksv1 "github.com/riposte-dev/riposte/gen/c1/api/webhooks/v1"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
	"github.com/riposte-dev/riposte/ripostetest"
	"github.com/riposte-dev/riposte/server"
)

// quarter is the step in which a scene's time passes.
const quarter = 15 * time.Minute

// Scene is a server with a past: real questions, asked over real HTTP while its
// clock ran fast, and what receivers of all sorts answered. It is the same each
// time but for ids, ports and the milliseconds that things took.
type Scene struct {
	*ripostetest.Server
	Webhooks  map[string]string // ids, by their names in the cast
	Instances map[string]string // ids, by their tickets and steps
	APIKeys   map[string]string // by their keys' names

	tb       ripostetest.TB
	desk     *ripostetest.Client // whose questions they are: the one of the key Sender
	receiver *ripostetest.Receiver
	clock    *ripostetest.Clock
	behind   time.Duration // how far the clock is behind the right time
	silent   string        // the base of URLs where nobody listens

	mu      sync.Mutex
	replies map[string]func(ripostetest.Delivery) ripostetest.Reply // by ticket or step
	taken   func(ripostetest.Delivery) ripostetest.Reply            // answers pushes
}

// member of the cast: a webhook of the scene.
type member struct {
	name, about, path string
	settings          *ripostev1.WebhookSettings
}

// The names of a scene's webhooks.
const (
	Approvals    = "Access approvals"
	Provisioning = "Account provisioning"
	Onboarding   = "Onboarding: find the manager"
	Notices      = "Offboarding notices"
	Directory    = "Legacy directory"
	Payroll      = "Payroll bridge"
	Badges       = "Badge printer"
	Portal       = "Old HR portal"
	Contractors  = "Contractor onboarding"
)

var cast = []member{
	{name: Approvals, about: "Asks the owner of a role in chat. People answer when they have read it, so most answers come by callback.", path: "/approvals"},
	{name: Provisioning, about: "Creates accounts and groups; answers within a second or two.", path: "/provisioning"},
	{name: Onboarding, about: "Looks up who a newcomer reports to.", path: "/onboarding/manager"},
	{name: Notices, path: "/notices"},
	{name: Directory, about: "The LDAP gateway in the basement. Restarted on Mondays.", path: "/directory"},
	{name: Payroll, about: "Moves people between cost centres.", path: "/payroll"},
	{name: Badges, about: "One printer, two badges at a time.", path: "/badges", settings: &ripostev1.WebhookSettings{MaxInFlight: proto.Int32(2)}},
	{name: Portal, about: "Switched off.", path: "/portal"},
	{name: Contractors, about: "From the first of next month.", path: "/contractors"},
}

// NewScene plays a scene whose past is so many quarters of an hour long: 1 for a
// test that needs a bit of everything, 104 for graphs of a whole day.
func NewScene(tb ripostetest.TB, quarters int) *Scene {
	tb.Helper()
	s := &Scene{
		tb: tb, clock: &ripostetest.Clock{}, Webhooks: map[string]string{}, Instances: map[string]string{}, APIKeys: map[string]string{},
		replies: map[string]func(ripostetest.Delivery) ripostetest.Reply{},
		taken:   func(ripostetest.Delivery) ripostetest.Reply { return ripostetest.Reply{} },
	}
	s.advance(-time.Duration(quarters+1) * quarter)
	s.start()
	s.engage()
	s.opening()
	for n := range quarters {
		s.ordinary(n)
		s.advance(quarter)
	}
	s.finale()
	return s
}

func (s *Scene) start() {
	s.tb.Helper()
	var err error
	if s.receiver, err = ripostetest.NewReceiver(s.reply); err != nil {
		s.tb.Fatalf("starting a receiver: %v", err)
	}
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.tb.Fatalf("finding a port where nobody listens: %v", err)
	}
	s.silent = "http://" + closed.Addr().String()
	_ = closed.Close()
	s.Server = ripostetest.Start(s.tb, func(c *server.Config) { c.Now = s.clock.Now })
	s.tb.Cleanup(s.receiver.Close) // before the server stops, which waits for who hangs
}

func (s *Scene) advance(d time.Duration) {
	s.clock.Advance(d)
	s.behind -= d
}

// reply plays all receivers.
func (s *Scene) reply(d ripostetest.Delivery) ripostetest.Reply {
	var payload struct{ Ticket, Step string }
	_ = json.Unmarshal(d.Envelope.Payload, &payload)
	s.mu.Lock()
	reply, ok := s.replies[payload.Ticket+payload.Step]
	if d.Envelope.Event == "c1.webhooks.v1.PayloadTest" {
		reply, ok = answering(http.StatusOK, `{"version":"v1"}`), true
	}
	if !ok {
		reply = s.taken
	}
	s.mu.Unlock()
	return reply(d)
}

func (s *Scene) engage() {
	s.tb.Helper()
	for _, m := range cast {
		base := s.receiver.URL
		if m.name == Payroll {
			base = s.silent
		}
		res, err := s.Server.Webhooks.Create(context.Background(), &webhooksv1.WebhooksServiceCreateRequest{DisplayName: m.name, Description: m.about, Url: base + m.path})
		if err != nil {
			s.tb.Fatalf("making the webhook %s: %v", m.name, err)
		}
		s.Webhooks[m.name] = res.GetWebhook().GetId()
		if m.settings == nil {
			continue
		}
		if _, err := s.Settings.Update(context.Background(), &ripostev1.WebhookSettingsServiceUpdateRequest{WebhookId: res.GetWebhook().GetId(), Settings: m.settings}); err != nil {
			s.tb.Fatalf("setting up the webhook %s: %v", m.name, err)
		}
	}
	s.admit()
	s.desk = ripostetest.NewClient(s.BaseURL(), s.APIKeys[Sender])
	s.tb.Cleanup(s.desk.CloseIdleConnections)
}

// question is what a scene asks.
type question struct {
	webhook, kind string // a name of the cast, a name of sources
	id            string // the ticket or the step
	about         map[string]any
	labels        map[string]string
	timeout       time.Duration
	outcomeURL    string
	reply         func(ripostetest.Delivery) ripostetest.Reply
}

// ask asks, and returns when the first attempt has ended or can't begin.
func (s *Scene) ask(q question) *ripostev1.Instance {
	s.tb.Helper()
	return s.settle(s.put(q))
}

// put asks, and waits for nothing.
func (s *Scene) put(q question) string {
	s.tb.Helper()
	if q.reply != nil {
		s.mu.Lock()
		s.replies[q.id] = q.reply
		s.mu.Unlock()
	}
	req := &ripostev1.InstancesServiceCreateRequest{
		WebhookId: s.Webhooks[q.webhook], Source: sourceOf(q.kind, q.id), Payload: s.payload(q), Labels: q.labels, OutcomeUrl: q.outcomeURL,
	}
	if q.timeout > 0 {
		req.CallbackTimeout = durationpb.New(q.timeout)
	}
	res, err := s.desk.Instances.Create(context.Background(), req)
	if err != nil {
		s.tb.Fatalf("asking %s: %v", q.id, err)
	}
	id := res.GetInstance().GetWebhookInstance().GetId()
	s.Instances[q.id] = id
	return id
}

func (s *Scene) payload(q question) []byte {
	s.tb.Helper()
	about := map[string]any{}
	switch q.kind {
	case "test":
		return nil
	case "workflowStep":
		about["step"] = q.id
	default:
		about["ticket"] = q.id
	}
	maps.Copy(about, q.about)
	b, err := json.Marshal(about)
	if err != nil {
		s.tb.Fatalf("writing the payload of %s: %v", q.id, err)
	}
	return b
}

func sourceOf(kind, id string) *webhooksv1.WebhookSource {
	switch kind {
	case "approvalStep":
		return &webhooksv1.WebhookSource{Source: &webhooksv1.WebhookSource_ApprovalStep{ApprovalStep: &webhooksv1.WebhookSourceApprovalStep{TicketId: id}}}
	case "provisionStep":
		return &webhooksv1.WebhookSource{Source: &webhooksv1.WebhookSource_ProvisionStep{ProvisionStep: &webhooksv1.WebhookSourceProvisionStep{TicketId: id}}}
	case "policyPostAction":
		return &webhooksv1.WebhookSource{Source: &webhooksv1.WebhookSource_PolicyPostAction{PolicyPostAction: &webhooksv1.WebhookSourcePolicyPostAction{TicketId: id}}}
	case "workflowStep":
		return &webhooksv1.WebhookSource{Source: &webhooksv1.WebhookSource_WorkflowStep{WorkflowStep: &webhooksv1.WebhookSourceWorkflowStep{WorkflowExecutionId: 4711, WorkflowStepId: id}}}
	}
	return &webhooksv1.WebhookSource{Source: &webhooksv1.WebhookSource_Test{Test: &webhooksv1.WebhookSourceTest{}}}
}

// settle waits until nothing moves in an instance before more time has passed.
func (s *Scene) settle(id string) *ripostev1.Instance {
	s.tb.Helper()
	return s.until(id, func(i *ripostev1.Instance) bool {
		switch i.GetWebhookInstance().GetState() {
		case webhooksv1.WebhookState_WEBHOOK_STATE_PENDING, webhooksv1.WebhookState_WEBHOOK_STATE_RUNNING:
			return false
		case webhooksv1.WebhookState_WEBHOOK_STATE_PROCESS_RESPONSE:
			return i.GetPush().GetStatusCode() != 0
		}
		return true
	})
}

func (s *Scene) until(id string, done func(*ripostev1.Instance) bool) *ripostev1.Instance {
	s.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	i, err := s.WaitFor(ctx, id, done)
	if err != nil {
		s.tb.Fatalf("waiting for an instance: %v; it is %v", err, i)
	}
	return i
}

// answering is a reply of a document, or of a status without one.
func answering(status int, document string) func(ripostetest.Delivery) ripostetest.Reply {
	header := http.Header{"Content-Type": {"application/json"}, "X-Request-Id": {"7f3a9c"}}
	if document == "" {
		header = nil
	}
	return func(ripostetest.Delivery) ripostetest.Reply {
		return ripostetest.Reply{Status: status, Header: header, Body: document}
	}
}

// calling is a reply of a callback.
func calling(document string) func(ripostetest.Delivery) ripostetest.Reply {
	return func(ripostetest.Delivery) ripostetest.Reply {
		return ripostetest.Reply{Status: http.StatusAccepted, Callback: document}
	}
}

// after is a reply that comes once so many attempts were answered with a status.
func after(attempts, status int, body string, then func(ripostetest.Delivery) ripostetest.Reply) func(ripostetest.Delivery) ripostetest.Reply {
	return func(d ripostetest.Delivery) ripostetest.Reply {
		if d.Attempt <= attempts {
			return ripostetest.Reply{Status: status, Header: http.Header{"Content-Type": {"text/plain"}, "Retry-After": {"30"}}, Body: body}
		}
		return then(d)
	}
}

func hanging(ripostetest.Delivery) ripostetest.Reply { return ripostetest.Reply{Hang: true} }

func ticket(prefix string, n int) string { return fmt.Sprintf("%s-%d", prefix, 1000+n) }
