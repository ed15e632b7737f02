package sqlite

import "testing"

// TestCredentialReadBeforeItWasDeletedIsNotKept, when whoever read it comes late.
func TestCredentialReadBeforeItWasDeletedIsNotKept(t *testing.T) {
	var c credentials[int]
	age := c.age()
	c.forget()
	c.store("name", 1, age)
	if _, ok := c.byName.Load("name"); ok {
		t.Error("it is kept")
	}
	c.store("name", 1, c.age())
	if _, ok := c.byName.Load("name"); !ok {
		t.Error("one that was read later is not kept")
	}
}
