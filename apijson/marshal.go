package apijson

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// usualSize is room for most responses, in bytes.
const usualSize = 1 << 10

// Marshal writes m as protojson does with EmitUnpopulated, raw values as they
// are, in one pass: each create pays for it, and protojson sorts the fields of
// every message that it writes.
func Marshal(m proto.Message) ([]byte, error) {
	b, err := appendMessage(make([]byte, 0, usualSize), m.ProtoReflect())
	if _, ok := errors.AsType[*Error](err); ok {
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("marshalling %s: %w", m.ProtoReflect().Descriptor().FullName(), err)
	}
	return b, nil
}

func appendMessage(b []byte, m protoreflect.Message) ([]byte, error) {
	s := shapeOf(m.Descriptor())
	if s.wellKnown {
		return protojson.MarshalOptions{}.MarshalAppend(b, m.Interface())
	}
	b = append(b, '{')
	first := true
	for _, f := range s.fields {
		has := m.Has(f.desc)
		if !has && f.desc.ContainingOneof() != nil {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = append(b, f.key...)
		if !has && (f.raw || f.desc.HasPresence()) {
			b = append(b, "null"...)
			continue
		}
		var err error
		if b, err = appendField(b, f, m.Get(f.desc)); err != nil {
			return nil, err
		}
	}
	return append(b, '}'), nil
}

func appendField(b []byte, f *fieldShape, v protoreflect.Value) ([]byte, error) {
	switch {
	case f.desc.IsList():
		return appendList(b, f, v.List())
	case f.desc.IsMap():
		return appendMap(b, f, v.Map())
	case !f.raw:
		b, err := appendValue(b, f.desc, v)
		return b, inField(f.desc.JSONName(), err)
	case !json.Valid(v.Bytes()):
		// Written out, it could pass for fields of the message itself.
		return nil, &Error{Field: f.desc.JSONName(), Description: "must be one JSON value"}
	}
	return append(b, v.Bytes()...), nil
}

// inField puts a field's name before those within it.
func inField(name string, err error) error {
	if e, ok := errors.AsType[*Error](err); ok {
		return &Error{Field: join(name, e.Field), Description: e.Description}
	}
	return err
}

func appendList(b []byte, f *fieldShape, list protoreflect.List) ([]byte, error) {
	b = append(b, '[')
	for n := range list.Len() {
		if n > 0 {
			b = append(b, ',')
		}
		var err error
		if b, err = appendValue(b, f.desc, list.Get(n)); err != nil {
			return nil, inField(indexed(f.desc.JSONName(), n), err)
		}
	}
	return append(b, ']'), nil
}

func appendMap(b []byte, f *fieldShape, all protoreflect.Map) ([]byte, error) {
	keys := make([]string, 0, all.Len())
	values := make(map[string]protoreflect.Value, all.Len())
	for key, v := range all.Range {
		keys = append(keys, key.String())
		values[key.String()] = v
	}
	slices.Sort(keys)
	b = append(b, '{')
	for n, key := range keys {
		if n > 0 {
			b = append(b, ',')
		}
		var err error
		if b, err = appendString(b, key); err != nil {
			return nil, err
		}
		if b, err = appendValue(append(b, ':'), f.desc.MapValue(), values[key]); err != nil {
			return nil, err
		}
	}
	return append(b, '}'), nil
}

// appendValue writes a single value. The API has no floating-point numbers.
func appendValue(b []byte, fd protoreflect.FieldDescriptor, v protoreflect.Value) ([]byte, error) {
	switch kind := fd.Kind(); kind {
	case protoreflect.StringKind:
		return appendString(b, v.String())
	case protoreflect.MessageKind:
		return appendMessage(b, v.Message())
	case protoreflect.BoolKind:
		return strconv.AppendBool(b, v.Bool()), nil
	case protoreflect.Int32Kind:
		return strconv.AppendInt(b, v.Int(), 10), nil
	case protoreflect.Int64Kind:
		return append(strconv.AppendInt(append(b, '"'), v.Int(), 10), '"'), nil
	case protoreflect.BytesKind:
		return append(base64.StdEncoding.AppendEncode(append(b, '"'), v.Bytes()), '"'), nil
	case protoreflect.EnumKind:
		if known := fd.Enum().Values().ByNumber(v.Enum()); known != nil {
			return appendString(b, string(known.Name()))
		}
		return strconv.AppendInt(b, int64(v.Enum()), 10), nil
	default:
		return nil, fmt.Errorf("field %s: its kind %s has no JSON here", fd.FullName(), kind)
	}
}

var errInvalidUTF8 = errors.New("a string has invalid UTF-8")

func appendString(b []byte, s string) ([]byte, error) {
	if !utf8.ValidString(s) {
		return nil, errInvalidUTF8
	}
	b = append(b, '"')
	plain := 0 // where what has not been written yet begins
	for i := range len(s) {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		b = append(b, s[plain:i]...)
		plain = i + 1
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, `\n`...)
		case '\r':
			b = append(b, `\r`...)
		case '\t':
			b = append(b, `\t`...)
		case '\b':
			b = append(b, `\b`...)
		case '\f':
			b = append(b, `\f`...)
		default:
			b = fmt.Appendf(b, `\u%04x`, c)
		}
	}
	return append(append(b, s[plain:]...), '"'), nil
}
