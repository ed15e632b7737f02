package e2e

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// A piece of a secret of this length is as bad as all of it: whoever cuts a text off
// before showing it has shown the beginning.
const canaryPiece = 12 // bytes

// canaries are the secrets of a server, each made for this, and what the server showed.
type canaries struct {
	t      testing.TB
	needle map[uint64][]needle // by their first eight bytes
	likely [1 << 24]bool       // whether a needle begins with these three bytes
	known  map[string]bool
	names  map[string]bool
	places []canaryPlace
}

type needle struct {
	canary string
	text   []byte
}

// canaryPlace is something that somebody can read.
type canaryPlace struct {
	name  string
	text  []byte
	shows []string // the canaries that must be there
	may   []string // and those that may be
}

func newCanaries(t testing.TB) *canaries {
	return &canaries{t: t, needle: map[uint64][]needle{}, known: map[string]bool{}, names: map[string]bool{}}
}

// text adds a secret that is a text.
func (c *canaries) text(name, secret string) string {
	if len(secret) < canaryPiece {
		c.t.Fatalf("%s is too short to be found: %d bytes", name, len(secret))
	}
	c.add(name, []byte(secret))
	quoted, err := json.Marshal(secret)
	if err != nil {
		c.t.Fatal(err)
	}
	for _, escaped := range []string{
		string(quoted[1 : len(quoted)-1]), html.EscapeString(secret), url.QueryEscape(secret), url.PathEscape(secret),
		strings.Trim(strconv.Quote(secret), `"`), strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(secret),
	} {
		c.pieces(name, []byte(escaped), canaryPiece)
	}
	return secret
}

// bytes adds a secret that is bytes, which are mostly written as base64: what is written
// so may be written anew, as a JSON Web Key within a token is.
func (c *canaries) bytes(name string, secret []byte) {
	c.add(name, secret)
	c.add(name, []byte(base64.StdEncoding.EncodeToString(secret)))
	c.add(name, []byte(base64.RawURLEncoding.EncodeToString(secret)))
}

func (c *canaries) add(name string, secret []byte) {
	if len(secret) < canaryPiece {
		c.t.Fatalf("%s is too short to be found: %d bytes", name, len(secret))
	}
	c.names[name] = true
	secret = secret[:min(len(secret), 96)] // of the largest keys, and more than enough
	reversed := slices.Clone(secret)
	slices.Reverse(reversed)
	c.pieces(name, secret, canaryPiece)
	c.pieces(name, reversed, canaryPiece)
	for _, b := range [][]byte{secret, reversed} {
		text := hex.EncodeToString(b)
		c.pieces(name, []byte(text), 2*canaryPiece)
		c.pieces(name, []byte(strings.ToUpper(text)), 2*canaryPiece)
	}
	for n := range len(secret) - canaryPiece + 1 {
		decimal := strings.Trim(fmt.Sprint(secret[n:n+canaryPiece]), "[]")
		c.find(name, []byte(decimal))
		c.find(name, []byte(strings.ReplaceAll(decimal, " ", ",")))
		c.find(name, []byte(strings.ReplaceAll(decimal, " ", ", ")))
	}
	// What stands before it shifts base64 by zero, one or two bytes.
	for shift, ofOthers := range []int{0, 2, 3} {
		for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			text := encoding.EncodeToString(append(make([]byte, shift), secret...))
			c.pieces(name, []byte(text[ofOthers:len(text)-2]), canaryPiece*4/3)
		}
	}
}

func (c *canaries) pieces(name string, text []byte, length int) {
	for n := range max(len(text)-length+1, 0) {
		c.find(name, text[n:n+length])
	}
}

func (c *canaries) find(name string, text []byte) {
	if key := name + "\x00" + string(text); !c.known[key] {
		c.known[key] = true
		c.likely[int(text[0])<<16|int(text[1])<<8|int(text[2])] = true
		first := binary.BigEndian.Uint64(text)
		c.needle[first] = append(c.needle[first], needle{name, text})
	}
}

// in returns which canaries a text has a piece of, each with where.
func (c *canaries) in(text []byte) map[string]int {
	found := map[string]int{}
	for n := 0; n+8 <= len(text); n++ {
		if !c.likely[int(text[n])<<16|int(text[n+1])<<8|int(text[n+2])] {
			continue
		}
		for _, each := range c.needle[binary.BigEndian.Uint64(text[n:])] {
			if _, ok := found[each.canary]; !ok && bytes.HasPrefix(text[n:], each.text) {
				found[each.canary] = n
			}
		}
	}
	return found
}

// saw keeps what could be read at a place that may have some of the secrets, and need not.
func (c *canaries) saw(name string, text []byte, may ...string) {
	c.places = append(c.places, canaryPlace{name: name, text: text, may: may})
}

// check looks for all canaries in all places.
func (c *canaries) check() {
	c.t.Helper()
	size := 0
	for _, p := range c.places {
		size += len(p.text)
		found := c.in(p.text)
		for _, name := range p.shows {
			if _, ok := found[name]; !ok {
				c.t.Errorf("%s: has no %s, which it is there to show", p.name, name)
			}
		}
		for _, name := range slices.Sorted(maps.Keys(found)) {
			if !slices.Contains(p.shows, name) && !slices.Contains(p.may, name) {
				at := found[name]
				c.t.Errorf("%s: has %s: …%q…", p.name, name, p.text[max(at-100, 0):min(at+60, len(p.text))])
			}
		}
	}
	c.t.Logf("looked for %d secrets in %d places of %d bytes", len(c.names), len(c.places), size)
}

// TestCanaryIsFound: each way to write a secret is known, whole and cut off.
func TestCanaryIsFound(t *testing.T) {
	t.Parallel()
	secret := canaryText()
	key := bytes.Repeat([]byte("\x00\xfe\x80key"), 6)
	reversed := slices.Clone(key)
	slices.Reverse(reversed)
	list := make([]int, len(key))
	for n, b := range key {
		list[n] = int(b)
	}
	decimals, err := json.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	quoted, err := json.Marshal(map[string]string{"secret": secret})
	if err != nil {
		t.Fatal(err)
	}
	for way, text := range map[string]string{
		"itself": secret, "cut off": secret[:20], "its end": secret[len(secret)-20:], "JSON": string(quoted), "Go": strconv.Quote(secret),
		"HTML": html.EscapeString(secret), "an address": "?a=" + url.QueryEscape(secret), "hex": fmt.Sprintf("%x", secret), "HEX": fmt.Sprintf("%X", secret),
		"base64": base64.StdEncoding.EncodeToString([]byte(secret)), "base64 behind 1": base64.StdEncoding.EncodeToString([]byte("1" + secret)),
		"base64url behind 2": base64.RawURLEncoding.EncodeToString([]byte("12" + secret)),
		"a key":              string(key), "a key's numbers": fmt.Sprint(key), "a key's JSON": string(decimals), "reversed": string(reversed),
		"a key in a key": base64.RawURLEncoding.EncodeToString([]byte(`{"d":"` + base64.RawURLEncoding.EncodeToString(key) + `"}`)),
	} {
		c := newCanaries(t)
		c.text("a text", secret)
		c.bytes("a key", key)
		if found := c.in([]byte("something else and " + text + " and more")); len(found) != 1 {
			t.Errorf("%s: found %v", way, found)
		}
		if found := c.in([]byte("something else and more, such as " + rot(text))); len(found) != 0 {
			t.Errorf("nothing: found %v", found)
		}
	}
}

// rot makes another text of the same length.
func rot(text string) string {
	b := []byte(text)
	for n := range b {
		b[n] ^= 0x55
	}
	return string(b)
}
