package postgres

import (
	"testing"
	"time"
)

// TestCredentialReadBeforeItWasDeletedIsNotKept, when whoever read it comes late.
func TestCredentialReadBeforeItWasDeletedIsNotKept(t *testing.T) {
	c := credentials[string]{id: func(id string) string { return id }}
	now := time.Unix(1_800_000_000, 0)
	age := c.age()
	c.forget("id")
	c.store("name", "id", now, age)
	if _, ok := c.load("name"); ok {
		t.Error("it is kept")
	}
	c.store("name", "id", now, c.age())
	kept, ok := c.load("name")
	if !ok || !kept.counts(now) || !kept.inGrace(now) {
		t.Error("one that was read later is not kept")
	}
	if before := now.Add(-time.Second); kept.counts(before) || kept.inGrace(before) {
		t.Error("it counts after the clock was put back")
	}
	c.forget("other")
	if _, ok := c.load("name"); !ok {
		t.Error("it is forgotten with another one")
	}
	c.forget("id")
	if _, ok := c.load("name"); ok {
		t.Error("it is kept though it was deleted")
	}
}
