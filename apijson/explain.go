package apijson

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/reflect/protoreflect"
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
	e := &Error{Description: m[3]}
	if m[3] == "unexpected EOF" {
		// b is whole, so protojson looked for the other half of a pair, which
		// encoding/json does without.
		return &Error{Description: `a string has half of a surrogate pair (\ud800 to \udfff)`}
	}
	at := offset(b, m[1], m[2])
	walk(b, md, func(f field) {
		if at >= f.at && at < f.at+len(f.value) {
			e.Field = f.path // the inner ones come later
		}
	})
	return e
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
