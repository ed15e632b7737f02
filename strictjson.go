package riposte

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
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
	if !json.Valid(b) {
		return syntaxError(b)
	}
	s := jsonScanner{b: b}
	return s.value(nil)
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

// jsonScanner walks JSON that is known to be valid.
type jsonScanner struct {
	b []byte
	i int
}

func (s *jsonScanner) skipSpace() {
	for s.i < len(s.b) && strings.IndexByte(" \t\r\n", s.b[s.i]) >= 0 {
		s.i++
	}
}

func (s *jsonScanner) value(path []string) error {
	s.skipSpace()
	switch s.b[s.i] {
	case '{':
		return s.object(path)
	case '[':
		return s.array(path)
	case '"':
		s.skipString()
	default:
		for s.i < len(s.b) && strings.IndexByte(" \t\r\n,]}", s.b[s.i]) < 0 {
			s.i++
		}
	}
	return nil
}

func (s *jsonScanner) object(path []string) error {
	seen := make(map[string]struct{}, 8)
	for s.i++; ; s.i++ {
		s.skipSpace()
		if s.b[s.i] == '}' {
			break
		}
		key := s.str()
		if _, dup := seen[key]; dup {
			return fmt.Errorf("duplicate key %q", shownPath(append(path, key)))
		}
		seen[key] = struct{}{}
		s.skipSpace()
		s.i++ // ':'
		if err := s.value(append(path, key)); err != nil {
			return err
		}
		s.skipSpace()
		if s.b[s.i] == '}' {
			break
		}
	}
	s.i++
	return nil
}

// memberNames lists the names in an object that CheckJSON let through, with
// their escapes resolved; false where b is no object.
func memberNames(b []byte) (names []string, isObject bool) {
	s := jsonScanner{b: b}
	if s.skipSpace(); s.b[s.i] != '{' {
		return nil, false
	}
	for s.i++; ; s.i++ {
		if s.skipSpace(); s.b[s.i] == '}' {
			return names, true
		}
		names = append(names, s.str())
		s.skipSpace()
		s.i++            // ':'
		_ = s.value(nil) // CheckJSON has looked for what it may refuse
		if s.skipSpace(); s.b[s.i] == '}' {
			return names, true
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

func (s *jsonScanner) array(path []string) error {
	for s.i++; ; s.i++ {
		s.skipSpace()
		if s.b[s.i] == ']' {
			break
		}
		if err := s.value(path); err != nil {
			return err
		}
		s.skipSpace()
		if s.b[s.i] == ']' {
			break
		}
	}
	s.i++
	return nil
}

// skipString goes past a string and reports whether it has escapes.
func (s *jsonScanner) skipString() (escaped bool) {
	end := stringEnd(s.b, s.i)
	escaped = bytes.IndexByte(s.b[s.i:end], '\\') >= 0
	s.i = end
	return escaped
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

// str reads a string and returns it with its escapes resolved, so that "a" and
// "\u0061" count as the same key.
func (s *jsonScanner) str() string {
	start := s.i
	if escaped := s.skipString(); !escaped {
		return string(s.b[start+1 : s.i-1])
	}
	var v string
	_ = json.Unmarshal(s.b[start:s.i], &v) // valid: the whole document is
	return v
}
