package api

import (
	"context"

	"github.com/riposte-dev/riposte"
)

// operation is one RPC's work: who calls is an argument.
type operation[Req, Res any] func(context.Context, riposte.Caller, *Req) (*Res, error)

// call is the choke point that every RPC over every transport passes: the
// caller's role is checked against what the operation needs, and its error is
// mapped.
func call[Req, Res any](ctx context.Context, s *Server, name string, needs riposte.Role, req *Req, op operation[Req, Res]) (*Res, error) {
	caller, ok := ctx.Value(callerKey{}).(riposte.Caller)
	if !ok {
		return nil, s.mapError(name, errNoCredentials)
	}
	if !caller.Role.Covers(needs) {
		err := *errMayNot
		err.Message = "this needs the role " + string(needs) + "; the API key has the role " + string(caller.Role)
		return nil, s.mapError(name, &err)
	}
	res, err := op(ctx, caller, req)
	if err != nil {
		return nil, s.mapError(name, err)
	}
	return res, nil
}
