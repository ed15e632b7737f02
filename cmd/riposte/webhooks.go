package main

import (
	"bytes"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	webhooksv1 "github.com/riposte-dev/riposte/gen/c1/api/webhooks/v1"
)

func newWebhooksCommand() *cobra.Command {
	f := &clientFlags{}
	cmd := newGroup("webhooks", "Manage webhooks: where questions are asked",
		`A webhook is the address of a receiver, the system that answers. Changing one
needs an API key with the role admin; reading needs viewer, test sender.`)
	cmd.Example = `  riposte webhooks create --name approvals --url https://example.com/hook
  riposte webhooks test WEBHOOK_ID --wait
  riposte webhooks list`
	f.register(cmd)
	cmd.AddCommand(
		newWebhooksCreateCommand(f), newWebhooksGetCommand(f), newWebhooksListCommand(f), newWebhooksUpdateCommand(f),
		newWebhooksDeleteCommand(f), newWebhooksTestCommand(f), newWebhooksSearchCommand(f), newWebhooksSettingsCommand(f),
		newWebhooksRotateSecretCommand(f), newWebhooksRemoveSecretCommand(f),
	)
	return cmd
}

// webhookFlags are a webhook's mutable fields.
type webhookFlags struct {
	name, url, description string
	callbackTimeout        span
}

func (w *webhookFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&w.name, "name", "", "display `name`, at most 256 characters")
	cmd.Flags().StringVar(&w.url, "url", "", "`URL` of the receiver, https on port 443")
	cmd.Flags().StringVar(&w.description, "description", "", "what it is for, at most 2048 characters")
	cmd.Flags().Var(&w.callbackTimeout, "callback-timeout", "how long an answer may take, such as 192h or 8d; 1d to 30d (default 8d)")
}

func newWebhooksCreateCommand(f *clientFlags) *cobra.Command {
	var w webhookFlags
	cmd := &cobra.Command{
		Use:   "create --name NAME --url URL",
		Short: "Make a webhook",
		Long: `Make a webhook. Riposte will POST questions to its URL, each signed: the server's
/auth/v1/jwks has the keys to check them with.

The URL is not called now; riposte webhooks test does that.`,
		Example: `  riposte webhooks create --name approvals --url https://example.com/hook
  riposte webhooks create --name slow --url https://example.com/slow --callback-timeout 30d`,
		Args: noArgs,
		RunE: f.connected(func(cmd *cobra.Command, c *clients, _ []string) error {
			if w.name == "" || w.url == "" {
				return usagef("a webhook needs --name and --url")
			}
			res, err := c.webhooks.Create(cmd.Context(), &webhooksv1.WebhooksServiceCreateRequest{
				DisplayName: w.name, Url: w.url, Description: w.description,
				CallbackTimeout: w.callbackTimeout.given(cmd, "callback-timeout"),
			})
			if err != nil {
				return err
			}
			return f.print(cmd, res, func(out *bytes.Buffer) {
				writeWebhook(out, res.GetWebhook(), time.Now())
				fmt.Fprintf(out, "\nSee whether it answers: riposte webhooks test %s --wait\n", visible(res.GetWebhook().GetId()))
			})
		}),
	}
	w.register(cmd)
	return cmd
}

func newWebhooksGetCommand(f *clientFlags) *cobra.Command {
	return &cobra.Command{
		Use:     "get ID",
		Short:   "Show a webhook",
		Long:    "Show a webhook. A deleted one is not found.",
		Example: "  riposte webhooks get WEBHOOK_ID",
		Args:    exactly("ID"),
		RunE: f.connected(func(cmd *cobra.Command, c *clients, args []string) error {
			res, err := c.webhooks.Get(cmd.Context(), &webhooksv1.WebhooksServiceGetRequest{Id: args[0]})
			if err != nil {
				return err
			}
			return f.print(cmd, res, func(out *bytes.Buffer) { writeWebhook(out, res.GetWebhook(), time.Now()) })
		}),
	}
}

func newWebhooksUpdateCommand(f *clientFlags) *cobra.Command {
	var w webhookFlags
	cmd := &cobra.Command{
		Use:   "update ID",
		Short: "Change a webhook",
		Long: `Change those fields of a webhook that are given. Instances keep the URL and the
timeout that the webhook had when they were created.`,
		Example: `  riposte webhooks update WEBHOOK_ID --url https://example.com/v2/hook
  riposte webhooks update WEBHOOK_ID --description ''`,
		Args: exactly("ID"),
		RunE: f.connected(func(cmd *cobra.Command, c *clients, args []string) error {
			req := w.change(cmd)
			if len(req.GetUpdateMask().GetPaths()) == 0 {
				return usagef("nothing to change: give --name, --url, --description or --callback-timeout")
			}
			req.Webhook.Id = args[0]
			res, err := c.webhooks.Update(cmd.Context(), req)
			if err != nil {
				return err
			}
			return f.print(cmd, res, func(out *bytes.Buffer) { writeWebhook(out, res.GetWebhook(), time.Now()) })
		}),
	}
	w.register(cmd)
	cmd.Flags().Lookup("callback-timeout").Usage = "how long an answer may take, such as 192h or 8d; 1d to 30d"
	return cmd
}

