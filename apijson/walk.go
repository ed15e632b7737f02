package apijson

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// field is a member of a JSON object that stands for a message. It is good for
// as long as it is visited.
type field struct {
	parent protoreflect.MessageDescriptor // of which it is a member
	shape  *fieldShape                    // nil where the message has no such field
	at     int                            // its value's place in the document
	w      *walker
}

// path is JSON names from the top: "requests[2].source".
func (f field) path() string {
	var path string
	for _, step := range f.w.path {
		if step.name == nil {
			path = indexed(path, step.index)
		} else {
			path = join(path, unquoted(step.name))
		}
	}
	return path
}

func (f field) value() []byte {
	end := walker{b: f.w.b, i: f.at}
	end.skip()
	return f.w.b[f.at:end.i]
}

func (f field) raw() bool { return f.shape != nil && f.shape.raw }

func (f field) mask() bool { return f.shape != nil && f.shape.mask }

// walk calls visit for each member, the outer ones first. b must be valid JSON.
func walk(b []byte, md protoreflect.MessageDescriptor, visit func(field)) {
	w := walker{b: b, visit: visit}
	w.message(md)
}

type walker struct {
	b     []byte
	i     int
	visit func(field)
	path  []step
}

// step leads to a member, by its name as it is written, or to an element.
type step struct {
	name  []byte
	shape *fieldShape // the name's
	index int
}

// message reads the value at w.i as md, if it is an object.
func (w *walker) message(md protoreflect.MessageDescriptor) {
	w.space()
	s := shapeOf(md)
	if w.b[w.i] != '{' || s.wellKnown {
		w.skip()
		return
	}
	w.each('}', func(int) {
		quoted := w.str()
		w.space()
		w.i++ // ':'
		w.space()
		f := field{parent: md, shape: s.field(quoted), at: w.i, w: w}
		w.path = append(w.path, step{name: quoted, shape: f.shape})
		w.visit(f)
		w.member(f)
		w.path = w.path[:len(w.path)-1]
	})
}

// member goes on below f where its type is a message.
func (w *walker) member(f field) {
	if f.shape == nil || f.shape.desc.IsMap() || f.shape.desc.Message() == nil {
		w.skip()
		return
	}
	below := f.shape.desc.Message()
	if !f.shape.desc.IsList() || w.b[w.i] != '[' {
		w.message(below)
		return
	}
	w.each(']', func(n int) {
		w.path = append(w.path, step{index: n})
		w.message(below)
		w.path = w.path[:len(w.path)-1]
	})
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

func unquoted(b []byte) string {
	if bytes.IndexByte(b, '\\') < 0 && utf8.Valid(b) {
		return string(b[1 : len(b)-1])
	}
	var s string
	_ = json.Unmarshal(b, &s) // the document is valid
	return s
}

// str goes past the string at w.i and returns it with its quotes.
func (w *walker) str() []byte {
	start := w.i
	for w.i++; ; w.i++ {
		// From quote to quote: most of what people send is long strings.
		w.i += bytes.IndexByte(w.b[w.i:], '"')
		escapes := 0
		for w.b[w.i-1-escapes] == '\\' {
			escapes++
		}
		if escapes%2 == 0 {
			w.i++
			return w.b[start:w.i]
		}
	}
}

// edits are replacements of values, in the order of the document.
type edits struct {
	from, to []int
	with     [][]byte
}

// replace puts with where f has value.
func (e *edits) replace(f field, value, with []byte) {
	e.from = append(e.from, f.at)
	e.to = append(e.to, f.at+len(value))
	e.with = append(e.with, with)
}

func (e *edits) apply(b []byte) []byte {
	if len(e.with) == 0 {
		return b
	}
	size := len(b)
	for n, with := range e.with {
		size += len(with) - (e.to[n] - e.from[n])
	}
	out := make([]byte, 0, size)
	last := 0
	for n, with := range e.with {
		out = append(append(out, b[last:e.from[n]]...), with...)
		last = e.to[n]
	}
	return append(out, b[last:]...)
}

func isObject(b []byte) bool {
	w := walker{b: b}
	w.space()
	return w.b[w.i] == '{'
}
