package api

import (
	"context"

	"github.com/riposte-dev/riposte"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

// settingsService is riposte.v1's WebhookSettingsService.
type settingsService struct {
	ripostev1.UnimplementedWebhookSettingsServiceServer
	s *Server
}

func (h settingsService) Get(ctx context.Context, r *ripostev1.WebhookSettingsServiceGetRequest) (*ripostev1.WebhookSettingsServiceGetResponse, error) {
	return call(ctx, h.s, "WebhookSettingsService.Get", r, h.get)
}

func (h settingsService) Update(ctx context.Context, r *ripostev1.WebhookSettingsServiceUpdateRequest) (*ripostev1.WebhookSettingsServiceUpdateResponse, error) {
	return call(ctx, h.s, "WebhookSettingsService.Update", r, h.update)
}

func (h settingsService) get(ctx context.Context, _ riposte.Caller, r *ripostev1.WebhookSettingsServiceGetRequest) (*ripostev1.WebhookSettingsServiceGetResponse, error) {
	w, err := h.s.liveWebhook(ctx, r.GetWebhookId())
	if err != nil {
		return nil, err
	}
	return &ripostev1.WebhookSettingsServiceGetResponse{Settings: settingsMessage(w.Settings)}, nil
}

// update lets an absent field under a mask fall back to its default.
func (h settingsService) update(ctx context.Context, _ riposte.Caller, r *ripostev1.WebhookSettingsServiceUpdateRequest) (*ripostev1.WebhookSettingsServiceUpdateResponse, error) {
	change := r.GetSettings()
	paths, err := maskPaths(r.GetUpdateMask(), "retry_policy", "max_in_flight", "max_in_flight_total", "outcome_url")
	if err != nil {
		return nil, err
	}
	w, err := h.s.changeWebhook(ctx, r.GetWebhookId(), func(w *riposte.Webhook) error {
		policy, bound := change != nil && change.RetryPolicy != nil, change != nil && change.MaxInFlight != nil
		if paths.includes("retry_policy", policy) {
			w.Settings.RetryPolicy = riposte.RetryFastThenSlow
			if policy {
				w.Settings.RetryPolicy = retryPolicies[change.GetRetryPolicy()]
			}
		}
		if paths.includes("max_in_flight", bound) {
			w.Settings.MaxInFlight = riposte.DefaultMaxInFlight
			if bound {
				w.Settings.MaxInFlight = int(change.GetMaxInFlight())
			}
		}
		total := change != nil && change.MaxInFlightTotal != nil
		if paths.includes("max_in_flight_total", total) {
			w.Settings.MaxInFlightTotal = int(change.GetMaxInFlightTotal())
		}
		outcomeURL := change != nil && change.OutcomeUrl != nil
		if paths.includes("outcome_url", outcomeURL) {
			w.Settings.OutcomeURL = change.GetOutcomeUrl()
		}
		return below("settings", w.Settings.Validate(h.s.Check))
	})
	if err != nil {
		return nil, err
	}
	return &ripostev1.WebhookSettingsServiceUpdateResponse{Settings: settingsMessage(w.Settings)}, nil
}

var retryPolicies = map[ripostev1.RetryPolicy]riposte.RetryPolicy{
	ripostev1.RetryPolicy_RETRY_POLICY_FAST:           riposte.RetryFast,
	ripostev1.RetryPolicy_RETRY_POLICY_FAST_THEN_SLOW: riposte.RetryFastThenSlow,
}

func settingsMessage(s riposte.WebhookSettings) *ripostev1.WebhookSettings {
	bound, total := int32(s.MaxInFlight), int32(s.MaxInFlightTotal)
	return &ripostev1.WebhookSettings{
		RetryPolicy: ripostev1.RetryPolicy(ripostev1.RetryPolicy_value["RETRY_POLICY_"+string(s.RetryPolicy)]).Enum(),
		MaxInFlight: &bound, MaxInFlightTotal: &total, OutcomeUrl: &s.OutcomeURL,
	}
}
