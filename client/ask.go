package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

// AskOption is one of Ask's and Create's.
type AskOption func(*ripostev1.InstancesServiceCreateRequest) error

// WithRequestID names the question, in at most 255 characters: whoever asks it again
// on the same webhook, with the same id, finds the same instance. Take an id that the
// caller still knows after a crash, such as that of the order in his database. A
// different question with the same id is refused (REQUEST_ID_REUSED). Without this
// option the id is a random one, which keeps the call's own repetitions from asking
// twice.
func WithRequestID(id string) AskOption {
	return func(r *ripostev1.InstancesServiceCreateRequest) error {
		if r.RequestId = id; id == "" {
			return errors.New("the request id is empty, so it names no question")
		}
		return nil
	}
}

// WithLabels attaches labels to the instance, by which outcomes can be filtered: at
// most 32, with keys of 1 to 63 and values of up to 255 characters.
func WithLabels(labels map[string]string) AskOption {
	return func(r *ripostev1.InstancesServiceCreateRequest) error {
		r.Labels = labels
		return nil
	}
}

// WithCallbackTimeout says how long the receiver may take for its answer instead of
// the webhook's own time: 24 hours to 30 days. After that the outcome is Failed, for
// the reason Expired.
func WithCallbackTimeout(d time.Duration) AskOption {
	return func(r *ripostev1.InstancesServiceCreateRequest) error {
		r.CallbackTimeout = durationpb.New(d)
		return nil
	}
}

// Ask asks a question on a webhook and waits for what it comes to, for as long as ctx
// lasts: Create and then Wait.
func (c *Client) Ask(ctx context.Context, webhookID string, source Source, payload any, options ...AskOption) (Outcome, error) {
	id, err := c.Create(ctx, webhookID, source, payload, options...)
	if err != nil {
		return Outcome{}, err
	}
	return c.Wait(ctx, id)
}

// Create asks a question on a webhook and returns the instance's id once it is on the
// server's disk, for those who take the outcome elsewhere: with Wait, Consume or
// Watch.
//
// The payload is an object of at most 1 MiB, or nil. A json.RawMessage or []byte
// reaches the receiver byte for byte; anything else is marshalled first. With
// WithRequestID it must be the same each time, so a time of day has no place in it.
func (c *Client) Create(ctx context.Context, webhookID string, source Source, payload any, options ...AskOption) (instanceID string, err error) {
	const doing = "creating the instance"
	r := &ripostev1.InstancesServiceCreateRequest{WebhookId: webhookID, Source: sourceMessage(source)}
	for _, option := range options {
		if err := option(r); err != nil {
			return "", fmt.Errorf("%s: %w", doing, err)
		}
	}
	if r.RequestId == "" {
		r.RequestId = rand.Text()
	}
	if r.Payload, err = marshalPayload(payload); err != nil {
		return "", fmt.Errorf("%s: %w", doing, err)
	}
	res, err := retry(ctx, doing, callTimeout, c.instances.Create, r)
	return res.GetInstance().GetWebhookInstance().GetId(), err
}

var errPayload = errors.New("the payload must be a JSON object or nil")

// marshalPayload returns nil for a payload that is absent, a nil map or pointer
// included.
func marshalPayload(payload any) ([]byte, error) {
	var b []byte
	switch p := payload.(type) {
	case nil:
		return nil, nil
	case json.RawMessage:
		b = p
	case []byte:
		b = p
	default:
		var err error
		if b, err = json.Marshal(payload); err != nil {
			return nil, fmt.Errorf("marshalling the payload: %w", err)
		}
		if string(b) == "null" {
			return nil, nil
		}
	}
	switch trimmed := bytes.TrimSpace(b); {
	case len(b) == 0:
		return nil, nil
	case !json.Valid(b):
		return nil, fmt.Errorf("%w: it is not valid JSON", errPayload)
	case trimmed[0] == '"':
		return nil, fmt.Errorf("%w, not a string: json.RawMessage is for what is JSON already", errPayload)
	case trimmed[0] != '{':
		return nil, errPayload
	}
	return b, nil
}

// Wait waits for the outcome of an instance, for as long as ctx lasts.
func (c *Client) Wait(ctx context.Context, instanceID string) (Outcome, error) {
	var b backoff
	doing := "waiting for the outcome of instance " + instanceID
	r := &ripostev1.InstancesServiceWaitRequest{Id: instanceID, Timeout: durationpb.New(longestWait)}
	for {
		began := time.Now()
		res, err := retry(ctx, doing, longestWait+waitMargin, c.instances.Wait, r)
		if err != nil {
			return Outcome{}, err
		}
		i := res.GetInstance()
		if i.GetOutcome() != nil {
			return readOutcome(i), nil
		}
		if time.Since(began) >= longestWait {
			b.reset()
			continue
		}
		// A server that is stopping answers early.
		if pause(ctx, b.next(0)) != nil {
			state := strings.TrimPrefix(i.GetWebhookInstance().GetState().String(), "WEBHOOK_STATE_")
			return Outcome{}, ended(ctx, doing+", which is in "+state, nil)
		}
	}
}
