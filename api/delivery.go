package api

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/riposte-dev/riposte"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

func (h instancesService) GetDelivery(ctx context.Context, r *ripostev1.InstancesServiceGetDeliveryRequest) (*ripostev1.InstancesServiceGetDeliveryResponse, error) {
	return call(ctx, h.s, "InstancesService.GetDelivery", r, h.getDelivery)
}

// getDelivery needs a sender: the body has the callback URL, with which anybody can
// answer. Beside that the signatures are worth nothing: they are of this body alone.
func (h instancesService) getDelivery(ctx context.Context, caller riposte.Caller, r *ripostev1.InstancesServiceGetDeliveryRequest) (*ripostev1.InstancesServiceGetDeliveryResponse, error) {
	i, err := h.s.loadInstance(ctx, caller, r.GetId())
	if err != nil {
		return nil, err
	}
	envelope, err := h.s.Store.LoadEnvelope(ctx, i.ID)
	if err != nil {
		return nil, err
	}
	w, err := h.s.Store.LoadWebhook(ctx, i.WebhookID)
	if err != nil {
		return nil, err
	}
	req, err := h.s.Question(ctx, riposte.ClaimedInstance{Instance: i, Webhook: w, Envelope: envelope})
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, fmt.Errorf("reading what would be sent: %w", err)
	}
	res := &ripostev1.InstancesServiceGetDeliveryResponse{Method: req.Method, Url: req.URL.String(), Headers: map[string]string{}, Body: string(body)}
	for name, values := range req.Header {
		res.Headers[name] = strings.Join(values, ", ")
	}
	return res, nil
}
