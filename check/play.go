package check

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/api"
	webhooksv1 "github.com/riposte-dev/riposte/gen/c1/api/webhooks/v1"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
	"github.com/riposte-dev/riposte/outbound"
)

const (
	// afterCallback is how long to look for another callback before a request
	// is repeated.
	afterCallback = 300 * time.Millisecond
	// retryPatience is how long a receiver has to repeat a callback that got 503.
	retryPatience = 15 * time.Second
)

// smallPayloads are the questions when the caller brings none.
var smallPayloads = map[riposte.SourceKind]string{
	riposte.SourcePolicyPostAction: `{"check":"riposte"}`,
	riposte.SourceApprovalStep:     `{"check":"riposte"}`,
	riposte.SourceProvisionStep:    `{"check":"riposte"}`,
	riposte.SourceWorkflowStep:     `{"workflowId":"riposte-check","context":{}}`,
}

// question is one that a check delivers itself: a real instance, which waits for
// its callback.
type question struct {
	id       string
	token    string // of its callback URL
	header   http.Header
	body     []byte
	claims   outbound.Claims // to the catcher
	attempts int
}

// The sources that a check may ask.
func firstSource(s *Session) riposte.SourceKind { return s.options.Sources[0].Kind }
func mainSource(s *Session) riposte.SourceKind  { return s.main }
func lateSource(s *Session) riposte.SourceKind  { return cmp.Or(s.late, s.main) }

// playQuestion lets the server ask, as it would any receiver.
func playQuestion(payload func([]byte) []byte) func(context.Context, *Session, *Evidence) error {
	return func(ctx context.Context, s *Session, e *Evidence) error {
		e.Source = cmp.Or(e.Source, s.main)
		if payload != nil && e.Source == riposte.SourceTest {
			return errNoPayload
		}
		began := time.Now() // before the question, whose callback may overtake the reply to us
		id, err := s.ask(ctx, s.webhooks.receiver, e.Source, payload)
		if err != nil {
			return err
		}
		waiting, stop := context.WithCancel(ctx)
		defer stop()
		go func() {
			s.awaitBad(waiting, began)
			stop()
		}()
		i, err := s.server.WaitFor(waiting, id, func(i *ripostev1.Instance) bool {
			return i.GetOutcome() != nil || i.GetWebhookInstance().GetState() == webhooksv1.WebhookState_WEBHOOK_STATE_ERROR
		})
		if err != nil && waiting.Err() == nil {
			return err
		}
		e.Callbacks, _ = s.front.bad(began)
		if i.GetOutcome() == nil {
			i = s.giveUp(context.WithoutCancel(ctx), id)
		}
		e.Instance = instanceOf(i, time.Since(began))
		return nil
	}
}

// giveUp returns an open instance as it is now, and closes it: one attempt tells
// enough, and nobody waits for the answer any more.
func (s *Session) giveUp(ctx context.Context, id string) *ripostev1.Instance {
	res, _ := s.server.Instances.Get(ctx, &ripostev1.InstancesServiceGetRequest{Id: id, View: ripostev1.InstanceView_INSTANCE_VIEW_FULL})
	_, _ = s.server.Instances.Cancel(ctx, &ripostev1.InstancesServiceCancelRequest{Id: id}) // it may have got its answer meanwhile
	return res.GetInstance()
}

