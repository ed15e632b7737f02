package console

import (
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const day = 24 * time.Hour

func TestPatienceIsWrittenInWords(t *testing.T) {
	for d, want := range map[time.Duration]string{
		8 * day:                             "8 days",
		day:                                 "1 day",
		36 * time.Hour:                      "1 day 12 hours",
		30*day - time.Hour:                  "29 days 23 hours",
		day + time.Minute + time.Second:     "1 day 1 minute 1 second",
		day + 1500*time.Millisecond:         "1 day 1.5 seconds",
		day + time.Microsecond:              "1 day 0.000001 seconds",
		2*day + 3*time.Hour + 4*time.Minute: "2 days 3 hours 4 minutes",
		0:                                   "0 seconds",
	} {
		if got := patience(d); got != want {
			t.Errorf("%s is written %q, want %q", d, got, want)
		}
	}
}

func TestPatienceIsReadInManyWays(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"8 days":            8 * day,
		" 8 Days ":          8 * day,
		"8d":                8 * day,
		"1 day 12 hours":    36 * time.Hour,
		"1 day, 12 hours":   36 * time.Hour,
		"1d12h":             36 * time.Hour,
		"36h":               36 * time.Hour,
		"1.5 days":          36 * time.Hour,
		"90 min":            90 * time.Minute,
		"86400s":            day,
		"2 hours 1 second":  2*time.Hour + time.Second,
		"1 day 1 day":       2 * day,
		"1000 days":         1000 * day,
		"0 days":            0,
		"86400.000001 secs": -1,
		"":                  -1,
		"8":                 -1,
		"days":              -1,
		"8 weeks of days":   -1,
		"-1 day":            -1,
		"1 day -1 hour":     -1,
		"1e3 days":          -1,
		"1..5 days":         -1,
		"1001 days":         -1,
		"999 days 25 hours": -1,
		"99999999999999999999999999999999999999 s": -1,
		"٨ days":      -1,
		"8\u00a0days": -1,
		"NaN days":    -1,
	} {
		got, err := parsePatience(text)
		if want < 0 {
			if !errors.Is(err, errNoPatience) {
				t.Errorf("%q was read as %s, %v", text, got, err)
			}
		} else if err != nil || got != want {
			t.Errorf("%q was read as %s, %v, want %s", text, got, err, want)
		}
	}
}

func TestPatienceIsReadAsItWasWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64Range(0, int64(30*day/time.Microsecond)).Draw(t, "microseconds")) * time.Microsecond
		if got, err := parsePatience(patience(d)); err != nil || got != d {
			t.Fatalf("%s is written %q, and that is read as %s, %v", d, patience(d), got, err)
		}
	})
}
