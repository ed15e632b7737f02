package main

import (
	"bytes"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

func newConsumersCommand() *cobra.Command {
	f := &clientFlags{}
	cmd := newGroup("consumers", "Hand out outcomes to workers that keep no cursor",
		`A consumer is a place in the feed of outcomes that the server keeps under a name.
Workers that pull under this name share the outcomes, and each outcome is given
at least once: what is not acked before its lease runs out is given again.

Its lag is how many outcomes it has not acked yet, at most: those that its filter
would leave out count until it has passed them. Outcomes stay until every
consumer has acked them, so delete one that nobody uses.

Reading needs an API key with the role viewer, the rest sender.`)
	cmd.Example = `  riposte consumers create billing --filter 'source = provisionStep' --after 0
  riposte consumers list
  riposte consumers pull billing --wait 60s`
	f.register(cmd)
	cmd.AddCommand(
		newConsumersCreateCommand(f), newConsumersGetCommand(f), newConsumersListCommand(f), newConsumersDeleteCommand(f),
		newConsumersPullCommand(f), newConsumersAckCommand(f),
	)
	return cmd
}

func newConsumersCreateCommand(f *clientFlags) *cobra.Command {
	var after, filter string
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Make a consumer",
		Long: `Make a consumer. One that is there already, with the same filter, stays as it is
and where it is.

A name has 1 to 63 characters: a to z, 0 to 9, dot, hyphen and underscore, the
first one a letter or a digit.`,
		Example: `  riposte consumers create billing
  riposte consumers create billing --filter 'source = provisionStep AND labels.team = red' --after 0`,
		Args: exactly("NAME"),
		RunE: f.connected(func(cmd *cobra.Command, c *clients, args []string) error {
			res, err := c.consumers.Create(cmd.Context(), &ripostev1.ConsumersServiceCreateRequest{Name: args[0], Filter: filter, After: after})
			if err != nil {
				return err
			}
			return f.print(cmd, res, func(out *bytes.Buffer) { writeConsumer(out, res.GetConsumer(), time.Now()) })
		}),
	}
	cmd.Flags().StringVar(&filter, "filter", "", outcomeFilterUsage)
	cmd.Flags().StringVar(&after, "after", "", "begin after this `cursor`; 0 for all that is kept (default: what comes from now on)")
	return cmd
}

func newConsumersGetCommand(f *clientFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "get NAME",
		Short: "Show a consumer and its lag",
		Long: `Show a consumer: up to which cursor it has acked everything, up to which it has
pulled, how many pulls are out, and its lag.`,
		Example: `  riposte consumers get billing
  riposte consumers get billing --json | jq -r .consumer.lag`,
		Args: exactly("NAME"),
		RunE: f.connected(func(cmd *cobra.Command, c *clients, args []string) error {
			res, err := c.consumers.Get(cmd.Context(), &ripostev1.ConsumersServiceGetRequest{Name: args[0]})
			if err != nil {
				return err
			}
			return f.print(cmd, res, func(out *bytes.Buffer) { writeConsumer(out, res.GetConsumer(), time.Now()) })
		}),
	}
}

func newConsumersListCommand(f *clientFlags) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List consumers and their lag",
		Long:    "List all consumers by their names, with their lag.",
		Example: "  riposte consumers list\n  riposte consumers list --json | jq -r '.list[] | [.name, .lag] | @tsv'",
		Args:    noArgs,
		RunE: f.connected(func(cmd *cobra.Command, c *clients, _ []string) error {
			res, err := c.consumers.List(cmd.Context(), &ripostev1.ConsumersServiceListRequest{})
			if err != nil {
				return err
			}
			return f.print(cmd, res, func(out *bytes.Buffer) { writeConsumers(out, res.GetList(), time.Now()) })
		}),
	}
}

func newConsumersDeleteCommand(f *clientFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "delete NAME",
		Short: "Forget a consumer",
		Long: `Forget a consumer and where it was. Outcomes that it has not acked are no longer
kept for it.`,
		Example: "  riposte consumers delete billing",
		Args:    exactly("NAME"),
		RunE: f.connected(func(cmd *cobra.Command, c *clients, args []string) error {
			res, err := c.consumers.Delete(cmd.Context(), &ripostev1.ConsumersServiceDeleteRequest{Name: args[0]})
			if err != nil {
				return err
			}
			return f.print(cmd, res, func(out *bytes.Buffer) { fmt.Fprintf(out, "Deleted consumer %s.\n", visible(args[0])) })
		}),
	}
}

func writeConsumer(out *bytes.Buffer, c *ripostev1.Consumer, now time.Time) {
	t := newFacts(out)
	t.add("Consumer", c.GetName())
	t.add("Filter", c.GetFilter())
	t.add("Created", moment(c.GetCreatedAt(), now))
	t.add("Acked up to", c.GetAcked())
	t.add("Pulled up to", c.GetPosition())
	t.add("Lag", strconv.FormatInt(c.GetLag(), 10))
	t.add("Pulls out", count(c.GetLeases()))
	t.flush()
}

func writeConsumers(out *bytes.Buffer, list []*ripostev1.Consumer, now time.Time) {
	if len(list) == 0 {
		out.WriteString("No consumers yet. Make one: riposte consumers create NAME\n")
		return
	}
	t := newTable(out, "NAME", "LAG", "PULLS OUT", "ACKED", "PULLED", "AGE", "FILTER")
	for _, c := range list {
		t.row(c.GetName(), strconv.FormatInt(c.GetLag(), 10), count(c.GetLeases()), c.GetAcked(), c.GetPosition(),
			age(c.GetCreatedAt(), now), short(c.GetFilter(), 60))
	}
	t.flush()
}
