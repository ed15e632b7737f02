package main

import (
	"bytes"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

func newConsumersPullCommand(f *clientFlags) *cobra.Command {
	var (
		limit       int32
		lease, wait span
	)
	cmd := &cobra.Command{
		Use:   "pull NAME",
		Short: "Lease the next outcomes",
		Long: `Lease the next outcomes, and show them, a line for each. What is not acked with
riposte consumers ack before the lease runs out is given again, to whoever pulls
then.`,
		Example: `  riposte consumers pull billing --limit 10 --lease 5m
  riposte consumers pull billing --wait 60s --json | jq -r '.leaseId, .instances[].outcome.kind'`,
		Args: exactly("NAME"),
		RunE: f.connected(func(cmd *cobra.Command, c *clients, args []string) error {
			switch {
			case cmd.Flags().Changed("limit") && limit < 1:
				return usagef("--limit must be 1 or more")
			case wait < 0 || wait > span(longestWait):
				return usagef("--wait must be 0 to 60s, not %s", wait.text())
			}
			res, err := c.consumers.Pull(cmd.Context(), &ripostev1.ConsumersServicePullRequest{
				Name: args[0], MaxOutcomes: limit, Lease: lease.given(cmd, "lease"), Wait: durationpb.New(time.Duration(wait)),
			})
			if err != nil {
				return err
			}
			return f.print(cmd, res, func(out *bytes.Buffer) { writePull(out, args[0], res, time.Now()) })
		}),
	}
	cmd.Flags().Int32Var(&limit, "limit", 0, "lease at most `N` outcomes, 1 to 1000 (default 100)")
	cmd.Flags().Var(&lease, "lease", "how long they are leased, 1s to 1h (default 30s)")
	cmd.Flags().Var(&wait, "wait", "how long to wait where there is nothing, 60s at most (default 0s)")
	return cmd
}

func newConsumersAckCommand(f *clientFlags) *cobra.Command {
	var through int64
	cmd := &cobra.Command{
		Use:   "ack NAME LEASE_ID",
		Short: "Say that leased outcomes were dealt with",
		Long: `Say that what a lease has was dealt with, or what it has through one sequence. It
may be repeated. A lease that ran out, and whose outcomes somebody else was given,
can't be acked.`,
		Example: `  riposte consumers ack billing LEASE_ID
  riposte consumers ack billing LEASE_ID --through 42`,
		Args: exactly("NAME", "LEASE_ID"),
		RunE: f.connected(func(cmd *cobra.Command, c *clients, args []string) error {
			if cmd.Flags().Changed("through") && through < 1 {
				return usagef("--through must be an outcome's sequence, not %d; without it all of the lease is acked", through)
			}
			res, err := c.consumers.Ack(cmd.Context(), &ripostev1.ConsumersServiceAckRequest{Name: args[0], LeaseId: args[1], Through: through})
			if err != nil {
				return err
			}
			return f.print(cmd, res, func(out *bytes.Buffer) { fmt.Fprintf(out, "Acked %s.\n", visible(args[1])) })
		}),
	}
	cmd.Flags().Int64Var(&through, "through", 0, "the `sequence` of the last outcome that was dealt with (default all of the lease)")
	return cmd
}

func writePull(out *bytes.Buffer, name string, res *ripostev1.ConsumersServicePullResponse, now time.Time) {
	if len(res.GetInstances()) == 0 {
		out.WriteString("Nothing to pull now.\n")
		return
	}
	for _, i := range res.GetInstances() {
		writeOutcomeLine(out, i)
	}
	fmt.Fprintln(out)
	t := newFacts(out)
	t.add("Lease", res.GetLeaseId())
	t.add("Until", moment(res.GetLeasedUntil(), now))
	if res.GetTries() > 1 {
		t.add("Given", fmt.Sprintf("%d times by now", res.GetTries()))
	}
	t.flush()
	fmt.Fprintf(out, "\nDealt with them? riposte consumers ack %s %s\n", visible(name), visible(res.GetLeaseId()))
}
