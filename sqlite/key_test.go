package sqlite

import (
	"testing"

	"github.com/riposte-dev/riposte"
)

// TestKeyReadBeforeItWasDeletedIsNotKept, when whoever read it comes late.
func TestKeyReadBeforeItWasDeletedIsNotKept(t *testing.T) {
	var c keyCache
	k := riposte.Key{Hash: []byte("hash")}
	age := c.age()
	c.forget()
	c.store(k, age)
	if _, ok := c.load(k.Hash); ok {
		t.Error("it is kept")
	}
	c.store(k, c.age())
	if _, ok := c.load(k.Hash); !ok {
		t.Error("one that was read later is not kept")
	}
}
