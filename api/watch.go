package api

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/grpc"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/feed"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

const (
	watchName = "InstancesService.Watch"
	// heartbeat is the longest silence of a stream: who hears nothing for longer
	// knows that the connection is dead.
	heartbeat = 15 * time.Second
	// maxSent is how many outcomes are sent between two looks at what else there is.
	maxSent = 64
	// keyPatience is the longest that a stream goes on without a look whether its
	// caller's key is still there.
	keyPatience = 5 * time.Second
)

type (
	watchRequest  = ripostev1.InstancesServiceWatchRequest
	watchResponse = ripostev1.InstancesServiceWatchResponse
)

func (h instancesService) Watch(ctx context.Context, r *watchRequest, to *connect.ServerStream[watchResponse]) error {
	return callStream(ctx, h.s, watchName, r, rpcSender{to}, h.s.watch)
}

// rpcSender sends each answer at once.
type rpcSender struct {
	*connect.ServerStream[watchResponse]
}

func (rpcSender) Flush() error { return nil }

// gatewayInstances is instancesService as the gateway wants it, which can't
// stream: what asks for that comes to watchREST.
type gatewayInstances struct{ instancesService }

func (gatewayInstances) Watch(*watchRequest, grpc.ServerStreamingServer[watchResponse]) error {
	return errors.New("the gateway doesn't stream")
}

// watch sends outcomes until the caller leaves, its key is revoked or the server
// stops.
func (s *Server) watch(ctx context.Context, caller riposte.Caller, r *watchRequest, to sender[watchResponse]) error {
	f, err := outcomeFilter(caller, r.GetFilter())
	if err != nil {
		return err
	}
	if s.stopping.Err() != nil {
		return errStopping
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(s.stopping, func() { cancel(errStopping) })()
	ctx, free := s.untilExpiry(ctx, caller)
	defer free()
	w, err := s.openWatch(ctx, r.GetAfter())
	if err == nil {
		defer w.Close()
		err = s.follow(ctx, caller, w, f, to)
	}
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

func (s *Server) openWatch(ctx context.Context, after string) (*feed.Watch, error) {
	sequence, err := s.begin(ctx, after)
	if err != nil {
		return nil, err
	}
	return s.feed.Watch(ctx, sequence)
}

// begin returns the sequence after which a caller wants outcomes: that of a cursor,
// or that of the last outcome there is.
func (s *Server) begin(ctx context.Context, after string) (int64, error) {
	if after == "" {
		return s.Store.LastOutcome(ctx)
	}
	sequence, err := strconv.ParseInt(after, 10, 64)
	if err != nil || sequence < 0 {
		return 0, riposte.Invalid(riposte.Violation{Field: "after",
			Description: "must be a cursor that a response had, 0 for all outcomes that are kept, or empty for those to come"})
	}
	return sequence, nil
}

// follow sends what w finds, and how far it has got at the beginning and whenever
// there was nothing to send for some time. Nothing is sent before a look at the
// caller's key or client, which costs next to nothing: stores remember them.
func (s *Server) follow(ctx context.Context, caller riposte.Caller, w *feed.Watch, f riposte.OutcomeFilter, to sender[watchResponse]) error {
	var silent time.Time // nothing has been sent since
	var news []*watchResponse
	for {
		if err := s.stillCalls(ctx, caller); err != nil {
			return err
		}
		if len(news) == 0 && time.Since(silent) >= heartbeat {
			news = append(news, &watchResponse{Cursor: cursor(w.Sequence())})
		}
		if len(news) > 0 {
			if err := sendAll(to, news...); err != nil {
				return err
			}
			silent = time.Now()
		}
		found, err := nextOutcomes(ctx, w, min(keyPatience, time.Until(silent.Add(heartbeat))))
		if err != nil {
			return err
		}
		news = selected(found, f)
	}
}

// selected is apart from follow, which waits, because of the room that instances
// take on a stack.
func selected(found []riposte.Instance, f riposte.OutcomeFilter) (news []*watchResponse) {
	for _, i := range found {
		if f.Selects(i) {
			news = append(news, &watchResponse{Cursor: cursor(i.Outcome.Sequence), Instance: decidedInstanceMessage(i)})
		}
	}
	return news
}

// nextOutcomes returns none when none comes within d.
func nextOutcomes(ctx context.Context, w *feed.Watch, d time.Duration) ([]riposte.Instance, error) {
	within, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	found, err := w.Next(within, maxSent)
	if err != nil && ctx.Err() == nil && within.Err() != nil {
		return nil, nil
	}
	return found, err
}

// sendAll takes a caller to whom nothing can be sent for gone.
func sendAll(to sender[watchResponse], responses ...*watchResponse) error {
	for _, r := range responses {
		if err := to.Send(r); err != nil {
			return fmt.Errorf("sending: %w: %w", context.Canceled, err)
		}
	}
	if err := to.Flush(); err != nil {
		return fmt.Errorf("sending: %w: %w", context.Canceled, err)
	}
	return nil
}

func cursor(sequence int64) string { return strconv.FormatInt(sequence, 10) }

// outcomeFilter takes what can be said of an outcome by its instance alone.
func outcomeFilter(caller riposte.Caller, s string) (riposte.OutcomeFilter, error) {
	f, err := instanceFilter(caller, s)
	var zero riposte.TimeRange
	if err == nil && (f.State != "" || f.Created != zero || f.Expires != zero) {
		err = riposte.Invalid(riposte.Violation{Field: "filter", Description: "can compare only webhookId, source, ticketId, createdBy and labels.KEY here"})
	}
	return riposte.OutcomeFilter{WebhookID: f.WebhookID, SourceKind: f.SourceKind, TicketID: f.TicketID, Labels: f.Labels, CreatedBy: f.CreatedBy}, err
}
