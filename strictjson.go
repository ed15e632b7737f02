package riposte

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// MaxJSONDepth is how deep objects and arrays may nest in what callers and
// receivers send (PROTOCOL.md section 4).
const MaxJSONDepth = 64

// maxShownPath bounds, in bytes, how much of a document an error repeats: what
// a receiver sends must not come back to callers by the hundred kilobytes.
const maxShownPath = 256

// CheckJSON checks what Go's decoder lets through: invalid UTF-8, a duplicate
// key at any depth, nesting deeper than MaxJSONDepth and trailing data, besides
// the syntax itself. Its error says what is wrong and where; the first byte is 1.
func CheckJSON(b []byte) error {
	if !utf8.Valid(b) {
		for i := 0; i < len(b); {
			r, n := utf8.DecodeRune(b[i:])
			if r == utf8.RuneError && n == 1 {
				return fmt.Errorf("invalid UTF-8 at byte %d", i+1)
			}
			i += n
		}
	}
	// The depth comes first so that the checks below can't be made to recurse.
	if err := checkDepth(b); err != nil {
		return err
	}
	s := jsonScanner{b: b}
	switch {
	case s.document():
		return nil
	case !json.Valid(b): // it has the words for what is wrong, and takes ten times as long
		return syntaxError(b)
	case s.duplicate != nil:
		slices.Reverse(s.duplicate)
		return fmt.Errorf("duplicate key %q", shownPath(s.duplicate))
	}
	return errors.New("not valid JSON") // the two disagree: the stricter one counts
}

func syntaxError(b []byte) error {
	var v any
	err := json.Unmarshal(b, &v)
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Errorf("not valid JSON at byte %d: %s", e.Offset, strings.TrimPrefix(e.Error(), "json: "))
	}
	return fmt.Errorf("not valid JSON: %w", err)
}

func checkDepth(b []byte) error {
	depth := 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			i = stringEnd(b, i) - 1
		case '{', '[':
			if depth++; depth > MaxJSONDepth {
				return fmt.Errorf("nested deeper than %d at byte %d", MaxJSONDepth, i+1)
			}
		case '}', ']':
			depth--
		}
	}
	return nil
}

// jsonScanner checks JSON (RFC 8259) in one pass. Its methods go past what they
// name and report whether it is as it must be.
type jsonScanner struct {
	b         []byte
	i         int
	duplicate []string // the path of a duplicate key, the innermost name first
}

// peek is the byte at s.i, 0 at the end: no JSON has one outside of strings.
func (s *jsonScanner) peek() byte {
	if s.i < len(s.b) {
		return s.b[s.i]
	}
	return 0
}

func (s *jsonScanner) take(c byte) bool {
	if s.peek() != c {
		return false
	}
	s.i++
	return true
}

func (s *jsonScanner) skipSpace() {
	for c := s.peek(); c == ' ' || c == '\n' || c == '\t' || c == '\r'; c = s.peek() {
		s.i++
	}
}

func (s *jsonScanner) document() bool {
	s.skipSpace()
	if !s.value() {
		return false
	}
	s.skipSpace()
	return s.i == len(s.b)
}

// value recurses: the depth must have been checked.
func (s *jsonScanner) value() bool {
	switch s.peek() {
	case '{':
		return s.object()
	case '[':
		return s.array()
	case '"':
		_, ok := s.text()
		return ok
	case 't':
		return s.word("true")
	case 'f':
		return s.word("false")
	case 'n':
		return s.word("null")
	}
	return s.number()
}

func (s *jsonScanner) word(w string) bool {
	ok := bytes.HasPrefix(s.b[s.i:], []byte(w))
	s.i += len(w)
	return ok
}

func (s *jsonScanner) object() bool {
	s.i++
	if s.skipSpace(); s.take('}') {
		return true
	}
	for seen := make(map[string]struct{}, 8); ; s.skipSpace() {
		key, ok := s.key()
		if !ok {
			return false
		}
		if _, dup := seen[key]; dup {
			s.duplicate = append(s.duplicate, key)
			return false
		}
		seen[key] = struct{}{}
		if !s.value() {
			if s.duplicate != nil {
				s.duplicate = append(s.duplicate, key)
			}
			return false
		}
		if s.skipSpace(); s.take('}') {
			return true
		}
		if !s.take(',') {
			return false
		}
	}
}

