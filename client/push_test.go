package client_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/riposte-dev/riposte/client"
	"github.com/riposte-dev/riposte/receiver"
	"github.com/riposte-dev/riposte/ripostetest"
	"github.com/riposte-dev/riposte/server"
)

// TestPushedOutcomeIsTheOneThatIsWaitedFor, and its push verifies.
func TestPushedOutcomeIsTheOneThatIsWaitedFor(t *testing.T) {
	pushes := make(chan receiver.Delivery, 1)
	var verifier *receiver.Verifier
	taker := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d, err := verifier.Verify(r)
		if err != nil {
			t.Errorf("a push: %v", err)
			receiver.Refuse(w, err)
			return
		}
		pushes <- d
	}))
	defer taker.Close()
	s := ripostetest.Start(t, func(c *server.Config) { c.OutcomeURL = taker.URL + "/outcomes" })
	var err error
	if verifier, err = receiver.NewVerifier(s.BaseURL(), taker.URL+"/outcomes"); err != nil {
		t.Fatal(err)
	}
	c := connectTo(t, s.BaseURL())
	asked := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		receiver.Respond(w, receiver.Approve("fine"))
	}))
	defer asked.Close()
	want, err := c.Ask(patient(t), newWebhook(t, s.Webhooks, asked.URL), client.ApprovalStep("T-1"), nil, client.WithLabels(map[string]string{"a": "b"}))
	if err != nil {
		t.Fatal(err)
	}
	d := <-pushes
	if d.InstanceID != want.InstanceID || d.Event != receiver.OutcomeEvent || d.CallbackURL != "" || d.Attempt != 1 {
		t.Errorf("pushed: %+v", d)
	}
	got, err := client.ParseOutcome(d.Payload)
	if err != nil {
		t.Fatal(err)
	}
	// Only the state may have gone on since.
	got.State, want.State = "", ""
	if diff := cmp.Diff(want, got); diff != "" || got.Kind != client.Approved {
		t.Errorf("-waited for +pushed\n%s", diff)
	}
}

func TestWhatIsNoOutcomeIsRefused(t *testing.T) {
	const of = `{"@type":"type.googleapis.com/riposte.v1.PayloadOutcome","instance":`
	for _, payload := range []string{"", "[]", "{}", `{"@type":"type.googleapis.com/c1.webhooks.v1.PayloadTest","instance":{"outcome":{}}}`,
		of + "null}", of + "{}}", of + `{"outcome":null}}`, of + `{"outcome":{"kind":5.5}}}`} {
		if o, err := client.ParseOutcome(json.RawMessage(payload)); err == nil {
			t.Errorf("%s is %+v", payload, o)
		}
	}
}
