package apijson

import (
	"bytes"
	"encoding/json"
)

// maxPlainDepth is how deep valid itself goes.
const maxPlainDepth = 100

// valid is json.Valid, which looks at each byte through a function and takes
// ten times as long. It is still asked about all that is not taken here. The
// domain has such a pass of its own (riposte.CheckJSON), with more rules;
// clients use this package and not the domain.
func valid(b []byte) bool {
	c := checker{b: b}
	c.space()
	ok := c.value(maxPlainDepth)
	c.space()
	return ok && c.i == len(b) || json.Valid(b)
}

// checker goes through JSON (RFC 8259). Its methods go past what they name and
// report whether it is that.
type checker struct {
	b []byte
	i int
}

// peek is the byte at c.i, 0 at the end: no JSON has one outside of strings.
func (c *checker) peek() byte {
	if c.i < len(c.b) {
		return c.b[c.i]
	}
	return 0
}

func (c *checker) take(one byte) bool {
	if c.peek() != one {
		return false
	}
	c.i++
	return true
}

func (c *checker) space() {
	for one := c.peek(); one == ' ' || one == '\n' || one == '\t' || one == '\r'; one = c.peek() {
		c.i++
	}
}

func (c *checker) value(depth int) bool {
	switch c.peek() {
	case '{':
		return depth > 0 && c.elements('}', depth-1)
	case '[':
		return depth > 0 && c.elements(']', depth-1)
	case '"':
		return c.text()
	case 't':
		return c.word("true")
	case 'f':
		return c.word("false")
	case 'n':
		return c.word("null")
	}
	return c.number()
}

// elements are an object's members or an array's, with their brackets.
func (c *checker) elements(closing byte, depth int) bool {
	c.i++
	if c.space(); c.take(closing) {
		return true
	}
	for ; ; c.space() {
		if closing == '}' && !c.name() || !c.value(depth) {
			return false
		}
		if c.space(); c.take(closing) {
			return true
		}
		if !c.take(',') {
			return false
		}
	}
}

func (c *checker) name() bool {
	if !c.text() {
		return false
	}
	c.space()
	colon := c.take(':')
	c.space()
	return colon
}

func (c *checker) word(w string) bool {
	ok := bytes.HasPrefix(c.b[c.i:], []byte(w))
	c.i += len(w)
	return ok
}

func (c *checker) text() bool {
	if !c.take('"') {
		return false
	}
	for {
		rest := c.b[c.i:]
		n := 0
		for n < len(rest) && rest[n] != '"' && rest[n] != '\\' && rest[n] >= ' ' {
			n++
		}
		c.i += n
		if c.take('"') {
			return true
		}
		if !c.take('\\') || !c.escape() {
			return false
		}
	}
}

// escape is what follows a backslash.
func (c *checker) escape() bool {
	digits := 0
	if c.peek() == 'u' {
		digits = 4
	} else if bytes.IndexByte([]byte(`"\/bfnrt`), c.peek()) < 0 {
		return false
	}
	c.i++
	for ; digits > 0; digits-- {
		if bytes.IndexByte([]byte("0123456789abcdefABCDEF"), c.peek()) < 0 {
			return false
		}
		c.i++
	}
	return true
}

func (c *checker) number() bool {
	c.take('-')
	if !c.take('0') && !c.digits() {
		return false
	}
	if c.take('.') && !c.digits() {
		return false
	}
	if c.take('e') || c.take('E') {
		_ = c.take('+') || c.take('-')
		return c.digits()
	}
	return true
}

// digits is at least one.
func (c *checker) digits() bool {
	start := c.i
	for one := c.peek(); one >= '0' && one <= '9'; one = c.peek() {
		c.i++
	}
	return c.i > start
}
