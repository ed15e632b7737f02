package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"unicode/utf8"

	"github.com/riposte-dev/riposte"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

const (
	defaultBatchSize = 100
	// batchWorkers is how many instances of a batch are changed at once, to share the
	// store's commits. It bounds how many payloads are held, too.
	batchWorkers = 64
	// maxBatchLooks bounds how often a call lists riposte.MaxBatch instances to find
	// some that the batch did not make itself.
	maxBatchLooks = 10
	// maxBatchRequestID, in characters, leaves room for an instance's id.
	maxBatchRequestID = 200
)

func (h instancesService) BatchCancel(ctx context.Context, r *ripostev1.InstancesServiceBatchCancelRequest) (*ripostev1.InstancesServiceBatchCancelResponse, error) {
	return call(ctx, h.s, "InstancesService.BatchCancel", r, h.batchCancel)
}

func (h instancesService) BatchRecreate(ctx context.Context, r *ripostev1.InstancesServiceBatchRecreateRequest) (*ripostev1.InstancesServiceBatchRecreateResponse, error) {
	return call(ctx, h.s, "InstancesService.BatchRecreate", r, h.batchRecreate)
}

func (h instancesService) batchCancel(ctx context.Context, caller riposte.Caller, r *ripostev1.InstancesServiceBatchCancelRequest) (*ripostev1.InstancesServiceBatchCancelResponse, error) {
	if err := checkBatch(r.GetFilter()); err != nil {
		return nil, err
	}
	b, err := newInstanceBatch(caller, r.GetFilter(), r.GetPageSize(), r.GetPageToken(), "batchCancel")
	if err != nil {
		return nil, err
	}
	found, next, err := b.part(ctx, h.s, func(riposte.Instance) bool { return false })
	if err != nil {
		return nil, err
	}
	canceled, refused, err := changeEach(ctx, found, func(ctx context.Context, i riposte.Instance) error {
		_, err := h.s.cancelInstance(ctx, caller, i.ID)
		return err
	})
	if err != nil {
		return nil, err
	}
	h.s.Logger.Info("instances canceled", "filter", r.GetFilter(), "canceled", canceled, "refused", refused, "by", caller.KeyID)
	return &ripostev1.InstancesServiceBatchCancelResponse{Canceled: canceled, Refused: refused, NextPageToken: next}, nil
}

func (h instancesService) batchRecreate(ctx context.Context, caller riposte.Caller, r *ripostev1.InstancesServiceBatchRecreateRequest) (*ripostev1.InstancesServiceBatchRecreateResponse, error) {
	if err := checkBatch(r.GetFilter(), batchRequestID(r.GetRequestId())...); err != nil {
		return nil, err
	}
	b, err := newInstanceBatch(caller, r.GetFilter(), r.GetPageSize(), r.GetPageToken(), "batchRecreate", r.GetRequestId())
	if err != nil {
		return nil, err
	}
	// The request id of what is made for an instance: it finds that again when the call
	// is repeated.
	requestID := func(oldID string) string { return r.GetRequestId() + "/" + oldID }
	found, next, err := b.part(ctx, h.s, func(i riposte.Instance) bool {
		return i.RecreatedFrom != "" && i.RequestID == requestID(i.RecreatedFrom)
	})
	if err != nil {
		return nil, err
	}
	recreated, refused, err := changeEach(ctx, found, func(ctx context.Context, old riposte.Instance) error {
		_, err := h.s.recreateInstance(ctx, caller, old, requestID(old.ID), "")
		return err
	})
	if err != nil {
		return nil, err
	}
	h.s.Logger.Info("instances recreated", "filter", r.GetFilter(), "recreated", recreated, "refused", refused, "by", caller.KeyID)
	return &ripostev1.InstancesServiceBatchRecreateResponse{Recreated: recreated, Refused: refused, NextPageToken: next}, nil
}

