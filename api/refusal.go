package api

import (
	"cmp"
	"errors"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/apijson"
)

// refusalField is the unknown field that carries a refusal.
const refusalField = protowire.MaxValidNumber

// maxShownField bounds, in bytes, how much of a caller's own name for a field
// an error repeats.
const maxShownField = 256

// refuse marks a request that can't be read. It goes on to its operation all
// the same, with what is wrong among its unknown fields, and call refuses it
// there: after the caller's role, and over REST and Connect in the same words
// with the field named. Both libraries would keep no more than a decoder's text.
// A client that sends such a field itself refuses its own request.
func refuse(m proto.Message, field, description string) {
	proto.Reset(m)
	if len(field) > maxShownField {
		field = field[:maxShownField] + "…"
	}
	b, err := proto.Marshal(&errdetails.BadRequest_FieldViolation{
		Field:       strings.ToValidUTF8(field, "\uFFFD"),
		Description: strings.ToValidUTF8(description, "\uFFFD"),
	})
	if err != nil {
		panic("api: marshalling a field violation: " + err.Error()) // it has two valid strings
	}
	unknown := protowire.AppendTag(nil, refusalField, protowire.BytesType)
	m.ProtoReflect().SetUnknown(protowire.AppendBytes(unknown, b))
}

// refusal returns what refuse marked m with, nil for nothing.
func refusal(m proto.Message) error {
	for b := m.ProtoReflect().GetUnknown(); len(b) > 0; {
		number, kind, n := protowire.ConsumeField(b)
		if n < 0 {
			return nil // none of ours: proto keeps well-formed fields alone
		}
		if number == refusalField && kind == protowire.BytesType {
			_, _, tag := protowire.ConsumeTag(b)
			value, _ := protowire.ConsumeBytes(b[tag:])
			return refusalError(value)
		}
		b = b[n:]
	}
	return nil
}

func refusalError(b []byte) error {
	var v errdetails.BadRequest_FieldViolation
	if err := proto.Unmarshal(b, &v); err != nil || v.GetField() == "" {
		return invalidBody(cmp.Or(v.GetDescription(), "the request can't be read"))
	}
	return riposte.Invalid(riposte.Violation{Field: v.GetField(), Description: v.GetDescription()})
}

// invalidBody is about a request as a whole.
func invalidBody(message string) error {
	return &riposte.Error{Code: riposte.CodeInvalidArgument, Reason: "INVALID_ARGUMENT", Message: message}
}

// codec is the server's side of apijson for REST and Connect.
type codec struct{ apijson.Codec }

// Unmarshal implements connect.Codec.
func (c codec) Unmarshal(b []byte, v any) error {
	err := c.Codec.Unmarshal(b, v)
	if e, ok := errors.AsType[*apijson.Error](err); ok {
		refuse(v.(proto.Message), e.Field, e.Description)
		return nil
	}
	return err
}
