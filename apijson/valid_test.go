package apijson

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestValidAgreesWithEncodingJSON tries every short text of the bytes that
// matter, in the places where they matter.
func TestValidAgreesWithEncodingJSON(t *testing.T) {
	var all strings.Builder
	for n := range 256 {
		all.WriteByte(byte(n))
	}
	for _, tt := range []struct {
		before, alphabet, after string
		longest                 int
	}{
		{"", all.String(), "", 1},
		{`"`, all.String(), `"`, 1},
		{`"\`, all.String(), `"`, 1},
		{"", "-+01.eE", "", 5},
		{"[", "-0.e", ",1]", 4},
		{"", `{}[],:"1 `, "", 5},
		{`{"a":1`, `{},:"a `, "", 5},
		{`"\u0`, "0fF\x10g\"", `"`, 4},
		{`"`, "\\\"/bu\x1f\x00\x7f\xff", `"`, 3},
		{"", "true", "", 4},
		{"", "fals", "e", 4},
		{"n", "ul", "", 4},
		{"", "\x00\t\v\f\r\n\u00a01", "", 3},
		{strings.Repeat("[", maxPlainDepth-1), "[]", strings.Repeat("]", maxPlainDepth-1), 4},
	} {
		eachText(tt.before, tt.alphabet, tt.longest, func(text string) {
			text += tt.after
			if got, want := valid([]byte(text)), json.Valid([]byte(text)); got != want {
				t.Errorf("%q is valid: %t, want %t", text, got, want)
			}
		})
	}
}

// eachText calls f with start and up to longest bytes of alphabet behind it.
func eachText(start, alphabet string, longest int, f func(string)) {
	f(start)
	if longest == 0 {
		return
	}
	for n := range len(alphabet) {
		eachText(start+alphabet[n:n+1], alphabet, longest-1, f)
	}
}

// TestValidKeepsTheStackSmall: encoding/json goes 10,000 deep, and no further.
func TestValidKeepsTheStackSmall(t *testing.T) {
	for n, want := range map[int]bool{maxPlainDepth: true, 10_000: true, 10_001: false, 1 << 22: false} {
		if got := valid([]byte(strings.Repeat("[", n) + strings.Repeat("]", n))); got != want {
			t.Errorf("depth %d is valid: %t", n, got)
		}
	}
}

func FuzzValid(f *testing.F) {
	for _, seed := range []string{`{"a":{"b":[1,"x",null,true]},"\u0061b":-1.5e3}`, `[[[[]]]]`, `"\ud800"`, "\xff", ` {"a" : [ ] } `, `{}{}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if got, want := valid(b), json.Valid(b); got != want {
			t.Errorf("%q is valid: %t, want %t", b, got, want)
		}
	})
}
