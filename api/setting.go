package api

import (
	"context"
	"time"

	"github.com/riposte-dev/riposte"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

// settingsService is riposte.v1's WebhookSettingsService.
type settingsService struct{ s *Server }

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
	return &ripostev1.WebhookSettingsServiceGetResponse{Settings: h.settings(w)}, nil
}

// update lets an absent field under a mask fall back to its default.
func (h settingsService) update(ctx context.Context, _ riposte.Caller, r *ripostev1.WebhookSettingsServiceUpdateRequest) (*ripostev1.WebhookSettingsServiceUpdateResponse, error) {
	change := r.GetSettings()
	paths, err := maskPaths(r.GetUpdateMask(), "retry_policy", "max_in_flight", "max_in_flight_total", "outcome_url",
		"headers", "client_certificate", "ca_pem")
	if err != nil {
		return nil, err
	}
	request := requestChange(change, paths)
	var seal riposte.Sealer
	if request.Headers != nil || request.ClientCertificate != nil {
		if seal, err = h.s.Sealer(ctx); err != nil {
			return nil, err
		}
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
		if err := w.Settings.Validate(h.s.Check); err != nil {
			return below("settings", err)
		}
		return below("settings", w.ChangeRequest(request, seal, h.s.Store.Now()))
	})
	if err != nil {
		return nil, err
	}
	return &ripostev1.WebhookSettingsServiceUpdateResponse{Settings: h.settings(w)}, nil
}

// requestChange is what of change concerns the requests to a receiver. What is absent
// under a mask is to be gone.
func requestChange(change *ripostev1.WebhookSettings, paths mask) riposte.RequestChange {
	var c riposte.RequestChange
	if paths.includes("headers", change.GetHeaders() != nil) {
		list := []riposte.HeaderChange{}
		for _, each := range change.GetHeaders().GetList() {
			list = append(list, riposte.HeaderChange{Name: each.GetName(), Value: each.Value})
		}
		c.Headers = &list
	}
	if given := change.GetClientCertificate(); paths.includes("client_certificate", given != nil) {
		c.ClientCertificate = &riposte.ClientCertificateChange{}
		if given != nil {
			*c.ClientCertificate = riposte.ClientCertificateChange{Certificate: given.GetCertificatePem(), PrivateKey: given.PrivateKeyPem}
		}
	}
	if paths.includes("ca_pem", change != nil && change.CaPem != nil) {
		ca := change.GetCaPem()
		c.CA = &ca
	}
	return c
}

var retryPolicies = map[ripostev1.RetryPolicy]riposte.RetryPolicy{
	ripostev1.RetryPolicy_RETRY_POLICY_FAST:           riposte.RetryFast,
	ripostev1.RetryPolicy_RETRY_POLICY_FAST_THEN_SLOW: riposte.RetryFastThenSlow,
}

func (h settingsService) settings(w riposte.Webhook) *ripostev1.WebhookSettings {
	return settingsMessage(w.Settings, h.s.Store.Now())
}

// settingsMessage has nothing that is secret.
func settingsMessage(s riposte.WebhookSettings, now time.Time) *ripostev1.WebhookSettings {
	bound, total := int32(s.MaxInFlight), int32(s.MaxInFlightTotal)
	m := &ripostev1.WebhookSettings{
		RetryPolicy: ripostev1.RetryPolicy(ripostev1.RetryPolicy_value["RETRY_POLICY_"+string(s.RetryPolicy)]).Enum(),
		MaxInFlight: &bound, MaxInFlightTotal: &total, OutcomeUrl: &s.OutcomeURL,
		CaPem: &s.Request.CA, Headers: &ripostev1.WebhookHeaders{},
	}
	for _, each := range s.Request.Headers {
		m.Headers.List = append(m.Headers.List, &ripostev1.WebhookHeader{Name: each.Name})
	}
	for _, each := range s.Request.LiveSecrets(now) {
		m.Secrets = append(m.Secrets, secretMessage(each))
	}
	if c := s.Request.ClientCertificate; c != nil {
		m.ClientCertificate = &ripostev1.ClientCertificate{CertificatePem: c.Certificate}
	}
	return m
}
