// Package apijson is the API's JSON, the same for REST and Connect, server and
// client: canonical proto3 JSON with unpopulated fields emitted, and three
// things that protojson does not do.
//
//   - A bytes field with the option (riposte.v1.raw_json) is the JSON value that
//     it holds, spliced in and out byte for byte (docs/adr/0002-raw-json-payload.md).
//   - A field mask's paths may be snake_case as well as camelCase, because C1's
//     clients send both.
//   - Unknown fields are ignored in requests of C1's operations and in every
//     response, so that newer clients and servers work, and refused in requests
//     of Riposte's own (PROTOCOL.md section 1, Rules).
package apijson

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

// Error says which field of the input is wrong and why. Field is empty where
// the input as a whole is.
type Error struct{ Field, Description string }

func (e *Error) Error() string {
	if e.Field == "" {
		return e.Description
	}
	return e.Field + ": " + e.Description
}

// Unmarshal reads b into m. Its error is an *Error.
func Unmarshal(b []byte, m proto.Message) error {
	md := m.ProtoReflect().Descriptor()
	if !json.Valid(b) {
		var v any
		return &Error{Description: "the body must be valid JSON: " + strings.TrimPrefix(fmt.Sprint(json.Unmarshal(b, &v)), "json: ")}
	}
	if !isObject(b) {
		return &Error{Description: "the body must be a JSON object"}
	}
	lenient := !strict(md)
	var unknown *Error
	var e edits
	var raws []rawValue
	walk(b, md, func(f field) {
		switch {
		case f.shape == nil:
			if !lenient && unknown == nil {
				unknown = &Error{Field: f.path(), Description: "is not a field of " + string(f.parent.Name())}
			}
		case f.raw():
			if value := f.value(); string(value) != "null" {
				e.replace(f, value, []byte(`""`)) // what protojson sees
				raws = append(raws, rawValue{slices.Clone(f.w.path), bytes.Clone(value)})
			}
		case f.mask():
			if s, ok := camelPaths(f.value()); ok {
				e.replace(f, f.value(), quote(s))
			}
		}
	})
	if unknown != nil {
		return unknown
	}
	b = e.apply(b)
	if err := (protojson.UnmarshalOptions{DiscardUnknown: lenient}).Unmarshal(b, m); err != nil {
		return explain(b, md, err)
	}
	for _, r := range raws {
		r.set(m.ProtoReflect())
	}
	return nil
}

// rawValue is a raw field's value with the way to it.
type rawValue struct {
	path  []step
	value []byte
}

// set goes the way from m, all of which protojson has made.
func (r rawValue) set(m protoreflect.Message) {
	last := len(r.path) - 1
	for n := 0; n < last; n++ {
		fd := r.path[n].shape.desc
		if fd.IsList() {
			n++
			m = m.Get(fd).List().Get(r.path[n].index).Message()
		} else {
			m = m.Get(fd).Message()
		}
	}
	m.Set(r.path[last].shape.desc, protoreflect.ValueOfBytes(r.value))
}

// strict reports whether md is a request of Riposte's own. A response is read
// leniently, so that a client works with a newer server.
func strict(md protoreflect.MessageDescriptor) bool {
	return md.ParentFile().Package() == ripostev1.File_riposte_v1_instances_proto.Package() &&
		strings.HasSuffix(string(md.Name()), "Request")
}

// Codec is the connect.Codec that replaces connect's own for JSON.
type Codec struct{}

// Name is the content type's suffix.
func (Codec) Name() string { return "json" }

// Marshal implements connect.Codec.
func (Codec) Marshal(v any) ([]byte, error) {
	m, ok := v.(proto.Message)
	if !ok {
		return nil, fmt.Errorf("%T is not a protobuf message", v)
	}
	return Marshal(m)
}

// Unmarshal implements connect.Codec.
func (Codec) Unmarshal(b []byte, v any) error {
	m, ok := v.(proto.Message)
	if !ok {
		return fmt.Errorf("%T is not a protobuf message", v)
	}
	if len(b) == 0 {
		b = []byte("{}") // an empty body is an empty message
	}
	return Unmarshal(b, m)
}

// camelPaths turns a field mask's JSON string into the form that protojson
// takes.
func camelPaths(value []byte) (string, bool) {
	if value[0] != '"' {
		return "", false
	}
	var s string
	_ = json.Unmarshal(value, &s) // the document is valid
	paths := strings.Split(s, ",")
	for i, p := range paths {
		paths[i] = camel(strings.TrimSpace(p))
	}
	return strings.Join(paths, ","), true
}

// camel turns a path in snake_case into camelCase. What is neither it leaves
// alone, for protojson to refuse.
func camel(s string) string {
	head, tail, found := strings.Cut(s, "_")
	if head == "" {
		return s
	}
	for found {
		var word string
		word, tail, found = strings.Cut(tail, "_")
		if word == "" || word[0] < 'a' || word[0] > 'z' {
			return s
		}
		head += strings.ToUpper(word[:1]) + word[1:]
	}
	return head
}

func quote(s string) []byte {
	b, _ := json.Marshal(s) // a string never fails
	return b
}
