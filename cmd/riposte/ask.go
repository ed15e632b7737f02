package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	webhooksv1 "github.com/riposte-dev/riposte/gen/c1/api/webhooks/v1"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

// The exit codes of an answer that isn't the one hoped for, so that what stands
// behind && is not done.
const (
	exitDenied         = 10
	exitErrored        = 11
	exitReassigned     = 12
	exitPolicyReplaced = 13
)

var answerCodes = map[ripostev1.OutcomeKind]int{
	ripostev1.OutcomeKind_OUTCOME_KIND_DENIED:          exitDenied,
	ripostev1.OutcomeKind_OUTCOME_KIND_ERRORED:         exitErrored,
	ripostev1.OutcomeKind_OUTCOME_KIND_REASSIGNED:      exitReassigned,
	ripostev1.OutcomeKind_OUTCOME_KIND_POLICY_REPLACED: exitPolicyReplaced,
}

// untilExpiry is a wait that the instance's own expiry ends.
const untilExpiry = time.Duration(-1)

func newAskCommand() *cobra.Command {
	f := &clientFlags{}
	var (
		i instanceFlags
		w waitFlags
	)
	cmd := &cobra.Command{
		Use:   "ask WEBHOOK",
		Short: "Ask a question and wait for the answer",
		Long: `Ask a webhook a question, for exactly one kind of step. WEBHOOK is its id, or its
name where no other webhook has that. With --request-id the command may be given
again, after a crash or on another machine: it is the same question, and there is
one answer to it. The payload reaches the receiver byte for byte.

With --wait the command returns when there is an outcome, and tells on standard
error what happens until then: on a terminal in one line with the time that is
left, elsewhere with a line for each change. A server that restarts is waited
for. Ctrl-C ends the waiting, not the question.

Exit codes with --wait, by the outcome:
   0  DELIVERED, APPROVED, COMPLETED or CONTEXT
   3  FAILED: there will be no answer
   4  none: the instance is still open at the timeout, or at Ctrl-C
  10  DENIED
  11  ERRORED
  12  REASSIGNED
  13  POLICY_REPLACED
and 1 for any other error, 2 for a wrong command line.`,
		Example: `  riposte ask approvals --approval-step T-1 --payload '{"who":"ada"}' --wait && echo go on
  riposte ask WEBHOOK_ID --provision-step T-2 --payload @question.json --request-id T-2 --wait
  jq -n '{workflowId:"w",context:{}}' | riposte ask look-up --workflow-step 42/look-up --payload - --wait --timeout 1h --json`,
		Args: exactly("WEBHOOK"),
		RunE: f.connected(func(cmd *cobra.Command, c *clients, args []string) error {
			if err := w.check(cmd); err != nil {
				return err
			}
			req, err := i.request(cmd)
			if err != nil {
				return err
			}
			req.WebhookId = args[0]
			return f.ask(cmd, c, req, w)
		}),
	}
	f.register(cmd)
	i.register(cmd)
	cmd.Flags().BoolVar(&w.wait, "wait", false, "wait for the outcome")
	cmd.Flags().Var(&w.timeout, "timeout", "with --wait: how long to wait, such as 90s or 2d (default until the instance expires)")
	return cmd
}

func (f *clientFlags) ask(cmd *cobra.Command, c *clients, req *ripostev1.InstancesServiceCreateRequest, w waitFlags) error {
	ctx, stop := untilSignal(cmd.Context())
	defer stop()
	res, err := c.createOnce(ctx, req)
	if err != nil {
		return err
	}
	if !w.wait {
		return f.showCreated(cmd, c, res, w)
	}
	id := res.GetInstance().GetWebhookInstance().GetId()
	timeout := untilExpiry
	if cmd.Flags().Changed("timeout") {
		timeout = time.Duration(w.timeout)
	}
	var p *progress
	if !f.json {
		p = newProgress(cmd.ErrOrStderr())
		p.begin(res.GetInstance())
	}
	waited, err := c.waitForOutcome(ctx, id, waiting{timeout: timeout, step: p.step, saw: p.saw})
	p.end(waited.GetInstance())
	switch {
	case ctx.Err() != nil && waited.GetInstance().GetOutcome() == nil:
		return &exitError{exitOpen, fmt.Errorf("interrupted; instance %[1]s goes on: riposte instances wait %[1]s takes its outcome", visible(id))}
	case err != nil:
		return fmt.Errorf("waiting for instance %s: %w", visible(id), err)
	}
	if err := f.showWaited(cmd, c, waited, timeout); err != nil {
		return err
	}
	return answerVerdict(waited.GetInstance())
}

// answerVerdict tells a script which answer it was.
func answerVerdict(i *ripostev1.Instance) error {
	code, ok := answerCodes[i.GetOutcome().GetKind()]
	if !ok {
		return nil
	}
	return &exitError{code, fmt.Errorf("instance %s came to %s", visible(i.GetWebhookInstance().GetId()), outcomeText(i.GetOutcome()))}
}

// createTime bounds how long a server is waited for that can't take the
// question now.
const createTime = time.Minute

// createOnce creates the instance, however often it takes: with a request id it
// is one. A server that can't be connected to may be the wrong one, which is
// told at once.
func (c *clients) createOnce(ctx context.Context, req *ripostev1.InstancesServiceCreateRequest) (*ripostev1.InstancesServiceCreateResponse, error) {
	if req.GetRequestId() == "" {
		req.RequestId = rand.Text()
	}
	began := time.Now()
	for named := false; ; {
		res, err := c.instances.Create(ctx, req)
		dial, dialling := errors.AsType[*net.OpError](err)
		switch {
		case err == nil:
			return res, nil
		case !named && isNoWebhook(err):
			if req.WebhookId, err = c.webhookNamed(ctx, req.GetWebhookId()); err != nil {
				return nil, err
			}
			named = true
			continue
		case ctx.Err() != nil, !passes(err), dialling && dial.Op == "dial", time.Since(began) > createTime:
			return nil, err
		}
		pause(ctx, waitPause)
	}
}

func isNoWebhook(err error) bool {
	call, ok := errors.AsType[*connect.Error](err)
	if !ok {
		return false
	}
	info, _ := details(call)
	return info.GetReason() == "WEBHOOK_NOT_FOUND"
}

// webhookNamed finds the id of the one webhook with this name.
func (c *clients) webhookNamed(ctx context.Context, name string) (string, error) {
	list, _, err := collect(0, largestWebhooksPage, func(size int32, token string) ([]*webhooksv1.Webhook, string, error) {
		res, err := c.search.Search(ctx, &webhooksv1.WebhooksSearchRequest{Query: name, PageSize: size, PageToken: token})
		return res.GetList(), res.GetNextPageToken(), err
	})
	if err != nil {
		return "", err
	}
	var ids []string
	for _, w := range list {
		if w.GetDisplayName() == name {
			ids = append(ids, w.GetId())
		}
	}
	switch len(ids) {
	case 0:
		return "", fmt.Errorf("no webhook has the id or the name %s: riposte webhooks list shows those there are", visible(name))
	case 1:
		return ids[0], nil
	}
	return "", fmt.Errorf("%d webhooks have the name %s, so say which by its id: %s and %s are two of them", len(ids), visible(name), visible(ids[0]), visible(ids[1]))
}
