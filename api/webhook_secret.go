package api

import (
	"context"

	"github.com/riposte-dev/riposte"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

func (h settingsService) RotateSecret(ctx context.Context, r *ripostev1.WebhookSettingsServiceRotateSecretRequest) (*ripostev1.WebhookSettingsServiceRotateSecretResponse, error) {
	return call(ctx, h.s, "WebhookSettingsService.RotateSecret", r, h.rotateSecret)
}

func (h settingsService) RemoveSecret(ctx context.Context, r *ripostev1.WebhookSettingsServiceRemoveSecretRequest) (*ripostev1.WebhookSettingsServiceRemoveSecretResponse, error) {
	return call(ctx, h.s, "WebhookSettingsService.RemoveSecret", r, h.removeSecret)
}

var secretSchemes = map[ripostev1.WebhookSecretScheme]riposte.SecretScheme{
	ripostev1.WebhookSecretScheme_WEBHOOK_SECRET_SCHEME_UNSPECIFIED: riposte.SchemeV1,
	ripostev1.WebhookSecretScheme_WEBHOOK_SECRET_SCHEME_V1:          riposte.SchemeV1,
	ripostev1.WebhookSecretScheme_WEBHOOK_SECRET_SCHEME_V1A:         riposte.SchemeV1A,
}

func (h settingsService) rotateSecret(ctx context.Context, _ riposte.Caller, r *ripostev1.WebhookSettingsServiceRotateSecretRequest) (*ripostev1.WebhookSettingsServiceRotateSecretResponse, error) {
	rotation := riposte.SecretRotation{Scheme: secretSchemes[r.GetScheme()], Secret: r.GetSecret(), Keep: riposte.DefaultKeepSecret}
	if d := r.GetKeepFor(); d != nil {
		rotation.Keep = d.AsDuration() // of one that is too long the longest there is
	}
	seal, err := h.s.Sealer(ctx)
	if err != nil {
		return nil, err
	}
	res := &ripostev1.WebhookSettingsServiceRotateSecretResponse{}
	_, err = h.s.changeWebhook(ctx, r.GetWebhookId(), func(w *riposte.Webhook) error {
		secret, verifyWith, err := w.RotateSecret(rotation, seal, h.s.Store.Now())
		res.Secret, res.VerifyWith = secretMessage(secret), verifyWith
		return err
	})
	if err != nil {
		return nil, err
	}
	return res, nil
}

func (h settingsService) removeSecret(ctx context.Context, _ riposte.Caller, r *ripostev1.WebhookSettingsServiceRemoveSecretRequest) (*ripostev1.WebhookSettingsServiceRemoveSecretResponse, error) {
	w, err := h.s.changeWebhook(ctx, r.GetWebhookId(), func(w *riposte.Webhook) error {
		return w.RemoveSecret(r.GetSecretId(), h.s.Store.Now())
	})
	if err != nil {
		return nil, err
	}
	return &ripostev1.WebhookSettingsServiceRemoveSecretResponse{Settings: h.settings(w)}, nil
}

func secretMessage(s riposte.WebhookSecret) *ripostev1.WebhookSecret {
	scheme := ripostev1.WebhookSecretScheme_WEBHOOK_SECRET_SCHEME_V1
	if s.Scheme == riposte.SchemeV1A {
		scheme = ripostev1.WebhookSecretScheme_WEBHOOK_SECRET_SCHEME_V1A
	}
	return &ripostev1.WebhookSecret{Id: s.ID, Scheme: scheme, PublicKey: s.VerifyKey(),
		CreatedAt: timestamp(s.CreatedAt), ExpiresAt: timestamp(s.ExpiresAt)}
}
