package keyring_test

import (
	"errors"
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/keyring"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const (
	behind = 30 * time.Second // how old a node's view may be that nobody asks
	asked  = time.Second      // and of one that was asked for a key that it doesn't know
	life   = 120 * time.Second
)

var rules = keyring.Rules{PublishFor: 10 * time.Minute, Keep: 2 * life}

// model is a ring with all that it ever was, and what was made with its keys.
type model struct {
	now     time.Time
	made    int
	history []version
	tokens  []token
	abrupt  map[string]bool // keys that were used at once
}

type version struct {
	at   time.Time
	ring keyring.Ring
}

type token struct {
	key string
	at  time.Time
}

func (m *model) key() keyring.Key {
	m.made++
	return keyring.Key{ID: strconv.Itoa(m.made)}
}

// seen is the ring as somebody knows it who looked some time ago.
func (m *model) seen(age time.Duration) keyring.Ring {
	for _, v := range slices.Backward(m.history) {
		if !v.at.After(m.now.Add(-age)) {
			return v.ring
		}
	}
	return m.history[0].ring
}

func (m *model) set(r keyring.Ring) { m.history = append(m.history, version{m.now, r}) }

// TestWhatIsMadeIsAlwaysTaken: whatever is rotated, and whoever is how far behind, a token
// is made with a key that those know who must take it, for as long as it lives.
func TestWhatIsMadeIsAlwaysTaken(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := &model{now: start, abrupt: map[string]bool{}}
		first := m.key()
		first.CreatedAt, first.UsedFrom = start, start
		m.set(keyring.Ring{Keys: []keyring.Key{first}})
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			switch rapid.SampledFrom([]string{"wait", "wait long", "rotate", "tidy", "make", "make"}).Draw(rt, "step") {
			case "wait":
				m.now = m.now.Add(time.Duration(rapid.Int64Range(0, int64(3*time.Second)).Draw(rt, "for")))
			case "wait long":
				m.now = m.now.Add(time.Duration(rapid.Int64Range(0, int64(20*time.Minute)).Draw(rt, "for long")))
			case "rotate":
				m.rotate(rt)
			case "tidy":
				m.set(m.seen(0).Left(rules, m.now))
			case "make":
				age := time.Duration(rapid.Int64Range(0, int64(behind)).Draw(rt, "view"))
				m.tokens = append(m.tokens, token{m.seen(age).Current(m.now).ID, m.now})
			}
			m.check(rt)
		}
	})
}

func (m *model) rotate(rt *rapid.T) {
	ring, k := m.seen(0), m.key()
	waits := m.seen(0).State(len(ring.Keys)-1, m.now) == riposte.ServerKeyNext
	var publishFor *time.Duration
	if given := rapid.SampledFrom([]time.Duration{-1, 0, rules.PublishFor, time.Hour}).Draw(rt, "publish for"); given >= 0 {
		publishFor = &given
		m.abrupt[k.ID] = given == 0
	}
	next, err := ring.Rotated(k, publishFor, rules, m.now)
	if errors.Is(err, keyring.ErrNextWaiting) != waits || err != nil && !waits {
		rt.Fatalf("rotating %v while one waits (%t): %v", ring, waits, err)
	}
	if err == nil {
		m.set(next)
	}
}

func (m *model) check(rt *rapid.T) {
	ring := m.seen(0)
	states := map[riposte.ServerKeyState]int{}
	for k, key := range ring.Keys {
		states[ring.State(k, m.now)]++
		if k > 0 && !key.UsedFrom.After(ring.Keys[k-1].UsedFrom) {
			rt.Fatalf("%v is out of order", ring)
		}
		if after, ok := ring.RemovedAfter(k, rules, m.now); ok != (ring.State(k, m.now) == riposte.ServerKeyRetired) || ok && after.Before(m.now.Add(-24*time.Hour*365)) {
			rt.Fatalf("key %d of %v is removed after %v (%t)", k, ring, after, ok)
		}
	}
	if states[riposte.ServerKeyCurrent] != 1 || states[riposte.ServerKeyNext] > 1 {
		rt.Fatalf("%v has %v", ring, states)
	}
	for _, made := range m.tokens {
		if m.now.Sub(made.at) > life {
			continue
		}
		if !has(m.seen(asked).Left(rules, m.now), made.key) {
			rt.Fatalf("at %v a node that was asked takes no token that key %s made %v ago: %v", m.now, made.key, m.now.Sub(made.at), m.seen(asked))
		}
		if age := rules.PublishFor; !m.abrupt[made.key] && !has(m.seen(age).Left(rules, m.now.Add(-age)), made.key) {
			rt.Fatalf("at %v a receiver that looked %v ago takes no token that key %s made %v ago", m.now, age, made.key, m.now.Sub(made.at))
		}
	}
}

func has(r keyring.Ring, id string) bool {
	return slices.ContainsFunc(r.Keys, func(k keyring.Key) bool { return k.ID == id })
}

func TestPublishForHasBounds(t *testing.T) {
	ring := keyring.Ring{Keys: []keyring.Key{{ID: "1", CreatedAt: start, UsedFrom: start}}}
	for publishFor, ok := range map[time.Duration]bool{
		0: true, time.Second: false, rules.PublishFor - 1: false, rules.PublishFor: true, keyring.MaxPublishFor: true, keyring.MaxPublishFor + 1: false,
	} {
		next, err := ring.Rotated(keyring.Key{ID: "2"}, &publishFor, rules, start)
		if e, isOurs := errors.AsType[*riposte.Error](err); (err == nil) != ok || err != nil && (!isOurs || len(e.Violations) != 1) {
			t.Errorf("%s: %v", publishFor, err)
		}
		if want := start.Add(max(publishFor, keyring.Lead)); ok && !next.Keys[1].UsedFrom.Equal(want) {
			t.Errorf("%s: it is used from %s, want %s", publishFor, next.Keys[1].UsedFrom, want)
		}
	}
}

func TestOldKeysStayForTheirTime(t *testing.T) {
	ring := keyring.Ring{Keys: []keyring.Key{{ID: "1", UsedFrom: start}, {ID: "2", UsedFrom: start.Add(time.Hour)}}}
	until := start.Add(time.Hour + rules.Keep)
	for at, want := range map[time.Time]int{start: 2, start.Add(time.Hour): 2, until.Add(-1): 2, until: 1, until.Add(1000 * time.Hour): 1} {
		if left := ring.Left(rules, at); len(left.Keys) != want || !has(left, "2") {
			t.Errorf("at %s %v is left", at, left)
		}
	}
	if after, ok := ring.RemovedAfter(0, rules, start.Add(time.Hour)); !ok || !after.Equal(until) {
		t.Errorf("it is removed after %s, %t", after, ok)
	}
}
