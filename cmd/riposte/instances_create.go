package main

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	webhooksv1 "github.com/riposte-dev/riposte/gen/c1/api/webhooks/v1"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

// instanceFlags are what an instance is created from.
type instanceFlags struct {
	test                                                        bool
	approvalStep, provisionStep, policyPostAction, workflowStep string

	payload, requestID, outcomeURL string
	labels                         []string
	callbackTimeout                span
}

func (i *instanceFlags) register(cmd *cobra.Command) {
	i.registerQuestion(cmd)
	flags := cmd.Flags()
	flags.StringVar(&i.requestID, "request-id", "", "makes the call safe to repeat: the same `ID` gives the same instance")
	flags.StringVar(&i.outcomeURL, "outcome-url", "", "`URL` that the outcome is pushed to (default the webhook's, or the server's)")
	flags.StringArrayVar(&i.labels, "label", nil, "`KEY=VALUE` to find it by; may be repeated")
	flags.Var(&i.callbackTimeout, "callback-timeout", "how long the answer may take, such as 192h or 8d; 1d to 30d (default the webhook's)")
}

// registerQuestion registers what riposte check takes as well: sources and payload.
func (i *instanceFlags) registerQuestion(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.BoolVar(&i.test, "test", false, "ask an empty question")
	flags.StringVar(&i.approvalStep, "approval-step", "", "ask for the approval of this `TICKET`")
	flags.StringVar(&i.provisionStep, "provision-step", "", "ask for what this `TICKET` provisions")
	flags.StringVar(&i.policyPostAction, "policy-post-action", "", "tell what a policy decided for this `TICKET`")
	flags.StringVar(&i.workflowStep, "workflow-step", "", "ask for a workflow's step, `EXECUTION_ID/STEP_ID`")
	flags.StringVar(&i.payload, "payload", "", "the question, a `JSON` object; @file reads a file, - standard input")
}

func newInstancesCreateCommand(f *clientFlags) *cobra.Command {
	var (
		i instanceFlags
		w waitFlags
	)
	cmd := &cobra.Command{
		Use:   "create WEBHOOK_ID",
		Short: "Ask a question",
		Long: `Ask a webhook a question, for exactly one kind of step. It is on the server's disk
when the command returns. The payload reaches the receiver byte for byte.

With --wait the command returns when there is an outcome.

` + exitCodes,
		Example: `  riposte instances create WEBHOOK_ID --test --wait
  riposte instances create WEBHOOK_ID --approval-step T-1 --payload '{"who":"ada"}' --label team=db
  riposte instances create WEBHOOK_ID --provision-step T-2 --payload @question.json --request-id T-2
  jq -n '{workflowId:"w",context:{}}' | riposte instances create WEBHOOK_ID --workflow-step 42/look-up --payload -`,
		Args: exactly("WEBHOOK_ID"),
		RunE: f.connected(func(cmd *cobra.Command, c *clients, args []string) error {
			if err := w.check(cmd); err != nil {
				return err
			}
			req, err := i.request(cmd)
			if err != nil {
				return err
			}
			req.WebhookId = args[0]
			res, err := c.instances.Create(cmd.Context(), req)
			if err != nil {
				return err
			}
			return f.showCreated(cmd, c, res, w)
		}),
	}
	i.register(cmd)
	w.register(cmd)
	return cmd
}

// request reads the flags; the webhook's id is the caller's to set.
func (i *instanceFlags) request(cmd *cobra.Command) (*ripostev1.InstancesServiceCreateRequest, error) {
	source, err := i.source(cmd)
	if err != nil {
		return nil, err
	}
	labels, err := readPairs("label", i.labels)
	if err != nil {
		return nil, err
	}
	req := &ripostev1.InstancesServiceCreateRequest{
		Source: source, RequestId: i.requestID, Labels: labels, OutcomeUrl: i.outcomeURL, CallbackTimeout: i.callbackTimeout.given(cmd, "callback-timeout"),
	}
	if cmd.Flags().Changed("payload") {
		req.Payload, err = readJSON(cmd, "payload", i.payload)
	}
	return req, err
}

func (i *instanceFlags) source(cmd *cobra.Command) (*webhooksv1.WebhookSource, error) {
	kind, err := onlyOne(cmd, "test", "approval-step", "provision-step", "policy-post-action", "workflow-step")
	if err != nil {
		return nil, err
	}
	m := &webhooksv1.WebhookSource{}
	switch kind {
	case "test":
		m.Source = &webhooksv1.WebhookSource_Test{Test: &webhooksv1.WebhookSourceTest{}}
	case "approval-step":
		m.Source = &webhooksv1.WebhookSource_ApprovalStep{ApprovalStep: &webhooksv1.WebhookSourceApprovalStep{TicketId: i.approvalStep}}
	case "provision-step":
		m.Source = &webhooksv1.WebhookSource_ProvisionStep{ProvisionStep: &webhooksv1.WebhookSourceProvisionStep{TicketId: i.provisionStep}}
	case "policy-post-action":
		m.Source = &webhooksv1.WebhookSource_PolicyPostAction{PolicyPostAction: &webhooksv1.WebhookSourcePolicyPostAction{TicketId: i.policyPostAction}}
	case "workflow-step":
		step, err := parseWorkflowStep(i.workflowStep)
		if err != nil {
			return nil, err
		}
		m.Source = &webhooksv1.WebhookSource_WorkflowStep{WorkflowStep: step}
	}
	return m, nil
}

// parseWorkflowStep cuts at the first slash: an execution's id is a number, a
// step's id may be anything.
func parseWorkflowStep(s string) (*webhooksv1.WebhookSourceWorkflowStep, error) {
	execution, step, found := strings.Cut(s, "/")
	id, err := strconv.ParseInt(execution, 10, 64)
	if !found || err != nil || step == "" {
		return nil, usagef("--workflow-step is EXECUTION_ID/STEP_ID with a number before the slash, such as 42/look-up, not %q", s)
	}
	return &webhooksv1.WebhookSourceWorkflowStep{WorkflowExecutionId: id, WorkflowStepId: step}, nil
}

// created is the response of an operation that made an instance.
type created interface {
	proto.Message
	GetInstance() *ripostev1.Instance
}

// showCreated prints a new instance, or what it came to where that is awaited.
func (f *clientFlags) showCreated(cmd *cobra.Command, c *clients, res created, w waitFlags) error {
	id := res.GetInstance().GetWebhookInstance().GetId()
	if w.wait {
		return f.waitAndShow(cmd, c, id, time.Duration(w.timeout))
	}
	return f.print(cmd, res, func(out *bytes.Buffer) {
		writeInstance(out, res.GetInstance(), time.Now())
		fmt.Fprintf(out, "\nSee what it comes to: riposte instances wait %s\n", visible(id))
	})
}
