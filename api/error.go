package api

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"strings"

	"connectrpc.com/connect"
	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/riposte-dev/riposte"
)

const errorDomain = "riposte"

var rpcCodes = map[riposte.Code]connect.Code{
	riposte.CodeInternal:           connect.CodeInternal,
	riposte.CodeInvalidArgument:    connect.CodeInvalidArgument,
	riposte.CodeNotFound:           connect.CodeNotFound,
	riposte.CodeAlreadyExists:      connect.CodeAlreadyExists,
	riposte.CodeFailedPrecondition: connect.CodeFailedPrecondition,
	riposte.CodeAborted:            connect.CodeAborted,
	riposte.CodeUnauthenticated:    connect.CodeUnauthenticated,
	riposte.CodePermissionDenied:   connect.CodePermissionDenied,
	riposte.CodeResourceExhausted:  connect.CodeResourceExhausted,
	riposte.CodeUnavailable:        connect.CodeUnavailable,
}

// mapError is the border: a domain error goes out as it is, anything else is
// logged and goes out as an internal error without its text. That the store
// can't take anything is a domain error with a cause that an operator wants to
// know, once a second.
func (s *Server) mapError(operation string, err error) *connect.Error {
	if e, ok := errors.AsType[*riposte.Error](err); ok {
		if e.Code == riposte.CodeUnavailable {
			s.refusals.Do(func() { s.Logger.Warn("a caller was told to try again", "operation", operation, "error", err) })
		}
		return connectError(e)
	}
	switch {
	case errors.Is(err, context.Canceled):
		return connect.NewError(connect.CodeCanceled, errors.New("the caller went away"))
	case errors.Is(err, context.DeadlineExceeded):
		return connect.NewError(connect.CodeDeadlineExceeded, errors.New("the deadline passed; a change may or may not have been made"))
	}
	s.Logger.Error("operation failed", "operation", operation, "error", err)
	return connectError(&riposte.Error{Code: riposte.CodeInternal, Reason: "INTERNAL", Message: "internal error; the server's log says more"})
}

// connectError carries a domain error's facts in Google's detail messages.
func connectError(e *riposte.Error) *connect.Error {
	out := connect.NewError(rpcCodes[e.Code], errors.New(e.Message))
	addDetail(out, &errdetails.ErrorInfo{Reason: e.Reason, Domain: errorDomain, Metadata: e.Metadata})
	if len(e.Violations) > 0 {
		bad := &errdetails.BadRequest{}
		for _, v := range e.Violations {
			bad.FieldViolations = append(bad.FieldViolations,
				&errdetails.BadRequest_FieldViolation{Field: v.Field, Description: v.Description})
		}
		addDetail(out, bad)
	}
	return out
}

func addDetail(e *connect.Error, m proto.Message) {
	if d, err := connect.NewErrorDetail(m); err == nil {
		e.AddDetail(d)
	}
}

// below moves err's fields below path, for a message that a request holds.
func below(path string, err error) error {
	e, ok := errors.AsType[*riposte.Error](err)
	if !ok || len(e.Violations) == 0 {
		return err
	}
	moved := make([]riposte.Violation, len(e.Violations))
	for i, v := range e.Violations {
		moved[i] = riposte.Violation{Field: path + "." + v.Field, Description: v.Description}
	}
	in := *riposte.Invalid(moved...)
	in.Metadata = e.Metadata
	return &in
}

// writeError answers REST with a google.rpc.Status and the HTTP status that
// belongs to its code.
func writeError(w http.ResponseWriter, e *connect.Error) {
	writeErrorAs(w, runtime.HTTPStatusFromCode(codes.Code(e.Code())), e)
}

var rpcErrors = connect.NewErrorWriter()

// writeRefusal answers in the form of the request's transport, without its body being
// read.
func writeRefusal(w http.ResponseWriter, r *http.Request, e *connect.Error) {
	if isREST(r) {
		writeError(w, e)
		return
	}
	_ = rpcErrors.Write(w, r, e)
}

// isREST reports whether a request wants to be answered as REST is: those of the other
// transports say so.
func isREST(r *http.Request) bool {
	return strings.HasPrefix(r.URL.Path, "/api/") || isOperators(r.URL.Path) || !rpcErrors.IsSupported(r)
}

func writeErrorAs(w http.ResponseWriter, httpStatus int, e *connect.Error) {
	after := ""
	switch httpStatus {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", cmp.Or(e.Meta().Get("WWW-Authenticate"), challenge))
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		after = cmp.Or(e.Meta().Get("Retry-After"), "1")
	}
	writeStatus(w, httpStatus, after, statusJSON(e))
}

// writeStatus takes after how many seconds to try again, "" for never.
func writeStatus(w http.ResponseWriter, httpStatus int, after string, status []byte) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	if after != "" {
		h.Set("Retry-After", after)
	}
	w.WriteHeader(httpStatus)
	_, _ = w.Write(status)
}

// statusJSON is the google.rpc.Status of an error.
func statusJSON(e *connect.Error) []byte {
	st := &statuspb.Status{Code: int32(e.Code()), Message: e.Message()}
	for _, d := range e.Details() {
		st.Details = append(st.Details, &anypb.Any{TypeUrl: "type.googleapis.com/" + d.Type(), Value: d.Bytes()})
	}
	body, err := protojson.MarshalOptions{EmitUnpopulated: true}.Marshal(st)
	if err != nil {
		body = []byte(`{"code":13,"message":"internal error","details":[]}`)
	}
	return body
}

func methodNotAllowed(w http.ResponseWriter, allow ...string) {
	w.Header().Set("Allow", strings.Join(allow, ", "))
	e := connect.NewError(connect.CodeUnimplemented, errors.New("this path takes only "+strings.Join(allow, ", ")))
	addDetail(e, &errdetails.ErrorInfo{Reason: "METHOD_NOT_ALLOWED", Domain: errorDomain})
	writeErrorAs(w, http.StatusMethodNotAllowed, e)
}

func notFound(w http.ResponseWriter, _ *http.Request) {
	writeError(w, connectError(&riposte.Error{Code: riposte.CodeNotFound, Reason: "ROUTE_NOT_FOUND", Message: "there is nothing at this path; /openapi.json lists what there is"}))
}

// asConnectError is for the gateway, whose own errors are gRPC statuses.
func asConnectError(err error) *connect.Error {
	if e, ok := errors.AsType[*connect.Error](err); ok {
		return e
	}
	st := status.Convert(err)
	e := connect.NewError(connect.Code(st.Code()), errors.New(st.Message()))
	if st.Code() == codes.InvalidArgument {
		addDetail(e, &errdetails.ErrorInfo{Reason: "INVALID_ARGUMENT", Domain: errorDomain})
	}
	return e
}
