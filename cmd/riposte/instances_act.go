package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

func newInstancesCancelCommand(f *clientFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "cancel ID",
		Short: "Close an open instance",
		Long: `Close an open instance with the outcome FAILED (CANCELED). Its callback URL closes
with it. An attempt that is under way is not called back.

An instance whose outcome stands, but was given up after nobody took it
(PROCESS_RESPONSE), is closed as well, and its outcome stays as it is.`,
		Example: "  riposte instances cancel INSTANCE_ID",
		Args:    exactly("ID"),
		RunE: f.connected(func(cmd *cobra.Command, c *clients, args []string) error {
			res, err := c.instances.Cancel(cmd.Context(), &ripostev1.InstancesServiceCancelRequest{Id: args[0]})
			if err != nil {
				return err
			}
			return f.print(cmd, res, func(out *bytes.Buffer) { writeInstance(out, res.GetInstance(), time.Now()) })
		}),
	}
}

func newInstancesRetryCommand(f *clientFlags) *cobra.Command {
	var outcomeURL string
	cmd := &cobra.Command{
		Use:   "retry ID",
		Short: "Attempt an instance in ERROR at once, or push its outcome again",
		Long: `Attempt an instance at once that is in ERROR and waits for its next attempt. For a
closed one, riposte instances recreate asks the same question again.

An outcome that nobody has taken yet (PROCESS_RESPONSE) is pushed at once, also
if that was given up, and from now on to --outcome-url if one is given.`,
		Example: `  riposte instances retry INSTANCE_ID
  riposte instances list --state ERROR
  riposte instances list --state PROCESS_RESPONSE
  riposte instances retry INSTANCE_ID --outcome-url https://app.example.com/outcomes`,
		Args: exactly("ID"),
		RunE: f.connected(func(cmd *cobra.Command, c *clients, args []string) error {
			res, err := c.instances.RetryNow(cmd.Context(), &ripostev1.InstancesServiceRetryNowRequest{Id: args[0], OutcomeUrl: outcomeURL})
			if err != nil {
				return err
			}
			if res.GetInstance().GetOutcome() != nil {
				return f.print(cmd, res, func(out *bytes.Buffer) { writeInstance(out, res.GetInstance(), time.Now()) })
			}
			return f.showCreated(cmd, c, res, waitFlags{})
		}),
	}
	cmd.Flags().StringVar(&outcomeURL, "outcome-url", "", "`URL` that the outcome is pushed to from now on")
	return cmd
}

func newInstancesRecreateCommand(f *clientFlags) *cobra.Command {
	var w waitFlags
	var outcomeURL string
	cmd := &cobra.Command{
		Use:   "recreate ID",
		Short: "Ask an instance's question again",
		Long: `Make a new instance with the same source, payload and labels, at the webhook's
current URL. The new one says from which it was recreated; the old one stays.

With --wait the command returns when there is an outcome.

` + exitCodes,
		Example: "  riposte instances recreate INSTANCE_ID --wait",
		Args:    exactly("ID"),
		RunE: f.connected(func(cmd *cobra.Command, c *clients, args []string) error {
			if err := w.check(cmd); err != nil {
				return err
			}
			res, err := c.instances.Recreate(cmd.Context(), &ripostev1.InstancesServiceRecreateRequest{Id: args[0], OutcomeUrl: outcomeURL})
			if err != nil {
				return err
			}
			return f.showCreated(cmd, c, res, w)
		}),
	}
	w.register(cmd)
	cmd.Flags().StringVar(&outcomeURL, "outcome-url", "", "`URL` that the outcome is pushed to (default where the old one's was)")
	return cmd
}

// answerFlags are a response document, or what makes a simple one.
type answerFlags struct {
	document                         string
	approve, deny, complete, errored bool
	comment                          string
}

func newInstancesAnswerCommand(f *clientFlags) *cobra.Command {
	var a answerFlags
	cmd := &cobra.Command{
		Use:   "answer ID",
		Short: "Answer in the receiver's stead",
		Long: `Give an instance its answer, by the rules of a callback: it must have been
attempted and be open still, and the document must be one that its source takes.

  approvalStep      --approve or --deny; --document for reassign and replacePolicy
  provisionStep     --complete or --errored
  workflowStep      --document '{"version":"v1","context":{}}'
  test, policyPostAction
                    --document '{"version":"v1"}'`,
		Example: `  riposte instances answer INSTANCE_ID --approve --comment 'Ada called'
  riposte instances answer INSTANCE_ID --document @answer.json`,
		Args: exactly("ID"),
		RunE: f.connected(func(cmd *cobra.Command, c *clients, args []string) error {
			document, err := a.read(cmd)
			if err != nil {
				return err
			}
			res, err := c.instances.Answer(cmd.Context(), &ripostev1.InstancesServiceAnswerRequest{Id: args[0], Document: document})
			if err != nil {
				return err
			}
			return f.print(cmd, res, func(out *bytes.Buffer) { writeInstance(out, res.GetInstance(), time.Now()) })
		}),
	}
	a.register(cmd)
	return cmd
}

func (a *answerFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&a.document, "document", "", "the answer, a `JSON` object; @file reads a file, - standard input")
	flags.BoolVar(&a.approve, "approve", false, "approve, for an approvalStep")
	flags.BoolVar(&a.deny, "deny", false, "deny, for an approvalStep")
	flags.BoolVar(&a.complete, "complete", false, "it is done, for a provisionStep")
	flags.BoolVar(&a.errored, "errored", false, "it could not be done, for a provisionStep")
	flags.StringVar(&a.comment, "comment", "", "`TEXT` that goes with one of these, at most 1024 characters")
}

// read makes the document; what it may say is the server's to judge.
func (a *answerFlags) read(cmd *cobra.Command) ([]byte, error) {
	choice, err := onlyOne(cmd, "document", "approve", "deny", "complete", "errored")
	switch {
	case err != nil:
		return nil, err
	case choice != "document":
		return answerDocument(choice, a.comment)
	case a.comment != "":
		return nil, usagef("--comment goes with --approve, --deny, --complete or --errored; a --document has its own")
	}
	return readJSON(cmd, "document", a.document)
}

func answerDocument(choice, comment string) ([]byte, error) {
	type body struct {
		Comment string `json:"comment,omitempty"`
	}
	member, err := json.Marshal(map[string]body{choice: {comment}})
	if err != nil {
		return nil, fmt.Errorf("writing the answer: %w", err)
	}
	return append([]byte(`{"version":"v1",`), member[1:]...), nil
}
