package api

import (
	"context"

	"google.golang.org/protobuf/proto"

	"github.com/riposte-dev/riposte"
)

// operation is one RPC's work: who calls is an argument.
type operation[Req, Res any] func(context.Context, riposte.Caller, *Req) (*Res, error)

// call is the choke point that every RPC over every transport passes: the
// caller's role is checked against what the operation needs, then whether the
// request could be read, and the operation's error is mapped.
func call[Req, Res any](ctx context.Context, s *Server, name string, needs riposte.Role, req *Req, op operation[Req, Res]) (*Res, error) {
	caller, ok := ctx.Value(callerKey{}).(riposte.Caller)
	if !ok {
		return nil, s.mapError(name, errNoCredentials)
	}
	if !caller.Role.Covers(needs) {
		return nil, s.mapError(name, mayNot(caller.Role, needs))
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
