package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

func newWebhooksSettingsCommand(f *clientFlags) *cobra.Command {
	var (
		retryPolicy, outcomeURL string
		maxInFlight, total      int32
		request                 requestFlags
	)
	cmd := &cobra.Command{
		Use:   "settings ID",
		Short: "Show or change a webhook's settings",
		Long: `Show a webhook's settings, or change those that are given.

  --retry-policy fast            up to 50 attempts, seconds apart, then FAILED
  --retry-policy fast-then-slow  then on, up to an hour apart, until the instance
                                 expires (the default)
  --max-in-flight N              attempts at once at each node, 1 to 1024 (default 64)
  --max-in-flight-total N        attempts at once at all nodes together, up to
                                 16384; 0 for no such bound (the default)
  --outcome-url URL              where outcomes of instances created from now on
                                 are pushed to; '' for the server's, if it has one
  --header 'Name: value'         send this header, too. With 'Name: @FILE' or
                                 'Name: -' the value stays out of the shell's history
  --remove-header NAME           send it no more
  --client-cert FILE, --client-key FILE
                                 show this certificate to a receiver that asks for
                                 one (mutual TLS); '' for none
  --ca FILE                      trust these authorities in place of the system's;
                                 '' for the system's

What is secret is kept encrypted and never shown again. It goes to the host of the
webhook's URL alone: a question that was asked before the URL was changed to another
host goes on to the old one without it.`,
		Example: `  riposte webhooks settings WEBHOOK_ID
  riposte webhooks settings WEBHOOK_ID --retry-policy fast --max-in-flight 8
  riposte webhooks settings WEBHOOK_ID --header 'X-Api-Key: @api-key.txt'
  riposte webhooks settings WEBHOOK_ID --client-cert us.pem --client-key us.key --ca them.pem
  riposte webhooks settings WEBHOOK_ID --outcome-url https://app.example.com/outcomes`,
		Args: exactly("ID"),
		RunE: f.connected(func(cmd *cobra.Command, c *clients, args []string) error {
			req := &ripostev1.WebhookSettingsServiceUpdateRequest{
				WebhookId: args[0], Settings: &ripostev1.WebhookSettings{}, UpdateMask: &fieldmaskpb.FieldMask{},
			}
			if cmd.Flags().Changed("retry-policy") {
				policy, err := parseRetryPolicy(retryPolicy)
				if err != nil {
					return err
				}
				req.Settings.RetryPolicy = policy.Enum()
				req.UpdateMask.Paths = append(req.UpdateMask.Paths, "retry_policy")
			}
			if cmd.Flags().Changed("max-in-flight") {
				req.Settings.MaxInFlight = &maxInFlight
				req.UpdateMask.Paths = append(req.UpdateMask.Paths, "max_in_flight")
			}
			if cmd.Flags().Changed("max-in-flight-total") {
				req.Settings.MaxInFlightTotal = &total
				req.UpdateMask.Paths = append(req.UpdateMask.Paths, "max_in_flight_total")
			}
			if cmd.Flags().Changed("outcome-url") {
				req.Settings.OutcomeUrl = &outcomeURL
				req.UpdateMask.Paths = append(req.UpdateMask.Paths, "outcome_url")
			}
			if err := request.change(cmd, c, req); err != nil {
				return err
			}
			return f.showOrChangeSettings(cmd, c, req)
		}),
	}
	cmd.Flags().StringVar(&retryPolicy, "retry-policy", "", "the `POLICY` fast or fast-then-slow")
	cmd.Flags().Int32Var(&maxInFlight, "max-in-flight", 0, "`N` attempts at once at each node, 1 to 1024")
	cmd.Flags().Int32Var(&total, "max-in-flight-total", 0, "`N` attempts at once at all nodes, up to 16384; 0 for no such bound")
	cmd.Flags().StringVar(&outcomeURL, "outcome-url", "", "`URL` that outcomes are pushed to")
	request.register(cmd)
	return cmd
}

// showOrChangeSettings only reads when there is nothing to change, which needs
// a lesser role.
func (f *clientFlags) showOrChangeSettings(cmd *cobra.Command, c *clients, req *ripostev1.WebhookSettingsServiceUpdateRequest) error {
	if len(req.GetUpdateMask().GetPaths()) == 0 {
		res, err := c.settings.Get(cmd.Context(), &ripostev1.WebhookSettingsServiceGetRequest{WebhookId: req.GetWebhookId()})
		if err != nil {
			return err
		}
		return f.print(cmd, res, func(out *bytes.Buffer) { writeSettings(out, res.GetSettings()) })
	}
	res, err := c.settings.Update(cmd.Context(), req)
	if err != nil {
		return err
	}
	return f.print(cmd, res, func(out *bytes.Buffer) { writeSettings(out, res.GetSettings()) })
}

// retryPolicyName is the API's name as flags are written.
func retryPolicyName(p ripostev1.RetryPolicy) string {
	return strings.ReplaceAll(strings.ToLower(enumName(p, "RETRY_POLICY_")), "_", "-")
}

func parseRetryPolicy(s string) (ripostev1.RetryPolicy, error) {
	for number := range ripostev1.RetryPolicy_name {
		if p := ripostev1.RetryPolicy(number); s != "" && retryPolicyName(p) == s {
			return p, nil
		}
	}
	return 0, usagef("--retry-policy is fast or fast-then-slow, not %q", s)
}

func writeSettings(out io.Writer, s *ripostev1.WebhookSettings) {
	t := newFacts(out)
	t.add("Retry policy", retryPolicyName(s.GetRetryPolicy()))
	t.add("Max in flight", fmt.Sprint(s.GetMaxInFlight()))
	if total := s.GetMaxInFlightTotal(); total > 0 {
		t.add("At all nodes", fmt.Sprint(total))
	}
	t.add("Outcomes to", s.GetOutcomeUrl())
	writeRequestSettings(t, s, time.Now())
	t.flush()
}
