package console

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestVisibleShowsWhatWouldActOnTheReader(t *testing.T) {
	for in, want := range map[string]string{
		"plain ünïcode 漢字":          "plain ünïcode 漢字",
		"tab\tand\nline":            "tab\tand\nline",
		"\x1b[31mred\x1b[0m":        "␛[31mred␛[0m",
		"a\x00b\x07\x7f":            "a␀b␇␡",
		"\u202Egnp.exe":             "⟨U+202E⟩gnp.exe",
		"\u2066x\u2069 \u200f":      "⟨U+2066⟩x⟨U+2069⟩ ⟨U+200F⟩",
		"zero\u200bwidth\ufeff":     "zero⟨U+200B⟩width⟨U+FEFF⟩",
		"\u0085 \u2028":             "⟨U+0085⟩ ⟨U+2028⟩",
		"👩\u200d🚀":                  "👩\u200d🚀",
		"bad\xffutf8":               "bad\uFFFDutf8",
		"<script>alert(1)</script>": "<script>alert(1)</script>", // html/template's business
	} {
		if got := visible(in); got != want {
			t.Errorf("visible(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestPrettyChangesNothingButWhiteSpace(t *testing.T) {
	for in, want := range map[string]string{
		`{"n":12345678901234567890,"f":1.0,"e":"\u00e9<"}`: "{\n  \"n\": 12345678901234567890,\n  \"f\": 1.0,\n  \"e\": \"\\u00e9<\"\n}",
		`{"a":1} x`: `{"a":1} x`,
		"not JSON":  "not JSON",
		"":          "",
	} {
		if got := pretty(in); got != want {
			t.Errorf("pretty(%q) = %q, want %q", in, got, want)
		}
	}
}

// TestPrettyGrowsLittle: a receiver may send what would be a thousand times as much.
func TestPrettyGrowsLittle(t *testing.T) {
	wide := "[" + strings.Repeat("1,", 500_000) + "1]"
	for name, in := range map[string]string{
		"deep":          strings.Repeat("[", 8190) + strings.Repeat("]", 8190),
		"deep and wide": strings.Repeat("[", 60) + wide + strings.Repeat("]", 60),
		"wide":          wide,
		"short":         strings.Repeat("[", 64) + "1,2" + strings.Repeat("]", 64),
		"in a string":   `{"a":"` + strings.Repeat(`[{\"`, 1000) + `"}`,
	} {
		out := pretty(in)
		if len(out) > 2*len(in)+2*maxPrettyGrowth {
			t.Errorf("%s: %d bytes become %d", name, len(in), len(out))
		}
		if indented := out != in; indented != (name == "short" || name == "in a string") {
			t.Errorf("%s: indented is %t", name, indented)
		}
	}
}

func TestWhatIsLongIsCutUnlessAllIsAskedFor(t *testing.T) {
	long := `"` + strings.Repeat("ü", maxExchange) + `"`
	v := newExchange(long, false)
	if !utf8.ValidString(v.Text) || len(v.Text) > maxExchange || v.Cut+len(v.Text) != len(long) || v.Bytes != len(long) || v.AsIs != "" {
		t.Errorf("%d bytes shown, %d cut, of %d", len(v.Text), v.Cut, v.Bytes)
	}
	if v := newExchange(long, true); v.Text != long || v.Cut != 0 {
		t.Errorf("all: %d bytes shown, %d cut", len(v.Text), v.Cut)
	}
	if v := newExchange(`{"a":1}`, false); v.Text != "{\n  \"a\": 1\n}" || v.AsIs != `{"a":1}` {
		t.Errorf("%+v", v)
	}
}

func TestDurationsReadWell(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "–", 730 * time.Microsecond: "730 µs", 3240 * time.Microsecond: "3.2 ms", 42 * time.Millisecond: "42 ms", 1500 * time.Millisecond: "1.5 s",
		90 * time.Second: "1 min 30 s", 26*time.Hour + 5*time.Minute: "1 d 2 h", 8 * 24 * time.Hour: "8 d",
	} {
		if got := took(d); got != want {
			t.Errorf("took(%s) = %q, want %q", d, got, want)
		}
	}
}

func TestNumbersAreGrouped(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567"} {
		if got := number(n); got != want {
			t.Errorf("number(%d) = %q, want %q", n, got, want)
		}
	}
}
