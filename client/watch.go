package client

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"connectrpc.com/connect"

	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

// watchSilence is after how long without a word a stream counts as dead: the server
// says something every 15 s.
const watchSilence = 45 * time.Second

// Watch streams the outcomes that f selects, in an order that never changes, from a
// cursor on: that of an outcome, "0" for all that are kept, or "" for those that are
// decided once the server has answered. It goes on until ctx ends or the loop is left,
// over as many streams as it takes, and gives nothing twice.
//
// Store each outcome's Cursor in the transaction of what is done about it, and go on
// after it the next time: that is exactly once.
//
//	for o, err := range c.Watch(ctx, cursor, client.Filter{}) {
//		if err != nil {
//			return err
//		}
//		// BEGIN; whatever o means; UPDATE cursors SET after = o.Cursor; COMMIT
//	}
//
// An error is the last thing that the loop gets: ctx's, or an *Error, CURSOR_TOO_OLD
// among them when outcomes after the cursor have been removed with their age. Where f
// selects little, a stored cursor ages; watch all and pass over what isn't meant, or
// use Consume, for whose consumers outcomes are kept.
func (c *Client) Watch(ctx context.Context, after string, f Filter) iter.Seq2[Outcome, error] {
	return func(yield func(Outcome, error) bool) {
		w := watching{client: c, after: after, filter: f.String(), yield: yield}
		if err := w.run(ctx); err != nil && !errors.Is(err, errLeft) {
			yield(Outcome{}, err)
		}
	}
}

var (
	errLeft   = errors.New("the loop was left")
	errSilent = connect.NewError(connect.CodeUnavailable, errors.New("the server has not said a word for some time"))
	errEnded  = connect.NewError(connect.CodeUnavailable, errors.New("the server has ended the stream"))
)

// watching is one loop.
type watching struct {
	client *Client
	after  string // where it is
	filter string
	yield  func(Outcome, error) bool
	pauses backoff
}

// run opens one stream after the other.
func (w *watching) run(ctx context.Context) error {
	const doing = "watching outcomes"
	var last error
	for {
		begun, err := w.stream(ctx)
		switch {
		case errors.Is(err, errLeft):
			return err
		case ctx.Err() != nil:
			return ended(ctx, doing, last)
		// What breaks off a stream that has begun is not about the request.
		case !curable(err) && (!begun || connect.IsWireError(err)):
			return fmt.Errorf("%s: %w", doing, newError(err))
		}
		last = err
		if pause(ctx, w.pauses.next(retryAfter(err))) != nil {
			return ended(ctx, doing, last)
		}
	}
}

// stream hands out what comes over one stream, and says whether anything did. Its
// error is never nil.
func (w *watching) stream(ctx context.Context) (begun bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := time.AfterFunc(w.client.silence, func() { cancel(errSilent) })
	defer silence.Stop()
	stream, err := w.client.instances.Watch(ctx, &ripostev1.InstancesServiceWatchRequest{After: w.after, Filter: w.filter})
	if err != nil {
		return false, silent(ctx, err)
	}
	defer stream.Close()
	defer cancel(nil) // before Close, which may wait for more
	for stream.Receive() {
		silence.Stop() // the loop's body may take its time
		begun = true
		w.pauses.reset()
		w.after = stream.Msg().GetCursor()
		if i := stream.Msg().GetInstance(); i != nil {
			o := readOutcome(i)
			o.Cursor = w.after
			if !w.yield(o, nil) {
				return begun, errLeft
			}
		}
		silence.Reset(w.client.silence)
	}
	if err := stream.Err(); err != nil {
		return begun, silent(ctx, err)
	}
	return begun, errEnded
}

// silent is err, or why there is one when the stream was given up.
func silent(ctx context.Context, err error) error {
	if errors.Is(context.Cause(ctx), errSilent) {
		return errSilent
	}
	return err
}
