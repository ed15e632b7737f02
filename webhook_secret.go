package riposte

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"slices"
	"strings"
	"time"
)

// Bounds of a webhook's secrets.
const (
	MaxWebhookSecrets = 4 // that are signed with at the same time
	minSecretSize     = 24
	maxSecretSize     = 64 // bytes
	newSecretSize     = 32

	DefaultKeepSecret = 24 * time.Hour
	MaxKeepSecret     = 30 * 24 * time.Hour
)

// How secrets and keys are written (Standard Webhooks, Signature scheme), before
// padded standard base64.
const (
	secretPrefix    = "whsec_"
	publicKeyPrefix = "whpk_"
)

// SecretScheme is how a secret signs: the name of the signature in webhook-signature.
type SecretScheme string

const (
	SchemeV1  SecretScheme = "v1"  // HMAC-SHA256
	SchemeV1A SecretScheme = "v1a" // Ed25519
)

// WebhookSecret is a secret of the Standard Webhooks scheme.
type WebhookSecret struct {
	ID        string       `json:"id"`
	Scheme    SecretScheme `json:"scheme"`
	Secret    Sealed       `json:"secret"`              // for Purpose; the HMAC's key, or the Ed25519 key's seed
	PublicKey []byte       `json:"publicKey,omitempty"` // of SchemeV1A
	CreatedAt time.Time    `json:"createdAt"`
	ExpiresAt time.Time    `json:"expiresAt,omitzero"` // until when it is signed with; zero while no later one has taken its place
}

// Purpose is what the secret is sealed for.
func (s WebhookSecret) Purpose(webhookID string) string {
	return webhookPurpose(webhookID, secretPurpose(s.ID))
}

func secretPurpose(id string) string { return "secret/" + id }

// Live reports whether requests are signed with s at now.
func (s WebhookSecret) Live(now time.Time) bool {
	return s.ExpiresAt.IsZero() || now.Before(s.ExpiresAt)
}

// VerifyKey is how a receiver writes the public key of SchemeV1A; "" of any other.
func (s WebhookSecret) VerifyKey() string {
	if len(s.PublicKey) == 0 {
		return ""
	}
	return publicKeyPrefix + base64.StdEncoding.EncodeToString(s.PublicKey)
}

// LiveSecrets returns the secrets that requests are signed with at now, newest first.
func (r RequestSettings) LiveSecrets(now time.Time) []WebhookSecret {
	var live []WebhookSecret
	for _, s := range r.Secrets {
		if s.Live(now) {
			live = append(live, s)
		}
	}
	return live
}

// SecretRotation says what secret takes the place of the one before.
type SecretRotation struct {
	Scheme SecretScheme
	// Secret is one that the receiver already has: whsec_ and 24 to 64 bytes in base64.
	// With "" one is made up. A key of SchemeV1A is always made up: nobody else may
	// sign with it.
	Secret string
	Keep   time.Duration // for how long the one before is signed with, too; 0 to MaxKeepSecret
}

// RotateSecret gives w a new secret and the one before its end. It returns the new one,
// and what a receiver verifies it with: of SchemeV1 the secret itself, which nobody can
// read afterwards. ErrManySecrets.
func (w *Webhook) RotateSecret(o SecretRotation, seal Sealer, now time.Time) (WebhookSecret, string, error) {
	now = Time(now)
	var v violations
	if o.Keep < 0 || o.Keep > MaxKeepSecret {
		v.addf("keepFor", "must be from 0s to %ds (30 days)", int(MaxKeepSecret.Seconds()))
	}
	key, public := newSecret(&v, o)
	if err := v.err(); err != nil {
		return WebhookSecret{}, "", err
	}
	kept := endSecrets(w.Settings.Request.Secrets, Time(now.Add(o.Keep)), now)
	if len(kept) >= MaxWebhookSecrets {
		return WebhookSecret{}, "", ErrManySecrets
	}
	s := WebhookSecret{ID: NewID(now), Scheme: o.Scheme, PublicKey: public, CreatedAt: now}
	s.Secret = w.sealing(seal)(secretPurpose(s.ID), key)
	w.Settings.Request.Secrets = append([]WebhookSecret{s}, kept...)
	if public != nil {
		return s, s.VerifyKey(), nil
	}
	return s, secretPrefix + base64.StdEncoding.EncodeToString(key), nil
}

// newSecret returns the HMAC's key, or an Ed25519 key's seed and its public key.
func newSecret(v *violations, o SecretRotation) (key, public []byte) {
	switch {
	case o.Scheme == SchemeV1A && o.Secret != "":
		v.addf("secret", "must be empty with WEBHOOK_SECRET_SCHEME_V1A, whose key is made here")
	case o.Scheme == SchemeV1A:
		key = make([]byte, ed25519.SeedSize)
		rand.Read(key)
		return key, ed25519.NewKeyFromSeed(key).Public().(ed25519.PublicKey)
	case o.Scheme != SchemeV1:
		v.addf("scheme", "must be WEBHOOK_SECRET_SCHEME_V1 or WEBHOOK_SECRET_SCHEME_V1A")
	case o.Secret == "":
		key = make([]byte, newSecretSize)
		rand.Read(key)
	default:
		return parseSecret(v, o.Secret), nil
	}
	return key, nil
}

// parseSecret says what is wrong in words that have nothing of the secret in them.
func parseSecret(v *violations, secret string) []byte {
	text, ok := strings.CutPrefix(secret, secretPrefix)
	key, err := base64.StdEncoding.Strict().DecodeString(text)
	if !ok || err != nil || strings.ContainsAny(text, "\r\n") { // which base64 would skip
		v.addf("secret", "must be whsec_ and standard base64 with its padding")
	} else if len(key) < minSecretSize || len(key) > maxSecretSize {
		v.addf("secret", "must have from %d to %d bytes behind whsec_, has %d", minSecretSize, maxSecretSize, len(key))
	}
	return key
}

// endSecrets returns those of secrets that are signed with after now, each with an end:
// its own, or end.
func endSecrets(secrets []WebhookSecret, end, now time.Time) []WebhookSecret {
	var kept []WebhookSecret
	for _, s := range secrets {
		if s.ExpiresAt.IsZero() {
			s.ExpiresAt = end
		}
		if s.Live(now) {
			kept = append(kept, s)
		}
	}
	return kept
}

// RemoveSecret ends signing with a secret, and forgets those whose end has come.
// ErrWebhookSecretNotFound.
func (w *Webhook) RemoveSecret(id string, now time.Time) error {
	live := w.Settings.Request.LiveSecrets(now)
	n := slices.IndexFunc(live, func(s WebhookSecret) bool { return s.ID == id })
	if n < 0 {
		return ErrWebhookSecretNotFound
	}
	w.Settings.Request.Secrets = slices.Delete(live, n, n+1)
	return nil
}
