package apijson

import (
	"encoding/json"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// field is a member of a JSON object that stands for a message.
type field struct {
	path   string                         // JSON names from the top: "requests[2].source"
	parent protoreflect.MessageDescriptor // of which it is a member
	desc   protoreflect.FieldDescriptor   // nil where the message has no such field
	value  []byte
	at     int // value's place in the document
}

func (f field) raw() bool { return f.desc != nil && isRaw(f.desc) }

func (f field) mask() bool {
	return f.desc != nil && f.desc.Message() != nil && f.desc.Message().FullName() == "google.protobuf.FieldMask"
}

// walk calls visit for each member, the outer ones first. b must be valid JSON.
func walk(b []byte, md protoreflect.MessageDescriptor, visit func(field)) {
	w := walker{b: b, visit: visit}
	w.message(md, "")
}

type walker struct {
	b     []byte
	i     int
	visit func(field)
}

// message reads the value at w.i as md, if it is an object.
func (w *walker) message(md protoreflect.MessageDescriptor, path string) {
	w.space()
	if w.b[w.i] != '{' || wellKnown(md) {
		w.skip()
		return
	}
	w.each('}', func(int) {
		name := w.name()
		w.space()
		w.i++ // ':'
		w.space()
		fd := md.Fields().ByJSONName(name)
		if fd == nil {
			fd = md.Fields().ByTextName(name)
		}
		f := field{path: join(path, name), parent: md, desc: fd, at: w.i}
		end := walker{b: w.b, i: w.i}
		end.skip()
		f.value = w.b[w.i:end.i]
		w.visit(f)
		w.member(f)
	})
}

// member goes on below f where its type is a message.
func (w *walker) member(f field) {
	switch {
	case f.desc == nil || f.desc.IsMap() || f.desc.Message() == nil:
		w.skip()
	case f.desc.IsList() && w.b[w.i] == '[':
		w.each(']', func(n int) {
			w.message(f.desc.Message(), indexed(f.path, n))
		})
	default:
		w.message(f.desc.Message(), f.path)
	}
}

// each calls one for every element up to the closing bracket, and goes past it.
func (w *walker) each(closing byte, one func(n int)) {
	w.i++
	for n := 0; ; n++ {
		w.space()
		if w.b[w.i] == closing {
			break
		}
		one(n)
		w.space()
		if w.b[w.i] == closing {
			break
		}
		w.i++ // ','
	}
	w.i++
}

// skip goes past the value at w.i without recursion.
func (w *walker) skip() {
	depth := 0
	for {
		switch c := w.b[w.i]; {
		case c == '"':
			w.str()
		case c == '{' || c == '[':
			depth++
			w.i++
		case c == '}' || c == ']':
			depth--
			w.i++
		case strings.IndexByte(" \t\r\n,:", c) >= 0:
			w.i++
			continue
		default:
			for w.i < len(w.b) && strings.IndexByte(" \t\r\n,:]}", w.b[w.i]) < 0 {
				w.i++
			}
		}
		if depth == 0 {
			return
		}
	}
}

func (w *walker) space() {
	for w.i < len(w.b) && strings.IndexByte(" \t\r\n", w.b[w.i]) >= 0 {
		w.i++
	}
}

func (w *walker) name() string {
	var s string
	_ = json.Unmarshal(w.str(), &s) // the document is valid
	return s
}

// str goes past the string at w.i and returns it with its quotes.
func (w *walker) str() []byte {
	start := w.i
	for w.i++; w.b[w.i] != '"'; w.i++ {
		if w.b[w.i] == '\\' {
			w.i++
		}
	}
	w.i++
	return w.b[start:w.i]
}

// edits are replacements of values, in the order of the document.
type edits struct {
	from, to []int
	with     [][]byte
}

func (e *edits) replace(f field, with []byte) {
	e.from = append(e.from, f.at)
	e.to = append(e.to, f.at+len(f.value))
	e.with = append(e.with, with)
}

func (e *edits) apply(b []byte) []byte {
	if len(e.with) == 0 {
		return b
	}
	out := make([]byte, 0, len(b))
	last := 0
	for n, with := range e.with {
		out = append(append(out, b[last:e.from[n]]...), with...)
		last = e.to[n]
	}
	return append(out, b[last:]...)
}

// wellKnown reports whether md has a JSON form of its own.
func wellKnown(md protoreflect.MessageDescriptor) bool {
	return md.ParentFile().Package() == "google.protobuf"
}

func isObject(b []byte) bool {
	w := walker{b: b}
	w.space()
	return w.b[w.i] == '{'
}
