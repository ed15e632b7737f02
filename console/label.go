package console

import (
	"regexp"
	"strings"
)

// label is one that instances are filtered by.
type label struct {
	Key, Value string
	Text       string // as it was written
}

// labelRule is what parseLabels takes.
const labelRule = `must be key=value, any number of them with blanks between; what has a blank in it goes in quotes, as in team="red blue"`

// written is a label at the beginning of a text: key and value are bare or, as in the
// API's filters, in double or single quotes.
var written = regexp.MustCompile(`(?s)^("(?:[^"\\]|\\.)+"|'(?:[^'\\]|\\.)+'|[^\s\p{Z}"'=]+)=("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^\s\p{Z}"'][^\s\p{Z}]*|)(?:[\s\p{Z}]+|$)`)

// parseLabels reads any number of labels with blanks between. It returns false where a
// text is none.
func parseLabels(s string) ([]label, bool) {
	var all []label
	for s = strings.TrimSpace(s); s != ""; {
		m := written.FindStringSubmatch(s)
		if m == nil {
			return nil, false
		}
		all = append(all, label{unquoted(m[1]), unquoted(m[2]), strings.TrimSpace(m[0])})
		s = s[len(m[0]):]
	}
	return all, true
}

// labelWords are labels for people, and what can't be read as it is.
func labelWords(s string) string {
	labels, ok := parseLabels(s)
	if !ok {
		return s
	}
	var texts []string
	for _, l := range labels {
		texts = append(texts, l.Text)
	}
	return strings.Join(texts, " and ")
}

var escaped = regexp.MustCompile(`(?s)\\(.)`)

func unquoted(s string) string {
	if len(s) < 2 || s[0] != '"' && s[0] != '\'' {
		return s
	}
	return escaped.ReplaceAllString(s[1:len(s)-1], "$1")
}

// field is the label's name in the API's filters, whose keys are in either quotes and
// can't have both. It returns false for those.
func (l label) field() (string, bool) {
	quote := `"`
	if strings.Contains(l.Key, quote) {
		quote = `'`
	}
	return "labels." + quote + strings.ReplaceAll(l.Key, `\`, `\\`) + quote, !strings.Contains(l.Key, quote)
}
