package sqlite

import (
	"database/sql"
	"errors"
	"sync"
)

// credentials has keys, or clients, that were loaded. They never change, but one may be
// deleted.
type credentials[T any] struct {
	byName sync.Map // T, by what it is asked for with

	mu      sync.Mutex
	forgets int // how many times all were forgotten
}

// get returns what was loaded before, or what load finds, which returns sql.ErrNoRows
// for nothing; what says what load is doing.
func (c *credentials[T]) get(name string, missing error, what string, load func() (T, error)) (T, error) {
	if known, ok := c.byName.Load(name); ok {
		return known.(T), nil
	}
	age := c.age()
	loaded, err := load()
	if err == nil {
		c.store(name, loaded, age)
		return loaded, nil
	}
	var none T
	if errors.Is(err, sql.ErrNoRows) {
		return none, missing
	}
	return none, reading(what, err)
}

// age tells what is read now from what was read before any were forgotten.
func (c *credentials[T]) age() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.forgets
}

// store keeps what was read at that age, unless it may be deleted since.
func (c *credentials[T]) store(name string, loaded T, age int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if age == c.forgets {
		c.byName.Store(name, loaded)
	}
}

func (c *credentials[T]) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forgets++
	c.byName.Clear()
}
