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
	caller, err := admit(ctx, needs)
	if err != nil {
		return nil, s.mapError(name, err)
	}
	if err := refusal(any(req).(proto.Message)); err != nil {
		return nil, s.mapError(name, err)
	}
	res, err := op(ctx, caller, req)
	if err != nil {
		return nil, s.mapError(name, err)
	}
	return res, nil
}
