package api

import (
	"context"

	"google.golang.org/protobuf/proto"

	"github.com/riposte-dev/riposte"
)

// operation is one RPC's work: who calls is an argument.
type operation[Req, Res any] func(context.Context, riposte.Caller, *Req) (*Res, error)

// admit returns the caller whom authentication found, if its role covers needs.
func admit(ctx context.Context, needs riposte.Role) (riposte.Caller, error) {
	caller, ok := ctx.Value(callerKey{}).(riposte.Caller)
	switch {
	case !ok:
		return caller, errNoCredentials
	case !caller.Role.Covers(needs):
		return caller, mayNot(caller.Role, needs)
	}
	return caller, nil
}

// call is the choke point that every RPC over every transport passes: the
// caller's role is checked against what the operation needs, then whether the
// request could be read, and the operation's error is mapped.
func call[Req, Res any](ctx context.Context, s *Server, name string, needs riposte.Role, req *Req, op operation[Req, Res]) (*Res, error) {
	caller, err := enter(ctx, needs, any(req).(proto.Message))
	if err != nil {
		return nil, s.mapError(name, err)
	}
	res, err := op(ctx, caller, req)
	if err != nil {
		return nil, s.mapError(name, err)
	}
	return res, nil
}

// sender takes the answers of an RPC that has many. What Send takes may wait for
// Flush.
type sender[Res any] interface {
	Send(*Res) error
	Flush() error
}

// callStream is call for an RPC that has many answers. It returns nil once the
// caller has gone.
func callStream[Req, Res any](ctx context.Context, s *Server, name string, needs riposte.Role, req *Req, to sender[Res],
	op func(context.Context, riposte.Caller, *Req, sender[Res]) error) error {
	caller, err := enter(ctx, needs, any(req).(proto.Message))
	if err == nil {
		err = op(ctx, caller, req, to)
	}
	if err == nil {
		return nil
	}
	return s.mapError(name, err)
}

// enter returns the caller, if the operation may begin.
func enter(ctx context.Context, needs riposte.Role, req proto.Message) (riposte.Caller, error) {
	caller, err := admit(ctx, needs)
	if err != nil {
		return caller, err
	}
	return caller, refusal(req)
}
