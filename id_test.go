package riposte_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/riposte-dev/riposte"
)

func TestIDsSortByTheirMicrosecond(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		year := int64(365 * 24 * time.Hour)
		earlier := start.Add(time.Duration(rapid.Int64Range(-50*year, 200*year).Draw(rt, "at")))
		later := earlier.Add(time.Duration(rapid.Int64Range(int64(time.Microsecond), year).Draw(rt, "after")))
		if a, b := riposte.NewID(earlier), riposte.NewID(later); a >= b {
			rt.Fatalf("%s of %s is not before %s of %s", a, earlier, b, later)
		}
	})
}

func TestIDsOfOneMomentDiffer(t *testing.T) {
	seen := map[string]bool{}
	for range 100_000 {
		id := riposte.NewID(start)
		if seen[id] {
			t.Fatalf("%s twice", id)
		}
		seen[id] = true
	}
}

func TestIDsHaveOneURLSafeShape(t *testing.T) {
	shape := regexp.MustCompile(`^[0-9a-v]{24}$`)
	for _, at := range []time.Time{time.Unix(0, 0), start, time.Date(4000, 1, 1, 0, 0, 0, 0, time.UTC)} {
		if id := riposte.NewID(at); !shape.MatchString(id) || !riposte.IsID(id) {
			t.Errorf("the id of %s is %q", at, id)
		}
	}
}

func TestIsIDKnowsTheShape(t *testing.T) {
	id := riposte.NewID(start)
	for s, want := range map[string]bool{
		id:                      true,
		strings.Repeat("v", 24): true,
		"":                      false,
		id[1:]:                  false,
		id + "0":                false,
		strings.Repeat("w", 24): false,
		strings.Repeat("A", 24): false,
		"callback":              false,
		"incoming":              false,
		id[:23] + "/":           false,
		id[:23] + "\x00":        false,
		id[:12] + "-" + id[13:]: false,
		id[:22] + "ä":           false,
	} {
		if got := riposte.IsID(s); got != want {
			t.Errorf("IsID(%q) is %t", s, got)
		}
	}
}