// checkBatch refuses a batch of all instances there are: who means that can say so
// with a time. more is what else is wrong with the request.
func checkBatch(filter string, more ...riposte.Violation) error {
	if strings.TrimSpace(filter) == "" {
		more = append(more, riposte.Violation{Field: "filter", Description: "must be set, so that nobody changes all instances by mistake"})
	}
	if len(more) > 0 {
		return riposte.Invalid(more...)
	}
	return nil
}

// batchRequestID returns what is wrong with a batch's request id. Were it left to the
// instances, each would refuse it.
func batchRequestID(id string) []riposte.Violation {
	wrong := func(format string, args ...any) []riposte.Violation {
		return []riposte.Violation{{Field: "requestId", Description: fmt.Sprintf(format, args...)}}
	}
	switch n := utf8.RuneCountInString(id); {
	case n == 0:
		return wrong("must be set")
	case n > maxBatchRequestID:
		return wrong("must have at most %d characters, has %d", maxBatchRequestID, n)
	case strings.Contains(id, "\x00"):
		return wrong("must not contain the character U+0000")
	}
	return nil
}

// instanceBatch is a list of instances that is changed part by part.
type instanceBatch struct {
	page
	filter riposte.InstanceFilter
}

// newInstanceBatch takes the operation's name, and what else its token is bound to.
func newInstanceBatch(caller riposte.Caller, filter string, size int32, token string, operation ...string) (instanceBatch, error) {
	p, err := newPage(size, token, riposte.MaxBatch, append(operation, filter)...)
	if err != nil {
		return instanceBatch{}, err
	}
	p.size = min(cmp.Or(int(size), defaultBatchSize), riposte.MaxBatch)
	f, err := instanceFilter(caller, filter)
	return instanceBatch{p, f}, err
}

// part returns the batch's next instances and the token of those after them, "" at the
// end. It leaves out own, which are those that the batch made itself: they are newer
// than all that it has yet to find, and so in the way only where its first call is
// repeated.
func (b instanceBatch) part(ctx context.Context, s *Server, own func(riposte.Instance) bool) (part []riposte.Instance, next string, err error) {
	before, size := b.before, b.size
	for range maxBatchLooks {
		rows, rest, err := s.listInstances(ctx, b.filter, before, size)
		if err != nil {
			return nil, "", err
		}
		for n, i := range rows {
			if own(i) {
				continue
			}
			if part = append(part, i); len(part) == b.size && n < len(rows)-1 {
				return part, b.token(i.ID), nil
			}
		}
		if rest == "" || len(rows) < size || len(part) == b.size {
			return part, b.page.next(rest), nil
		}
		before, size = rest, riposte.MaxBatch
	}
	return part, b.page.next(before), nil
}

// changeEach does change to each of the instances, several at once, and returns how
// many it was done to and how many refused it. On another error it stops early:
// some are changed then.
func changeEach(ctx context.Context, instances []riposte.Instance, change func(context.Context, riposte.Instance) error) (changed, refused int32, err error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var done, not atomic.Int32
	left := make(chan riposte.Instance)
	var working sync.WaitGroup
	for range min(batchWorkers, len(instances)) {
		working.Go(func() {
			for i := range left {
				switch err := change(ctx, i); {
				case err == nil:
					done.Add(1)
				case isRefusal(err):
					not.Add(1)
				default:
					stop(err)
				}
			}
		})
	}
	hand(ctx, instances, left)
	working.Wait()
	return done.Load(), not.Load(), context.Cause(ctx)
}

// hand gives out the instances until ctx ends.
func hand(ctx context.Context, instances []riposte.Instance, to chan<- riposte.Instance) {
	defer close(to)
	for _, i := range instances {
		select {
		case to <- i:
		case <-ctx.Done():
			return
		}
	}
}

// isRefusal tells what one instance can't have from a store that can't take anything:
// the others go on.
func isRefusal(err error) bool {
	e, ok := errors.AsType[*riposte.Error](err)
	if !ok {
		return false
	}
	switch e.Code {
	case riposte.CodeNotFound, riposte.CodeFailedPrecondition, riposte.CodeAlreadyExists, riposte.CodeInvalidArgument:
		return true
	}
	return false
}
