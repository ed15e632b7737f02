package console

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

// errNoPatience is for what no one could mean as a span of time.
var errNoPatience = errors.New("must be a span of time such as 8 days, or 1 day 12 hours")

// patienceUnits are those in which people say how long they wait, the longest first.
// Each is written by its first name, or that with an s, and read by any.
var patienceUnits = []struct {
	of    time.Duration
	names []string
}{
	{24 * time.Hour, []string{"day", "days", "d"}},
	{time.Hour, []string{"hour", "hours", "h"}},
	{time.Minute, []string{"minute", "minutes", "min", "m"}},
	{time.Second, []string{"second", "seconds", "sec", "s"}},
}

// patience writes a duration without losing anything of it, in the units of people:
// parsePatience reads the same from it.
func patience(d time.Duration) string {
	var parts []string
	for _, u := range patienceUnits[:3] {
		if n := d / u.of; n > 0 {
			parts = append(parts, plural(int64(n), u.names[0]))
			d -= n * u.of
		}
	}
	if d == time.Second {
		parts = append(parts, "1 second")
	} else if d > 0 || len(parts) == 0 {
		parts = append(parts, strconv.FormatFloat(d.Seconds(), 'f', -1, 64)+" seconds")
	}
	return strings.Join(parts, " ")
}

// parsePatience reads numbers with their units, as in "1 day 12 hours", "36h" and
// "1.5 d". Its error is errNoPatience.
func parsePatience(s string) (time.Duration, error) {
	var whole time.Duration
	rest := strings.ToLower(strings.TrimSpace(s))
	if rest == "" {
		return 0, errNoPatience
	}
	for rest != "" {
		number, after := leading(rest, "0123456789.")
		unit, next := leading(strings.TrimLeft(after, " "), "abcdefghijklmnopqrstuvwxyz")
		d, err := spanOf(number, unit)
		if err != nil || d > maxPatience-whole {
			return 0, errNoPatience
		}
		whole += d
		rest = strings.TrimLeft(next, " ,")
	}
	return whole, nil
}

// parseSpan is parsePatience that takes 0 without a unit, too.
func parseSpan(s string) (time.Duration, error) {
	if s == "0" {
		return 0, nil
	}
	return parsePatience(s)
}

// maxPatience is more than anybody may wait, and far from what a duration can hold.
const maxPatience = 1000 * 24 * time.Hour

func spanOf(number, unit string) (time.Duration, error) {
	n, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return 0, err
	}
	for _, u := range patienceUnits {
		for _, name := range u.names {
			if name != unit {
				continue
			}
			if n > float64(maxPatience/u.of) {
				return 0, errNoPatience
			}
			return time.Duration(n*float64(u.of) + 0.5), nil
		}
	}
	return 0, errNoPatience
}

// leading cuts what s begins with that is made of these characters.
func leading(s, of string) (begin, rest string) {
	rest = strings.TrimLeft(s, of)
	return s[:len(s)-len(rest)], rest
}
