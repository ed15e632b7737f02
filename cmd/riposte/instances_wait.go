package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

const (
	defaultWait = 5 * time.Minute
	longestWait = 60 * time.Second // of one call
	// waitPause is between two calls of which the first came back early: the
	// server is stopping, or is not there.
	waitPause = time.Second
)

// waitFlags let a command that makes an instance wait for its outcome.
type waitFlags struct {
	wait    bool
	timeout span
}

func (w *waitFlags) register(cmd *cobra.Command) {
	w.timeout = span(defaultWait)
	cmd.Flags().BoolVar(&w.wait, "wait", false, "wait for the outcome")
	cmd.Flags().Var(&w.timeout, "timeout", "with --wait: how long to wait")
}

func (w *waitFlags) check(cmd *cobra.Command) error {
	if !w.wait && cmd.Flags().Changed("timeout") {
		return usagef("--timeout needs --wait")
	}
	return w.timeout.mustNotBeNegative("timeout")
}

func newInstancesWaitCommand(f *clientFlags) *cobra.Command {
	wait := span(defaultWait)
	cmd := &cobra.Command{
		Use:   "wait ID",
		Short: "Wait for an instance's outcome",
		Long: `Wait until the instance has its outcome, and show it. A server that restarts in
the meantime is waited for, too.

` + exitCodes,
		Example: `  riposte instances wait INSTANCE_ID
  riposte instances wait INSTANCE_ID --timeout 8d --json | jq -r .instance.outcome.documentJson`,
		Args: exactly("ID"),
		RunE: f.connected(func(cmd *cobra.Command, c *clients, args []string) error {
			if err := wait.mustNotBeNegative("timeout"); err != nil {
				return err
			}
			return f.waitAndShow(cmd, c, args[0], time.Duration(wait))
		}),
	}
	cmd.Flags().Var(&wait, "timeout", "how long to wait; 0 looks once")
	return cmd
}

// waitAndShow waits for an outcome and shows it.
func (f *clientFlags) waitAndShow(cmd *cobra.Command, c *clients, id string, timeout time.Duration) error {
	res, err := c.waitForOutcome(cmd.Context(), id, waiting{timeout: timeout})
	if err != nil {
		return fmt.Errorf("waiting for instance %s: %w", visible(id), err)
	}
	return f.showWaited(cmd, c, res, timeout)
}

// showWaited prints how the instance stands when it has its outcome or the
// time is over, and returns the error that says so in the exit code.
func (f *clientFlags) showWaited(cmd *cobra.Command, c *clients, res *ripostev1.InstancesServiceWaitResponse, waited time.Duration) error {
	verdict := verdict(res.GetInstance(), waited)
	err := f.print(cmd, res, func(out *bytes.Buffer) {
		now := time.Now()
		writeInstance(out, res.GetInstance(), now)
		if verdict != nil {
			c.writeAttemptsOf(cmd.Context(), out, res.GetInstance().GetWebhookInstance().GetId(), now)
		}
	})
	if err != nil {
		return err
	}
	return verdict
}

// writeAttemptsOf shows why there is no answer. It adds to what was asked for,
// so it is left out where it can't be had.
func (c *clients) writeAttemptsOf(ctx context.Context, out *bytes.Buffer, id string, now time.Time) {
	res, err := c.instances.Get(ctx, &ripostev1.InstancesServiceGetRequest{Id: id, View: ripostev1.InstanceView_INSTANCE_VIEW_FULL})
	if err == nil {
		writeAttempts(out, res.GetInstance(), now)
	}
}

// waiting is how a command waits for an outcome.
type waiting struct {
	timeout time.Duration // negative: for as long as the instance is open
	// step is how long the next call may take, for those who want to see the
	// instance on its way; nil for as long as the server lets one wait.
	step func() time.Duration
	// saw is told how the instance stands after each call, and of an error that
	// passes; may be nil.
	saw func(*ripostev1.Instance, error)
}

// waitForOutcome asks as often as the time takes. The first look returns at
// once, so that a wrong id or a server that isn't there is told at once; once
// there was an answer, a server that is away is waited for.
func (c *clients) waitForOutcome(ctx context.Context, id string, w waiting) (*ripostev1.InstancesServiceWaitResponse, error) {
	began := time.Now()
	last, err := c.waitOnce(ctx, id, 0)
	for err == nil && last.GetInstance().GetOutcome() == nil {
		if w.saw != nil {
			w.saw(last.GetInstance(), nil)
		}
		asked := longestWait
		if w.step != nil {
			asked = w.step()
		}
		if w.timeout >= 0 {
			asked = min(asked, w.timeout-time.Since(began))
		}
		if asked <= 0 {
			break
		}
		last, err = c.waitStep(ctx, id, asked, last, w.saw)
	}
	return last, err
}

// waitStep makes one call, and pauses where that comes back early and without
// an outcome. An error that passes gives last again.
func (c *clients) waitStep(ctx context.Context, id string, asked time.Duration, last *ripostev1.InstancesServiceWaitResponse,
	saw func(*ripostev1.Instance, error)) (*ripostev1.InstancesServiceWaitResponse, error) {
	began := time.Now()
	next, err := c.waitOnce(ctx, id, asked)
	switch {
	case err == nil:
		last = next
	case ctx.Err() != nil || !passes(err):
		return nil, err
	case saw != nil:
		saw(last.GetInstance(), err)
	}
	if last.GetInstance().GetOutcome() == nil && time.Since(began) < asked {
		pause(ctx, max(min(waitPause, asked), retryAfter(err)))
	}
	return last, nil
}

// passes reports whether a call that failed may succeed later by itself: the
// server restarts, or died half way through, or the key has called too often.
func passes(err error) bool {
	code := connect.CodeOf(err)
	return retryAfter(err) > 0 || code == connect.CodeUnavailable || code == connect.CodeDeadlineExceeded || !connect.IsWireError(err) && errors.Is(err, io.ErrUnexpectedEOF)
}

func (c *clients) waitOnce(ctx context.Context, id string, timeout time.Duration) (*ripostev1.InstancesServiceWaitResponse, error) {
	return c.instances.Wait(ctx, &ripostev1.InstancesServiceWaitRequest{Id: id, Timeout: durationpb.New(timeout)})
}

// pause ends early with ctx; the call that follows then says so.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// verdict is the error that tells a script how a wait ended; nil for an answer.
func verdict(i *ripostev1.Instance, waited time.Duration) error {
	id := visible(i.GetWebhookInstance().GetId())
	switch outcome := i.GetOutcome(); {
	case outcome == nil:
		return &exitError{exitOpen, fmt.Errorf("instance %s is still %s after %s", id, stateName(i), span(waited).text())}
	case outcome.GetKind() == ripostev1.OutcomeKind_OUTCOME_KIND_FAILED:
		return &exitError{exitFailed, fmt.Errorf("instance %s failed: %s", id, visible(failureText(outcome.GetFailure())))}
	}
	return nil
}
