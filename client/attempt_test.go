package client_test

import (
	"errors"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/riposte-dev/riposte/client"
	"github.com/riposte-dev/riposte/ripostetest"
	"github.com/riposte-dev/riposte/server"
)

func TestAttemptsTellEachTry(t *testing.T) {
	receiver, err := ripostetest.NewReceiver(func(d ripostetest.Delivery) ripostetest.Reply {
		if d.Attempt == 1 {
			return ripostetest.Reply{Status: http.StatusBadGateway}
		}
		return ripostetest.Reply{Body: approval}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(receiver.Close)
	s := ripostetest.Start(t, soonAgain)
	c := connectTo(t, s.BaseURL())
	began := time.Now().Add(-time.Second)
	o, err := c.Ask(patient(t), newWebhook(t, s.Webhooks, receiver.URL+"/"), client.ApprovalStep("T"), nil)
	if err != nil {
		t.Fatal(err)
	}
	attempts, err := c.Attempts(patient(t), o.InstanceID)
	if err != nil || len(attempts) != 2 {
		t.Fatalf("%+v, %v", attempts, err)
	}
	for n, a := range attempts {
		if a.Number != n+1 || a.Duration <= 0 || a.StartedAt.Before(began) || a.StartedAt.After(o.DecidedAt) || a.Error != (client.AttemptError{}) {
			t.Errorf("%+v", a)
		}
	}
	if attempts[0].StatusCode != http.StatusBadGateway || attempts[1].StatusCode != http.StatusOK {
		t.Errorf("%+v", attempts)
	}
}

func TestAttemptsTellWhyATryFailed(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close() // nobody answers there
	s := ripostetest.Start(t, soonAgain)
	c := connectTo(t, s.BaseURL())
	id, err := c.Create(patient(t), newWebhook(t, s.Webhooks, "http://"+l.Addr().String()), client.ApprovalStep("T"), nil)
	if err != nil {
		t.Fatal(err)
	}
	var attempts []client.Attempt
	for ctx := patient(t); len(attempts) == 0; {
		if attempts, err = c.Attempts(ctx, id); err != nil || ctx.Err() != nil {
			t.Fatal("no attempt was recorded: ", err)
		}
	}
	if a := attempts[0]; a.StatusCode != 0 || a.Error.Phase != "connect" || a.Error.Reason == "" || a.Error.Message == "" {
		t.Errorf("%+v", a)
	}
	_, err = c.Attempts(patient(t), "nobody")
	if refused, ok := errors.AsType[*client.Error](err); !ok || refused.Reason != "INSTANCE_NOT_FOUND" {
		t.Errorf("of an instance that there isn't: %v", err)
	}
}

func soonAgain(c *server.Config) {
	c.RetryMinDelay, c.RetryMaxDelay = 10*time.Millisecond, 20*time.Millisecond
}
