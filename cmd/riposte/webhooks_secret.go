package main

import (
	"bytes"
	"strings"
	"time"

	"github.com/spf13/cobra"

	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

func newWebhooksRotateSecretCommand(f *clientFlags) *cobra.Command {
	var (
		scheme, secret string
		keepFor        span
	)
	cmd := &cobra.Command{
		Use:   "rotate-secret ID",
		Short: "Sign a webhook's requests with a new secret",
		Long: `Make a secret with which a webhook's requests are signed by the Standard Webhooks
scheme, too, in the header webhook-signature. The first one begins that. The one
before goes on signing for --keep-for, so that the receiver has time to change.

  --scheme v1   HMAC-SHA256: the receiver has the same secret, whsec_…, which is
                printed now and never again (the default)
  --scheme v1a  Ed25519: the receiver has the public key, whpk_…`,
		Example: `  riposte webhooks rotate-secret WEBHOOK_ID
  riposte webhooks rotate-secret WEBHOOK_ID --scheme v1a --keep-for 7d
  riposte webhooks rotate-secret WEBHOOK_ID --secret @whsec.txt`,
		Args: exactly("ID"),
		RunE: f.connected(func(cmd *cobra.Command, c *clients, args []string) error {
			number, ok := ripostev1.WebhookSecretScheme_value["WEBHOOK_SECRET_SCHEME_"+strings.ToUpper(scheme)]
			if !ok || number == 0 {
				return usagef("--scheme is v1 or v1a, not %q", scheme)
			}
			given, err := readInput(cmd, secret)
			if err != nil {
				return usagef("reading --secret: %w", err)
			}
			res, err := c.settings.RotateSecret(cmd.Context(), &ripostev1.WebhookSettingsServiceRotateSecretRequest{
				WebhookId: args[0], Scheme: ripostev1.WebhookSecretScheme(number), Secret: strings.TrimSpace(string(given)),
				KeepFor: keepFor.given(cmd, "keep-for"),
			})
			if err != nil {
				return err
			}
			return f.print(cmd, res, func(out *bytes.Buffer) {
				t := newFacts(out)
				t.add("Secret", secretText(res.GetSecret(), time.Now()))
				t.add("Verify with", res.GetVerifyWith())
				t.flush()
			})
		}),
	}
	cmd.Flags().StringVar(&scheme, "scheme", "v1", "the `SCHEME` v1 or v1a")
	cmd.Flags().StringVar(&secret, "secret", "", "a `SECRET` of v1 that the receiver has, whsec_…, @FILE, or - for standard input; made up without it")
	cmd.Flags().Var(&keepFor, "keep-for", "how long the one before signs, too, such as 24h or 7d; 0s to 30d (default 24h)")
	return cmd
}

func newWebhooksRemoveSecretCommand(f *clientFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "remove-secret ID SECRET_ID",
		Short: "End signing with a secret, at once",
		Long: `End signing a webhook's requests with a secret, at once. With the last one signing
by the Standard Webhooks scheme ends. riposte webhooks settings shows those there are.`,
		Example: "  riposte webhooks remove-secret WEBHOOK_ID SECRET_ID",
		Args:    exactly("ID", "SECRET_ID"),
		RunE: f.connected(func(cmd *cobra.Command, c *clients, args []string) error {
			res, err := c.settings.RemoveSecret(cmd.Context(), &ripostev1.WebhookSettingsServiceRemoveSecretRequest{WebhookId: args[0], SecretId: args[1]})
			if err != nil {
				return err
			}
			return f.print(cmd, res, func(out *bytes.Buffer) { writeSettings(out, res.GetSettings()) })
		}),
	}
}

// secretText is a secret as it may be shown: which it is, and for how long it signs.
func secretText(s *ripostev1.WebhookSecret, now time.Time) string {
	parts := []string{s.GetId(), strings.ToLower(enumName(s.GetScheme(), "WEBHOOK_SECRET_SCHEME_")), "made " + moment(s.GetCreatedAt(), now)}
	if end := s.GetExpiresAt(); end != nil {
		parts = append(parts, "until "+moment(end, now))
	}
	if key := s.GetPublicKey(); key != "" {
		parts = append(parts, key)
	}
	return strings.Join(parts, ", ")
}
