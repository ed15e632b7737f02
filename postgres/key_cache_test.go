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
	k := knownKey{riposte.Key{Hash: []byte("hash")}, now}
	age := c.age()
	c.forget()
	c.store(k, age)
	if _, ok := c.load(k.Hash, now); ok {
		t.Error("it is kept")
	}
	c.store(k, c.age())
	if _, ok := c.load(k.Hash, now); !ok {
		t.Error("one that was read later is not kept")
	}
	if _, ok := c.load(k.Hash, now.Add(-time.Second)); ok {
		t.Error("it counts after the clock was put back")
	}
}