// key goes past a member's name and its colon, up to its value, and returns the
// name with its escapes resolved, so that "a" and "\u0061" are the same key.
func (s *jsonScanner) key() (name string, ok bool) {
	start := s.i
	escaped, ok := s.text()
	if !ok {
		return "", false
	}
	name = unquoted(s.b[start:s.i], escaped)
	if s.skipSpace(); !s.take(':') {
		return "", false
	}
	s.skipSpace()
	return name, true
}

func (s *jsonScanner) array() bool {
	s.i++
	if s.skipSpace(); s.take(']') {
		return true
	}
	for ; ; s.skipSpace() {
		if !s.value() {
			return false
		}
		if s.skipSpace(); s.take(']') {
			return true
		}
		if !s.take(',') {
			return false
		}
	}
}

// text is a string. Most of what people send is plain text in strings, so it
// looks at nothing but the next byte until there is something to decide.
func (s *jsonScanner) text() (escaped, ok bool) {
	if !s.take('"') {
		return false, false
	}
	for {
		rest := s.b[s.i:]
		n := 0
		for n < len(rest) && rest[n] != '"' && rest[n] != '\\' && rest[n] >= ' ' {
			n++
		}
		s.i += n
		switch {
		case s.take('"'):
			return escaped, true
		case !s.take('\\') || !s.escape():
			return escaped, false
		}
		escaped = true
	}
}

// escape is what follows a backslash.
func (s *jsonScanner) escape() bool {
	c := s.peek()
	s.i++
	switch c {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return true
	case 'u':
		for range 4 {
			if c := s.peek(); (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
				return false
			}
			s.i++
		}
		return true
	}
	return false
}

func (s *jsonScanner) number() bool {
	s.take('-')
	if !s.take('0') && !s.digits() {
		return false
	}
	if s.take('.') && !s.digits() {
		return false
	}
	if s.take('e') || s.take('E') {
		if !s.take('+') {
			s.take('-')
		}
		return s.digits()
	}
	return true
}

// digits is at least one.
func (s *jsonScanner) digits() bool {
	start := s.i
	for c := s.peek(); c >= '0' && c <= '9'; c = s.peek() {
		s.i++
	}
	return s.i > start
}

// jsonMember is a member of an object: its name with its escapes resolved, its
// value as it is written.
type jsonMember struct {
	name  string
	value []byte
}

// jsonMembers lists the members of an object that CheckJSON let through; false
// where b is no object.
func jsonMembers(b []byte) (list []jsonMember, isObject bool) {
	s := jsonScanner{b: b}
	if s.skipSpace(); !s.take('{') {
		return nil, false
	}
	for s.skipSpace(); !s.take('}'); s.skipSpace() {
		name, _ := s.key()
		start := s.i
		s.skip()
		list = append(list, jsonMember{name, b[start:s.i]})
		s.skipSpace()
		s.take(',')
	}
	return list, true
}

// skip goes past a value that CheckJSON let through, from string to string.
func (s *jsonScanner) skip() {
	for depth := 0; ; {
		switch s.peek() {
		case '"':
			s.i = stringEnd(s.b, s.i)
		case '{', '[':
			depth++
			s.i++
		case '}', ']':
			depth--
			s.i++
		case ' ', '\t', '\r', '\n', ',', ':':
			s.i++
			continue
		default:
			for s.i < len(s.b) && strings.IndexByte(" \t\r\n,:]}", s.b[s.i]) < 0 {
				s.i++
			}
		}
		if depth == 0 {
			return
		}
	}
}

func shownPath(path []string) string {
	p := strings.Join(path, ".")
	if len(p) > maxShownPath {
		p = strings.ToValidUTF8(p[:maxShownPath], "") + "…"
	}
	return p
}

// unquoted is a string that CheckJSON let through, with its escapes resolved.
func unquoted(quoted []byte, escaped bool) string {
	if !escaped {
		return string(quoted[1 : len(quoted)-1])
	}
	var s string
	_ = json.Unmarshal(quoted, &s) // it is valid
	return s
}

// stringEnd is where the string that begins at b[i] ends, its quote included;
// len(b) where it has no end. It goes from quote to quote, because most of what
// people send is long strings.
func stringEnd(b []byte, i int) int {
	for i++; i < len(b); i++ {
		n := bytes.IndexByte(b[i:], '"')
		if n < 0 {
			break
		}
		i += n
		escapes := 0
		for b[i-1-escapes] == '\\' {
			escapes++
		}
		if escapes%2 == 0 {
			return i + 1
		}
	}
	return len(b)
}
