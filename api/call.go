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
// caller's role is checked against what the operation's rule says, then whether the
// request could be read, what is changed is audited, and the operation's error is
// mapped. name is one of rules.
func call[Req, Res any](ctx context.Context, s *Server, name string, req *Req, op operation[Req, Res]) (*Res, error) {
	ctx, caller, err := enter(ctx, name, any(req).(proto.Message))
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
func callStream[Req, Res any](ctx context.Context, s *Server, name string, req *Req, to sender[Res],
	op func(context.Context, riposte.Caller, *Req, sender[Res]) error) error {
	ctx, caller, err := enter(ctx, name, any(req).(proto.Message))
	if err == nil {
		err = op(ctx, caller, req, to)
	}
	if err == nil {
		return nil
	}
	return s.mapError(name, err)
}

// enter returns the caller, if the operation may begin, and the context that it is to
// go on with.
func enter(ctx context.Context, name string, req proto.Message) (context.Context, riposte.Caller, error) {
	r, err := ruleOf(name)
	if err != nil {
		return ctx, riposte.Caller{}, err
	}
	caller, err := admit(ctx, r.role)
	if err == nil {
		err = refusal(req)
	}
	if err == nil && r.audited {
		ctx = riposte.WithAudit(ctx, auditEntry(caller, name))
	}
	return ctx, caller, err
}
