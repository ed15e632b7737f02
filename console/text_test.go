package console

import (
	"testing"
	"time"
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