// change masks what was given, so that a field given as empty is cleared and
// one not given stays.
func (w *webhookFlags) change(cmd *cobra.Command) *webhooksv1.WebhooksServiceUpdateRequest {
	changed := &webhooksv1.Webhook{
		DisplayName: &w.name, Url: &w.url, Description: &w.description,
		CallbackTimeout: w.callbackTimeout.given(cmd, "callback-timeout"),
	}
	mask := &fieldmaskpb.FieldMask{}
	for _, field := range []struct{ flag, path string }{
		{"name", "display_name"}, {"url", "url"}, {"description", "description"}, {"callback-timeout", "callback_timeout"},
	} {
		if cmd.Flags().Changed(field.flag) {
			mask.Paths = append(mask.Paths, field.path)
		}
	}
	return &webhooksv1.WebhooksServiceUpdateRequest{Webhook: changed, UpdateMask: mask}
}

func newWebhooksDeleteCommand(f *clientFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "delete ID",
		Short: "Delete a webhook",
		Long: `Delete a webhook. No attempt starts afterwards: its instances that still owe one
close with the outcome FAILED (WEBHOOK_DELETED). Those that wait for a callback
go on waiting, and the answer counts.`,
		Example: "  riposte webhooks delete WEBHOOK_ID",
		Args:    exactly("ID"),
		RunE: f.connected(func(cmd *cobra.Command, c *clients, args []string) error {
			res, err := c.webhooks.Delete(cmd.Context(), &webhooksv1.WebhooksServiceDeleteRequest{Id: args[0]})
			if err != nil {
				return err
			}
			return f.print(cmd, res, func(out *bytes.Buffer) { fmt.Fprintf(out, "Deleted webhook %s.\n", visible(args[0])) })
		}),
	}
}

func newWebhooksTestCommand(f *clientFlags) *cobra.Command {
	var w waitFlags
	cmd := &cobra.Command{
		Use:   "test ID",
		Short: "Ask a webhook an empty question",
		Long: `Ask a webhook an empty question, to see whether its receiver can be reached and
answers. Any 2xx but 202 is success; after 202 a callback is awaited.

` + exitCodes,
		Example: `  riposte webhooks test WEBHOOK_ID --wait
  riposte webhooks test WEBHOOK_ID --wait --timeout 10s`,
		Args: exactly("ID"),
		RunE: f.connected(func(cmd *cobra.Command, c *clients, args []string) error {
			if err := w.check(cmd); err != nil {
				return err
			}
			res, err := c.webhooks.Test(cmd.Context(), &webhooksv1.WebhooksServiceTestRequest{Id: args[0]})
			if err != nil {
				return err
			}
			id := res.GetWebhook().GetId()
			if w.wait {
				return f.waitAndShow(cmd, c, id, time.Duration(w.timeout))
			}
			return f.print(cmd, res, func(out *bytes.Buffer) {
				fmt.Fprintf(out, "Asked %s.\nSee what it answers: riposte instances wait %s\n",
					visible(res.GetWebhook().GetSpec().GetDestination()), visible(id))
			})
		}),
	}
	w.register(cmd)
	return cmd
}

func writeWebhook(out io.Writer, w *webhooksv1.Webhook, now time.Time) {
	t := newFacts(out)
	t.add("Webhook", w.GetId())
	t.add("Name", w.GetDisplayName())
	t.add("Description", w.GetDescription())
	t.add("URL", w.GetUrl())
	t.add("Callback timeout", patience(w.GetCallbackTimeout()))
	t.add("Created", moment(w.GetCreatedAt(), now))
	if !w.GetUpdatedAt().AsTime().Equal(w.GetCreatedAt().AsTime()) {
		t.add("Updated", moment(w.GetUpdatedAt(), now))
	}
	t.flush()
}

// patience is how long a webhook's answers may take: whole days as days.
func patience(d *durationpb.Duration) string {
	if d == nil {
		return ""
	}
	v := d.AsDuration()
	if v%day == 0 {
		return fmt.Sprintf("%dd", v/day)
	}
	return span(v).text()
}
