package main

import (
	"bytes"
	"time"

	"github.com/spf13/cobra"

	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

func newInstancesCommand() *cobra.Command {
	f := &clientFlags{}
	cmd := newGroup("instances", "Ask questions and see what came of them",
		`An instance is one question on its way to an answer: created PENDING, attempted
(RUNNING) until the receiver takes it, retried after an ERROR, perhaps
WAITING_CALLBACK for days, and closed in SUCCESS or FATAL_ERROR. What it came to
is its outcome; there is exactly one.

Creating an instance and acting on it needs an API key with the role sender,
reading needs viewer.`)
	cmd.Example = `  riposte instances create WEBHOOK_ID --approval-step T-1 --payload '{"who":"ada"}' --wait
  riposte instances list --state WAITING_CALLBACK
  riposte instances get INSTANCE_ID --full`
	f.register(cmd)
	cmd.AddCommand(
		newInstancesCreateCommand(f), newInstancesGetCommand(f), newInstancesListCommand(f), newInstancesWaitCommand(f),
		newInstancesCancelCommand(f), newInstancesRetryCommand(f), newInstancesRecreateCommand(f), newInstancesAnswerCommand(f),
	)
	return cmd
}

func newInstancesGetCommand(f *clientFlags) *cobra.Command {
	var full bool
	cmd := &cobra.Command{
		Use:   "get ID",
		Short: "Show an instance",
		Long: `Show an instance. With --full also its payload, the answer, and each attempt with
the time that its phases took; --full --json has every attempt's response.`,
		Example: `  riposte instances get INSTANCE_ID --full
  riposte instances get INSTANCE_ID --json | jq -r .instance.outcome.kind`,
		Args: exactly("ID"),
		RunE: f.connected(func(cmd *cobra.Command, c *clients, args []string) error {
			req := &ripostev1.InstancesServiceGetRequest{Id: args[0]}
			if full {
				req.View = ripostev1.InstanceView_INSTANCE_VIEW_FULL
			}
			res, err := c.instances.Get(cmd.Context(), req)
			if err != nil {
				return err
			}
			return f.print(cmd, res, func(out *bytes.Buffer) {
				writeInstance(out, res.GetInstance(), time.Now())
				if full {
					writeExchange(out, res.GetInstance(), time.Now())
				}
			})
		}),
	}
	cmd.Flags().BoolVar(&full, "full", false, "with payload, answer and attempts")
	return cmd
}
