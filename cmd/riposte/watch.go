package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/signal"
	"syscall"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

// watchSilence is after how long without a word a stream counts as dead: the
// server says something every 15 s.
const watchSilence = 45 * time.Second

const outcomeFilterUsage = "only outcomes that this `filter` lets through: webhookId, source, ticketId, createdBy and labels.KEY with = and AND"

func newWatchCommand() *cobra.Command {
	f := &clientFlags{}
	var after, filter string
	cmd := &cobra.Command{
		Use:   "watch",
		Short: "Show each outcome as it comes",
		Long: `Show each outcome as it comes, a line for each, until it is interrupted. A server
that restarts is waited for, and nothing is missed or shown twice.

--after goes on from where another watch ended: its last word was the cursor, and
with --json each line has one. 0 begins with the oldest outcome that is kept.`,
		Example: `  riposte watch
  riposte watch --filter 'source = approvalStep AND labels.team = red'
  riposte watch --after 0 --json | jq -r '[.cursor, .instance.outcome.kind] | @tsv'`,
		Args: noArgs,
		RunE: f.connected(func(cmd *cobra.Command, c *clients, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			w := watcher{f: f, cmd: cmd, clients: c, after: after, filter: filter}
			return w.run(ctx)
		}),
	}
	f.register(cmd)
	cmd.Flags().StringVar(&after, "after", "", "go on after this `cursor`; 0 for all that is kept (default: what comes from now on)")
	cmd.Flags().StringVar(&filter, "filter", "", outcomeFilterUsage)
	return cmd
}

// watcher follows the outcomes over as many streams as it takes.
type watcher struct {
	f       *clientFlags
	cmd     *cobra.Command
	clients *clients
	after   string // where it is
	filter  string
	begun   bool // there was a word
}

// run returns nil when it is interrupted.
func (w *watcher) run(ctx context.Context) error {
	away := false
	for {
		err := w.stream(ctx, func() {
			if away {
				w.say("the server is there again")
			}
			away = false
		})
		switch {
		case ctx.Err() != nil:
			if w.begun {
				w.say("stopped; riposte watch --after %s goes on from here", w.after)
			}
			return nil
		case !w.begun || !worthWaiting(err):
			return err
		case !away:
			away = true
			w.say("waiting for the server: %v", err)
		}
		pause(ctx, max(waitPause, retryAfter(err)))
	}
}

// stream shows what comes over one stream, until that ends. It calls alive at
// each word of the server.
func (w *watcher) stream(ctx context.Context, alive func()) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := time.AfterFunc(watchSilence, func() { cancel(errSilent) })
	defer silence.Stop()
	stream, err := w.clients.instances.Watch(ctx, &ripostev1.InstancesServiceWatchRequest{After: w.after, Filter: w.filter})
	if err != nil {
		return w.clients.caller.explain(err)
	}
	defer stream.Close()
	for stream.Receive() {
		silence.Reset(watchSilence)
		alive()
		if !w.begun {
			w.say("watching what comes after the cursor %s", stream.Msg().GetCursor())
		}
		w.begun = true
		if err := w.show(stream.Msg()); err != nil {
			return &exitError{exitFailure, err}
		}
		w.after = stream.Msg().GetCursor()
	}
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if stream.Err() == nil {
		return errEnded
	}
	return w.clients.caller.explain(stream.Err())
}

var (
	errSilent = errors.New("it has not said a word for some time")
	errEnded  = errors.New("it has ended the stream")
)

// worthWaiting reports whether a stream may have ended for a reason that goes
// away: not what the server has against the request, and not a full disk here.
func worthWaiting(err error) bool {
	if _, ours := errors.AsType[*exitError](err); ours {
		return false
	}
	return !connect.IsWireError(err) || retryAfter(err) > 0 || connect.CodeOf(err) == connect.CodeUnavailable || connect.CodeOf(err) == connect.CodeInternal
}

func (w *watcher) show(r *ripostev1.InstancesServiceWatchResponse) error {
	if r.GetInstance() == nil {
		return nil
	}
	return w.f.print(w.cmd, r, func(out *bytes.Buffer) { writeOutcomeLine(out, r.GetInstance()) })
}

func (w *watcher) say(format string, args ...any) {
	fmt.Fprintf(w.cmd.ErrOrStderr(), "riposte: "+format+"\n", args...)
}

// writeOutcomeLine writes when, which, what it was about, what it came to, and
// what was said.
func writeOutcomeLine(out *bytes.Buffer, i *ripostev1.Instance) {
	o := i.GetOutcome()
	said := o.GetComment()
	if o.GetFailure() != nil {
		said = o.GetFailure().GetMessage()
	}
	fmt.Fprintf(out, "%s  %s  %-32s  %-28s  %s\n", o.GetDecidedAt().AsTime().Local().Format("15:04:05.000"), visible(i.GetWebhookInstance().GetId()),
		visible(short(sourceText(i.GetWebhookInstance().GetSource()), 32)), outcomeText(o), visible(short(said, 120)))
}
