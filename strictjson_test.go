package riposte_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"runtime/debug"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/riposte-dev/riposte"
)

func TestCheckJSONTakesWhatAllReadersReadAlike(t *testing.T) {
	for _, document := range []string{
		`{}`, `[]`, `""`, `0`, `-0.0e-0`, `true`, `null`, " \t\r\n1\n",
		`{"a":{"a":{"a":[{"a":1},{"a":2}]}}}`,
		`{"a":1,"A":2,"a ":3,"":4}`,
		`{"a":"{\"a\":1,\"a\":2}","b":"[[[","c":"\\"}`,
		`{"\\":1,"\"":2,"\\\"":3,"\u005c\u005c":4}`,
		`[1,2.50,12345678901234567890,1.0e400]`,
		`{ "a" : [ ] , "b" : { } , "c" : [ 1 , { } ] }`,
		`"\ud83d\ude00 \u0000 \u2028"`,
		strings.Repeat("[", 64) + strings.Repeat("]", 64),
		strings.Repeat(`{"a":`, 64) + "1" + strings.Repeat("}", 64),
		`"` + strings.Repeat("[", 1000) + `"`,
		`"\"` + strings.Repeat("[", 1000) + `\\"`,
	} {
		if err := riposte.CheckJSON([]byte(document)); err != nil {
			t.Errorf("%.80s: %v", document, err)
		}
	}
}

func TestCheckJSONSaysWhatIsWrongAndWhere(t *testing.T) {
	for _, tt := range []struct{ document, says string }{
		{"", "not valid JSON at byte 0: unexpected end of JSON input"},
		{"   ", "not valid JSON at byte 3: unexpected end of JSON input"},
		{`{"a":1`, "not valid JSON at byte 6"},
		{`{"a":1}}`, "not valid JSON at byte 8"},
		{`{} {}`, "not valid JSON at byte 4"},
		{`{'a':1}`, "not valid JSON at byte 2"},
		{`{"a":01}`, "not valid JSON at byte 7"},
		{`[1,]`, "not valid JSON at byte 4"},
		{`NaN`, "not valid JSON at byte 1"},
		{"\"a\nb\"", "not valid JSON at byte 3"},
		{`"\x"`, "not valid JSON at byte 3"},
		{"{\"a\":\"\xc3\x28\"}", "invalid UTF-8 at byte 7"},
		{"\"ää\xc3\"", "invalid UTF-8 at byte 6"},
		{`"` + "\ufffd\xff" + `"`, "invalid UTF-8 at byte 5"},
		{strings.Repeat("[", 65) + strings.Repeat("]", 65), "nested deeper than 64 at byte 65"},
		{strings.Repeat(`{"a":`, 65) + "1" + strings.Repeat("}", 65), "nested deeper than 64 at byte 321"},
		{`{"a":1,"a":1}`, `duplicate key "a"`},
		{`{"a":1,"b":2,"\u0061":3}`, `duplicate key "a"`},
		{`{"":1,"":2}`, `duplicate key ""`},
		{`[0,{"x":[[{"y":1,"y":2}]]}]`, `duplicate key "x.y"`},
		{`{"a":{"b":1},"c":{"b":1,"b":2}}`, `duplicate key "c.b"`},
		{`{"\ud83d\ude00":1,"😀":2}`, `duplicate key "😀"`},
		{`{"/":1,"\/":2}`, `duplicate key "/"`},
	} {
		err := riposte.CheckJSON([]byte(tt.document))
		if err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%.80q: got %v, want it to say %q", tt.document, err, tt.says)
		}
	}
}

// TestDeepNestingDoesNotGrowTheStack: a process whose stack overflows dies,
// and no recover helps. encoding/json itself goes 10,000 deep and no further.
func TestDeepNestingDoesNotGrowTheStack(t *testing.T) {
	defer debug.SetMaxStack(debug.SetMaxStack(256 << 10))
	for _, n := range []int{9_999, 1 << 16} {
		for name, document := range map[string]string{
			"arrays":           strings.Repeat("[", n) + strings.Repeat("]", n),
			"arrays, unclosed": strings.Repeat("[", n),
			"objects":          strings.Repeat(`{"a":`, n) + "1" + strings.Repeat("}", n),
			"closed first":     strings.Repeat("]", n) + strings.Repeat("[", n),
			"after a string":   `"\"` + strings.Repeat("[", n),
			"in turns":         strings.Repeat(`[{"a":`, n),
		} {
			if err := riposte.CheckJSON([]byte(document)); err == nil {
				t.Errorf("%d %s: accepted", n, name)
			}
		}
	}
}

