package apijson

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// protojsonError takes "proto: (line 1:5): unknown field" apart, and "proto:
// syntax error (line 1:5): invalid UTF-8". The space after the colon may be a
// non-breaking one: it varies so that nobody relies on the text, and where this
// no longer matches, the text as a whole stands.
var protojsonError = regexp.MustCompile(`^proto:[\s\x{a0}]*(?:(?:syntax error )?\(line (\d+):(\d+)\):)?\s*(.*)$`)

// explain turns protojson's error into one that names the field by its path,
// found by the position that the error carries.
func explain(b []byte, md protoreflect.MessageDescriptor, err error) *Error {
	m := protojsonError.FindStringSubmatch(strings.ReplaceAll(err.Error(), "\n", " "))
	if m == nil {
		return &Error{Description: err.Error()}
	}
	e := &Error{Description: withoutLongValue(m[3])}
	if m[3] == "unexpected EOF" {
		// b is whole, so protojson looked for the other half of a pair, which
		// encoding/json does without.
		return &Error{Description: `a string has half of a surrogate pair (\ud800 to \udfff)`}
	}
	at, mask := offset(b, m[1], m[2]), false
	walk(b, md, func(f field) {
		if at >= f.at && at < f.at+len(f.value()) {
			e.Field, mask = f.path(), f.mask() // the inner ones come later
		}
	})
	if mask {
		e.Description = "must be a string of field names, separated by commas"
	} else if twice := setTwice.FindStringSubmatch(e.Description); twice != nil {
		e.Description = "must be exactly one of " + members(protoreflect.FullName(twice[1]))
	}
	return e
}

// MaxShown is how long, in bytes, a value may be that an error repeats: a date, but no
// secret that the server makes, or takes as one. Errors are printed and logged.
const MaxShown = 32

// quoting takes a description with the value that it repeats apart.
var quoting = regexp.MustCompile(`^(invalid value for \S+ field [^:]+|unexpected token|invalid google\.protobuf\.\w+ value):? (.+)$`)

// withoutLongValue leaves out a value that may be a secret in the wrong place. A string
// where there should be none is one of any length: a header's value, say.
func withoutLongValue(description string) string {
	m := quoting.FindStringSubmatch(description)
	switch {
	case m == nil:
		return description
	case m[1] == "unexpected token" && m[2][0] == '"':
		return "unexpected string"
	case len(m[2]) > MaxShown:
		return m[1]
	}
	return description
}

var setTwice = regexp.MustCompile(`oneof (\S+) is already set$`)

// members lists what a oneof may be.
func members(name protoreflect.FullName) string {
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(name)
	oneof, ok := d.(protoreflect.OneofDescriptor)
	if err != nil || !ok {
		return string(name)
	}
	var names []string
	for i := range oneof.Fields().Len() {
		names = append(names, oneof.Fields().Get(i).JSONName())
	}
	return strings.Join(names, ", ")
}

// offset turns protojson's line and column, both from 1, into a byte offset;
// -1 where there is none.
func offset(b []byte, line, column string) int {
	l, err1 := strconv.Atoi(line)
	c, err2 := strconv.Atoi(column)
	if err1 != nil || err2 != nil {
		return -1
	}
	at := 0
	for range l - 1 {
		at += bytes.IndexByte(b[at:], '\n') + 1
	}
	for range c - 1 {
		_, n := utf8.DecodeRune(b[at:])
		at += n
	}
	return at
}

func join(path, name string) string {
	if name == "" {
		name = `""`
	}
	if path == "" {
		return name
	}
	return path + "." + name
}

func indexed(path string, n int) string { return fmt.Sprintf("%s[%d]", path, n) }