// awaitBad returns when a bad document has come, or ctx ended.
func (s *Session) awaitBad(ctx context.Context, since time.Time) {
	for {
		bad, changed := s.front.bad(since)
		if len(bad) > 0 {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// errNoPayload: a test has none.
var errNoPayload = errors.New("the source test has no payload")

func instanceOf(i *ripostev1.Instance, took time.Duration) *Instance {
	r := &Instance{Took: took}
	if attempts := i.GetAttempts(); len(attempts) > 0 {
		last := attempts[len(attempts)-1]
		r.Attempt = Attempt{Status: int(last.GetStatusCode()), Body: []byte(last.GetResponseBody()), Took: last.GetDuration().AsDuration()}
		if last.GetError() != nil {
			r.Attempt.Err = errors.New(last.GetError().GetMessage())
		}
	}
	if o := i.GetOutcome(); o != nil {
		r.Kind = trimmed(o.GetKind().String(), "OUTCOME_KIND_")
		r.Via = riposte.Via(trimmed(o.GetVia().String(), "OUTCOME_VIA_"))
		r.Failure = o.GetFailure().GetMessage()
	}
	return r
}

func trimmed(name, prefix string) string { return strings.TrimPrefix(name, prefix) }

// ask creates an instance on a webhook.
func (s *Session) ask(ctx context.Context, webhook string, kind riposte.SourceKind, payload func([]byte) []byte) (string, error) {
	source := s.source(kind)
	req := &ripostev1.InstancesServiceCreateRequest{WebhookId: webhook, Source: api.SourceMessage(source)}
	if kind != riposte.SourceTest {
		if req.Payload = s.options.Payload; req.Payload == nil {
			req.Payload = []byte(smallPayloads[kind])
		}
		if payload != nil {
			req.Payload = payload(req.Payload)
		}
	}
	res, err := s.server.Instances.Create(ctx, req)
	if err != nil {
		return "", fmt.Errorf("asking a question: %w", err)
	}
	return res.GetInstance().GetWebhookInstance().GetId(), nil
}

// openQuestion asks a question and catches its delivery.
func (s *Session) openQuestion(ctx context.Context, kind riposte.SourceKind) (*question, error) {
	id, err := s.ask(ctx, s.webhooks.catcher, kind, nil)
	if err != nil {
		return nil, err
	}
	if err := s.catcher.Wait(ctx, func() bool { return len(s.catcher.Deliveries(id)) > 0 }); err != nil {
		return nil, fmt.Errorf("catching a delivery: %w", err)
	}
	d := s.catcher.Deliveries(id)[0]
	claims, err := readClaims(d.Header)
	if err != nil {
		return nil, err
	}
	d.Header.Del("Content-Length") // of the catcher's request
	token := tokenOf(d.Envelope.CallbackURL)
	s.front.expect(token)
	return &question{id: id, token: token, header: d.Header, body: d.Body, claims: claims}, nil
}

// playOnce delivers one question, forged or not.
func playOnce(f forgery, source func(*Session) riposte.SourceKind) func(context.Context, *Session, *Evidence) error {
	return func(ctx context.Context, s *Session, e *Evidence) (err error) {
		if e.question, err = s.openQuestion(ctx, source(s)); err != nil {
			return err
		}
		e.Source = source(s)
		return s.deliver(ctx, f, e)
	}
}

// playTwice delivers a question and, once it is answered, delivers it again:
// the very same request or one that is signed anew.
func playTwice(anew bool) func(context.Context, *Session, *Evidence) error {
	return func(ctx context.Context, s *Session, e *Evidence) (err error) {
		e.Source = s.main
		if e.question, err = s.openQuestion(ctx, s.main); err != nil {
			return err
		}
		r, err := forgery{}.sign(e.question, s.signers, s.to, time.Now())
		if err != nil {
			return err
		}
		s.send(ctx, r, e)
		if e.Attempts[0].Status == http.StatusAccepted && s.awaitCallbacks(ctx, e.question, 1) {
			s.pause(ctx, afterCallback)
		}
		if anew {
			return s.deliver(ctx, forgery{}, e)
		}
		s.send(ctx, r, e)
		return nil
	}
}

// playBusy refuses the first callback.
func playBusy(ctx context.Context, s *Session, e *Evidence) (err error) {
	e.Source = s.late
	if e.question, err = s.openQuestion(ctx, s.late); err != nil {
		return err
	}
	s.front.beBusy(e.question.token)
	if err := s.deliver(ctx, forgery{}, e); err != nil || !s.awaitCallbacks(ctx, e.question, 1) {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, s.options.RetryPatience)
	defer cancel()
	s.awaitCallbacks(ctx, e.question, 2)
	return nil
}

// playUsed delivers a question that has its answer already.
func playUsed(ctx context.Context, s *Session, e *Evidence) (err error) {
	e.Source = s.late
	if e.question, err = s.openQuestion(ctx, s.late); err != nil {
		return err
	}
	_, err = s.server.Instances.Answer(ctx, &ripostev1.InstancesServiceAnswerRequest{Id: e.question.id, Document: []byte(answers[s.late])})
	if err != nil {
		return fmt.Errorf("answering in the receiver's place: %w", err)
	}
	if err := s.deliver(ctx, forgery{}, e); err != nil {
		return err
	}
	s.awaitCallbacks(ctx, e.question, 1)
	return nil
}

// answers are documents that use up a callback URL.
var answers = map[riposte.SourceKind]string{
	riposte.SourceTest:             `{"version":"v1"}`,
	riposte.SourcePolicyPostAction: `{"version":"v1"}`,
	riposte.SourceApprovalStep:     `{"version":"v1","deny":{"comment":"answered by riposte check"}}`,
	riposte.SourceProvisionStep:    `{"version":"v1","errored":{"comment":"answered by riposte check"}}`,
	riposte.SourceWorkflowStep:     `{"version":"v1","context":{}}`,
}

// deliver signs the question and sends it.
func (s *Session) deliver(ctx context.Context, f forgery, e *Evidence) error {
	r, err := f.sign(e.question, s.signers, s.to, time.Now())
	if err != nil {
		return err
	}
	s.send(ctx, r, e)
	return nil
}

// send makes an attempt; what came of it is evidence.
func (s *Session) send(ctx context.Context, r signed, e *Evidence) {
	e.Mark = time.Now()
	status, body, err := s.post(ctx, r)
	e.Attempts = append(e.Attempts, Attempt{Status: status, Body: body, Err: err, Took: time.Since(e.Mark)})
}

func (s *Session) post(ctx context.Context, r signed) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.options.URL, bytes.NewReader(r.body))
	if err != nil {
		return 0, nil, err
	}
	req.Header = r.header.Clone()
	resp, err := s.http.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, riposte.MaxDocumentSize+1))
	return resp.StatusCode, body, err
}

// awaitCallbacks returns when there are n, and false when ctx ends before.
func (s *Session) awaitCallbacks(ctx context.Context, q *question, n int) bool {
	for {
		calls, changed := s.front.callbacks(q.token)
		if len(calls) >= n {
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

func (s *Session) pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

func (s *Session) source(kind riposte.SourceKind) riposte.Source {
	for _, source := range s.options.Sources {
		if source.Kind == kind {
			return source
		}
	}
	return riposte.Source{}
}