func TestCheckJSONFindsAnyDuplicateThatIsPutIn(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		keys := rapid.SliceOfNDistinct(rapid.String(), 2, 6, rapid.ID[string]).Draw(rt, "keys")
		path := rapid.SliceOfN(rapid.Bool(), 0, 20).Draw(rt, "objects around")
		dup := rapid.Bool().Draw(rt, "duplicate")
		if dup {
			keys[len(keys)-1] = keys[0]
		}
		document := drawObject(rt, keys)
		for _, inObject := range path {
			if inObject {
				document = `{"k":` + document + ` ,"l":{}}`
			} else {
				document = `[ {"k":1}, ` + document + `]`
			}
		}
		if err := riposte.CheckJSON([]byte(document)); (err != nil) != dup {
			rt.Fatalf("%s: %v", document, err)
		}
	})
}

// drawObject writes each key in one of the two ways that JSON has.
func drawObject(rt *rapid.T, keys []string) string {
	var b strings.Builder
	b.WriteString("{")
	for n, key := range keys {
		if n > 0 {
			b.WriteString(", ")
		}
		quoted, _ := json.Marshal(key)
		if rapid.Bool().Draw(rt, "escaped") {
			quoted = escapeAll(quoted)
		}
		b.Write(quoted)
		b.WriteString(" :\t0")
	}
	b.WriteString("}")
	return b.String()
}

// escapeAll writes a quoted string's letters as escapes where it has no
// escapes yet.
func escapeAll(quoted []byte) []byte {
	if bytes.ContainsRune(quoted, '\\') {
		return quoted
	}
	var out []byte
	for _, c := range quoted {
		if 'a' <= c && c <= 'z' {
			out = append(out, `\u00`...)
			out = append(out, "0123456789abcdef"[c>>4], "0123456789abcdef"[c&15])
			continue
		}
		out = append(out, c)
	}
	return out
}

// TestCheckJSONAgreesWithEncodingJSON tries every short text of the bytes that
// matter, in the places where they matter.
func TestCheckJSONAgreesWithEncodingJSON(t *testing.T) {
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
		{`"`, "\\\"/bu\x1f\x00\x7f", `"`, 3},
		{"", "true", "", 4},
		{"", "fals", "e", 4},
		{"n", "ul", "", 4},
		{"", "\x00\t\v\f\r\n\u00a01", "", 3},
	} {
		eachText(tt.alphabet, tt.longest, func(text string) {
			document := []byte(tt.before + text + tt.after)
			want := json.Valid(document) && utf8.Valid(document)
			if want {
				dup, _, err := readTokens(document)
				want = !dup && err == nil
			}
			if err := riposte.CheckJSON(document); (err == nil) != want {
				t.Errorf("%q: %v, want it taken: %t", document, err, want)
			}
		})
	}
}

// eachText calls f with every text of up to longest bytes of alphabet.
func eachText(alphabet string, longest int, f func(string)) {
	f("")
	for texts := []string{""}; longest > 0; longest-- {
		var longer []string
		for _, text := range texts {
			for n := range len(alphabet) {
				longer = append(longer, text+alphabet[n:n+1])
			}
		}
		for _, text := range longer {
			f(text)
		}
		texts = longer
	}
}

func FuzzCheckJSON(f *testing.F) {
	for _, seed := range []string{
		`{"a":{"b":[1,"x",null,true]},"\u0061b":-1.5e3}`, `{"a":1,"\u0061":2}`, `[[[[[[]]]]]]`, `"\ud800"`, "\xff", ` {"a" : [ ] } `, `{"a":1}{}`,
		strings.Repeat("[", 65),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, document []byte) {
		before := bytes.Clone(document)
		err := riposte.CheckJSON(document)
		if !bytes.Equal(before, document) {
			t.Fatal("the document was changed")
		}
		dup, depth, readErr := readTokens(document)
		plain := json.Valid(document) && utf8.Valid(document) && readErr == nil
		if want := plain && !dup && depth <= riposte.MaxJSONDepth; want != (err == nil) {
			t.Fatalf("%q: CheckJSON says %v; valid JSON in UTF-8: %t, duplicate: %t, depth: %d", document, err, plain, dup, depth)
		}
		if err != nil && len(err.Error()) > 2000 {
			t.Fatalf("the error has %d bytes", len(err.Error()))
		}
	})
}

// readTokens is the oracle: the same facts from the standard library's tokens.
func readTokens(document []byte) (dup bool, depth int, err error) {
	type level struct {
		keys  map[string]bool // nil in an array
		value bool            // the next string is a value, not a key
	}
	var open []level
	dec := json.NewDecoder(bytes.NewReader(document))
	dec.UseNumber()
	for {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return dup, depth, nil
		} else if err != nil {
			return dup, depth, err
		}
		if delim, ok := token.(json.Delim); ok && (delim == '}' || delim == ']') {
			open = open[:len(open)-1]
			continue
		}
		if len(open) > 0 && open[len(open)-1].keys != nil {
			l := &open[len(open)-1]
			if !l.value {
				key := token.(string)
				dup = dup || l.keys[key]
				l.keys[key], l.value = true, true
				continue
			}
			l.value = false
		}
		if delim, ok := token.(json.Delim); ok {
			l := level{}
			if delim == '{' {
				l.keys = map[string]bool{}
			}
			open = append(open, l)
			depth = max(depth, len(open))
		}
	}
}
