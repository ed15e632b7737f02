package riposte_test

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/riposte-dev/riposte"
)

func TestIDsSortByTheirMillisecond(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		year := int64(365 * 24 * time.Hour)
		earlier := start.Add(time.Duration(rapid.Int64Range(-50*year, 200*year).Draw(rt, "at")))
		later := earlier.Add(time.Duration(rapid.Int64Range(int64(time.Millisecond), year).Draw(rt, "after")))
		a, b := riposte.NewID(earlier), riposte.NewID(later)
		if a >= b {
			rt.Fatalf("%s of %s is not before %s of %s", a, earlier, b, later)
		}
		if n, m := riposte.IDNumber(a), riposte.IDNumber(b); n >= m || n < riposte.LeastIDNumber(earlier) || n >= riposte.LeastIDNumber(later) {
			rt.Fatalf("%s and %s have the numbers %d and %d, and those made at the second's time have at least %d",
				a, b, n, m, riposte.LeastIDNumber(later))
		}
	})
}

func TestIDNumbersSortAsTheIDs(t *testing.T) {
	var ids []string
	for range 1000 {
		ids = append(ids, riposte.NewID(start))
	}
	slices.Sort(ids)
	if !slices.IsSortedFunc(ids, func(a, b string) int { return cmp.Compare(riposte.IDNumber(a), riposte.IDNumber(b)) }) {
		t.Error("they don't")
	}
	for id, want := range map[string]int64{
		strings.Repeat("0", 24):                                 0,
		strings.Repeat("v", 24):                                 1<<63 - 1,
		"0123456789abcdefghijklmn":                              0x22190a63a12a5b,
		strings.Repeat("0", 12) + "4" + strings.Repeat("0", 11): 1,
		strings.Repeat("0", 12) + "3" + strings.Repeat("v", 11): 0,
	} {
		if n := riposte.IDNumber(id); n != want {
			t.Errorf("%s has the number %#x, want %#x", id, n, want)
		}
	}
	if least := riposte.LeastID(start); riposte.IDNumber(least) != riposte.LeastIDNumber(start) || least > ids[0] || !strings.HasSuffix(least, "00000000000") {
		t.Errorf("the least id is %s", least)
	}
	for _, s := range []string{"", "callback", strings.Repeat("w", 24)} {
		if n := riposte.IDNumber(s); n != 0 {
			t.Errorf("%q is no id and has the number %d", s, n)
		}
	}
}

func TestIDsOfOneMomentDiffer(t *testing.T) {
	seen := map[int64]bool{}
	for range 100_000 {
		id := riposte.NewID(start)
		if n := riposte.IDNumber(id); seen[n] {
			t.Fatalf("%s has the number %d, which there is already", id, n)
		}
		seen[riposte.IDNumber(id)] = true
	}
}

func TestIDsHaveOneURLSafeShape(t *testing.T) {
	shape := regexp.MustCompile(`^[0-9a-v]{24}$`)
	for _, at := range []time.Time{time.Unix(0, 0), start, time.Date(2500, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)} {
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
