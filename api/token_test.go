package api_test

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/api"
)

func TestCallbackTokenOpensWithItsKeyAlone(t *testing.T) {
	tokens, others := newTokens(t), newTokens(t)
	id := riposte.NewID(time.Now())
	token := tokens.Seal(id)
	if got, ok := tokens.Open(token); !ok || got != id {
		t.Errorf("Open gave %q, %v, want %q", got, ok, id)
	}
	if got, ok := others.Open(token); ok {
		t.Errorf("another key opened it: %q", got)
	}
	if strings.Contains(token, id) || token == tokens.Seal(id) || strings.Trim(token, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
		t.Errorf("%s is no fresh unpadded base64url that hides %s", token, id)
	}
	if got, ok := tokens.Open(tokens.Seal("not an id")); ok {
		t.Errorf("Open gave %q, which is no id", got)
	}
}

func TestChangedCallbackTokenDoesNotOpen(t *testing.T) {
	tokens := newTokens(t)
	token := tokens.Seal(riposte.NewID(time.Now()))
	sealed, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		t.Fatal(err)
	}
	refuse := func(what, token string) {
		t.Helper()
		if id, ok := tokens.Open(token); ok {
			t.Errorf("%s: %q opened as %s", what, token, id)
		}
	}
	for bit := range len(sealed) * 8 {
		flipped := append([]byte(nil), sealed...)
		flipped[bit/8] ^= 1 << (bit % 8)
		refuse("a bit flipped", base64.RawURLEncoding.EncodeToString(flipped))
	}
	for n := range len(token) {
		refuse("cut", token[:n])
		refuse("a character left out", token[:n]+token[n+1:])
		refuse("a line break added", token[:n]+"\n"+token[n:])
	}
	refuse("padded", base64.URLEncoding.EncodeToString(sealed)+"=")
	refuse("longer", token+"A")
	refuse("the other alphabet", "+/"+token[2:])
}

// TestCallbackTokensOfAllKeysOpen, and each is made with the key of its time.
func TestCallbackTokensOfAllKeysOpen(t *testing.T) {
	now := time.Unix(0, 0)
	ring := api.NewCallbackTokenRing(func() time.Time { return now })
	var keys []api.CallbackKey
	for n, id := range []byte{255, 1, 7} {
		key, err := api.NewCallbackKey()
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, api.CallbackKey{ID: id, Key: key, From: time.Unix(int64(n), 0)})
	}
	if err := ring.Use(keys); err != nil {
		t.Fatal(err)
	}
	id := riposte.NewID(time.Now())
	var tokens []string
	for n := range keys {
		now = time.Unix(int64(n), 0)
		token := ring.Seal(id)
		if b, err := base64.RawURLEncoding.DecodeString(token); err != nil || b[0] != keys[n].ID {
			t.Errorf("at %s the token is of key %v, %v", now, b[:1], err)
		}
		tokens = append(tokens, token)
	}
	for _, token := range tokens {
		if got, ok := ring.Open(token); !ok || got != id {
			t.Errorf("Open gave %q, %v", got, ok)
		}
	}
	if err := ring.Use(keys[1:]); err != nil {
		t.Fatal(err)
	}
	if got, ok := ring.Open(tokens[0]); ok {
		t.Errorf("a key that is gone opened %q", got)
	}
	keys[0].Key, keys[0].ID = keys[1].Key, 1
	if got, ok := ring.Open(tokens[1]); !ok || got != id || ring.Use(nil) == nil {
		t.Errorf("Open gave %q, %v", got, ok)
	}
}

func TestNewCallbackTokensRefusesAKeyOfAnotherSize(t *testing.T) {
	if _, err := api.NewCallbackTokens(make([]byte, 31)); err == nil || !strings.Contains(err.Error(), "reading the callback key: ") {
		t.Errorf("err = %v", err)
	}
}

func FuzzOpen(f *testing.F) {
	tokens := newTokens(f)
	f.Add(tokens.Seal("000000000000000000000000"))
	f.Add("")
	f.Add("AQ")
	f.Fuzz(func(t *testing.T, token string) {
		id, ok := tokens.Open(token)
		if ok && !riposte.IsID(id) || !ok && riposte.IsID(id) {
			t.Errorf("%q gave %q, %v", token, id, ok)
		}
		if b, err := base64.RawURLEncoding.DecodeString(token); ok && (err != nil || base64.RawURLEncoding.EncodeToString(b) != token) {
			t.Errorf("%q opened, which Seal never wrote", token)
		}
	})
}

func TestPageTokenWorksForItsListAlone(t *testing.T) {
	id := riposte.NewID(time.Now())
	token := api.PageToken(id, "search", "query", "a", "b")
	if before, err := api.Page(token, "search", "query", "a", "b"); err != nil || before != id {
		t.Errorf("Page gave %q, %v", before, err)
	}
	for _, filter := range [][]string{
		nil, {"search"}, {"webhooks", "query", "a", "b"}, {"search", "query", "b", "a"}, {"search", "query", "ab"},
		{"search", "query\x00a", "b"}, {"search", "query", "a", "b", ""}, {"search", "query5:a", "b"},
	} {
		if before, err := api.Page(token, filter...); err == nil {
			t.Errorf("%q took the token: %q", filter, before)
		}
	}
	for _, changed := range []string{token + "A", token[1:], token[:len(token)-1], token + "\n", " " + token, api.PageToken("", "search", "query", "a", "b"),
		api.PageToken("callback", "search", "query", "a", "b"), api.PageToken(strings.ToUpper(id), "search", "query", "a", "b")} {
		if before, err := api.Page(changed, "search", "query", "a", "b"); err == nil {
			t.Errorf("%q is taken: %q", changed, before)
		}
	}
}

func TestPageSizeIsBrought(t *testing.T) {
	for asked, want := range map[int32]int{0: 25, 1: 10, 9: 10, 10: 10, 100: 100, 101: 100, 1<<31 - 1: 100} {
		if got, err := api.PageSize(asked, 100); err != nil || got != want {
			t.Errorf("%d gives %d, %v, want %d", asked, got, err, want)
		}
	}
	if got, _ := api.PageSize(5000, 1000); got != 1000 {
		t.Errorf("5000 of 1000 gives %d", got)
	}
	if _, err := api.PageSize(-1, 100); err == nil {
		t.Error("-1 is taken")
	}
}

func FuzzPage(f *testing.F) {
	f.Add(api.PageToken("000000000000000000000000", "list"))
	f.Add("junk")
	f.Fuzz(func(t *testing.T, token string) {
		before, err := api.Page(token, "list")
		if err == nil && token != "" && api.PageToken(before, "list") != token {
			t.Errorf("%q is taken for %q, but is not its token", token, before)
		}
	})
}
