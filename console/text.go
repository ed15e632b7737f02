package console

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html/template"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

// functions are those that templates call.
var functions = template.FuncMap{
	"asset":    assetURL,
	"visible":  visible,
	"exchange": newExchange,
	"moment":   func(t *timestamppb.Timestamp) momentView { return newMoment(t, "") },
	"ago":      func(t *timestamppb.Timestamp) momentView { return newMoment(t, "ago") },
	"left":     func(t *timestamppb.Timestamp) momentView { return newMoment(t, "left") },
	"took":     func(d *durationpb.Duration) string { return took(d.AsDuration()) },
	"span":     func(d *durationpb.Duration) string { return span(d.AsDuration()) },
	"stateOf":  newStateView,
	"source":   newSourceView,
	"outcome":  outcomeName,
	"healthOf": healthOf,
	"short":    short,
	"number":   number,
	"count":    count,
	"roleName": roleName,
	"field":    newField,
	"dict":     dict,
	"auditURL": auditURL,
}

// visible shows what would not be seen, or would change how what is around it is
// read: control characters as their pictures, and those that turn the direction of
// writing, or have no width, by their numbers.
func visible(s string) string {
	if !strings.ContainsFunc(s, hidden) && utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		switch {
		case !hidden(r):
			b.WriteRune(r)
		case r < 0x20:
			b.WriteRune(0x2400 + r)
		case r == 0x7f:
			b.WriteRune(0x2421)
		default:
			fmt.Fprintf(&b, "⟨U+%04X⟩", r)
		}
	}
	return b.String()
}

// hidden is what visible replaces. The joiner of emoji is left alone.
func hidden(r rune) bool {
	switch r {
	case '\n', '\t', '\u200d':
		return false
	case '\u2028', '\u2029':
		return true
	}
	return unicode.IsControl(r) || unicode.Is(unicode.Cf, r)
}

// maxExchange is how much of somebody's text a page shows unless all is asked for, in
// bytes.
const maxExchange = 64 << 10

// exchangeView is a text that was sent or received.
type exchangeView struct {
	Text  string // indented where it is JSON
	AsIs  string // "" where that is the same
	Cut   int    // how many bytes are not shown
	Bytes int
}

// newExchange shows what is too long in part, as it is: half a document can't be
// indented.
func newExchange(s string, all bool) exchangeView {
	view := exchangeView{Bytes: len(s)}
	if len(s) > maxExchange && !all {
		view.Text = strings.ToValidUTF8(s[:maxExchange], "")
		view.Cut = len(s) - len(view.Text)
		return view
	}
	if view.Text = pretty(s); view.Text != s {
		view.AsIs = s
	}
	return view
}

// Bounds of what is indented: beyond them it would grow out of all proportion.
const (
	maxPrettyDepth  = 64
	maxPrettyGrowth = 64 << 10 // bytes, beside the text's own length
)

// pretty indents JSON, changing nothing else in it; what is no JSON, or would grow too
// much, stays as it is.
func pretty(s string) string {
	var b bytes.Buffer
	if !growsLittle(s) || json.Indent(&b, []byte(s), "", "  ") != nil {
		return s
	}
	return b.String()
}

// growsLittle reports whether the indentation of a JSON text stays within the bounds.
// Of another text it may say anything.
func growsLittle(s string) bool {
	depth, growth, quoted := 0, 0, false
	for n := 0; n < len(s); n++ {
		switch c := s[n]; {
		case quoted && c == '\\':
			n++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			depth++
			growth += 1 + 2*depth
		case c == '}' || c == ']':
			depth--
			growth += 1 + 2*max(0, depth)
		case c == ',':
			growth += 1 + 2*max(0, depth)
		}
		if depth > maxPrettyDepth || growth > len(s)+maxPrettyGrowth {
			return false
		}
	}
	return true
}

// momentView is a point in time. Its text is UTC; console.js puts the reader's own
// time in its place, or how long ago it was, or how much is left.
type momentView struct {
	Set     bool
	Machine string // RFC 3339
	Text    string
	Exact   string // for the title
	As      string // "", "ago" or "left"
}

func newMoment(t *timestamppb.Timestamp, as string) momentView {
	if t == nil {
		return momentView{}
	}
	at := t.AsTime()
	return momentView{
		Set: true, As: as, Machine: at.Format(time.RFC3339Nano), Text: at.Format("2 Jan 2006 15:04:05 UTC"),
		Exact: at.Format("2006-01-02 15:04:05.000 UTC"),
	}
}

// took writes a duration of machines with three digits or so.
func took(d time.Duration) string {
	switch {
	case d <= 0:
		return "–"
	case d < time.Millisecond:
		return fmt.Sprintf("%d µs", d.Microseconds())
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return span(d)
}

// span writes a duration of people, in its two largest units.
func span(d time.Duration) string {
	units := []struct {
		of   time.Duration
		name string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "min"}, {time.Second, "s"}}
	var parts []string
	for _, u := range units {
		if n := d / u.of; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, u.name))
			d -= n * u.of
		}
		if len(parts) == 2 {
			break
		}
	}
	if len(parts) == 0 {
		return took(d)
	}
	return strings.Join(parts, " ")
}

// short is an id's end, which tells ids of one time apart.
func short(id string) string {
	if len(id) <= 10 {
		return id
	}
	return "…" + id[len(id)-8:]
}

// number groups the digits of a whole number by three.
func number(n any) string {
	s := fmt.Sprint(n)
	for at := len(s) - 3; at > 0; at -= 3 {
		s = s[:at] + "," + s[at:]
	}
	return s
}

// count is a number of things, whole and of any type.
func count(n any, one, many string) string {
	if text := number(n); text != "1" {
		return text + " " + many
	}
	return "1 " + one
}

// plural is count for a noun that takes an s.
func plural(n any, noun string) string { return count(n, noun, noun+"s") }

func roleName(r ripostev1.Role) string {
	return strings.ToLower(strings.TrimPrefix(r.String(), "ROLE_"))
}

// dict makes one argument of several for a part's template.
func dict(pairs ...any) (map[string]any, error) {
	if len(pairs)%2 != 0 {
		return nil, fmt.Errorf("dict takes pairs, not %d values", len(pairs))
	}
	m := make(map[string]any, len(pairs)/2)
	for n := 0; n < len(pairs); n += 2 {
		name, ok := pairs[n].(string)
		if !ok {
			return nil, fmt.Errorf("dict's name %d is no string", n)
		}
		m[name] = pairs[n+1]
	}
	return m, nil
}
