package riposte_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/riposte-dev/riposte"
)

func TestConsumerNames(t *testing.T) {
	for name, ok := range map[string]bool{
		"a": true, "0": true, "billing.eu-1_x": true, strings.Repeat("a", 63): true,
		"": false, "A": false, "-a": false, ".a": false, "a b": false, "é": false, "a/b": false, "a\x00": false, strings.Repeat("a", 64): false,
	} {
		_, err := riposte.NewConsumer(name, riposte.OutcomeFilter{}, 0, time.Now())
		if e, _ := errors.AsType[*riposte.Error](err); ok != (err == nil) || !ok && e.Violations[0].Field != "name" {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// TestConsumerGivesEachOutcomeUntilItIsAcked walks at random: workers lease, ack in
// whole or in part, repeat an ack, and die; and every outcome is acked by the one who
// had it last, none is held by two, and what is acked is not given again.
func TestConsumerGivesEachOutcomeUntilItIsAcked(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		const last = 60
		now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		c, err := riposte.NewConsumer("c", riposte.OutcomeFilter{}, 0, now)
		if err != nil {
			rt.Fatal(err)
		}
		holder := map[int64]string{} // the lease that an outcome was given under last
		acked := map[int64]bool{}
		var given []riposte.Lease
		take := func(l riposte.Lease) {
			given = append(given, l)
			for s := l.After + 1; s <= l.Through; s++ {
				if acked[s] {
					rt.Fatalf("%d was acked and is given again", s)
				}
				holder[s] = l.ID
			}
		}
		rt.Repeat(map[string]func(*rapid.T){
			"pull": func(rt *rapid.T) {
				n, d := rapid.Int64Range(1, 10).Draw(rt, "n"), time.Duration(rapid.IntRange(1, 5).Draw(rt, "lease"))*time.Second
				var l riposte.Lease
				if lapsed, ok := c.Lapsed(now); ok {
					c, l = c.LeaseAgain(lapsed, lapsed.After+n, d, now)
					if l.Tries != lapsed.Tries+1 {
						rt.Fatalf("given for the %d. time after %d", l.Tries, lapsed.Tries)
					}
				} else if c.Position < last {
					if c, l, err = c.Lease(min(c.Position+n, last), d, now); err != nil {
						rt.Fatal(err)
					}
				} else {
					return
				}
				take(l)
			},
			"ack": func(rt *rapid.T) {
				if len(given) == 0 {
					return
				}
				l := rapid.SampledFrom(given).Draw(rt, "lease")
				through := rapid.Int64Range(l.After+1, l.Through).Draw(rt, "through")
				mine := true
				for s := l.After + 1; s <= through; s++ {
					mine = mine && (holder[s] == l.ID || acked[s])
				}
				next, err := c.Ack(l.ID, through)
				if (err == nil) != mine {
					rt.Fatalf("ack of %s through %d: %v, holder %t", l.ID, through, err, mine)
				}
				if err == nil {
					c = next
					for s := l.After + 1; s <= through; s++ {
						acked[s] = true
					}
				}
			},
			"time": func(rt *rapid.T) { now = now.Add(time.Duration(rapid.IntRange(1, 3).Draw(rt, "s")) * time.Second) },
			"": func(rt *rapid.T) {
				end := c.Position
				for k, l := range c.Leases {
					if l.After >= l.Through || l.Through > c.Position || k > 0 && l.After < c.Leases[k-1].Through {
						rt.Fatalf("leases %+v, position %d", c.Leases, c.Position)
					}
					end = min(end, l.After)
				}
				if c.Acked() != end || !allAcked(acked, 0, end) {
					rt.Fatalf("acked up to %d, but %v", c.Acked(), acked)
				}
			},
		})
	})
}

func allAcked(acked map[int64]bool, after, through int64) bool {
	for s := after + 1; s <= through; s++ {
		if !acked[s] {
			return false
		}
	}
	return true
}
