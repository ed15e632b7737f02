package main

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	webhooksv1 "github.com/riposte-dev/riposte/gen/c1/api/webhooks/v1"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
	"github.com/riposte-dev/riposte/ripostetest"
	"github.com/riposte-dev/riposte/server"
)

// laterReceiver answers 202.
func laterReceiver(t *testing.T) *ripostetest.Receiver {
	t.Helper()
	r, err := ripostetest.NewReceiver(func(ripostetest.Delivery) ripostetest.Reply { return ripostetest.Reply{Status: http.StatusAccepted} })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// TestAskOutlivesRestarts loses the reply to the question, and restarts the
// server while the command waits for the answer.
func TestAskOutlivesRestarts(t *testing.T) {
	receiver := laterReceiver(t)
	data := t.TempDir()
	onData := func(c *server.Config) { c.Data = data }
	first := ripostetest.Start(t, onData)
	g := newGate(first.BaseURL())
	g.lose.Store(true)
	front := httptest.NewServer(g)
	t.Cleanup(front.Close)
	webhook := createWebhook(t, first, receiver.URL)

	var out bytes.Buffer
	code := make(chan int, 1)
	go func() {
		code <- runCommand(t.Context(), &out, "", "ask", webhook, "--approval-step", "T-1", "--wait", "--server", front.URL, "--api-key", first.APIKey)
	}()
	next(t, g.creates)
	next(t, g.creates)
	next(t, g.waits)
	next(t, g.waits)
	if err := receiver.Wait(t.Context(), func() bool { return len(receiver.Deliveries("")) >= 1 }); err != nil {
		t.Fatal(err)
	}
	id := receiver.Deliveries("")[0].Envelope.WebhookID
	first.Stop()
	for len(g.waits) > 0 {
		<-g.waits
	}
	next(t, g.waits)
	next(t, g.waits) // so the one before has failed
	second := ripostetest.Start(t, onData)
	g.to(second.BaseURL())
	if _, err := second.Instances.Answer(t.Context(), &ripostev1.InstancesServiceAnswerRequest{Id: id, Document: []byte(`{"version":"v1","approve":{}}`)}); err != nil {
		t.Fatal(err)
	}
	if c := next(t, code); c != 0 || !strings.Contains(out.String(), "APPROVED (operator)") || !strings.Contains(out.String(), "waiting for the server, ") {
		t.Errorf("exit code %d: %s", c, out.String())
	}
	list, err := second.Instances.List(t.Context(), &ripostev1.InstancesServiceListRequest{})
	if err != nil || len(list.GetList()) != 1 {
		t.Errorf("there are %d instances, %v", len(list.GetList()), err)
	}
}

func TestInterruptedAskLeavesTheQuestion(t *testing.T) {
	s := ripostetest.Start(t)
	receiver := laterReceiver(t)
	g := newGate(s.BaseURL())
	front := httptest.NewServer(g)
	t.Cleanup(front.Close)
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	var out bytes.Buffer
	code := make(chan int, 1)
	go func() {
		code <- runCommand(ctx, &out, "", "ask", createWebhook(t, s, receiver.URL), "--provision-step", "T-1", "--wait", "--server", front.URL, "--api-key", s.APIKey)
	}()
	next(t, g.waits)
	next(t, g.waits)
	interrupt()
	if c := next(t, code); c != exitOpen || !strings.Contains(out.String(), "goes on: riposte instances wait ") {
		t.Errorf("exit code %d: %s", c, out.String())
	}
}

func TestExitCodesTellTheAnswers(t *testing.T) {
	for kind, want := range map[ripostev1.OutcomeKind]int{
		ripostev1.OutcomeKind_OUTCOME_KIND_DELIVERED: 0, ripostev1.OutcomeKind_OUTCOME_KIND_APPROVED: 0,
		ripostev1.OutcomeKind_OUTCOME_KIND_COMPLETED: 0, ripostev1.OutcomeKind_OUTCOME_KIND_CONTEXT: 0,
		ripostev1.OutcomeKind_OUTCOME_KIND_DENIED: 10, ripostev1.OutcomeKind_OUTCOME_KIND_ERRORED: 11,
		ripostev1.OutcomeKind_OUTCOME_KIND_REASSIGNED: 12, ripostev1.OutcomeKind_OUTCOME_KIND_POLICY_REPLACED: 13,
	} {
		got := 0
		if e, ok := errors.AsType[*exitError](answerVerdict(&ripostev1.Instance{Outcome: &ripostev1.Outcome{Kind: kind}})); ok {
			got = e.code
		}
		if got != want {
			t.Errorf("%s gives %d, not %d", kind, got, want)
		}
	}
}

func TestProgressStaysInItsLine(t *testing.T) {
	var out bytes.Buffer
	p := &progress{out: &out, width: func() int { return 40 }, began: time.Now()}
	i := &ripostev1.Instance{WebhookInstance: &webhooksv1.WebhookInstance{
		State: webhooksv1.WebhookState_WEBHOOK_STATE_WAITING_CALLBACK, Attempts: 2, CreatedAt: timestamppb.New(time.Now().Add(-10 * time.Minute)),
		ExpiresAt: timestamppb.New(time.Now().Add(100 * time.Second)),
	}}
	p.saw(i, nil)
	p.saw(i, errors.New("no\nserver \x1b[2J"))
	p.end(nil)
	want := "\r\x1b[K10m  WAITING_CALLBACK, attempt 2, 1m 3…" + "\r\x1b[K10m  waiting for the server, WAITING_C…" + "\r\x1b[K\n"
	if got := out.String(); got != want {
		t.Errorf("it draws %q, want %q", got, want)
	}
	p.width = func() int { return 400 }
	out.Reset()
	p.saw(i, errors.New("no\nserver \x1b[2J"))
	if got := out.String(); !strings.HasSuffix(got, `when it was last seen: no\nserver \x1b[2J`) {
		t.Errorf("it draws %q", got)
	}
}

func TestTimeLeftCountsDown(t *testing.T) {
	for d, want := range map[time.Duration]string{
		8 * day: "8d 0h", 8*day - time.Second: "7d 23h", 90 * time.Minute: "1h 30m", time.Hour - 1: "59m 59s", time.Minute: "1m 0s", 59 * time.Second: "59s", 0: "0s", -time.Hour: "0s",
	} {
		if got := remaining(d); got != want {
			t.Errorf("%v reads %q, not %q", d, got, want)
		}
	}
}
