package api_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/riposte-dev/riposte"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
	"github.com/riposte-dev/riposte/receiver"
	"github.com/riposte-dev/riposte/ripostetest"
	"github.com/riposte-dev/riposte/server"
)

// TestDeliverySentByHandIsTakenByAReceiver sends what GetDelivery returns of instances
// that are open and closed, and has the receiver verify it.
func TestDeliverySentByHandIsTakenByAReceiver(t *testing.T) {
	n := startNode(t)
	for path, state := range map[string]riposte.State{
		"/later": riposte.StateWaitingCallback, "/down": riposte.StateError, "/approve": riposte.StateSuccess,
	} {
		id := n.approval(n.webhook(path), state)
		d, err := n.Instances.GetDelivery(t.Context(), &ripostev1.InstancesServiceGetDeliveryRequest{Id: id})
		if err != nil {
			t.Fatal(err)
		}
		r, err := http.NewRequestWithContext(t.Context(), d.GetMethod(), d.GetUrl(), strings.NewReader(d.GetBody()))
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range d.GetHeaders() {
			r.Header.Set(name, value)
		}
		res, err := n.http.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		res.Body.Close()

		sent := n.receiver.Deliveries(id)
		if len(sent) != 2 {
			t.Fatalf("%s: there are %d deliveries, want the server's and ours", path, len(sent))
		}
		v, err := receiver.NewVerifier(n.URL(), n.receiver.URL+path, receiver.WithIssuer(n.Issuer()))
		if err != nil {
			t.Fatal(err)
		}
		for _, each := range sent {
			got, checks := v.Check(t.Context(), receiver.Request{Method: each.Method, Path: each.Target, Header: each.Header, Body: each.Body, At: each.At})
			if err := receiver.Verdict(checks); err != nil || got.InstanceID != id {
				t.Errorf("%s: %v", path, err)
			}
		}
		if string(sent[0].Body) != string(sent[1].Body) {
			t.Errorf("%s: by hand the body is\n%s\nand was\n%s", path, sent[1].Body, sent[0].Body)
		}
	}
}

func TestDeliveryOfADestinationThatIsNotAllowedAnyMore(t *testing.T) {
	n := startNode(t)
	id := n.approval(n.webhook("/later"), riposte.StateWaitingCallback)
	n.Stop()
	data := n.Config.Data
	n.Server = ripostetest.Start(t, func(c *server.Config) { c.Data, c.AllowDestinations = data, "" })
	r := n.send(http.MethodGet, "/api/v1/instances/"+id+"/delivery", "")
	if s := r.error(t); r.status != http.StatusBadRequest || s.reason() != "BAD_URL" || !strings.Contains(s.Message, "the instance's destination must begin with https://") {
		t.Errorf("HTTP %d, %s", r.status, r.body)
	}
}
