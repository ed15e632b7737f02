package api_test

import (
	"context"
	"encoding/json"
	"io"
	"time"

	"github.com/riposte-dev/riposte"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
	"github.com/riposte-dev/riposte/outbound"
)

// foreign is a server of somebody else, whose clock stands still.
type foreign struct {
	client *outbound.Client
	keySet string
}

var foreignNow = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func newForeign() (foreign, error) {
	key, err := outbound.NewSigningKey()
	if err != nil {
		return foreign{}, err
	}
	signer, err := outbound.NewSigner(key)
	if err != nil {
		return foreign{}, err
	}
	client, err := outbound.New(outbound.Options{Signer: signer, Issuer: "foreign.example", Now: func() time.Time { return foreignNow }})
	return foreign{client, string(signer.JWKS())}, err
}

// delivery is what the foreign server would send for an approval.
func (f foreign) delivery() (*ripostev1.VerificationServiceVerifyDeliveryRequest, error) {
	const id = "0123456789abcdefghijklmn"
	source := riposte.Source{Kind: riposte.SourceApprovalStep, TicketID: "ticket-1"}
	i := riposte.Instance{ID: id, Source: source, Destination: "https://receiver.example/hook?a=1", State: riposte.StatePending}
	req, err := f.client.Question(context.Background(), i, riposte.NewEnvelope(id, "https://foreign.example/callback/1", source, []byte(payload)))
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	r := &ripostev1.VerificationServiceVerifyDeliveryRequest{Method: req.Method, Url: req.URL.String(), Body: string(body)}
	for name := range req.Header {
		r.Headers = append(r.Headers, &ripostev1.Header{Name: name, Value: req.Header.Get(name)})
	}
	return r, nil
}

// recordedDelivery is the story's: its checks say the same at every run.
func recordedDelivery() string {
	f, err := newForeign()
	if err != nil {
		panic(err)
	}
	d, err := f.delivery()
	if err != nil {
		panic(err)
	}
	b, err := json.Marshal(map[string]any{"method": d.GetMethod(), "url": d.GetUrl(), "headers": d.GetHeaders(), "body": d.GetBody(),
		"receivedAt": foreignNow.Add(time.Second), "keySet": f.keySet})
	if err != nil {
		panic(err)
	}
	return string(b)
}
