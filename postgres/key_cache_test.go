package postgres

import (
	"testing"
	"time"

	"github.com/riposte-dev/riposte"
)

// TestKeyReadBeforeItWasDeletedIsNotKept, when whoever read it comes late.
func TestKeyReadBeforeItWasDeletedIsNotKept(t *testing.T) {
	var c keyCache
	now := time.Unix(1_800_000_000, 0)
	k := riposte.Key{ID: "id", Hash: []byte("hash")}
	age := c.age()
	c.forget(k.ID)
	c.store(k, now, age)
	if _, ok := c.load(k.Hash); ok {
		t.Error("it is kept")
	}
	c.store(k, now, c.age())
	known, ok := c.load(k.Hash)
	if !ok || !known.counts(now) || !known.inGrace(now) {
		t.Error("one that was read later is not kept")
	}
	if before := now.Add(-time.Second); known.counts(before) || known.inGrace(before) {
		t.Error("it counts after the clock was put back")
	}
	c.forget("other")
	if _, ok := c.load(k.Hash); !ok {
		t.Error("it is forgotten with another one")
	}
	c.forget(k.ID)
	if _, ok := c.load(k.Hash); ok {
		t.Error("it is kept though it was deleted")
	}
}
